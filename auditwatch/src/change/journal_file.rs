//! The journal's file: one writer at a time, each line on disk before the next step.
//!
//! In: lines. Out: the [`Journal`] so far. The file is only ever appended to, but for a
//! last line that a crash has cut, which is taken away before the next one is written.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::{self, FallocateFlags, FlockOperation, Mode, OFlags},
    io::Errno,
};
use thiserror::Error;

use crate::{
    change::journal::{Journal, JournalError, Line, Plan, State},
    files::root::Root,
};

/// Where it is, within the root.
pub const PATH: &str = "/var/lib/auditwatch/journal.jsonl";
/// Room that is kept for the lines of a change's later steps, so that a disk that fills up meanwhile
/// does not keep them from being written, bytes.
const RESERVE_BYTES: u64 = 16 << 10;

/// What can go wrong with it.
#[derive(Debug, Error)]
pub enum JournalFileError {
    /// It cannot be read or written.
    #[error("cannot {action} the journal {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where it is, as seen from outside of the root.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Somebody else writes to it.
    #[error(
        "another auditwatch is changing the settings (the journal {} is locked); wait until it ends",
        path.display()
    )]
    Busy {
        /// Where it is.
        path: PathBuf,
    },
    /// It makes no sense.
    #[error("the journal {} is damaged; move it away to continue without its history", path.display())]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: JournalError,
    },
}

/// Reads the journal; empty where there is none.
///
/// # Errors
/// When it cannot be read, or is damaged.
pub fn read(root: &Root) -> Result<Journal, JournalFileError> {
    let path = root.outside(Path::new(PATH));
    match root.read(Path::new(PATH)) {
        Ok(bytes) => {
            Journal::parse(&bytes).map_err(|source| JournalFileError::Damaged { path, source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Journal::default()),
        Err(source) => Err(JournalFileError::Io {
            action: "read",
            path,
            source,
        }),
    }
}

/// The journal, open to be written to; nobody else writes meanwhile.
#[derive(Debug)]
pub struct JournalFile {
    file: File,
    path: PathBuf,
    journal: Journal,
}

impl JournalFile {
    /// Opens it, and makes it where there is none.
    ///
    /// # Errors
    /// When it cannot be made or read, is damaged, or somebody else writes to it.
    pub fn open(root: &Root) -> Result<Self, JournalFileError> {
        let path = root.outside(Path::new(PATH));
        let failed = |action| {
            let path = path.clone();
            move |source| JournalFileError::Io {
                action,
                path,
                source,
            }
        };
        let mut file = create(root).map_err(failed("create"))?;
        match fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(JournalFileError::Busy { path }),
            locked => locked.map_err(|error| failed("lock")(error.into()))?,
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("read"))?;
        let journal = Journal::parse(&bytes).map_err(|source| JournalFileError::Damaged {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            file,
            path,
            journal,
        })
    }

    /// What stands in it.
    #[must_use]
    pub const fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Writes down a new change, before anything is done; returns its number.
    ///
    /// # Errors
    /// When it cannot be written: then nothing of it stands there.
    pub fn begin(&mut self, plan: Plan) -> Result<u64, JournalFileError> {
        let id = self.journal.next_id();
        self.append(&Line {
            id,
            at_ms: now_ms(),
            state: State::Planned,
            note: None,
            plan: Some(plan),
        })?;
        // Where the file system cannot, the later lines have to find their own room.
        let _ = fs::fallocate(
            &self.file,
            FallocateFlags::KEEP_SIZE,
            self.journal.whole_bytes,
            RESERVE_BYTES,
        );
        Ok(id)
    }

    /// Writes down what a change came to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn step(
        &mut self,
        id: u64,
        state: State,
        note: Option<String>,
    ) -> Result<(), JournalFileError> {
        self.append(&Line {
            id,
            at_ms: now_ms(),
            state,
            note,
            plan: None,
        })
    }

    fn append(&mut self, line: &Line) -> Result<(), JournalFileError> {
        let end = self.journal.whole_bytes;
        let mut text = serde_json::to_vec(line).map_err(|error| self.failed(error.into()))?;
        text.push(b'\n');
        let written = self
            .file
            .set_len(end)
            .and_then(|()| self.file.write_all_at(&text, end))
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line would be ignored; none is better.
            let _ = self.file.set_len(end);
            return Err(self.failed(error));
        }
        self.reread()
    }

    fn reread(&mut self) -> Result<(), JournalFileError> {
        let mut bytes = Vec::new();
        self.file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.read_to_end(&mut bytes))
            .map_err(|error| self.failed(error))?;
        self.journal = Journal::parse(&bytes).map_err(|source| JournalFileError::Damaged {
            path: self.path.clone(),
            source,
        })?;
        Ok(())
    }

    fn failed(&self, source: io::Error) -> JournalFileError {
        JournalFileError::Io {
            action: "write to",
            path: self.path.clone(),
            source,
        }
    }
}

/// Opens the file, with the directories above it; a new name is on disk before it is used.
fn create(root: &Root) -> io::Result<File> {
    let path = Path::new(PATH);
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    for pair in above.windows(2) {
        let [parent, directory] = pair else { continue };
        let parent = root.open_to_change(parent)?;
        let name = directory.file_name().unwrap_or_default();
        match fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => parent.sync_all()?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let flags = OFlags::RDWR
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let directory = root.open_to_change(path.parent().unwrap_or(path))?;
    let name = path.file_name().unwrap_or_default();
    // It says what rules there are: for root alone.
    let file = fs::openat(&directory, name, flags, Mode::from_raw_mode(0o600))?;
    let file = File::from(file);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    directory.sync_all()?;
    Ok(file)
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::change::journal;

    fn plan() -> Plan {
        Plan {
            settings: Vec::new(),
            files: Vec::new(),
            ..journal::tests::plan()
        }
    }

    #[test]
    fn steps_are_there_for_the_next_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = Root::open(directory.path()).expect("the root");
        assert_eq!(read(&root).expect("none"), Journal::default());
        let mut file = JournalFile::open(&root).expect("a journal");
        assert_eq!(file.begin(plan()).expect("written"), 1);
        assert!(matches!(
            JournalFile::open(&root),
            Err(JournalFileError::Busy { .. })
        ));
        file.step(1, State::Verified, Some("done".to_owned()))
            .expect("written");
        drop(file);
        let mut file = JournalFile::open(&root).expect("the same");
        assert_eq!(file.journal().changes[0].state, State::Verified);
        assert_eq!(file.begin(plan()).expect("written"), 2);
    }

    #[test]
    fn a_line_that_was_cut_is_taken_away() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = Root::open(directory.path()).expect("the root");
        JournalFile::open(&root)
            .expect("a journal")
            .begin(plan())
            .expect("written");
        let path = root.outside(Path::new(PATH));
        let mut bytes = fs::read(&path).expect("it is there");
        bytes.extend(b"{\"id\":1,\"at");
        fs::write(&path, &bytes).expect("written");
        let mut file = JournalFile::open(&root).expect("cut, not damaged");
        assert_eq!(file.journal().changes[0].state, State::Planned);
        file.step(1, State::Failed, None).expect("written");
        drop(file);
        assert_eq!(read(&root).expect("whole").changes[0].state, State::Failed);
        fs::write(&path, "nonsense\n").expect("written");
        assert!(matches!(read(&root), Err(JournalFileError::Damaged { .. })));
    }

    #[test]
    fn journal_that_is_not_a_file_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = Root::open(directory.path()).expect("the root");
        fs::create_dir_all(root.outside(Path::new(PATH))).expect("a directory in its place");
        assert!(matches!(
            JournalFile::open(&root),
            Err(JournalFileError::Io { .. })
        ));
    }
}
