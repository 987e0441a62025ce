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
                "the kernel skipped the BPF programs {} times; the counts are corrected by the conservation laws",
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
                "up to {stalls_missed} stalls are missing for the same reason; the kernel's own total of stall time is complete"
            ));
        }
        if let Some(stalls) = self.last.stalls.as_ref()
            && stalls.untracked > 0
        {
            notes.push(format!(
                "{} attempts at a full queue could not be followed: up to as many stalls are missing",
                stalls.untracked
            ));
        }
        if self.last.shortfalls.rare_missed > 0 {
            notes.push(format!(
                "{} rare events are missing, because the ring buffer was full",
                self.last.shortfalls.rare_missed
            ));
        }
        notes.extend(self.rare.notes());
        if self.talkers.are_too_many() {
            notes.push(
                "the trace had more talkers than it can track: the rest are unattributed"
                    .to_owned(),
            );
        }
        if self.last.shortfalls.losses_unnamed > 0 {
            notes.push(format!(
                "{} losses have no known reason",
                self.last.shortfalls.losses_unnamed
            ));
        }
        if let Some(residual) = ledger.residual
            && residual > 0
        {
            let at_the_ends = if self.zero.state.is_busy() || self.last.state.is_busy() {
                "; records in flight when the trace started or ended are in neither sum"
            } else {
                ""
            };
            notes.push(format!(
                "counts may be off by {residual} records (residual of the conservation laws){at_the_ends}"
            ));
        }
        if self.last.source == Source::Bpf && ledger.residual.is_none() {
            notes.push(
                "the counts could not be checked, because some values were not measured".to_owned(),
            );
        }
        if self.last.losses.is_none() && self.kernel_lost.was_reset {
            notes.push(
                "the kernel's count of lost records was reset: losses between the last reading and the reset are missing"
                    .to_owned(),
            );
        }
        if self.zero.state.is_over_limit() {
            notes.push(
                "the queue was over its limit when the trace began: stalls that began before the trace are not counted"
                    .to_owned(),
            );
        }
        notes
    }
}
