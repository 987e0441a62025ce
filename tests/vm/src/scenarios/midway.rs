//! Traces that begin and end in the middle of a storm.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::findings::Findings;
use crate::lab::Setup;
use crate::process::Process;
use crate::scenario::{Scenario, Scene};
use crate::summary::Summary;
use crate::trial::{self, FAST, Stage};

pub const SCENARIOS: &[Scenario] =
    &[Scenario::new("begins-and-ends-midway", begins_and_ends_midway).short()];

const TRACES: u32 = 2;
const PRODUCERS: i64 = 4;
/// Attaching and detaching wait for grace periods, which a busy machine makes long.
const PATIENCE: Duration = Duration::from_mins(3);

/// A record that a task is just making as the window begins or ends is on neither side: one for each
/// producer at each end, at the most. Those who sleep and the rest of the queue are accounted for.
fn begins_and_ends_midway(scene: &mut Scene<'_>) -> Result<()> {
    let setup = Setup {
        limit: 64,
        ..Setup::default()
    };
    let stage = Stage::set(scene.lab, &setup, FAST)?;
    let mut storm = Command::new(std::env::current_exe().context("finding this program")?);
    storm.args(["storm", "--syscall", "1000000", "--threads"]);
    storm.arg(PRODUCERS.to_string());
    let storm = Process::start(&scene.lab.directory, storm)?;
    let result = traces(scene);
    drop(storm);
    stage.strike()?;
    result
}

fn traces(scene: &mut Scene<'_>) -> Result<()> {
    let mut findings = Findings::default();
    for _ in 0..TRACES {
        let mut command = trial::trace_command(scene.lab, scene.form, &[]);
        command.args(["--duration", "400ms"]);
        let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
        if let Some(line) = ended.stdout.lines().next_back() {
            scene.log.push(format!("summary: {line}"));
        }
        let summary = Summary::parse(&ended.stdout)?;
        findings.equal("exit status", ended.code(), 0);
        findings.at_least("attempted", summary.number("ledger.attempted")?, 1);
        findings.between(
            "ledger.residuals.queue",
            summary.number("ledger.residuals.queue")?,
            -2 * PRODUCERS,
            2 * PRODUCERS,
        );
        findings.between(
            "ledger.residuals.delivery",
            summary.number("ledger.residuals.delivery")?,
            -1,
            1,
        );
        findings.equal(
            "ledger.residuals.lost",
            summary.number("ledger.residuals.lost")?,
            0,
        );
    }
    findings.verdict()
}
