//! The talkers that are kept in mind, as many as fit: a trace of any length, and a recording that somebody made up, hold
//! no more.
//!
//! In: talkers as sampled. Out: the last totals of each, with the names that were ever known. One that finds no room is
//! not kept, and the report has its records among those that are not told apart. Pure.

use std::collections::BTreeMap;

use crate::{
    sample::{Talker, TalkerCounts, TalkerId},
    untrusted::Untrusted,
};

/// Most talkers that are kept; the maps of the programs have 16,384 places.
const MOST_TALKERS: usize = 32_768;
/// Memory for what tells them apart, and as much for what is known beside, bytes; those of full maps take less than half
/// of it, but for paths that somebody made long.
const MOST_TEXT_BYTES: usize = 4 << 20;

/// Talkers by who they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    rows: BTreeMap<TalkerId, Talker>,
    /// What the texts of the rows take, bytes: of what tells them apart, and of what is known beside.
    id_bytes: usize,
    name_bytes: usize,
    too_many: bool,
}

impl Kept {
    /// Takes the totals of one.
    pub(super) fn take(&mut self, talker: &Talker) {
        if talker.counts == TalkerCounts::default() {
            // A run that was filed without its process leaves a row of nothing.
            self.forget(&talker.id);
        } else {
            self.keep(talker);
        }
    }

    /// All, in the order of who they are.
    pub(super) fn values(&self) -> impl Iterator<Item = &Talker> {
        self.rows.values()
    }

    /// Whether some found no room.
    pub(super) const fn are_too_many(&self) -> bool {
        self.too_many
    }

    fn keep(&mut self, talker: &Talker) {
        if !self.rows.contains_key(&talker.id) {
            let bytes = id_bytes(&talker.id);
            if self.rows.len() == MOST_TALKERS || self.id_bytes + bytes > MOST_TEXT_BYTES {
                self.too_many = true;
                return;
            }
            self.id_bytes += bytes;
        }
        let row = self.rows.entry(talker.id.clone()).or_default();
        row.id.clone_from(&talker.id);
        row.counts = talker.counts;
        for (row, now) in [
            (&mut row.exe, &talker.exe),
            (&mut row.cgroup_path, &talker.cgroup_path),
            (&mut row.container_name, &talker.container_name),
        ] {
            // What was read once stays known, though the process may be gone.
            let (Some(now), before) = (now, row.as_ref().map_or(0, Untrusted::len)) else {
                continue;
            };
            let bytes = self.name_bytes - before + now.len();
            if bytes <= MOST_TEXT_BYTES {
                self.name_bytes = bytes;
                *row = Some(now.clone());
            }
        }
    }

    fn forget(&mut self, id: &TalkerId) {
        if let Some(row) = self.rows.remove(id) {
            self.id_bytes -= id_bytes(id);
            let names = [&row.exe, &row.cgroup_path, &row.container_name];
            self.name_bytes -= names
                .into_iter()
                .flatten()
                .map(Untrusted::len)
                .sum::<usize>();
        }
    }
}

/// What the texts take that tell a talker from others, bytes.
fn id_bytes(id: &TalkerId) -> usize {
    id.comm.len() + id.rule.as_ref().map_or(0, Untrusted::len)
}

#[cfg(test)]
mod tests {
    use super::{Kept, MOST_TALKERS, MOST_TEXT_BYTES};
    use crate::sample::{Talker, TalkerCounts, TalkerId};

    fn talker(pid: u32, records: u64) -> Talker {
        Talker {
            id: TalkerId {
                pid: Some(pid),
                comm: "a".into(),
                ..TalkerId::default()
            },
            counts: TalkerCounts {
                records,
                ..TalkerCounts::default()
            },
            ..Talker::default()
        }
    }

    fn records(kept: &Kept) -> u64 {
        kept.values().map(|talker| talker.counts.records).sum()
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        let mut kept = Kept::default();
        for pid in 1..=100_000 {
            kept.take(&talker(pid, 1));
        }
        assert_eq!(kept.rows.len(), MOST_TALKERS);
        assert!(kept.are_too_many());
        // Those that are there go on, and what is over makes room.
        kept.take(&talker(1, 9));
        kept.take(&talker(2, 0));
        kept.take(&talker(200_000, 5));
        assert_eq!(records(&kept), MOST_TALKERS as u64 - 2 + 9 + 5);
    }

    #[test]
    fn long_names_are_left_out_before_talkers_are() {
        let mut kept = Kept::default();
        let long = |pid, records| Talker {
            exe: Some("/long".repeat(800).into()),
            ..talker(pid, records)
        };
        for pid in (1..=4_000).chain(1..=4_000) {
            kept.take(&long(pid, 1));
        }
        let named = kept.values().filter(|row| row.exe.is_some()).count();
        assert_eq!(named, MOST_TEXT_BYTES / 4_000);
        assert_eq!(records(&kept), 4_000);
        kept.take(&long(1, 0));
        assert_eq!(kept.name_bytes, (named - 1) * 4_000);
        assert_eq!(kept.id_bytes, 3_999);
    }
}
