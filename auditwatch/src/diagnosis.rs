//! What a log says about audit: losses, stalls, panics, and what can be done. In: logs as bytes, each
//! through a [`Reading`]. Out: a [`Diagnosis`].
//!
//! A log undercounts: the kernel prints under a limit that audit shares with everything else. So the figures
//! are lower bounds, and the need is never a number that was not measured.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use crate::untrusted::Untrusted;

mod advice;
mod boot;
mod cause;
mod counter;
mod daemon;
mod date;
mod days;
mod envelope;
mod fact;
mod feed;
mod finder;
mod headline;
mod heard;
mod hosts;
mod limits;
mod log;
mod logcat;
mod moment;
mod notes;
mod place;
mod reading;
mod report;
mod scan;
mod stamp;
mod talkers;
mod timeline;
mod traces;
mod unit;
mod verdict;
mod wall;
mod words;

pub use cause::Cause;
pub use place::Origin;
pub use reading::Reading;
pub use report::{
    Advice, Boot, CounterSeen, DayLosses, Diagnosis, Event, HungTask, LimitSeen, LimitSource, Need,
    Source, Talker, Verdict, What, When,
};

/// The diagnosis of logs of the hosts of one place. Several logs may report the same losses, so that they are not added
/// up.
#[must_use]
pub fn diagnose(sources: Vec<Source>, notes: Vec<String>, origin: &Origin) -> Diagnosis {
    let verdict = verdict::verdict(&sources);
    let lost_at_least = lost(&sources);
    let failure = boots(&sources).filter_map(|boot| boot.failure).next_back();
    let mut diagnosis = Diagnosis {
        kind: "diagnosis",
        schema: 1,
        verdict,
        headline: String::new(),
        causes: verdict::causes(&sources),
        lost_at_least,
        limit: verdict::limit(&sources),
        limit_at_end: limits::Limits::of(&sources).at_end,
        need: verdict::need(&sources),
        failure,
        sources,
        advice: Vec::new(),
        notes,
    };
    diagnosis.headline = headline::headline(&diagnosis);
    diagnosis.notes.extend(notes::notes(&diagnosis));
    let place = place::Place::new(boots(&diagnosis.sources), origin);
    diagnosis.advice = advice::advice(&diagnosis, &place);
    diagnosis
}

pub use words::moment;

/// Losses of all hosts. Several logs of a host may report the same ones, so that the one with the most counts.
fn lost(sources: &[Source]) -> u64 {
    let mut hosts: BTreeMap<Option<&str>, u64> = BTreeMap::new();
    for source in sources {
        let mut here: BTreeMap<Option<&str>, u64> = BTreeMap::new();
        for boot in &source.boots {
            let of = here
                .entry(boot.host.as_ref().map(Untrusted::as_raw))
                .or_default();
            *of = of.saturating_add(boot.lost_at_least);
        }
        for (host, lost) in here {
            let most = hosts.entry(host).or_default();
            *most = lost.max(*most);
        }
    }
    // A log without names may be of one of the hosts.
    let nameless = hosts.remove(&None).unwrap_or(0);
    let named = hosts
        .values()
        .fold(0_u64, |sum, lost| sum.saturating_add(*lost));
    nameless.max(named)
}

/// All boots, in order.
fn boots(sources: &[Source]) -> impl DoubleEndedIterator<Item = &Boot> + Clone {
    sources.iter().flat_map(|source| &source.boots)
}
