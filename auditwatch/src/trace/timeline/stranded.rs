//! Stranded tasks: who sleeps on although the queue has room and nobody is about to wake them.
//!
//! In: samples, two by two. Out: how many there were.

use std::collections::BTreeSet;

use crate::sample::{Sample, Waiter};

/// A wait that has outlived this, with room in the queue and no pass of
/// `kauditd` since the last sample, is not going to be woken: stranded.
const STRANDED_AFTER_NS: u64 = 1_000_000_000;
/// Waits that are kept in mind although they may be over.
const MOST_WAITS: usize = 65_536;

/// Waits that were found stranded.
#[derive(Clone, Debug, Default)]
pub(super) struct Stranded {
    /// Those at least that go on, by thread and start.
    waits: BTreeSet<(u32, u64)>,
    count: u64,
}

impl Stranded {
    /// How many there were so far.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// Looks for more in a sample; `before` is the one before it.
    pub(super) fn note(&mut self, before: &Sample, sample: &Sample) {
        let (Some(stalls), Some(depth), Some(limit)) =
            (&sample.stalls, sample.state.depth, sample.state.limit)
        else {
            return;
        };
        if self.waits.len() > MOST_WAITS {
            // A wait that is over does not come again.
            let waits: BTreeSet<_> = stalls.waiters.iter().map(of_waiter).collect();
            self.waits.retain(|wait| waits.contains(wait));
        }
        let room = limit == 0 || depth <= limit;
        let no_pass = sample.passes.is_some() && sample.passes == before.passes;
        if !(room && no_pass) {
            return;
        }
        for waiter in stalls
            .waiters
            .iter()
            .filter(|waiter| waiter.asleep != Some(false))
        {
            let slept_since_last = waiter.since_ns < before.at_ns;
            if slept_since_last && sample.at_ns.saturating_sub(waiter.since_ns) > STRANDED_AFTER_NS
            {
                self.count += u64::from(self.waits.insert(of_waiter(waiter)));
            }
        }
    }
}

/// What tells one wait from all others.
const fn of_waiter(waiter: &Waiter) -> (u32, u64) {
    (waiter.thread, waiter.since_ns)
}
