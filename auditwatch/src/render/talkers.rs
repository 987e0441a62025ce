//! Who causes records and who pays, as lines of the summary's table.

use super::style::Style;
use crate::{
    trace::report::{Share, Summary, Talker, TalkerSums},
    units::{count, count_within, duration, duration_within, percent, plural},
    untrusted::{NAME_COLUMNS, Untrusted, clipped},
};

/// Entries of a line of shares.
const MOST_SHARES: usize = 6;
/// Stalled commands that are named.
const MOST_STALLED: usize = 3;

/// The lines, each with its name; it is empty where the line goes on from the one above.
pub(super) fn lines(
    rows: &[Talker],
    summary: &Summary,
    top: usize,
    style: Style,
) -> Vec<(&'static str, String)> {
    let attempted = summary.ledger.attempted.unwrap_or(0);
    if attempted == 0 {
        return Vec::new();
    }
    let shown = rows.get(..top).unwrap_or(rows);
    let rest = rows.get(shown.len()..).unwrap_or_default();
    let mut lines: Vec<(&'static str, String)> = shown
        .iter()
        .map(|row| line(&row.sums, attempted, &who(row), style))
        .collect();
    if let Some(other) = &summary.talkers_other {
        let sums = rest.iter().fold(other.sums, |sum, row| sum.plus(row.sums));
        let talkers = other.talkers + rest.len() as u64;
        if sums.records > 0 || sums.dropped > 0 {
            let mut name = match talkers {
                0 => "others".to_owned(),
                _ => format!("{} more", count(talkers)),
            };
            if other.unattributed > 0 {
                name = format!("{name}, {} records unattributed", count(other.unattributed));
            }
            lines.push(line(&sums, attempted, &style.dim(&name), style));
        }
    }
    if !lines.is_empty() {
        let head = style.dim("  share    records    dropped     stalled  who, call, rule");
        lines.insert(0, ("", head));
        lines[0].0 = "talkers";
    }
    if let Some(by) = &summary.talkers_by {
        // One of a kind tells nothing that the rows do not.
        for (name, list, none) in [
            ("by key", &by.key, "no key"),
            ("by group", &by.cgroup, "no task"),
        ] {
            if list.len() > 1 {
                lines.push((name, shares(list, attempted, none)));
            }
        }
    }
    if let Some(stalled) = stalled(rows) {
        lines.push(("stalled", style.yellow(&stalled)));
    }
    lines
}

fn line(sums: &TalkerSums, attempted: u64, who: &str, style: Style) -> (&'static str, String) {
    let dropped = format!("{:>9}", count_within(sums.dropped, 9));
    let dropped = if sums.dropped > 0 {
        style.red(&dropped)
    } else {
        dropped
    };
    let stalled = format!(
        "{:>10}",
        if sums.stalls > 0 {
            duration_within(sums.stall_ns, 10)
        } else {
            "-".to_owned()
        }
    );
    let stalled = if sums.stalls > 0 {
        style.yellow(&stalled)
    } else {
        stalled
    };
    (
        "",
        format!(
            "{:>7}  {:>9}  {dropped}  {stalled}  {who}",
            percent(sums.records, attempted),
            count_within(sums.records, 9),
        ),
    )
}

/// `gcc (12 processes, /usr/bin/gcc), execve, key exec, docker/0123456789ab`
fn who(row: &Talker) -> String {
    let mut parts = Vec::new();
    let name = if row.comm.is_empty() {
        "no task"
    } else {
        &row.comm.clipped(NAME_COLUMNS)
    };
    let mut about = Vec::new();
    match (row.processes, row.pid) {
        (Some(2..), _) => about.push(format!(
            "{} processes",
            count(row.processes.unwrap_or_default())
        )),
        (Some(_), Some(pid)) => about.push(format!("pid {pid}")),
        (None, _) => about.push("many processes".to_owned()),
        (Some(_), None) => {}
    }
    about.extend(row.exe.as_ref().map(|exe| exe.clipped(NAME_COLUMNS)));
    if about.is_empty() {
        parts.push(name.to_owned());
    } else {
        parts.push(format!("{name} ({})", about.join(", ")));
    }
    parts.push(match &row.syscall {
        Some(syscall) => clipped(syscall, NAME_COLUMNS),
        None => clipped(&row.record_type, NAME_COLUMNS),
    });
    parts.extend(
        row.key
            .as_ref()
            .map(|key| format!("key {}", key_in_words(key))),
    );
    let place = row
        .container_name
        .as_ref()
        .or(row.container.as_ref())
        .or(row.unit.as_ref());
    parts.extend(place.map(|place| place.clipped(NAME_COLUMNS)));
    parts.join(", ")
}

fn key_in_words(key: &Untrusted) -> String {
    key.keys().clipped(NAME_COLUMNS)
}

fn shares(list: &[Share], attempted: u64, none: &str) -> String {
    let mut parts: Vec<String> = list
        .iter()
        .take(MOST_SHARES)
        .map(|entry| {
            let name = entry
                .name
                .as_ref()
                .map_or_else(|| none.to_owned(), key_in_words);
            let mut part = format!("{name} {}", percent(entry.sums.records, attempted));
            if entry.sums.dropped > 0 {
                part = format!("{part} ({} dropped)", count(entry.sums.dropped));
            }
            part
        })
        .collect();
    if list.len() > MOST_SHARES {
        parts.push(format!("{} more", list.len() - MOST_SHARES));
    }
    parts.join(", ")
}

/// Who slept longest.
fn stalled(rows: &[Talker]) -> Option<String> {
    let mut slept: Vec<&Talker> = rows.iter().filter(|row| row.sums.stalls > 0).collect();
    slept.sort_by_key(|row| std::cmp::Reverse(row.sums.stall_ns));
    let named: Vec<String> = slept
        .iter()
        .take(MOST_STALLED)
        .map(|row| {
            let longest = row
                .sums
                .stall_max_ns
                .map_or_else(String::new, |ns| format!(", longest {}", duration(ns)));
            format!(
                "{} {} in {} {}{longest}",
                if row.comm.is_empty() {
                    "no task".to_owned()
                } else {
                    row.comm.clipped(NAME_COLUMNS)
                },
                duration(row.sums.stall_ns),
                count(row.sums.stalls),
                plural(row.sums.stalls, "stall"),
            )
        })
        .collect();
    (!named.is_empty()).then(|| named.join("; "))
}
