//! What loading programs does to a host: never a panic, no lost record that is not owned up to, no record that is not
//! counted.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::board::{Board, Slot};
use crate::findings::Findings;
use crate::lab::Setup;
use crate::netlink::AuditSocket;
use crate::process::{Ended, Process};
use crate::rule::Rule;
use crate::scenario::{Scenario, Scene, Skipped, rounds};
use crate::summary::Summary;
use crate::trial::{Consumer, Form, Stage};
use crate::wire::{self, Setting};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("loading-never-panics", never_panics).short(),
    Scenario::new("loading-owns-up-to-its-losses", owns_up).both(),
    Scenario::new("loading-counts-its-records", counts_its_records)
        .short()
        .both(),
];

const LIMIT: u64 = 64;
const PATIENCE: Duration = Duration::from_mins(2);
/// Slower than the writers, but a full socket is empty again within a few milliseconds: `kauditd` gives a record up after
/// half a second of a socket that was never empty, and that loss would be the host's own.
const SLOW: Consumer = Consumer::Sink {
    per_record_us: 300,
    rcvbuf: Some(32_768),
};
/// Failure modes (`AUDIT_FAIL_PRINTK`, `AUDIT_FAIL_PANIC`, uapi).
const PRINT: u32 = 1;
const PANIC: u32 = 2;
/// Every command that looks at the live host by programs.
const COMMANDS: [&[&str]; 3] = [
    &["trace", "--duration", "100ms", "--json"],
    &["recommend", "--for", "100ms"],
    &["doctor"],
];

/// Every command that looks at it by other means.
const LOOKS: [&[&str]; 2] = [
    &["status"],
    &["trace", "--source", "poll", "--duration", "100ms"],
];

/// A host whose queue is full as often as its tasks can make it, and whose tasks wait and lose nothing.
struct Pressure<'a> {
    stage: Stage<'a>,
    writers: Process,
}

impl<'a> Pressure<'a> {
    fn begin(scene: &Scene<'a>) -> Result<Self> {
        let setup = Setup {
            limit: u32::try_from(LIMIT)?,
            ..Setup::default()
        };
        let stage = Stage::set(scene.lab, &setup, SLOW)?;
        let (words, _) = stage.storm("--threads 4 --syscall 100000000");
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        let mut writers = Process::start(&scene.lab.directory, command)?;
        let memory = scene
            .lab
            .memory()?
            .ok_or_else(|| Skipped("the kernel's variables cannot be read here".to_owned()))?;
        writers.until("the queue full", PATIENCE, |_| {
            memory.read().is_ok_and(|words| words.main > LIMIT)
        })?;
        Ok(Self { stage, writers })
    }

    fn end(self) -> Result<()> {
        AuditSocket::open()?.set_unanswered(Setting::Failure(PRINT))?;
        self.writers.signal(libc::SIGKILL)?;
        drop(self.writers.wait(PATIENCE)?);
        self.stage.strike()
    }
}

fn run(scene: &Scene<'_>, words: &[&str]) -> Result<Ended> {
    let mut command = Command::new(&scene.lab.auditwatch);
    command.args(words);
    Process::start(&scene.lab.directory, command)?.wait(PATIENCE)
}

/// A short trace in the scenario's form; its summary.
fn trace(scene: &Scene<'_>) -> Result<Summary> {
    let mut words = vec!["trace", "--duration", "100ms", "--json"];
    if scene.form != Form::Auto {
        words.extend(["--attach", scene.form.name()]);
    }
    Summary::parse(&run(scene, &words)?.stdout)
}

/// Under `-f 2` nothing is loaded, and that is said in one line, until the rule is there that keeps the records out.
/// The guest's life is the proof.
fn never_panics(scene: &mut Scene<'_>) -> Result<()> {
    let pressure = Pressure::begin(scene)?;
    let outcome = under_panic(scene, &pressure.stage.board()?);
    pressure.end()?;
    outcome?.verdict()
}

fn under_panic(scene: &mut Scene<'_>, board: &Board) -> Result<Findings> {
    let mut findings = Findings::default();
    AuditSocket::open()?.set_unanswered(Setting::Failure(PANIC))?;
    for words in COMMANDS {
        let ended = run(scene, words)?;
        let said = format!("{}{}", ended.stdout, ended.stderr);
        findings.equal(&format!("{words:?}: exit status"), ended.code(), 1);
        findings.that(
            said.contains("msgtype=BPF") && said.contains("--accept-panic-risk"),
            || format!("{words:?} does not name the ways out: {said}"),
        );
        let lines = ended.stderr.lines().count();
        findings.that(lines <= 1, || {
            format!("{words:?} takes {lines} lines: {}", ended.stderr)
        });
    }
    let made = board.types().get(&wire::BPF).copied().unwrap_or(0);
    findings.equal("BPF records without the rule", made, 0);
    let status = run(scene, &["status"])?;
    findings.equal("status: exit status", status.code(), 0);
    AuditSocket::open()?.add_rule(&Rule::exclude(wire::BPF))?;
    for _ in 0..rounds(1) {
        for words in COMMANDS.into_iter().chain(LOOKS) {
            let ended = run(scene, words)?;
            findings.that(matches!(ended.code(), 0 | 3), || {
                format!("{words:?}: exit {}: {}", ended.code(), ended.stderr)
            });
        }
    }
    let made = board.types().get(&wire::BPF).copied().unwrap_or(0);
    findings.equal("BPF records with the rule", made, 0);
    Ok(findings)
}

/// On a host that loses nothing, all that is lost while auditwatch comes and goes is its own, and it says how much.
fn owns_up(scene: &mut Scene<'_>) -> Result<()> {
    let pressure = Pressure::begin(scene)?;
    let outcome = losses(scene);
    pressure.end()?;
    outcome?.verdict()
}

fn losses(scene: &mut Scene<'_>) -> Result<Findings> {
    let mut findings = Findings::default();
    let memory = scene
        .lab
        .memory()?
        .context("the kernel's variables could be read before")?;
    let lost = || Ok::<_, anyhow::Error>(i64::try_from(memory.read()?.lost)?);
    for round in 0..rounds(2) {
        let before = lost()?;
        let summary = trace(scene)?;
        let growth = lost()? - before;
        let own = summary.number("own.lost")?;
        scene
            .log
            .push(format!("round {round}: {growth} lost, {own} own"));
        findings.equal(&format!("round {round}: own.lost"), own, growth);
    }
    Ok(findings)
}

/// What the report says that tracing added is what the consumer got. Status adds nothing.
fn counts_its_records(scene: &mut Scene<'_>) -> Result<()> {
    let quick = Consumer::Sink {
        per_record_us: 0,
        rcvbuf: None,
    };
    let stage = Stage::set(scene.lab, &Setup::default(), quick)?;
    let outcome = additions(scene, &stage);
    stage.strike()?;
    outcome?.verdict()
}

fn additions(scene: &Scene<'_>, stage: &Stage<'_>) -> Result<Findings> {
    let mut findings = Findings::default();
    let (lab, board) = (scene.lab, stage.board()?);
    let path = stage.board_path()?;
    let settled = || -> Result<i64> {
        lab.watch()?.board(Some(&path))?.wait(PATIENCE)?;
        Ok(i64::try_from(board.read(Slot::Received))?)
    };
    let before = settled()?;
    let summary = trace(scene)?;
    let added = settled()? - before;
    findings.between(
        "records that were added",
        added,
        summary.number("own.records")?,
        summary.number("own.records_most")?,
    );
    findings.at_least("own.records", summary.number("own.records")?, 5);
    findings.equal("own.lost", summary.number("own.lost")?, 0);
    let before = settled()?;
    let status = run(scene, &["status"])?;
    findings.equal("status: exit status", status.code(), 0);
    findings.equal("records of status", settled()? - before, 0);
    Ok(findings)
}
