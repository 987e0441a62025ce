//! The recommendation for people: the verdict first, then why, the curve, and what to do.

use std::fmt::Write as _;

use super::style::Style;
use crate::{
    number::{bytes, count, duration},
    recommendation::{CurvePoint, Recommendation, Verdict},
    untrusted::shown,
};

/// Cells of a bar.
const BAR_CELLS: u64 = 24;

/// The verdict in a sentence.
#[must_use]
pub fn headline(answer: &Recommendation) -> String {
    let number = |value: Option<u64>| value.map_or_else(|| "?".to_owned(), count);
    match answer.verdict {
        Verdict::Keep => format!("keep the limit of {}", number(answer.current)),
        Verdict::Raise | Verdict::Lower => format!(
            "{} the limit from {} to {}: needed {}{}, confidence {}",
            if answer.verdict == Verdict::Raise {
                "raise"
            } else {
                "lower"
            },
            number(answer.current),
            number(answer.limit),
            number(answer.needed),
            interval(answer),
            answer.confidence.name()
        ),
        Verdict::LimitWillNotHelp => format!(
            "no limit will help: {}{}",
            answer
                .bottleneck
                .map_or("the cause is not known", |bottleneck| bottleneck.in_words()),
            answer
                .cause
                .map_or_else(String::new, |cause| format!("; {}", cause.in_words()))
        ),
        Verdict::Unknown => match (answer.needed_low, answer.needed_high) {
            (Some(low), Some(high)) if low < high => format!(
                "this trace does not tell the limit that was needed: between {} and {}",
                count(low),
                count(high)
            ),
            (Some(low), _) => format!(
                "this trace does not tell the limit that was needed: at least {}",
                count(low)
            ),
            _ => "this trace does not tell the limit that was needed".to_owned(),
        },
    }
}

fn interval(answer: &Recommendation) -> String {
    match (answer.needed_low, answer.needed_high) {
        (Some(low), Some(high)) if low < high => {
            format!(" (between {} and {})", count(low), count(high))
        }
        _ => String::new(),
    }
}

/// The whole answer.
#[must_use]
pub fn block(answer: &Recommendation, style: Style) -> String {
    let mut text = String::new();
    let line = headline(answer);
    let line = match answer.verdict {
        Verdict::Keep => style.green(&line),
        Verdict::LimitWillNotHelp => style.red(&line),
        Verdict::Raise | Verdict::Lower | Verdict::Unknown => style.yellow(&line),
    };
    let _ = writeln!(text, "{}  {line}", style.bold("limit    "));
    for reason in &answer.reasons {
        let _ = writeln!(text, "           {}", shown(reason));
    }
    if let (Some(memory), Some(worst), Some(folklore)) = (
        answer.memory_bytes,
        answer.memory_worst_bytes,
        answer.memory_folklore_bytes,
    ) {
        let _ = writeln!(
            text,
            "           full, it takes {} of kernel memory by the records of this trace, {} at worst \
             (by the folklore of 8,970 B a record {})",
            bytes(memory),
            bytes(worst),
            bytes(folklore)
        );
    }
    if !answer.curve.is_empty() {
        text.push('\n');
        text.push_str(&curve(answer, style));
        text.push('\n');
    }
    if !answer.breaks_rules.is_empty() {
        let _ = writeln!(
            text,
            "{}  less than the 8,192 that these ask for, of audit_backlog_limit= on the kernel's command line too \
             (--policy keeps to them)",
            style.bold("rules    "),
        );
        for rule in &answer.breaks_rules {
            let _ = writeln!(text, "           {}", shown(rule));
        }
    }
    let trust = shown(&answer.confidence_reasons.join("; ")).to_string();
    let _ = writeln!(
        text,
        "{} {}: {}",
        style.bold("confidence"),
        answer.confidence.name(),
        if trust.is_empty() {
            "all that it rests on was measured"
        } else {
            &trust
        }
    );
    for (number, advice) in (1..).zip(&answer.advice) {
        let _ = writeln!(
            text,
            "{}  {number}. {}",
            style.bold("advice   "),
            shown(&advice.action)
        );
        let _ = writeln!(text, "              effect: {}", shown(&advice.effect));
        let _ = writeln!(text, "              because: {}", shown(&advice.evidence));
        if let Some(command) = &advice.command {
            let undo = advice
                .undo
                .as_ref()
                .map_or_else(String::new, |undo| format!("   (undo: {})", shown(undo)));
            let _ = writeln!(text, "              command: {}{undo}", shown(command));
        }
    }
    if let Some(apply) = &answer.apply {
        let _ = writeln!(text, "{}  {}", style.bold("apply    "), shown(apply));
    }
    if let Some(undo) = &answer.undo {
        let _ = writeln!(text, "{}  {}", style.bold("undo     "), shown(undo));
    }
    text
}

/// The curve as a plot: loss where records are refused, else the time held up.
fn curve(answer: &Recommendation, style: Style) -> String {
    let loses = answer.curve.iter().any(|point| point.lost > 0);
    let pick = |point: &CurvePoint| if loses { point.lost } else { point.stall_ns };
    let most = answer.curve.iter().map(pick).max().unwrap_or(0);
    let mut text = style.dim(&format!(
        "{:>20}  {:>9}  {:>7}  {:>9}  {:>9}  predicted\n",
        "limit", "lost", "of all", "held up", "memory"
    ));
    for point in &answer.curve {
        let cells = (u128::from(pick(point)) * u128::from(BAR_CELLS))
            .checked_div(u128::from(most))
            .unwrap_or(0);
        let cells = usize::try_from(cells)
            .unwrap_or(0)
            .max(usize::from(pick(point) > 0));
        let mark = if Some(point.limit) == answer.limit {
            " <- recommended"
        } else if Some(point.limit) == answer.current {
            " <- now (predicted too)"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "{:>20}  {:>9}  {:>5.1} %  {:>9}  {:>9}  {}{mark}",
            count(point.limit),
            count(point.lost),
            point.lost_pct,
            duration(point.stall_ns),
            point.memory_bytes.map_or_else(|| "-".to_owned(), bytes),
            style.red(&"\u{2588}".repeat(cells)),
        );
    }
    text
}
