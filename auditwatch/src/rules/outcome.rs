//! What a load may come to: where it stops, what that loses, and what a reader should know. Plain data.

use serde::Serialize;

use super::Place;
use crate::untrusted::Untrusted;

/// How audit.rules comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// augenrules makes it of the files in rules.d.
    RulesD,
    /// There is no rules.d: it is kept by hand.
    HandKept,
}

/// A line that is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stop {
    /// Where it stands.
    #[serde(flatten)]
    pub place: Place,
    /// Why it is refused, in words.
    pub why: String,
    /// The line as auditctl reads it.
    pub text: Untrusted,
}

/// A line that is never run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Where it stands.
    #[serde(flatten)]
    pub place: Place,
    /// The line.
    pub text: Untrusted,
}

/// What a reader should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// What it is about, where it is about a line or a file.
    pub place: Option<Place>,
    /// One sentence.
    pub text: String,
}
