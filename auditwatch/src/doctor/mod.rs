//! The diagnosis: can this host be traced, and what to do where it cannot.
//!
//! In: facts, and what came of trying. Out: [`Diagnosis`]. Pure.

#![forbid(unsafe_code)]

mod findings;

use serde::{Deserialize, Serialize};

use crate::{
    auditd::registered::Registered,
    hooks::health::HookReport,
    kernel::{cmdline::AuditBoot, privileges::Privileges},
    netlink::status::AuditStatus,
    sample::footprint::Footprint,
    units::counted,
};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// Something is measured less well, or is dangerous here.
    Warning,
    /// This host cannot be traced by BPF because of it.
    Blocker,
}

impl Severity {
    /// Its name, as in the report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Blocker => "blocker",
        }
    }
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about.
    pub topic: String,
    /// How much it matters.
    pub severity: Severity,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// Whether the host can be traced, and all that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Whether `auditwatch trace` counts here.
    pub usable: bool,
    /// Whether `--source poll` works here.
    pub pollable: bool,
    /// What was found, in the order in which it matters.
    pub findings: Vec<Finding>,
    /// What became of each hook; empty where none could be tried.
    pub hooks: Vec<HookReport>,
    /// All of it in one line.
    pub verdict: String,
}

/// What a diagnosis rests on. `None`: not known.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Kernel release.
    pub release: Option<String>,
    /// Ticks a second.
    pub hz: Option<u32>,
    /// What this process may do.
    pub privileges: Privileges,
    /// The kernel's lockdown mode.
    pub lockdown: Option<String>,
    /// Security modules in force.
    pub lsm: Option<Vec<String>>,
    /// `kernel.kptr_restrict`.
    pub kptr_restrict: Option<u32>,
    /// `kernel.perf_event_paranoid`.
    pub perf_event_paranoid: Option<u32>,
    /// What makes this look like a container.
    pub container: Option<String>,
    /// Audit's boot options.
    pub boot: Option<AuditBoot>,
    /// The kernel's types can be read; else why not.
    pub btf: Option<Result<(), String>>,
    /// What kallsyms shows.
    pub symbols: SymbolView,
    /// Whether the kernel offers kprobes.
    pub kprobes: Option<bool>,
    /// Functions that the compiler split, by the names of their parts.
    pub splits: Vec<String>,
    /// The hooks as they were attached and detached again, or why none was.
    pub hooks: Option<Result<Vec<HookReport>, String>>,
    /// What netlink answered; `None` if it was not asked.
    pub netlink: Option<Result<AuditStatus, String>>,
    /// Whether the kernel's variables can be read from its memory.
    pub reads_memory: bool,
    /// What trying the hooks added to the audit trail.
    pub own: Option<Footprint>,
    /// 0 off, 1 on, 2 on and locked, where something besides netlink told it.
    pub enabled: Option<u32>,
    /// Who is registered as auditd.
    pub auditd: Option<Registered>,
}

impl Inputs {
    /// Whether `--source poll` works here.
    #[must_use]
    pub const fn can_poll(&self) -> bool {
        self.reads_memory || matches!(self.netlink, Some(Ok(_)))
    }
}

/// What `/proc/kallsyms` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SymbolView {
    /// Nothing.
    #[default]
    Unreadable,
    /// Names without addresses.
    Hidden,
    /// Functions, but no variables: built without `CONFIG_KALLSYMS_ALL`.
    FunctionsOnly,
    /// Functions and variables.
    Full,
}

/// Diagnoses the host.
#[must_use]
pub fn diagnose(inputs: Inputs) -> Diagnosis {
    let findings = findings::all(&inputs);
    let usable = matches!(inputs.hooks, Some(Ok(_)))
        && findings
            .iter()
            .all(|finding| finding.severity != Severity::Blocker);
    let pollable = inputs.can_poll();
    let verdict = verdict(&inputs, &findings, pollable);
    let hooks = match inputs.hooks {
        Some(Ok(hooks)) => hooks,
        _ => Vec::new(),
    };
    Diagnosis {
        usable,
        pollable,
        findings,
        hooks,
        verdict,
    }
}

fn verdict(inputs: &Inputs, findings: &[Finding], pollable: bool) -> String {
    let blocker = findings
        .iter()
        .find(|finding| finding.severity == Severity::Blocker);
    if let (Some(Ok(_)), Some(blocker)) = (&inputs.hooks, blocker) {
        return format!("not usable: {}", blocker.text);
    }
    match &inputs.hooks {
        Some(Ok(hooks)) => {
            let warnings = findings
                .iter()
                .filter(|finding| finding.severity == Severity::Warning)
                .count();
            format!(
                "usable: {}; {}",
                crate::hooks::health::roll_up(hooks),
                counted(warnings as u64, "warning")
            )
        }
        Some(Err(cause)) if pollable => {
            format!("not usable by BPF: {cause}; `auditwatch trace --source poll` works")
        }
        Some(Err(cause)) => format!("not usable: {cause}"),
        None => "not usable: BPF was not tried".to_owned(),
    }
}
