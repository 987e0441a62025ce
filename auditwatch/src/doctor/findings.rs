//! Findings, each a pure function of what was read and tried.

use super::{Finding, Inputs, Severity, SymbolView};
use crate::{auditd::registered, hooks::health::Verdict};

/// Everything found, blockers first.
pub(super) fn all(inputs: &Inputs) -> Vec<Finding> {
    let mut findings: Vec<Finding> = [
        audit_off(inputs),
        auditing_off(inputs),
        consumer(inputs),
        programs(inputs),
        capabilities(inputs),
        lockdown(inputs),
        security_modules(inputs),
        user_namespace(inputs),
        pid_namespace(inputs),
        container(inputs),
        types(inputs),
        Some(symbols(inputs)),
        kprobes(inputs),
        splits(inputs),
        hooks(inputs),
        netlink(inputs),
        locked(inputs),
        panics(inputs),
        silent_loss(inputs),
        Some(clock(inputs)),
        own_records(inputs),
    ]
    .into_iter()
    .flatten()
    .collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

fn finding(topic: &str, severity: Severity, text: impl Into<String>) -> Finding {
    Finding {
        topic: topic.to_owned(),
        severity,
        text: text.into(),
        remedy: None,
    }
}

impl Finding {
    fn remedy(mut self, remedy: &str) -> Self {
        self.remedy = Some(remedy.to_owned());
        self
    }
}

/// A trait blocks only what did not work all the same.
fn severity_of_lack(inputs: &Inputs) -> Severity {
    if matches!(inputs.hooks, Some(Ok(_))) {
        Severity::Note
    } else {
        Severity::Blocker
    }
}

/// What a trace adds to the audit trail, by what this look has added.
fn own_records(inputs: &Inputs) -> Option<Finding> {
    let own = inputs.own.filter(|own| own.programs > 0)?;
    let is_lossy = own.lost.is_some_and(|lost| lost > 0);
    let severity = [Severity::Note, Severity::Warning][usize::from(is_lossy)];
    Some(finding("own", severity, own.sentence()))
}

fn audit_off(inputs: &Inputs) -> Option<Finding> {
    inputs.boot.as_ref().filter(|boot| boot.off)?;
    Some(
        finding(
            "audit=0",
            Severity::Blocker,
            "the kernel was booted with audit=0 and makes no audit records",
        )
        .remedy("remove audit=0 from the kernel command line and reboot"),
    )
}

/// Auditing that was switched off since the boot, or never switched on.
fn auditing_off(inputs: &Inputs) -> Option<Finding> {
    let by_netlink = || Some(inputs.netlink.as_ref()?.as_ref().ok()?.enabled);
    let warning = registered::auditing_off(inputs.enabled.or_else(by_netlink))?;
    Some(finding("enabled", Severity::Warning, warning.text).remedy(&warning.remedy))
}

/// The process that is to take the records.
fn consumer(inputs: &Inputs) -> Option<Finding> {
    let auditd = inputs.auditd.as_ref()?;
    Some(match auditd.warning() {
        None => finding(
            "auditd",
            Severity::Ok,
            format!("{} is registered", auditd.name()),
        ),
        Some(warning) => finding("auditd", Severity::Warning, warning.text).remedy(&warning.remedy),
    })
}

fn programs(inputs: &Inputs) -> Option<Finding> {
    let Some(Err(cause)) = &inputs.hooks else {
        return None;
    };
    let remedy = if inputs.can_poll() {
        "see the findings below for the cause; `auditwatch trace --source poll` needs no BPF"
    } else {
        "see the findings below for the cause"
    };
    Some(finding("bpf", Severity::Blocker, cause.clone()).remedy(remedy))
}

fn capabilities(inputs: &Inputs) -> Option<Finding> {
    let privileges = &inputs.privileges;
    let admin = privileges.has("CAP_SYS_ADMIN")?;
    let lacking: Vec<&str> = ["CAP_BPF", "CAP_PERFMON", "CAP_SYSLOG", "CAP_AUDIT_CONTROL"]
        .into_iter()
        .filter(|name| {
            let implied = admin && matches!(*name, "CAP_BPF" | "CAP_PERFMON");
            !implied && privileges.has(name) == Some(false)
        })
        .collect();
    Some(if lacking.is_empty() {
        finding("capabilities", Severity::Ok, "all that are needed")
    } else {
        let blocks = lacking
            .iter()
            .any(|name| matches!(*name, "CAP_BPF" | "CAP_PERFMON"));
        let severity = if blocks {
            severity_of_lack(inputs)
        } else {
            Severity::Warning
        };
        finding(
            "capabilities",
            severity,
            format!("this process lacks {}", lacking.join(", ")),
        )
        .remedy("run it as root (sudo auditwatch ...); in a container add the capabilities")
    })
}

fn lockdown(inputs: &Inputs) -> Option<Finding> {
    Some(match inputs.lockdown.as_deref()? {
        "confidentiality" => finding(
            "lockdown",
            severity_of_lack(inputs),
            "the kernel is locked down for confidentiality: BPF may not read kernel memory",
        )
        .remedy("boot with lockdown=integrity, or use --source poll"),
        mode => finding(
            "lockdown",
            Severity::Ok,
            format!("{mode}: BPF may read kernel memory"),
        ),
    })
}

fn security_modules(inputs: &Inputs) -> Option<Finding> {
    let modules = inputs.lsm.as_ref()?;
    let strict: Vec<&str> = modules
        .iter()
        .map(String::as_str)
        .filter(|name| matches!(*name, "selinux" | "apparmor" | "smack" | "tomoyo" | "bpf"))
        .collect();
    if strict.is_empty() || matches!(inputs.hooks, Some(Ok(_))) {
        return Some(finding("lsm", Severity::Ok, modules.join(", ")));
    }
    Some(
        finding(
            "lsm",
            Severity::Note,
            format!("{} may refuse BPF to this process", strict.join(", ")),
        )
        .remedy("look for denials in the kernel log, and allow bpf and perfmon to auditwatch"),
    )
}

fn user_namespace(inputs: &Inputs) -> Option<Finding> {
    Some(if inputs.privileges.initial_user_namespace? {
        finding("user ns", Severity::Ok, "the host's")
    } else {
        finding(
            "user ns",
            severity_of_lack(inputs),
            "this process runs in a user namespace of its own: the kernel refuses BPF and audit netlink",
        )
        .remedy("run it outside of the user namespace, on the host")
    })
}

fn pid_namespace(inputs: &Inputs) -> Option<Finding> {
    Some(if inputs.privileges.initial_pid_namespace? {
        finding("pid ns", Severity::Ok, "the host's")
    } else {
        finding(
            "pid ns",
            Severity::Warning,
            "this process runs in a pid namespace of its own: process ids in the report are the host's, \
             and audit netlink is refused",
        )
        .remedy("run it on the host, or give the container hostPID")
    })
}

fn container(inputs: &Inputs) -> Option<Finding> {
    let sign = inputs.container.as_ref()?;
    Some(
        finding(
            "container",
            Severity::Note,
            format!(
                "this looks like a container ({sign}); the audit queue is the host's all the same"
            ),
        )
        .remedy("it needs hostPID and the host's /sys; the line `capabilities` names those that it lacks"),
    )
}

fn types(inputs: &Inputs) -> Option<Finding> {
    Some(match inputs.btf.as_ref()? {
        Ok(()) => finding("btf", Severity::Ok, "the kernel offers its types"),
        Err(cause) => finding(
            "btf",
            Severity::Warning,
            format!("no types of the kernel ({cause}): hooks by kprobe only, no depth, no bytes"),
        )
        .remedy("use a kernel with CONFIG_DEBUG_INFO_BTF, and mount /sys"),
    })
}

fn symbols(inputs: &Inputs) -> Finding {
    match inputs.symbols {
        SymbolView::Full => finding("kallsyms", Severity::Ok, "functions and variables"),
        SymbolView::FunctionsOnly => finding(
            "kallsyms",
            Severity::Note,
            "functions, but no variables (no CONFIG_KALLSYMS_ALL): the main queue is found once a \
             record passes; the kernel's own counters are not read",
        ),
        SymbolView::Hidden => finding(
            "kallsyms",
            Severity::Warning,
            format!(
                "addresses are hidden (kptr_restrict {}): depth is found once a record passes",
                inputs
                    .kptr_restrict
                    .map_or_else(|| "unknown".to_owned(), |value| value.to_string())
            ),
        )
        .remedy("give CAP_SYSLOG, and set kernel.kptr_restrict to 1 or 0"),
        SymbolView::Unreadable => finding(
            "kallsyms",
            Severity::Warning,
            "/proc/kallsyms cannot be read: depth is found once a record passes",
        )
        .remedy("mount /proc, and use a kernel with CONFIG_KALLSYMS"),
    }
}

fn kprobes(inputs: &Inputs) -> Option<Finding> {
    let level = inputs.perf_event_paranoid.unwrap_or(0);
    let admin = inputs.privileges.has("CAP_SYS_ADMIN").unwrap_or(true);
    Some(if inputs.kprobes? && level >= 3 && !admin {
        finding(
            "kprobes",
            Severity::Note,
            format!(
                "kernel.perf_event_paranoid is {level}: kprobes are refused without CAP_SYS_ADMIN"
            ),
        )
        .remedy(
            "if a hook below needs a kprobe: run as root, or set kernel.perf_event_paranoid to 2",
        )
    } else if inputs.kprobes? {
        finding("kprobes", Severity::Ok, "the kernel offers them")
    } else {
        finding(
            "kprobes",
            Severity::Note,
            "the kernel has no kprobes: a hook has no second form if its trampoline is refused",
        )
    })
}

fn splits(inputs: &Inputs) -> Option<Finding> {
    if inputs.splits.is_empty() {
        return None;
    }
    Some(finding(
        "split",
        Severity::Note,
        format!(
            "the compiler moved part of a function into {}: tools that hook the function by its name \
             miss records; auditwatch counts elsewhere and does not",
            inputs.splits.join(", ")
        ),
    ))
}

fn hooks(inputs: &Inputs) -> Option<Finding> {
    let Some(Ok(hooks)) = &inputs.hooks else {
        return None;
    };
    let bad = hooks
        .iter()
        .any(|hook| matches!(hook.verdict, Verdict::Unsupported | Verdict::Failed));
    let severity = if bad { Severity::Warning } else { Severity::Ok };
    Some(finding(
        "hooks",
        severity,
        crate::hooks::health::roll_up(hooks),
    ))
}

fn netlink(inputs: &Inputs) -> Option<Finding> {
    Some(match inputs.netlink.as_ref()? {
        Ok(_) => finding("netlink", Severity::Ok, "audit netlink answers"),
        Err(cause) => finding(
            "netlink",
            Severity::Warning,
            format!("{cause}; --source poll does not work here"),
        ),
    })
}

fn locked(inputs: &Inputs) -> Option<Finding> {
    let status = inputs.netlink.as_ref()?.as_ref().ok()?;
    (status.enabled == 2).then(|| {
        finding(
            "-e 2",
            Severity::Note,
            "the audit settings are locked: tracing works, but no limit can be changed before a reboot",
        )
    })
}

fn panics(inputs: &Inputs) -> Option<Finding> {
    let status = inputs.netlink.as_ref()?.as_ref().ok()?;
    (status.failure == 2).then(|| {
        finding(
            "-f 2",
            Severity::Warning,
            "a lost record panics this host; tracing is safe, an overflow is not",
        )
        .remedy("raise the backlog limit before any load test, or set -f 1 for its time")
    })
}

fn silent_loss(inputs: &Inputs) -> Option<Finding> {
    let boot = inputs.boot.as_ref()?;
    Some(if boot.on {
        finding(
            "audit=1",
            Severity::Ok,
            "booted with it: held records are kept",
        )
    } else {
        finding(
            "audit=1",
            Severity::Note,
            "not booted with it: records are lost silently while auditd is away or stalled, and only auditwatch counts them",
        )
        .remedy("add audit=1 to the kernel command line if records must survive that")
    })
}

fn clock(inputs: &Inputs) -> Finding {
    match inputs.hz {
        Some(hz) => finding("hz", Severity::Ok, format!("{hz} ticks a second")),
        None => finding(
            "hz",
            Severity::Note,
            "in no readable configuration; a trace measures it",
        ),
    }
}

#[cfg(test)]
mod tests;
