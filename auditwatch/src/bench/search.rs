//! The search for the limit that a storm needs, from runs at limits of its choice.
//!
//! In: what each run came to. Out: the limit to try next, or the finding. Pure. A
//! storm's need varies from run to run, so a limit holds only after several clean
//! runs, and must be confirmed by a run below it that hurts.

use serde::{Deserialize, Serialize};

/// Runs without a limit, which show how long the queue gets, and how much that varies.
const UNLIMITED: usize = 2;
/// Clean runs that a limit needs.
const CONFIRMATIONS: usize = 3;
/// Runs a tenth below it that may come out clean by luck, before a lower limit is
/// believed.
const LUCK: usize = 3;
/// A limit that hurt is raised by one part in so many: it is then the run that hurts a
/// tenth below the next one.
const RAISE: u32 = 10;
/// A limit that turned out too high is lowered by one part in so many.
const LOWER: u32 = 15;

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Backlog limit, records; 0 for none.
    pub limit: u32,
    /// Greatest queue length that an attempt met, records.
    pub peak: u32,
    /// Records lost.
    pub lost: u64,
    /// Stalls.
    pub stalls: u64,
}

impl Trial {
    /// Whether nothing was lost and nobody delayed.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.lost == 0 && self.stalls == 0
    }
}

/// What the runs so far say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Finding {
    /// This limit is to be tried next.
    Try {
        /// Records; 0 for none.
        limit: u32,
    },
    /// The storm needs this limit.
    Needed {
        /// Records.
        limit: u32,
        /// The highest limit below it that lost or delayed something, at most a tenth
        /// lower; `None` where no lower limit can be set.
        hurts_at: Option<u32>,
    },
    /// The storm loses records without any limit: something else is the bottleneck.
    NoLimitHelps,
}

/// What to do after `trials`, in any order.
#[must_use]
pub fn next(trials: &[Trial]) -> Finding {
    let unlimited: Vec<&Trial> = trials.iter().filter(|trial| trial.limit == 0).collect();
    if unlimited.iter().any(|trial| !trial.is_clean()) {
        return Finding::NoLimitHelps;
    }
    if unlimited.len() < UNLIMITED {
        return Finding::Try { limit: 0 };
    }
    let limit = candidate(trials);
    let below = below(limit);
    // One record cannot be a tenth less. What hurts nearer to the limit says more.
    let hurts_at = trials
        .iter()
        .filter(|trial| (below.max(1)..limit).contains(&trial.limit) && !trial.is_clean())
        .map(|trial| trial.limit)
        .max();
    if below > 0 && hurts_at.is_none() {
        return Finding::Try { limit: below };
    }
    if count(trials, limit, true) < CONFIRMATIONS {
        return Finding::Try { limit };
    }
    Finding::Needed { limit, hurts_at }
}

/// Runs at a limit that were clean, or were not.
fn count(trials: &[Trial], limit: u32, clean: bool) -> usize {
    trials
        .iter()
        .filter(|trial| trial.limit == limit && trial.is_clean() == clean)
        .count()
}

/// A tenth below a limit; 0 where there is no such limit.
#[must_use]
pub fn below(limit: u32) -> u32 {
    limit - limit.div_ceil(10)
}

/// The limit that the runs point to.
fn candidate(trials: &[Trial]) -> u32 {
    // A queue would have fitted under a limit of its length; the next one may be longer,
    // by about what they differ.
    let peaks = || {
        trials
            .iter()
            .filter(|trial| trial.limit == 0)
            .map(|trial| trial.peak)
    };
    let (least, most) = (peaks().min().unwrap_or(0), peaks().max().unwrap_or(0));
    let first = most.saturating_add((most - least).div_ceil(2)).max(1);
    let mut limit = first;
    // Records that wait for nobody hurt at no limit.
    if trials.iter().any(|trial| trial.limit == 1) && count(trials, 1, false) == 0 {
        return 1;
    }
    loop {
        // What the queue would have needed is not known of a limit that hurt.
        let hurt = trials
            .iter()
            .filter(|trial| trial.limit >= limit && !trial.is_clean())
            .map(|trial| trial.limit)
            .max();
        if let Some(hurt) = hurt {
            return hurt.saturating_add(hurt.div_ceil(RAISE));
        }
        let lower = below(limit);
        let hurts_below = trials
            .iter()
            .any(|trial| (lower.max(1)..=limit).contains(&trial.limit) && !trial.is_clean());
        if lower == 0 || hurts_below || count(trials, lower, true) < LUCK {
            return limit;
        }
        if limit < first && count(trials, 1, false) == 0 {
            return 1;
        }
        limit -= limit.div_ceil(LOWER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a search on a host whose need at each run is given by `need`.
    fn search(mut need: impl FnMut(usize) -> u32) -> (Finding, Vec<Trial>) {
        let mut trials = Vec::new();
        loop {
            match next(&trials) {
                Finding::Try { limit } if trials.len() < 40 => {
                    let need = need(trials.len());
                    let hurts = limit != 0 && need > limit;
                    trials.push(Trial {
                        limit,
                        peak: if hurts { limit + 1 } else { need },
                        lost: u64::from(hurts),
                        stalls: 0,
                    });
                }
                finding => return (finding, trials),
            }
        }
    }

    #[test]
    fn a_steady_need_is_found_in_six_runs() {
        for need in [1, 2, 9, 10, 11, 64, 321, 14_575, u32::MAX] {
            let (finding, trials) = search(|_| need);
            let hurts_at = (need > 1).then(|| below(need));
            let needed = Finding::Needed {
                limit: need,
                hurts_at,
            };
            assert_eq!(finding, needed);
            assert!(trials.len() <= 6, "{need}: {}", trials.len());
        }
    }

    /// How many of 2000 searches take more than twelve runs, where the need varies
    /// evenly by so many records about 1000.
    fn late(spread: u64) -> usize {
        (0..2_000_u64)
            .filter(|seed| {
                let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
                let (finding, trials) = search(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    u32::try_from(1_000 - spread + (state >> 20) % (2 * spread + 1)).expect("small")
                });
                let Finding::Needed { limit, hurts_at } = finding else {
                    panic!("{seed}: {finding:?}");
                };
                assert!((900..1_300).contains(&limit), "{seed}: {limit}");
                assert!(count(&trials, limit, true) >= CONFIRMATIONS);
                assert_eq!(count(&trials, limit, false), 0);
                let hurts_at = hurts_at.expect("a lower limit");
                assert!((below(limit)..limit).contains(&hurts_at));
                assert!(count(&trials, hurts_at, false) >= 1);
                trials.len() > 12
            })
            .count()
    }

    #[test]
    fn a_need_that_varies_is_found_within_twelve_runs() {
        assert_eq!(late(20), 0);
        assert_eq!(late(50), 0);
        let at_nine_percent = late(90);
        assert!(at_nine_percent <= 20, "{at_nine_percent}");
        let at_fifteen_percent = late(150);
        assert!(at_fifteen_percent <= 120, "{at_fifteen_percent}");
    }

    #[test]
    fn a_storm_that_loses_without_a_limit_needs_none() {
        let trial = Trial {
            limit: 0,
            peak: 5,
            lost: 7,
            stalls: 0,
        };
        assert_eq!(next(&[trial]), Finding::NoLimitHelps);
    }

    #[test]
    fn a_storm_that_no_limit_hurts_needs_the_smallest() {
        let mut trials = Vec::new();
        while let Finding::Try { limit } = next(&trials) {
            trials.push(Trial {
                limit,
                peak: 500,
                lost: 0,
                stalls: 0,
            });
        }
        let needed = Finding::Needed {
            limit: 1,
            hurts_at: None,
        };
        assert_eq!(next(&trials), needed);
        assert!(trials.len() <= 11, "{}", trials.len());
    }

    #[test]
    fn a_storm_without_a_queue_needs_the_smallest_limit() {
        let (finding, _) = search(|_| 0);
        let needed = Finding::Needed {
            limit: 1,
            hurts_at: None,
        };
        assert_eq!(finding, needed);
    }
}
