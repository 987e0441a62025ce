//! The kernel's audit variables at one moment, as plain data, whatever they were read by.

use serde::{Deserialize, Serialize};

/// The backlog limit that the kernel begins with, where neither a rule nor the command line says otherwise, records.
pub const BOOT_LIMIT: u32 = 64;
/// The queues that the limit bounds, and that may be full at once: main, retry and hold.
pub const QUEUES: u64 = 3;

/// The kernel's audit variables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelState {
    /// Ticks of the kernel's clock since boot.
    pub jiffies: Option<u64>,
    /// Length of the main queue, records.
    pub depth: Option<u32>,
    /// The same once more right after the gate was set, where this reading opened or closed
    /// the window: the gate fell in between. As `depth` otherwise; `None` likewise.
    pub depth_after: Option<u32>,
    /// Length of the retry queue, records.
    pub retry_depth: Option<u32>,
    /// Length of the hold queue, records.
    pub hold_depth: Option<u32>,
    /// Backlog limit, records; 0 means none.
    pub limit: Option<u32>,
    /// Backlog wait time, jiffies.
    pub wait_time_jiffies: Option<u32>,
    /// Time waited since boot or reset by all tasks together, jiffies, wraps.
    pub waited_jiffies: Option<u32>,
    /// Records lost by the kernel's own count since boot or reset, wraps.
    pub lost: Option<u32>,
    /// Whether `lost` is of another moment than the rest: netlink was asked.
    pub lost_is_apart: bool,
    /// Records a second that pass; 0 means no limit.
    pub rate_limit: Option<u32>,
    /// What a loss does: 0 nothing, 1 printk, 2 panic.
    pub failure: Option<u32>,
    /// 0 off, 1 on, 2 on and locked until reboot.
    pub enabled: Option<u32>,
    /// Booted with `audit=1`, so that held records are kept.
    pub booted_with_audit: Option<bool>,
    /// Process id of the registered auditd; 0 for none.
    pub auditd_pid: Option<u32>,
    /// Records that `kauditd` has taken off a queue and not yet delivered,
    /// retried or held: 0 or 1.
    pub in_hand: Option<u32>,
    /// Tasks whose attempt has met a full queue and has not ended; `None` where
    /// stalls are not followed.
    pub waiters: Option<u32>,
}

impl KernelState {
    /// These variables, and those of another reading in place of what is not known.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            jiffies: self.jiffies.or(other.jiffies),
            depth: self.depth.or(other.depth),
            depth_after: self.depth_after.or(other.depth_after),
            retry_depth: self.retry_depth.or(other.retry_depth),
            hold_depth: self.hold_depth.or(other.hold_depth),
            limit: self.limit.or(other.limit),
            wait_time_jiffies: self.wait_time_jiffies.or(other.wait_time_jiffies),
            waited_jiffies: self.waited_jiffies.or(other.waited_jiffies),
            lost_is_apart: self.lost_is_apart || (self.lost.is_none() && other.lost.is_some()),
            lost: self.lost.or(other.lost),
            rate_limit: self.rate_limit.or(other.rate_limit),
            failure: self.failure.or(other.failure),
            enabled: self.enabled.or(other.enabled),
            booted_with_audit: self.booted_with_audit.or(other.booted_with_audit),
            auditd_pid: self.auditd_pid.or(other.auditd_pid),
            in_hand: self.in_hand.or(other.in_hand),
            waiters: self.waiters.or(other.waiters),
        }
    }

    /// Whether records were under way at that moment.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        [self.depth, self.waiters, self.in_hand]
            .into_iter()
            .any(|count| count.is_some_and(|count| count > 0))
    }

    /// Whether the main queue is over its limit, as far as that was read. An audit
    /// message sent then may leave tasks asleep.
    #[must_use]
    pub fn is_over_limit(&self) -> bool {
        matches!(
            (self.depth, self.limit),
            (Some(depth), Some(limit)) if limit != 0 && depth > limit
        )
    }

    /// Why audit netlink is not to be asked in this state; `None` if nothing of it speaks against that.
    ///
    /// Since Linux 5.17 (`audit_receive`) the question sleeps if the queue is over its limit by then, and takes the
    /// wake-up of a task that waits for room. That task sleeps until its wait time is over, and may lose its record
    /// then.
    #[must_use]
    pub fn why_not_ask(&self) -> Option<&'static str> {
        if self.limit == Some(0) || self.wait_time_jiffies == Some(0) {
            return None;
        }
        if self.failure == Some(2) {
            return Some(
                "a lost record panics this host (failure mode 2), and a request can lose one if the queue is full",
            );
        }
        self.is_half_full().then_some(
            "the queue is more than half full, and a request can strand tasks if it is full",
        )
    }

    /// Whether the main queue is longer than half of its limit, as far as that was read.
    #[must_use]
    pub fn is_half_full(&self) -> bool {
        /// Half of the kernel's default, for a limit that is not known: no limit in use is lower.
        const HALF_OF_LEAST: u32 = 32;
        let most = match self.limit {
            Some(0) => return false,
            Some(limit) => limit / 2,
            None => HALF_OF_LEAST,
        };
        self.depth.is_some_and(|depth| depth > most)
    }
}

#[cfg(test)]
mod tests;
