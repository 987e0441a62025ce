//! The verdict: the whole trace in one line of plain words.

use crate::{
    sample::Source,
    trace::report::Summary,
    units::{count, duration, plural},
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

/// What of losses a summary cannot tell, in words; `None` where it tells all.
#[must_use]
pub fn unmeasured(summary: &Summary) -> Option<&'static str> {
    let dropped = &summary.ledger.dropped;
    match (
        summary.lost.is_some(),
        dropped.backlog_limit.is_some(),
        dropped.silent.is_some(),
    ) {
        (false, ..) => Some("losses were not measured"),
        (true, true, true) => None,
        (true, _, false) => Some("silent loss was not measured"),
        (true, false, true) => Some("the kernel's own count, without reasons"),
    }
}

/// The verdict on a trace.
#[must_use]
pub fn line(summary: &Summary) -> String {
    let window = duration(summary.duration_ns);
    let lost = summary.lost.unwrap_or(0);
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
            [] if summary.source == Source::Poll => {
                "the kernel's own count; polling cannot tell why".to_owned()
            }
            [] => "the kernel's own count; why was not measured".to_owned(),
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
        parts.push(match unmeasured(summary) {
            None => format!("nothing lost in {window}"),
            Some(what) if summary.lost.is_none() => format!("{what} in {window}"),
            Some(what) => format!("no loss seen in {window} ({what})"),
        });
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
