//! A [`Fit`]: the model compared with the trace that it was made of.
//!
//! In: evidence of records that were refused, and a [`Service`]. Out: what the replay loses at the limit in force beside
//! what was lost, and the pace with which the two agree. Pure.

use super::{demand::float, evidence::Evidence, replay, service::Service};

/// By so much of what was lost may the replay be off, and the pace is left as it was measured.
const TOLERANCE: f64 = 0.15;
/// The paces that are tried, as parts of the measured one.
const SLOWEST: f64 = 16.0;
/// Steps of the search: the factor is then known to a thousandth.
const STEPS: u32 = 16;
/// A factor beyond this, or below one by it, is no correction but another consumer.
const MOST: f64 = 2.5;
/// A pace that must change by more than this power of the error has little to do with what was lost.
const ELASTICITY: f64 = 1.5;

/// The model beside the trace, at the limit in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The consumer by which the need is told: as measured, or corrected by [`Fit::slower`].
    pub service: Service,
    /// Records that came, those that were never created among them.
    pub came: f64,
    /// Records that were lost, those that were never created among them.
    pub lost: f64,
    /// The same by a replay at the pace that was measured, in all of the trace or in its parts.
    pub lost_by_replay: f64,
    /// The same by a replay of [`Fit::service`].
    pub lost_by_fit: f64,
    /// By how much that is slower than measured; 1 when the replay was right, or no pace explains what was lost.
    pub slower: f64,
}

impl Fit {
    /// The pace that explains what was lost. `None` when nothing was refused, or at more than one limit: there is nothing
    /// to compare the model with.
    #[must_use]
    pub fn of(evidence: &Evidence, service: &Service) -> Option<Self> {
        let limit = evidence.limit.filter(|&limit| limit > 0)?;
        if evidence.refused == 0 || evidence.stalls > 0 || evidence.lowest_limit != Some(limit) {
            return None;
        }
        let lost = float(evidence.refused) + evidence.suppressed;
        let lost_by = |service: &Service| {
            replay::refusing(&evidence.arrivals, service, limit).refused_records
        };
        let came = evidence
            .arrivals
            .iter()
            .map(|arrival| arrival.records)
            .sum();
        let as_it_is = |service: Service| {
            let lost_by_replay = lost_by(&service);
            Self {
                service,
                came,
                lost,
                lost_by_replay,
                lost_by_fit: lost_by_replay,
                slower: 1.0,
            }
        };
        let as_measured = as_it_is(service.clone());
        if as_measured.is_within() {
            return Some(as_measured);
        }
        let by_part = service.by_part().map(as_it_is);
        // One mean for all, or the pace of each part; as measured, or corrected: what loses when the trace lost.
        let in_time = LossInTime::of(evidence);
        [Some(&as_measured), by_part.as_ref()]
            .into_iter()
            .flatten()
            .map(|fit| {
                if fit.is_within() {
                    fit.clone()
                } else {
                    fit.corrected(lost_by)
                }
            })
            .filter(Self::is_plausible)
            .min_by(|one, other| {
                let off = |fit: &Self| in_time.distance(evidence, &fit.service, limit);
                off(one).total_cmp(&off(other))
            })
            // A consumer of quite another pace explains nothing: what was measured stays.
            .or(Some(as_measured))
    }

    /// The same with the factor by which the replay loses what was lost.
    fn corrected(&self, lost_by: impl Fn(&Service) -> f64) -> Self {
        let lost_at = |slower: f64| lost_by(&self.service.slower(slower));
        let (mut low, mut high) = if self.lost_by_fit > self.lost {
            (1.0 / SLOWEST, 1.0)
        } else {
            (1.0, SLOWEST)
        };
        for _ in 0..STEPS {
            let middle = f64::sqrt(low * high);
            if lost_at(middle) > self.lost {
                high = middle;
            } else {
                low = middle;
            }
        }
        Self {
            service: self.service.slower(high),
            lost_by_fit: lost_at(high),
            slower: high,
            ..self.clone()
        }
    }

    /// Whether replay and trace agree.
    #[must_use]
    pub fn is_within(&self) -> bool {
        (self.lost_by_fit - self.lost).abs() <= (self.lost * TOLERANCE).max(1.0)
    }

    /// Whether the mean pace, as measured, is not what explains it.
    #[must_use]
    pub fn is_corrected(&self) -> bool {
        self.service.is_by_part || (self.slower - 1.0).abs() > f64::EPSILON || !self.is_within()
    }

    /// Whether a pace near the measured one explains what was lost.
    fn is_plausible(&self) -> bool {
        let apart = |one: f64, other: f64| (one.max(1.0) / other.max(1.0)).ln().abs();
        // Of an overload nearly all is lost at any pace: there what was taken tells more.
        let error = apart(self.lost_by_replay, self.lost).max(apart(
            self.came - self.lost_by_replay,
            self.came - self.lost,
        ));
        let change = self.slower.ln().abs();
        self.is_within() && change <= MOST.ln().min(error * ELASTICITY)
    }
}

/// When records were lost.
struct LossInTime {
    /// The end of each part of the trace, ns of `CLOCK_MONOTONIC`, and the records that were lost in it.
    parts: Vec<(u64, f64)>,
}

impl LossInTime {
    fn of(evidence: &Evidence) -> Self {
        // An event that was refused stands for the records that were never created.
        let records = 1.0 + evidence.suppressed / float(evidence.refused.max(1));
        let mut before = 0;
        let parts = evidence.moments.iter().map(|moment| {
            let refused = moment.refused.saturating_sub(before);
            before = moment.refused;
            (moment.at_ns, float(refused) * records)
        });
        Self {
            parts: parts.collect(),
        }
    }

    /// Records that a replay loses in another part of the trace than the trace did, or not at all, or too many.
    fn distance(&self, evidence: &Evidence, service: &Service, limit: u64) -> f64 {
        let mut by_replay = vec![0.0; self.parts.len() + 1];
        let _ = replay::refusing_in_time(&evidence.arrivals, service, limit, |at_ns, records| {
            by_replay[self.parts.partition_point(|&(end_ns, _)| end_ns < at_ns)] += records;
        });
        let lost = self.parts.iter().map(|&(_, lost)| lost).chain([0.0]);
        by_replay
            .iter()
            .zip(lost)
            .map(|(by_replay, lost)| (by_replay - lost).abs())
            .sum()
    }
}
