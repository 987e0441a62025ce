//! [`Confidence`]: how far the number can be trusted, why not further, and what would raise it.
//!
//! In: evidence and the need. Out: a grade, and a sentence for each thing that lowers it. Pure.

use serde::{Deserialize, Serialize};

use super::Need;
use crate::{
    recommend::model::{evidence::Evidence, service::Service},
    units::{self, count, duration, was},
};

/// Fewest attempts of which a pace can be told well.
const MANY_ATTEMPTS: u64 = 200;
/// Fewer attempts than this say nothing of a load.
pub(super) const FEW_ATTEMPTS: u64 = 20;
/// Shortest trace without pressure that says something of a load, ns.
pub(super) const SHORT_NS: u64 = 1_000_000_000;

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
    trust
}

/// Trust in an answer that rests on what the kernel counted.
pub(super) fn counted(evidence: &Evidence) -> Trust {
    let mut trust = Trust::full();
    own_shortfalls(&mut trust, evidence);
    trust
}

/// Trust in a need by replay.
pub(super) fn replayed(evidence: &Evidence, service: &Service, need: &Need) -> Trust {
    let mut trust = Trust::full();
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
        trust.at_most(
            Confidence::Medium,
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
