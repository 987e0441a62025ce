//! The keeper: a process that restores the host when the bench ends, however it does.
//!
//! In: the changes, each before it is made, on a pipe. Out: the host as it was, once
//! the bench asks for it or its end of the pipe closes. Where keeper and bench are
//! both killed, the journal on disk is left for the next one. It must outlive
//! signals that end the bench.

use std::{
    io::{self, BufRead, BufReader, Write as _},
    os::fd::RawFd,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{
    changes::{Changes, Settings},
    child,
    directory::remove_leftovers,
    journal,
    lock::Lock,
    restore::restore,
};

use crate::untrusted::{message, shown};

/// What the keeper is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    /// All changes so far, and the next.
    Changes(Changes),
    /// Restore now.
    Restore,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    /// The journal stands.
    Noted,
    /// All is as it was.
    Restored,
    /// It is not, and why.
    Failed(String),
}

/// The bench's side: changes are announced here before they are made.
#[derive(Debug)]
pub struct Keeper {
    process: Child,
    words: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
    changes: Changes,
    restored: bool,
    /// Held until the keeper has ended.
    lock: Lock,
}

impl Keeper {
    /// Starts one, which shares the lock. What an earlier bench left behind is restored first.
    ///
    /// # Errors
    /// When that fails.
    pub fn start(lock: Lock) -> Result<Self> {
        if let Some(changes) = recover(&lock)? {
            let what = changes.in_words();
            let _ = writeln!(
                io::stderr(),
                "auditwatch: an earlier bench was killed; restored now: {}",
                shown(&what)
            );
        }
        let mut process = lock
            .share(|fd| {
                Command::new("/proc/self/exe")
                    .args(["bench", "keeper", "--lock", &fd.to_string()])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
            })
            .context("cannot start the keeper of the audit settings")?;
        let words = process.stdin.take();
        let replies = process.stdout.take().context("the keeper has no output")?;
        Ok(Self {
            process,
            words,
            replies: BufReader::new(replies),
            changes: Changes::default(),
            restored: false,
            lock,
        })
    }

    /// Announces a change: once this returns, the host will be restored whatever
    /// becomes of this process.
    ///
    /// # Errors
    /// When the keeper is gone, or cannot write the journal.
    pub fn announce(&mut self, change: impl FnOnce(&mut Changes)) -> Result<()> {
        change(&mut self.changes);
        let word = Word::Changes(self.changes.clone());
        match self.say(&word)? {
            Reply::Noted => Ok(()),
            Reply::Failed(why) => bail!(why),
            Reply::Restored => bail!("the keeper has restored the settings too early"),
        }
    }

    /// The settings as they were, once they were announced.
    #[must_use]
    pub const fn settings(&self) -> Option<Settings> {
        self.changes.settings
    }

    /// Has the host restored.
    ///
    /// # Errors
    /// When something could not be.
    pub fn restore(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        if self.restored {
            return Ok(());
        }
        self.restored = true;
        let outcome = match self.say(&Word::Restore) {
            Ok(Reply::Restored) => Ok(()),
            Ok(Reply::Failed(why)) => Err(anyhow::anyhow!(why)),
            // It was killed.
            Ok(Reply::Noted) | Err(_) => {
                restore(&self.changes, &self.lock).and_then(|()| journal::remove())
            }
        };
        self.words = None;
        let _ = self.process.wait();
        outcome
    }

    fn say(&mut self, word: &Word) -> Result<Reply> {
        let gone = "the keeper of the audit settings is gone";
        let words = self.words.as_mut().context(gone)?;
        let mut line = serde_json::to_vec(word)?;
        line.push(b'\n');
        words.write_all(&line).context(gone)?;
        let mut answer = String::new();
        self.replies.read_line(&mut answer).context(gone)?;
        ensure!(!answer.is_empty(), gone);
        serde_json::from_str(&answer).context("cannot parse the keeper's answer")
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            let _ = writeln!(
                io::stderr(),
                "auditwatch: {}",
                message(&format!("{error:#}"))
            );
        }
    }
}

/// The keeper's side.
///
/// # Errors
/// When the host could not be restored.
pub fn run(lock: RawFd) -> Result<()> {
    let lock = Lock::inherited(lock)?;
    child::name(c"aw-keeper");
    child::ignore_endings();
    // SAFETY: takes no numbers. A group of its own, which no terminal signals.
    unsafe { libc::setsid() };
    let mut changes = Changes::default();
    let mut out = io::stdout().lock();
    let mut reply = |reply: Reply| {
        // Whoever does not listen any more is gone, which the next read tells.
        let _ = serde_json::to_writer(&mut out, &reply)
            .map_err(io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush());
    };
    for line in io::stdin().lock().lines() {
        let Ok(word) = line
            .map_err(anyhow::Error::from)
            .and_then(|line| Ok(serde_json::from_str(&line)?))
        else {
            break;
        };
        match word {
            Word::Changes(more) => {
                changes = more;
                reply(match journal::write(&changes) {
                    Ok(()) => Reply::Noted,
                    Err(error) => Reply::Failed(format!("{error:#}")),
                });
            }
            Word::Restore => {
                let outcome = restore(&changes, &lock).and_then(|()| journal::remove());
                reply(match &outcome {
                    Ok(()) => Reply::Restored,
                    Err(error) => Reply::Failed(format!("{error:#}")),
                });
                return Ok(());
            }
        }
    }
    restore(&changes, &lock).and_then(|()| journal::remove())
}

/// Restores what a bench left behind that was killed with its keeper; returns that, if there is something.
///
/// # Errors
/// When the journal cannot be read or trusted, or the host not restored.
pub fn recover(lock: &Lock) -> Result<Option<Changes>> {
    let mut found = None;
    if let Some(journal) = journal::read()? {
        restore(&journal.changes, lock)
            .context("an earlier bench was killed; /run/auditwatch/bench.json lists its changes")?;
        journal::remove()?;
        found = Some(journal.changes);
    }
    // The journal ends with the boot, and the files do not.
    let files = remove_leftovers()?;
    if !files.is_empty() {
        found.get_or_insert_default().directories.extend(files);
    }
    Ok(found)
}
