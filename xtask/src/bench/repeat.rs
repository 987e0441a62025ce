//! `cargo xtask bench repeat`: storms come in, whether each came to the same in every boot goes out.
//!
//! The guests' clock counts instructions, and nothing in them is left to chance: the same storm must make the same records,
//! losses and stalls, at the same times.

use std::{num::NonZeroU32, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::Value;

use super::storms::Stage;
use crate::{duration, kernels::Release};

/// Boots guests that run the same storms, and compares what came of each.
#[derive(Args, Debug)]
pub(super) struct RepeatArgs {
    /// The guests' kernel.
    #[arg(long, default_value = "6.1")]
    kernel: Release,
    /// Number of boots.
    #[arg(long, default_value = "5")]
    times: NonZeroU32,
    /// When a guest is killed, such as 90s, 5m or 1h.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration::parse)]
    time_limit: Duration,
    /// Storms of the library; all without.
    storms: Vec<String>,
}

/// Fails where a storm came to different things.
pub(super) fn run(args: &RepeatArgs) -> Result<ExitCode> {
    let stage = Stage::set(args.kernel, args.time_limit)?;
    let script = script(&args.storms)?;
    let mut first: Option<Vec<Run>> = None;
    let mut differ = false;
    for boot in 1..=args.times.get() {
        let runs = stage
            .run(&script, &[])
            .and_then(|output| runs(&output))
            .with_context(|| format!("boot {boot}"))?;
        println!(
            "repeat: boot {boot} of {}: {} storms",
            args.times,
            runs.len()
        );
        match &first {
            None => first = Some(runs),
            Some(first) => {
                for difference in differences(first, &runs) {
                    println!("repeat: boot {boot}: {difference}");
                    differ = true;
                }
            }
        }
    }
    if !differ {
        println!("repeat: every storm came to the same {} times", args.times);
    }
    Ok(ExitCode::from(u8::from(differ)))
}

/// Runs each storm, and prints its name and its report.
fn script(storms: &[String]) -> Result<String> {
    for storm in storms {
        let sane = storm.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        ensure!(sane && !storm.is_empty(), "{storm:?} is no name of a storm");
    }
    let storms = if storms.is_empty() {
        "$(auditwatch bench list | cut -d' ' -f1)".to_owned()
    } else {
        storms.join(" ")
    };
    Ok(format!(
        "for storm in {storms}; do auditwatch bench run $storm --json >/tmp/report || exit; \
         echo $storm $(tail -n 1 /tmp/report); done"
    ))
}

/// What one storm came to.
#[derive(Debug, PartialEq)]
struct Run {
    storm: String,
    report: Value,
}

fn runs(output: &str) -> Result<Vec<Run>> {
    let runs: Vec<Run> = output
        .lines()
        .map(|line| {
            let (storm, report) = line.split_once(' ').unwrap_or((line, ""));
            let report = serde_json::from_str(report)
                .with_context(|| format!("cannot read the report of {storm}"))?;
            Ok(Run {
                storm: storm.to_owned(),
                report,
            })
        })
        .collect::<Result<_>>()?;
    ensure!(!runs.is_empty(), "the guest ran no storm");
    Ok(runs)
}

/// What differs, a line for each place.
fn differences(first: &[Run], again: &[Run]) -> Vec<String> {
    if first.len() != again.len() {
        return vec![format!("{} storms, not {}", again.len(), first.len())];
    }
    let mut found = Vec::new();
    for (first, again) in first.iter().zip(again) {
        compare(&first.storm, &first.report, &again.report, &mut found);
    }
    found
}

fn compare(path: &str, first: &Value, again: &Value, found: &mut Vec<String>) {
    match (first, again) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            for (key, value) in a {
                compare(&format!("{path}.{key}"), value, &b[key], found);
            }
        }
        _ if first == again => {}
        _ => found.push(format!("{path} is {again}, and was {first}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str =
        "a {\"lost\":3,\"depth\":{\"max\":7}}\nb {\"lost\":0,\"depth\":{\"max\":1}}\n";

    #[test]
    fn differences_are_named() {
        let boot = |text: &str| runs(text).expect("runs");
        assert_eq!(differences(&boot(BOOT), &boot(BOOT)), [""; 0]);
        let other = BOOT.replace("\"max\":7", "\"max\":8");
        assert_eq!(
            differences(&boot(BOOT), &boot(&other)),
            ["a.depth.max is 8, and was 7"]
        );
        let fewer = BOOT.lines().next().expect("a line");
        assert_eq!(differences(&boot(BOOT), &boot(fewer)), ["1 storms, not 2"]);
    }

    #[test]
    fn empty_output_is_not_a_run() {
        assert!(runs("").is_err());
        assert!(runs("a \n").is_err());
        assert!(script(&["a; reboot".to_owned()]).is_err());
        assert!(script(&[]).is_ok_and(|script| script.contains("bench list")));
    }
}
