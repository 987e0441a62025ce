//! The library: storms that mirror real trouble, each with a comment that says which.

use serde::Serialize;

use super::Storm;

/// A storm in the list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Always `storm`.
    pub kind: &'static str,
    /// Version of this form; keys are only ever added.
    pub schema: u32,
    /// Its name.
    pub name: String,
    /// What it is a model of.
    pub about: String,
    /// Backlog limit that it sets, records, 0 for none; `None` where it leaves the host's.
    pub limit: Option<u32>,
    /// Backlog wait time that it sets, ms; `None` where it leaves the host's.
    pub wait_time_ms: Option<u64>,
    /// Events that it makes in all; `None` where it ends by time.
    pub events: Option<u64>,
}

impl Entry {
    /// What the list says of a storm.
    #[must_use]
    pub fn of(storm: &Storm) -> Self {
        Self {
            kind: "storm",
            schema: 1,
            name: storm.name.clone(),
            about: storm.about.clone(),
            limit: storm.host.limit,
            wait_time_ms: storm.host.wait_time_ms,
            events: storm.events(),
        }
    }
}

/// Names and texts of all storms, sorted by name.
#[must_use]
pub const fn all() -> &'static [(&'static str, &'static str)] {
    STORMS
}

/// The text of a storm.
#[must_use]
pub fn find(name: &str) -> Option<&'static str> {
    STORMS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|&(_, text)| text)
}

macro_rules! storms {
    ($($name:literal,)*) => {
        &[$(($name, include_str!(concat!("../../storms/", $name, ".toml"))),)*]
    };
}

const STORMS: &[(&str, &str)] = storms![
    "auditd-fsync",
    "boot-burst",
    "busy-sshd",
    "calm-after",
    "ci-fork-bomb",
    "connection-flood",
    "ec2-build",
    "log-rotation",
    "long-exec",
    "long-stall",
    "no-auditd",
    "non-blocking",
    "on-off",
    "overlapping-bursts",
    "package-upgrade",
    "ramp-up",
    "rate-limited",
    "sink-fsync",
    "slow-plugin",
    "steady-overload",
    "wait-time-0",
    "wait-time-default",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_storm_is_one_and_bears_its_name() {
        for &(name, text) in all() {
            let storm = Storm::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(storm.name, name);
            assert!(!storm.about.is_empty(), "{name}");
            assert!(text.starts_with("# "), "{name} does not say what it models");
            assert!(storm.events().is_some(), "{name} is not the same each time");
        }
        assert!(all().len() >= 16);
        assert!(all().windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(find("no such storm"), None);
    }
}
