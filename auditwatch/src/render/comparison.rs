//! A comparison as a table.

use std::fmt::Write as _;

use super::style::Style;
use crate::{
    trace::comparison::{ATTEMPTS, Comparison, Figure, Unit, Verdict},
    units::{bytes, count, counted, duration},
    untrusted::{NAME_COLUMNS, shown},
};

/// The whole comparison; its first line is the verdict.
#[must_use]
pub fn table(comparison: &Comparison, style: Style) -> String {
    let mut text = format!("{}\n\n", verdict(comparison, style));
    text.push_str(&style.dim(&format!(
        "{:<20}  {:>12}  {:>12}  {:>9}  {:>12}  {}",
        "", "first", "second", "change", "noise up to", "verdict"
    )));
    text.push('\n');
    for figure in &comparison.figures {
        let _ = writeln!(text, "{}", line(figure, style));
    }
    let [a, b] = comparison.duration_ns;
    let [of_a, of_b] = comparison.intervals;
    let _ = writeln!(
        text,
        "\nlength      {} in {}; {} in {}",
        duration(a),
        counted(of_a as u64, "whole interval"),
        duration(b),
        counted(of_b as u64, "whole interval")
    );
    for circumstance in &comparison.circumstances {
        let _ = writeln!(
            text,
            "{} {}: {} in the first, {} in the second",
            style.yellow("differs    "),
            shown(&circumstance.what),
            circumstance.a.clipped(NAME_COLUMNS),
            circumstance.b.clipped(NAME_COLUMNS)
        );
    }
    for note in &comparison.notes {
        let _ = writeln!(text, "note        {}", shown(note));
    }
    text
}

fn line(figure: &Figure, style: Style) -> String {
    let value =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| in_unit(v, figure.unit));
    let change = change(figure);
    format!(
        "{:<20}  {:>12}  {:>12}  {change:>9}  {:>12}  {}",
        shown(&figure.name),
        value(figure.a),
        value(figure.b),
        noise(figure),
        paint(figure.verdict, figure.verdict.name(), style)
    )
}

/// By how much it changed; empty where the first has none.
fn change(figure: &Figure) -> String {
    figure.change.map_or_else(String::new, |change| {
        if change.abs() >= 10.0 {
            format!("x{:.0}", change + 1.0)
        } else {
            format!("{:+.1} %", change * 100.0)
        }
    })
}

/// How much is noise. More than both values is all that there is to say of what no difference of the two
/// could exceed.
fn noise(figure: &Figure) -> String {
    match (figure.noise, figure.a, figure.b) {
        (None, ..) => "-".to_owned(),
        (Some(noise), Some(a), Some(b)) if noise > a.max(b) && noise > 0.0 => "> both".to_owned(),
        (Some(noise), ..) => in_unit(noise, figure.unit),
    }
}

fn paint(verdict: Verdict, text: &str, style: Style) -> String {
    match verdict {
        Verdict::Worse => style.red(text),
        Verdict::Better => style.green(text),
        Verdict::Changed | Verdict::Unclear => style.yellow(text),
        Verdict::Same => text.to_owned(),
        Verdict::Unknown => style.dim(text),
    }
}

fn verdict(comparison: &Comparison, style: Style) -> String {
    let named = |verdict| {
        let names: Vec<String> = comparison
            .figures
            .iter()
            .filter(|figure| figure.verdict == verdict)
            .map(|figure| shown(&figure.name).to_string())
            .collect();
        names.join(", ")
    };
    // What is lost and delayed of another load may be its own.
    let is_of_load =
        |figure: &&Figure| figure.name == ATTEMPTS && figure.verdict == Verdict::Changed;
    let load = comparison.figures.iter().find(is_of_load);
    let load = load.map_or_else(String::new, |attempts| {
        format!("; the load differs too: {ATTEMPTS} {}", change(attempts))
    });
    let text = match comparison.verdict {
        verdict @ (Verdict::Worse | Verdict::Better) => {
            format!("the second is {}: {}{load}", verdict.name(), named(verdict))
        }
        Verdict::Changed => format!(
            "the load differs, nothing got worse: {}",
            named(Verdict::Changed)
        ),
        // One value a trace each: whether that is noise is not known, and not for lack of length.
        Verdict::Same => match named(Verdict::Unclear) {
            of if of.is_empty() => "no difference beyond the noise".to_owned(),
            of => format!("no difference beyond the noise (unknown for {of})"),
        },
        Verdict::Unclear => format!("inconclusive: {}", named(Verdict::Unclear)),
        Verdict::Unknown => "there is nothing to compare".to_owned(),
    };
    paint(comparison.verdict, &text, style)
}

/// A value with its unit.
fn in_unit(value: f64, unit: Unit) -> String {
    match unit {
        Unit::PerS => format!("{}/s", number(value)),
        Unit::NsPerS => format!("{}/s", duration(whole(value))),
        Unit::Records => number(value),
        Unit::Ns => duration(whole(value)),
        Unit::Bytes => bytes(whole(value)),
        Unit::Share => format!("{:.2} %", value * 100.0),
    }
}

fn number(value: f64) -> String {
    if value < 10.0 && value > 0.0 {
        format!("{value:.2}")
    } else {
        count(whole(value))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "averages of counts; `as` keeps a value out of range at the range's end"
)]
const fn whole(value: f64) -> u64 {
    value.round() as u64
}
