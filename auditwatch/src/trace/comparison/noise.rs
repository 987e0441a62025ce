//! The noise of a figure: how much it may differ from one trace to the next though nothing
//! has changed.
//!
//! In: a figure's parts and wholes in the intervals of two traces. Out: the difference of
//! the two figures up to which it is noise. Pure.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

use super::{CHANCE, LEAST_INTERVALS, float};

/// The values of one figure in one trace.
#[derive(Clone, Copy)]
pub(super) struct Values {
    /// All parts together, of all wholes together.
    pub(super) ratio: f64,
    /// Intervals that would say as much if all of them weighed the same (Kish's effective size).
    number: f64,
    /// How many of those would, if none depended on the one before.
    effective: f64,
    /// Variance of one of them about the ratio.
    variance: f64,
}

impl Values {
    /// Of parts and wholes, in the order of time; `None` where there is no whole.
    pub(super) fn of(values: impl Iterator<Item = (f64, f64)>) -> Option<Self> {
        // Where nothing was to count, nothing is said of how much is counted.
        let values: Vec<(f64, f64)> = values.filter(|value| *value != (0.0, 0.0)).collect();
        let all: f64 = values.iter().map(|(_, whole)| whole).sum();
        if all <= 0.0 {
            return None;
        }
        let ratio = values.iter().map(|(part, _)| part).sum::<f64>() / all;
        let weights = || values.iter().map(|(_, whole)| whole / all);
        let number = 1.0 / weights().map(|weight| weight * weight).sum::<f64>();
        // By how much more or less of each whole was counted (the linearised ratio).
        let off = || {
            values
                .iter()
                .map(|(part, whole)| (part - ratio * whole) / all)
        };
        let of_ratio: f64 = off().map(|off| off * off).sum();
        let variance = if number > 1.0 {
            of_ratio * number * number / (number - 1.0)
        } else {
            0.0
        };
        let correlation = correlation(&values, ratio);
        Some(Self {
            ratio,
            number,
            effective: (number * (1.0 - correlation) / (1.0 + correlation)).max(2.0),
            variance,
        })
    }

    /// Variance of the ratio.
    fn of_ratio(&self) -> f64 {
        self.variance / self.effective
    }
}

/// How much each interval resembles the one before, 0 to 0.99: a storm's second is like the last one, and so
/// many say less. Those with small wholes tell little, and weigh little.
fn correlation(values: &[(f64, f64)], ratio: f64) -> f64 {
    // Root of the whole, and by how much each of it is off.
    let off: Vec<(f64, f64)> = values
        .iter()
        .filter(|(_, whole)| *whole > 0.0)
        .map(|(part, whole)| (whole.sqrt(), part / whole - ratio))
        .collect();
    // Products of neighbours, on average.
    let mean = |pairs: &mut dyn Iterator<Item = [(f64, f64); 2]>| {
        let (products, weights) = pairs.fold((0.0, 0.0), |(products, weights), [a, b]| {
            let weight = a.0 * b.0;
            (products + weight * a.1 * b.1, weights + weight)
        });
        products / weights
    };
    let with_itself = mean(&mut off.iter().map(|&one| [one, one]));
    let with_next = mean(&mut off.windows(2).map(|pair| [pair[0], pair[1]]));
    // There is one pair less.
    let number = float(off.len() as u64);
    let found = with_next / with_itself * (number - 1.0) / number;
    // Few values show less of it than there is: Kendall's and Marriott's first term of the bias.
    let correlation = found + (1.0 + 4.0 * found) / number;
    // Nothing is off, or there are no neighbours.
    if correlation.is_nan() {
        0.0
    } else {
        correlation.clamp(0.0, 0.99)
    }
}

/// How much two figures may differ by chance (Welch's test); `None` where that is not known: a few intervals
/// hold nearly all that was counted.
pub(super) fn noise(a: &Values, b: &Values) -> Option<f64> {
    let least = a.number.min(b.number).round();
    if least < float(LEAST_INTERVALS as u64) {
        return None;
    }
    let (of_a, of_b) = (a.of_ratio(), b.of_ratio());
    let both = of_a + of_b;
    if both == 0.0 {
        return Some(0.0);
    }
    let freedom =
        both.powi(2) / (of_a.powi(2) / (a.effective - 1.0) + of_b.powi(2) / (b.effective - 1.0));
    let t = StudentsT::new(0.0, 1.0, freedom)
        .ok()?
        .inverse_cdf(1.0 - CHANCE / 2.0);
    let noise = t * both.sqrt();
    noise.is_finite().then_some(noise)
}
