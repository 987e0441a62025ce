//! Benchmark runs as text: truth beside trace, sweeps, searches.

use std::fmt::Write as _;

use super::{style::Style, table};
use crate::{
    number::{bytes, count, duration, maybe},
    report::Interval,
    search::Trial,
    storm::library::Entry,
    truth::{BenchReport, Check, Point},
    untrusted::{NAME_COLUMNS, clipped, shown},
};

/// Cells of a bar.
const BAR_CELLS: u64 = 24;

/// The storms of the library, a line each.
#[must_use]
pub fn list(storms: &[Entry]) -> String {
    let mut text = String::new();
    for storm in storms {
        let _ = writeln!(text, "{:<22}  {}", shown(&storm.name), shown(&storm.about));
    }
    text
}

/// One run: the trace's summary, the producers, and how the two sides compare.
#[must_use]
pub fn report(report: &BenchReport, style: Style) -> String {
    let mut text = table::summary(&report.trace, table::TOP, style);
    let _ = writeln!(
        text,
        "\n{}",
        style.dim(&format!(
            "{:<28}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}",
            "producer", "events", "p50", "p99", "max", "slept", "for"
        ))
    );
    for producer in &report.truth.producers {
        let name = format!("{}/{} x{}", producer.phase, producer.name, producer.threads);
        let name = clipped(&name, NAME_COLUMNS);
        let _ = writeln!(
            text,
            "{name:<28}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}",
            count(producer.events),
            duration(producer.p50_ns),
            duration(producer.p99_ns),
            duration(producer.max_ns),
            count(producer.slept),
            duration(producer.slept_ns),
        );
    }
    let _ = writeln!(
        text,
        "\n{}",
        style.dim(&format!("{:<36}  {:>12}  {:>12}", "", "truth", "trace"))
    );
    for check in &report.checks {
        let _ = writeln!(text, "{}", line(check, style));
    }
    let verdict = if report.agrees {
        style.green(&format!(
            "{}: trace and truth agree, limit {}, consumer {}",
            shown(&report.storm),
            report.limit,
            shown(&report.truth.consumer)
        ))
    } else {
        style.red(&format!(
            "{}: trace and truth DISAGREE, limit {}, consumer {}",
            shown(&report.storm),
            report.limit,
            shown(&report.truth.consumer)
        ))
    };
    let _ = writeln!(text, "{verdict}");
    text
}

fn line(check: &Check, style: Style) -> String {
    let verdict = match check.agrees {
        Some(true) => style.green("agrees"),
        Some(false) => style.red("DISAGREES"),
        None => style.dim("not known to both"),
    };
    format!(
        "{:<36}  {:>12}  {:>12}  {verdict}",
        shown(&check.what),
        maybe(check.truth),
        maybe(check.traced)
    )
}

/// A line of progress for people who wait.
#[must_use]
pub fn progress(interval: &Interval, events: u64, of: Option<u64>) -> String {
    let of = of.map_or_else(String::new, |of| format!(" of {}", count(of)));
    let depth = interval
        .depth
        .main
        .map_or_else(String::new, |depth| format!(", {depth} queued"));
    format!(
        "{:>8}  {}{of} events{depth}, {} lost",
        duration(interval.at_ns),
        count(events),
        maybe(interval.lost)
    )
}

/// A sweep as a table, with loss and stalls as bars.
#[must_use]
pub fn sweep(points: &[Point], style: Style) -> String {
    let mut text = style.dim(&format!(
        "{:>9}  {:>9}  {:>9}  {:>8}  {:>9}  {:>9}  {:>9}  {:>9}  {:<24}  {}\n",
        "limit",
        "attempts",
        "lost",
        "stalls",
        "stalled",
        "longest",
        "p99",
        "memory",
        "lost",
        "stalled"
    ));
    let most = |pick: fn(&Point) -> Option<u64>| points.iter().filter_map(pick).max().unwrap_or(0);
    let (most_lost, most_stalled) = (most(|point| point.lost), most(|point| point.stalled_ns));
    for point in points {
        let limit = if point.limit == 0 {
            "none".to_owned()
        } else {
            count(u64::from(point.limit))
        };
        let time = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), duration);
        let _ = writeln!(
            text,
            "{limit:>9}  {:>9}  {:>9}  {:>8}  {:>9}  {:>9}  {:>9}  {:>9}  {}  {}{}",
            maybe(point.attempted),
            maybe(point.lost),
            maybe(point.stalls),
            time(point.stalled_ns),
            time(point.longest_stall_ns),
            time(point.p99_ns),
            point.queue_peak_bytes.map_or_else(|| "-".to_owned(), bytes),
            style.red(&format!("{:<24}", bar(point.lost, most_lost))),
            style.yellow(&bar(point.stalled_ns, most_stalled)),
            if point.agrees {
                ""
            } else {
                "  trace and truth DISAGREE"
            }
        );
    }
    text
}

/// A bar of a share; the least that is there shows.
fn bar(value: Option<u64>, most: u64) -> String {
    let Some(value) = value.filter(|&value| value > 0 && most > 0) else {
        return String::new();
    };
    let cells = u128::from(value) * u128::from(BAR_CELLS) / u128::from(most);
    "\u{2588}".repeat(usize::try_from(cells.max(1)).unwrap_or(1))
}

/// One run of a search.
#[must_use]
pub fn trial(number: usize, trial: &Trial, style: Style) -> String {
    let limit = if trial.limit == 0 {
        "no limit".to_owned()
    } else {
        format!("limit {}", count(u64::from(trial.limit)))
    };
    let outcome = if trial.is_clean() {
        style.green(&format!(
            "clean, peak depth {}",
            count(u64::from(trial.peak))
        ))
    } else {
        style.red(&format!(
            "{} lost, {} stalls",
            count(trial.lost),
            count(trial.stalls)
        ))
    };
    format!("run {number:>2}  {limit:<16}  {outcome}\n")
}
