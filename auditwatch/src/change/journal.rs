//! The journal of changes: what was changed, why, by whom, and how far it got.
//!
//! In: the bytes of the journal's file. Out: [`Change`]s, the latest state of each.
//! Pure, plain data: the file itself is `journal_file`'s. A line is one step of one
//! change, written before the step is taken or right after it; a last line without
//! its end was cut by a crash and never counted.

use std::{fmt::Write as _, path::PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::untrusted::Untrusted;

/// How far a change got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It stands in the journal; nothing may have been done yet.
    Planned,
    /// The running kernel has the new values.
    RuntimeSet,
    /// The files have them too.
    Persisted,
    /// All of it is done, and was looked at.
    Verified,
    /// It is being taken back.
    Reverting,
    /// It was taken back.
    Reverted,
    /// It failed, and nothing of it is in force.
    Failed,
}

impl State {
    /// The state's name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::RuntimeSet => "runtime_set",
            Self::Persisted => "persisted",
            Self::Verified => "verified",
            Self::Reverting => "reverting",
            Self::Reverted => "reverted",
            Self::Failed => "failed",
        }
    }

    /// Whether something may still have to be done: a change that stands here while
    /// nobody works on it was interrupted.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(
            self,
            Self::Planned | Self::RuntimeSet | Self::Persisted | Self::Reverting
        )
    }

    /// Whether nothing of it is in force any more.
    #[must_use]
    pub const fn is_undone(self) -> bool {
        matches!(self, Self::Reverted | Self::Failed)
    }
}

/// What kind of change it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// `auditwatch apply`.
    Apply,
    /// `auditwatch rescue`.
    Rescue,
}

/// A setting of the kernel, by its name in `auditctl -s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Records; 0 for no limit.
    BacklogLimit,
    /// Jiffies.
    BacklogWaitTime,
}

impl Field {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BacklogLimit => "backlog_limit",
            Self::BacklogWaitTime => "backlog_wait_time",
        }
    }
}

/// A setting of the running kernel that is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChange {
    /// Which.
    pub field: Field,
    /// Value before.
    pub old: u32,
    /// Value that is set.
    pub new: u32,
}

/// The bytes of a file, as text where they are that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// UTF-8.
    Text(String),
    /// Two hexadecimal digits a byte.
    Hex(String),
}

impl Content {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Hex(bytes.iter().fold(String::new(), |mut digits, byte| {
                // Writing to a string cannot fail.
                let _ = write!(digits, "{byte:02x}");
                digits
            })),
        }
    }

    /// The bytes; `None` where the digits make no sense.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.clone().into_bytes()),
            Self::Hex(digits) => {
                let pairs = digits.as_bytes().chunks(2);
                let byte = |pair: &[u8]| {
                    let text = std::str::from_utf8(pair)
                        .ok()
                        .filter(|text| text.len() == 2)?;
                    u8::from_str_radix(text, 16).ok()
                };
                pairs.map(byte).collect()
            }
        }
    }
}

/// A file that is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Where it is, as seen within the root.
    pub path: PathBuf,
    /// What it was; `None` where there was none.
    pub before: Option<Content>,
    /// What it is to be.
    pub after: Content,
}

/// Who made a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// User id of the process.
    pub uid: u32,
    /// User id of the login that it came from; `None` where there was none.
    pub loginuid: Option<u32>,
    /// `SUDO_USER`.
    pub sudo_user: Option<Untrusted>,
    /// Process id.
    pub pid: u32,
    /// The command line.
    pub command: Vec<Untrusted>,
}

/// Why a change is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// What it rests on: a number that was given, a recording, this host watched.
    pub evidence: String,
    /// The recommendation's reasons.
    pub reasons: Vec<String>,
}

/// What a change is to bring about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Backlog limit, records; `None` to leave it.
    pub backlog_limit: Option<u32>,
    /// Backlog wait time, jiffies; `None` to leave it.
    pub backlog_wait_time: Option<u32>,
    /// In the running kernel.
    pub runtime: bool,
    /// At the next boot.
    pub persist: bool,
}

/// All that a change needs to be done, finished or taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What kind it is.
    pub purpose: Purpose,
    /// Who.
    pub by: By,
    /// Why.
    pub why: Why,
    /// What was asked for.
    pub target: Target,
    /// The running kernel's settings, in the order that they are set.
    pub settings: Vec<SettingChange>,
    /// Files.
    pub files: Vec<FileChange>,
    /// Whether the running kernel could not be changed, so that the next boot brings it.
    pub pending_reboot: bool,
}

/// One line of the journal: a step of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The change's number, from 1.
    pub id: u64,
    /// When, ms since 1970.
    pub at_ms: u64,
    /// What it came to.
    pub state: State,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The plan, in the first line of a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}

/// A change, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Its number, from 1.
    pub id: u64,
    /// When it was planned, ms since 1970.
    pub at_ms: u64,
    /// How far it got.
    pub state: State,
    /// When it got there, ms since 1970.
    pub state_at_ms: u64,
    /// What was said on the way.
    pub notes: Vec<String>,
    /// The plan.
    pub plan: Plan,
}

/// What is wrong with a journal.
#[derive(Debug, Error)]
pub enum JournalError {
    /// A line makes no sense.
    #[error("line {number}: cannot parse")]
    Line {
        /// Its number, from 1.
        number: usize,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A step of a change that was never planned.
    #[error("line {number}: no plan for change {id} in an earlier line")]
    Unplanned {
        /// Its number, from 1.
        number: usize,
        /// The change.
        id: u64,
    },
}

/// All changes, in the order they were planned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Journal {
    /// The changes.
    pub changes: Vec<Change>,
    /// Bytes up to the end of the last whole line.
    pub whole_bytes: u64,
}

impl Journal {
    /// Reads the file's bytes.
    ///
    /// # Errors
    /// When a whole line makes no sense.
    pub fn parse(bytes: &[u8]) -> Result<Self, JournalError> {
        let whole = memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1);
        let mut changes: Vec<Change> = Vec::new();
        let lines = bytes
            .get(..whole)
            .unwrap_or_default()
            .split(|&byte| byte == b'\n');
        for (number, text) in (1..).zip(lines).filter(|(_, text)| !text.is_empty()) {
            let line: Line = serde_json::from_slice(text)
                .map_err(|source| JournalError::Line { number, source })?;
            let known = changes.iter_mut().find(|change| change.id == line.id);
            match (known, line.plan) {
                (None, Some(plan)) => changes.push(Change {
                    id: line.id,
                    at_ms: line.at_ms,
                    state: line.state,
                    state_at_ms: line.at_ms,
                    notes: line.note.into_iter().collect(),
                    plan,
                }),
                (Some(change), _) => {
                    change.state = line.state;
                    change.state_at_ms = line.at_ms;
                    change.notes.extend(line.note);
                }
                (None, None) => {
                    let id = line.id;
                    return Err(JournalError::Unplanned { number, id });
                }
            }
        }
        Ok(Self {
            changes,
            whole_bytes: u64::try_from(whole).unwrap_or(u64::MAX),
        })
    }

    /// The number of the next change.
    #[must_use]
    pub fn next_id(&self) -> u64 {
        self.changes
            .iter()
            .map(|change| change.id)
            .max()
            .unwrap_or(0)
            + 1
    }

    /// The change that was interrupted, if there is one: the last that is open.
    #[must_use]
    pub fn interrupted(&self) -> Option<&Change> {
        self.changes
            .iter()
            .rev()
            .find(|change| change.state.is_open())
    }

    /// The change to take back: of that number, or the last one in force.
    #[must_use]
    pub fn to_undo(&self, id: Option<u64>) -> Option<&Change> {
        let mut latest_first = self.changes.iter().rev();
        match id {
            Some(id) => latest_first.find(|change| change.id == id),
            None => latest_first.find(|change| !change.state.is_undone()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
