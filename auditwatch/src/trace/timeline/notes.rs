//! What the reader should know before trusting the counts.

use super::Timeline;
use crate::{
    sample::Source,
    trace::ledger::{Ledger, stalls_missed},
};

impl Timeline {
    /// Notes on this timeline's counts, a sentence each.
    pub(super) fn notes(&self, ledger: &Ledger) -> Vec<String> {
        let mut notes = Vec::new();
        if ledger.missed > 0 {
            notes.push(format!(
                "the kernel skipped the programs {} times, which the counts make up for as far as the \
                 laws tell",
                ledger.missed
            ));
        }
        let stalls_missed = stalls_missed(&self.zero, &self.last);
        if stalls_missed > 0
            && self
                .last
                .stalls
                .as_ref()
                .is_some_and(|stalls| stalls.met_full > 0)
        {
            notes.push(format!(
                "up to {stalls_missed} stalls are missing, for the same reason; the kernel's own sum of \
                 their time is whole"
            ));
        }
        if let Some(stalls) = self.last.stalls.as_ref()
            && stalls.untracked > 0
        {
            notes.push(format!(
                "{} attempts at a full queue could not be followed to their end: as many stalls may be \
                 missing",
                stalls.untracked
            ));
        }
        if self.last.shortfalls.rare_missed > 0 {
            notes.push(format!(
                "{} rare events found the ring buffer full and are missing",
                self.last.shortfalls.rare_missed
            ));
        }
        notes.extend(self.rare.notes());
        if self.talkers.are_too_many() {
            notes.push(
                "there were more talkers than are kept: the rest are among those that are not told apart"
                    .to_owned(),
            );
        }
        if self.last.shortfalls.losses_unnamed > 0 {
            notes.push(format!(
                "{} losses could not be told apart by reason",
                self.last.shortfalls.losses_unnamed
            ));
        }
        if let Some(residual) = ledger.residual
            && residual > 0
        {
            let at_the_ends = if self.zero.state.is_busy() || self.last.state.is_busy() {
                "; records that tasks were making as the trace began or ended are on neither side"
            } else {
                ""
            };
            notes.push(format!(
                "the conservation laws leave {residual} records over: counts may be off by so \
                 many{at_the_ends}"
            ));
        }
        if self.last.source == Source::Bpf && ledger.residual.is_none() {
            notes.push(
                "the counts could not be checked against each other: something was not measured"
                    .to_owned(),
            );
        }
        if self.last.losses.is_none() && self.kernel_lost.was_reset {
            notes.push(
                "somebody reset the kernel's count of lost records: those between the last reading and \
                 the reset are missing"
                    .to_owned(),
            );
        }
        if self.zero.state.is_over_limit() {
            notes.push(
                "the queue was over its limit when the trace began: tasks that had slept since before its \
                 programs were there are not counted"
                    .to_owned(),
            );
        }
        notes
    }
}
