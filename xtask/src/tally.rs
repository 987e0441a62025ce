//! How many tests passed: the output of test runners comes in, counts go out. Must never read silence as success.

use std::{fmt, iter::Sum};

/// Tests counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: u32,
    /// Tests that failed, and runs that gave no result.
    pub(crate) failed: u32,
    /// Tests that did not apply, and were not run to their end.
    pub(crate) skipped: u32,
}

impl Tally {
    /// One failure: of a run that gave no counts.
    pub(crate) const BROKEN: Self = Self {
        passed: 0,
        failed: 1,
        skipped: 0,
    };

    /// Sums the results of all test programs in the output of `cargo test`.
    pub(crate) fn of_cargo(output: &str) -> Self {
        output.lines().filter_map(cargo_result).sum()
    }

    /// The counts in the last line of the form `N passed, M failed, K skipped`.
    pub(crate) fn of_scenarios(output: &str) -> Option<Self> {
        output.lines().rev().find_map(|line| {
            let (passed, rest) = line.trim().split_once(" passed, ")?;
            let (failed, skipped) = rest.split_once(" failed, ")?;
            Some(Self {
                passed: passed.parse().ok()?,
                failed: failed.parse().ok()?,
                skipped: skipped.strip_suffix(" skipped")?.parse().ok()?,
            })
        })
    }

    /// Whether no test came to a result. Skipped ones give none.
    pub(crate) fn is_empty(self) -> bool {
        self.passed + self.failed == 0
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
            skipped: sum.skipped + next.skipped,
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

/// The lines that name a skipped scenario or an ignored test, with the reason where there is one.
pub(crate) fn skips(output: &str) -> Vec<String> {
    let skipped = |line: &&str| {
        line.starts_with("skipped ") || (line.starts_with("test ") && line.contains(" ... ignored"))
    };
    output.lines().filter(skipped).map(str::to_owned).collect()
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
        skipped: count("ignored")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u32, failed: u32, skipped: u32) -> Tally {
        Tally {
            passed,
            failed,
            skipped,
        }
    }

    #[test]
    fn cargo_results_are_summed() {
        let output = "running 2 tests\ntest a ... ok\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
            test result: FAILED. 5 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
        assert_eq!(Tally::of_cargo(output), tally(7, 1, 2));
        assert_eq!(Tally::of_cargo(output).to_string(), "7 passed, 1 failed");
        assert_eq!(
            Tally::of_cargo("error: could not compile").of_run(false),
            Tally::BROKEN
        );
    }

    #[test]
    fn the_last_line_of_scenarios_counts() {
        let output = "ok storm: 3 passed, 9 failed, 0 skipped\n1 passed, 2 failed, 0 skipped\nok x\n\
            4 passed, 0 failed, 5 skipped\n";
        assert_eq!(Tally::of_scenarios(output), Some(tally(4, 0, 5)));
        for silent in ["ok x (1.0s)\n", "4 passed, 0 failed\n", ""] {
            assert_eq!(Tally::of_scenarios(silent), None, "{silent}");
        }
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
    fn skips_of_both_kinds_are_named() {
        let output = "test a ... ok\ntest b ... ignored, slow\nskipped storm: no tracefs\n  | skipped no\nok skipped\n";
        assert_eq!(
            skips(output),
            ["test b ... ignored, slow", "skipped storm: no tracefs"]
        );
    }

    #[test]
    fn skipped_test_is_not_a_result() {
        assert!(tally(0, 0, 3).is_empty());
        assert!(!tally(0, 1, 0).is_empty());
        let sum: Tally = [tally(1, 2, 3), tally(4, 5, 6)].into_iter().sum();
        assert_eq!(sum, tally(5, 7, 9));
    }

    #[test]
    fn a_failed_run_is_never_clean() {
        assert_eq!(tally(3, 0, 1).of_run(true), tally(3, 0, 1));
        assert_eq!(tally(3, 0, 1).of_run(false), tally(3, 1, 1));
        assert_eq!(tally(3, 2, 1).of_run(false), tally(3, 2, 1));
    }
}
