//! The preflight: what speaks against a change, before anything is changed.
//!
//! In: what is to be changed, and facts of the host. Out: [`Preflight`]: findings with
//! their weight, and what of the change can be done now. Pure.

mod danger;

use serde::{Deserialize, Serialize};

use crate::{
    change::journal::Target,
    kernel::{
        audit_state::{KernelState, QUEUES},
        privileges::Privileges,
        record_size::USUAL_RECORD_BYTES,
    },
    units::{bytes, count, counted, duration},
};

/// What CIS Benchmarks and DISA STIGs ask for, records.
const BASELINE: u32 = 8192;

/// How heavy a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Worth a thought.
    Warning,
    /// It is not done.
    Refusal,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How heavy.
    pub severity: Severity,
    /// What it is about, in one word for scripts.
    pub code: String,
    /// In a sentence, with the way out.
    pub message: String,
}

/// Another program that sets audit's limit by its own configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// Process id.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
}

/// A lowest limit, and who asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// Records.
    pub limit: u32,
    /// Who asks, for messages.
    pub asked_by: String,
}

/// What the files bring at the next boot, before they are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextBoot {
    /// Backlog limit, records.
    pub limit: u32,
    /// Backlog wait time, jiffies.
    pub wait_time_jiffies: u32,
    /// What a loss does: 0 nothing, 1 printk, 2 panic.
    pub failure: u32,
    /// 0 off, 1 on, 2 on and locked.
    pub enabled: u32,
}

/// What is known of the host.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The running kernel's audit variables; `None` where another host's disk is edited.
    pub state: Option<KernelState>,
    /// Why something of them is not known.
    pub state_missing: Option<String>,
    /// Ticks a second.
    pub hz: Option<u32>,
    /// What this process may do.
    pub privileges: Privileges,
    /// Memory of a usual record, bytes.
    pub record_bytes: Option<u64>,
    /// Memory that can be had without swapping, bytes.
    pub available_bytes: Option<u64>,
    /// Most kernel memory that full queues may take, bytes; `None` for no such budget.
    pub memory_budget_bytes: Option<u64>,
    /// Programs that set the limit as well.
    pub writers: Vec<Writer>,
    /// What the files bring at the next boot; `None` where they are left alone.
    pub next_boot: Option<NextBoot>,
    /// `audit_backlog_limit=` of the kernel's command line.
    pub cmdline_limit: Option<u32>,
    /// Lowest limits that are asked for.
    pub floors: Vec<Floor>,
}

/// What of the running kernel can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// It is to be set.
    Set,
    /// It has these values already.
    AlreadySo,
    /// It is locked until reboot.
    PendingReboot,
    /// It was not asked for.
    NotAsked,
}

/// The outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preflight {
    /// What was found, the heaviest first.
    pub findings: Vec<Finding>,
    /// What of the running kernel can be changed.
    pub runtime: Runtime,
}

impl Preflight {
    /// The first reason not to do it.
    #[must_use]
    pub fn refusal(&self) -> Option<&Finding> {
        self.findings
            .iter()
            .find(|finding| finding.severity == Severity::Refusal)
    }
}

/// Looks at everything.
#[must_use]
pub fn check(target: &Target, facts: &Facts) -> Preflight {
    let mut found = Found(Vec::new());
    values(target, facts, &mut found);
    let runtime = if target.runtime {
        running(target, facts, &mut found)
    } else {
        Runtime::NotAsked
    };
    danger::dangerous(target, facts, &mut found);
    budget(target, facts, &mut found);
    memory(target, facts, &mut found);
    others(target, facts, &mut found);
    found
        .0
        .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Preflight {
        findings: found.0,
        runtime,
    }
}

struct Found(Vec<Finding>);

impl Found {
    fn add(&mut self, severity: Severity, code: &str, message: String) {
        self.0.push(Finding {
            severity,
            code: code.to_owned(),
            message,
        });
    }

    fn refuse(&mut self, code: &str, message: String) {
        self.add(Severity::Refusal, code, message);
    }

    fn warn(&mut self, code: &str, message: String) {
        self.add(Severity::Warning, code, message);
    }

    fn note(&mut self, code: &str, message: String) {
        self.add(Severity::Note, code, message);
    }
}

/// The values by themselves.
fn values(target: &Target, facts: &Facts, found: &mut Found) {
    if let Some(limit) = target.backlog_limit {
        if limit == 0 {
            found.refuse(
                "unlimited",
                "limit 0 means no limit, and the queues could fill the kernel's memory; use 1 or more"
                    .to_owned(),
            );
            return;
        }
        for floor in facts.floors.iter().filter(|floor| limit < floor.limit) {
            found.refuse(
                "floor",
                format!(
                    "limit {limit} is below {}, which {} requires; apply {} or more",
                    floor.limit, floor.asked_by, floor.limit
                ),
            );
        }
        if facts.floors.is_empty() && limit < BASELINE {
            found.note(
                "baseline",
                format!(
                    "CIS Benchmarks and DISA STIGs (such as V-274168 of AL2023) require {BASELINE} or more; \
                     --policy cis or stig enforces this"
                ),
            );
        }
    }
    if let (Some(jiffies), Some(hz)) = (target.backlog_wait_time, facts.hz)
        && u64::from(jiffies) > u64::from(hz) * 600
    {
        found.refuse(
            "wait_time",
            "the wait time is over the kernel's maximum of 600 s (EINVAL), and would stop the rules from \
             loading; use 600s or less"
                .to_owned(),
        );
    }
}

/// What the running kernel would say.
fn running(target: &Target, facts: &Facts, found: &mut Found) -> Runtime {
    let privileges = &facts.privileges;
    if privileges.initial_user_namespace == Some(false) {
        found.refuse(
            "user_namespace",
            "this is not the host's user namespace, and the kernel permits audit only there (ECONNREFUSED); \
             run on the host, outside the container, or use --root DIR to edit a mounted disk"
                .to_owned(),
        );
        return Runtime::NotAsked;
    }
    if privileges.initial_pid_namespace == Some(false) {
        found.refuse(
            "pid_namespace",
            "this is not the host's pid namespace, and the kernel permits audit only there (EPERM); run on \
             the host, or give the container the host's pid namespace (hostPID: true, --pid=host)"
                .to_owned(),
        );
        return Runtime::NotAsked;
    }
    if privileges.has("CAP_AUDIT_CONTROL") == Some(false) {
        found.refuse(
            "capability",
            "this process lacks CAP_AUDIT_CONTROL, which the kernel requires to change audit settings; run \
             as root"
                .to_owned(),
        );
        return Runtime::NotAsked;
    }
    let state = facts.state.clone().unwrap_or_default();
    let (Some(old), Some(enabled)) = (state.limit, state.enabled) else {
        let why = facts.state_missing.as_deref().unwrap_or("no source has it");
        found.refuse(
            "state",
            format!(
                "the present limit is unknown, so the change could not be reverted: {why}; --persist-only changes \
                 only the files"
            ),
        );
        return Runtime::NotAsked;
    };
    let same_limit = target.backlog_limit.is_none_or(|limit| limit == old);
    let same_wait = target
        .backlog_wait_time
        .is_none_or(|jiffies| state.wait_time_jiffies == Some(jiffies));
    if same_limit && same_wait {
        return Runtime::AlreadySo;
    }
    if enabled == 2 {
        let message =
            "the settings are locked until reboot (-e 2): the running kernel keeps its limit";
        if target.persist {
            found.warn(
                "pending_reboot",
                format!("{message}; the files are changed for the next boot: pending reboot"),
            );
        } else {
            found.refuse(
                "immutable",
                format!("{message}; omit --runtime-only to change the files for the next boot"),
            );
        }
        return Runtime::PendingReboot;
    }
    depth(target, &state, old, found);
    if !same_wait && state.wait_time_jiffies.is_none() {
        found.refuse(
            "wait_time",
            "cannot read the kernel's wait time, so the change could not be reverted; omit --wait-time"
                .to_owned(),
        );
    }
    Runtime::Set
}

/// The queue as it is now.
fn depth(target: &Target, state: &KernelState, old: u32, found: &mut Found) {
    let Some(depth) = state.depth else {
        found.warn("depth", "cannot read the present queue depth".to_owned());
        return;
    };
    let over = old != 0 && depth > old;
    let Some(limit) = target
        .backlog_limit
        .filter(|&limit| limit != 0 && limit != old)
    else {
        if over {
            found.refuse(
                "over_limit",
                format!(
                    "the queue is over its limit ({depth} of {old}): an audit message can strand tasks now, unless \
                     it raises the limit; raise the limit first, or wait"
                ),
            );
        }
        return;
    };
    if limit <= depth && (over || old == 0 || limit < old) {
        found.refuse(
            "below_depth",
            format!(
                "{depth} records are in the queue: at limit {limit} the next record would be dropped, or its task \
                 would stall; apply more than {depth}, or wait until the queue is shorter"
            ),
        );
    } else if over {
        found.warn(
            "over_limit",
            format!(
                "the queue is over its limit ({depth} of {old}); only the raise to {limit} is sent now, and no \
                 other audit message until the queue is shorter"
            ),
        );
    }
}

/// Full queues against the memory that they may take.
fn budget(target: &Target, facts: &Facts, found: &mut Found) {
    let (Some(limit), Some(budget)) = (target.backlog_limit, facts.memory_budget_bytes) else {
        return;
    };
    let in_force = facts.state.as_ref().and_then(|state| state.limit);
    let record = facts
        .record_bytes
        .unwrap_or(USUAL_RECORD_BYTES)
        .saturating_mul(QUEUES);
    let all = u64::from(limit).saturating_mul(record);
    // What is in force already takes no more than it does.
    if all > budget && in_force != Some(limit) {
        found.refuse(
            "memory_budget",
            format!(
                "main, retry and hold queue with {} each use {} of kernel memory, over the budget of {}; apply {} \
                 or less, or add --force to apply {limit}",
                counted(u64::from(limit), "record"),
                bytes(all),
                bytes(budget),
                budget.checked_div(record).unwrap_or(0)
            ),
        );
    }
}

/// Full queues against the memory that is there.
fn memory(target: &Target, facts: &Facts, found: &mut Found) {
    let (Some(limit), Some(available)) = (target.backlog_limit, facts.available_bytes) else {
        return;
    };
    let one = u64::from(limit).saturating_mul(facts.record_bytes.unwrap_or(USUAL_RECORD_BYTES));
    let all = one.saturating_mul(QUEUES);
    if one > available {
        found.refuse(
            "memory",
            format!(
                "a full queue of {} records uses {} of kernel memory, but only {} are available; apply a smaller \
                 limit",
                count(u64::from(limit)),
                bytes(one),
                bytes(available)
            ),
        );
    } else if all > available / 2 {
        found.warn(
            "memory",
            format!(
                "main, retry and hold queue with {} records each use {} of kernel memory; {} are available",
                count(u64::from(limit)),
                bytes(all),
                bytes(available)
            ),
        );
    } else {
        found.note(
            "memory",
            format!(
                "memory: a full queue uses {}, all three queues {}; {} are available",
                bytes(one),
                bytes(all),
                bytes(available)
            ),
        );
    }
    // Longer queues make for longer sleeps, and what was shipped means minutes.
    if let (Some(state), Some(hz)) = (&facts.state, facts.hz.filter(|&hz| hz > 0))
        && let Some(jiffies) = state.wait_time_jiffies
        && u64::from(jiffies) > 60 * u64::from(hz)
    {
        let ns = u64::from(jiffies) * (1_000_000_000 / u64::from(hz));
        found.note(
            "wait_time",
            format!(
                "backlog_wait_time is {jiffies} jiffies: if the queue is full, a task can stall for {} per record, \
                 and cannot be killed meanwhile",
                duration(ns)
            ),
        );
    }
}

/// Who else has a say.
fn others(target: &Target, facts: &Facts, found: &mut Found) {
    for writer in &facts.writers {
        found.warn(
            "other_writer",
            format!(
                "{} (pid {}) sets the backlog limit from its own configuration at each start; set the limit \
                 there too",
                writer.comm, writer.pid
            ),
        );
    }
    if let (Some(cmdline), Some(limit)) = (facts.cmdline_limit, target.backlog_limit)
        && target.persist
        && cmdline != limit
    {
        found.note(
            "cmdline",
            format!(
                "the kernel command line has audit_backlog_limit={cmdline}, which is in force until the rules are \
                 loaded"
            ),
        );
    }
}

#[cfg(test)]
mod tests;
