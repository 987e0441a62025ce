//! The noise of a figure: how much it may differ from one trace to the next though nothing
//! has changed.
//!
//! In: a figure's parts and wholes in the intervals of two traces. Out: the difference of
//! the two figures up to which it is noise. Pure.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

use super::{CHANCE, LEAST_INTERVALS};

/// The values of one figure in one trace.
#[derive(Clone, Copy)]
pub(super) struct Values {
    /// Intervals that have a value.
    count: usize,
    /// All parts together, of all wholes together.
    pub(super) mean: f64,
    /// Variance of a value.
    variance: f64,
    /// Values that would say as much if all were of equal weight and none depended on the one
    /// before.
    effective: f64,
}

impl Values {
    /// Of parts and wholes; `None` where there is no whole.
    pub(super) fn of(values: impl Iterator<Item = (f64, f64)>) -> Option<Self> {
        let values: Vec<(f64, f64)> = values.collect();
        let whole: f64 = values.iter().map(|(_, whole)| whole).sum();
        if whole <= 0.0 {
            return None;
        }
        let mean = values.iter().map(|(part, _)| part).sum::<f64>() / whole;
        // What a part is more or less than its whole lets expect (linearised ratio).
        let off: Vec<f64> = values
            .iter()
            .map(|(part, of)| (part - mean * of) / whole)
            .collect();
        let squares: f64 = off.iter().map(|off| off * off).sum();
        // Of unequal wholes the large ones decide (Kish's effective size).
        let number = 1.0
            / values
                .iter()
                .map(|(_, of)| (of / whole).powi(2))
                .sum::<f64>();
        let variance = if number > 1.0 {
            squares * number * number / (number - 1.0)
        } else {
            0.0
        };
        // A storm's second is like the one before: so many values say less.
        let products: f64 = off.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let correlation = if squares > 0.0 {
            (products / squares).clamp(0.0, 0.99)
        } else {
            0.0
        };
        Some(Self {
            count: values.iter().filter(|(_, of)| *of > 0.0).count(),
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

/// How much two figures may differ by chance (Welch's test); `None` where that is not
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
