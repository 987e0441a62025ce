//! The [`Recommendation`]: what limit the load would have needed, or why none will help.
//!
//! In: [`Evidence`] of one trace, and what the user wants of the answer. Out: a verdict, the
//! number, the curve behind it and the reasons in words. Pure; docs/recommendation.md explains it.

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use crate::recommend::model::evidence::Evidence;

mod advice;
mod cause;
mod confidence;
mod consumer;
mod curve;
mod decision;
mod explanation;
pub mod model;
mod need;
pub mod policy;
mod reasons;
mod runs;
mod talkers;
mod wait_time;

pub use self::{
    advice::Advice,
    cause::Cause,
    confidence::Confidence,
    curve::CurvePoint,
    explanation::explain,
    need::{Need, Overload},
    runs::recommend_runs,
};

/// Most kernel memory that full queues may take unless the user says otherwise, bytes.
pub const MEMORY_BUDGET_BYTES: u64 = 64 << 20;

/// What the user wants of the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Share of the need that is added to it.
    pub headroom: f64,
    /// Most kernel memory that a full queue may take, bytes.
    pub memory_budget_bytes: u64,
    /// Whether a limit over that budget may be recommended.
    pub over_budget: bool,
    /// Lowest limit that may be recommended, records.
    pub floor: Option<u64>,
    /// Who asks for that floor.
    pub floor_reason: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            headroom: 0.2,
            memory_budget_bytes: MEMORY_BUDGET_BYTES,
            over_budget: false,
            floor: None,
            floor_reason: None,
        }
    }
}

/// What to do about the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It suffices.
    Keep,
    /// A higher one would have sufficed.
    Raise,
    /// It is higher than the memory budget allows, and the load needs less.
    Lower,
    /// None suffices: more comes than goes, or the loss has another cause.
    LimitWillNotHelp,
    /// This trace does not tell.
    Unknown,
}

impl Verdict {
    /// The verdict's name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Raise => "raise",
            Self::Lower => "lower",
            Self::LimitWillNotHelp => "limit_will_not_help",
            Self::Unknown => "unknown",
        }
    }
}

/// What holds the records up, or loses them, other than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bottleneck {
    /// The consumer takes less than comes.
    Consumer,
    /// No auditd is registered.
    NoAuditd,
    /// The rate limit.
    RateLimit,
    /// `kauditd` does not get the CPU.
    Kauditd,
    /// auditd's socket is full for so long that records leave the queue by another way.
    Socket,
    /// The kernel has no memory for records.
    Memory,
}

impl Bottleneck {
    /// The bottleneck's name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::NoAuditd => "no_auditd",
            Self::RateLimit => "rate_limit",
            Self::Kauditd => "kauditd",
            Self::Socket => "socket",
            Self::Memory => "memory",
        }
    }

    /// The same in words.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Consumer => "the arrival rate exceeds the consumer's service rate",
            Self::NoAuditd => "no auditd is registered",
            Self::RateLimit => "records exceed the rate limit",
            Self::Kauditd => "kauditd is starved of CPU",
            Self::Socket => "auditd's socket is full for too long",
            Self::Memory => "the kernel is out of memory for records",
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// What to do.
    pub verdict: Verdict,
    /// The limit to set, records; `None` where none is named.
    pub limit: Option<u64>,
    /// The limit in force, records.
    pub current: Option<u64>,
    /// The smallest limit without loss and without stall, for this load, records.
    pub needed: Option<u64>,
    /// Least that it can be by this trace.
    pub needed_low: Option<u64>,
    /// Most that it can be by this trace.
    pub needed_high: Option<u64>,
    /// Share that was added to the need.
    pub headroom: f64,
    /// How far the number can be trusted.
    pub confidence: Confidence,
    /// What keeps it from being higher, and what would raise it; empty where it is high.
    pub confidence_reasons: Vec<String>,
    /// What stands in the way, where that is not the limit.
    pub bottleneck: Option<Bottleneck>,
    /// What makes the consumer slow, where it is and the evidence names it.
    pub cause: Option<Cause>,
    /// Wait time to set, ns; `None` where the one in force is fine.
    pub wait_time_ns: Option<u64>,
    /// Kernel memory of a queue that is full to that limit, bytes, by the records of this trace.
    pub memory_bytes: Option<u64>,
    /// The same for main, retry and hold queue full of the largest record of this trace, bytes.
    pub memory_worst_bytes: Option<u64>,
    /// Whether the limit is lower than it should be, since the memory budget allows no more.
    #[serde(default)]
    pub capped_by_budget: bool,
    /// The same by the folklore figure of 8,970 bytes a record.
    pub memory_folklore_bytes: Option<u64>,
    /// What other limits would have done.
    pub curve: Vec<CurvePoint>,
    /// Why, in sentences.
    pub reasons: Vec<String>,
    /// What to do; the most effective first.
    pub advice: Vec<Advice>,
    /// Rules of baselines that the limit to set, or the one to keep, breaks.
    pub breaks_rules: Vec<String>,
    /// The command that sets it.
    pub apply: Option<String>,
    /// The command that takes it back.
    pub undo: Option<String>,
}

/// The answer to one trace.
#[must_use]
pub fn recommend(evidence: &Evidence, wishes: &Options) -> Recommendation {
    decision::decide(evidence, wishes)
}
