//! Benchmark runs as text: truth beside trace, sweeps, searches.

use std::fmt::Write as _;

use super::{style::Style, summary, wrap::hang};
use crate::{
    bench::{
        ground_truth::{BenchReport, Check, Point},
        search::Trial,
    },
    storm::library::Entry,
    trace::report::Interval,
    units::{bytes, count, count_within, duration, duration_within, maybe},
    untrusted::{NAME_COLUMNS, clipped, shown},
};

/// Cells of a bar at most.
const BAR_CELLS: usize = 24;
/// Columns of a sweep beside its two bars.
const SWEEP_COLUMNS: usize = 70;
/// Columns of producers beside their names.
const PRODUCER_COLUMNS: usize = 60;

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
    let mut text = summary::summary(&report.trace, summary::TOP, style);
    let names = style
        .table_width()
        .saturating_sub(PRODUCER_COLUMNS)
        .clamp(8, 28);
    let _ = writeln!(
        text,
        "\n{}",
        style.dim(&format!(
            "{:<names$} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "producer", "events", "p50", "p99", "max", "slept", "for"
        ))
    );
    for producer in &report.truth.producers {
        let name = format!("{}/{} x{}", producer.phase, producer.name, producer.threads);
        let mut name = clipped(&name, NAME_COLUMNS);
        if name.chars().count() > names {
            // A line of its own, rather than part of a name.
            let _ = writeln!(text, "{name}");
            name.clear();
        }
        let time = |ns| duration_within(ns, 9);
        let _ = writeln!(
            text,
            "{name:<names$} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            count_within(producer.events, 9),
            time(producer.p50_ns),
            time(producer.p99_ns),
            time(producer.max_ns),
            count_within(producer.slept, 9),
            time(producer.slept_ns),
        );
    }
    let _ = writeln!(
        text,
        "\n{}",
        style.dim(&format!("{:<36} {:>12} {:>12}", "", "truth", "trace"))
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
    text.push_str(&hang("", &verdict, 2, style));
    text
}

fn line(check: &Check, style: Style) -> String {
    let verdict = match check.agrees {
        Some(true) => style.green("agrees"),
        Some(false) => style.red("DISAGREES"),
        None => style.dim("not known to both"),
    };
    format!(
        "{:<36} {:>12} {:>12} {verdict}",
        shown(&check.what),
        within(check.truth, 12),
        within(check.traced, 12)
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

/// A count, or a dash where it was not measured.
fn within(value: Option<u64>, columns: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| count_within(value, columns))
}

/// A sweep as a table, with loss and stalls as bars.
#[must_use]
pub fn sweep(points: &[Point], style: Style) -> String {
    let room = style.table_width().saturating_sub(SWEEP_COLUMNS) / 2;
    let cells = room.clamp(1, BAR_CELLS);
    let mut text = style.dim(&format!(
        "{:>7} {:>8} {:>7} {:>6} {:>8} {:>8} {:>8} {:>9} {:<cells$} {}\n",
        "limit",
        "attempts",
        "lost",
        "stalls",
        "stalled",
        "longest",
        "p99",
        "memory",
        if cells < "lost".len() { "" } else { "lost" },
        if cells < "stalled".len() {
            ""
        } else {
            "stalled"
        },
    ));
    let most = |pick: fn(&Point) -> Option<u64>| points.iter().filter_map(pick).max().unwrap_or(0);
    let (most_lost, most_stalled) = (most(|point| point.lost), most(|point| point.stalled_ns));
    for point in points {
        let limit = if point.limit == 0 {
            "none".to_owned()
        } else {
            count_within(u64::from(point.limit), 7)
        };
        let time = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), |ns| duration_within(ns, 8));
        let lost = bar(point.lost, most_lost, cells);
        let blank = " ".repeat(cells.saturating_sub(lost));
        let line = format!(
            "{limit:>7} {:>8} {:>7} {:>6} {:>8} {:>8} {:>8} {:>9} {}{blank} {}",
            within(point.attempted, 8),
            within(point.lost, 7),
            within(point.stalls, 6),
            time(point.stalled_ns),
            time(point.longest_stall_ns),
            time(point.p99_ns),
            point.queue_peak_bytes.map_or_else(|| "-".to_owned(), bytes),
            style.red(&style.bar(lost)),
            style.yellow(&style.bar(bar(point.stalled_ns, most_stalled, cells))),
        );
        text.push_str(line.trim_end());
        text.push('\n');
        if !point.agrees {
            let _ = writeln!(text, "{:>7} trace and truth DISAGREE", "");
        }
    }
    text
}

/// Cells of a bar of a share; the least that is there shows.
fn bar(value: Option<u64>, most: u64, cells: usize) -> usize {
    let Some(value) = value.filter(|&value| value > 0 && most > 0) else {
        return 0;
    };
    let filled = u128::from(value) * cells as u128 / u128::from(most);
    usize::try_from(filled).unwrap_or(cells).max(1)
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
