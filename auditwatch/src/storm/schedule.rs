//! The schedule of one producer thread: when each of its events is due.
//!
//! In: the producer and the thread's number. Out: moments from the producer's start.
//! Pure: the same storm has the same schedule on every host and for ever.

use super::{Amount, Pacing, Producer};

const NS_PER_S: f64 = 1e9;
const NS_PER_MS: u64 = 1_000_000;

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When it is due, ns from the producer's start; `None` for at once.
    pub at_ns: Option<u64>,
}

/// The events of one thread, in order.
#[derive(Clone, Debug)]
pub struct Schedule {
    pacing: Pacing,
    amount: Amount,
    made: u64,
    /// Of a Poisson process: the last event, s, and the random numbers.
    last_s: f64,
    random: SplitMix64,
}

impl Schedule {
    /// The schedule of thread number `thread`.
    #[must_use]
    pub const fn new(producer: &Producer, thread: u32) -> Self {
        let seed = match producer.pacing {
            Pacing::Poisson { seed, .. } => seed,
            _ => 0,
        };
        Self {
            pacing: producer.pacing,
            amount: producer.amount,
            made: 0,
            last_s: 0.0,
            // Threads are apart by more than any of them takes.
            random: SplitMix64(seed.wrapping_add((thread as u64) << 40)),
        }
    }

    /// When the thread ends by time, ns from the producer's start.
    #[must_use]
    pub const fn until_ns(&self) -> Option<u64> {
        match self.amount {
            Amount::Events(_) => None,
            Amount::Millis(ms) => Some(ms.saturating_mul(NS_PER_MS)),
        }
    }

    /// The moment of event `number`.
    fn moment_ns(&mut self, number: u64) -> Option<u64> {
        let index = as_f64(number);
        Some(match self.pacing {
            Pacing::FlatOut => return None,
            Pacing::Rate { per_s } => nanoseconds(index / per_s),
            Pacing::Burst { events, every_ms } => (number / events.max(1))
                .saturating_mul(every_ms)
                .saturating_mul(NS_PER_MS),
            Pacing::Ramp {
                from_per_s,
                to_per_s,
                over_ms,
            } => nanoseconds(ramp_s(index, from_per_s, to_per_s, as_f64(over_ms) / 1e3)),
            Pacing::OnOff {
                on_ms,
                off_ms,
                per_s,
            } => {
                // At least one in each time with events.
                let each = (as_f64(on_ms) / 1e3 * per_s).ceil().max(1.0);
                let round = (index / each).floor();
                let within_s = round.mul_add(-each, index) / per_s;
                nanoseconds(round.mul_add(as_f64(on_ms + off_ms) / 1e3, within_s))
            }
            Pacing::Poisson { per_s, .. } => {
                // A gap of mean 1/rate: the logarithm of a number in (0, 1].
                self.last_s -= self.random.unit().ln() / per_s;
                nanoseconds(self.last_s)
            }
        })
    }
}

impl Iterator for Schedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        if matches!(self.amount, Amount::Events(events) if self.made >= events) {
            return None;
        }
        let at_ns = self.moment_ns(self.made);
        if let (Some(at), Some(until)) = (at_ns, self.until_ns())
            && at >= until
        {
            return None;
        }
        self.made += 1;
        Some(Due { at_ns })
    }
}

/// When a ramp has come to event `index`, s: the rate's integral is the number of
/// events.
fn ramp_s(index: f64, from_per_s: f64, to_per_s: f64, over_s: f64) -> f64 {
    let on_ramp = f64::midpoint(from_per_s, to_per_s) * over_s;
    if index >= on_ramp {
        return over_s + (index - on_ramp) / to_per_s;
    }
    let slope = (to_per_s - from_per_s) / over_s;
    if slope.abs() < 1e-9 {
        return index / from_per_s;
    }
    // The root of from*t + slope*t^2/2 = index, in the form that does not cancel.
    let root = (2.0 * slope)
        .mul_add(index, from_per_s * from_per_s)
        .max(0.0)
        .sqrt();
    2.0 * index / (from_per_s + root).max(f64::MIN_POSITIVE)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of events are far below 2^52"
)]
const fn as_f64(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and times are not negative"
)]
const fn nanoseconds(seconds: f64) -> u64 {
    (seconds * NS_PER_S) as u64
}

/// Random numbers that are the same for ever: Steele, Lea and Flood, "Fast Splittable
/// Pseudorandom Number Generators" (2014).
#[derive(Clone, Copy, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number above 0 and at most 1.
    const fn unit(&mut self) -> f64 {
        as_f64((self.next() >> 12) + 1) / as_f64(1 << 52)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_random_numbers_are_those_of_the_paper() {
        let mut random = SplitMix64(0);
        assert_eq!(random.next(), 0xE220_A839_7B1D_CDAF);
        assert_eq!(random.next(), 0x6E78_9E6A_A1B9_65F4);
        let unit = SplitMix64(7).unit();
        assert!(unit > 0.0 && unit <= 1.0);
    }

    #[test]
    fn a_ramp_comes_to_its_integral() {
        // 100 to 300 a second over 2 s are 400 events.
        assert!((ramp_s(400.0, 100.0, 300.0, 2.0) - 2.0).abs() < 1e-9);
        assert!((ramp_s(700.0, 100.0, 300.0, 2.0) - 3.0).abs() < 1e-9);
        // Down as well, and from nothing.
        assert!((ramp_s(400.0, 300.0, 100.0, 2.0) - 2.0).abs() < 1e-9);
        assert!(ramp_s(0.0, 0.0, 100.0, 1.0).abs() < 1e-9);
        assert!((ramp_s(50.0, 0.0, 100.0, 1.0) - 1.0).abs() < 1e-9);
    }
}
