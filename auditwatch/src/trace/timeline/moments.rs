//! Moments of a trace: what the consumer had done, and what had been refused by then, as many as fit.
//!
//! In: its counts, as sampled. Out: [`Moment`]s in order.

use crate::{recommend::model::service::Moment, sample::Consumer};

/// Most moments that are kept: an hour at ten a second. Beyond it every second one is left out, and so on.
const MOST_MOMENTS: usize = 36_000;

/// The moments.
#[derive(Clone, Debug, Default)]
pub(super) struct Moments(Vec<Moment>);

impl Moments {
    /// Takes the counts of a sample, unless nothing was added to them. `refused` are attempts that found no room.
    pub(super) fn add(&mut self, at_ns: u64, consumer: Option<&Consumer>, refused: u64) {
        let now = Moment {
            at_ns,
            served: consumer.map_or(0, |consumer| consumer.served),
            served_ns: consumer.map_or(0, |consumer| consumer.served_ns),
            refused,
        };
        if let Some(last) = self.0.last_mut()
            && (last.served, last.refused) == (now.served, now.refused)
        {
            last.at_ns = now.at_ns;
            return;
        }
        if self.0.len() == MOST_MOMENTS {
            let mut is_kept = false;
            self.0.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
        }
        self.0.push(now);
    }

    /// The moments in order.
    pub(super) fn in_order(&self) -> &[Moment] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_trace_keeps_moments_of_all_of_it() {
        let mut moments = Moments::default();
        let many = MOST_MOMENTS as u64 * 5;
        for number in 1..=many {
            let consumer = Consumer {
                served: number,
                served_ns: number * 10,
                ..Consumer::default()
            };
            moments.add(number * 100, Some(&consumer), 0);
        }
        let moments = moments.in_order();
        assert!(moments.len() <= MOST_MOMENTS, "{}", moments.len());
        assert!(moments.is_sorted_by_key(|moment| moment.at_ns));
        assert_eq!(moments.last().map(|moment| moment.served), Some(many));
        assert!(moments.iter().any(|moment| moment.served < many / 8));
    }
}
