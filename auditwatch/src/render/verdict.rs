//! The verdict: the whole trace in one line of plain words.

use crate::{
    ledger::lost_records,
    number::{count, duration, plural},
    report::Summary,
    sample::Source,
};

/// A reason for a loss, in words.
#[must_use]
pub fn reason_in_words(reason: &str) -> &'static str {
    match reason {
        "backlog_limit" => "backlog limit exceeded",
        "rate_limit" => "rate limit exceeded",
        "out_of_memory" => "out of memory",
        "retry_overflow" => "retry queue overflow",
        "hold_overflow" => "hold queue overflow",
        "silent" => "lost in silence (no auditd took them, and the kernel does not count it)",
        _ => "another reason",
    }
}

/// Records that a summary knows to be lost.
#[must_use]
pub fn lost(summary: &Summary) -> u64 {
    lost_records(
        &summary.ledger.dropped,
        summary.status.lost_start,
        summary.status.lost_end,
    )
}

/// The verdict on a trace.
#[must_use]
pub fn line(summary: &Summary) -> String {
    let window = duration(summary.duration_ns);
    let lost = lost(summary);
    let mut parts: Vec<String> = Vec::new();
    if lost > 0 {
        let mut reasons: Vec<(u64, &str)> = summary
            .ledger
            .dropped
            .by_reason()
            .into_iter()
            .filter_map(|(reason, dropped)| Some((dropped.filter(|&n| n > 0)?, reason)))
            .collect();
        reasons.sort_by_key(|&(dropped, _)| std::cmp::Reverse(dropped));
        let why = match reasons.as_slice() {
            [] => "the kernel's own count; polling cannot tell why".to_owned(),
            [(_, reason)] => reason_in_words(reason).to_owned(),
            many => many
                .iter()
                .map(|(dropped, reason)| format!("{} {}", count(*dropped), reason_in_words(reason)))
                .collect::<Vec<_>>()
                .join(", "),
        };
        parts.push(format!(
            "lost {} {} in {window}: {why}",
            count(lost),
            plural(lost, "record")
        ));
    } else if summary.source == Source::Poll {
        parts.push(format!(
            "the kernel counted no loss in {window}; polling cannot see silent loss or stalls"
        ));
    } else if summary.ledger.drained.is_some_and(|drained| drained == 0)
        && summary
            .ledger
            .attempted
            .is_some_and(|attempted| attempted == 0)
    {
        parts.push(match summary.status.enabled {
            Some(0) => format!("no record in {window}: auditing is off"),
            _ => format!("no record in {window}"),
        });
    } else {
        parts.push(format!("nothing lost in {window}"));
    }
    if let Some(max) = summary.depth.max {
        let limit = summary.status.limit_end.map_or_else(String::new, |limit| {
            if limit == 0 {
                " (no limit)".to_owned()
            } else {
                format!(" of {}", count(u64::from(limit)))
            }
        });
        parts.push(format!("peak depth {}{limit}", count(max)));
    }
    if let Some(stalls) = summary.stalls.as_ref().filter(|stalls| stalls.count > 0) {
        parts.push(format!(
            "{} {} held tasks up for {}, the longest {}",
            count(stalls.count),
            plural(stalls.count, "stall"),
            duration(stalls.total_ns),
            duration(stalls.max_ns)
        ));
    }
    if let Some(stalls) = summary.stalls.as_ref().filter(|stalls| stalls.stranded > 0) {
        parts.push(format!(
            "{} {} stranded",
            count(stalls.stranded),
            plural(stalls.stranded, "task")
        ));
    }
    parts.join("; ")
}
