//! The need: the smallest limit with which nobody would have lost a record or waited.

use crate::recommend::model::{
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
    pub overload: Option<Overload>,
}

/// More comes than goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overload {
    /// What comes, records a second.
    pub per_s: u64,
    /// For how long at that rate, ns.
    pub over_ns: u64,
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
        let overload = steady_load(evidence, service)
            .or_else(|| throttled_load(evidence, service))
            .or_else(|| unfinished_load(evidence, closed.busy_since_ns));
        let slices = whole(2.0 * greatest_sum(&evidence.arrivals, SLICE_BINS, evidence.bin_ns));
        let mut need = Self {
            records,
            low: if is_starved { least } else { records.min(open) },
            high: if is_starved {
                // While tasks wait, a slice brings no more than the limit lets in.
                records
                    .max(slices)
                    .max(evidence.limit.unwrap_or(0).saturating_mul(2))
            } else {
                records.max(open)
            },
            is_open_or_closed: evidence.stalls > 0
                && float(records.min(open)) < float(records.max(open)) * 0.9,
            is_starved,
            overload,
        };
        if let Some(overload) = overload.filter(|_| evidence.stalls > 0 && !is_starved) {
            let met = replay::unlimited(&paced(&evidence.arrivals, overload.per_s), service).met;
            need.records = met.max(least);
            need.low = need.low.min(need.records);
        }
        need
    }

    /// The load as it comes by itself: where it comes at a steady rate and tasks waited, their own
    /// clocks bring it too close together.
    pub(super) fn steady_arrivals(&self, evidence: &Evidence) -> Vec<Arrival> {
        match self.overload {
            Some(overload) if evidence.stalls > 0 => paced(&evidence.arrivals, overload.per_s),
            _ => evidence.arrivals.clone(),
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

/// The same records, had they come no faster than at this rate.
fn paced(arrivals: &[Arrival], per_s: u64) -> Vec<Arrival> {
    let Some(first) = arrivals.first() else {
        return Vec::new();
    };
    let mut came = 0.0;
    arrivals
        .iter()
        .map(|arrival| {
            let due_ns = first.at_ns + whole(came * 1e9 / float(per_s.max(1)));
            came += arrival.records;
            Arrival {
                at_ns: due_ns.max(arrival.at_ns),
                records: arrival.records,
            }
        })
        .collect()
}

/// A load that the trace did not see the end of, and that did not let the queue run empty for long
/// until then, by the host's clock or the tasks' own.
fn unfinished_load(evidence: &Evidence, busy_since_ns: u64) -> Option<Overload> {
    let last = evidence.arrivals.last().map_or(0, |arrival| arrival.at_ns);
    let over_ns = last
        .max(evidence.last_attempt_ns)
        .saturating_sub(busy_since_ns);
    if !evidence.goes_on() || over_ns < STEADY_NS {
        return None;
    }
    let begin = evidence
        .arrivals
        .partition_point(|arrival| arrival.at_ns < busy_since_ns);
    let own_ns = last.saturating_sub(busy_since_ns) + evidence.bin_ns;
    Some(Overload {
        over_ns,
        ..Overload::of(sum(&evidence.arrivals[begin..]), own_ns)
    })
}

/// A load of which more came than the consumer could take from beginning to end, for long enough to
/// be no burst.
fn steady_load(evidence: &Evidence, service: &Service) -> Option<Overload> {
    let arrivals = &evidence.arrivals;
    let (first, last) = (arrivals.first()?, arrivals.last()?);
    let span = last.at_ns - first.at_ns;
    if span < STEADY_NS {
        return None;
    }
    let part = span / PARTS + 1;
    let share = long_run_share(evidence, service);
    // The last part may be cut short by the end of the load, or of the trace.
    let is_steady = (0..PARTS - 1).all(|number| {
        let from = first.at_ns + number * part;
        let to = from + part;
        let begin = arrivals.partition_point(|arrival| arrival.at_ns < from);
        let came: f64 = arrivals[begin..]
            .iter()
            .take_while(|arrival| arrival.at_ns < to)
            .map(|arrival| arrival.records)
            .sum();
        let working_ns = float(service.working_ns(from, to)).max(float(part) * share);
        came > working_ns / service.record_ns
    });
    is_steady.then(|| Overload::of(sum(arrivals), span + evidence.bin_ns))
}

/// The same of a load whose tasks waited.
///
/// Tasks that make up for what they missed bring their records closer together than they would have
/// come, so that the load looks shorter by their own clocks than it is. But until the first of them
/// waits, all clocks are the host's: the rate at which the queue filled up is what the load comes at
/// by itself, and at that rate it would have lasted so long.
fn throttled_load(evidence: &Evidence, service: &Service) -> Option<Overload> {
    let limit = evidence.lowest_limit.filter(|_| evidence.stalls > 0)?;
    let arrivals = &evidence.arrivals;
    let filling = replay::longest_filling(arrivals, service, limit)?;
    let unhindered = &arrivals[filling.first..=filling.full];
    let (from, to) = (unhindered.first()?.at_ns, unhindered.last()?.at_ns);
    // What is in a bin has come in the time before its end.
    let took = to - from + evidence.bin_ns;
    let came = sum(unhindered);
    if came <= float(took) * long_run_share(evidence, service) / service.record_ns {
        return None;
    }
    let all = sum(&arrivals[filling.first..=filling.last]);
    let over_ns = whole(all / came * float(took));
    let from_beginning_to_end = all * float(PARTS) >= sum(arrivals) * float(PARTS - 1);
    (over_ns >= STEADY_NS && from_beginning_to_end).then(|| Overload::of(all, over_ns))
}

/// The share of the trace in which the consumer did not pause: what it takes in the long run is that
/// much of its pace. A queue that fills up in one pause says nothing of a load.
fn long_run_share(evidence: &Evidence, service: &Service) -> f64 {
    if evidence.duration_ns == 0 {
        return 1.0;
    }
    let end_ns = evidence.begin_ns.saturating_add(evidence.duration_ns);
    float(service.working_ns(evidence.begin_ns, end_ns)) / float(evidence.duration_ns)
}

fn sum(arrivals: &[Arrival]) -> f64 {
    arrivals.iter().map(|arrival| arrival.records).sum()
}

impl Overload {
    fn of(records: f64, over_ns: u64) -> Self {
        Self {
            per_s: whole(records * 1e9 / float(over_ns.max(1))),
            over_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const BIN_NS: u64 = 4 * MS;

    /// A millisecond for a record.
    fn service() -> Service {
        Service {
            record_ns: 1e6,
            paces: Vec::new(),
            pace_is_measured: true,
            is_by_part: false,
            usual_ns: None,
            socket_records: 200.0,
            socket_is_measured: true,
            pauses_without_time: 0,
            kauditd_ns: 3_000.0,
            pauses: Vec::new(),
        }
    }

    /// A load that tasks waited in: records for each bin of their own clocks.
    fn waited(limit: u64, records: impl IntoIterator<Item = f64>) -> Evidence {
        let arrivals: Vec<Arrival> = (1_u64..)
            .zip(records)
            .filter(|&(_, records)| records > 0.0)
            .map(|(number, records)| Arrival {
                at_ns: number * BIN_NS,
                records,
            })
            .collect();
        Evidence {
            lowest_limit: Some(limit),
            limit: Some(limit),
            stalls: 50,
            bin_ns: BIN_NS,
            last_attempt_ns: 10_000 * MS,
            duration_ns: 10_000 * MS,
            arrivals,
            ..Evidence::default()
        }
    }

    /// 2,400 a second until the queue is full, then all that is late at once.
    fn steady(limit: u64, all: f64) -> Evidence {
        let mut left = all;
        let until_full = (float(limit) + 200.0) / (9.6 - 4.0);
        let records = std::iter::from_fn(move || Some(())).scan(0.0_f64, move |bin, ()| {
            *bin += 1.0;
            let now: f64 = if *bin <= until_full + 1.0 { 9.6 } else { 250.0 };
            let now = now.min(left);
            left -= now;
            (now > 0.0).then_some(now)
        });
        waited(limit, records)
    }

    #[test]
    fn steady_load_is_recognised_by_the_rate_that_filled_the_queue() {
        for limit in [64, 195, 320] {
            let load = steady(limit, 3_600.0);
            let need = Need::by_replay(&load, &service());
            let overload = need.overload.expect("an overload");
            assert!((2_200..=2_600).contains(&overload.per_s), "{overload:?}");
            assert!(
                (1_350 * MS..=1_650 * MS).contains(&overload.over_ns),
                "{overload:?}"
            );
            // 3,600 came in 1.5 s, 1,500 went and 200 are in the socket.
            assert!((1_700..=2_100).contains(&need.records), "{need:?}");
            assert!(need.high >= 2_500, "{need:?}");
        }
    }

    #[test]
    fn same_load_is_a_burst_if_it_would_have_ended_soon() {
        let need = Need::by_replay(&steady(64, 1_200.0), &service());
        assert_eq!(need.overload, None, "{need:?}");
    }

    #[test]
    fn a_burst_that_takes_long_to_serve_is_a_burst() {
        // All at once, though it keeps the consumer busy for five seconds.
        let need = Need::by_replay(&waited(64, [2_500.0, 2_500.0]), &service());
        assert_eq!(need.overload, None, "{need:?}");
        // As fast as tasks can, for a tenth of a second.
        let need = Need::by_replay(&waited(64, vec![200.0; 25]), &service());
        assert_eq!(need.overload, None, "{need:?}");
    }

    #[test]
    fn a_storm_between_calms_is_none() {
        let mut records = vec![2.0; 300];
        records.extend(vec![9.6; 120]);
        records.extend(vec![2.0; 300]);
        let need = Need::by_replay(&waited(64, records), &service());
        assert_eq!(need.overload, None, "{need:?}");
    }

    #[test]
    fn a_consumer_that_pauses_is_not_overloaded_for_that() {
        let mut service = service();
        service.record_ns = 50_000.0;
        service.pauses = vec![(300 * MS, 1_000 * MS), (1_300 * MS, 2_000 * MS)];
        let need = Need::by_replay(&waited(64, vec![4.8; 375]), &service);
        assert_eq!(need.overload, None, "{need:?}");
        // Nor is it by one pause that nearly all came in.
        service.pauses = vec![(0, 1_500 * MS)];
        let need = Need::by_replay(&waited(64, vec![4.8; 375]), &service);
        assert_eq!(need.overload, None, "{need:?}");
    }

    #[test]
    fn pauses_count_where_they_are_the_rule() {
        // A record takes 200 us, but half of the time goes into pauses: 2,500 a second at most.
        let mut service = service();
        service.record_ns = 200_000.0;
        service.pauses = (0..100)
            .map(|number| (number * 100 * MS, (number * 100 + 50) * MS))
            .collect();
        let need = Need::by_replay(&waited(64, vec![14.0; 250]), &service);
        let overload = need.overload;
        assert!(
            overload.is_none(),
            "a second of it is a burst: {overload:?}"
        );
        let mut records = vec![14.0; 60];
        records.extend([5_600.0]);
        let need = Need::by_replay(&waited(64, records), &service);
        assert!(need.overload.is_some(), "{need:?}");
    }

    #[test]
    fn short_load_without_stalls_is_not_an_overload() {
        let mut load = steady(64, 3_600.0);
        load.stalls = 0;
        let need = Need::by_replay(&load, &service());
        assert_eq!(need.overload, None, "{need:?}");
    }
}
