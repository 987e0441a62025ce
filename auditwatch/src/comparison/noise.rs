//! The noise of a figure: how much its average may differ from one trace to the next
//! though nothing has changed.
//!
//! In: a figure's values in the intervals of two traces. Out: the difference of their
//! averages up to which it is noise. Pure.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

use super::{CHANCE, LEAST_INTERVALS, float};

/// The values of one figure in one trace.
#[derive(Clone, Copy)]
pub(super) struct Values {
    count: usize,
    pub(super) mean: f64,
    /// Variance of a value.
    variance: f64,
    /// Values that would say as much if none depended on the one before.
    effective: f64,
}

impl Values {
    /// `None` where there are none.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.collect();
        let count = values.len();
        if count == 0 {
            return None;
        }
        let number = float(count as u64);
        let mean = values.iter().map(|value| value / number).sum::<f64>();
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let variance = if count > 1 {
            squares / (number - 1.0)
        } else {
            0.0
        };
        // A storm's second is like the one before: so many values say less.
        let products: f64 = values
            .windows(2)
            .map(|pair| (pair[0] - mean) * (pair[1] - mean))
            .sum();
        let correlation = if squares > 0.0 {
            (products / squares).clamp(0.0, 0.99)
        } else {
            0.0
        };
        Some(Self {
            count,
            mean,
            variance,
            effective: (number * (1.0 - correlation) / (1.0 + correlation)).max(2.0),
        })
    }

    /// Variance of the mean.
    fn of_mean(&self) -> f64 {
        self.variance / self.effective
    }
}

/// How much two means may differ by chance (Welch's test); `None` where that is not
/// known.
pub(super) fn noise(a: &Values, b: &Values) -> Option<f64> {
    if a.count.min(b.count) < LEAST_INTERVALS {
        return None;
    }
    let (of_a, of_b) = (a.of_mean(), b.of_mean());
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
