//! The rare facts of a trace, as many as fit: a trace that runs for weeks, and a recording that somebody made up, hold
//! no more of them than one of some hours.
//!
//! In: events as sampled. Out: the pauses of the consumer and the changes of settings, and how many of each were left
//! out.

use std::collections::VecDeque;

use crate::sample::{Event, EventKind};

/// Most pauses that are kept, the newest: an hour of them at the 50 a second that there can be. The bins of demand, which
/// they are held against, last as long.
const MOST_PAUSES: usize = 180_000;
/// Memory for changes of settings, bytes: some 30,000, the first ones.
const MOST_CHANGE_BYTES: usize = 4 << 20;

/// What is kept of the rare facts.
#[derive(Clone, Debug, Default)]
pub(super) struct RareFacts {
    changes: Vec<Event>,
    change_bytes: usize,
    changes_left_out: u64,
    /// When it ended, ns of `CLOCK_MONOTONIC`, and how long it was, ns.
    pauses: VecDeque<(u64, u64)>,
    pauses_left_out: u64,
}

impl RareFacts {
    /// Takes those of a sample.
    pub(super) fn add(&mut self, events: &[Event]) {
        for event in events {
            match &event.what {
                EventKind::Change { field, .. } => {
                    let bytes = size_of::<Event>() + event.comm.len() + field.len();
                    if self.change_bytes + bytes > MOST_CHANGE_BYTES {
                        self.changes_left_out += 1;
                    } else {
                        self.change_bytes += bytes;
                        self.changes.push(event.clone());
                    }
                }
                EventKind::Pause { duration_ns } => {
                    if self.pauses.len() == MOST_PAUSES {
                        self.pauses.pop_front();
                        self.pauses_left_out += 1;
                    }
                    self.pauses.push_back((event.at_ns, *duration_ns));
                }
                EventKind::AuditdReset | EventKind::FirstLoss => {}
            }
        }
    }

    /// Changes of settings, in order.
    pub(super) fn changes(&self) -> &[Event] {
        &self.changes
    }

    /// Changes that found no room.
    pub(super) const fn changes_left_out(&self) -> u64 {
        self.changes_left_out
    }

    /// When each pause ended, and how long it was, ns.
    pub(super) fn pauses(&self) -> impl Iterator<Item = (u64, u64)> {
        self.pauses.iter().copied()
    }

    /// What a reader should know, a sentence each.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        let pauses = (self.pauses_left_out > 0).then(|| {
            format!(
                "the consumer paused {} more times than the trace keeps: only the last {MOST_PAUSES} pauses have a time",
                self.pauses_left_out
            )
        });
        let changes = (self.changes_left_out > 0).then(|| {
            format!(
                "{} changes of settings are not listed: the first {} are",
                self.changes_left_out,
                self.changes.len()
            )
        });
        pauses.into_iter().chain(changes)
    }
}
