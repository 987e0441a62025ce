//! The recorder: samples go in, a recording file comes out, compressed and whole
//! up to the last sample at each moment.
//!
//! It must not end a trace: a disk that fills up ends the recording only, and the
//! summary says so.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use zstd::stream::write::Encoder;

use crate::{
    recording::{Begin, End, Line},
    sample::Sample,
};

/// Compression level: a sample a second costs nothing at any, and beyond it files
/// hardly get smaller.
const LEVEL: i32 = 9;

/// A recording under way.
pub(in crate::commands) struct Recorder {
    path: PathBuf,
    encoder: Option<Encoder<'static, BufWriter<File>>>,
    begun: bool,
    failure: Option<anyhow::Error>,
}

impl Recorder {
    /// Creates the file, which must not be there yet.
    pub(in crate::commands) fn create(path: &Path) -> Result<Self> {
        let cannot = || format!("cannot record to {}", path.display());
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    anyhow::anyhow!("it is there already; remove it, or name another file")
                }
                _ => error.into(),
            })
            .with_context(cannot)?;
        let mut encoder = Encoder::new(BufWriter::new(file), LEVEL).with_context(cannot)?;
        // What a disk changes is noticed once all is read.
        encoder.include_checksum(true).with_context(cannot)?;
        Ok(Self {
            path: path.to_owned(),
            encoder: Some(encoder),
            begun: false,
            failure: None,
        })
    }

    /// Writes what comes first.
    pub(in crate::commands) fn begin(&mut self, begin: &Begin, zero: &Sample) {
        self.begun = true;
        self.write(&Line::Begin(begin.clone()));
        self.sample(zero);
    }

    /// Writes a sample.
    pub(in crate::commands) fn sample(&mut self, sample: &Sample) {
        self.write(&Line::Sample(sample.clone()));
    }

    /// Writes what comes last; fails if anything of the recording could not be
    /// written.
    pub(in crate::commands) fn end(mut self, end: &End) -> Result<()> {
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
    pub(in crate::commands) fn note(&self) -> Option<String> {
        self.failure.as_ref().map(|error| format!("{error:#}"))
    }

    fn write(&mut self, line: &Line) {
        let Some(encoder) = &mut self.encoder else {
            return;
        };
        let written = serde_json::to_vec(line)
            .map_err(io::Error::from)
            .and_then(|mut text| {
                text.push(b'\n');
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
        let what = format!("the recording {} breaks off", self.path.display());
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
            let _ = fs::remove_file(&self.path);
        }
    }
}
