//! How audit rules are loaded at boot: a host's rules files and the facts that decide what becomes of them
//! come in, and what the kernel holds afterwards goes out, with the line that decides the backlog limit and
//! the line where the load stops.
//!
//! This follows the tools themselves, augenrules and `auditctl -R` of auditd 3.0.9, as measured with mawk and
//! with gawk; docs/persistence.md says what is modelled. It reads no file: what it has to know of paths, users
//! and groups it asks of a [`Lookup`].

#![forbid(unsafe_code)]

pub mod auditctl;
pub mod c_number;
pub mod compile;
pub mod draft;
pub mod edit;
pub mod field;
pub mod file_names;
pub mod host;
pub mod kernel;
pub mod load;
pub mod loader;
pub mod options;
pub mod outcome;
pub mod placement;
pub mod remarks;
pub mod tables;
#[cfg(test)]
pub(crate) mod tests;
pub mod text;
pub mod view;

use std::path::{Component, Path};

use serde::Serialize;

use self::{
    auditctl::Auditctl,
    outcome::{Layout, Lost, Remark, Stop},
};

/// Where augenrules finds its pieces.
pub const RULES_D: &str = "/etc/audit/rules.d";
/// What augenrules writes, and `auditctl -R` reads.
pub const AUDIT_RULES: &str = "/etc/audit/audit.rules";
/// Whether a path is that of a rules file: [`AUDIT_RULES`], or a name that augenrules takes in [`RULES_D`].
#[must_use]
pub fn is_rules_file(path: &Path) -> bool {
    let is_piece = path.parent() == Some(Path::new(RULES_D))
        && path
            .extension()
            .is_some_and(|extension| extension == "rules");
    // A path is compared by its parts: what it says is to be what it is.
    let has_dots = path
        .components()
        .any(|part| matches!(part, Component::ParentDir | Component::CurDir));
    (path == Path::new(AUDIT_RULES) || is_piece) && !has_dots
}

/// The most that one wait may be set to: 10 x 60 s.
pub const MOST_WAIT_SECONDS: u32 = 600;

/// The awk that augenrules runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Awk {
    /// Debian's default: `\s` is the letter s to it.
    Mawk,
    /// `\s` is a blank to it.
    Gawk,
}

/// The rules files of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// All entries of rules.d, whatever their names, in any order; `None` when it is no directory.
    pub rules_d: Option<Vec<Entry>>,
    /// audit.rules as it is now.
    pub audit_rules: AuditRules,
}

/// An entry of rules.d.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, bytes.
    pub name: Vec<u8>,
    /// Its content; `None` for what `cat` cannot print: a directory, a link to nowhere.
    pub content: Option<Vec<u8>>,
}

/// What is at the path of audit.rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuditRules {
    /// Nothing.
    #[default]
    Missing,
    /// A file.
    File {
        /// Its content.
        content: Vec<u8>,
        /// Its permissions, as in chmod(2).
        mode: u32,
        /// Its owner, a uid.
        owner: u32,
    },
    /// A directory, or what else is no file.
    NoFile,
}

/// The kernel's audit settings, as far as rules set them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// `backlog_limit`, records; 0 is unlimited.
    pub backlog_limit: u32,
    /// `backlog_wait_time`, jiffies.
    pub backlog_wait_time: u32,
    /// `enabled`: 0 off, 1 on, 2 on and immutable until reboot.
    pub enabled: u32,
    /// `failure`: 0 silent, 1 printk, 2 panic.
    pub failure: u32,
    /// `rate_limit`, records a second; 0 is none.
    pub rate_limit: u32,
}

impl Settings {
    /// What a kernel starts with.
    #[must_use]
    pub const fn of_kernel(hz: u32) -> Self {
        Self {
            backlog_limit: 64,
            backlog_wait_time: 60_u32.saturating_mul(hz),
            enabled: 0,
            failure: 1,
            rate_limit: 0,
        }
    }
}

/// The instruction set of the host, by the name that uname(1) has for it.
pub type Machine = tables::Machine;

/// What augenrules does that 3.0.9 does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Era {
    /// It takes a carriage return off the end of each line (since 3.1.1).
    pub strips_cr: bool,
}

/// What decides besides the files.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// The awk in use.
    pub awk: Awk,
    /// The era of augenrules.
    pub era: Era,
    /// Whether the locale of the load is one of UTF-8: gawk then takes more characters for blanks.
    pub utf8: bool,
    /// Timer ticks a second of the kernel: `backlog_wait_time` is in them.
    pub hz: u32,
    /// The settings before the load: the kernel's own, and those of its command line.
    pub before: Settings,
    /// The instruction set, for `arch=b64` and the names of system calls.
    pub machine: Machine,
    /// Paths, users and groups of the host.
    pub lookup: &'a dyn Lookup,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// To nothing.
    Nowhere,
    /// To a directory, links followed.
    Directory,
    /// To something else.
    File,
}

/// What rules ask of a host.
pub trait Lookup {
    /// What an absolute path leads to.
    fn path(&self, path: &[u8]) -> Leads;
    /// The uid of a user.
    fn user(&self, name: &[u8]) -> Option<u32>;
    /// The gid of a group.
    fn group(&self, name: &[u8]) -> Option<u32>;
    /// Whether a rule may ask for this text as `subj_role`; `AppArmor` wants the name of a profile there, and other
    /// security modules take anything.
    fn is_label(&self, text: &[u8]) -> bool;
}

/// A line of a file of the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file's path.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// What a boot would leave in the kernel, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Boot {
    /// The settings after the load.
    #[serde(flatten)]
    pub settings: Settings,
    /// The line that set the backlog limit, where it stands on the host; `None` when no line does.
    pub decided_by: Option<Place>,
    /// The line that set the wait time.
    pub wait_decided_by: Option<Place>,
    /// Where the load stops before its end.
    pub stopped_at: Option<Stop>,
    /// Errors that the load went on after, by `-i` or `-c`.
    pub passed_over: Vec<Stop>,
    /// What is never run since the load stops.
    pub lost: Vec<Lost>,
    /// What a reader should know.
    pub remarks: Vec<Remark>,
    /// How audit.rules comes about.
    pub layout: Layout,
    /// audit.rules as it is when it is loaded; `None` when there is none.
    #[serde(skip)]
    pub compiled: Option<Vec<u8>>,
    /// Rules that are in the kernel afterwards.
    pub rules: usize,
}

/// What a boot would leave in the kernel.
#[must_use]
pub fn boot(tree: &Tree, host: &Host) -> Boot {
    let stripped = host.era.strips_cr.then(|| compile::without_cr(tree));
    let tree = stripped.as_ref().unwrap_or(tree);
    let source = compile::source(tree, host.awk, host.utf8);
    let mut auditctl = Auditctl::new(host);
    let run = load::run(&source, &mut auditctl);
    let mut boot = Boot {
        settings: auditctl.kernel.settings,
        decided_by: auditctl.limit_set_by,
        wait_decided_by: auditctl.wait_set_by,
        stopped_at: run.stopped_at,
        passed_over: run.passed_over,
        lost: run.lost,
        remarks: Vec::new(),
        layout: source.layout,
        rules: auditctl.kernel.rule_count(),
        compiled: source.content,
    };
    boot.remarks = remarks::of(tree, host, &boot);
    boot
}
