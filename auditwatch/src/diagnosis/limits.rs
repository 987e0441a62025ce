//! The limits of a log: those that were too small, and the one in force at the end. In: [`Source`]s. Out: [`Limits`].

use std::collections::BTreeMap;

use super::{
    advice::BASELINE,
    boots,
    cause::{Cause, causes},
    report::{Boot, Source},
};
use crate::untrusted::Untrusted;

/// Above this no log is reason enough for more: something does not keep up, records.
const MOST: u32 = 65_536;

/// Limits, records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The highest limit that did not suffice.
    pub over: Option<u32>,
    /// The limit in force at the end. 0: no limit.
    pub at_end: Option<u32>,
    /// Whether the limit was raised afterwards, on each host that lost records.
    pub is_raised: bool,
}

impl Limits {
    /// Of all hosts; the worst one counts.
    #[must_use]
    pub fn of(sources: &[Source]) -> Self {
        let mut hosts: Vec<Vec<&Boot>> = Vec::new();
        // A disk may have thousands of logs, each of its own host.
        let mut places: BTreeMap<&Option<Untrusted>, usize> = BTreeMap::new();
        for boot in boots(sources) {
            let place = *places.entry(&boot.host).or_insert(hosts.len());
            match hosts.get_mut(place) {
                Some(boots) => boots.push(boot),
                None => hosts.push(vec![boot]),
            }
        }
        let of_hosts: Vec<Self> = hosts.iter().map(|boots| of_host(boots)).collect();
        let lossy = of_hosts.iter().filter(|limits| limits.over.is_some());
        // The host whose limit is still too small, else any.
        let worst = lossy
            .clone()
            .filter(|limits| !limits.is_raised)
            .max_by_key(|limits| limits.over)
            .or_else(|| lossy.max_by_key(|limits| limits.over));
        worst
            .cloned()
            .or_else(|| of_hosts.last().cloned())
            .unwrap_or_default()
    }
}

fn of_host(boots: &[&Boot]) -> Limits {
    let is_overflow =
        |boot: &Boot| causes(boot).contains(&Cause::Overflow) || boot.overflow_limit.is_some();
    let of_losses = |boot: &Boot| {
        boot.overflow_limit
            .or_else(|| boot.limits.iter().map(|seen| seen.limit).max())
    };
    let over = boots
        .iter()
        .filter(|boot| is_overflow(boot))
        .filter_map(|boot| of_losses(boot))
        .max();
    let at_end = boots
        .iter()
        .rev()
        .find_map(|boot| boot.limits.last())
        .map(|seen| seen.limit);
    let is_raised = match (over, at_end) {
        (Some(over), Some(now)) => now == 0 || now > over,
        _ => false,
    };
    Limits {
        over,
        at_end,
        is_raised,
    }
}

/// The limit that is advised: above the one that did not suffice and the one in force; none if there is nothing to
/// raise.
#[must_use]
pub fn target(limits: &Limits) -> Option<u32> {
    let over = limits.over?;
    if limits.is_raised {
        return None;
    }
    let target = if over < BASELINE {
        BASELINE
    } else {
        over.checked_mul(2)?.checked_next_power_of_two()?
    };
    (target <= MOST && limits.at_end.is_none_or(|now| now < target)).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(over: u32, at_end: u32) -> Limits {
        Limits {
            over: Some(over),
            at_end: Some(at_end),
            is_raised: at_end == 0 || at_end > over,
        }
    }

    #[test]
    fn no_target_is_below_the_limit_in_force() {
        assert_eq!(target(&limits(320, 320)), Some(8192));
        assert_eq!(target(&limits(8192, 8192)), Some(16_384));
        assert_eq!(target(&limits(8192, 32_768)), None);
        assert_eq!(target(&limits(8192, 0)), None);
        assert_eq!(target(&limits(65_536, 65_536)), None);
        // Lowered since.
        assert_eq!(target(&limits(8192, 64)), Some(16_384));
    }
}
