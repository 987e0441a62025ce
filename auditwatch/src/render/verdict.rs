//! The verdict: the whole trace in one line, the first of the summary.

use std::collections::BTreeMap;

use crate::{
    recommend::{Recommendation, Verdict},
    sample::Source,
    trace::report::{Summary, Talker},
    units::{count, counted, duration, percent},
    untrusted::{NAME_COLUMNS, clipped},
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
        "silent" => "silent loss (auditd did not read them, and the kernel does not count it)",
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

/// The verdict on a trace: the first line of its summary, with its number and the remedy.
#[must_use]
pub fn line(summary: &Summary) -> String {
    let lost = summary.lost.unwrap_or(0);
    let mut parts = if lost > 0 {
        let mut parts = vec![loss(summary, lost)];
        parts.extend(source(summary));
        parts
    } else {
        let mut parts = vec![without_loss(summary)];
        parts.extend(summary.depth.max.map(|max| peak(summary, max)));
        parts
    };
    parts.extend(stalls(summary));
    parts.extend(summary.recommendation.as_ref().and_then(remedy));
    parts.join("; ")
}

/// `LOST 1,145 of 48,398 records (2.4 %) in 10 s: backlog limit exceeded`
fn loss(summary: &Summary, lost: u64) -> String {
    let window = duration(summary.duration_ns);
    let of = match summary.ledger.attempted.filter(|&all| all >= lost) {
        Some(all) => format!(
            "{} of {} ({})",
            count(lost),
            counted(all, "record"),
            share(lost, all)
        ),
        None => counted(lost, "record"),
    };
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
            "by the kernel's own count; polling cannot see the reason".to_owned()
        }
        [] => "by the kernel's own count; the reason was not measured".to_owned(),
        [(_, reason)] => reason_in_words(reason).to_owned(),
        many => many
            .iter()
            .map(|(dropped, reason)| format!("{} {}", count(*dropped), reason_in_words(reason)))
            .collect::<Vec<_>>()
            .join(", "),
    };
    format!("LOST {of} in {window}: {why}")
}

fn without_loss(summary: &Summary) -> String {
    let window = duration(summary.duration_ns);
    if summary.source == Source::Poll {
        return format!(
            "the kernel counted no loss in {window}; polling cannot see silent losses or stalls"
        );
    }
    let ledger = &summary.ledger;
    if ledger.drained == Some(0) && ledger.attempted == Some(0) {
        return match summary.status.enabled {
            Some(0) => format!("no record in {window}: auditing is off"),
            _ => format!("no record in {window}"),
        };
    }
    match unmeasured(summary) {
        None => format!("no record lost in {window}"),
        Some(what) if summary.lost.is_none() => format!("{what} in {window}"),
        Some(what) => format!("no loss seen in {window} ({what})"),
    }
}

fn peak(summary: &Summary, max: u64) -> String {
    let limit = match summary.status.limit_end {
        None => String::new(),
        Some(0) => " (no limit)".to_owned(),
        Some(limit) => format!(" of {}", count(u64::from(limit))),
    };
    format!("peak depth {}{limit}", count(max))
}

/// The command that most of the lost records are from, or of all records if no loss is attributed.
fn source(summary: &Summary) -> Option<String> {
    let rows = summary.talkers.as_ref()?;
    let dropped: u64 = rows.iter().map(|row| row.sums.dropped).sum();
    let weight = |row: &Talker| {
        if dropped > 0 {
            row.sums.dropped
        } else {
            row.sums.records
        }
    };
    let mut by_command: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        *by_command.entry(row.comm.as_raw()).or_default() += weight(row);
    }
    let all: u64 = by_command.values().sum();
    let (comm, most) = by_command.into_iter().max_by_key(|&(_, sum)| sum)?;
    if comm.is_empty() || most == 0 {
        return None;
    }
    Some(format!(
        "{} from {}",
        share(most, all),
        clipped(comm, NAME_COLUMNS)
    ))
}

fn stalls(summary: &Summary) -> Option<String> {
    let stalls = summary.stalls.as_ref()?;
    let mut parts = Vec::new();
    if stalls.count > 0 {
        parts.push(format!(
            "{} ({} in total, longest {})",
            counted(stalls.count, "stall"),
            duration(stalls.total_ns),
            duration(stalls.max_ns)
        ));
    }
    if stalls.stranded > 0 {
        parts.push(format!("{} stranded", counted(stalls.stranded, "task")));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What to do about the limit, in a few words.
fn remedy(answer: &Recommendation) -> Option<String> {
    match answer.verdict {
        Verdict::Keep => None,
        Verdict::Raise => answer
            .limit
            .map(|limit| format!("raise the limit to {}", count(limit))),
        Verdict::Lower => answer
            .limit
            .map(|limit| format!("lower the limit to {}", count(limit))),
        Verdict::LimitWillNotHelp => Some("no limit will help".to_owned()),
        // A quiet trace has none to name.
        Verdict::Unknown if answer.reasons.is_empty() || answer.needed_low.is_none() => None,
        Verdict::Unknown => Some("required limit unknown".to_owned()),
    }
}

/// `2.4 %`; a part that is there is never none.
fn share(part: u64, all: u64) -> String {
    match percent(part, all) {
        nothing if nothing == percent(0, all) => "< 0.1 %".to_owned(),
        some => some,
    }
}
