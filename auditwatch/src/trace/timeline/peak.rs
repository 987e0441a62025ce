//! The greatest length of the main queue: of the whole, and of an interval.
//!
//! The programs keep one maximum since the zero point. That of an interval follows from it while it rises; else from
//! the lengths that drained records left behind, which are counted in buckets. A record that is dropped for the
//! backlog limit says that the queue was over it.

use crate::{
    sample::{Sample, Source, histogram},
    trace::report::PeakBy,
};

/// The greatest length since the zero point, records.
pub(super) fn so_far(sample: &Sample) -> Option<u64> {
    let met = sample.attempts.as_ref().and_then(|a| a.depth_max);
    let left = sample
        .drain
        .as_ref()
        .and_then(|drain| Some(drain.depths.as_ref()?.max));
    let now = sample.state.depth.map(u64::from);
    match sample.source {
        Source::Bpf => met
            .max(left.filter(|_| met.is_some()))
            .max(now.filter(|_| met.is_some())),
        // A poll sees a depth now and then: its greatest one is no maximum.
        Source::Poll => None,
    }
}

/// The greatest length between two samples, records, and how it is known. `refused`: records that were dropped in
/// between since the queue was over its limit.
pub(super) fn of_interval(
    before: &Sample,
    sample: &Sample,
    refused: Option<u64>,
) -> Option<(u64, PeakBy)> {
    let (earlier, whole) = (so_far(before), so_far(sample));
    if let (Some(earlier), Some(whole)) = (earlier, whole)
        && whole > earlier
    {
        return Some((whole, PeakBy::Measured));
    }
    let ends = [before, sample]
        .into_iter()
        .filter_map(|sample| sample.state.depth.map(u64::from));
    // It refuses while the queue is longer than its limit.
    let over_limit = sample
        .state
        .limit
        .filter(|&limit| limit > 0 && refused.is_some_and(|refused| refused > 0))
        .map(|limit| u64::from(limit) + 1);
    let least = ends.chain(over_limit).max();
    // A length that no drain left behind, but for the drained record itself, is still there at the end.
    let drained = longest_drained(before, sample);
    match (drained, whole) {
        (Some(drained), Some(whole)) => {
            let peak = drained.max(least.unwrap_or(0));
            Some((peak.min(whole), PeakBy::Drains))
        }
        _ => Some((least?, PeakBy::AtLeast)),
    }
}

/// The longest queue that a record was drained from, at most a quarter too high; 0 where none was.
fn longest_drained(before: &Sample, sample: &Sample) -> Option<u64> {
    let hist = |sample: &Sample| Some(sample.drain.as_ref()?.depths.as_ref()?.hist.clone());
    let now = hist(sample)?;
    let grown = histogram::between(&hist(before).unwrap_or_default(), &now);
    let longest = grown
        .iter()
        .rposition(|&drains| drains > 0)
        .map(|bucket| histogram::depth_bucket_max(bucket).saturating_add(1));
    Some(longest.unwrap_or(0))
}
