//! Demand: how many records would have come when, had nobody waited and nothing been refused.
//!
//! In: the bins of samples. Out: arrivals in time. Pure.

use std::collections::BTreeMap;

use crate::sample::Demand;

/// Most bins that are kept: the newest, at 4 ms an hour of load without a lull.
const MOST_BINS: usize = 900_000;

/// What came to a bin: attempts, and sixteenths of records that were not made since the first of
/// their event was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    arrivals: u64,
    suppressed: u64,
}

/// The bins of a trace, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DemandBins {
    ticks_per_bin: u32,
    bins: BTreeMap<u64, Counts>,
    forgotten: u64,
}

/// Records that come together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// When, ns of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// How many records.
    pub records: f64,
}

/// Shares of what there was that the bins hold: the kernel skips programs now and then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Of all attempts.
    pub arrivals: f64,
    /// Of all records that were not made since the first of their event was refused.
    pub suppressed: f64,
}

/// Where the kernel's clock stood at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockPoint {
    /// ns of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// Ticks since boot.
    pub ticks: u64,
    /// Ticks a second.
    pub hz: u32,
}

impl DemandBins {
    /// Adds what came since the sample before.
    pub fn add(&mut self, demand: &Demand) {
        self.ticks_per_bin = demand.ticks_per_bin;
        for &(number, arrivals, suppressed) in &demand.bins {
            let counts = self.bins.entry(number).or_default();
            counts.arrivals += u64::from(arrivals);
            counts.suppressed += u64::from(suppressed);
        }
        while self.bins.len() > MOST_BINS {
            if let Some((_, counts)) = self.bins.pop_first() {
                self.forgotten += counts.arrivals;
            }
        }
    }

    /// Attempts in all bins that are kept.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.bins.values().map(|counts| counts.arrivals).sum()
    }

    /// Records that were not made since the first of their event was refused.
    #[must_use]
    pub fn suppressed(&self) -> f64 {
        self.bins
            .values()
            .map(|counts| float(counts.suppressed) / 16.0)
            .sum()
    }

    /// Attempts of bins that are no longer kept.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Length of a bin, ns.
    #[must_use]
    pub fn bin_ns(&self, hz: u32) -> u64 {
        u64::from(self.ticks_per_bin) * 1_000_000_000 / u64::from(hz.max(1))
    }

    /// The share of all attempts that is in the bins, of those that there were since they are kept.
    #[must_use]
    pub fn share_seen(&self, attempted: Option<u64>) -> f64 {
        let binned = float(self.attempts());
        let all = float(attempted.unwrap_or(0).saturating_sub(self.forgotten)).max(binned);
        if binned > 0.0 { binned / all } else { 1.0 }
    }

    /// Arrivals in time, each bin's at its end, where the bins hold these shares of what there was.
    #[must_use]
    pub fn arrivals(&self, clock: ClockPoint, seen: Seen) -> Vec<Arrival> {
        let bin_ns = self.bin_ns(clock.hz);
        let now = clock.ticks / u64::from(self.ticks_per_bin.max(1));
        self.bins
            .iter()
            .map(|(&number, counts)| {
                let end = number + 1;
                let at_ns = if end >= now {
                    clock
                        .at_ns
                        .saturating_add((end - now).saturating_mul(bin_ns))
                } else {
                    clock
                        .at_ns
                        .saturating_sub((now - end).saturating_mul(bin_ns))
                };
                Arrival {
                    at_ns,
                    records: float(counts.arrivals) / seen.arrivals
                        + float(counts.suppressed) / 16.0 / seen.suppressed,
                }
            })
            .collect()
    }
}

/// A count as a number to reckon with.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of records stay far below 2^52, and a model is not exact to the last of them"
)]
pub const fn float(count: u64) -> f64 {
    count as f64
}

/// A number of records, rounded up.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates"
)]
pub fn whole(records: f64) -> u64 {
    // What rounding left above a whole number is no record.
    (records - 1e-6).ceil().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::{ClockPoint, DemandBins, Seen};
    use crate::sample::Demand;

    const ALL: Seen = Seen {
        arrivals: 1.0,
        suppressed: 1.0,
    };
    const CLOCK: ClockPoint = ClockPoint {
        at_ns: 1_000_000_000,
        ticks: 500,
        hz: 250,
    };

    #[test]
    fn refused_events_count_whole_and_bins_come_at_their_end() {
        let mut bins = DemandBins::default();
        for part in [vec![(400, 6, 0), (499, 2, 64)], vec![(499, 1, 0)]] {
            bins.add(&Demand {
                ticks_per_bin: 1,
                bins: part,
            });
        }
        let arrivals = bins.arrivals(CLOCK, ALL);
        assert_eq!(arrivals[0].at_ns, 1_000_000_000 - 99 * 4_000_000);
        assert!((arrivals[0].records - 6.0).abs() < 1e-9);
        assert_eq!(arrivals[1].at_ns, 1_000_000_000);
        assert!((arrivals[1].records - 7.0).abs() < 1e-9);
        assert_eq!(bins.attempts(), 9);
        assert!((bins.suppressed() - 4.0).abs() < 1e-9);
    }
}
