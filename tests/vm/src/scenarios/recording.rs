//! Recordings: a replay prints what the trace printed, also after the recorder was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::findings::Findings;
use crate::lab::Setup;
use crate::process::{Ended, Process};
use crate::scenario::{Scenario, Scene};
use crate::summary::Summary;
use crate::trial::{self, FAST, Stage};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("replay-is-the-trace", replay_is_the_trace),
    Scenario::new("recorder-killed", recorder_killed),
    Scenario::new("recording-not-overwritten", recording_not_overwritten),
];

const PATIENCE: Duration = Duration::from_mins(1);
/// An hour at the default interval of a second.
const SAMPLES_AN_HOUR: u64 = 3600;
const MOST_BYTES_AN_HOUR: u64 = 10 << 20;

fn file(scene: &Scene<'_>) -> PathBuf {
    let path = scene.lab.directory.join("trace.zst");
    drop(fs::remove_file(&path));
    path
}

fn replay(scene: &Scene<'_>, path: &Path, format: &str) -> Result<Ended> {
    let mut command = Command::new(&scene.lab.auditwatch);
    command.args(["replay", "--format", format]).arg(path);
    Process::start(&scene.lab.directory, command)?.wait(PATIENCE)
}

/// Under a storm that loses records, in both formats.
fn replay_is_the_trace(scene: &mut Scene<'_>) -> Result<()> {
    let setup = Setup {
        limit: 64,
        wait_ms: 0,
        ..Setup::default()
    };
    let mut findings = Findings::default();
    for format in ["json", "table"] {
        let path = file(scene);
        let stage = Stage::set(scene.lab, &setup, FAST)?;
        let (storm, _) = stage.storm("--syscall 20000 --threads 4");
        let mut command = Command::new(&scene.lab.auditwatch);
        command.args([
            "trace",
            "--interval",
            "200ms",
            "--format",
            format,
            "--record",
        ]);
        command.arg(&path).arg("--").args(storm);
        let live = Process::start(&scene.lab.directory, command)?.wait(PATIENCE);
        stage.strike()?;
        let live = live?;
        let replayed = replay(scene, &path, format)?;
        scene.log.push(format!("live: {}", live.stdout));
        scene.log.push(format!("replayed: {}", replayed.stdout));
        findings.equal("status of the replay", replayed.code(), live.code());
        findings.that(live.stdout == replayed.stdout, || {
            format!("the replay as {format} differs")
        });
        if format == "json" {
            let samples = live.stdout.lines().count() as u64;
            let recording = fs::read(&path).context("the recording")?;
            // The frame's descriptor (RFC 8878, 3.1.1.1.1): a checksum ends it.
            findings.that(recording.get(4).is_some_and(|byte| byte & 4 != 0), || {
                "the recording has no checksum".to_owned()
            });
            let bytes = recording.len() as u64;
            findings.at_least("intervals", samples, 5);
            findings.between(
                "bytes an hour",
                bytes * SAMPLES_AN_HOUR / samples.max(1),
                1,
                MOST_BYTES_AN_HOUR,
            );
        }
    }
    findings.verdict()
}

/// What the trace had printed when it was killed is in the recording.
fn recorder_killed(scene: &mut Scene<'_>) -> Result<()> {
    let path = file(scene);
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let mut command = trial::trace_command(scene.lab, scene.form, &[]);
    command.arg("--record").arg(&path);
    let mut process = Process::start(&scene.lab.directory, command)?;
    process.until("at its third interval", PATIENCE, |p| {
        p.output().matches("\"interval\"").count() >= 3
    })?;
    process.signal(libc::SIGKILL)?;
    let live = process.wait(PATIENCE)?;
    stage.strike()?;
    let replayed = replay(scene, &path, "json")?;
    scene.log.push(format!("replayed: {}", replayed.stdout));
    let mut findings = Findings::default();
    findings.equal("status of the replay", replayed.code(), 0);
    findings.that(replayed.stdout.starts_with(&live.stdout), || {
        format!("what was live is not in the replay: {}", live.stdout)
    });
    findings.that(replayed.stdout.contains("cut off"), || {
        "the replay does not say that it is cut off".to_owned()
    });
    findings.take(Summary::parse(&replayed.stdout));
    findings.verdict()
}

/// A recording that is there is somebody's: it stays, and the trace does not begin.
fn recording_not_overwritten(scene: &mut Scene<'_>) -> Result<()> {
    let path = file(scene);
    fs::write(&path, "precious").context("writing a file")?;
    let mut command = trial::trace_command(scene.lab, scene.form, &[]);
    command.args(["--duration", "1s", "--record"]).arg(&path);
    let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
    scene.log.push(ended.stderr.clone());
    let mut findings = Findings::default();
    findings.equal("exit status", ended.code(), 1);
    findings.that(ended.stderr.contains("exists already"), || {
        format!("the cause is not named: {}", ended.stderr)
    });
    findings.that(fs::read_to_string(&path)? == "precious", || {
        "the file is not what it was".to_owned()
    });
    findings.verdict()
}
