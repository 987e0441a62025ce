//! The comparison of two traces, figure by figure: what changed from the first to the
//! second, and whether that is more than noise.
//!
//! In: intervals and summaries of both. Out: a [`Comparison`]. Pure. What has one value
//! a trace (a peak, say) has no noise to be held against, and is never judged.

mod noise;

use noise::{Values, noise};
use serde::{Deserialize, Serialize};

use crate::{
    sample::Source,
    trace::report::{Interval, Summary},
    untrusted::Untrusted,
};

/// Version of the form; keys are only ever added.
pub const SCHEMA: u32 = 1;
/// A difference counts when chance alone makes one so large less often than this.
const CHANCE: f64 = 0.001;
/// Smaller changes are nobody's concern, share of the first value.
const LEAST_CHANGE: f64 = 0.01;
/// A greater change than this is never called none, share of the larger value.
const LARGE_CHANGE: f64 = 0.25;
/// Name of the figure that tells how heavy the load was.
pub const ATTEMPTS: &str = "attempts";
/// Intervals that each side needs for its noise to be known.
pub const LEAST_INTERVALS: usize = 5;

/// One trace, whole.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its intervals in order.
    pub intervals: Vec<Interval>,
    /// Its summary.
    pub summary: Summary,
}

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Less of what hurts.
    Better,
    /// More of what hurts.
    Worse,
    /// Another load, neither good nor bad.
    Changed,
    /// No difference beyond the noise.
    Same,
    /// A difference that may be noise.
    Unclear,
    /// Not measured on both sides.
    Unknown,
}

impl Verdict {
    /// Its name in the report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Changed => "changed",
            Self::Same => "same",
            Self::Unclear => "unclear",
            Self::Unknown => "unknown",
        }
    }
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Events or records a second.
    PerS,
    /// Nanoseconds asleep a second, by all tasks together.
    NsPerS,
    /// Records.
    Records,
    /// Nanoseconds.
    Ns,
    /// Bytes.
    Bytes,
    /// Part of a whole, 0 to 1.
    Share,
}

/// One figure on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// What it counts.
    pub unit: Unit,
    /// In the first trace, over all intervals that it was measured in; `None` where it was in none.
    pub a: Option<f64>,
    /// In the second.
    pub b: Option<f64>,
    /// Change as a share of the first; `None` where that is 0.
    pub change: Option<f64>,
    /// A difference up to this is noise, in the figure's unit; `None` where the noise is not known, or one
    /// trace has none at all and the other too many for that to be chance.
    pub noise: Option<f64>,
    /// What the change means.
    pub verdict: Verdict,
}

/// What differs beside the load, and so may be why figures differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circumstance {
    /// What it is.
    pub what: String,
    /// In the first trace.
    pub a: Untrusted,
    /// In the second.
    pub b: Untrusted,
}

/// `comparison`, the kind of a [`Comparison`]: no other is written, and a line of another is not read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComparisonKind {
    /// The only one.
    Comparison,
}

/// Two traces side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Always `comparison`.
    pub kind: ComparisonKind,
    /// Version of this form.
    pub schema: u32,
    /// Lengths of the traces, ns.
    pub duration_ns: [u64; 2],
    /// Whole intervals: below [`LEAST_INTERVALS`] the noise is not known.
    pub intervals: [usize; 2],
    /// Settings and circumstances that differ.
    pub circumstances: Vec<Circumstance>,
    /// The figures.
    pub figures: Vec<Figure>,
    /// The worst of the verdicts on figures with more than one value: `worse`, `better`,
    /// `changed`, `unclear`, `same` or `unknown`.
    pub verdict: Verdict,
    /// What the reader should know before trusting it.
    pub notes: Vec<String>,
}

/// Whether more of a figure hurts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sense {
    Hurts,
    Load,
}

/// How the figure of an interval is read: a part, and the whole that it is held against (seconds, or
/// records), so that the figure of a trace is that of all its parts and all its wholes. `None` where it
/// was not measured.
type Pick = fn(&Interval) -> Option<(f64, f64)>;
/// How the figure of a whole trace is read.
type PickOne = fn(&Summary) -> Option<u64>;

/// A figure that each interval has a value of.
struct Series {
    name: &'static str,
    unit: Unit,
    sense: Sense,
    pick: Pick,
    /// How many the whole trace counted, where it counts something.
    total: Option<PickOne>,
}

const SERIES: &[Series] = &[
    Series {
        name: ATTEMPTS,
        unit: Unit::PerS,
        sense: Sense::Load,
        pick: |i| Some((float(i.ledger.attempted?), seconds(i))),
        total: None,
    },
    Series {
        name: "records drained",
        unit: Unit::PerS,
        sense: Sense::Load,
        pick: |i| Some((float(i.ledger.drained?), seconds(i))),
        total: None,
    },
    Series {
        name: "records lost",
        unit: Unit::PerS,
        sense: Sense::Hurts,
        pick: |i| Some((float(i.lost?), seconds(i))),
        total: Some(|s| s.lost),
    },
    Series {
        name: "attempts lost",
        unit: Unit::Share,
        sense: Sense::Hurts,
        pick: |i| Some((float(i.lost?), float(i.ledger.attempted?))),
        total: Some(|s| s.lost),
    },
    Series {
        name: "stalls",
        unit: Unit::PerS,
        sense: Sense::Hurts,
        pick: |i| Some((float(i.stalls.as_ref()?.count), seconds(i))),
        total: Some(stalls),
    },
    Series {
        name: "time in stalls",
        unit: Unit::NsPerS,
        sense: Sense::Hurts,
        pick: |i| Some((float(i.stalls.as_ref()?.total_ns), seconds(i))),
        total: Some(stalls),
    },
    Series {
        name: "queue length",
        unit: Unit::Records,
        sense: Sense::Hurts,
        pick: |i| Some((f64::from(i.depth.main?) * seconds(i), seconds(i))),
        total: None,
    },
    Series {
        name: "records retried",
        unit: Unit::PerS,
        sense: Sense::Hurts,
        pick: |i| Some((float(i.ledger.retried?), seconds(i))),
        total: Some(|s| s.ledger.retried),
    },
];

fn stalls(summary: &Summary) -> Option<u64> {
    Some(summary.stalls.as_ref()?.count)
}

const ONES: &[(&str, Unit, PickOne)] = &[
    ("peak queue length", Unit::Records, |s| s.depth.max),
    ("longest stall", Unit::Ns, |s| {
        s.stalls.as_ref().map(|stalls| stalls.max_ns)
    }),
    ("memory at the peak", Unit::Bytes, |s| {
        s.memory.as_ref().and_then(|memory| memory.queue_peak_bytes)
    }),
];

/// Compares `b` with `a`.
#[must_use]
pub fn compare(a: &Trace, b: &Trace) -> Comparison {
    let intervals = [whole_intervals(a), whole_intervals(b)];
    let is_noise_known = intervals.iter().all(|&number| number >= LEAST_INTERVALS);
    let mut figures: Vec<Figure> = SERIES
        .iter()
        .map(|of| series(of, [a, b], is_noise_known))
        .collect();
    let verdict = overall(&figures);
    let notes = notes([a, b], intervals, &figures);
    figures.extend(
        ONES.iter()
            .map(|&(name, unit, pick)| one(name, unit, pick(&a.summary), pick(&b.summary))),
    );
    Comparison {
        kind: ComparisonKind::Comparison,
        schema: SCHEMA,
        duration_ns: [a.summary.duration_ns, b.summary.duration_ns],
        intervals,
        circumstances: circumstances(&a.summary, &b.summary),
        verdict,
        notes,
        figures,
    }
}

/// The figures' verdicts in one: what hurts goes first.
fn overall(figures: &[Figure]) -> Verdict {
    let has = |verdict| figures.iter().any(|figure| figure.verdict == verdict);
    [
        Verdict::Worse,
        Verdict::Better,
        Verdict::Changed,
        Verdict::Unclear,
        Verdict::Same,
    ]
    .into_iter()
    .find(|&verdict| has(verdict))
    .unwrap_or(Verdict::Unknown)
}

/// How many intervals are of about the usual length: the last one is cut off by the trace's end.
fn whole_intervals(trace: &Trace) -> usize {
    let mut lengths: Vec<u64> = trace.intervals.iter().map(|i| i.duration_ns).collect();
    lengths.sort_unstable();
    let median = lengths.get(lengths.len() / 2).copied().unwrap_or(0);
    let is_whole = |length: &&u64| **length > 0 && **length >= median / 2;
    lengths.iter().filter(is_whole).count()
}

fn series(of: &Series, traces: [&Trace; 2], is_noise_known: bool) -> Figure {
    let [a, b] = traces.map(|trace| Values::of(trace.intervals.iter().filter_map(of.pick)));
    let ratios = (a.map(|a| a.ratio), b.map(|b| b.ratio));
    let (Some(a), Some(b)) = (a, b) else {
        return figure(of.name, of.unit, ratios, None, Verdict::Unknown);
    };
    let is_none_against_some = is_none_against_some(of, traces.map(|trace| &trace.summary));
    // Where one side has none at all, its intervals do not tell how much it might have had.
    let noise = noise(&a, &b).filter(|_| is_noise_known && !is_none_against_some);
    let difference = b.ratio - a.ratio;
    let within = |share: f64| difference.abs() <= share * a.ratio.abs().max(b.ratio.abs());
    let verdict = if within(LEAST_CHANGE) {
        Verdict::Same
    } else if is_none_against_some || noise.is_some_and(|n| difference.abs() > n) {
        match of.sense {
            Sense::Load => Verdict::Changed,
            Sense::Hurts if difference > 0.0 => Verdict::Worse,
            Sense::Hurts => Verdict::Better,
        }
    } else if noise.is_none() || !within(LARGE_CHANGE) {
        // So much noise could hide a real change of that size.
        Verdict::Unclear
    } else {
        Verdict::Same
    };
    figure(of.name, of.unit, ratios, noise, verdict)
}

/// Whether one trace counted none, and the other so many that chance would hardly have
/// left the first without any: that is a difference in a trace of any length.
fn is_none_against_some(of: &Series, summaries: [&Summary; 2]) -> bool {
    let Some(total) = of.total else { return false };
    let [a, b] = summaries;
    [(a, b), (b, a)].into_iter().any(|(none, some)| {
        let (Some(0), Some(count)) = (total(none), total(some)) else {
            return false;
        };
        let per_ns = float(count) / float(some.duration_ns.max(1));
        per_ns * float(none.duration_ns) > -CHANCE.ln()
    })
}

fn one(name: &str, unit: Unit, a: Option<u64>, b: Option<u64>) -> Figure {
    let verdict = match (a, b) {
        (Some(a), Some(b)) if a == b => Verdict::Same,
        (Some(_), Some(_)) => Verdict::Unclear,
        _ => Verdict::Unknown,
    };
    figure(name, unit, (a.map(float), b.map(float)), None, verdict)
}

fn figure(
    name: &str,
    unit: Unit,
    (a, b): (Option<f64>, Option<f64>),
    noise: Option<f64>,
    verdict: Verdict,
) -> Figure {
    let change = match (a, b) {
        (Some(a), Some(b)) if a > 0.0 => Some((b - a) / a),
        _ => None,
    };
    Figure {
        name: name.to_owned(),
        unit,
        a,
        b,
        change,
        noise,
        verdict,
    }
}

/// What may be why figures differ.
const SETTINGS: [(&str, PickOne); 8] = [
    ("backlog limit", |s| s.status.limit_end.map(u64::from)),
    ("rate limit", |s| s.status.rate_limit.map(u64::from)),
    ("failure", |s| s.status.failure.map(u64::from)),
    ("enabled", |s| s.status.enabled.map(u64::from)),
    ("CPUs", |s| s.kernel.cpus.map(u64::from)),
    ("wait time, ns", |s| s.status.wait_time_ns),
    ("auditd, 1 for yes", |s| {
        s.status.auditd_pid.map(|pid| u64::from(pid != 0))
    }),
    ("hooks in place", |s| Some(working_hooks(s))),
];

fn circumstances(a: &Summary, b: &Summary) -> Vec<Circumstance> {
    let number = |value: Option<u64>| {
        Untrusted::from(value.map_or_else(|| "not known".to_owned(), |v| v.to_string()))
    };
    let mut sides: Vec<(&str, Untrusted, Untrusted)> = vec![
        ("kernel", a.kernel.release.clone(), b.kernel.release.clone()),
        ("source", a.source.name().into(), b.source.name().into()),
    ];
    sides.extend(SETTINGS.map(|(what, pick)| (what, number(pick(a)), number(pick(b)))));
    sides
        .into_iter()
        .filter(|(_, a, b)| a != b)
        .map(|(what, a, b)| Circumstance {
            what: what.to_owned(),
            a,
            b,
        })
        .collect()
}

fn working_hooks(summary: &Summary) -> u64 {
    use crate::hooks::health::Verdict::{Degraded, Ok};
    summary
        .hooks
        .iter()
        .filter(|hook| matches!(hook.verdict, Ok | Degraded))
        .count() as u64
}

/// What to know of the traces, and of figures that have a value an interval.
fn notes(traces: [&Trace; 2], intervals: [usize; 2], figures: &[Figure]) -> Vec<String> {
    let mut notes = Vec::new();
    for ((name, trace), intervals) in ["first", "second"].into_iter().zip(traces).zip(intervals) {
        if intervals < LEAST_INTERVALS {
            notes.push(format!(
                "the {name} trace has fewer than {LEAST_INTERVALS} whole intervals ({intervals}), so its noise is \
                 unknown: trace for longer, or with a shorter --interval"
            ));
        }
        // A trace by BPF notes that itself.
        let is_by_poll = trace.summary.source == Source::Poll;
        if is_by_poll && trace.summary.ledger.residual.is_none() {
            notes.push(format!("counts of the {name} trace could not be checked"));
        }
        let own = trace.summary.notes.iter();
        notes.extend(own.map(|note| format!("of the {name}: {note}")));
    }
    let unclear = |is_noise_known: bool| {
        let names: Vec<&str> = figures
            .iter()
            .filter(|figure| figure.verdict == Verdict::Unclear)
            .filter(|figure| figure.noise.is_some() == is_noise_known)
            .map(|figure| figure.name.as_str())
            .collect();
        names.join(", ")
    };
    let in_few = unclear(false);
    if !in_few.is_empty() && intervals.iter().all(|&number| number >= LEAST_INTERVALS) {
        notes.push(format!(
            "almost all counts fall into a few intervals ({in_few}): trace longer, or with a shorter \
             --interval"
        ));
    }
    if !unclear(true).is_empty() {
        notes.push(
            "a large difference within still larger noise is unclear: trace for longer than the load's own \
             ups and downs, or repeat the run"
                .to_owned(),
        );
    }
    notes
}

/// Length of an interval.
fn seconds(interval: &Interval) -> f64 {
    float(interval.duration_ns) / 1e9
}

#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits are more than any average here has"
)]
const fn float(value: u64) -> f64 {
    value as f64
}
