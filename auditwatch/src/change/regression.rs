//! Whether things got worse after a change: two windows, before and after, side by side.
//!
//! In: what was counted in each. Out: a [`Relapse`]. Pure. A host that works more loses more and
//! waits more, so that losses and stalls are held against what was attempted, where that is known.

use serde::{Deserialize, Serialize};

use crate::units::{bytes, count, duration};

/// So many times worse is worse: less is the load's own change from one minute to the next.
const TIMES: u64 = 2;
/// Losses that are worth a thought.
const LOSSES: u64 = 10;
/// Stalls, together, that are worth a thought, ns.
const STALLED_NS: u64 = 1_000_000_000;
/// Share of the memory that could be had before, which must be left after: a quarter.
const MEMORY_SHARE: u64 = 4;

/// What was counted in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Length, ns.
    pub duration_ns: u64,
    /// Record attempts; `None` where they are not counted.
    pub attempted: Option<u64>,
    /// Records lost.
    pub lost: Option<u64>,
    /// Time that tasks slept for room, all together, ns.
    pub stalled_ns: Option<u64>,
    /// Memory that could be had at its end, bytes.
    pub available_bytes: Option<u64>,
}

/// The outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relapse {
    /// Before the change.
    pub before: Window,
    /// After it.
    pub after: Window,
    /// What got worse, in sentences; empty when nothing did.
    pub worse: Vec<String>,
    /// Whether the change was taken back for it.
    pub reverted: bool,
}

/// Holds them side by side.
#[must_use]
pub fn compare(before: Window, after: Window) -> Relapse {
    let mut worse = Vec::new();
    if let (Some(was), Some(is)) = (before.lost, after.lost)
        && is >= LOSSES
        && grew(was, is, &before, &after)
    {
        worse.push(format!(
            "{} records lost in {} (before: {} in {})",
            count(is),
            duration(after.duration_ns),
            count(was),
            duration(before.duration_ns)
        ));
    }
    if let (Some(was), Some(is)) = (before.stalled_ns, after.stalled_ns)
        && is >= STALLED_NS
        && grew(was, is, &before, &after)
    {
        worse.push(format!(
            "tasks stalled for {} in {} (before: {} in {})",
            duration(is),
            duration(after.duration_ns),
            duration(was),
            duration(before.duration_ns)
        ));
    }
    if let (Some(was), Some(is)) = (before.available_bytes, after.available_bytes)
        && is < was / MEMORY_SHARE
    {
        worse.push(format!(
            "{} of memory available (before: {})",
            bytes(is),
            bytes(was)
        ));
    }
    Relapse {
        before,
        after,
        worse,
        reverted: false,
    }
}

/// Whether a count grew out of proportion to what was attempted, or to time where that is not known.
fn grew(was: u64, is: u64, before: &Window, after: &Window) -> bool {
    let (measure_before, measure_after) = match (before.attempted, after.attempted) {
        (Some(before), Some(after)) if before > 0 && after > 0 => (before, after),
        _ => (before.duration_ns.max(1), after.duration_ns.max(1)),
    };
    let scaled_was = u128::from(was) * u128::from(measure_after) * u128::from(TIMES);
    u128::from(is) * u128::from(measure_before) > scaled_was
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn window(attempted: u64, lost: u64, stalled_ns: u64) -> Window {
        Window {
            duration_ns: 10 * SECOND,
            attempted: Some(attempted),
            lost: Some(lost),
            stalled_ns: Some(stalled_ns),
            available_bytes: Some(1 << 30),
        }
    }

    fn worse(before: Window, after: Window) -> usize {
        compare(before, after).worse.len()
    }

    #[test]
    fn more_loss_for_the_same_work_is_worse() {
        assert_eq!(worse(window(1000, 0, 0), window(1000, 10, 0)), 1);
        assert_eq!(worse(window(1000, 50, 0), window(1000, 90, 0)), 0);
        assert_eq!(worse(window(1000, 50, 0), window(1000, 101, 0)), 1);
        assert_eq!(worse(window(1000, 0, 0), window(1000, 9, 0)), 0, "a few");
    }

    #[test]
    fn more_work_loses_more() {
        assert_eq!(
            worse(window(1000, 50, SECOND), window(10_000, 500, 10 * SECOND)),
            0
        );
    }

    #[test]
    fn stalls_and_memory_count_too() {
        assert_eq!(worse(window(1000, 0, 0), window(1000, 0, SECOND)), 1);
        let mut starved = window(1000, 0, 0);
        starved.available_bytes = Some(1 << 20);
        assert_eq!(worse(window(1000, 0, 0), starved), 1);
    }

    #[test]
    fn unmeasured_figures_show_no_regression() {
        let blind = Window {
            duration_ns: SECOND,
            ..Window::default()
        };
        assert_eq!(worse(blind, window(1000, 500, 0)), 0);
        // By time where attempts are not counted.
        let polled = |lost| Window {
            lost: Some(lost),
            ..blind
        };
        assert_eq!(worse(polled(10), polled(30)), 1);
    }
}
