//! [`Confidence`]: how far the number can be trusted, why not further, and what would raise it.
//!
//! In: evidence and the need. Out: a grade, and a sentence for each thing that lowers it. Pure.

use serde::{Deserialize, Serialize};

use super::Need;
use crate::{
    recommend::model::{
        demand::whole, evidence::Evidence, fit::Fit, replay::PATIENCE_NS, service::Service,
    },
    units::{self, count, duration, was},
};

/// Fewest attempts of which a pace can be told well.
const MANY_ATTEMPTS: u64 = 200;
/// Fewer attempts than this say nothing of a load.
pub(super) const FEW_ATTEMPTS: u64 = 20;
/// Shortest trace without pressure that says something of a load, ns.
pub(super) const SHORT_NS: u64 = 1_000_000_000;

/// Shortest window of a load that goes on, of which a need is told well, ns.
const WINDOW_NS: u64 = 2_000_000_000;

/// How far the number can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// It is a guess, or there is none.
    Low,
    /// Something was not measured, or could be read in two ways.
    Medium,
    /// All that it rests on was measured.
    High,
}

impl Confidence {
    /// The confidence's name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A grade, and what keeps it from being higher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trust {
    pub(super) grade: Confidence,
    pub(super) reasons: Vec<String>,
}

impl Trust {
    pub(super) const fn full() -> Self {
        Self {
            grade: Confidence::High,
            reasons: Vec::new(),
        }
    }

    /// None, and what would change that.
    pub(super) fn none(remedy: String) -> Self {
        Self {
            grade: Confidence::Low,
            reasons: vec![remedy],
        }
    }

    /// Lowers the grade to this one where it is higher.
    pub(super) fn at_most(&mut self, grade: Confidence, reason: String) {
        self.grade = self.grade.min(grade);
        self.reasons.push(reason);
    }
}

/// Trust in an answer that rests on no more than the greatest length of the queue.
pub(super) fn unhurt(evidence: &Evidence) -> Trust {
    let mut trust = Trust::full();
    own_shortfalls(&mut trust, evidence);
    let attempted = evidence.attempted.unwrap_or(0);
    if attempted < FEW_ATTEMPTS {
        trust.at_most(
            Confidence::Low,
            format!(
                "{} seen: trace while the host does its usual work",
                match attempted {
                    0 => "no records were".to_owned(),
                    some => format!("only {} {}", units::counted(some, "record"), was(some)),
                }
            ),
        );
    } else if evidence.duration_ns < SHORT_NS || attempted < MANY_ATTEMPTS {
        trust.at_most(
            Confidence::Medium,
            format!(
                "only {} {} seen in {}: trace for longer, over the busiest time",
                units::counted(attempted, "record"),
                was(attempted),
                duration(evidence.duration_ns)
            ),
        );
    }
    if evidence.depth_end.is_some_and(|depth| depth > 0) || evidence.retried > 0 {
        trust.at_most(
            Confidence::Medium,
            "the queue was not empty at the end, or records had to be sent again: they may be lost yet".to_owned(),
        );
    }
    if evidence.peak_is_the_schedulers() {
        trust.at_most(
            Confidence::Medium,
            "the peak depth came while kauditd had no CPU: another run has another peak".to_owned(),
        );
    }
    trust
}

/// Trust in an answer that rests on what the kernel counted.
pub(super) fn counted(evidence: &Evidence) -> Trust {
    let mut trust = Trust::full();
    own_shortfalls(&mut trust, evidence);
    trust
}

/// Trust in a need by replay.
pub(super) fn replayed(
    evidence: &Evidence,
    service: &Service,
    need: &Need,
    fit: Option<&Fit>,
) -> Trust {
    let mut trust = Trust::full();
    compared_with_the_trace(&mut trust, evidence, fit);
    patience(&mut trust, evidence, service);
    if evidence.duration_ns < WINDOW_NS && !evidence.load_has_ended {
        trust.at_most(
            Confidence::Medium,
            format!(
                "the trace lasted {}: trace for longer, over the busiest time",
                duration(evidence.duration_ns)
            ),
        );
    }
    if need.is_starved {
        trust.at_most(
            Confidence::Low,
            format!(
                "kauditd was starved of CPU, which the model cannot predict: set the limit to {} and trace again; the peak depth is then the need",
                count(need.high)
            ),
        );
    }
    if need.is_open_or_closed {
        trust.at_most(
            Confidence::Low,
            format!(
                "stalled tasks may or may not catch up later: set the limit to {}, at which no task stalls, and trace again",
                count(need.high)
            ),
        );
    } else if evidence.stalls > 0 {
        let pauses_meet_waits = !service.pauses.is_empty();
        let had_room = evidence.depth_max_with_room.unwrap_or(0);
        let pressed_with_room = evidence.lowest_limit.is_some_and(|limit| had_room >= limit);
        trust.at_most(
            if pauses_meet_waits || pressed_with_room {
                Confidence::Low
            } else {
                Confidence::Medium
            },
            format!(
                "the demand of stalled tasks is an estimate: set the limit to {}, at which no task stalls, and trace again",
                count(need.high)
            ),
        );
    }
    if need.overload.is_some() {
        trust.at_most(
            Confidence::Medium,
            "the need depends on how long the load lasts: trace until it ends".to_owned(),
        );
    }
    if !service.pace_is_measured {
        trust.at_most(
            Confidence::Low,
            "the consumer stood still: its pace is assumed".to_owned(),
        );
    }
    if !service.socket_is_measured {
        trust.at_most(
            Confidence::Medium,
            "the size of the consumer's socket buffer is assumed, because it was hardly ever full: trace at a busier time"
                .to_owned(),
        );
    }
    if service.pauses_without_time > 0 {
        trust.at_most(
            Confidence::Medium,
            format!(
                "the consumer paused {} more than could be timed: trace with a shorter --interval",
                units::counted(service.pauses_without_time, "time")
            ),
        );
    }
    if evidence.attempted.unwrap_or(0) < MANY_ATTEMPTS {
        trust.at_most(
            Confidence::Medium,
            format!(
                "only {} {} seen: trace for longer",
                units::counted(evidence.attempted.unwrap_or(0), "record"),
                was(evidence.attempted.unwrap_or(0))
            ),
        );
    }
    own_shortfalls(&mut trust, evidence);
    trust
}

/// What the replay at the limit in force says of the model.
fn compared_with_the_trace(trust: &mut Trust, evidence: &Evidence, fit: Option<&Fit>) {
    let Some(fit) = fit else {
        if evidence.refused > 0 {
            trust.at_most(
                Confidence::Medium,
                "the model could not be compared with the trace: records were dropped, and tasks waited, or the limit changed"
                    .to_owned(),
            );
        }
        return;
    };
    if !fit.is_corrected() {
        return;
    }
    let times = (fit.lost_by_replay.max(1.0) / fit.lost.max(1.0))
        .max(fit.lost.max(1.0) / fit.lost_by_replay.max(1.0));
    let grade = if fit.is_within() {
        Confidence::Medium
    } else {
        Confidence::Low
    };
    trust.at_most(
        grade,
        format!(
            "the model is off by {times:.1}x at the current limit: apply the limit, and trace again"
        ),
    );
}

/// What a socket that is full for long does to the records.
fn patience(trust: &mut Trust, evidence: &Evidence, service: &Service) {
    if evidence.booted_with_audit == Some(true) {
        return;
    }
    let longest_ns = service.longest_pause_ns();
    let empty_ns = whole(service.socket_records * service.record_ns);
    if evidence.retried > 0
        || (longest_ns >= PATIENCE_NS && longest_ns.saturating_add(empty_ns) > 5 * PATIENCE_NS)
    {
        trust.at_most(
            Confidence::Medium,
            "the consumer's socket was full for so long that kauditd may give records up: a larger limit may hide the loss"
                .to_owned(),
        );
    }
}

/// What the programs themselves did not see.
fn own_shortfalls(trust: &mut Trust, evidence: &Evidence) {
    let doubts = &evidence.doubts;
    if !doubts.hooks.is_empty() {
        trust.at_most(
            Confidence::Low,
            format!(
                "these functions are not hooked: {}; `auditwatch doctor` names the cause",
                doubts.hooks.join(", ")
            ),
        );
    }
    if doubts.breaks_off {
        trust.at_most(
            Confidence::Medium,
            "the recording is cut off: later records are unknown".to_owned(),
        );
    }
    if doubts.forgotten > 0 {
        trust.at_most(
            Confidence::Low,
            format!(
                "{} {} too old to be kept: trace for less than an hour",
                units::counted(doubts.forgotten, "attempt"),
                was(doubts.forgotten)
            ),
        );
    }
    let attempted = evidence.attempted.unwrap_or(0);
    for (number, what) in [
        (
            doubts.missed,
            "the kernel skipped the BPF programs: trace while fewer other tracers run",
        ),
        (
            doubts.untracked,
            "stalls could not be followed: trace while fewer tasks stall",
        ),
    ] {
        if number.saturating_mul(100) > attempted {
            trust.at_most(
                Confidence::Medium,
                format!("{}: {what}", units::counted(number, "time")),
            );
        }
    }
}
