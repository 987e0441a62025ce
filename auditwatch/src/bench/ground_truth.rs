//! The truth of a benchmark run, and how the trace of it compares.
//!
//! In: what producers, consumer and the kernel's own counters say; the trace's
//! summary. Out: checks. Pure. It must not make one side look like the other: what a
//! side does not know is `None`, and then there is nothing to compare.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{storm::Kind, trace::report::Summary};

/// What one producer did in one phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerReport {
    /// The phase.
    pub phase: String,
    /// The producer's name.
    pub name: String,
    /// What its events are.
    pub kind: Kind,
    /// Threads.
    pub threads: u32,
    /// Events made.
    pub events: u64,
    /// Events that the kernel refused; they may have made no record.
    pub failed: u64,
    /// Why the first of them was refused.
    pub failure: Option<String>,
    /// Events during which the thread slept.
    pub slept: u64,
    /// Time in those, ns, by all threads together.
    pub slept_ns: u64,
    /// Time of an event, ns: the median.
    pub p50_ns: u64,
    /// The 99th percentile.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// What is known of a run without tracing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// What the producers did.
    pub producers: Vec<ProducerReport>,
    /// Who took the records: `sink`, `auditd`, `stopped`, `none`.
    pub consumer: String,
    /// Records that the consumer received, by type; `None` where nobody counted.
    pub received: Option<BTreeMap<String, u64>>,
    /// Whether the consumer shows EOE records, which auditd does not log.
    pub counts_eoe: bool,
    /// Growth of the kernel's own `lost`.
    pub lost: Option<u64>,
    /// Growth of the kernel's own time waited by all tasks together, ns.
    pub waited_ns: Option<u64>,
}

impl Truth {
    /// Events made.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.producers.iter().map(|producer| producer.events).sum()
    }

    /// Records received.
    #[must_use]
    pub fn received_total(&self) -> Option<u64> {
        Some(self.received.as_ref()?.values().sum())
    }
}

/// A figure that both sides know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What is compared.
    pub what: String,
    /// By producers, consumer or kernel.
    pub truth: Option<u64>,
    /// By the trace.
    pub traced: Option<u64>,
    /// Whether they are equal; `None` where one does not know.
    pub agrees: Option<bool>,
}

impl Check {
    fn new(what: impl Into<String>, truth: Option<u64>, traced: Option<u64>) -> Self {
        Self {
            what: what.into(),
            truth,
            traced,
            agrees: truth.zip(traced).map(|(truth, traced)| truth == traced),
        }
    }
}

/// Holds a trace against the truth of its run.
#[must_use]
pub fn check(truth: &Truth, summary: &Summary) -> Vec<Check> {
    let ledger = &summary.ledger;
    let dropped = &ledger.dropped;
    let counted = [
        dropped.backlog_limit,
        dropped.rate_limit,
        dropped.out_of_memory,
        dropped.retry_overflow,
        dropped.hold_overflow,
    ]
    .into_iter()
    .chain(
        ledger
            .lost_without_record
            .values()
            .map(|&count| Some(count)),
    )
    .sum();
    let after_drain: Option<u64> = [
        dropped.silent,
        dropped.retry_overflow,
        dropped.hold_overflow,
    ]
    .into_iter()
    .sum();
    let hidden = |name: &str| !truth.counts_eoe && name == "EOE";
    let shown = |delivered: u64| {
        let eoe = summary.types.as_ref()?.get("EOE").copied().unwrap_or(0);
        match (truth.counts_eoe, after_drain?) {
            (true, _) => Some(delivered),
            // Which of the records were lost after they left the queue is not known.
            (false, 0) => delivered.checked_sub(eoe),
            (false, _) => None,
        }
    };
    let mut checks = vec![
        Check::new("records that the laws leave over", Some(0), ledger.residual),
        Check::new("records lost, by the kernel's count", truth.lost, counted),
        Check::new(
            "records received",
            truth.received_total(),
            ledger.delivered.and_then(shown),
        ),
    ];
    if let (Some(received), Some(types), Some(0)) = (&truth.received, &summary.types, after_drain) {
        let mut names: Vec<&String> = received.keys().chain(types.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names.into_iter().filter(|name| !hidden(name)) {
            let of = |counts: &BTreeMap<String, u64>| counts.get(name).copied().or(Some(0));
            checks.push(Check::new(
                format!("{name} received"),
                of(received),
                of(types),
            ));
        }
    }
    checks
}

/// Whether no check contradicts.
#[must_use]
pub fn agree(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.agrees != Some(false))
}

/// `bench`, the kind of a [`BenchReport`]: no other is written, and a line of another is not read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BenchKind {
    /// The only one.
    Bench,
}

/// One benchmark run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchReport {
    /// Always `bench`.
    pub kind: BenchKind,
    /// Version of this form; keys are only ever added.
    pub schema: u32,
    /// The storm's name.
    pub storm: String,
    /// Backlog limit during the run, records; 0 for none.
    pub limit: u32,
    /// What is known without tracing.
    pub truth: Truth,
    /// How the trace compares.
    pub checks: Vec<Check>,
    /// Whether no check contradicts.
    pub agrees: bool,
    /// What the trace says.
    pub trace: Summary,
}

/// Version of [`BenchReport`].
pub const SCHEMA: u32 = 1;

/// `point`, the kind of a [`Point`]: no other is written, and a line of another is not read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PointKind {
    /// The only one.
    Point,
}

/// What a storm came to at one limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Always `point`.
    pub kind: PointKind,
    /// Backlog limit, records; 0 for none.
    pub limit: u32,
    /// Records attempted.
    pub attempted: Option<u64>,
    /// Records lost.
    pub lost: Option<u64>,
    /// Stalls.
    pub stalls: Option<u64>,
    /// Time stalled by all tasks together, ns.
    pub stalled_ns: Option<u64>,
    /// Longest stall, ns.
    pub longest_stall_ns: Option<u64>,
    /// Greatest queue length, records.
    pub peak: Option<u64>,
    /// Greatest memory of the queue, bytes.
    pub queue_peak_bytes: Option<u64>,
    /// 99th percentile of an event's time, of the slowest producer, ns.
    pub p99_ns: Option<u64>,
    /// Whether trace and truth agree.
    pub agrees: bool,
}

impl Point {
    /// What a run came to.
    #[must_use]
    pub fn of(report: &BenchReport) -> Self {
        let trace = &report.trace;
        Self {
            kind: PointKind::Point,
            limit: report.limit,
            attempted: trace.ledger.attempted,
            lost: trace.lost,
            stalls: trace.stalls.as_ref().map(|stalls| stalls.count),
            stalled_ns: trace.stalls.as_ref().map(|stalls| stalls.total_ns),
            longest_stall_ns: trace.stalls.as_ref().map(|stalls| stalls.max_ns),
            peak: trace.depth.max,
            queue_peak_bytes: trace
                .memory
                .as_ref()
                .and_then(|memory| memory.queue_peak_bytes),
            p99_ns: report
                .truth
                .producers
                .iter()
                .map(|producer| producer.p99_ns)
                .max(),
            agrees: report.agrees,
        }
    }
}
