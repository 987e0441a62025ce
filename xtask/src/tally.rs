//! How many tests passed: the output of test runners comes in, counts go out. Must never read silence as success.

use std::{fmt, iter::Sum};

/// Tests counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: u32,
    /// Tests that failed, and runs that gave no result.
    pub(crate) failed: u32,
}

impl Tally {
    /// One failure: of a run that gave no counts.
    pub(crate) const BROKEN: Self = Self {
        passed: 0,
        failed: 1,
    };

    /// Sums the results of all test programs in the output of `cargo test`.
    pub(crate) fn of_cargo(output: &str) -> Self {
        output.lines().filter_map(cargo_result).sum()
    }

    /// The counts in the last line of the form `N passed, M failed`.
    pub(crate) fn of_scenarios(output: &str) -> Option<Self> {
        output.lines().rev().find_map(|line| {
            let (passed, failed) = line.trim().split_once(" passed, ")?;
            Some(Self {
                passed: passed.parse().ok()?,
                failed: failed.strip_suffix(" failed")?.parse().ok()?,
            })
        })
    }

    /// These counts, with a failure among them if the run failed for a reason that they do not show.
    pub(crate) fn of_run(self, succeeded: bool) -> Self {
        if succeeded || self.failed > 0 {
            return self;
        }
        Self { failed: 1, ..self }
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, next| Self {
            passed: sum.passed + next.passed,
            failed: sum.failed + next.failed,
        })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// The lines that name a failed test or scenario.
pub(crate) fn failures(output: &str) -> Vec<String> {
    let failed = |line: &&str| {
        line.starts_with("FAILED ") || (line.starts_with("test ") && line.ends_with("... FAILED"))
    };
    output.lines().filter(failed).map(str::to_owned).collect()
}

/// Reads `test result: ok. 3 passed; 0 failed; …`.
fn cargo_result(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |unit: &str| -> Option<u32> {
        let mut parts = counts.split("; ");
        parts.find_map(|part| part.strip_suffix(unit)?.trim().parse().ok())
    };
    Some(Tally {
        passed: count("passed")?,
        failed: count("failed")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_results_are_summed() {
        let output = "running 2 tests\ntest a ... ok\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
            test result: FAILED. 5 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
        assert_eq!(Tally::of_cargo(output).to_string(), "7 passed, 1 failed");
        assert_eq!(
            Tally::of_cargo("error: could not compile").of_run(false),
            Tally::BROKEN
        );
    }

    #[test]
    fn the_last_line_of_scenarios_counts() {
        let output = "ok storm: 3 passed, 9 failed\n1 passed, 2 failed\nok x\n4 passed, 0 failed\n";
        assert_eq!(
            Tally::of_scenarios(output)
                .map(|tally| tally.to_string())
                .as_deref(),
            Some("4 passed, 0 failed")
        );
        assert_eq!(Tally::of_scenarios("ok x (1.0s)\n"), None);
    }

    #[test]
    fn failures_of_both_kinds_are_named() {
        let output = "test a ... ok\ntest b ... FAILED\nFAILED storm: lost 3 (1.0s)\nok x\n  | FAILED not a line of its own\n";
        assert_eq!(
            failures(output),
            ["test b ... FAILED", "FAILED storm: lost 3 (1.0s)"]
        );
    }

    #[test]
    fn a_failed_run_is_never_clean() {
        let tally = Tally {
            passed: 3,
            failed: 0,
        };
        assert_eq!(tally.of_run(true), tally);
        assert_eq!(tally.of_run(false).failed, 1);
        let counted = Tally {
            passed: 3,
            failed: 2,
        };
        assert_eq!(counted.of_run(false), counted);
    }
}
