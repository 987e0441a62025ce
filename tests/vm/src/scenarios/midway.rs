//! Traces that begin and end in the middle of a storm.

use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
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
const PATIENCE: Duration = Duration::from_mins(3);
/// Shape of the storm. Attaching and detaching wait, for each program, until `kauditd` has slept; on one CPU a
/// storm without a lull keeps it from that for as long as it lasts.
const STORM: Duration = Duration::from_millis(200);
const LULL: Duration = Duration::from_millis(20);

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
    let result = thread::scope(|scope| {
        let (over, news) = mpsc::channel();
        let storm = &storm;
        let lulls = scope.spawn(move || with_lulls(storm, &news));
        let result = traces(scene);
        drop(over);
        lulls.join().expect("the lulls do not panic").and(result)
    });
    drop(storm);
    stage.strike()?;
    result
}

/// Halts the storm again and again until the other side of `news` is gone.
fn with_lulls(storm: &Process, news: &mpsc::Receiver<()>) -> Result<()> {
    while news.recv_timeout(STORM) == Err(RecvTimeoutError::Timeout) {
        storm.signal(libc::SIGSTOP)?;
        thread::sleep(LULL);
        storm.signal(libc::SIGCONT)?;
    }
    Ok(())
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
