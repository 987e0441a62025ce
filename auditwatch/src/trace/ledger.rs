//! The [`Ledger`]: where every record went, and what the laws leave over.
//!
//! In: the zero sample and a later one. Out: the counts in between, and the
//! residuals of the conservation laws. Pure.
//!
//! The laws, from kernel/audit.c (5.10 to 7.2):
//! 1. attempted + auxiliary - filtered - refused - rate-limited
//!    - growth of the tasks that wait = drained + growth of the main queue
//! 2. drained = delivered + silently lost + retry overflow + hold overflow
//!    + growth of the retry and hold queues and of the records in delivery
//! 3. growth of the kernel's own `lost` = all calls of `audit_log_lost`
//!
//! The left sides are counted in the tasks, the right sides in `kauditd` and the
//! kernel's own variables, so that a miscount cannot hide.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sample::{
    Attempts, Event, EventKind, Sample,
    loss::{Dropped, message},
};

/// The programs that count each thing, as trampoline and as probe.
mod counter {
    pub(super) const ATTEMPTS: &[&str] = &["audit_filter_exit", "audit_filter_probe"];
    pub(super) const LOSSES: &[&str] = &["audit_log_lost", "audit_log_lost_probe"];
    pub(super) const DRAIN: &[&str] = &[
        "kauditd_send_multicast_skb",
        "kauditd_send_multicast_skb_probe",
    ];
    pub(super) const DELIVERY: &[&str] = &["netlink_unicast", "netlink_unicast_probe"];
    pub(super) const RETRY: &[&str] = &["kauditd_retry_skb", "kauditd_retry_skb_probe"];
    pub(super) const STALL_ENDS: &[&str] = &[
        "audit_log_start_exit",
        "attempt_over_probe",
        "attempt_over_return",
    ];
    pub(super) const GIVE_UPS: &[&str] = &[
        "kauditd_retry_skb",
        "kauditd_retry_skb_probe",
        "kauditd_hold_skb",
        "kauditd_hold_skb_probe",
        "kauditd_rehold_skb",
        "kauditd_rehold_skb_probe",
    ];
    pub(super) const HOLD: &[&str] = &["kauditd_hold_skb", "kauditd_hold_skb_probe"];
}

/// What each law leaves over; 0 when it holds, `None` when it cannot be checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Residuals {
    /// Law 1: attempts against drains.
    pub queue: Option<i64>,
    /// Law 2: drains against what became of them.
    pub delivery: Option<i64>,
    /// Law 3: the kernel's own count of losses against the calls seen.
    pub lost: Option<i64>,
}

/// Where the records of a window went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Record attempts by others than auditwatch.
    pub attempted: Option<u64>,
    /// Attempts that an exclude rule ended.
    pub filtered: Option<u64>,
    /// Attempts that were granted a record.
    pub admitted: Option<u64>,
    /// Records put on the main queue.
    pub enqueued: Option<u64>,
    /// Records that left the main queue, by whomever they were made.
    pub drained: Option<u64>,
    /// Records that auditd's socket took, by whomever they were made.
    pub delivered: Option<u64>,
    /// Records put on the retry queue.
    pub retried: Option<u64>,
    /// Records given to `kauditd_hold_skb`: held, lost in silence, or (with
    /// `audit=1`, since 5.17) put back on the retry queue.
    pub held: Option<u64>,
    /// Held records that were sent in vain and put back.
    pub reheld: Option<u64>,
    /// USER messages that a user rule ended before any attempt.
    pub user_filtered: Option<u64>,
    /// Deliveries that `kauditd` gave up: auditd's socket was full, or auditd gone.
    pub given_up: Option<u64>,
    /// Attempts by auditwatch itself, which the first four counts leave out.
    pub own: Option<u64>,
    /// Calls that the kernel skipped a program for. Skipped drains, retries and
    /// holds are added to their counts, skipped attempts, deliveries and losses as
    /// far as the laws miss them.
    pub missed: u64,
    /// Attempts that wait for room at the end of the window.
    pub waiting: Option<u64>,
    /// Dropped records by reason.
    pub dropped: Dropped,
    /// Losses that the kernel counts although a record is kept or none was to
    /// be made, by its message.
    pub lost_without_record: BTreeMap<String, u64>,
    /// What the laws leave over together, records.
    pub residual: Option<u64>,
    /// What each law leaves over.
    pub residuals: Residuals,
}

impl Ledger {
    /// The ledger of the window from `zero` to `last`. `events` are the rare
    /// facts within it, which hold resets of the kernel's own counter.
    #[must_use]
    pub fn between<'a>(
        zero: &Sample,
        last: &Sample,
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Self {
        let window = Window { zero, last };
        let losses = Losses::of(&window, events);
        let held = window
            .delta(|sample| sample.hold.as_ref().map(|hold| hold.calls))
            .map(|calls| calls + window.missed(counter::HOLD));
        let dropped = losses.dropped(match last.state.booted_with_audit {
            Some(false) => held,
            Some(true) => Some(0),
            None => None,
        });
        let queued = Queued::of(&window, &dropped);
        let delivered = Delivered::of(&window, &queued, &dropped);
        let residuals = Residuals {
            queue: queued.residual,
            delivery: delivered.residual,
            lost: losses.residual,
        };
        Self {
            attempted: queued.attempted,
            filtered: queued.filtered,
            admitted: queued.admitted,
            enqueued: queued.enqueued,
            drained: queued.drained,
            delivered: delivered.delivered,
            retried: window
                .delta(|sample| sample.retry.as_ref().map(|retry| retry.calls))
                .map(|calls| calls + window.missed(counter::RETRY)),
            held,
            reheld: window.delta(|sample| sample.reheld),
            user_filtered: window.delta(|sample| Some(sample.attempts.as_ref()?.user_filtered)),
            given_up: window.delta(|sample| Some(sample.delivery.as_ref()?.refused)),
            own: queued.own,
            missed: window.all_missed(),
            waiting: queued.waiting,
            dropped,
            lost_without_record: losses.without_record(),
            residual: residuals.total(),
            residuals,
        }
    }
}

/// Growth of one of the kernel's 32-bit counters, which may have wrapped; `None`
/// when it went back for another reason, such as a reset.
#[must_use]
pub fn counter_growth(from: u32, to: u32) -> Option<u64> {
    let grown = to.wrapping_sub(from);
    (grown <= u32::MAX / 2).then(|| u64::from(grown))
}

impl Residuals {
    /// What the laws leave over together; `None` unless all could be checked.
    fn total(&self) -> Option<u64> {
        [self.queue, self.delivery, self.lost]
            .into_iter()
            .map(|left| left.map(i64::unsigned_abs))
            .sum()
    }
}

/// Two samples, and what lies between them.
struct Window<'a> {
    zero: &'a Sample,
    last: &'a Sample,
}

impl Window<'_> {
    /// Growth of a total.
    fn delta(&self, pick: impl Fn(&Sample) -> Option<u64>) -> Option<u64> {
        pick(self.last)?.checked_sub(pick(self.zero)?)
    }

    /// Growth of a queue.
    fn growth(&self, pick: impl Fn(&Sample) -> Option<u32>) -> Option<i64> {
        Some(i64::from(pick(self.last)?) - i64::from(pick(self.zero)?))
    }

    /// Least and most growth of the main queue: its length at the moment that the gate was set
    /// lies between what was read before and after.
    fn main_growth(&self) -> Option<(i64, i64)> {
        let ends = |sample: &Sample| {
            let before = sample.state.depth?;
            let after = sample.state.depth_after.unwrap_or(before);
            Some((i64::from(before.min(after)), i64::from(before.max(after))))
        };
        let (zero, last) = (ends(self.zero)?, ends(self.last)?);
        Some((last.0 - zero.1, last.1 - zero.0))
    }

    /// Calls that the programs of a counter were skipped for. Whichever form is
    /// attached, the other has missed nothing.
    fn missed(&self, programs: &[&str]) -> u64 {
        let skipped = |sample: &Sample, program: &str| {
            sample.shortfalls.missed.get(program).copied().unwrap_or(0)
        };
        programs
            .iter()
            .map(|program| skipped(self.last, program).saturating_sub(skipped(self.zero, program)))
            .sum()
    }

    /// Calls that any program was skipped for.
    fn all_missed(&self) -> u64 {
        let total = |sample: &Sample| sample.shortfalls.missed.values().sum::<u64>();
        total(self.last).saturating_sub(total(self.zero))
    }
}

/// Law 3: the kernel's own count against the calls seen.
struct Losses {
    calls: Option<BTreeMap<String, u64>>,
    residual: Option<i64>,
}

impl Losses {
    fn of<'a>(window: &Window<'_>, events: impl IntoIterator<Item = &'a Event>) -> Self {
        let calls = losses_between(window.zero, window.last);
        let seen: Option<u64> = calls.as_ref().map(|calls| calls.values().sum());
        let kernel = kernel_lost(window.zero, window.last, events);
        let skipped = window.missed(counter::LOSSES);
        let unseen = match (kernel, seen) {
            (Some(kernel), Some(seen)) => kernel.saturating_sub(seen).min(skipped),
            _ => 0,
        };
        Self {
            calls: calls.map(|calls| with_unseen(calls, unseen)),
            residual: kernel
                .zip(seen)
                .and_then(|(kernel, seen)| signed(kernel)?.checked_sub(signed(seen + unseen)?)),
        }
    }

    fn dropped(&self, silent: Option<u64>) -> Dropped {
        let reason = |message: &str| {
            self.calls
                .as_ref()
                .map(|calls| calls.get(message).copied().unwrap_or(0))
        };
        Dropped {
            backlog_limit: reason(message::BACKLOG_LIMIT),
            rate_limit: reason(message::RATE_LIMIT),
            out_of_memory: reason(message::OUT_OF_MEMORY),
            retry_overflow: reason(message::RETRY_OVERFLOW),
            hold_overflow: reason(message::HOLD_OVERFLOW),
            silent,
        }
    }

    fn without_record(&self) -> BTreeMap<String, u64> {
        self.calls.as_ref().map(without_record).unwrap_or_default()
    }
}

/// Law 1: attempts against drains.
struct Queued {
    attempted: Option<u64>,
    filtered: Option<u64>,
    own: Option<u64>,
    waiting: Option<u64>,
    admitted: Option<u64>,
    enqueued: Option<u64>,
    drained: Option<u64>,
    residual: Option<i64>,
}

impl Queued {
    fn of(window: &Window<'_>, dropped: &Dropped) -> Self {
        let attempts =
            |pick: fn(&Attempts) -> u64| window.delta(|sample| sample.attempts.as_ref().map(pick));
        let seen = attempts(|attempts| attempts.attempted);
        let filtered = attempts(|attempts| attempts.filtered);
        let own = attempts(|attempts| attempts.own);
        let own_filtered = attempts(|attempts| attempts.own_filtered);
        let own_lost = |message: &str| {
            window.delta(|sample| Some(*sample.own_losses.as_ref()?.get(message).unwrap_or(&0)))
        };
        let own_refused = sum([
            own_lost(message::BACKLOG_LIMIT),
            own_lost(message::OUT_OF_MEMORY),
        ]);
        let waited_before = waiting(window.zero);
        let waiting = waiting(window.last);
        let auxiliary = window.delta(|sample| sample.auxiliary);
        let refused = sum([dropped.backlog_limit, dropped.out_of_memory]);
        let drained = window
            .delta(|sample| sample.drain.as_ref().map(|drain| drain.drained))
            .map(|count| count + window.missed(counter::DRAIN));
        let (least, most) = window.main_growth().unzip();
        // What came must have gone or be there; what is left over, for want of
        // attempts when it is positive.
        let gap = (|| {
            let gone =
                drained? + filtered? + own_filtered? + refused? + dropped.rate_limit? + waiting?;
            let came = seen? + own? + auxiliary? + waited_before?;
            let stayed = signed(came)? - signed(gone)?;
            Some(stayed.clamp(least?, most?) - stayed)
        })();
        // A skipped call of `audit_filter` may have been an attempt or the user
        // filter: as many count as attempts as the law misses, if it misses any.
        let skipped = window.missed(counter::ATTEMPTS);
        let found = gap.map_or(skipped, |gap| u64::try_from(gap).unwrap_or(0).min(skipped));
        // A thread whose end of waiting was skipped seems to wait for ever.
        let stale = gap.map_or(0, |gap| {
            u64::try_from(gap)
                .unwrap_or(0)
                .saturating_sub(found)
                .min(window.missed(counter::STALL_ENDS))
                .min(waiting.unwrap_or(0))
        });
        let waiting = waiting.map(|waiting| waiting - stale);
        let attempted = seen.map(|count| count + found);
        let admitted = (|| {
            let refused = refused?.checked_sub(own_refused?)?;
            (attempted? + waited_before?).checked_sub(filtered? + refused + waiting?)
        })();
        let enqueued = (|| {
            let limited = dropped
                .rate_limit?
                .checked_sub(own_lost(message::RATE_LIMIT)?)?;
            (admitted? + auxiliary?).checked_sub(limited)
        })();
        Self {
            attempted,
            filtered,
            own,
            waiting,
            admitted,
            enqueued,
            drained,
            residual: gap.and_then(|gap| Some(signed(found + stale)? - gap)),
        }
    }
}

/// Attempts that wait. Where stalls are not followed, nobody does while the queue
/// has room or waiting is not allowed.
fn waiting(sample: &Sample) -> Option<u64> {
    let state = &sample.state;
    if let Some(waiters) = state.waiters {
        return Some(u64::from(waiters));
    }
    let has_room = state.limit? == 0 || state.depth? <= state.limit?;
    (has_room || state.wait_time_jiffies == Some(0)).then_some(0)
}

/// Stalls that may be missing: their beginning or end was skipped.
#[must_use]
pub fn stalls_missed(zero: &Sample, last: &Sample) -> u64 {
    let window = Window { zero, last };
    window.missed(counter::ATTEMPTS) + window.missed(counter::STALL_ENDS)
}

/// Law 2: drains against what became of them.
struct Delivered {
    delivered: Option<u64>,
    residual: Option<i64>,
}

impl Delivered {
    fn of(window: &Window<'_>, queued: &Queued, dropped: &Dropped) -> Self {
        let seen = window.delta(|sample| Some(sample.delivery.as_ref()?.delivered));
        let left = (|| {
            let lost = sum([
                dropped.silent,
                dropped.retry_overflow,
                dropped.hold_overflow,
            ])?;
            Some(
                signed(queued.drained?)?
                    - signed(seen? + lost)?
                    - window.growth(|sample| sample.state.retry_depth)?
                    - window.growth(|sample| sample.state.hold_depth)?
                    - window.growth(|sample| sample.state.in_hand)?,
            )
        })();
        // A skipped call of `netlink_unicast` may have been anyone's: what the
        // law misses was a delivery, up to the number of skipped calls.
        let found = left.map_or(0, |left| {
            u64::try_from(left)
                .unwrap_or(0)
                .min(window.missed(counter::DELIVERY))
        });
        // Where an error hook was skipped, the record in delivery seemed delivered.
        let given_up = left.map_or(0, |left| {
            u64::try_from(-left)
                .unwrap_or(0)
                .min(window.missed(counter::GIVE_UPS))
        });
        Self {
            delivered: seen.and_then(|count| (count + found).checked_sub(given_up)),
            residual: left.and_then(|left| Some(left - signed(found)? + signed(given_up)?)),
        }
    }
}

fn sum<const N: usize>(terms: [Option<u64>; N]) -> Option<u64> {
    terms.into_iter().sum()
}

fn signed(count: u64) -> Option<i64> {
    i64::try_from(count).ok()
}

fn losses_between(zero: &Sample, last: &Sample) -> Option<BTreeMap<String, u64>> {
    let before = zero.losses.as_ref()?;
    Some(
        last.losses
            .as_ref()?
            .iter()
            .map(|(name, &calls)| {
                let start = before.get(name).copied().unwrap_or(0);
                (name.clone(), calls.saturating_sub(start))
            })
            .filter(|&(_, calls)| calls > 0)
            .collect(),
    )
}

/// Growth of the kernel's own counter, across resets that were seen; `None` where
/// there was one that was not, or may have been, and where the counter was not read
/// at the window's very ends.
fn kernel_lost<'a>(
    zero: &Sample,
    last: &Sample,
    events: impl IntoIterator<Item = &'a Event>,
) -> Option<u64> {
    let apart = zero.state.lost_is_apart || last.state.lost_is_apart;
    let may_have_missed_a_reset = last.shortfalls.rare_missed > zero.shortfalls.rare_missed;
    if apart || may_have_missed_a_reset {
        return None;
    }
    let mut from = zero.state.lost?;
    let mut total = 0_u64;
    for event in events {
        if let EventKind::Change {
            field,
            old,
            result: 0,
            ..
        } = &event.what
            && field == "lost"
        {
            total += counter_growth(from, (*old)?)?;
            from = 0;
        }
    }
    Some(total + counter_growth(from, last.state.lost?)?)
}

/// Puts losses whose program was skipped under the reason seen most; where none
/// was seen they are losses of the main queue, the only ones made by many tasks
/// at a time.
fn with_unseen(mut calls: BTreeMap<String, u64>, unseen: u64) -> BTreeMap<String, u64> {
    if unseen > 0 {
        let name = calls.iter().max_by_key(|&(_, &count)| count).map_or_else(
            || message::BACKLOG_LIMIT.to_owned(),
            |(name, _)| name.clone(),
        );
        *calls.entry(name).or_insert(0) += unseen;
    }
    calls
}

fn without_record(calls: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let gone = [
        message::BACKLOG_LIMIT,
        message::OUT_OF_MEMORY,
        message::RATE_LIMIT,
        message::RETRY_OVERFLOW,
        message::HOLD_OVERFLOW,
    ];
    calls
        .iter()
        .filter(|(name, _)| !gone.contains(&name.as_str()))
        .map(|(name, &count)| (name.clone(), count))
        .collect()
}
