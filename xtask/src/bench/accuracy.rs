//! `cargo xtask bench accuracy`: storms come in, how near the recommended limits are to the truth goes out.
//!
//! The truth is the greatest length of the queue in runs without a limit. Each storm then runs once at each limit that
//! hurts, with and without waiting, and is asked for the limit that it needed.

use std::{
    collections::BTreeMap, fmt::Write as _, fs, path::Path, process::ExitCode, time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::Value;

use super::storms::Stage;
use crate::{duration, kernels::Release};

/// Where the table is kept.
const DOCUMENT: &str = "docs/accuracy.md";
/// Runs without a limit.
const TRUTHS: usize = 3;
/// Limits at which the predicted loss is held against a real run, in hundredths of the truth.
const SHARES: [u64; 6] = [20, 35, 50, 65, 80, 95];
/// What a recommendation, headroom included, may be of the truth.
const GOOD: std::ops::RangeInclusive<f64> = 1.0..=1.3;
/// The same where a trace cannot tell two kinds of tasks from each other.
const GOOD_IF_FLAGGED: std::ops::RangeInclusive<f64> = 1.0..=2.7;

/// Scores `recommend` on storms.
#[derive(Args, Debug)]
pub(super) struct AccuracyArgs {
    /// The guest's kernel.
    #[arg(long, default_value = "6.1")]
    kernel: Release,
    /// When the guest is killed, such as 90s, 5m or 1h.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration::parse)]
    time_limit: Duration,
    /// Write the table into the document.
    #[arg(long)]
    write: bool,
    /// Storms of the library; all that end by themselves without.
    storms: Vec<String>,
}

/// Storms that no limit helps, or whose queue does not depend on it: nobody takes their records, or they are lost before
/// they come to the queue.
const WITHOUT_NEED: [&str; 2] = ["no-auditd", "rate-limited"];

/// Runs the storms and prints the table.
pub(super) fn run(args: &AccuracyArgs) -> Result<ExitCode> {
    let stage = Stage::set(args.kernel, args.time_limit)?;
    let names = if args.storms.is_empty() {
        let listed = stage.run("auditwatch bench list | cut -d' ' -f1")?;
        let names = listed.lines().map(str::to_owned);
        names
            .filter(|name| !WITHOUT_NEED.contains(&name.as_str()))
            .collect()
    } else {
        args.storms.clone()
    };
    let mut scores = Vec::new();
    for name in &names {
        let sane = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        ensure!(sane && !name.is_empty(), "{name:?} is no name of a storm");
        let output = stage.run(&script(name)).with_context(|| name.clone())?;
        let score = Score::of(name, &runs(&output).with_context(|| name.clone())?)?;
        eprint!("{}", score.rows());
        scores.push(score);
    }
    let text = document(args.kernel, &scores);
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

/// Prints a line for each run: its kind, limit, wait time and report.
fn script(storm: &str) -> String {
    let shares = SHARES.map(|share| share.to_string()).join(" ");
    format!(
        "run() {{ auditwatch bench run {storm} --limit $2 --wait-time-ms $3 --json >/tmp/report 2>/tmp/errors; \
         [ -s /tmp/report ] || {{ cat /tmp/errors >&2; exit 1; }}; echo $1 $2 $3 $(tail -n 1 /tmp/report); }}\n\
         for number in $(seq {TRUTHS}); do run truth 0 60000; done\n\
         need=$(grep -o '\"depth\":{{\"max\":[0-9]*' /tmp/report | head -n 1 | grep -o '[0-9]*$')\n\
         for wait in 0 60000; do for limit in 64 320 $((need / 10)); do\n\
         if [ $limit -lt $need ] && [ $limit -gt 7 ]; then run case $limit $wait; fi; done; done\n\
         if [ $need -gt 40 ]; then for share in {shares}; do run loss $((need * share / 100)) 0; done; fi\n"
    )
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
            Ok(Run {
                kind: kind.to_owned(),
                limit: limit.parse()?,
                waits: wait != "0",
                trace: report["trace"].clone(),
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
    ratio: Option<f64>,
    /// Predicted against real loss, per cent of the storm's events, on average over the limits.
    loss_error_pct: Option<f64>,
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
                let recommended = answer["limit"].as_u64();
                Case {
                    limit: run.limit,
                    waits: run.waits,
                    verdict: text(&answer["verdict"]),
                    confidence: text(&answer["confidence"]),
                    low: answer["needed_low"].as_u64(),
                    high: answer["needed_high"].as_u64(),
                    recommended,
                    ratio: recommended.map(|limit| float(limit) / float(truth.max(1))),
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
    let good = cases
        .iter()
        .filter(|case| {
            case.ratio
                .is_some_and(|ratio| range.contains(&((ratio * 100.0).round() / 100.0)))
        })
        .count();
    format!("{good} of {}", cases.len())
}

fn document(kernel: Release, scores: &[Score]) -> String {
    let all: Vec<&Case> = scores.iter().flat_map(|score| &score.cases).collect();
    let raised = |case: &&&Case| case.verdict == "raise";
    let pick = |waits: bool, flagged: bool| -> Vec<&Case> {
        all.iter()
            .filter(raised)
            .filter(|case| case.waits == waits && (case.confidence == "low") == flagged)
            .copied()
            .collect()
    };
    let others: Vec<&&Case> = all.iter().filter(|case| case.verdict != "raise").collect();
    let errors: Vec<f64> = all.iter().filter_map(|case| case.loss_error_pct).collect();
    let mean = errors.iter().sum::<f64>() / float(errors.len().max(1) as u64);
    let mut text = format!(
        "# Accuracy of the recommended limits\n\n\
         Made by `cargo xtask bench accuracy --write`, in a guest with kernel {kernel} and one CPU whose clock counts\n\
         instructions. It uses each storm of the library that a limit can help. The truth is the peak depth in {TRUTHS} runs\n\
         without a limit. The storm then runs once at 64, at 320 and at a tenth of the truth, with the wait time at 0\n\
         (records are refused) and at 60 s (tasks wait). Each of these traces gives one recommendation.\n\
         [recommendation.md](recommendation.md) describes the method.\n\n\
         | cases with a number | recommended / truth | |\n|---|---|---|\n"
    );
    for (label, cases, range, words) in [
        ("records refused", pick(false, false), &GOOD, "1.0 to 1.3"),
        (
            "tasks waited, one answer",
            pick(true, false),
            &GOOD,
            "1.0 to 1.3",
        ),
        (
            "tasks waited, two estimates (low confidence)",
            pick(true, true),
            &GOOD_IF_FLAGGED,
            "1.0 to 2.7",
        ),
    ] {
        let _ = writeln!(
            text,
            "| {label} | within {words} | {} |",
            within(&cases, range)
        );
    }
    let _ = writeln!(
        text,
        "\n{} cases have another verdict. The predicted loss at {} other limits is off by {mean:.1} % of the storm's events \
         on average.\n",
        others.len(),
        SHARES.len()
    );
    text.push_str(
        "| storm | truth | traced at | | verdict | needed | recommended | / truth | confidence | loss off by, % |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for score in scores {
        text.push_str(&score.rows());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURVE: &str = r#"{"recommendation":{"verdict":"raise","confidence":"high","limit":120,"needed_low":100,
        "needed_high":100,"curve":[{"limit":10,"lost":90},{"limit":100,"lost":0}]},"depth":{"max":65}}"#;

    #[test]
    fn a_storm_is_scored_by_the_median_of_its_truths() {
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
    }

    #[test]
    fn a_line_that_is_cut_short_is_an_error() {
        assert!(runs("truth 0 60000\n").is_err());
        assert!(runs("truth 0 60000 {\n").is_err());
        assert!(Score::of("storm", &[]).is_err());
    }
}
