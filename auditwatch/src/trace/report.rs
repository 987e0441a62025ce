//! The report: what a trace says of each interval, and of the whole.
//!
//! Plain data, which users' scripts read as JSON: keys are only ever added, and
//! what was not measured is `None`. Made by `timeline`, shown by `render`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    hooks::health::HookReport,
    recommend::Recommendation,
    sample::{Source, footprint::Footprint},
    trace::{command_cost::CommandCost, ledger::Ledger},
    untrusted::Untrusted,
};

/// `interval`, the kind of a [`Interval`]: no other is written, and a line of another is not read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IntervalKind {
    /// The only one.
    Interval,
}

/// One step of the timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Always `interval`.
    pub kind: IntervalKind,
    /// End of the interval, ns since the zero point.
    pub at_ns: u64,
    /// Length, ns.
    pub duration_ns: u64,
    /// Where the records went.
    pub ledger: Ledger,
    /// Records known to be lost, whatever the source.
    pub lost: Option<u64>,
    /// Record attempts a second.
    pub attempted_per_s: Option<u64>,
    /// Records drained a second.
    pub drained_per_s: Option<u64>,
    /// Records dropped a second.
    pub dropped_per_s: Option<u64>,
    /// Records a second that auditd's socket took.
    #[serde(default)]
    pub delivered_per_s: Option<u64>,
    /// Queue lengths in the interval and at its end.
    pub depth: IntervalDepth,
    /// Backlog limit at the end of the interval, records.
    pub limit: Option<u32>,
    /// Stalls that ended in the interval.
    pub stalls: Option<IntervalStalls>,
}

/// Queue lengths of an interval, records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntervalDepth {
    /// Main queue, at the end of the interval.
    pub main: Option<u32>,
    /// Retry queue, likewise.
    pub retry: Option<u32>,
    /// Hold queue, likewise.
    pub hold: Option<u32>,
    /// Greatest length of the main queue since the zero point.
    pub max_so_far: Option<u64>,
    /// Greatest length of the main queue in the interval.
    #[serde(default)]
    pub interval_max: Option<u64>,
    /// How that is known.
    #[serde(default)]
    pub interval_max_by: Option<PeakBy>,
}

/// How the greatest queue length of an interval is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeakBy {
    /// It is the greatest since the zero point, which was measured.
    Measured,
    /// By the lengths that drained records left behind: at most a quarter too high.
    Drains,
    /// By single readings, or by records that were dropped since the queue was full: it may have been longer.
    AtLeast,
}

/// Stalls of an interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntervalStalls {
    /// Stalls that ended.
    pub count: u64,
    /// Sum of their durations, ns.
    pub total_ns: u64,
    /// Tasks that wait at the end of the interval.
    pub waiting: u64,
}

/// The audit settings over the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Backlog limit at the start, records.
    pub limit_start: Option<u32>,
    /// Backlog limit at the end, records.
    pub limit_end: Option<u32>,
    /// 0 off, 1 on, 2 on and locked.
    pub enabled: Option<u32>,
    /// What a loss does: 0 nothing, 1 printk, 2 panic.
    pub failure: Option<u32>,
    /// Registered auditd, 0 for none.
    pub auditd_pid: Option<u32>,
    /// Records a second that pass, 0 for no limit.
    pub rate_limit: Option<u32>,
    /// Backlog wait time, ns; `None` when the kernel's HZ is not known.
    pub wait_time_ns: Option<u64>,
    /// The kernel's own count of lost records at the start.
    pub lost_start: Option<u32>,
    /// The same at the end.
    pub lost_end: Option<u32>,
    /// Booted with `audit=1`.
    pub booted_with_audit: Option<bool>,
}

/// Queue lengths over the window, records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depth {
    /// Greatest length of the main queue that an attempt met or a drain left.
    pub max: Option<u64>,
    /// Median length that a drained record left behind, at most a quarter too high.
    pub p50: Option<u64>,
    /// 99th percentile of the same.
    pub p99: Option<u64>,
    /// Greatest length of the retry queue.
    pub retry_max: Option<u64>,
    /// Greatest length of the hold queue.
    pub hold_max: Option<u64>,
    /// Main queue at the zero point.
    pub start: Option<u32>,
    /// Main queue at the end.
    pub end: Option<u32>,
    /// Retry queue at the zero point.
    pub retry_start: Option<u32>,
    /// Retry queue at the end.
    pub retry_end: Option<u32>,
    /// Hold queue at the zero point.
    pub hold_start: Option<u32>,
    /// Hold queue at the end.
    pub hold_end: Option<u32>,
}

/// Stalls over the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StallSummary {
    /// Attempts that slept.
    pub count: u64,
    /// Sum of their durations, ns.
    pub total_ns: u64,
    /// Longest, ns.
    pub max_ns: u64,
    /// Median, ns, at most twice too high.
    pub p50_ns: Option<u64>,
    /// 99th percentile, ns, at most twice too high.
    pub p99_ns: Option<u64>,
    /// Of `count`: refused all the same.
    pub refused: u64,
    /// Tasks that slept on although the queue had room and nobody would wake them.
    pub stranded: u64,
    /// Tasks that wait at the end of the window.
    pub waiting: u64,
    /// Attempts that could not be followed.
    pub untracked: u64,
    /// Stalls that may be missing, for calls that the kernel skipped a program.
    pub missed: u64,
    /// The kernel's own sum of what tasks slept, to a tick for each sleep, ns.
    pub kernel_total_ns: Option<u64>,
    /// Durations: bucket `b` counts `[2^b, 2^(b+1))` ns; trailing zeros left out.
    pub hist: Vec<u64>,
}

/// What queued records cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Kernel memory of a queued record, mean over the drained ones, bytes.
    pub record_mean_bytes: u64,
    /// The largest record's, bytes.
    pub record_max_bytes: u64,
    /// The main queue's at its greatest length, bytes.
    pub queue_peak_bytes: Option<u64>,
}

/// Processes of one name that cause records for one reason, and what befell these records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Talker {
    /// Command name; empty where no task is behind the records.
    pub comm: Untrusted,
    /// The process with the most of the records, in the initial namespace; `None` where no task is
    /// behind them, or no process found a place of its own.
    pub pid: Option<u32>,
    /// How many processes; `None` where some found no place of their own.
    pub processes: Option<u64>,
    /// Program of that process, where it could be read.
    pub exe: Option<Untrusted>,
    /// Path of the control group, where it could be read.
    pub cgroup: Option<Untrusted>,
    /// Runtime and id of the container, by that path.
    pub container: Option<Untrusted>,
    /// Name of the container, where a runtime has left one on the host.
    pub container_name: Option<Untrusted>,
    /// Uid of the Kubernetes pod, by that path.
    pub pod: Option<Untrusted>,
    /// Systemd unit, by that path.
    pub unit: Option<Untrusted>,
    /// Key of the audit rule.
    pub key: Option<Untrusted>,
    /// System call; `None` where the records are of none.
    pub syscall: Option<String>,
    /// Type of the events' first record.
    pub record_type: String,
    /// What they did, and what befell it.
    #[serde(flatten)]
    pub sums: TalkerSums,
}

/// What talkers did, and what befell their records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TalkerSums {
    /// Record attempts, filtered and refused ones included.
    pub records: u64,
    /// Kernel memory that they take while they are queued, bytes, by the mean of all records of the trace.
    pub bytes: Option<u64>,
    /// Of `records`: dropped, whether refused or lost by `kauditd` later.
    pub dropped: u64,
    /// Attempts that slept.
    pub stalls: u64,
    /// Time that they slept, ns.
    pub stall_ns: u64,
    /// The longest, ns; `None` for the rest of them.
    pub stall_max_ns: Option<u64>,
}

impl TalkerSums {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            records: self.records.saturating_add(other.records),
            bytes: match (self.bytes, other.bytes) {
                (Some(own), Some(others)) => Some(own.saturating_add(others)),
                (own, others) => own.or(others),
            },
            dropped: self.dropped.saturating_add(other.dropped),
            stalls: self.stalls.saturating_add(other.stalls),
            stall_ns: self.stall_ns.saturating_add(other.stall_ns),
            stall_max_ns: self.stall_max_ns.max(other.stall_max_ns),
        }
    }
}

/// What all records that have something in common come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// What they have in common; `None` for those without (no rule key, no system call, no task).
    pub name: Option<Untrusted>,
    /// What they come to.
    #[serde(flatten)]
    pub sums: TalkerSums,
}

/// Attempts by what they have in common, the most first. Each list has all of them but for what
/// stands in `talkers_other` as not told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shares {
    /// By rule key.
    pub key: Vec<Share>,
    /// By command name.
    pub comm: Vec<Share>,
    /// By control group.
    pub cgroup: Vec<Share>,
    /// By system call.
    pub syscall: Vec<Share>,
    /// By type of the event's first record.
    pub record_type: Vec<Share>,
}

/// All that is in no row of `talkers`: with the rows it comes to the ledger exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherTalkers {
    /// Talkers beyond the rows.
    pub talkers: u64,
    /// Their sums, and those of records that are not told apart.
    #[serde(flatten)]
    pub sums: TalkerSums,
    /// Of its records: not told apart, since there was no place left or a program was skipped.
    pub unattributed: u64,
}

/// A setting that was changed, or that somebody tried to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Time, ns since the zero point.
    pub at_ns: u64,
    /// The setting, by its name in `auditctl -s`.
    pub field: String,
    /// Value before.
    pub old: Option<u32>,
    /// Value asked for.
    pub new: u32,
    /// Process id of who did it, in the initial namespace.
    pub pid: u32,
    /// Its command name.
    pub comm: Untrusted,
    /// 0, or the negative error number.
    pub result: i32,
}

/// Facts of the kernel in the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelFacts {
    /// Kernel release.
    pub release: Untrusted,
    /// Ticks a second.
    pub hz: Option<u32>,
    /// CPUs that the kernel may use.
    pub cpus: Option<u32>,
}

/// Version of the summary's format. Keys are only ever added to it; 2 renamed `talkers_other.untold`.
pub const SUMMARY_SCHEMA: u32 = 2;

/// `summary`, the kind of a [`Summary`]: no other is written, and a line of another is not read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SummaryKind {
    /// The only one.
    Summary,
}

/// The whole window: the last line of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Always `summary`.
    pub kind: SummaryKind,
    /// Version of this format; keys are only ever added to it.
    pub schema: u32,
    /// The kernel.
    pub kernel: KernelFacts,
    /// Where the counts come from.
    pub source: Source,
    /// Why the source is not the one that was asked for or preferred.
    pub source_reason: Option<String>,
    /// What became of each hook.
    pub hooks: Vec<HookReport>,
    /// Time from the start of the process to the zero point, ns.
    pub startup_ns: Option<u64>,
    /// Length of the window, ns.
    pub duration_ns: u64,
    /// The audit settings.
    pub status: Status,
    /// Records known to be lost, whatever the source.
    pub lost: Option<u64>,
    /// Where the records went.
    pub ledger: Ledger,
    /// Queue lengths.
    pub depth: Depth,
    /// Stalls.
    pub stalls: Option<StallSummary>,
    /// What audit cost the traced command; `None` without one.
    pub command: Option<CommandCost>,
    /// What queued records cost.
    pub memory: Option<Memory>,
    /// Drained records by type.
    pub types: Option<BTreeMap<String, u64>>,
    /// Settings that were changed; `None` where that is not hooked.
    pub limit_changes: Option<Vec<Change>>,
    /// Times that the connection to auditd was given up.
    pub auditd_resets: Option<u64>,
    /// Who causes the records, the most first; `None` where that is not counted.
    #[serde(default)]
    pub talkers: Option<Vec<Talker>>,
    /// All that is in no row of `talkers`.
    #[serde(default)]
    pub talkers_other: Option<OtherTalkers>,
    /// The same attempts by what they have in common.
    #[serde(default)]
    pub talkers_by: Option<Shares>,
    /// What limit the load would have needed; `None` where the trace does not bear on it.
    #[serde(default)]
    pub recommendation: Option<Recommendation>,
    /// What tracing itself added to the audit trail, outside of the window; `None` where nothing was loaded.
    #[serde(default)]
    pub own: Option<Footprint>,
    /// What the reader should know before trusting the counts.
    pub notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_another_kind_is_not_read() {
        let json = serde_json::to_string(&IntervalKind::Interval).expect("a word");
        assert_eq!(json, r#""interval""#);
        assert!(serde_json::from_str::<IntervalKind>(&json).is_ok());
        assert!(serde_json::from_str::<SummaryKind>(&json).is_err());
    }
}
