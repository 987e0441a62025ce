//! A diagnosis for people: the verdict first, then what each boot tells, and what to do.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    style::Style,
    wrap::{command, hang},
};
use crate::{
    diagnosis::{Boot, Diagnosis, Event, Source, Talker, Verdict, What, moment},
    units::{count, counted, plural},
    untrusted::{NAME_COLUMNS, clipped, shown},
};

/// Events of a boot that are shown.
const MOST_EVENTS: usize = 40;
/// Columns before the text of a paragraph.
const INDENT: usize = 11;
/// Columns before the text of an advice.
const DEEPER: usize = 14;
/// Columns before the text of a row that goes on.
const ROW: usize = 19;
/// Limits of a boot that are shown in its line.
const MOST_LIMITS: usize = 8;

/// All of it.
#[must_use]
pub fn report(diagnosis: &Diagnosis, style: Style) -> String {
    let mut text = String::new();
    let headline = &shown(&diagnosis.headline).to_string();
    let headline = match diagnosis.verdict {
        Verdict::NothingFound => style.green(headline),
        Verdict::Suspected => style.yellow(headline),
        Verdict::Hang
        | Verdict::ConsumerFailed
        | Verdict::LossesInAuditd
        | Verdict::Losses
        | Verdict::Panic => style.red(headline),
    };
    text += &hang(
        &format!("{}  ", style.bold("verdict  ")),
        &headline,
        INDENT,
        style,
    );
    if diagnosis.failure == Some(2) {
        let _ = writeln!(
            text,
            "{}  {}",
            style.bold("warning  "),
            style.red("-f 2: the kernel panics at the first loss")
        );
    }
    for source in &diagnosis.sources {
        show_source(source, style, &mut text);
    }
    for (number, advice) in (1..).zip(&diagnosis.advice) {
        let head = if number == 1 {
            "to do    "
        } else {
            "         "
        };
        let begin = format!("{}  {number}. ", style.bold(head));
        text += &hang(&begin, &shown(&advice.what).to_string(), DEEPER, style);
        let why = style.dim(&shown(&advice.why).to_string());
        text += &hang(&" ".repeat(DEEPER), &why, DEEPER, style);
        for line in &advice.commands {
            let begin = format!("{}# ", " ".repeat(DEEPER));
            text += &command(&begin, &shown(line).to_string(), DEEPER + 4, style);
        }
    }
    for note in &diagnosis.notes {
        let begin = format!("{}  ", style.dim("note     "));
        text += &hang(&begin, &shown(note).to_string(), INDENT, style);
    }
    text
}

/// The losses of each day.
#[must_use]
pub fn by_day(diagnosis: &Diagnosis, style: Style) -> String {
    let mut days: BTreeMap<&str, u64> = BTreeMap::new();
    let boots = diagnosis.sources.iter().flat_map(|source| &source.boots);
    for day in boots.flat_map(|boot| &boot.days) {
        let lost = days.entry(&day.day).or_default();
        *lost = lost.saturating_add(day.lost);
    }
    let mut text = String::new();
    for (day, lost) in &days {
        let _ = writeln!(
            text,
            "{}  {day}  at least {} lost",
            style.bold("day      "),
            counted(*lost, "record")
        );
    }
    if days.is_empty() {
        text.push_str("day        the log has no dates, or no loss\n");
    }
    text
}

fn show_source(source: &Source, style: Style, text: &mut String) {
    let boots = source.boots.len() as u64 + source.quiet_boots;
    let _ = writeln!(
        text,
        "{}  {}: {} {}, {} {}",
        style.bold("log      "),
        clipped(&source.name, NAME_COLUMNS),
        count(source.lines),
        plural(source.lines, "line"),
        count(boots),
        plural(boots, "boot")
    );
    for boot in &source.boots {
        let begin = format!("{}  ", style.bold(&format!("boot {:<4}", boot.number)));
        *text += &hang(&begin, &about(boot), INDENT, style);
        for talker in &boot.talkers {
            *text += &hang("  talker   ", &about_talker(talker), INDENT, style);
        }
        for event in boot.timeline.iter().take(MOST_EVENTS) {
            let (begin, words) = line(event, style);
            *text += &hang(&begin, &words, ROW, style);
        }
        let more = boot.timeline.len().saturating_sub(MOST_EVENTS) as u64 + boot.events_left_out;
        if more > 0 {
            let _ = writeln!(text, "  {} more; --json has the first 500", count(more));
        }
    }
}

/// Who made records.
fn about_talker(talker: &Talker) -> String {
    let exe = &talker.exe;
    let name = if exe.is_empty() { &talker.comm } else { exe };
    let mut text = format!(
        "{} of {} SYSCALL records: {name}",
        count(talker.records),
        count(talker.of_records)
    );
    for (what, value) in [("auid", &talker.auid), ("key", &talker.key)] {
        if !value.is_empty() && *value != "(null)" {
            let _ = write!(text, ", {what} {value}");
        }
    }
    shown(&text).to_string()
}

/// A boot in a line.
fn about(boot: &Boot) -> String {
    let mut parts = Vec::new();
    if let Some(host) = &boot.host {
        parts.push(format!("host {host}"));
    }
    if let Some(kernel) = &boot.kernel {
        parts.push(format!("Linux {kernel}"));
    }
    parts.push(if boot.lost_at_least > 0 {
        format!("lost at least {}", count(boot.lost_at_least))
    } else {
        "no loss seen".to_owned()
    });
    if !boot.limits.is_empty() {
        let limits: Vec<String> = boot
            .limits
            .iter()
            .take(MOST_LIMITS)
            .map(|seen| count(u64::from(seen.limit)))
            .collect();
        let more = if boot.limits.len() > MOST_LIMITS {
            " and more"
        } else {
            ""
        };
        parts.push(format!("limit {}{more}", limits.join(" -> ")));
    }
    if let Some(depth) = boot.depth_max {
        parts.push(format!("depth up to {}", count(u64::from(depth))));
    }
    if let Some(rate) = boot.rate_limit.filter(|&rate| rate > 0) {
        parts.push(format!("rate limit {} a second", count(u64::from(rate))));
    }
    if let Some(failure) = boot.failure {
        parts.push(format!("-f {failure}"));
    }
    if boot.audit_at_boot == Some(true) {
        parts.push("audit=1".to_owned());
    }
    parts.join(", ")
}

fn line(event: &Event, style: Style) -> (String, String) {
    let text = shown(&event.text).to_string();
    let words = match &event.what {
        What::Losses { .. } | What::Panic { .. } | What::HungTask { .. } => style.red(&text),
        What::Suppressed { .. } | What::SoftLockup { .. } | What::Printed { wanted: true, .. } => {
            style.yellow(&text)
        }
        _ => text,
    };
    let lines = if event.lines > 1 {
        style.dim(&format!(" ({} lines)", count(event.lines)))
    } else {
        String::new()
    };
    let until = event
        .until
        .as_ref()
        .map(moment)
        .filter(|end| *end != moment(&event.at))
        .map_or_else(String::new, |end| format!(" to {end}"));
    let begin = format!("  {:>15}{until}  ", moment(&event.at));
    (begin, format!("{words}{lines}"))
}
