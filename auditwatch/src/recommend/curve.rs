//! The curve: loss, stalls and memory at other limits.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::recommend::model::{
    demand::{float, whole},
    evidence::Evidence,
    replay,
    service::Service,
};

/// Shares of the need that the curve shows, in hundredths.
const SHARES: [u64; 8] = [5, 10, 20, 40, 60, 80, 95, 100];

/// What one limit would have done to the load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The limit, records.
    pub limit: u64,
    /// Losses that the kernel would have counted.
    pub lost: u64,
    /// Of all records that were asked for: those that would not have been made, per cent.
    pub lost_pct: f64,
    /// Time by which the load would have been held up, ns.
    pub stall_ns: u64,
    /// Kernel memory of the queue at its longest, bytes.
    pub memory_bytes: Option<u64>,
}

/// The curve over the limit in force, the recommended one, and shares of the need.
pub(super) fn curve(
    evidence: &Evidence,
    service: &Service,
    needed: u64,
    recommended: Option<u64>,
) -> Vec<CurvePoint> {
    let mut limits: Vec<u64> = SHARES.iter().map(|share| needed * share / 100).collect();
    limits.extend(evidence.limit);
    limits.extend(recommended);
    limits.retain(|&limit| limit > 0);
    limits.sort_unstable();
    limits.dedup();
    let mut points = points(evidence, service, &limits);
    if let Some(now) = measured(evidence) {
        correct(&mut points, &now);
    }
    points
}

/// What the limit in force did, where nobody waited and it was the only one.
fn measured(evidence: &Evidence) -> Option<CurvePoint> {
    let limit = evidence.limit.filter(|&limit| limit > 0)?;
    if evidence.refused == 0 || evidence.stalls > 0 || evidence.lowest_limit != Some(limit) {
        return None;
    }
    let came: f64 = evidence
        .arrivals
        .iter()
        .map(|arrival| arrival.records)
        .sum();
    let lost = float(evidence.refused) + evidence.suppressed;
    Some(CurvePoint {
        limit,
        lost: evidence.refused,
        lost_pct: (lost / came.max(lost) * 10_000.0).round() / 100.0,
        stall_ns: 0,
        memory_bytes: None,
    })
}

/// Puts a measured loss in the place of the predicted one. A smaller limit loses no less, and a larger one no more.
fn correct(points: &mut [CurvePoint], now: &CurvePoint) {
    for point in points {
        match point.limit.cmp(&now.limit) {
            Ordering::Less => {
                point.lost = point.lost.max(now.lost);
                point.lost_pct = point.lost_pct.max(now.lost_pct);
            }
            Ordering::Equal => (point.lost, point.lost_pct) = (now.lost, now.lost_pct),
            Ordering::Greater => {
                point.lost = point.lost.min(now.lost);
                point.lost_pct = point.lost_pct.min(now.lost_pct);
            }
        }
    }
}

/// What each of these limits would have done; they are in ascending order.
pub(super) fn points(evidence: &Evidence, service: &Service, limits: &[u64]) -> Vec<CurvePoint> {
    let total: f64 = evidence
        .arrivals
        .iter()
        .map(|arrival| arrival.records)
        .sum();
    let may_wait = evidence.wait_time_ns.is_none_or(|ns| ns > 0);
    let mut points: Vec<CurvePoint> = limits
        .iter()
        .map(|&limit| {
            let outcome = if may_wait {
                replay::waiting(&evidence.arrivals, service, limit)
            } else {
                replay::refusing(&evidence.arrivals, service, limit)
            };
            CurvePoint {
                limit,
                lost: whole(outcome.refused_records / evidence.records_per_loss()),
                lost_pct: if total > 0.0 {
                    (outcome.refused_records / total * 10_000.0).round() / 100.0
                } else {
                    0.0
                },
                stall_ns: whole(outcome.held_up_ns),
                memory_bytes: evidence
                    .record_bytes
                    .map(|bytes| whole(float(outcome.met.min(limit + 1)) * float(bytes))),
            }
        })
        .collect();
    // More room loses no more: what the replay's steps leave of the contrary is rounding.
    for index in (1..points.len()).rev() {
        let (lower, higher) = points.split_at_mut(index);
        let (lower, higher) = (&mut lower[index - 1], &higher[0]);
        lower.lost = lower.lost.max(higher.lost);
        lower.lost_pct = lower.lost_pct.max(higher.lost_pct);
        lower.stall_ns = lower.stall_ns.max(higher.stall_ns);
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(limit: u64, lost: u64) -> CurvePoint {
        CurvePoint {
            limit,
            lost,
            lost_pct: float(lost) / 10.0,
            stall_ns: 0,
            memory_bytes: None,
        }
    }

    #[test]
    fn the_row_of_the_limit_in_force_is_what_was_measured() {
        let mut points = [point(16, 90), point(64, 60), point(100, 55), point(200, 10)];
        correct(&mut points, &point(64, 50));
        let lost = points.map(|point| point.lost);
        assert_eq!(lost, [90, 50, 50, 10]);
        let mut points = [point(16, 90), point(64, 60), point(200, 10)];
        correct(&mut points, &point(64, 100));
        assert_eq!(points.map(|point| point.lost), [100, 100, 10]);
    }
}
