//! [`Talkers`]: who causes records, who pays for it, and why.
//!
//! In: talkers as sampled. Out: the rows of the report and what is in none of them, so that all
//! together come to the ledger. Pure.

use std::collections::BTreeMap;

use kept::Kept;
use syscalls::Sysno;

use crate::{
    sample::{Talker as Sampled, TalkerCounts, container::Place, record_type},
    trace::report::{OtherTalkers, Share, Shares, Talker, TalkerSums},
    untrusted::Untrusted,
};

mod kept;

/// Rows of the report; the rest is added up.
pub const MOST_ROWS: usize = 100;
/// Entries of each list of shares; the rest is in the last one's place, as [`REST`].
const MOST_SHARES: usize = 50;
/// Name of what a list of shares has no entry for.
pub const REST: &str = "(others)";

/// Talkers by who they are, with their totals.
#[derive(Clone, Debug, Default)]
pub struct Talkers {
    counted: bool,
    rows: Kept,
}

/// What the rows must come to, by the ledger.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Record attempts.
    pub attempted: u64,
    /// Dropped records.
    pub dropped: u64,
    /// Attempts that slept.
    pub stalls: u64,
    /// Time that they slept, ns.
    pub stalled_ns: u64,
}

/// What the report says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TalkersReport {
    /// The rows.
    pub rows: Vec<Talker>,
    /// What is in none of them.
    pub other: OtherTalkers,
    /// By what they have in common.
    pub by: Shares,
}

/// What makes one row of the report: a talker without its process.
type RowId<'a> = (
    &'a Untrusted,
    Option<u64>,
    Option<&'a Untrusted>,
    Option<u32>,
    u32,
);

impl Talkers {
    /// Takes what has changed since the sample before.
    pub fn add(&mut self, changed: &[Sampled]) {
        self.counted = true;
        for talker in changed {
            self.rows.take(talker);
        }
    }

    /// Whether some talkers found no room.
    #[must_use]
    pub const fn are_too_many(&self) -> bool {
        self.rows.are_too_many()
    }

    /// The report; `None` where talkers are not counted. `record_bytes` is the memory of a queued
    /// record.
    #[must_use]
    pub fn report(&self, totals: Totals, record_bytes: Option<u64>) -> Option<TalkersReport> {
        if !self.counted {
            return None;
        }
        let mut groups: BTreeMap<RowId<'_>, Vec<&Sampled>> = BTreeMap::new();
        for talker in self.rows.values() {
            let id = &talker.id;
            let row = (
                &id.comm,
                id.cgroup,
                id.rule.as_ref(),
                id.syscall,
                id.record_type,
            );
            groups.entry(row).or_default().push(talker);
        }
        let mut rows: Vec<Talker> = groups
            .values()
            .map(|group| row(group, record_bytes))
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(weight(&row.sums)));
        let told = sum(rows.iter().map(|row| row.sums));
        let beyond = rows.split_off(rows.len().min(MOST_ROWS));
        let shown = sum(rows.iter().map(|row| row.sums));
        let records = totals.attempted.saturating_sub(shown.records);
        Some(TalkersReport {
            other: OtherTalkers {
                talkers: beyond.len() as u64,
                sums: TalkerSums {
                    records,
                    bytes: record_bytes.map(|bytes| bytes.saturating_mul(records)),
                    dropped: totals.dropped.saturating_sub(shown.dropped),
                    stalls: totals.stalls.saturating_sub(shown.stalls),
                    stall_ns: totals.stalled_ns.saturating_sub(shown.stall_ns),
                    stall_max_ns: None,
                },
                unattributed: totals.attempted.saturating_sub(told.records),
            },
            by: self.shares(record_bytes),
            rows,
        })
    }

    fn shares(&self, record_bytes: Option<u64>) -> Shares {
        let by = |name: fn(&Sampled) -> Option<Untrusted>| self.share(name, record_bytes);
        Shares {
            key: by(|talker| talker.id.rule.clone()),
            comm: by(|talker| Some(talker.id.comm.clone()).filter(|comm| !comm.is_empty())),
            cgroup: by(|talker| {
                let id = talker.id.cgroup?;
                Some(
                    talker
                        .cgroup_path
                        .clone()
                        .unwrap_or_else(|| format!("(gone, id {id})").into()),
                )
            }),
            syscall: by(|talker| talker.id.syscall.map(|number| syscall_name(number).into())),
            record_type: by(|talker| Some(record_type::name(talker.id.record_type).into())),
        }
    }

    fn share(
        &self,
        name: impl Fn(&Sampled) -> Option<Untrusted>,
        record_bytes: Option<u64>,
    ) -> Vec<Share> {
        let mut sums: BTreeMap<Option<Untrusted>, TalkerSums> = BTreeMap::new();
        for talker in self.rows.values() {
            let entry = sums.entry(name(talker)).or_default();
            *entry = entry.plus(of(&talker.counts, record_bytes));
        }
        let mut shares: Vec<Share> = sums
            .into_iter()
            .map(|(name, sums)| Share { name, sums })
            .collect();
        shares.sort_by_key(|share| std::cmp::Reverse(weight(&share.sums)));
        if shares.len() > MOST_SHARES {
            let rest = shares.split_off(MOST_SHARES - 1);
            shares.push(Share {
                name: Some(REST.into()),
                sums: sum(rest.iter().map(|share| share.sums)),
            });
        }
        shares
    }
}

/// By what rows are put in order: records, then what they suffer.
const fn weight(sums: &TalkerSums) -> (u64, u64, u64) {
    (sums.records, sums.dropped, sums.stall_ns)
}

fn of(counts: &TalkerCounts, record_bytes: Option<u64>) -> TalkerSums {
    TalkerSums {
        records: counts.records,
        bytes: record_bytes.map(|bytes| bytes.saturating_mul(counts.records)),
        dropped: counts.refused.saturating_add(counts.lost),
        stalls: counts.stalls,
        stall_ns: counts.stalled_ns,
        stall_max_ns: Some(counts.longest_ns),
    }
}

fn sum(all: impl IntoIterator<Item = TalkerSums>) -> TalkerSums {
    let none = TalkerSums {
        stall_max_ns: Some(0),
        ..TalkerSums::default()
    };
    all.into_iter().fold(none, TalkerSums::plus)
}

/// A row of talkers that differ in nothing but their process.
fn row(group: &[&Sampled], record_bytes: Option<u64>) -> Talker {
    let sums = sum(group.iter().map(|talker| of(&talker.counts, record_bytes)));
    // Some one of the group, at least: it would not be there otherwise.
    let most = group
        .iter()
        .filter(|talker| talker.id.pid.is_some())
        .max_by_key(|talker| talker.counts.records);
    let any = most.or(group.first());
    let path = group.iter().find_map(|talker| talker.cgroup_path.clone());
    let place = path
        .as_ref()
        .map(|path| Place::of(path.as_raw()))
        .unwrap_or_default();
    let is_task = any.is_some_and(|talker| talker.id.cgroup.is_some());
    let all_have_places = group.iter().all(|talker| talker.id.pid.is_some());
    Talker {
        comm: any.map(|talker| talker.id.comm.clone()).unwrap_or_default(),
        pid: most.and_then(|talker| talker.id.pid),
        processes: (all_have_places || !is_task).then(|| {
            group
                .iter()
                .filter(|talker| talker.id.pid.is_some())
                .count() as u64
        }),
        exe: most
            .and_then(|talker| talker.exe.clone())
            .or_else(|| group.iter().find_map(|talker| talker.exe.clone())),
        container_name: group
            .iter()
            .find_map(|talker| talker.container_name.clone()),
        cgroup: path,
        container: place.container.map(Into::into),
        pod: place.pod.map(Into::into),
        unit: place.unit.map(Into::into),
        key: any.and_then(|talker| talker.id.rule.clone()),
        syscall: any.and_then(|talker| talker.id.syscall).map(syscall_name),
        record_type: any.map_or_else(String::new, |talker| {
            record_type::name(talker.id.record_type)
        }),
        sums,
    }
}

/// Name of a system call of this machine's own kind; `syscall N` for one that has none.
fn syscall_name(number: u32) -> String {
    usize::try_from(number)
        .ok()
        .and_then(Sysno::new)
        .map_or_else(
            || format!("syscall {number}"),
            |known| known.name().to_owned(),
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

    use super::{MOST_ROWS, Talkers, Totals};
    use crate::{
        sample::{Talker, TalkerCounts, TalkerId},
        untrusted::Untrusted,
    };

    fn talker(pid: u32, comm: &str, rule: Option<&str>, records: u64) -> Talker {
        Talker {
            id: TalkerId {
                pid: (pid != 0).then_some(pid),
                comm: comm.into(),
                cgroup: Some(1),
                rule: rule.map(Into::into),
                syscall: Some(39),
                record_type: 1300,
            },
            counts: TalkerCounts {
                records,
                refused: records / 3,
                lost: records / 5,
                stalls: records / 7,
                stalled_ns: records * 10,
                longest_ns: records,
            },
            ..Talker::default()
        }
    }

    const TOTALS: Totals = Totals {
        attempted: 1_000,
        dropped: 600,
        stalls: 200,
        stalled_ns: 20_000,
    };

    #[test]
    fn processes_of_one_name_and_reason_are_one_row_and_the_heaviest_is_named() {
        let mut talkers = Talkers::default();
        talkers.add(&[
            talker(7, "true", Some("exec"), 8),
            talker(8, "true", Some("exec"), 80),
            talker(9, "true", Some("exec"), 8),
            talker(3, "sshd", None, 40),
        ]);
        let report = talkers.report(TOTALS, Some(2304)).expect("counted");
        let first = &report.rows[0];
        assert_eq!((first.comm.as_raw(), first.pid), ("true", Some(8)));
        assert_eq!((first.processes, first.sums.records), (Some(3), 96));
        assert_eq!(first.sums.bytes, Some(96 * 2304));
        assert_eq!(first.sums.stall_max_ns, Some(80));
        assert_eq!(first.key, Some("exec".into()));
        assert_eq!(report.rows[1].comm, "sshd");
        assert_eq!(report.other.sums.records, 1_000 - 136);
        assert_eq!(report.other.unattributed, 1_000 - 136);
        let keys: Vec<_> = report
            .by
            .key
            .iter()
            .map(|share| {
                (
                    share.name.as_ref().map(Untrusted::as_raw),
                    share.sums.records,
                )
            })
            .collect();
        assert_eq!(keys, [(Some("exec"), 96), (None, 40)]);
    }

    #[test]
    fn processes_without_a_place_are_not_counted() {
        let mut talkers = Talkers::default();
        talkers.add(&[talker(7, "true", None, 8), talker(0, "true", None, 800)]);
        let report = talkers.report(TOTALS, None).expect("counted");
        let row = &report.rows[0];
        assert_eq!((row.pid, row.processes), (Some(7), None));
        assert_eq!((row.sums.records, row.sums.bytes), (808, None));
    }

    #[test]
    fn a_record_without_a_task_has_no_process() {
        let mut packet = talker(0, "", None, 10);
        packet.id.cgroup = None;
        packet.id.syscall = None;
        packet.id.record_type = 1324;
        let mut talkers = Talkers::default();
        talkers.add(&[packet]);
        let report = talkers.report(TOTALS, None).expect("counted");
        assert_eq!(report.rows[0].processes, Some(0));
        assert_eq!(report.rows[0].record_type, "NETFILTER_PKT");
        assert_eq!(report.rows[0].syscall, None);
    }

    #[test]
    fn uncounted_figures_are_absent() {
        assert!(Talkers::default().report(TOTALS, None).is_none());
        let mut talkers = Talkers::default();
        talkers.add(&[]);
        let report = talkers.report(TOTALS, None).expect("counted, and nobody");
        assert!(report.rows.is_empty());
        assert_eq!(report.other.sums.records, 1_000);
    }

    #[test]
    fn later_totals_take_the_place_of_earlier_ones_and_names_stay() {
        let mut first = talker(7, "a", None, 5);
        first.exe = Some("/usr/bin/a".into());
        let mut talkers = Talkers::default();
        talkers.add(&[first]);
        talkers.add(&[talker(7, "a", None, 9)]);
        let report = talkers.report(TOTALS, None).expect("counted");
        assert_eq!(report.rows[0].sums.records, 9);
        assert_eq!(report.rows[0].exe, Some("/usr/bin/a".into()));
    }

    fn any_talker() -> impl Strategy<Value = Talker> {
        (0..40_u32, 0..30_u32, 0..6_u32, 0..1_000_u64).prop_map(|(pid, comm, rule, records)| {
            let key = format!("key{rule}");
            let rule = (rule > 0).then_some(key.as_str());
            talker(pid, &format!("comm{comm}"), rule, records)
        })
    }

    proptest! {
        #[test]
        fn rows_and_the_rest_come_to_the_ledger(
            sampled in proptest::collection::vec(any_talker(), 0..600),
            unattributed in 0..50_u64,
        ) {
            let mut talkers = Talkers::default();
            talkers.add(&sampled);
            let told = |pick: fn(&TalkerCounts) -> u64| {
                talkers.rows.values().map(|row| pick(&row.counts)).sum::<u64>()
            };
            let totals = Totals {
                attempted: told(|counts| counts.records) + unattributed,
                dropped: told(|counts| counts.refused + counts.lost) + unattributed,
                stalls: told(|counts| counts.stalls),
                stalled_ns: told(|counts| counts.stalled_ns),
            };
            let report = talkers.report(totals, None).expect("counted");
            prop_assert!(report.rows.len() <= MOST_ROWS);
            let rows = |pick: fn(&crate::trace::report::TalkerSums) -> u64| {
                report.rows.iter().map(|row| pick(&row.sums)).sum::<u64>()
            };
            prop_assert_eq!(rows(|sums| sums.records) + report.other.sums.records, totals.attempted);
            prop_assert_eq!(rows(|sums| sums.dropped) + report.other.sums.dropped, totals.dropped);
            prop_assert_eq!(rows(|sums| sums.stalls) + report.other.sums.stalls, totals.stalls);
            prop_assert_eq!(rows(|sums| sums.stall_ns) + report.other.sums.stall_ns, totals.stalled_ns);
            prop_assert_eq!(report.other.unattributed, unattributed);
            for list in [&report.by.key, &report.by.comm, &report.by.cgroup, &report.by.syscall] {
                let all: u64 = list.iter().map(|share| share.sums.records).sum();
                prop_assert_eq!(all + unattributed, totals.attempted);
            }
            for pair in report.rows.windows(2) {
                prop_assert!(pair[0].sums.records >= pair[1].sums.records);
            }
        }
    }
}
