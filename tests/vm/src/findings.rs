//! Findings: what did not come out as expected, all of it and not only the first.

use std::fmt::{Debug, Display};

use anyhow::{Result, bail};

/// The list.
#[derive(Debug, Default)]
pub struct Findings(Vec<String>);

impl Findings {
    /// Two values must be equal.
    pub fn equal<T: PartialEq + Display + Copy>(&mut self, what: &str, got: T, expected: T) {
        if got != expected {
            self.0
                .push(format!("{what}: expected {expected}, got {got}"));
        }
    }

    /// Two values must not be further apart than `slack`.
    pub fn near(&mut self, what: &str, got: i64, expected: i64, slack: i64) {
        if got.abs_diff(expected) > slack.unsigned_abs() {
            let within = if slack == 0 {
                String::new()
            } else {
                format!(" +- {slack}")
            };
            self.0
                .push(format!("{what}: expected {expected}{within}, got {got}"));
        }
    }

    /// A value must lie between two others, both included.
    pub fn between<T: PartialOrd + Display + Copy>(&mut self, what: &str, got: T, low: T, high: T) {
        if got < low || got > high {
            self.0
                .push(format!("{what}: expected {low} to {high}, got {got}"));
        }
    }

    /// A value must be at least another.
    pub fn at_least<T: PartialOrd + Display + Copy>(&mut self, what: &str, got: T, low: T) {
        if got < low {
            self.0
                .push(format!("{what}: expected at least {low}, got {got}"));
        }
    }

    /// A statement must hold.
    pub fn that(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }

    /// Something must have worked; its value is passed on.
    pub fn take<T, E: Debug + Display>(&mut self, result: std::result::Result<T, E>) -> Option<T> {
        result
            .map_err(|error| self.0.push(format!("{error:#}")))
            .ok()
    }

    /// Fails with everything that was found.
    pub fn verdict(self) -> Result<()> {
        if !self.0.is_empty() {
            bail!("{}", self.0.join("; "));
        }
        Ok(())
    }

    /// What was found.
    #[cfg(test)]
    pub fn list(&self) -> &[String] {
        &self.0
    }
}
