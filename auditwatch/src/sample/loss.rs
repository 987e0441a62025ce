//! Losses: [`Dropped`] records by reason, and how many are known to be lost. Pure.

use serde::{Deserialize, Serialize};

/// Messages of `audit_log_lost` (kernel/audit.c, 4.14 to 7.2) that stand for a
/// record that is gone.
pub mod message {
    /// Refused by `audit_log_start`: the main queue is over its limit.
    pub const BACKLOG_LIMIT: &str = "backlog limit exceeded";
    /// Refused by `audit_log_start`: no memory.
    pub const OUT_OF_MEMORY: &str = "out of memory in audit_log_start";
    /// Dropped by `audit_log_end`.
    pub const RATE_LIMIT: &str = "rate limit exceeded";
    /// Dropped by `kauditd`: the retry queue is full.
    pub const RETRY_OVERFLOW: &str = "kauditd retry queue overflow";
    /// Dropped by `kauditd`: the hold queue is full.
    pub const HOLD_OVERFLOW: &str = "kauditd hold queue overflow";
}

/// Dropped records by reason. `None`: not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The main queue was over its limit.
    pub backlog_limit: Option<u64>,
    /// More records a second than `rate_limit` lets pass.
    pub rate_limit: Option<u64>,
    /// No memory for the record.
    pub out_of_memory: Option<u64>,
    /// The retry queue was full.
    pub retry_overflow: Option<u64>,
    /// The hold queue was full.
    pub hold_overflow: Option<u64>,
    /// Freed by `kauditd_hold_skb` on a host not booted with `audit=1`: the
    /// kernel counts these nowhere.
    pub silent: Option<u64>,
}

impl Dropped {
    /// Reasons in the order of the report, with their names.
    #[must_use]
    pub const fn by_reason(&self) -> [(&'static str, Option<u64>); 6] {
        [
            ("backlog_limit", self.backlog_limit),
            ("rate_limit", self.rate_limit),
            ("out_of_memory", self.out_of_memory),
            ("retry_overflow", self.retry_overflow),
            ("hold_overflow", self.hold_overflow),
            ("silent", self.silent),
        ]
    }

    /// All dropped records; `None` unless each reason was measured.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.by_reason().into_iter().map(|(_, count)| count).sum()
    }
}

/// Records known to be lost: by reason where losses are hooked, else by the
/// kernel's own count. What of it was not measured is left out, so that there may
/// be more where [`Dropped::total`] is not known; `None` when nothing was.
#[must_use]
pub fn lost_records(dropped: &Dropped, counted_by_kernel: Option<u64>) -> Option<u64> {
    let known: Vec<u64> = if dropped.backlog_limit.is_some() {
        dropped
            .by_reason()
            .into_iter()
            .filter_map(|(_, count)| count)
            .collect()
    } else {
        [counted_by_kernel, dropped.silent]
            .into_iter()
            .flatten()
            .collect()
    };
    (!known.is_empty()).then(|| known.into_iter().sum())
}
