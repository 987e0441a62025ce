//! The source for hosts that refuse BPF: audit netlink, asked now and then.
//!
//! In: answers to `AUDIT_GET`. Out: [`Sample`]s that hold the kernel's variables
//! and nothing else. It must not ask often, nor when the queue is near its limit:
//! since 5.17 the kernel lets any sender of an audit message sleep while the queue
//! is over its limit, and that can leave every other waiter of the host asleep.

use std::time::Duration;

use crate::{
    audit_status::AuditStatus,
    sample::{KernelState, Sample, Shortfalls, Source},
};

/// What a poll cannot see, said at its top.
pub const BLIND_SPOTS: &str = "polling sees the settings, the kernel's own count of lost records and \
    the queue's length at the moment of each question. It cannot see how many records there are, why \
    they are lost, silent loss, the peak of the queue, stalls, or who causes any of it";

/// The shortest time between two questions.
const SHORTEST: Duration = Duration::from_secs(1);
/// Time to the next question once half of the limit is used.
const CAREFUL: Duration = Duration::from_secs(5);
/// Time to the next question once three quarters are used.
const RELUCTANT: Duration = Duration::from_secs(30);

/// How long to leave the kernel alone after an answer, at an interval that the
/// user asked for.
#[must_use]
pub fn pause_after(status: &AuditStatus, interval: Duration) -> Duration {
    let interval = interval.max(SHORTEST);
    if status.backlog_limit == 0 {
        return interval;
    }
    let used = u64::from(status.backlog) * 4;
    let limit = u64::from(status.backlog_limit);
    if used >= limit * 3 {
        interval.max(RELUCTANT)
    } else if used >= limit * 2 {
        interval.max(CAREFUL)
    } else {
        interval
    }
}

/// How long to leave the kernel alone before the last question; `None` where it
/// is not to be asked any more, since the queue was over its limit.
#[must_use]
pub fn pause_before_last(status: &AuditStatus, interval: Duration) -> Option<Duration> {
    if status.backlog_limit != 0 && status.backlog > status.backlog_limit {
        None
    } else if pause_after(status, interval) > interval.max(SHORTEST) {
        Some(CAREFUL)
    } else {
        Some(SHORTEST)
    }
}

/// A sample of what the kernel answered at `at_ns`. `booted_with_audit` comes from
/// the kernel's command line.
#[must_use]
pub fn sample(at_ns: u64, status: &AuditStatus, booted_with_audit: Option<bool>) -> Sample {
    Sample {
        at_ns,
        source: Source::Poll,
        state: KernelState {
            jiffies: None,
            depth: Some(status.backlog),
            depth_after: None,
            retry_depth: None,
            hold_depth: None,
            limit: Some(status.backlog_limit),
            wait_time_jiffies: status.backlog_wait_time_jiffies,
            waited_jiffies: status.backlog_wait_time_actual_jiffies,
            lost: Some(status.lost),
            lost_is_apart: false,
            rate_limit: Some(status.rate_limit),
            failure: Some(status.failure),
            enabled: Some(status.enabled),
            booted_with_audit,
            auditd_pid: Some(status.pid),
            in_hand: None,
            waiters: None,
        },
        attempts: None,
        losses: None,
        own_losses: None,
        drain: None,
        delivery: None,
        demand: None,
        consumer: None,
        retry: None,
        hold: None,
        reheld: None,
        resets: None,
        passes: None,
        auxiliary: None,
        stalls: None,
        talkers: None,
        command: None,
        shortfalls: Shortfalls::default(),
        events: Vec::new(),
    }
}
