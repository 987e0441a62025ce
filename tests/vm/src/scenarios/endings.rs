//! All the ways in which a trace ends.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::bpf_objects::BpfObjects;
use crate::findings::Findings;
use crate::lab::Setup;
use crate::process::Process;
use crate::scenario::{self, Scenario, Scene};
use crate::scenarios::places::one_line;
use crate::summary::Summary;
use crate::trial::{self, FAST, Stage};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("sigint", |s| signalled(s, libc::SIGINT)).short(),
    Scenario::new("sigterm", |s| signalled(s, libc::SIGTERM)),
    Scenario::new("sighup", |s| signalled(s, libc::SIGHUP)),
    Scenario::new("sigkill", sigkill).both(),
    Scenario::new("duration", duration),
    Scenario::new("command-false", |s| command_status(s, &["false"], 1)),
    Scenario::new("command-exit-7", |s| {
        command_status(s, &["sh", "-c", "exit 7"], 7)
    }),
    Scenario::new("command-missing", command_missing),
    Scenario::new("usage", usage),
    Scenario::new("table", table),
    Scenario::new("closed-pipe", closed_pipe),
    Scenario::new("full-disk", full_disk),
];

const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a trace without an end on a host with a consumer, and waits until it counts.
fn endless(scene: &Scene<'_>) -> Result<Process> {
    let command = trial::trace_command(scene.lab, scene.form, &[]);
    let mut process = Process::start(&scene.lab.directory, command)?;
    process.until("counting", PATIENCE, |p| {
        p.output().contains("\"interval\"")
    })?;
    Ok(process)
}

fn signalled(scene: &mut Scene<'_>, signal: i32) -> Result<()> {
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let process = endless(scene)?;
    process.signal(signal)?;
    let begin = Instant::now();
    let ended = process.wait(PATIENCE)?;
    let took = begin.elapsed();
    stage.strike()?;
    scene
        .log
        .push(format!("exit {}: {}", ended.code(), ended.stderr));
    let mut findings = Findings::default();
    findings.equal("exit status", ended.code(), 0);
    findings.that(took < Duration::from_secs(5), || {
        format!("took {took:?} to end")
    });
    findings.take(Summary::parse(&ended.stdout));
    findings.verdict()
}

/// Killed outright: the kernel detaches all by itself.
fn sigkill(scene: &mut Scene<'_>) -> Result<()> {
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let before = BpfObjects::count()?;
    let process = endless(scene)?;
    let during = BpfObjects::count()?;
    process.signal(libc::SIGKILL)?;
    drop(process.wait(PATIENCE)?);
    let left = scenario::gone(before);
    stage.strike()?;
    ensure!(
        during.programs > before.programs,
        "no program was loaded: {during:?}"
    );
    left
}

fn duration(scene: &mut Scene<'_>) -> Result<()> {
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let mut command = trial::trace_command(scene.lab, scene.form, &[]);
    command.args(["--duration", "1s"]);
    let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
    stage.strike()?;
    scene.log.push(format!(
        "exit {}: {} {}",
        ended.code(),
        ended.stderr,
        ended.stdout
    ));
    let mut findings = Findings::default();
    findings.equal("exit status", ended.code(), 0);
    let summary = Summary::parse(&ended.stdout)?;
    let window = summary.number("duration_ns")?;
    findings.between("duration_ns", window, 1_000_000_000, 3_000_000_000);
    let intervals = ended.stdout.matches("\"interval\"").count();
    findings.between("intervals", intervals, 1, 4);
    findings.verdict()
}

fn command_status(scene: &mut Scene<'_>, words: &[&str], expected: i32) -> Result<()> {
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let mut command = trial::trace_command(scene.lab, scene.form, &[]);
    command.arg("--").args(words);
    let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
    stage.strike()?;
    scene
        .log
        .push(format!("exit {}: {}", ended.code(), ended.stderr));
    let mut findings = Findings::default();
    findings.equal("exit status", ended.code(), expected);
    findings.take(Summary::parse(&ended.stdout));
    findings.verdict()
}

fn command_missing(scene: &mut Scene<'_>) -> Result<()> {
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let mut command = trial::trace_command(scene.lab, scene.form, &[]);
    command.args(["--", "/no/such/program"]);
    let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
    stage.strike()?;
    scene
        .log
        .push(format!("exit {}: {}", ended.code(), ended.stderr));
    let mut findings = Findings::default();
    findings.equal("exit status", ended.code(), 127);
    one_line(&ended, 0, &mut findings);
    findings.that(ended.stderr.contains("/no/such/program"), || {
        "it is not named".to_owned()
    });
    findings.verdict()
}

fn usage(scene: &mut Scene<'_>) -> Result<()> {
    let mut findings = Findings::default();
    let wrong: [&[&str]; 5] = [
        &["trace", "--interval", "soon"],
        &["trace", "--attach", "glue"],
        &["trace", "--no-such-option"],
        &["no-such-command"],
        &[],
    ];
    for arguments in wrong {
        let mut command = Command::new(&scene.lab.auditwatch);
        command.args(arguments);
        let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
        findings.equal(&format!("exit status of {arguments:?}"), ended.code(), 2);
        findings.that(!ended.stderr.is_empty(), || {
            format!("{arguments:?}: nothing on stderr")
        });
    }
    findings.verdict()
}

/// The default format says what happened in words.
fn table(scene: &mut Scene<'_>) -> Result<()> {
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let (storm, _) = stage.storm("--syscall 100");
    let mut command = Command::new(&scene.lab.auditwatch);
    command.args(["trace", "--"]).args(storm);
    let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
    stage.strike()?;
    scene.log.push(format!(
        "exit {}: {} {}",
        ended.code(),
        ended.stderr,
        ended.stdout
    ));
    let mut findings = Findings::default();
    findings.equal("exit status", ended.code(), 0);
    findings.that(ended.stdout.contains("300"), || {
        "300 records are not shown".to_owned()
    });
    findings.that(!ended.stdout.contains('{'), || {
        "that is no table".to_owned()
    });
    findings.verdict()
}

/// The reader goes away after one line: the trace ends in order.
fn closed_pipe(scene: &mut Scene<'_>) -> Result<()> {
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let mut command = Command::new(&scene.lab.auditwatch);
    let errors = scene.lab.directory.join("pipe.err");
    let mut child = command
        .args([
            "trace",
            "--quiet",
            "--format",
            "json",
            "--interval",
            "100ms",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&errors)?)
        .spawn()
        .context("starting auditwatch")?;
    let pipe = child.stdout.take().context("no pipe")?;
    let mut line = String::new();
    BufReader::new(pipe).read_line(&mut line)?;
    // The reader is gone here. The next line finds nobody.
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            stage.strike()?;
            anyhow::bail!("it goes on writing to nobody");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    stage.strike()?;
    let said = std::fs::read_to_string(&errors)?;
    scene.log.push(format!("{status}: {said}"));
    let mut findings = Findings::default();
    findings.that(line.starts_with('{'), || format!("first line: {line}"));
    findings.that(!said.contains("panicked"), || "it panicked".to_owned());
    findings.that(status.code() == Some(0), || {
        format!("{status}, expected exit status 0")
    });
    findings.that(said.is_empty(), || format!("it is not silent: {said}"));
    findings.verdict()
}

/// Standard output on a file system without room: the error names that.
fn full_disk(scene: &mut Scene<'_>) -> Result<()> {
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let disk = scene.lab.directory.join("disk");
    std::fs::create_dir_all(&disk)?;
    crate::sys::mount("tmpfs".as_ref(), &disk, "tmpfs", 0, "size=64k")?;
    let result = on_full_disk(scene, &disk);
    crate::sys::unmount(&disk)?;
    stage.strike()?;
    result
}

fn on_full_disk(scene: &mut Scene<'_>, disk: &std::path::Path) -> Result<()> {
    let output = std::fs::File::create(disk.join("out"))?;
    let filled = std::fs::write(disk.join("rest"), vec![0; 128 * 1024]);
    ensure!(filled.is_err(), "the disk is not full");
    let mut command = trial::trace_command(scene.lab, scene.form, &[]);
    command.args(["--duration", "1s"]);
    let errors = scene.lab.directory.join("disk.err");
    let status = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(std::fs::File::create(&errors)?)
        .status()?;
    let said = std::fs::read_to_string(&errors)?;
    scene.log.push(format!("{status}: {said}"));
    let mut findings = Findings::default();
    findings.that(status.code() == Some(1), || {
        format!("{status}, expected exit status 1")
    });
    findings.that(said.contains("No space left"), || {
        format!("the cause is not named: {said}")
    });
    findings.that(!said.contains("panicked"), || "it panicked".to_owned());
    findings.verdict()
}
