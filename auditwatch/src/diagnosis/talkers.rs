//! Who makes the records, and which events are missing. In: records that the kernel printed, and lines of an audit.log.
//! Out: [`Talker`]s, and the number of events that never came.
//!
//! It must not grow with the log.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    report::Talker,
    scan::{readable, value_of},
};
use crate::untrusted::Untrusted;

/// Talkers that are told apart.
const MOST_TALKERS: usize = 512;
/// Talkers that are reported.
const MOST_SHOWN: usize = 5;
/// Serial numbers that may still come.
const MOST_MISSING: usize = 10_000;
/// A jump that is longer is another boot, or a log of which a part is missing.
const LONGEST_JUMP: u64 = 1_000;

/// Who made a system call that was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who {
    comm: String,
    exe: String,
    auid: String,
    key: String,
}

/// The values of a SYSCALL record.
#[must_use]
pub fn who(record: &[u8]) -> Who {
    let value = |key: &[u8]| {
        let value = value_of(record, key).unwrap_or_default();
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = value.strip_suffix(b"\"").unwrap_or(value);
        readable(value, 64).into_raw()
    };
    Who {
        comm: value(b"comm="),
        exe: value(b"exe="),
        auid: value(b"auid="),
        key: value(b"key="),
    }
}

/// The talkers of a boot.
#[derive(Debug, Default)]
pub struct Talkers {
    records: BTreeMap<Who, u64>,
    all: u64,
}

impl Talkers {
    /// A SYSCALL record.
    pub fn add(&mut self, who: Who) {
        self.all += 1;
        if self.records.len() < MOST_TALKERS || self.records.contains_key(&who) {
            *self.records.entry(who).or_default() += 1;
        }
    }

    /// Those with the most records.
    #[must_use]
    pub fn report(self) -> Vec<Talker> {
        let all = self.all;
        let mut found: Vec<(Who, u64)> = self.records.into_iter().collect();
        found.sort_by_key(|(_, records)| std::cmp::Reverse(*records));
        found
            .into_iter()
            .take(MOST_SHOWN)
            .map(|(who, records)| Talker {
                comm: Untrusted::from(who.comm),
                exe: Untrusted::from(who.exe),
                auid: Untrusted::from(who.auid),
                key: Untrusted::from(who.key),
                records,
                of_records: all,
            })
            .collect()
    }
}

/// The serial numbers of an audit.log.
#[derive(Debug, Default)]
pub struct Serials {
    last: Option<u64>,
    missing: BTreeSet<u64>,
    lost: u64,
    events: u64,
}

impl Serials {
    /// A record of that event.
    pub fn see(&mut self, serial: u64) {
        let last = *self.last.get_or_insert(serial);
        if serial > last {
            self.events += 1;
            if serial - last <= LONGEST_JUMP {
                self.missing.extend(last + 1..serial);
            }
            self.last = Some(serial);
        } else if last - serial > LONGEST_JUMP {
            self.last = Some(serial);
        } else {
            self.missing.remove(&serial);
        }
        while self.missing.len() > MOST_MISSING {
            self.missing.pop_first();
            self.lost += 1;
        }
    }

    /// Events that never came. A log of which most are missing is an excerpt, and says nothing of losses.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        let gaps = self.lost + self.missing.len() as u64;
        if gaps > self.events / 2 { 0 } else { gaps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_that_never_come_are_gaps() {
        let gaps = |serials: &[u64]| {
            let mut seen = Serials::default();
            for &serial in serials {
                seen.see(serial);
            }
            seen.gaps()
        };
        assert_eq!(gaps(&[1, 2, 2, 4, 3, 5]), 0, "out of order");
        assert_eq!(gaps(&[1, 2, 3, 4, 7, 8, 9, 10]), 2);
        assert_eq!(gaps(&[1, 2, 3, 4, 900_000, 900_001]), 0, "another log");
        assert_eq!(gaps(&[10, 40, 90]), 0, "an excerpt");
    }

    #[test]
    fn a_talker_is_known_by_all_of_its_values() {
        let record = b"arch=c000003e auid=1000 comm=\"cp\" exe=\"/usr/bin/cp\" key=\"tmp\"";
        let mut talkers = Talkers::default();
        talkers.add(who(record));
        talkers.add(who(record));
        talkers.add(who(b"comm=\"mv\" key=(null)"));
        let found = talkers.report();
        assert_eq!((found[0].records, found[0].of_records), (2, 3));
        assert_eq!(found[0].exe, "/usr/bin/cp");
    }
}
