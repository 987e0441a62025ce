//! The summary for people: the verdict first, then a label and a sentence each.

use std::fmt::Write as _;

use super::{recommendation, style::Style, talkers, verdict, wrap::hang};
use crate::{
    hooks::health::roll_up,
    sample::Source,
    trace::{command_cost::CommandCost, report::Summary},
    units::{bytes, count, counted, duration},
    untrusted::{NAME_COLUMNS, shown},
};

/// A share with a larger error is not shown.
const LARGEST_ERROR: f64 = 0.2;
/// Talkers that are shown unless asked otherwise.
pub const TOP: usize = 10;
/// Columns of the labels.
const LABEL: usize = 11;

/// The summary, its verdict first.
#[must_use]
pub fn summary(summary: &Summary, top: usize, style: Style) -> String {
    let line = verdict::line(summary);
    let line = match (summary.lost, verdict::unmeasured(summary)) {
        (Some(1..), _) => style.red(&line),
        (_, None) => style.green(&line),
        (_, Some(_)) => style.yellow(&line),
    };
    let mut text = hang("", &line, 2, style);
    text.push('\n');
    let mut row = |name: &str, value: &str| {
        let label = format!("{}  ", style.bold(&format!("{name:<9}")));
        // What stands in columns goes on a little further in.
        let indent = if name.is_empty() { LABEL + 2 } else { LABEL };
        text.push_str(&hang(&label, value, indent, style));
    };
    row("kernel", &kernel(summary));
    row("records", &records(summary));
    row("dropped", &dropped(summary, style));
    row("depth", &depth(summary));
    if let Some(line) = stalls(summary, style) {
        row("stalls", &line);
    }
    if let Some(command) = &summary.command {
        row(
            "command",
            &command_cost(command, summary.ledger.missed > 0, style),
        );
    }
    if let Some(memory) = &summary.memory {
        let peak = memory
            .queue_peak_bytes
            .map_or_else(String::new, |peak| format!(", {} at the peak", bytes(peak)));
        row(
            "memory",
            &format!(
                "{} for each queued record{peak}",
                bytes(memory.record_mean_bytes)
            ),
        );
    }
    if let Some(line) = types(summary) {
        row("types", &line);
    }
    let changes = summary.limit_changes.iter().flatten();
    // Rules files set again what is set.
    for change in changes.filter(|change| change.old != Some(change.new) || change.result < 0) {
        let old = change
            .old
            .map_or_else(|| "?".to_owned(), |old| old.to_string());
        let refused = if change.result < 0 {
            format!(", refused with error {}", change.result.unsigned_abs())
        } else {
            String::new()
        };
        row(
            "changed",
            &style.yellow(&format!(
                "{} {old} -> {} by {} (pid {}) at {}{refused}",
                shown(&change.field),
                change.new,
                change.comm.clipped(NAME_COLUMNS),
                change.pid,
                duration(change.at_ns)
            )),
        );
    }
    if let Some(resets) = summary.auditd_resets.filter(|&resets| resets > 0) {
        row(
            "auditd",
            &style.yellow(&format!("disconnected {} times", count(resets))),
        );
    }
    if let Some(rows) = &summary.talkers {
        for (name, line) in talkers::lines(rows, summary, top, style) {
            row(name, &line);
        }
    }
    row("check", &check(summary, style));
    if let Some(own) = &summary.own {
        let line = own.sentence();
        let lost = own.lost.is_some_and(|lost| lost > 0);
        row("own", &if lost { style.yellow(&line) } else { line });
    }
    for note in &summary.notes {
        row("note", &style.yellow(&shown(note).to_string()));
    }
    if let Some(answer) = &summary.recommendation {
        text.push_str(&recommendation::block(answer, style));
    }
    text
}

/// `ran 4.8 s: 5,118 records (1,066/s), 218 lost; ...` Calls that the kernel ran no program for are not attributed.
fn command_cost(cost: &CommandCost, some_are_missed: bool, style: Style) -> String {
    let mut text = cost
        .wall_ns
        .map_or_else(String::new, |ns| format!("ran {}: ", duration(ns)));
    if some_are_missed {
        text.push_str("at least ");
    }
    let _ = write!(text, "{} records", count(cost.records));
    if let Some(per_s) = cost.records_per_s {
        let _ = write!(text, " ({}/s)", count(per_s));
    }
    if let Some(lost) = cost.lost.filter(|&lost| lost > 0) {
        let _ = write!(text, ", {} lost", count(lost));
    }
    if let Some(stalls) = cost.stalls {
        match stalls.count {
            0 => text.push_str("; no stalls"),
            number => {
                let _ = write!(
                    text,
                    "; {} ({} in total, longest {})",
                    counted(number, "stall"),
                    duration(stalls.total_ns),
                    duration(stalls.max_ns)
                );
            }
        }
    }
    let system = cost
        .system_ns
        .map_or_else(String::new, |ns| format!(" {}", duration(ns)));
    if let (Some(share), Some(error)) = (cost.system_in_audit, cost.system_in_audit_error) {
        if error > LARGEST_ERROR {
            let _ = write!(
                text,
                "; system time{system}, too little to measure audit's share"
            );
            return text;
        }
        let _ = write!(
            text,
            "; system time{system}, {:.0} % of it in audit ({}{:.0})",
            share * 100.0,
            style.plus_minus(),
            error * 100.0
        );
    } else if cost.system_ns.is_some() {
        let _ = write!(text, "; system time{system}, audit's share not measured");
    }
    text
}

fn kernel(summary: &Summary) -> String {
    let source = match summary.source {
        Source::Bpf => format!("bpf, {}", roll_up(&summary.hooks)),
        Source::Poll => "poll".to_owned(),
    };
    let auditd = match summary.status.auditd_pid {
        Some(0) => "no auditd".to_owned(),
        Some(pid) => format!("auditd pid {pid}"),
        None => "auditd unknown".to_owned(),
    };
    let release = summary.kernel.release.clipped(NAME_COLUMNS);
    format!("{release}, {source}, {auditd}")
}

fn records(summary: &Summary) -> String {
    let ledger = &summary.ledger;
    let mut parts: Vec<String> = [
        ("attempted", ledger.attempted),
        ("filtered", ledger.filtered.filter(|&n| n > 0)),
        ("queued", ledger.enqueued),
        ("delivered", ledger.delivered),
        ("retried", ledger.retried.filter(|&n| n > 0)),
        ("held", ledger.held.filter(|&n| n > 0)),
        ("held again", ledger.reheld.filter(|&n| n > 0)),
        (
            "filtered by user rules",
            ledger.user_filtered.filter(|&n| n > 0),
        ),
        ("own", ledger.own.filter(|&n| n > 0)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some(format!("{} {name}", count(value?))))
    .collect();
    if parts.is_empty() {
        parts.push("not measured".to_owned());
    }
    parts.join(", ")
}

fn dropped(summary: &Summary, style: Style) -> String {
    let dropped = &summary.ledger.dropped;
    let parts: Vec<String> = dropped
        .by_reason()
        .into_iter()
        .filter_map(|(reason, dropped)| {
            let dropped = dropped.filter(|&n| n > 0)?;
            Some(style.red(&format!(
                "{} {}",
                count(dropped),
                verdict::reason_in_words(reason)
            )))
        })
        .collect();
    match (parts.is_empty(), summary.lost, verdict::unmeasured(summary)) {
        (false, ..) => parts.join(", "),
        (true, Some(lost @ 1..), _) => {
            style.red(&format!("{} by the kernel's own count", count(lost)))
        }
        (true, Some(0), None) => style.green("0"),
        (true, Some(0), Some(what)) => format!("0 seen; {what}"),
        (true, None, _) => "not measured".to_owned(),
    }
}

fn depth(summary: &Summary) -> String {
    let depth = &summary.depth;
    let limit = match (summary.status.limit_start, summary.status.limit_end) {
        (_, Some(0)) => "no limit".to_owned(),
        (Some(start), Some(end)) if start != end => format!("limit {start}, then {end}"),
        (_, Some(limit)) => format!("limit {}", count(u64::from(limit))),
        (_, None) => "limit unknown".to_owned(),
    };
    let mut parts = vec![limit];
    for (name, value) in [
        ("peak", depth.max),
        ("median", depth.p50),
        ("p99", depth.p99),
        ("retry peak", depth.retry_max.filter(|&n| n > 0)),
        ("hold peak", depth.hold_max.filter(|&n| n > 0)),
        ("at the end", depth.end.filter(|&n| n > 0).map(u64::from)),
    ] {
        if let Some(value) = value {
            parts.push(format!("{name} {}", count(value)));
        }
    }
    parts.join(", ")
}

fn stalls(summary: &Summary, style: Style) -> Option<String> {
    let stalls = summary.stalls.as_ref()?;
    if stalls.count == 0 && stalls.waiting == 0 && stalls.stranded == 0 {
        return Some(style.green("0"));
    }
    let mut line = count(stalls.count);
    if let (Some(median), Some(p99)) = (stalls.p50_ns, stalls.p99_ns) {
        let _ = write!(
            line,
            " ({} in total), longest {}, median {}, p99 {}",
            duration(stalls.total_ns),
            duration(stalls.max_ns),
            duration(median),
            duration(p99),
        );
    }
    if stalls.waiting > 0 {
        let _ = write!(line, ", {} still waiting", count(stalls.waiting));
    }
    if stalls.stranded > 0 {
        let _ = write!(line, ", {} stranded", count(stalls.stranded));
    }
    Some(style.yellow(&line))
}

fn types(summary: &Summary) -> Option<String> {
    let types = summary.types.as_ref().filter(|types| !types.is_empty())?;
    let mut sorted: Vec<(&String, &u64)> = types.iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let rest = sorted.len().saturating_sub(8);
    let mut parts: Vec<String> = sorted
        .into_iter()
        .take(8)
        .map(|(name, &number)| format!("{} {}", shown(name), count(number)))
        .collect();
    if rest > 0 {
        parts.push(format!("{rest} more types"));
    }
    Some(parts.join(", "))
}

fn check(summary: &Summary, style: Style) -> String {
    match summary.ledger.residual {
        Some(0) => style.green("every record is accounted for"),
        Some(residual) => style.yellow(&format!(
            "counts may be off by {}",
            counted(residual, "record")
        )),
        None => "not possible: some values were not measured".to_owned(),
    }
}
