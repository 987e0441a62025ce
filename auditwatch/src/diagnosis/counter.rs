//! How many records were lost at least. In: what one boot of a kernel prints of its losses, in order. Out:
//! a number that never goes down.
//!
//! The kernel counts in `audit_lost` and prints the counter when it may: the printk limit swallows most
//! lines. So the counter tells more than the lines do, where there is one. It must not guess: what a damaged
//! line could have made up does not count.

/// Two lines of two CPUs may change places; nobody has more of them that are about to print.
const MOST_OUT_OF_ORDER: u32 = 64;
/// Nor do lines change places over such a time, microseconds.
const OUT_OF_ORDER_US: u64 = 1_000_000;

/// The losses of one boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Losses up to the last reset.
    before: u64,
    /// Losses since, by the counter.
    floor: u64,
    /// Losses since the counter was printed last: each line with a depth comes just before one.
    since: u64,
    /// Whether anything else says that a record was lost.
    some: bool,
    /// Messages with a reason, since the last reset: one for each loss that may print it.
    messages: u64,
    /// The counter at its highest since the last reset, and the kernel's clock then.
    highest: Option<(u32, Option<u64>)>,
    /// A counter below that: a reset, if another one follows.
    lower: Option<u32>,
    /// The first one that was seen.
    first: Option<u32>,
    /// The last one that was seen.
    last: Option<u32>,
    /// How often it was reset, or wrapped.
    resets: u32,
}

impl Counter {
    /// Losses that are certain.
    #[must_use]
    pub fn at_least(&self) -> u64 {
        self.before.saturating_add(
            self.floor
                .saturating_add(self.since)
                .max(self.messages)
                .max(u64::from(self.some)),
        )
    }

    /// The counter when it was seen first.
    #[must_use]
    pub const fn first(&self) -> Option<u32> {
        self.first
    }

    /// The counter when it was seen last.
    #[must_use]
    pub const fn last(&self) -> Option<u32> {
        self.last
    }

    /// How often it was reset, or wrapped around.
    #[must_use]
    pub const fn resets(&self) -> u32 {
        self.resets
    }

    /// A single sighting below the highest, that nothing confirmed: it is not counted.
    #[must_use]
    pub const fn unconfirmed(&self) -> Option<u32> {
        self.lower
    }

    /// `audit_backlog=`: a record is about to be lost. `audit_log_start` prints it before it counts.
    pub const fn about_to_lose(&mut self, times: u64) {
        self.since = self.since.saturating_add(times);
    }

    /// A message with its reason. The loss may be in the counter already.
    pub const fn message(&mut self, times: u64) {
        self.messages = self.messages.saturating_add(times);
    }

    /// Whatever else says that a record was lost.
    pub const fn some_loss(&mut self) {
        if self.at_least_is_zero() {
            self.some = true;
        }
    }

    const fn at_least_is_zero(&self) -> bool {
        self.before == 0 && self.floor == 0 && self.since == 0 && self.messages == 0
    }

    /// The counter's value is seen. Whether it is higher than all before.
    pub fn sight(&mut self, value: u32, clock_us: Option<u64>) -> bool {
        self.first.get_or_insert(value);
        let Some((highest, highest_us)) = self.highest else {
            self.last = Some(value);
            self.raise(value, clock_us);
            return true;
        };
        if value >= highest {
            self.last = Some(value);
            self.lower = None;
            self.raise(value, clock_us);
            return value > highest;
        }
        let is_later = match (highest_us, clock_us) {
            (Some(then), Some(now)) => now > then.saturating_add(OUT_OF_ORDER_US),
            _ => false,
        };
        if !is_later && highest - value <= MOST_OUT_OF_ORDER {
            return false;
        }
        match self.lower {
            // The second one: no damaged line, but a reset, a wrap, or a reboot without a trace.
            Some(lower) if value >= lower => self.restart(value, clock_us),
            _ => self.lower = Some(value),
        }
        false
    }

    /// A `CONFIG_CHANGE` record says that the counter was reset, and what it was.
    pub fn reset(&mut self, old: Option<u32>, clock_us: Option<u64>) {
        if let Some(old) = old {
            if self.highest.is_none_or(|(highest, _)| old >= highest) {
                self.raise(old, clock_us);
            }
            self.first.get_or_insert(old);
        }
        self.restart(0, clock_us);
    }

    fn raise(&mut self, value: u32, clock_us: Option<u64>) {
        self.floor = self.floor.saturating_add(self.since).max(u64::from(value));
        self.since = 0;
        self.highest = Some((value, clock_us));
    }

    fn restart(&mut self, value: u32, clock_us: Option<u64>) {
        let known = self.at_least();
        self.before = self.before.saturating_add(self.floor);
        // Losses since the last printed counter fell before the reset or after it.
        self.floor = u64::from(value)
            .max(self.since)
            .max(known.saturating_sub(self.before));
        self.since = 0;
        self.messages = 0;
        self.some = false;
        self.highest = Some((value, clock_us));
        self.last = Some(value);
        self.lower = None;
        self.resets += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &[u32]) -> Counter {
        let mut counter = Counter::default();
        for &value in values {
            counter.sight(value, None);
        }
        counter
    }

    #[test]
    fn the_highest_counts() {
        assert_eq!(seen(&[]).at_least(), 0);
        assert_eq!(seen(&[44_380, 44_393]).at_least(), 44_393);
        // Two CPUs.
        assert_eq!(seen(&[10, 12, 11, 13]).at_least(), 13);
    }

    #[test]
    fn a_reset_takes_two_lines() {
        assert_eq!(seen(&[500, 5]).at_least(), 500);
        assert_eq!(seen(&[500, 5]).unconfirmed(), Some(5));
        let reset = seen(&[500, 5, 9]);
        assert_eq!((reset.at_least(), reset.resets()), (509, 1));
        // One damaged line.
        assert_eq!(seen(&[44_393, 4_393, 44_395]).at_least(), 44_395);
        // Small counters, but far apart in time.
        let mut counter = Counter::default();
        for (value, second) in [(10, 1), (3, 100), (4, 101)] {
            counter.sight(value, Some(second * 1_000_000));
        }
        assert_eq!((counter.at_least(), counter.resets()), (14, 1));
    }

    #[test]
    fn a_wrap_is_a_reset_at_least() {
        let wrapped = seen(&[u32::MAX - 5, 1, 4]);
        assert_eq!(wrapped.at_least(), u64::from(u32::MAX - 5) + 4);
    }

    #[test]
    fn reported_reset_of_the_counter_is_exact() {
        let mut counter = seen(&[7]);
        counter.reset(Some(900), None);
        counter.sight(2, None);
        assert_eq!(counter.at_least(), 902);
    }

    #[test]
    fn lines_without_a_counter_count_as_well() {
        let mut counter = Counter::default();
        counter.about_to_lose(1);
        counter.message(1);
        assert_eq!(counter.at_least(), 1);
        counter.message(1);
        assert_eq!(counter.at_least(), 2);
        counter.sight(40, None);
        assert_eq!(counter.at_least(), 40);
        // A message may be of a loss that the counter has.
        counter.message(1);
        assert_eq!(counter.at_least(), 40);
        counter.about_to_lose(1);
        assert_eq!(counter.at_least(), 41);
        counter.sight(41, None);
        assert_eq!(counter.at_least(), 41);
    }
}
