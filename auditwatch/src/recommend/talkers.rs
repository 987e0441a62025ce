//! What it would do to have fewer records from those who cause most of them.
//!
//! In: evidence, and who causes what share of the demand. Out: advice, from a replay of the demand
//! without that share. Pure.

use super::{Advice, Need, advice::ranked};
use crate::{
    recommend::model::{
        demand::Arrival,
        evidence::{Evidence, Talker, TalkerShare},
        service::Service,
    },
    units::count,
    untrusted::{NAME_COLUMNS, Untrusted, clipped, shell_word},
};

/// Smallest share of the demand that is worth a word.
const LEAST_SHARE: f64 = 0.1;
/// Most talkers that are named.
const MOST: usize = 3;

/// Advice on those that cause most, the most effective first.
///
/// The share is taken off the demand evenly in time: a talker that makes all of its records in the
/// busiest moment is worth more than that, and one that makes none then is worth nothing.
#[must_use]
pub fn talker_advice(evidence: &Evidence, shares: &[TalkerShare]) -> Vec<Advice> {
    let mut shares: Vec<&TalkerShare> = shares
        .iter()
        .filter(|share| share.share() >= LEAST_SHARE)
        .collect();
    shares.sort_by(|a, b| b.share().total_cmp(&a.share()));
    shares.truncate(MOST);
    ranked(
        shares
            .into_iter()
            .map(|share| advice(evidence, share))
            .collect(),
    )
}

fn advice(evidence: &Evidence, share: &TalkerShare) -> Advice {
    let percent = share.share() * 100.0;
    // A name may be copied from here into a command.
    let word = |name: &Untrusted| clipped(&shell_word(name.as_raw()), NAME_COLUMNS);
    let (action, name) = match &share.what {
        Talker::Key(key) => {
            let name = format!("key `{}`", word(&key.keys()));
            (format!("narrow the rules with {name}"), name)
        }
        Talker::Comm(comm) => {
            let name = word(comm);
            (
                format!(
                    "exclude {name} by a `never,exit` rule on its exe or subj, before all other rules (a security decision: its events are then no longer audited)"
                ),
                name,
            )
        }
    };
    let because = format!(
        "{name} is {percent:.0} % of demand: {} of {} records",
        count(share.records),
        count(share.of)
    );
    let Some(service) = &evidence.service else {
        return Advice::new(action, format!("{percent:.0} % fewer records"), because);
    };
    let rest = without(evidence, share.share());
    let now = Need::by_replay(evidence, service);
    let then = needed_without(&rest, service);
    let hurt = evidence.refused + evidence.stalls;
    match then {
        None => Advice::new(
            action,
            "fewer records, but the arrival rate still exceeds the service rate",
            because,
        )
        .sparing(0),
        Some(needed) if evidence.limit.is_some_and(|limit| limit >= needed) => Advice::new(
            action,
            format!(
                "reduces the need from {} to {}, below the current limit",
                count(now.records),
                count(needed)
            ),
            because,
        )
        .sparing(hurt)
        .needing(needed),
        Some(needed) => Advice::new(
            action,
            format!(
                "reduces the need from {} to {}",
                count(now.records),
                count(needed)
            ),
            because,
        )
        .needing(needed),
    }
}

/// The load without a share of its records.
fn without(evidence: &Evidence, share: f64) -> Evidence {
    Evidence {
        arrivals: evidence
            .arrivals
            .iter()
            .map(|arrival| Arrival {
                records: arrival.records * (1.0 - share),
                ..*arrival
            })
            .collect(),
        // What hurt need not hurt then.
        lowest_limit: None,
        ..evidence.clone()
    }
}

/// The need of a load; `None` where no limit holds it.
fn needed_without(evidence: &Evidence, service: &Service) -> Option<u64> {
    let need = Need::by_replay(evidence, service);
    (need.overload.is_none()).then_some(need.records)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn service() -> Service {
        Service {
            record_ns: 200_000.0,
            paces: Vec::new(),
            pace_is_measured: true,
            is_by_part: false,
            usual_ns: None,
            socket_records: 200.0,
            socket_is_measured: true,
            pauses_without_time: 0,
            kauditd_ns: 3_000.0,
            pauses: Vec::new(),
        }
    }

    /// So many records in each of so many bins, to a consumer that takes 20 a bin.
    fn evidence(records: f64, bins: u64) -> Evidence {
        let arrivals: Vec<Arrival> = (1..=bins)
            .map(|number| Arrival {
                at_ns: number * 4 * MS,
                records,
            })
            .collect();
        Evidence {
            limit: Some(64),
            lowest_limit: Some(64),
            refused: 500,
            bin_ns: 4 * MS,
            last_attempt_ns: bins * 4 * MS,
            arrivals,
            service: Some(service()),
            ..Evidence::default()
        }
    }

    fn key(records: u64) -> TalkerShare {
        TalkerShare {
            what: Talker::Key("exec".into()),
            records,
            of: 1000,
        }
    }

    #[test]
    fn talker_saves_the_difference_of_the_needs() {
        let told = talker_advice(&evidence(300.0, 10), &[key(820)]);
        let [advice] = told.as_slice() else {
            panic!("one: {told:?}")
        };
        assert!(advice.evidence.contains("key `exec` is 82 % of demand"));
        // 54 of 300 come in each bin: 540, of which the socket holds 200 and 20 a bin go.
        assert!(
            (140..=170).contains(&advice.needed.expect("told")),
            "{advice:?}"
        );
        assert_eq!(advice.spares, None);
        let told = talker_advice(&evidence(300.0, 10), &[key(930)]);
        assert_eq!(told[0].spares, Some(500), "{told:?}");
    }

    #[test]
    fn the_most_effective_comes_first_and_small_ones_are_left_out() {
        let comm = |name: &str, records| TalkerShare {
            what: Talker::Comm(name.into()),
            records,
            of: 1000,
        };
        let told = talker_advice(
            &evidence(300.0, 10),
            &[comm("few", 90), comm("cc1", 100), key(930), comm("ld", 0)],
        );
        let actions: Vec<&str> = told.iter().map(|advice| advice.action.as_str()).collect();
        assert_eq!(actions.len(), 2, "{actions:?}");
        assert!(actions[0].contains("`exec`") && actions[1].contains("cc1"));
    }

    #[test]
    fn load_without_a_talker_may_still_be_an_overload() {
        let load = evidence(40.0, 500);
        let told = talker_advice(&load, &[key(300)]);
        assert_eq!(told[0].needed, None, "{told:?}");
        assert!(told[0].effect.contains("still exceeds the service rate"));
        let told = talker_advice(&load, &[key(600)]);
        assert_eq!(told[0].needed, Some(15), "{told:?}");
    }

    #[test]
    fn without_service_rate_or_demand_there_is_no_need() {
        let mut load = evidence(300.0, 10);
        load.service = None;
        let told = talker_advice(&load, &[key(820)]);
        assert_eq!((told[0].needed, told[0].spares), (None, None));
        let none = TalkerShare { of: 0, ..key(5) };
        assert_eq!(talker_advice(&load, &[none]), Vec::new());
        assert_eq!(talker_advice(&load, &[]), Vec::new());
    }

    #[test]
    fn more_of_a_share_never_leaves_a_greater_need() {
        let load = evidence(300.0, 10);
        let mut before = u64::MAX;
        for records in [100, 300, 500, 700, 900, 1000] {
            let needed = talker_advice(&load, &[key(records)])[0]
                .needed
                .expect("told");
            assert!(needed <= before, "{records}: {needed} > {before}");
            before = needed;
        }
    }
}
