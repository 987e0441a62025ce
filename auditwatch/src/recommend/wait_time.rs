//! The wait time: whether the one in force should be another, and what the two ways cost.
//!
//! In: evidence. Out: a wait time, or none where the one in force is fine. Pure. It never asks for
//! less waiting where a loss makes the kernel panic.

use super::{Advice, Need};
use crate::{
    recommend::model::{
        demand::{float, whole},
        evidence::Evidence,
        replay,
        service::Service,
    },
    units::{count, duration},
};

/// Wait times in ticks that were probably meant as milliseconds: the kernel's default is 60 s.
const SUSPECT_TICKS: [u64; 4] = [60_000, 30_000, 10_000, 5_000];
/// The kernel's default (`AUDIT_BACKLOG_WAIT_TIME`, kernel/audit.c), seconds.
const DEFAULT_S: u64 = 60;
const MS_NS: u64 = 1_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// A wait time to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WaitTime {
    /// ns.
    pub(super) ns: u64,
    /// The same in ticks, which is what the kernel takes.
    ticks: u64,
}

impl WaitTime {
    fn of_ns(ns: u64, hz: u32) -> Self {
        Self {
            ns,
            ticks: ns / MS_NS * u64::from(hz) / 1000,
        }
    }

    fn default_for(evidence: &Evidence) -> Option<Self> {
        Some(Self::of_ns(DEFAULT_S * SECOND_NS, evidence.hz?))
    }

    fn command(self) -> String {
        set(self.ticks)
    }
}

fn set(ticks: u64) -> String {
    format!("auditctl --backlog_wait_time {ticks}")
}

/// Ticks and milliseconds, where the one was probably taken for the other.
fn mistaken(evidence: &Evidence) -> Option<(u64, u32)> {
    let (ticks, hz) = (evidence.wait_time_ticks?, evidence.hz?);
    (SUSPECT_TICKS.contains(&ticks) && hz != 1000).then_some((ticks, hz))
}

/// The sentence on a wait time that is not what it was meant to be.
pub(super) fn suspicion(evidence: &Evidence) -> Option<String> {
    let (ticks, hz) = mistaken(evidence)?;
    Some(format!(
        "backlog_wait_time is {} jiffies of 1/{hz} s, which is {} on this host: the unit is not milliseconds",
        count(ticks),
        duration(evidence.wait_time_ns?)
    ))
}

/// The wait time to set, and why; `None` where the one in force is fine.
pub(super) fn wanted(evidence: &Evidence) -> Option<(WaitTime, Advice)> {
    let now = evidence.wait_time_ticks?;
    if let Some((ticks, hz)) = mistaken(evidence) {
        let meant = WaitTime::of_ns(ticks * MS_NS, hz);
        // Less waiting is more loss, and a loss would be a panic. More is no worse than what is.
        if evidence.panics() && meant.ticks < now {
            return None;
        }
        let advice = Advice::new(
            format!("set the wait time to {}", duration(meant.ns)),
            format!(
                "a task stalls {} at most before its record is lost, instead of {}",
                duration(meant.ns),
                duration(evidence.wait_time_ns?)
            ),
            suspicion(evidence)?,
        )
        .by(meant.command())
        .undone_by(Some(set(now)));
        return Some((meant, advice));
    }
    if now == 0 && evidence.panics() {
        let default = WaitTime::default_for(evidence)?;
        let advice = Advice::new(
            format!(
                "let tasks wait up to {} for room in the queue",
                duration(default.ns)
            ),
            "a full queue stalls tasks instead of panicking the kernel",
            "the wait time is 0, and a lost record panics the kernel (-f 2)",
        )
        .by(default.command())
        .undone_by(Some(set(now)))
        .sparing(evidence.refused);
        return Some((default, advice));
    }
    None
}

/// The other way to pay for a queue that is full whatever its limit: by loss, or by waiting.
pub(super) fn trade(evidence: &Evidence, service: &Service, need: &Need) -> Option<Advice> {
    let limit = evidence.limit.filter(|&limit| limit > 0)?;
    let now = evidence.wait_time_ticks?;
    let steady = need.steady_arrivals(evidence);
    if now > 0 {
        // Never less waiting where a loss is a panic.
        if evidence.panics() || evidence.stalls == 0 {
            return None;
        }
        let lost = replay::refusing(&steady, service, limit).refused_records;
        let all: f64 = steady.iter().map(|arrival| arrival.records).sum();
        return Some(
            Advice::new(
                "if no task may stall: set the wait time to 0 and accept losses",
                format!(
                    "no task would stall, and {} of {} records ({:.0} %) of this trace would be lost",
                    count(whole(lost)),
                    count(whole(all)),
                    lost / all.max(1.0) * 100.0
                ),
                format!(
                    "tasks stalled {} times ({} in total)",
                    count(evidence.stalls),
                    duration(evidence.stalled_ns)
                ),
            )
            .by(set(0))
            .undone_by(Some(set(now))),
        );
    }
    let default = WaitTime::default_for(evidence).filter(|_| !evidence.panics())?;
    let late_ns = replay::waiting(&steady, service, limit).held_up_ns;
    Some(
        Advice::new(
            "if no record may be lost: let tasks wait for room in the queue",
            format!(
                "no record would be lost, and the load would take {} longer",
                duration(whole(late_ns))
            ),
            format!(
                "{} records were dropped, and the wait time is 0",
                count(evidence.refused)
            ),
        )
        .by(default.command())
        .undone_by(Some(set(now))),
    )
}

/// What a longer queue does to those who wait all the same.
pub(super) fn longer_stalls(evidence: &Evidence, service: &Service, limit: u64) -> Option<String> {
    let now = evidence.limit.filter(|&now| now > 0 && now < limit)?;
    if evidence.wait_time_ns == Some(0) {
        return None;
    }
    let full_ns = |limit: u64| whole(float(limit) * service.record_ns);
    Some(format!(
        "if the queue still fills, a stall lasts about {} at limit {} (now {}): a longer queue makes stalls rarer, not shorter",
        duration(full_ns(limit)),
        count(limit),
        duration(full_ns(now)),
    ))
}

#[cfg(test)]
mod tests {
    use super::{WaitTime, wanted};
    use crate::recommend::model::evidence::Evidence;

    fn evidence(ticks: u64, hz: u32, failure: u32) -> Evidence {
        Evidence {
            wait_time_ticks: Some(ticks),
            wait_time_ns: Some(ticks * 1_000_000_000 / u64::from(hz)),
            hz: Some(hz),
            failure: Some(failure),
            ..Evidence::default()
        }
    }

    #[test]
    fn ticks_meant_as_milliseconds_are_reported() {
        let (wait, advice) = wanted(&evidence(60_000, 250, 1)).expect("told");
        assert_eq!(
            wait,
            WaitTime {
                ns: 60_000_000_000,
                ticks: 15_000
            }
        );
        assert_eq!(
            advice.command.as_deref(),
            Some("auditctl --backlog_wait_time 15000")
        );
        assert_eq!(
            advice.undo.as_deref(),
            Some("auditctl --backlog_wait_time 60000")
        );
        assert!(advice.evidence.contains("4 min 00 s"), "{advice:?}");
        // There it is what it was meant to be.
        assert_eq!(wanted(&evidence(60_000, 1000, 1)), None);
        assert_eq!(wanted(&evidence(15_000, 250, 1)), None);
        assert_eq!(wanted(&evidence(0, 250, 1)), None);
    }

    #[test]
    fn wait_time_is_not_lowered_if_a_loss_panics() {
        assert_eq!(wanted(&evidence(60_000, 250, 2)), None);
        let (wait, advice) = wanted(&evidence(0, 250, 2)).expect("told");
        assert_eq!(wait.ticks, 15_000);
        assert!(advice.evidence.contains("panic"), "{advice:?}");
    }

    #[test]
    fn unread_wait_time_is_not_changed() {
        assert_eq!(wanted(&Evidence::default()), None);
        let mut no_hz = evidence(60_000, 250, 1);
        no_hz.hz = None;
        assert_eq!(wanted(&no_hz), None);
    }
}
