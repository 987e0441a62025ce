//! [`Advice`]: something to do, what it would do, and the evidence that it rests on.
//!
//! In: pieces of advice, each with its weight. Out: the same, the most effective first. Pure.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

/// Something to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// What to do.
    pub action: String,
    /// What that would do.
    pub effect: String,
    /// What of the trace, or of the host, it rests on.
    pub evidence: String,
    /// The command that does it; `None` where no single one does.
    pub command: Option<String>,
    /// The command that takes it back.
    pub undo: Option<String>,
    /// Losses and stalls of this trace that it would have spared; `None` where that is not known.
    pub spares: Option<u64>,
    /// The smallest limit without loss and without stall after it; `None` where that is not known.
    pub needed: Option<u64>,
}

/// What takes a limit back that [`apply`] has set, from the kernel and from the files.
pub(super) const UNDO: &str = "auditwatch undo";

/// What sets a limit now and for the next boots.
pub(super) fn apply(limit: u64) -> String {
    format!("auditwatch apply {limit}")
}

impl Advice {
    pub(super) fn new(
        action: impl Into<String>,
        effect: impl Into<String>,
        evidence: impl Into<String>,
    ) -> Self {
        Self {
            action: action.into(),
            effect: effect.into(),
            evidence: evidence.into(),
            ..Self::default()
        }
    }

    pub(super) fn by(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    pub(super) fn undone_by(mut self, command: Option<String>) -> Self {
        self.undo = command;
        self
    }

    pub(super) const fn sparing(mut self, count: u64) -> Self {
        self.spares = Some(count);
        self
    }

    pub(super) const fn needing(mut self, records: u64) -> Self {
        self.needed = Some(records);
        self
    }
}

/// Orders advice by effect: what spares most losses and stalls first, what is not known to spare
/// any last, and what spares as much in the order given.
#[must_use]
pub(super) fn ranked(mut advice: Vec<Advice>) -> Vec<Advice> {
    advice.sort_by_key(|advice| Reverse(advice.spares));
    advice
}

#[cfg(test)]
mod tests {
    use super::{Advice, ranked};

    #[test]
    fn advice_that_saves_most_comes_first() {
        let named = |name: &str| Advice::new(name, "", "");
        let order: Vec<String> = ranked(vec![
            named("unknown"),
            named("few").sparing(3),
            named("many").sparing(100),
            named("as many").sparing(100),
            named("unknown too"),
            named("none").sparing(0),
        ])
        .into_iter()
        .map(|advice| advice.action)
        .collect();
        assert_eq!(
            order,
            ["many", "as many", "few", "none", "unknown", "unknown too"]
        );
    }
}
