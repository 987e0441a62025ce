//! What audit cost the traced command.
//!
//! In: counts of its tasks, how long it ran, the CPU time that it used. Out: a
//! [`CommandCost`]. Pure.

use serde::{Deserialize, Serialize};

use crate::sample::{CommandCounts, CommandStalls, CpuSamples};

/// How long the traced command ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandTimes {
    /// From its start to its end, or to the end of the trace, ns.
    pub wall_ns: u64,
    /// CPU time outside of the kernel of itself and of all descendants that it waited
    /// for, ns; `None` when it outlived the trace.
    pub user_ns: Option<u64>,
    /// CPU time in the kernel, likewise.
    pub system_ns: Option<u64>,
}

/// What audit cost the traced command: itself and all its descendants, but for those
/// whose parents are gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandCost {
    /// From its start to its end, or to the end of the trace, ns.
    pub wall_ns: Option<u64>,
    /// CPU time outside of the kernel, ns.
    pub user_ns: Option<u64>,
    /// CPU time in the kernel, ns.
    pub system_ns: Option<u64>,
    /// Records that it attempted, without those that an exclude rule ended.
    pub records: u64,
    /// The same a second.
    pub records_per_s: Option<u64>,
    /// Of `records`: lost at once, by the kernel's count. What `kauditd` loses later is
    /// nobody's.
    pub lost: Option<u64>,
    /// Stalls of its tasks.
    pub stalls: Option<CommandStalls>,
    /// Samples of its tasks on the CPUs.
    pub samples: Option<CpuSamples>,
    /// Part of its CPU time in the kernel that is audit's, 0 to 1, by the samples.
    pub system_in_audit: Option<f64>,
    /// By how much that may be off either way, at 95 %.
    pub system_in_audit_error: Option<f64>,
}

/// What it came to.
#[must_use]
pub fn cost(counts: &CommandCounts, times: Option<CommandTimes>) -> CommandCost {
    let records = counts.attempted.saturating_sub(counts.filtered);
    let share = counts.cpu.and_then(in_audit);
    CommandCost {
        wall_ns: times.map(|times| times.wall_ns),
        user_ns: times.and_then(|times| times.user_ns),
        system_ns: times.and_then(|times| times.system_ns),
        records,
        records_per_s: times.and_then(|times| per_s(records, times.wall_ns)),
        lost: counts.lost,
        stalls: counts.stalls,
        samples: counts.cpu,
        system_in_audit: share.map(|(share, _)| share),
        system_in_audit_error: share.map(|(_, error)| error),
    }
}

fn per_s(count: u64, ns: u64) -> Option<u64> {
    let per_s = (u128::from(count) * 1_000_000_000).checked_div(u128::from(ns))?;
    u64::try_from(per_s).ok()
}

/// The share of samples in the audit code and its error (Wilson's interval, which holds
/// for few samples as well); `None` without samples that tell.
#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits are more samples than anybody takes"
)]
fn in_audit(samples: CpuSamples) -> Option<(f64, f64)> {
    /// Standard deviations on either side of a mean that 95 % lie within.
    const Z: f64 = 1.96;
    let placed = samples.system.checked_sub(samples.unplaced)?;
    if placed == 0 || samples.audit > placed {
        return None;
    }
    let n = placed as f64;
    let share = samples.audit as f64 / n;
    let half = Z / (1.0 + Z * Z / n) * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let middle = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    Some((share, half + (middle - share).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(system: u64, audit: u64, unplaced: u64) -> CommandCounts {
        CommandCounts {
            attempted: 120,
            filtered: 20,
            cpu: Some(CpuSamples {
                user: 5,
                system,
                audit,
                unplaced,
            }),
            ..CommandCounts::default()
        }
    }

    #[test]
    fn rates_and_shares_are_computed_from_the_counts() {
        let times = CommandTimes {
            wall_ns: 2_000_000_000,
            user_ns: Some(7),
            system_ns: Some(8),
        };
        let cost = cost(&samples(400, 100, 0), Some(times));
        assert_eq!((cost.records, cost.records_per_s), (100, Some(50)));
        assert_eq!(cost.system_in_audit, Some(0.25));
        let error = cost.system_in_audit_error.expect("samples");
        assert!((0.04..0.05).contains(&error), "{error}");
        assert_eq!(cost.lost, None);
    }

    #[test]
    fn unsampled_figures_are_absent() {
        assert_eq!(cost(&CommandCounts::default(), None).system_in_audit, None);
        assert_eq!(cost(&samples(0, 0, 0), None).system_in_audit, None);
        assert_eq!(cost(&samples(7, 0, 7), None).system_in_audit, None);
        let few = cost(&samples(1, 0, 0), None);
        assert_eq!(few.system_in_audit, Some(0.0));
        // One sample says next to nothing.
        assert!(few.system_in_audit_error.is_some_and(|error| error > 0.7));
        assert_eq!(few.records_per_s, None);
    }
}
