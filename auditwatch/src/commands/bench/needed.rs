//! `bench needed`: the smallest limit at which a storm neither loses nor delays
//! anything, found by running it again and again.

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::{RunResult, Setup, play_with_progress, storm, style, write};
use crate::{
    bench::{
        ground_truth::BenchReport,
        search::{Finding, Trial, next},
    },
    cli::{Format, bench::NeededArgs},
    render,
    untrusted::shown,
};

/// What a search came to.
#[derive(Debug, Serialize)]
struct Needed<'a> {
    kind: &'static str,
    schema: u32,
    storm: &'a str,
    #[serde(flatten)]
    finding: Finding,
    /// Least and greatest queue length of the clean runs, records: how much the need
    /// varies.
    peaks: Option<(u32, u32)>,
    runs: &'a [Trial],
}

pub(super) async fn run(args: &NeededArgs) -> Result<ExitCode> {
    let storm = storm(&args.storm.storm)?;
    let style = style(&args.storm);
    let mut setup = Setup::set(&storm, args.storm.yes)?;
    let mut trials = Vec::new();
    let finding = loop {
        let Finding::Try { limit } = next(&trials) else {
            break next(&trials);
        };
        ensure!(
            trials.len() < usize::try_from(args.runs).unwrap_or(usize::MAX),
            unsettled(args.runs, &storm.name, limit)
        );
        let storm = storm.clone().with_limit(limit);
        let RunResult { report, .. } =
            play_with_progress(&mut setup, &storm, &args.storm, None).await?;
        let trial = trial(&report)?;
        trials.push(trial);
        if args.storm.print.format() == Format::Table {
            let text = render::bench::trial(trials.len(), &trial, style);
            write(&args.storm, &(), &text)?;
        }
    };
    setup.restore()?;
    let peaks = trials
        .iter()
        .filter(|trial| trial.is_clean())
        .map(|trial| trial.peak);
    let needed = Needed {
        kind: "needed",
        schema: 1,
        storm: &storm.name,
        finding,
        peaks: peaks.clone().min().zip(peaks.max()),
        runs: &trials,
    };
    let verdict = match finding {
        Finding::NoLimitHelps => style.yellow(&format!(
            "{}: no limit helps: records are lost or tasks stall even without a limit",
            shown(&storm.name)
        )),
        Finding::Needed { limit, hurts_at } => {
            let (least, most) = needed.peaks.unwrap_or_default();
            let but = hurts_at.map_or_else(String::new, |at| format!(", but not at {at}"));
            style.green(&format!(
                "{}: needs limit {limit}: clean in 3 runs there{but}; peak depth {least} to {most} in clean \
                 runs",
                shown(&storm.name)
            ))
        }
        Finding::Try { .. } => unreachable!("invariant: the loop ends with a finding"),
    };
    write(&args.storm, &needed, &format!("{verdict}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Why a search has no finding after so many runs, and what to do.
fn unsettled(runs: u32, storm: &str, next: u32) -> String {
    let runs = if runs == 1 {
        "1 run does".to_owned()
    } else {
        format!("{runs} runs do")
    };
    let next = match next {
        0 => "without a limit".to_owned(),
        limit => format!("at limit {limit}"),
    };
    format!(
        "{runs} not settle which limit {storm} needs; the next run would be {next}. Allow more with --runs (a \
         search takes 6 or more). If 12 are not enough, the need varies too much from run to run"
    )
}

fn trial(report: &BenchReport) -> Result<Trial> {
    ensure!(
        report.agrees,
        "the trace disagrees with the ground truth at limit {}, so the run is not valid: {:?}",
        report.limit,
        report.checks
    );
    let trace = &report.trace;
    let stalls = trace
        .stalls
        .as_ref()
        .context("stalls are not measured here")?;
    let peak = trace.depth.max.context("depth is not measured here")?;
    Ok(Trial {
        limit: report.limit,
        peak: u32::try_from(peak)?,
        lost: trace.lost.context("losses are not measured here")?,
        stalls: stalls.count + stalls.waiting,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_without_finding_says_what_it_would_do_next() {
        let words = unsettled(1, "x", 0);
        assert!(words.starts_with("1 run does not settle which limit x needs"));
        assert!(words.contains("without a limit"), "{words}");
        let words = unsettled(7, "x", 64);
        assert!(words.starts_with("7 runs do not settle"), "{words}");
        assert!(words.contains("at limit 64"), "{words}");
    }
}
