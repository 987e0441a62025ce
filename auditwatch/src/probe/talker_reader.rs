//! Reading the talkers: what has changed since the last time, with the names that the host has for
//! them now.
//!
//! Names are files of `/proc`, a few for each talker. While counting goes on, they are looked up between two samples
//! and a portion at a time: no sample is to wait for them.

use std::{
    collections::{BTreeMap, HashMap as StdMap},
    time::{Duration, Instant},
};

use auditwatch_ebpf::{CROWD_MAP, TALKERS_MAP, TalkerCounts, TalkerKey, TalkerRun};
use aya::maps::{HashMap, MapData, MapError};

use super::{
    cgroup_names::CgroupNames,
    error::ProbeError,
    maps::typed,
    object::Object,
    wire::{self, Wire},
};
use crate::{sample::Talker, untrusted::Untrusted};

/// Time between two readings while counting goes on, ns: a recorder that is killed loses no more.
const EVERY_NS: u64 = 10_000_000_000;

type Entries = HashMap<MapData, Wire<TalkerKey>, Wire<TalkerCounts>>;

/// The maps of talkers, and what was read of them last.
pub(super) struct TalkerReader {
    talkers: Entries,
    crowd: Entries,
    reported: StdMap<TalkerKey, TalkerCounts>,
    /// Keys of the runs that were not filed then.
    running: Vec<TalkerKey>,
    cgroups: CgroupNames,
    due_ns: u64,
    /// What has changed, and has no names yet: the next one last.
    nameless: Vec<(TalkerKey, TalkerCounts)>,
    /// What has names, and was not handed out yet.
    named: Vec<Talker>,
}

impl TalkerReader {
    /// Takes the maps out of the object.
    pub(super) fn take(object: &mut Object) -> Result<Self, ProbeError> {
        Ok(Self {
            talkers: typed(object, TALKERS_MAP)?,
            crowd: typed(object, CROWD_MAP)?,
            reported: StdMap::new(),
            running: Vec::new(),
            cgroups: CgroupNames::default(),
            due_ns: 0,
            nameless: Vec::new(),
            named: Vec::new(),
        })
    }

    /// Whether it is time to read them again: those of the last time are to have their names first.
    pub(super) fn is_due(&mut self, now_ns: u64) -> bool {
        if self.due_ns == 0 {
            self.due_ns = now_ns + EVERY_NS;
        }
        if now_ns < self.due_ns || !self.nameless.is_empty() {
            return false;
        }
        self.due_ns = now_ns + EVERY_NS;
        true
    }

    /// Reads what has changed, without names. `runs` are the attempts that each CPU has not filed yet; they come
    /// first, so that a run which is filed in between is counted twice for now, and never lost for good.
    pub(super) fn read(&mut self, runs: &[TalkerRun]) -> Result<(), ProbeError> {
        let mut totals: BTreeMap<TalkerKey, TalkerCounts> = BTreeMap::new();
        for (map, name) in [(&self.talkers, TALKERS_MAP), (&self.crowd, CROWD_MAP)] {
            for entry in map {
                match entry {
                    Ok((Wire(key), Wire(counts))) => add(totals.entry(key).or_default(), &counts),
                    // It was added while the map was walked.
                    Err(MapError::KeyNotFound) => {}
                    Err(source) => return Err(ProbeError::Map { name, source }),
                }
            }
        }
        for run in runs.iter().filter(|run| run.records > 0) {
            totals.entry(run.key).or_default().records += run.records;
        }
        // A run that was reported may have been filed without its process since.
        for key in self.running.drain(..) {
            totals.entry(key).or_default();
        }
        self.running
            .extend(runs.iter().filter(|run| run.records > 0).map(|run| run.key));
        let changed = changed(&mut self.reported, totals);
        // Newer counts are in the place of those that still wait for names.
        self.nameless.retain(|(key, _)| !changed.contains_key(key));
        self.nameless.extend(changed);
        Ok(())
    }

    /// Looks for names, for so long or, where that is `None`, until all is named.
    pub(super) fn name(&mut self, budget: Option<Duration>) {
        let end = budget.map(|budget| Instant::now() + budget);
        self.cgroups
            .learn(self.nameless.iter().map(|(key, _)| key.cgroup));
        while end.is_none_or(|end| Instant::now() < end)
            && let Some((key, counts)) = self.nameless.pop()
        {
            let talker = self.named(&key, &counts);
            self.named.push(talker);
        }
    }

    /// What was read and has its names; `None` while some are looked for, or where nothing was read.
    pub(super) fn hand_out(&mut self) -> Option<Vec<Talker>> {
        (self.nameless.is_empty() && !self.named.is_empty())
            .then(|| std::mem::take(&mut self.named))
    }

    fn named(&self, key: &TalkerKey, counts: &TalkerCounts) -> Talker {
        let id = wire::talker_id(key);
        let cgroup_path = id
            .cgroup
            .and_then(|cgroup| self.cgroups.path(cgroup, id.pid));
        Talker {
            exe: id.pid.and_then(|pid| executable(pid, &id.comm)),
            container_name: cgroup_path
                .as_ref()
                .and_then(|path| self.cgroups.container_name(path)),
            cgroup_path,
            counts: wire::talker_counts(counts),
            id,
        }
    }
}

/// Those of the totals that differ from what was reported last, which is brought up to date. What is in no total any
/// more is forgotten: a run that found no place was reported as nothing after it.
fn changed(
    reported: &mut StdMap<TalkerKey, TalkerCounts>,
    mut totals: BTreeMap<TalkerKey, TalkerCounts>,
) -> BTreeMap<TalkerKey, TalkerCounts> {
    reported.retain(|key, _| totals.contains_key(key));
    totals.retain(|key, counts| reported.insert(*key, *counts) != Some(*counts));
    totals
}

fn add(sum: &mut TalkerCounts, counts: &TalkerCounts) {
    sum.records += counts.records;
    sum.refused += counts.refused;
    sum.lost += counts.lost;
    sum.stalls += counts.stalls;
    sum.stalled_ns += counts.stalled_ns;
    sum.longest_ns = sum.longest_ns.max(counts.longest_ns);
}

/// Program of a process, if it is still the one that was counted.
fn executable(pid: u32, comm: &Untrusted) -> Option<Untrusted> {
    let now = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    if Untrusted::from_bytes(now.strip_suffix(b"\n")?) != *comm {
        return None;
    }
    let link = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(Untrusted::from_os(link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_no_longer_counted_are_dropped() {
        let one = |cgroup: u64, records: u64| {
            let key = TalkerKey {
                cgroup,
                ..TalkerKey::default()
            };
            let counts = TalkerCounts {
                records,
                ..TalkerCounts::default()
            };
            (key, counts)
        };
        let mut reported = StdMap::new();
        for run in 2..10_000_u64 {
            // One that stays, one that begins, and the one that began before, which found no place.
            let totals = BTreeMap::from([one(0, 7), one(run, 5), one(run - 1, 0)]);
            let told = changed(&mut reported, totals);
            assert!(told.contains_key(&one(run, 5).0));
            assert_eq!(told.contains_key(&one(0, 7).0), run == 2, "{run}");
            assert!(reported.len() <= 3, "{}", reported.len());
        }
    }
}
