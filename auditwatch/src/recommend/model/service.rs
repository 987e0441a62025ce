//! Service: at what pace the consumer takes records, and how many wait in its socket.
//!
//! In: what auditd was seen to do. Out: a [`Service`], or why there is none. Pure.

use super::demand::float;
use crate::sample::{Consumer, histogram};

/// Fewest records that a pace is told from.
const FEWEST_SERVED: u64 = 20;
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

/// The second queue and whoever empties it.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Time of the consumer for a record, ns.
    pub record_ns: f64,
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
    /// was, ns.
    ///
    /// `None` when there were too few records behind each other to tell its pace.
    #[must_use]
    pub fn of(consumer: &Consumer, pauses: impl IntoIterator<Item = (u64, u64)>) -> Option<Self> {
        let median_ns =
            histogram::quantile(&consumer.service_hist, 500, histogram::stall_bucket_max)
                .unwrap_or(0);
        let longest_pace_ns = median_ns.saturating_mul(PAUSE_TIMES);
        let mut served = consumer.served;
        let mut served_ns = consumer.served_ns;
        let mut long = Vec::new();
        let mut pauses_told = 0;
        for (at_ns, duration_ns) in pauses {
            pauses_told += 1;
            if duration_ns > longest_pace_ns {
                long.push((at_ns.saturating_sub(duration_ns), at_ns));
            } else {
                served += 1;
                served_ns = served_ns.saturating_add(duration_ns);
            }
        }
        if served < FEWEST_SERVED {
            return None;
        }
        let measured =
            (consumer.most_seen >= FEWEST_SEEN && consumer.buffer_bytes > 0).then(|| {
                let charge = float(consumer.most_seen_bytes) / float(consumer.most_seen);
                float(consumer.buffer_bytes) / charge.max(1.0) + 1.0
            });
        long.sort_unstable();
        Some(Self {
            record_ns: (float(served_ns) / float(served)).max(1.0),
            usual_ns: (median_ns > 0).then_some(median_ns),
            socket_records: measured
                .unwrap_or(USUAL_BUFFER_BYTES / USUAL_CHARGE_BYTES)
                .floor(),
            socket_is_measured: measured.is_some(),
            kauditd_ns: KAUDITD_NS,
            pauses: long,
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
        let service = Service::of(&consumer, [told]).expect("enough were served");
        assert_eq!(service.pauses, [(30_000_000, 50_000_000)]);
        assert_eq!(service.pauses_without_time, 2);
    }
}
