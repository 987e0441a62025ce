//! Service: at what pace the consumer takes records, and how many wait in its socket.
//!
//! In: what auditd was seen to do. Out: a [`Service`], or why there is none. Pure.

use super::demand::float;
use crate::sample::{Consumer, histogram};

/// Fewest records that a pace is told from.
const FEWEST_SERVED: u64 = 20;
/// The pace of a consumer that stood still, between its pauses, ns a record: that of an auditd with nothing else to do.
const USUAL_RECORD_NS: f64 = 50_000.0;
/// Fewest records in the socket that its room is told from.
const FEWEST_SEEN: u64 = 8;
/// A time between two reads that is so many times the median is a pause, not a pace.
const PAUSE_TIMES: u64 = 10;
/// Memory that a record of usual size is charged to the socket, bytes: 212,992 bytes held 238 of
/// them on 6.12.
const USUAL_CHARGE_BYTES: f64 = 896.0;
/// The kernel's default for a socket's memory (`net.core.rmem_default`), bytes.
const USUAL_BUFFER_BYTES: f64 = 212_992.0;
/// Time that `kauditd` takes for a record with room in the socket, ns (measured on 6.12).
const KAUDITD_NS: f64 = 3_000.0;

/// Fewest records that the pace of a part of the trace is told from.
const FEWEST_OF_PART: u64 = 50;

/// What the consumer had done, and what had been refused, at a moment since the trace began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// When, ns of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// Records of which it is known how long they took.
    pub served: u64,
    /// Time that these took, ns.
    pub served_ns: u64,
    /// Attempts that found no room.
    pub refused: u64,
}

/// The pace in a part of the trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Where the part ends, ns of `CLOCK_MONOTONIC`; it begins where the one before ends.
    pub until_ns: u64,
    /// Time of the consumer for a record, ns.
    pub record_ns: f64,
}

/// The second queue and whoever empties it.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Time of the consumer for a record, ns, in the whole trace.
    pub record_ns: f64,
    /// The same by parts of the trace, in order; after the last one its pace goes on.
    pub paces: Vec<Pace>,
    /// Whether the pace was measured: a consumer that stood still hardly has one.
    pub pace_is_measured: bool,
    /// Whether it goes by these; by the mean otherwise.
    pub is_by_part: bool,
    /// The time that half of the records took at most, ns, up to twice too high; `None` when not known.
    pub usual_ns: Option<u64>,
    /// Records that its socket has room for.
    pub socket_records: f64,
    /// Whether that was measured.
    pub socket_is_measured: bool,
    /// Time of `kauditd` for a record, ns.
    pub kauditd_ns: f64,
    /// When it took nothing although there was something: from, to, ns of `CLOCK_MONOTONIC`;
    /// in order.
    pub pauses: Vec<(u64, u64)>,
    /// Pauses that are counted, but of which is not known when they were.
    pub pauses_without_time: u64,
}

impl Service {
    /// What the consumer was seen to do. `pauses` are when each ended, ns of `CLOCK_MONOTONIC`, and how long it
    /// was, ns; `open_pause` is the one that goes on at the end: from when, and until when. `moments` are what it had done in the course of the trace.
    ///
    /// `None` when there were too few records behind each other to tell its pace.
    #[must_use]
    pub fn of(
        consumer: &Consumer,
        pauses: impl IntoIterator<Item = (u64, u64)>,
        open_pause: Option<(u64, u64)>,
        moments: &[Moment],
    ) -> Option<Self> {
        let median_ns =
            histogram::quantile(&consumer.service_hist, 500, histogram::stall_bucket_max)
                .unwrap_or(0);
        let longest_pace_ns = median_ns.saturating_mul(PAUSE_TIMES);
        let mut served = consumer.served;
        let mut served_ns = consumer.served_ns;
        let mut long = Vec::new();
        let mut slow = Vec::new();
        let mut pauses_told = 0;
        for (at_ns, duration_ns) in pauses {
            pauses_told += 1;
            if duration_ns > longest_pace_ns {
                long.push((at_ns.saturating_sub(duration_ns), at_ns));
            } else {
                served += 1;
                served_ns = served_ns.saturating_add(duration_ns);
                slow.push((at_ns, duration_ns));
            }
        }
        long.extend(open_pause);
        // A consumer that stood still all the while has no pace, and needs none.
        let stood_still = served < FEWEST_SERVED;
        if stood_still && long.is_empty() {
            return None;
        }
        // A few records do not fill a socket of usual size, but a small one is full with them.
        let room = float(consumer.buffer_bytes)
            / (float(consumer.most_seen_bytes) / float(consumer.most_seen.max(1)))
                .max(USUAL_CHARGE_BYTES)
            + 1.0;
        let measured = if consumer.buffer_bytes == 0 || consumer.most_seen == 0 {
            None
        } else if consumer.most_seen >= FEWEST_SEEN {
            let charge = float(consumer.most_seen_bytes) / float(consumer.most_seen);
            Some(float(consumer.buffer_bytes) / charge.max(1.0) + 1.0)
        } else {
            (room <= 2.0 * float(FEWEST_SEEN)).then_some(room)
        };
        Some(Self {
            record_ns: if served == 0 {
                USUAL_RECORD_NS
            } else {
                (float(served_ns) / float(served)).max(1.0)
            },
            pace_is_measured: !stood_still,
            paces: paces(moments, &slow),
            is_by_part: false,
            usual_ns: (median_ns > 0).then_some(median_ns),
            socket_records: measured
                .unwrap_or(if consumer.buffer_bytes > 0 {
                    room
                } else {
                    USUAL_BUFFER_BYTES / USUAL_CHARGE_BYTES
                })
                .floor(),
            socket_is_measured: measured.is_some(),
            kauditd_ns: KAUDITD_NS,
            pauses: merged(long),
            pauses_without_time: consumer.pauses.saturating_sub(pauses_told),
        })
    }

    /// Time of all pauses together, ns.
    #[must_use]
    pub fn paused_ns(&self) -> u64 {
        self.pauses
            .iter()
            .map(|&(from, to)| to.saturating_sub(from))
            .sum()
    }

    /// Records that the consumer can take between two moments, its pauses left out.
    #[must_use]
    pub fn capacity(&self, from_ns: u64, to_ns: u64) -> f64 {
        if !self.is_by_part {
            return float(self.working_ns(from_ns, to_ns)) / self.record_ns;
        }
        let mut taken = 0.0;
        let mut at_ns = from_ns;
        let mut part = self.paces.partition_point(|pace| pace.until_ns <= from_ns);
        while at_ns < to_ns {
            let pace = self.paces.get(part).or(self.paces.last());
            let end_ns = self
                .paces
                .get(part)
                .map_or(to_ns, |pace| pace.until_ns.min(to_ns));
            let record_ns = pace.map_or(self.record_ns, |pace| pace.record_ns);
            taken += float(self.working_ns(at_ns, end_ns)) / record_ns;
            at_ns = end_ns;
            part += 1;
        }
        taken
    }

    /// The same consumer, by the pace of each part of the trace; `None` when that is not known to have changed.
    #[must_use]
    pub fn by_part(&self) -> Option<Self> {
        (self.paces.len() > 1).then(|| Self {
            is_by_part: true,
            ..self.clone()
        })
    }

    /// The same consumer, were it so many times slower; its pauses stay.
    #[must_use]
    pub fn slower(&self, times: f64) -> Self {
        let mut other = self.clone();
        other.record_ns *= times;
        for pace in &mut other.paces {
            pace.record_ns *= times;
        }
        other
    }

    /// The longest pause, ns.
    #[must_use]
    pub fn longest_pause_ns(&self) -> u64 {
        self.pauses
            .iter()
            .map(|&(from, to)| to.saturating_sub(from))
            .max()
            .unwrap_or(0)
    }

    /// Time between two moments that is no pause, ns.
    #[must_use]
    pub fn working_ns(&self, from_ns: u64, to_ns: u64) -> u64 {
        let first = self.pauses.partition_point(|&(_, end)| end <= from_ns);
        let paused: u64 = self.pauses[first..]
            .iter()
            .take_while(|&&(start, _)| start < to_ns)
            .map(|&(start, end)| end.min(to_ns).saturating_sub(start.max(from_ns)))
            .sum();
        to_ns.saturating_sub(from_ns).saturating_sub(paused)
    }
}

/// The pace of each part in which enough records were served. `slow` are records that took so long that they were
/// reported as pauses: when each was done, and how long it took, ns.
fn paces(moments: &[Moment], slow: &[(u64, u64)]) -> Vec<Pace> {
    let mut paces = Vec::new();
    let mut began = Moment::default();
    let mut slow = slow.iter().peekable();
    let (mut late, mut late_ns) = (0, 0);
    for part in moments {
        while let Some(&(_, took_ns)) = slow.next_if(|&&(at_ns, _)| at_ns <= part.at_ns) {
            late += 1;
            late_ns += took_ns;
        }
        let records = part.served.saturating_sub(began.served) + late;
        if records < FEWEST_OF_PART {
            continue;
        }
        let took_ns = part.served_ns.saturating_sub(began.served_ns) + late_ns;
        paces.push(Pace {
            until_ns: part.at_ns,
            record_ns: (float(took_ns) / float(records)).max(1.0),
        });
        began = *part;
        (late, late_ns) = (0, 0);
    }
    paces
}

/// Pauses in order, without what two of them have in common.
fn merged(mut pauses: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    pauses.sort_unstable();
    let mut apart: Vec<(u64, u64)> = Vec::with_capacity(pauses.len());
    for (from, to) in pauses {
        match apart.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => apart.push((from, to)),
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unrecorded_pauses_are_known_to_be_missing() {
        let consumer = Consumer {
            served: 100,
            served_ns: 1_000_000,
            pauses: 3,
            ..Consumer::default()
        };
        let told = (50_000_000, 20_000_000);
        let service = Service::of(&consumer, [told], None, &[]).expect("enough were served");
        assert_eq!(service.pauses, [(30_000_000, 50_000_000)]);
        assert_eq!(service.pauses_without_time, 2);
    }

    #[test]
    fn one_pause_that_is_told_twice_is_one() {
        let consumer = Consumer {
            served: 100,
            served_ns: 1_000_000,
            pauses: 3,
            ..Consumer::default()
        };
        let told = [
            (602_000_000, 452_000_000),
            (602_600_000, 452_000_000),
            (900_000_000, 100_000_000),
        ];
        let service = Service::of(&consumer, told, None, &[]).expect("enough were served");
        assert_eq!(
            service.pauses,
            [(150_000_000, 602_600_000), (800_000_000, 900_000_000)]
        );
        assert_eq!(service.paused_ns(), 552_600_000);
    }

    #[test]
    fn a_consumer_that_changes_its_pace_takes_by_the_pace_of_each_part() {
        let consumer = Consumer {
            served: 1_100,
            served_ns: 1_100_000_000,
            ..Consumer::default()
        };
        let at = |ms: u64, served, served_ms: u64| Moment {
            at_ns: ms * 1_000_000,
            served,
            served_ns: served_ms * 1_000_000,
            refused: 0,
        };
        let parts = [
            at(1_000, 1_000, 100),
            at(2_000, 1_020, 200),
            at(3_000, 1_100, 1_100),
        ];
        let service = Service::of(&consumer, [], None, &parts).expect("enough were served");
        assert_eq!(service.paces.len(), 2, "20 records tell no pace");
        let s = 1_000_000_000;
        assert!(
            (service.capacity(0, s) - 1_000.0).abs() < 1e-6,
            "by the mean"
        );
        let service = service.by_part().expect("two paces");
        assert!((service.capacity(0, s) - 10_000.0).abs() < 1e-6);
        // 100 records took 1,000 ms, and the last pace goes on.
        assert!((service.capacity(s, 2 * s) - 100.0).abs() < 1e-6);
        assert!((service.capacity(3 * s, 5 * s) - 200.0).abs() < 1e-6);
        assert!((service.slower(2.0).capacity(0, 2 * s) - 5_050.0).abs() < 1e-6);
    }

    #[test]
    fn a_small_socket_has_the_room_of_its_bytes() {
        let consumer = Consumer {
            served: 100,
            served_ns: 1_000_000,
            most_seen: 5,
            most_seen_bytes: 5 * 896,
            buffer_bytes: 6_000,
            ..Consumer::default()
        };
        let service = Service::of(&consumer, [], None, &[]).expect("enough were served");
        assert!((service.socket_records - 7.0).abs() < 1e-9, "{service:?}");
        assert!(service.socket_is_measured);
    }
}
