//! Evidence: what of a trace bears on the limit that it would have needed.
//!
//! Plain data, made by `timeline`; None where it was not measured.

use super::{
    demand::{Arrival, float},
    service::{Moment, Service},
};
use crate::{
    auditd::{ConsumerSetup, CpuTimes},
    untrusted::Untrusted,
};

/// Where nothing was lost: SYSCALL, PROCTITLE and EOE go together.
const USUAL_RECORDS_PER_LOSS: f64 = 3.0;

/// A load that asked for nothing for so long has ended, ns.
const CALM_NS: u64 = 200_000_000;

/// Why records were lost, beside the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OtherLosses {
    /// By the rate limit.
    pub rate_limit: u64,
    /// For want of memory.
    pub out_of_memory: u64,
    /// The retry or hold queue was full.
    pub overflow: u64,
    /// Freed without a count: auditd did not take them, and the kernel was not booted with
    /// `audit=1`.
    pub silent: u64,
}

impl OtherLosses {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.rate_limit + self.out_of_memory + self.overflow + self.silent
    }
}

/// What stands in the way of certainty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// Calls that the kernel skipped a program for.
    pub missed: u64,
    /// Stalls that could not be followed.
    pub untracked: u64,
    /// Attempts too long ago to be kept.
    pub forgotten: u64,
    /// Hooks that are not in place, by function.
    pub hooks: Vec<String>,
    /// The trace went on after what is known of it.
    pub breaks_off: bool,
}

/// Who, or what rule, causes records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Talker {
    /// Rules with this key.
    Key(Untrusted),
    /// Processes of this command name.
    Comm(Untrusted),
}

/// A talker's share of the demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TalkerShare {
    /// Who.
    pub what: Talker,
    /// Records that it caused, refused ones included.
    pub records: u64,
    /// Records that all caused.
    pub of: u64,
}

impl TalkerShare {
    /// The share, 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.of == 0 {
            return 0.0;
        }
        (float(self.records) / float(self.of)).min(1.0)
    }
}

/// Everything that the answer rests on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Length of the window, ns.
    pub duration_ns: u64,
    /// Whether the programs measured; `false` for netlink alone.
    pub by_programs: bool,
    /// Limit at the end, records; 0 means none.
    pub limit: Option<u64>,
    /// Lowest limit that was in force within the window.
    pub lowest_limit: Option<u64>,
    /// Wait time, ns.
    pub wait_time_ns: Option<u64>,
    /// Wait time, ticks.
    pub wait_time_ticks: Option<u64>,
    /// Ticks a second.
    pub hz: Option<u32>,
    /// The registered auditd; 0 for none.
    pub auditd_pid: Option<u32>,
    /// What a loss does: 0 nothing, 1 printk, 2 panic.
    pub failure: Option<u32>,
    /// Booted with `audit=1`.
    pub booted_with_audit: Option<bool>,
    /// Who takes the records, and how it is set up.
    pub setup: Option<ConsumerSetup>,
    /// What its main thread had of the CPUs within the window.
    pub consumer_times: Option<CpuTimes>,
    /// Records that it took out of its socket.
    pub reads: Option<u64>,
    /// Most memory that its socket's records may be charged for, bytes.
    pub socket_bytes: Option<u64>,
    /// Who causes the records, where that is counted.
    pub talkers: Vec<TalkerShare>,
    /// Records a second that pass, 0 for no limit.
    pub rate_limit: Option<u32>,
    /// Record attempts that no rule ended.
    pub attempted: Option<u64>,
    /// Attempts that found no room.
    pub refused: u64,
    /// Records that were not made since the first of their event was refused.
    pub suppressed: f64,
    /// Losses for other reasons.
    pub other_losses: OtherLosses,
    /// Records that `kauditd` put into the retry queue, since the consumer's socket had no room in time.
    pub retried: u64,
    /// Stalls.
    pub stalls: u64,
    /// Their sum, ns.
    pub stalled_ns: u64,
    /// The longest, ns.
    pub longest_stall_ns: u64,
    /// Attempts that met a full queue.
    pub met_full: u64,
    /// Greatest length of the main queue, records.
    pub depth_max: Option<u64>,
    /// Greatest length of it while the consumer's socket was less than half full.
    pub depth_max_with_room: Option<u64>,
    /// Main queue at the end, records.
    pub depth_end: Option<u64>,
    /// Tasks that wait at the end.
    pub waiting_end: u64,
    /// The load was a command's, which came to its end.
    pub load_has_ended: bool,
    /// Demand in time, ns of `CLOCK_MONOTONIC`; tasks' own clocks.
    pub arrivals: Vec<Arrival>,
    /// Length of a bin of `arrivals`, ns.
    pub bin_ns: u64,
    /// What was refused, and what the consumer did, in the course of the trace.
    pub moments: Vec<Moment>,
    /// Start of the window, ns of `CLOCK_MONOTONIC`.
    pub begin_ns: u64,
    /// About when the last record was asked for, ns of `CLOCK_MONOTONIC`.
    pub last_attempt_ns: u64,
    /// The consumer's pace, where it could be told.
    pub service: Option<Service>,
    /// Kernel memory of a queued record, mean, bytes.
    pub record_bytes: Option<u64>,
    /// The largest record's, bytes.
    pub record_max_bytes: Option<u64>,
    /// What stands in the way of certainty.
    pub doubts: Doubts,
}

impl Evidence {
    /// Whether anybody lost a record to the limit, or waited for room.
    #[must_use]
    pub const fn hurt(&self) -> bool {
        self.refused > 0 || self.stalls > 0 || self.waiting_end > 0
    }

    /// Whether the load had not ended when the window did.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        if self.load_has_ended {
            return false;
        }
        let full = match (self.depth_end, self.limit) {
            (Some(depth), Some(limit)) => limit > 0 && depth * 2 > limit,
            _ => false,
        };
        self.waiting_end > 0 || full
    }

    /// Whether the load had ended, and all of it had left the queue, when the window ended.
    #[must_use]
    pub fn has_drained(&self) -> bool {
        self.depth_end == Some(0)
            && self.waiting_end == 0
            && (self.load_has_ended
                || self.last_attempt_ns + CALM_NS < self.begin_ns + self.duration_ns)
    }

    /// Whether the queue was as long as it ever was while the consumer's socket had room: `kauditd` did not get the CPU.
    #[must_use]
    pub fn peak_is_the_schedulers(&self) -> bool {
        self.depth_max.is_some_and(|max| max > 0) && self.depth_max == self.depth_max_with_room
    }

    /// Whether a loss makes the kernel panic (`-f 2`).
    #[must_use]
    pub fn panics(&self) -> bool {
        self.failure == Some(2)
    }

    /// Records that a lost one stands for.
    #[must_use]
    pub fn records_per_loss(&self) -> f64 {
        if self.refused == 0 {
            return USUAL_RECORDS_PER_LOSS;
        }
        1.0 + self.suppressed / float(self.refused)
    }
}
