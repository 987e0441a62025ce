//! The live table: what a person sees of a storm on a terminal, and that its rows add up.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::producing::exec_rule;
use crate::findings::Findings;
use crate::lab::Setup;
use crate::process::Process;
use crate::scenario::{Boot, Scenario, Scene};
use crate::terminal;
use crate::trial::{Consumer, FAST, Stage, Trial};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("live-table-of-a-storm", of_a_storm).short(),
    Scenario::new("live-table-keeps-its-interval", keeps_its_interval).boot(Boot::Clock),
];

const COLUMNS: u16 = 80;
const PATIENCE: Duration = Duration::from_mins(1);
const SECOND_NS: i64 = 1_000_000_000;

/// More records than a limit of 64 has room for: no line is wider than the terminal, the gauge is full and red
/// while records are lost, and the rows come to the summary.
fn of_a_storm(scene: &mut Scene<'_>) -> Result<()> {
    let setup = Trial::new("").limit(64).wait_ms(0).setup;
    let slow = Consumer::Sink {
        per_record_us: 1000,
        rcvbuf: None,
    };
    let recording = scene.lab.directory.join("live-table.zst");
    let text = traced(scene, &setup, slow, "--syscall 3000", "500ms", &recording)?;
    let mut findings = Findings::default();
    for line in terminal::lines(&text) {
        findings.that(line.chars().count() <= usize::from(COLUMNS), || {
            format!("wider than {COLUMNS} columns: {line}")
        });
    }
    findings.that(text.contains("[\u{1b}[1m\u{1b}[31m"), || {
        "no gauge is red".to_owned()
    });
    findings.that(text.contains("FULL"), || "no gauge is full".to_owned());
    let (intervals, summary) = replayed(scene, &recording)?;
    findings.at_least("lost", number(&summary, "/lost")?, 100);
    for path in ["/ledger/attempted", "/ledger/drained", "/lost"] {
        let parts: Result<Vec<i64>> = intervals.iter().map(|row| number(row, path)).collect();
        findings.equal(path, parts?.iter().sum::<i64>(), number(&summary, path)?);
    }
    for row in &intervals {
        let lost = number(row, "/ledger/dropped/backlog_limit")?;
        let peak = number(row, "/depth/interval_max")?;
        findings.that(lost == 0 || peak > 64, || {
            format!("{lost} records were dropped at a peak of {peak}")
        });
    }
    findings.verdict()
}

/// So many processes that looking for their names takes a while. A nanosecond is an instruction here: what is late is
/// late for the trace's own sake.
fn keeps_its_interval(scene: &mut Scene<'_>) -> Result<()> {
    let setup = Trial::new("").rules(vec![exec_rule()]).setup;
    let recording = scene.lab.directory.join("live-table.zst");
    let storm = "--exec 2900 --gap-us 4000 --uid 1000";
    traced(scene, &setup, FAST, storm, "1s", &recording)?;
    let (intervals, summary) = replayed(scene, &recording)?;
    let mut findings = Findings::default();
    let talkers = summary["talkers"].as_array().map_or(0, Vec::len);
    findings.that(talkers > 0, || "there are no talkers".to_owned());
    findings.at_least(
        "duration_ns",
        number(&summary, "/duration_ns")?,
        11 * SECOND_NS,
    );
    // The last one ends when the command does.
    let whole = intervals.split_last().map_or(&[][..], |(_, whole)| whole);
    for row in whole {
        findings.between(
            "duration_ns of an interval",
            number(row, "/duration_ns")?,
            SECOND_NS * 95 / 100,
            SECOND_NS * 105 / 100,
        );
    }
    findings.verdict()
}

/// A storm under a trace on a terminal, which is recorded; what the terminal got.
fn traced(
    scene: &mut Scene<'_>,
    setup: &Setup,
    consumer: Consumer,
    storm: &str,
    interval: &str,
    recording: &Path,
) -> Result<String> {
    drop(std::fs::remove_file(recording));
    let stage = Stage::set(scene.lab, setup, consumer)?;
    let (storm, _) = stage.storm(storm);
    let mut command = Command::new(&scene.lab.auditwatch);
    command.args(["trace", "--interval", interval, "--record"]);
    command.arg(recording).arg("--").args(storm);
    let text = terminal::run(COLUMNS, command);
    stage.strike()?;
    let text = text?;
    scene.log.push(text.clone());
    Ok(text)
}

/// The intervals and the summary of a recording.
fn replayed(scene: &Scene<'_>, recording: &Path) -> Result<(Vec<Value>, Value)> {
    let mut command = Command::new(&scene.lab.auditwatch);
    command.args(["replay", "--format", "json"]).arg(recording);
    let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
    let lines: Result<Vec<Value>, _> = ended.stdout.lines().map(serde_json::from_str).collect();
    let mut lines = lines.context("parsing the replay")?;
    let summary = lines.pop().context("the replay is empty")?;
    Ok((lines, summary))
}

fn number(value: &Value, path: &str) -> Result<i64> {
    let number = value.pointer(path).and_then(Value::as_i64);
    number.with_context(|| format!("{path} is no number"))
}
