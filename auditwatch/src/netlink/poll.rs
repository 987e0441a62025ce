//! The source for hosts that refuse BPF: the kernel's variables, read now and then.
//!
//! In: the variables, from the kernel's memory or as answers to `AUDIT_GET`. Out: [`Sample`]s that hold them and nothing
//! else. It must not ask netlink often, nor when the queue is near its limit: since 5.17 the kernel lets any sender of
//! an audit message sleep while the queue is over its limit, and that can leave every other waiter of the host asleep.

use std::time::Duration;

use crate::{
    kernel::audit_state::KernelState,
    sample::{Sample, Shortfalls, Source},
};

/// What a poll cannot see, said at its top.
pub const BLIND_SPOTS: &str = "polling measures only the settings, the kernel's count of lost records, \
    and the queue depth at each poll. Record counts, drop reasons, silent loss, peak depth, stalls and \
    talkers are not measured";

/// The shortest time between two questions.
const SHORTEST: Duration = Duration::from_secs(1);
/// Time to the next question once half of the limit is used.
const CAREFUL: Duration = Duration::from_secs(5);
/// Time to the next question once three quarters are used.
const RELUCTANT: Duration = Duration::from_secs(30);

/// How long to leave netlink alone after an answer, at an interval that the user asked for.
#[must_use]
pub fn pause_after(state: &KernelState, interval: Duration) -> Duration {
    let interval = interval.max(SHORTEST);
    let (Some(depth), Some(limit)) = (state.depth, state.limit.filter(|&limit| limit != 0)) else {
        return interval;
    };
    let (used, limit) = (u64::from(depth) * 4, u64::from(limit));
    if used >= limit * 3 {
        interval.max(RELUCTANT)
    } else if used >= limit * 2 {
        interval.max(CAREFUL)
    } else {
        interval
    }
}

/// How long to leave netlink alone before the last question; `None` if it is not to be asked any more, since the queue
/// was over its limit.
#[must_use]
pub fn pause_before_last(state: &KernelState, interval: Duration) -> Option<Duration> {
    if state.is_over_limit() {
        None
    } else if pause_after(state, interval) > interval.max(SHORTEST) {
        Some(CAREFUL)
    } else {
        Some(SHORTEST)
    }
}

/// A sample of the kernel's variables as they were at `at_ns`. Unless they tell it, `booted_with_audit` comes from the
/// kernel's command line.
#[must_use]
pub fn sample(at_ns: u64, state: &KernelState, booted_with_audit: Option<bool>) -> Sample {
    Sample {
        at_ns,
        source: Source::Poll,
        state: KernelState {
            booted_with_audit: state.booted_with_audit.or(booted_with_audit),
            ..state.clone()
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
