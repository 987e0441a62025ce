//! The audit settings for people: two columns, with units.

use std::fmt::Write as _;

use crate::{
    auditd::registered::Registered,
    status::{QueueMemory, StatusReport},
    units::{bytes, count, duration},
    untrusted::{NAME_COLUMNS, shown},
};

/// What stands for a value that is not there.
const NOT_MEASURED: &str = "not measured";

/// The report as text.
#[must_use]
pub fn text(report: &StatusReport) -> String {
    let mut rows = settings(report);
    rows.extend(queues(report));
    rows.extend(times(report));
    rows.extend(
        report
            .memory
            .as_ref()
            .map(|memory| ("memory", full_queue(memory))),
    );
    rows.extend(report.missing.iter().map(|line| ("missing", line.clone())));
    rows.extend(report.notes.iter().map(|line| ("note", line.clone())));
    let mut text = String::new();
    for warning in &report.warnings {
        let _ = writeln!(text, "warning: {}", shown(warning));
    }
    for (name, value) in rows {
        text.push_str(&format_row(name, &value));
    }
    text
}

type Row = (&'static str, String);

fn format_row(name: &str, value: &str) -> String {
    format!("{name:<12}  {}\n", shown(value))
}

fn settings(report: &StatusReport) -> Vec<Row> {
    let release = report.release.clone();
    let mut rows = vec![
        ("kernel", release.unwrap_or_else(|| "not known".to_owned())),
        (
            "enabled",
            meaning(report.enabled, &["off", "on", "on, locked until reboot"]),
        ),
        (
            "failure",
            meaning(
                report.failure,
                &[
                    "a loss is silent",
                    "a loss is logged",
                    "a loss panics the host",
                ],
            ),
        ),
        ("auditd", auditd(report.auditd.as_ref())),
        (
            "audit=1",
            match report.booted_with_audit {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not known",
            }
            .to_owned(),
        ),
        (
            "rate limit",
            match report.rate_limit {
                Some(0) => "none".to_owned(),
                Some(limit) => format!("{} records a second", count(u64::from(limit))),
                None => NOT_MEASURED.to_owned(),
            },
        ),
    ];
    if let Some(features) = &report.features {
        let state = if features.loginuid_immutable {
            "immutable"
        } else {
            "changeable"
        };
        let lock = if features.loginuid_immutable_locked {
            "locked"
        } else {
            "unlocked"
        };
        rows.push(("login uid", format!("{state}, {lock}")));
    }
    rows
}

fn queues(report: &StatusReport) -> Vec<Row> {
    let depth = number(report.backlog);
    let backlog = match report.backlog_limit {
        Some(0) => format!("{depth} (no limit)"),
        Some(limit) => format!("{depth} of {}", count(u64::from(limit))),
        None => format!("{depth} of an unknown limit"),
    };
    vec![
        ("backlog", backlog),
        ("retry queue", number(report.retry_depth)),
        ("hold queue", number(report.hold_depth)),
        ("lost", number(report.lost)),
    ]
}

fn times(report: &StatusReport) -> Vec<Row> {
    vec![
        (
            "wait time",
            time(report.backlog_wait_time_jiffies, report.wait_time_ns),
        ),
        (
            "waited",
            time(report.backlog_wait_time_actual_jiffies, report.waited_ns),
        ),
    ]
}

fn full_queue(memory: &QueueMemory) -> String {
    format!(
        "{} when full ({} a record), {} if the retry and hold queues are full too; rule of thumb: {}",
        bytes(memory.limit_bytes),
        bytes(memory.record_bytes),
        bytes(memory.limit_worst_bytes),
        bytes(memory.folklore_bytes)
    )
}

fn number(value: Option<u32>) -> String {
    value.map_or_else(|| NOT_MEASURED.to_owned(), |value| count(u64::from(value)))
}

fn meaning(value: Option<u32>, words: &[&str]) -> String {
    let word = value.and_then(|value| words.get(usize::try_from(value).ok()?));
    match (value, word) {
        (Some(value), Some(word)) => format!("{value} ({word})"),
        _ => number(value),
    }
}

fn time(jiffies: Option<u32>, ns: Option<u64>) -> String {
    match (jiffies, ns) {
        (Some(jiffies), Some(ns)) => format!("{} ({jiffies} jiffies)", duration(ns)),
        (Some(jiffies), None) => format!("{jiffies} jiffies"),
        (None, _) => NOT_MEASURED.to_owned(),
    }
}

fn auditd(auditd: Option<&Registered>) -> String {
    match auditd {
        None => "not known".to_owned(),
        Some(Registered { pid: 0, .. }) => "not registered (pid 0)".to_owned(),
        Some(Registered { pid, comm, exe, .. }) => match (comm, exe) {
            (Some(comm), Some(exe)) => format!("{comm} (pid {pid}, {})", exe.clipped(NAME_COLUMNS)),
            (Some(comm), None) => format!("{comm} (pid {pid})"),
            (None, _) => format!("pid {pid} (not in sight)"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kernel::audit_state::KernelState, status::Inputs};

    #[test]
    fn unmeasured_figures_are_reported_as_such() {
        let text = text(&StatusReport::new(Inputs {
            state_missing: Some("EPERM".to_owned()),
            ..Inputs::default()
        }));
        assert!(text.contains("retry queue   not measured\n"), "{text}");
        assert!(
            text.contains("missing       retry and hold queue: EPERM\n"),
            "{text}"
        );
    }

    #[test]
    fn warnings_come_first_and_unlimited_is_not_a_number() {
        let text = text(&StatusReport::new(Inputs {
            state: Some(KernelState {
                depth: Some(3),
                limit: Some(0),
                enabled: Some(0),
                ..KernelState::default()
            }),
            ..Inputs::default()
        }));
        assert!(
            text.starts_with("warning: auditing is off (enabled 0): "),
            "{text}"
        );
        assert!(text.contains("backlog       3 (no limit)\n"), "{text}");
    }

    #[test]
    fn a_time_without_hz_stays_in_jiffies() {
        assert_eq!(time(Some(60_000), None), "60000 jiffies");
        assert_eq!(
            time(Some(15_000), Some(60_000_000_000)),
            "60 s (15000 jiffies)"
        );
    }
}
