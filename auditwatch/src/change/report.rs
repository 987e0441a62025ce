//! What `apply`, `undo` and `history` tell: plain data, which users' scripts read as JSON.
//!
//! Keys are only ever added; what was not measured is `None`. Made by `commands`, shown by `render`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::change::{
    journal::{SettingChange, State, Target, Why},
    preflight::{Finding, Runtime},
    regression::Relapse,
    revert::Parts,
};

/// A file of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Where it is, within the root.
    pub path: PathBuf,
    /// Whether it is new.
    pub created: bool,
    /// What changes, as a unified diff.
    pub diff: String,
}

/// What the next boot brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtBootReport {
    /// Backlog limit, records.
    pub backlog_limit: Option<u32>,
    /// Backlog wait time, jiffies.
    pub backlog_wait_time: Option<u32>,
    /// Timer ticks a second, for the wait time; `None` where they are not known.
    #[serde(default)]
    pub hz: Option<u32>,
    /// 0 off, 1 on, 2 on and locked.
    pub enabled: Option<u32>,
    /// Rules in the kernel after the load.
    #[serde(default)]
    pub rules: Option<u64>,
    /// What decides the limit: file and line, in words.
    pub decided_by: Option<String>,
    /// Where the load stops and why, in words.
    pub stopped_at: Option<String>,
}

/// `apply`, the kind of a [`ApplyReport`]: no other is written, and a line of another is not read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApplyKind {
    /// The only one.
    Apply,
}

/// What `apply` has done, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApplyReport {
    /// Always `apply`.
    pub kind: ApplyKind,
    /// Version of this format; keys are only ever added to it.
    pub schema: u32,
    /// Whether nothing was to be done.
    pub dry_run: bool,
    /// Number of the change; `None` where there was none to make.
    pub id: Option<u64>,
    /// How far it got.
    pub state: Option<State>,
    /// What was asked for.
    pub target: Target,
    /// Why.
    pub why: Why,
    /// The mounted disk that was edited.
    pub root: Option<PathBuf>,
    /// What of the running kernel is changed.
    pub runtime: Runtime,
    /// Its settings.
    pub settings: Vec<SettingChange>,
    /// Files.
    pub files: Vec<FileReport>,
    /// What the next boot would have brought.
    pub at_boot_before: Option<AtBootReport>,
    /// What the next boot brings now.
    pub at_boot: Option<AtBootReport>,
    /// Whether the running kernel gets it only by a reboot.
    pub pending_reboot: bool,
    /// What the preflight found.
    pub findings: Vec<Finding>,
    /// What came of looking on.
    pub watch: Option<Relapse>,
    /// What is left to be done by hand, as commands.
    pub by_hand: Vec<String>,
    /// The command that takes it back.
    pub undo: Option<String>,
}

/// `undo`, the kind of a [`UndoReport`]: no other is written, and a line of another is not read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UndoKind {
    /// The only one.
    Undo,
}

/// What `undo` has done, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UndoReport {
    /// Always `undo`.
    pub kind: UndoKind,
    /// Version of this format; keys are only ever added to it.
    pub schema: u32,
    /// Whether nothing was to be done.
    pub dry_run: bool,
    /// Number of the change.
    pub id: u64,
    /// How far it got.
    pub state: State,
    /// How its parts stood.
    pub parts: Parts,
    /// What had to stay, and why.
    pub stays: Vec<String>,
}
