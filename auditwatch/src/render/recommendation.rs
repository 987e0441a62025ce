//! The recommendation for people: the verdict first, then why, the curve, and what to do.

use super::{
    style::Style,
    wrap::{command, hang},
};
use crate::{
    recommend::{Advice, CurvePoint, Recommendation, Verdict},
    units::{bytes, count, count_within, duration_within},
    untrusted::shown,
};

/// Cells of a bar at most.
const BAR_CELLS: usize = 24;
/// Columns of the labels, and of the labels with the number of an advice.
const LABEL: usize = 11;
const NUMBERED: usize = 14;
/// Columns of the curve beside its limits and its bars: numbers, gaps, and the mark.
const CURVE_COLUMNS: usize = 60;

/// The verdict in a sentence.
#[must_use]
pub fn headline(answer: &Recommendation) -> String {
    let number = |value: Option<u64>| value.map_or_else(|| "?".to_owned(), count);
    match answer.verdict {
        Verdict::Keep => format!("keep the limit of {}", number(answer.current)),
        Verdict::Raise | Verdict::Lower => format!(
            "{} the limit from {} to {}{} (need: {}{}; confidence: {})",
            if answer.verdict == Verdict::Raise {
                "raise"
            } else {
                "lower"
            },
            number(answer.current),
            number(answer.limit),
            if answer.capped_by_budget {
                ", the most that the memory budget allows"
            } else {
                ""
            },
            number(answer.needed),
            interval(answer),
            answer.confidence.name()
        ),
        Verdict::LimitWillNotHelp => format!(
            "no limit will help: {}{}",
            answer
                .bottleneck
                .map_or("the cause is unknown", |bottleneck| bottleneck.in_words()),
            answer
                .cause
                .map_or_else(String::new, |cause| format!("; {}", cause.in_words()))
        ),
        Verdict::Unknown if answer.capped_by_budget => format!(
            "no recommendation: the need is {} (limit now {}), which the memory budget does not allow",
            number(answer.needed),
            number(answer.current)
        ),
        Verdict::Unknown if answer.needed_low.is_none() => answer
            .reasons
            .first()
            .filter(|reason| reason.ends_with(": no recommendation"))
            .cloned()
            .unwrap_or_else(|| "required limit unknown".to_owned()),
        Verdict::Unknown => match (answer.needed_low, answer.needed_high) {
            (Some(low), Some(high)) if low < high => format!(
                "required limit unknown: between {} and {}",
                count(low),
                count(high)
            ),
            (Some(low), _) => format!("required limit unknown: at least {}", count(low)),
            _ => "required limit unknown".to_owned(),
        },
    }
}

fn interval(answer: &Recommendation) -> String {
    match (answer.needed_low, answer.needed_high) {
        (Some(low), Some(high)) if low < high => {
            format!(", between {} and {}", count(low), count(high))
        }
        _ => String::new(),
    }
}

/// The whole answer.
#[must_use]
pub fn block(answer: &Recommendation, style: Style) -> String {
    let mut text = String::new();
    let headline = headline(answer);
    let line = match answer.verdict {
        Verdict::Keep => style.green(&headline),
        Verdict::LimitWillNotHelp => style.red(&headline),
        Verdict::Raise | Verdict::Lower | Verdict::Unknown => style.yellow(&headline),
    };
    let label = |name: &str| format!("{}  ", style.bold(&format!("{name:<9}")));
    let indented = |value: &str| hang(&" ".repeat(LABEL), value, LABEL, style);
    text.push_str(&hang(&label("limit"), &line, LABEL, style));
    for reason in answer.reasons.iter().filter(|reason| **reason != headline) {
        text.push_str(&indented(&shown(reason).to_string()));
    }
    if let (Some(memory), Some(worst)) = (answer.memory_bytes, answer.memory_worst_bytes) {
        text.push_str(&indented(&format!(
            "a full queue takes {} of kernel memory, all three queues {} at most",
            bytes(memory),
            bytes(worst)
        )));
    }
    if let Some(folklore) = answer.memory_folklore_bytes.filter(|_| style.shows_all()) {
        text.push_str(&indented(&format!(
            "rule of thumb, limit x 8,970 B: {}",
            bytes(folklore)
        )));
    }
    if !answer.curve.is_empty() {
        text.push('\n');
        text.push_str(&curve(answer, style));
        text.push('\n');
    }
    if !answer.breaks_rules.is_empty() {
        let rules = "below the 8,192 that CIS and STIG require, also for audit_backlog_limit= on the kernel command line; \
                     use --policy cis or --policy stig";
        text.push_str(&hang(&label("baseline"), rules, LABEL, style));
        for rule in answer.breaks_rules.iter().filter(|_| style.shows_all()) {
            text.push_str(&indented(&shown(rule).to_string()));
        }
    }
    let trust = shown(&answer.confidence_reasons.join("; ")).to_string();
    let trust = if trust.is_empty() {
        "no estimates, one run"
    } else {
        &trust
    };
    text.push_str(&hang(
        &format!("{} ", style.bold("confidence")),
        &format!("{}: {trust}", answer.confidence.name()),
        LABEL,
        style,
    ));
    for (number, advice) in (1..).zip(&answer.advice) {
        text.push_str(&one_advice(number, advice, style));
    }
    if let Some(apply) = &answer.apply {
        text.push_str(&command(
            &label("apply"),
            &shown(apply).to_string(),
            LABEL,
            style,
        ));
    }
    if let Some(undo) = &answer.undo {
        text.push_str(&command(
            &label("undo"),
            &shown(undo).to_string(),
            LABEL,
            style,
        ));
    }
    text
}

/// An advice with its number: the action, its evidence, and the commands.
fn one_advice(number: u32, advice: &Advice, style: Style) -> String {
    let mut text = String::new();
    let begin = format!("{}  {number}. ", style.bold(&format!("{:<9}", "advice")));
    text.push_str(&hang(
        &begin,
        &shown(&advice.action).to_string(),
        NUMBERED,
        style,
    ));
    let mut detail = |name: &str, value: &str| {
        let begin = format!("{}{name}: ", " ".repeat(NUMBERED));
        text.push_str(&hang(
            &begin,
            &shown(value).to_string(),
            NUMBERED + 2,
            style,
        ));
    };
    if style.shows_all() {
        detail("effect", &advice.effect);
        detail("because", &advice.evidence);
    }
    for (name, line) in [("command", &advice.command), ("undo", &advice.undo)] {
        if let Some(line) = line {
            let begin = format!("{}{name}: ", " ".repeat(NUMBERED));
            text.push_str(&command(
                &begin,
                &shown(line).to_string(),
                NUMBERED + 2,
                style,
            ));
        }
    }
    text
}

/// The curve as a plot: losses if there are any, else the time of stalls.
fn curve(answer: &Recommendation, style: Style) -> String {
    let loses = answer.curve.iter().any(|point| point.lost > 0);
    let pick = |point: &CurvePoint| if loses { point.lost } else { point.stall_ns };
    let most = answer.curve.iter().map(pick).max().unwrap_or(0);
    let limits = answer.curve.iter().map(|point| count(point.limit).len());
    let width = limits.max().unwrap_or(0).max("limit".len());
    let cells = style
        .table_width()
        .saturating_sub(width + CURVE_COLUMNS)
        .clamp(1, BAR_CELLS);
    let mut text = style.dim(&format!(
        "{:>width$}  {:>9}  {:>7}  {:>10}  {:>9}  predicted\n",
        "limit", "lost", "of all", "stalled", "memory"
    ));
    for point in &answer.curve {
        let filled = (u128::from(pick(point)) * cells as u128)
            .checked_div(u128::from(most))
            .unwrap_or(0);
        let filled = usize::try_from(filled)
            .unwrap_or(0)
            .max(usize::from(pick(point) > 0));
        let mark = if Some(point.limit) == answer.limit {
            "<- recommended"
        } else if Some(point.limit) == answer.current {
            "<- now"
        } else {
            ""
        };
        let line = format!(
            "{:>width$}  {:>9}  {:>5.1} %  {:>10}  {:>9}  {} {mark}",
            count(point.limit),
            count_within(point.lost, 9),
            point.lost_pct,
            duration_within(point.stall_ns, 10),
            point.memory_bytes.map_or_else(|| "-".to_owned(), bytes),
            style.red(&style.bar(filled)),
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
