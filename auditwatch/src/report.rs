//! The report: what a trace says of each interval, and of the whole.
//!
//! Plain data, which users' scripts read as JSON: keys are only ever added, and
//! what was not measured is `None`. Made by `timeline`, shown by `render`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    command_cost::CommandCost, health::HookReport, ledger::Ledger, recommendation::Recommendation,
    sample::Source,
};

/// One step of the timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Always `interval`.
    pub kind: String,
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
    /// Queue lengths at the end of the interval.
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
    pub comm: String,
    /// 0, or the negative error number.
    pub result: i32,
}

/// Facts of the kernel in the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelFacts {
    /// Kernel release.
    pub release: String,
    /// Ticks a second.
    pub hz: Option<u32>,
    /// CPUs that the kernel may use.
    pub cpus: Option<u32>,
}

/// The whole window: the last line of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Always `summary`.
    pub kind: String,
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
    /// What limit the load would have needed; `None` where the trace does not bear on it.
    #[serde(default)]
    pub recommendation: Option<Recommendation>,
    /// What the reader should know before trusting the counts.
    pub notes: Vec<String>,
}
