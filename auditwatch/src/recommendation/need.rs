//! The need: the smallest limit with which nobody would have lost a record or waited.

use crate::model::{
    demand::{Arrival, float, whole},
    evidence::Evidence,
    replay,
    service::Service,
};

/// So far above what is needed with a `kauditd` that runs all the while must the estimate be, which
/// lets it come to run once a bin, to rest on when it runs.
const STARVED_TIMES: u64 = 2;
/// Steps that a bin is cut into, for a `kauditd` that runs all the while.
const STEPS: u32 = 8;
/// Bins that the demand of a time slice, and of one that begins late, falls into.
const SLICE_BINS: usize = 2;
/// Shortest load that is steady rather than a burst, ns.
const STEADY_NS: u64 = 1_200_000_000;
/// Parts that a steady load is more than the consumer can take in, each.
const PARTS: u64 = 8;

/// What the load would have needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The estimate, records.
    pub records: u64,
    /// Least that it can be.
    pub low: u64,
    /// Most that it can be.
    pub high: u64,
    /// Tasks waited, and how they would have gone on otherwise cannot be told.
    pub is_open_or_closed: bool,
    /// `kauditd` did not get the CPU: the estimate does not hold.
    pub is_starved: bool,
    /// More comes than goes, from beginning to end, or for long until the end of a trace that did not
    /// see the load's end.
    pub is_overload: bool,
}

impl Need {
    /// By a replay of what came against what the consumer can take.
    #[must_use]
    pub fn by_replay(evidence: &Evidence, service: &Service) -> Self {
        let closed = replay::unlimited(&evidence.arrivals, service);
        // It hurt at this limit.
        let least = evidence.lowest_limit.map_or(1, |limit| limit + 1);
        let records = closed.met.max(least);
        let prompt = replay::unlimited(&smooth(evidence), service).met;
        let had_room = evidence.depth_max_with_room.unwrap_or(0);
        let pressed_with_room = evidence.lowest_limit.is_some_and(|limit| had_room >= limit);
        let is_starved = pressed_with_room && records > prompt.saturating_mul(STARVED_TIMES);
        let open = if evidence.stalls > 0 {
            replay::unlimited(&spread(evidence), service).met.max(least)
        } else {
            records
        };
        let slices = whole(2.0 * greatest_sum(&evidence.arrivals, SLICE_BINS, evidence.bin_ns));
        Self {
            records,
            low: if is_starved { least } else { records.min(open) },
            high: if is_starved {
                records.max(slices)
            } else {
                records.max(open)
            },
            is_open_or_closed: float(open) < float(records) * 0.9,
            is_starved,
            is_overload: is_overload(evidence, service)
                || (evidence.goes_on() && is_long(evidence, closed.busy_since_ns)),
        }
    }
}

/// The same load, with the records of each bin spread over it.
fn smooth(evidence: &Evidence) -> Vec<Arrival> {
    let step_ns = evidence.bin_ns / u64::from(STEPS);
    evidence
        .arrivals
        .iter()
        .flat_map(|arrival| {
            (0..STEPS).rev().map(move |step| Arrival {
                at_ns: arrival.at_ns.saturating_sub(u64::from(step) * step_ns),
                records: arrival.records / f64::from(STEPS),
            })
        })
        .collect()
}

/// Greatest demand of so many bins in a row, records.
fn greatest_sum(arrivals: &[Arrival], bins: usize, bin_ns: u64) -> f64 {
    let span = bin_ns.saturating_mul(u64::try_from(bins).unwrap_or(1));
    let mut greatest = 0.0_f64;
    for (index, first) in arrivals.iter().enumerate() {
        let sum = arrivals[index..]
            .iter()
            .take_while(|arrival| arrival.at_ns - first.at_ns < span)
            .map(|arrival| arrival.records)
            .sum();
        greatest = greatest.max(sum);
    }
    greatest
}

/// The same load, had its tasks kept to deadlines of their own: what they missed while they
/// waited they made up for, so that it took as long as it did.
fn spread(evidence: &Evidence) -> Vec<Arrival> {
    let arrivals = &evidence.arrivals;
    let (Some(first), Some(last)) = (arrivals.first(), arrivals.last()) else {
        return Vec::new();
    };
    let end_ns = evidence.last_attempt_ns.max(last.at_ns);
    let (own, wall) = (
        float(last.at_ns - first.at_ns).max(1.0),
        float(end_ns.saturating_sub(first.at_ns)),
    );
    let stretch = (wall / own).max(1.0);
    arrivals
        .iter()
        .map(|arrival| Arrival {
            at_ns: first.at_ns + whole(float(arrival.at_ns - first.at_ns) * stretch),
            records: arrival.records,
        })
        .collect()
}

/// Whether the queue was never empty for long until the end, by the host's clock or the tasks' own.
fn is_long(evidence: &Evidence, busy_since_ns: u64) -> bool {
    let last = evidence.arrivals.last().map_or(0, |arrival| arrival.at_ns);
    let end = last.max(evidence.last_attempt_ns);
    end.saturating_sub(busy_since_ns) >= STEADY_NS
}

/// Whether more came than the consumer could take from beginning to end, for long enough to be
/// no burst.
fn is_overload(evidence: &Evidence, service: &Service) -> bool {
    let arrivals = &evidence.arrivals;
    let (Some(first), Some(last)) = (arrivals.first(), arrivals.last()) else {
        return false;
    };
    let span = last.at_ns - first.at_ns;
    if span < STEADY_NS {
        return false;
    }
    let part = span / PARTS + 1;
    // The last part may be cut short by the end of the load, or of the trace.
    (0..PARTS - 1).all(|number| {
        let from = first.at_ns + number * part;
        let to = from + part;
        let begin = arrivals.partition_point(|arrival| arrival.at_ns < from);
        let came: f64 = arrivals[begin..]
            .iter()
            .take_while(|arrival| arrival.at_ns < to)
            .map(|arrival| arrival.records)
            .sum();
        came > float(service.working_ns(from, to)) / service.record_ns
    })
}
