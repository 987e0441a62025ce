//! The recorder: samples go in, a recording file comes out, compressed and whole
//! up to the last sample at each moment.
//!
//! It must not end a trace: a disk that fills up ends the recording only, and the
//! summary says so. The file is for its owner only, since it tells what a host watches,
//! and no file but its own is ever written or removed.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufWriter, Write as _},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rustix::{
    fs::{self, AtFlags, CWD, Mode, OFlags},
    io::Errno,
};
use zstd::stream::write::Encoder;

use crate::{
    sample::Sample,
    trace::recording::{Begin, End, Line, MAX_LINE_BYTES},
};

/// Compression level: a sample a second costs nothing at any, and beyond it files
/// hardly get smaller.
const LEVEL: i32 = 9;

/// A recording under way.
pub(crate) struct Recorder {
    path: PathBuf,
    place: Place,
    encoder: Option<Encoder<'static, BufWriter<File>>>,
    begun: bool,
    failure: Option<anyhow::Error>,
}

/// Where the file was made: its directory, its name there, and which file it is.
struct Place {
    directory: OwnedFd,
    name: OsString,
    device: u64,
    inode: u64,
}

impl Place {
    /// Makes the file, for its owner only; follows no link in its place.
    fn create(path: &Path) -> Result<(Self, File), Errno> {
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = fs::openat(CWD, parent, flags, Mode::empty())?;
        let name = path.file_name().ok_or(Errno::ISDIR)?.to_owned();
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&directory, &name, flags, Mode::from_raw_mode(0o600))?;
        let made = fs::fstat(&file)?;
        let place = Self {
            directory,
            name,
            device: made.st_dev,
            inode: made.st_ino,
        };
        Ok((place, file.into()))
    }

    /// Takes the file away, if the name still is its name: in a directory of somebody else's it may have become that
    /// of another file.
    fn remove(&self) {
        let found = fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        if found.is_ok_and(|found| (found.st_dev, found.st_ino) == (self.device, self.inode)) {
            // If it stays, it is an empty file of a trace that ended with an error.
            let _ = fs::unlinkat(&self.directory, &self.name, AtFlags::empty());
        }
    }
}

impl Recorder {
    /// Creates the file, which must not be there yet.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let cannot = || format!("cannot record to {}", path.display());
        let (place, file) = Place::create(path)
            .map_err(|error| match error {
                Errno::EXIST => {
                    anyhow::anyhow!("it exists already; remove it, or use another file")
                }
                _ => io::Error::from(error).into(),
            })
            .with_context(cannot)?;
        let mut encoder = Encoder::new(BufWriter::new(file), LEVEL).with_context(cannot)?;
        // What a disk changes is noticed once all is read.
        encoder.include_checksum(true).with_context(cannot)?;
        Ok(Self {
            path: path.to_owned(),
            place,
            encoder: Some(encoder),
            begun: false,
            failure: None,
        })
    }

    /// Writes what comes first.
    pub(crate) fn begin(&mut self, begin: &Begin, zero: &Sample) {
        self.begun = true;
        self.write(&Line::Begin(begin.clone()));
        self.sample(zero);
    }

    /// Writes a sample.
    pub(crate) fn sample(&mut self, sample: &Sample) {
        self.write(&Line::Sample(sample.clone()));
    }

    /// Writes what comes last; fails if anything of the recording could not be
    /// written.
    pub(crate) fn end(mut self, end: &End) -> Result<()> {
        self.write(&Line::End(end.clone()));
        if let Some(encoder) = self.encoder.take()
            && let Err(error) = finish(encoder)
        {
            self.fail(error);
        }
        match self.failure.take() {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    /// What became of the recording, where it broke off.
    pub(crate) fn note(&self) -> Option<String> {
        self.failure.as_ref().map(|error| format!("{error:#}"))
    }

    fn write(&mut self, line: &Line) {
        let Some(encoder) = &mut self.encoder else {
            return;
        };
        let written = text(line).and_then(|text| {
            encoder.write_all(&text)?;
            // A block of its own: whoever is killed next leaves it readable.
            encoder.flush()
        });
        if let Err(error) = written {
            self.encoder = None;
            self.fail(error);
        }
    }

    fn fail(&mut self, error: io::Error) {
        let what = format!("the recording {} is incomplete", self.path.display());
        self.failure = Some(anyhow::Error::from(error).context(what));
    }
}

fn finish(encoder: Encoder<'static, BufWriter<File>>) -> io::Result<()> {
    let file = encoder
        .finish()?
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // A trace that never began leaves no empty file behind.
        if !self.begun {
            self.place.remove();
        }
    }
}

/// A line as it is written, no longer than it is read again: where talkers make it longer, it goes without the names
/// that the host has for them.
fn text(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    if let Line::Sample(sample) = line
        && text.len() as u64 >= MAX_LINE_BYTES
    {
        let mut sample = sample.clone();
        for talker in sample.talkers.iter_mut().flatten() {
            talker.exe = None;
            talker.cgroup_path = None;
            talker.container_name = None;
        }
        text = serde_json::to_vec(&Line::Sample(sample))?;
    }
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::{Recorder, text};
    use crate::{
        sample::{Sample, Talker},
        trace::recording::{Line, MAX_LINE_BYTES},
    };

    #[test]
    fn a_recording_is_for_its_owner_only() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("r.zst");
        let _recorder = Recorder::create(&path).expect("a recording");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    }

    #[test]
    fn nothing_in_the_files_place_is_overwritten() {
        let directory = tempfile::tempdir().expect("a directory");
        let (other, path) = (directory.path().join("other"), directory.path().join("r"));
        std::os::unix::fs::symlink(&other, &path).expect("a link");
        let error = Recorder::create(&path).err().expect("it is there");
        assert!(format!("{error:#}").contains("exists already"), "{error:#}");
        assert!(!other.exists());
    }

    #[test]
    fn a_recording_that_never_began_is_removed_and_no_other_file_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("r.zst");
        drop(Recorder::create(&path).expect("a recording"));
        assert!(!path.exists());
        let recorder = Recorder::create(&path).expect("a recording");
        fs::rename(&path, directory.path().join("moved")).expect("moved");
        fs::write(&path, "somebody else's").expect("written");
        drop(recorder);
        assert_eq!(fs::read(&path).expect("a file"), b"somebody else's");
    }

    #[test]
    fn no_line_is_longer_than_one_that_is_read() {
        let talker = Talker {
            exe: Some("/x".repeat(2_048).into()),
            cgroup_path: Some("/y".repeat(2_048).into()),
            ..Talker::default()
        };
        let bare = r#"{"at_ns": 1, "source": "bpf", "state": {"lost_is_apart": false}, "events": [],
            "shortfalls": {"missed": {}, "rare_missed": 0, "losses_unnamed": 0}}"#;
        let mut sample: Sample = serde_json::from_str(bare).expect("a sample");
        sample.talkers = Some(vec![talker; 16_384]);
        let line = Line::Sample(sample);
        let written = text(&line).expect("a line");
        assert!(written.len() as u64 <= MAX_LINE_BYTES, "{}", written.len());
        let read: Line = serde_json::from_slice(&written).expect("a line");
        assert!(
            matches!(read, Line::Sample(sample) if sample.talkers.as_ref().is_some_and(
                |talkers| talkers.len() == 16_384
            ))
        );
    }
}
