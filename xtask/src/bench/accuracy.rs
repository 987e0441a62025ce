//! `cargo xtask bench accuracy`: loads come in, how near the recommended limits are to the truth goes out.
//!
//! The truth is the greatest length of the queue in runs without a limit. Each load then runs once at each limit that
//! hurts, with and without waiting, and is asked for the limit that it needed.

use std::{
    collections::BTreeMap, fmt::Write as _, fs, path::Path, process::ExitCode, time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::Value;

use super::{
    storms::Stage,
    yardstick::{Source, TRUTHS, is_set_aside},
};
use crate::{duration, kernels::Release};

/// Where the table is kept.
const DOCUMENT: &str = "docs/accuracy.md";
/// Per cent that a recommendation adds to the need.
const HEADROOM_PCT: u64 = 20;
/// What a recommendation, headroom included, may be of the truth.
const GOOD: std::ops::RangeInclusive<f64> = 1.0..=1.3;
/// The same where a trace cannot tell two kinds of tasks from each other.
const GOOD_IF_FLAGGED: std::ops::RangeInclusive<f64> = 1.0..=2.0;

/// Scores `recommend` on loads.
#[derive(Args, Debug)]
pub(super) struct AccuracyArgs {
    /// The guest's kernel.
    #[arg(long, default_value = "6.1")]
    kernel: Release,
    /// When the guest is killed, such as 90s, 5m or 1h.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration::parse)]
    time_limit: Duration,
    /// Write the tables into the document; it takes all loads of all sources.
    #[arg(long, conflicts_with_all = ["source", "loads"])]
    write: bool,
    /// Where loads come from; all sources without.
    #[arg(long)]
    source: Vec<Source>,
    /// Loads by name; all of the sources without.
    loads: Vec<String>,
}

/// Runs the loads and prints the tables.
pub(super) fn run(args: &AccuracyArgs) -> Result<ExitCode> {
    let stage = Stage::set(args.kernel, args.time_limit)?;
    let mut text = introduction(args.kernel);
    for source in [Source::Library, Source::Storms, Source::Programs] {
        if !args.source.is_empty() && !args.source.contains(&source) {
            continue;
        }
        let mut loads = source.loads(&stage)?;
        if !args.loads.is_empty() {
            loads.retain(|load| args.loads.contains(&load.name));
        }
        let mut scores = Vec::new();
        for load in &loads {
            let name = &load.name;
            let output = stage
                .run(&load.script, &load.share)
                .with_context(|| name.clone())?;
            let score = Score::of(name, &runs(&output).with_context(|| name.clone())?)?;
            eprint!("{}", score.rows());
            scores.push(score);
        }
        text.push_str(&section(source, &scores));
    }
    if args.write {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(DOCUMENT);
        fs::write(&path, &text).with_context(|| format!("writing {}", path.display()))?;
    } else {
        print!("{text}");
    }
    Ok(ExitCode::SUCCESS)
}

/// One run of a storm.
struct Run {
    kind: String,
    limit: u64,
    waits: bool,
    trace: Value,
}

fn runs(output: &str) -> Result<Vec<Run>> {
    output
        .lines()
        .map(|line| {
            let mut words = line.splitn(4, ' ');
            let mut word = || words.next().context("the guest's line is cut short");
            let (kind, limit, wait, report) = (word()?, word()?, word()?, word()?);
            let report: Value = serde_json::from_str(report).context("reading a report")?;
            // A bench's report has the trace beside the truth; a trace's is the summary itself.
            let trace = if report["trace"].is_object() {
                report["trace"].clone()
            } else {
                report
            };
            Ok(Run {
                kind: kind.to_owned(),
                limit: limit.parse()?,
                waits: wait != "0",
                trace,
            })
        })
        .collect()
}

/// What one storm came to.
struct Score {
    storm: String,
    truths: Vec<u64>,
    cases: Vec<Case>,
}

/// One trace at a limit that hurt, and what was made of it.
struct Case {
    limit: u64,
    waits: bool,
    verdict: String,
    confidence: String,
    low: Option<u64>,
    high: Option<u64>,
    recommended: Option<u64>,
    /// The recommended limit as a part of the median truth.
    ratio: Option<f64>,
    /// The same of the greatest and of the least truth.
    ratios: Option<[f64; 2]>,
    /// Predicted against real loss, per cent of the storm's events, on average over the limits.
    loss_error_pct: Option<f64>,
}

impl Case {
    /// Whether the limit is below each of the truths.
    fn is_below(&self) -> bool {
        self.ratios
            .is_some_and(|[_, of_least]| rounded(of_least) < *GOOD.start())
    }

    /// Whether the limit is in the range of one of the truths, or between two of them.
    fn is_within(&self, range: &std::ops::RangeInclusive<f64>) -> bool {
        self.ratios.is_some_and(|[of_greatest, of_least]| {
            rounded(of_least) >= *range.start() && rounded(of_greatest) <= *range.end()
        })
    }
}

/// A ratio as the table shows it.
fn rounded(ratio: f64) -> f64 {
    (ratio * 100.0).round() / 100.0
}

impl Score {
    fn of(storm: &str, runs: &[Run]) -> Result<Self> {
        let mut truths: Vec<u64> = of_kind(runs, "truth")
            .filter_map(|run| run.trace["depth"]["max"].as_u64())
            .collect();
        truths.sort_unstable();
        let truth = *truths
            .get(truths.len() / 2)
            .context("no run without a limit")?;
        let (least, greatest) = (truths[0], truths[truths.len() - 1]);
        let losses: BTreeMap<u64, f64> = of_kind(runs, "loss")
            .filter_map(|run| {
                let lost = run.trace["ledger"]["dropped"]["backlog_limit"].as_f64()?;
                Some((run.limit, lost))
            })
            .collect();
        let events = of_kind(runs, "truth")
            .find_map(|run| run.trace["types"]["SYSCALL"].as_f64())
            .unwrap_or(1.0);
        let cases = of_kind(runs, "case")
            .map(|run| {
                let answer = &run.trace["recommendation"];
                // The memory budget caps the limit, not the model.
                let capped = answer["capped_by_budget"] == true;
                let needed = answer["needed_high"].as_u64().filter(|_| capped);
                let recommended = needed
                    .map(|needed| needed + (needed * HEADROOM_PCT).div_ceil(100))
                    .or(answer["limit"].as_u64());
                Case {
                    limit: run.limit,
                    waits: run.waits,
                    verdict: text(&answer["verdict"]),
                    confidence: text(&answer["confidence"]),
                    low: answer["needed_low"].as_u64(),
                    high: answer["needed_high"].as_u64(),
                    recommended,
                    ratio: recommended.map(|limit| float(limit) / float(truth.max(1))),
                    ratios: recommended.map(|limit| {
                        [greatest, least].map(|truth| float(limit) / float(truth.max(1)))
                    }),
                    loss_error_pct: loss_error(answer, &losses, events).filter(|_| !run.waits),
                }
            })
            .collect();
        Ok(Self {
            storm: storm.to_owned(),
            truths,
            cases,
        })
    }

    /// Rows of the table.
    fn rows(&self) -> String {
        let mut rows = String::new();
        let truths = match (self.truths.first(), self.truths.last()) {
            (Some(first), Some(last)) if first == last => first.to_string(),
            (Some(first), Some(last)) => format!("{first} to {last}"),
            _ => String::new(),
        };
        let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |n| n.to_string());
        for case in &self.cases {
            let _ = writeln!(
                rows,
                "| {} | {truths} | {} | {} | {} | {} to {} | {} | {} | {} | {} |",
                self.storm,
                case.limit,
                if case.waits { "wait" } else { "refuse" },
                case.verdict,
                number(case.low),
                number(case.high),
                number(case.recommended),
                case.ratio
                    .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
                case.confidence,
                case.loss_error_pct
                    .map_or_else(|| "-".to_owned(), |error| format!("{error:.1}")),
            );
        }
        if self.cases.is_empty() {
            let _ = writeln!(
                rows,
                "| {} | {truths} | the need is below every tested limit | | | | | | | |",
                self.storm
            );
        }
        rows
    }
}

fn of_kind<'a>(runs: &'a [Run], kind: &'a str) -> impl Iterator<Item = &'a Run> {
    runs.iter().filter(move |run| run.kind == kind)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

#[expect(clippy::cast_precision_loss, reason = "limits stay far below 2^52")]
fn float(value: u64) -> f64 {
    value as f64
}

/// Mean distance of the curve from real losses, per cent of the events.
fn loss_error(answer: &Value, losses: &BTreeMap<u64, f64>, events: f64) -> Option<f64> {
    let points: Vec<(f64, f64)> = answer["curve"]
        .as_array()?
        .iter()
        .filter_map(|point| Some((point["limit"].as_f64()?, point["lost"].as_f64()?)))
        .collect();
    if points.is_empty() || losses.is_empty() {
        return None;
    }
    let errors: Vec<f64> = losses
        .iter()
        .map(|(&limit, lost)| (between(&points, float(limit)) - lost).abs() / events * 100.0)
        .collect();
    Some(errors.iter().sum::<f64>() / float(errors.len() as u64))
}

/// The curve at a limit between two of its points.
fn between(points: &[(f64, f64)], limit: f64) -> f64 {
    let after = points.partition_point(|&(at, _)| at < limit);
    match (
        after.checked_sub(1).map(|before| points[before]),
        points.get(after),
    ) {
        (Some((a, x)), Some(&(b, y))) => x + (y - x) * (limit - a) / (b - a),
        (Some((_, last)), None) => last,
        (None, first) => first.map_or(0.0, |&(_, first)| first),
    }
}

/// Cases within a range, and all of them.
fn within(cases: &[&Case], range: &std::ops::RangeInclusive<f64>) -> String {
    let good = cases.iter().filter(|case| case.is_within(range)).count();
    format!("{good} of {}", cases.len())
}

/// What the document says first.
fn introduction(kernel: Release) -> String {
    format!(
        "# Accuracy of the recommended limits\n\n\
         Made by `cargo xtask bench accuracy --write`, in guests with kernel {kernel} and one CPU whose clock counts\n\
         instructions. The truth is the peak depth in {TRUTHS} runs without a limit. Each load then runs once at 64, at 320\n\
         and at a tenth of the truth with the wait time at 0 (records are refused). It runs at 64 and 320 with a long wait\n\
         time (tasks wait). Each of these traces gives one recommendation.\n\
         A limit above the memory budget is scored as if there were none. The truth differs from run to run. A limit is\n\
         within a range if it is so for one of the truths, or lies between two.\n\
         [recommendation.md](recommendation.md) describes the method.\n"
    )
}

/// The score of the loads of one source, each load with its rows.
fn section(source: Source, scores: &[Score]) -> String {
    let (title, about) = match source {
        Source::Library => (
            "The library",
            "Each storm of the library that a limit can help.",
        ),
        Source::Storms => (
            "Storms of other shapes",
            "Their files are in `xtask/src/bench/yardstick`. Half of them were set aside before the model was changed; only sums over them were seen until it was done.",
        ),
        Source::Programs => (
            "Programs",
            "Shell programs under the real auditd with STIG rules: unhampered, with 4 % of a CPU (`quota`), or stopped now \
             and then (`hiccup`).",
        ),
    };
    let mut text = format!("\n## {title}\n\n{about}\n\n");
    let halves: &[(&str, Option<bool>)] = match source {
        Source::Library => &[("all", None)],
        _ => &[
            ("used for the model", Some(false)),
            ("set aside", Some(true)),
        ],
    };
    text.push_str("| cases | refused: 1.0 to 1.3 | waited: 1.0 to 1.3 | waited, low confidence: 1.0 to 2.0 | below 1.0 | other verdicts | loss off by, % |\n|---|---|---|---|---|---|---|\n");
    for &(words, half) in halves {
        let cases: Vec<&Case> = scores
            .iter()
            .filter(|score| half.is_none_or(|aside| is_set_aside(&score.storm) == aside))
            .flat_map(|score| &score.cases)
            .collect();
        text.push_str(&sums(words, &cases));
    }
    let all: Vec<&Case> = scores.iter().flat_map(|score| &score.cases).collect();
    text.push_str("\n| confidence | within 1.0 to 1.3 | below 1.0 |\n|---|---|---|\n");
    for grade in ["high", "medium", "low"] {
        let raised = raised(&all, |case| case.confidence == grade);
        let below = raised.iter().filter(|case| case.is_below()).count();
        let _ = writeln!(
            text,
            "| {grade} | {} | {below} of {} |",
            within(&raised, &GOOD),
            raised.len()
        );
    }
    text.push_str(
        "\n| load | truth | traced at | | verdict | needed | recommended | / truth | confidence | loss off by, % |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for score in scores {
        text.push_str(&score.rows());
    }
    text
}

/// The cases with a number that a condition holds for.
fn raised<'a>(cases: &[&'a Case], is_meant: impl Fn(&Case) -> bool) -> Vec<&'a Case> {
    cases
        .iter()
        .filter(|case| case.verdict == "raise" && is_meant(case))
        .copied()
        .collect()
}

/// A row of sums.
fn sums(words: &str, cases: &[&Case]) -> String {
    let all = raised(cases, |_| true);
    let below = all.iter().filter(|case| case.is_below()).count();
    let errors: Vec<f64> = cases
        .iter()
        .filter_map(|case| case.loss_error_pct)
        .collect();
    let mean = errors.iter().sum::<f64>() / float(errors.len().max(1) as u64);
    format!(
        "| {words} | {} | {} | {} | {below} of {} | {} | {mean:.1} |\n",
        within(&raised(cases, |case| !case.waits), &GOOD),
        within(
            &raised(cases, |case| case.waits && case.confidence != "low"),
            &GOOD
        ),
        within(
            &raised(cases, |case| case.waits && case.confidence == "low"),
            &GOOD_IF_FLAGGED
        ),
        all.len(),
        cases.len() - all.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURVE: &str = r#"{"recommendation":{"verdict":"raise","confidence":"high","limit":120,"needed_low":100,
        "needed_high":100,"curve":[{"limit":10,"lost":90},{"limit":100,"lost":0}]},"depth":{"max":65}}"#;

    #[test]
    fn a_storm_is_scored_by_its_truths() {
        let curve = CURVE.replace(['\n', ' '], "");
        let truth = |max: u64| {
            format!(
                "truth 0 60000 {{\"trace\":{{\"depth\":{{\"max\":{max}}},\"types\":{{\"SYSCALL\":50}}}}}}\n"
            )
        };
        let output = format!(
            "{}{}{}case 10 0 {{\"trace\":{curve}}}\nloss 55 0 {{\"trace\":{{\"ledger\":{{\"dropped\":{{\"backlog_limit\":40}}}}}}}}\n",
            truth(90),
            truth(100),
            truth(140)
        );
        let score = Score::of("storm", &runs(&output).expect("runs")).expect("a score");
        let case = &score.cases[0];
        assert_eq!(case.ratio, Some(1.2));
        // 45 were predicted at 55, and 40 lost: 5 of 50.
        assert!((case.loss_error_pct.expect("told") - 10.0).abs() < 1e-9);
        assert!(score.rows().contains("| 90 to 140 |"), "{}", score.rows());
        assert_eq!(within(&[case], &GOOD), "1 of 1");
        assert!(!case.is_below());
    }

    #[test]
    fn a_line_that_is_cut_short_is_an_error() {
        assert!(runs("truth 0 60000\n").is_err());
        assert!(runs("truth 0 60000 {\n").is_err());
        assert!(Score::of("storm", &[]).is_err());
    }
}
