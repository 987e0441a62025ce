//! Losses by day. In: losses with their dates. Out: [`DayLosses`].

use std::collections::BTreeMap;

use super::report::DayLosses;
use crate::units::utc;

/// A day, microseconds.
const DAY_US: i64 = 86_400_000_000;
/// Days that are listed.
const MOST_DAYS: usize = 1_000;

/// Losses so far, by the begin of their day.
#[derive(Debug, Default)]
pub struct Days(BTreeMap<i64, u64>);

impl Days {
    /// Losses at a date. A counter that is seen for the first time has those before the log as well: it counts as one.
    pub fn add(&mut self, wall_us: Option<i64>, lost: u64, is_first: bool) {
        let Some(us) = wall_us.filter(|_| lost > 0) else {
            return;
        };
        let day = us.div_euclid(DAY_US) * DAY_US;
        let lost = if is_first && self.0.is_empty() {
            1
        } else {
            lost
        };
        if self.0.len() < MOST_DAYS || self.0.contains_key(&day) {
            let so_far = self.0.entry(day).or_default();
            *so_far = so_far.saturating_add(lost);
        }
    }

    /// The days, in order.
    #[must_use]
    pub fn report(self) -> Vec<DayLosses> {
        let days = self.0.into_iter();
        days.map(|(day, lost)| DayLosses {
            day: utc::day(day),
            lost,
        })
        .collect()
    }
}
