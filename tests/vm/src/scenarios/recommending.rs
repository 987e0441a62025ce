//! The recommendation, put to the test: the load is run again at the limit that was recommended.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::auditd::Auditd;
use crate::findings::Findings;
use crate::lab::Setup;
use crate::process::Process;
use crate::scenario::{Boot, Scenario, Scene};
use crate::storm_args::StormReport;
use crate::trial::{Consumer, Evidence, Stage, Trial};

pub const SCENARIOS: &[Scenario] = &[
    // What a busy machine does to the load is no part of the answer.
    Scenario::new("recommended-limit-suffices", recommended_limit_suffices)
        .boot(Boot::Clock)
        .both(),
    Scenario::new("recommended-after-waiting", recommended_after_waiting).boot(Boot::Clock),
    Scenario::new("recommend-watches", recommend_watches).short(),
    Scenario::new("recommend-reads-auditd", recommend_reads_auditd).short(),
];

const PATIENCE: Duration = Duration::from_mins(1);
/// More than the consumer can take while it lasts, so that nearly all of it must be queued.
const BURST: &str = "--syscall 150 --threads 2";
/// Microseconds that the consumer takes for a record.
const SINK_US: u64 = 1500;
/// Records that the burst makes at least, its 300 events having up to three each.
const RECORDS: i64 = 900;
/// Records that the default socket buffer (208 KiB) holds, with some room.
const SOCKET_RECORDS: i64 = 230;
const SLOW: Consumer = Consumer::Sink {
    per_record_us: SINK_US,
    rcvbuf: None,
};

fn trial(limit: u32, wait_ms: u32) -> Trial {
    Trial::new(BURST)
        .limit(limit)
        .wait_ms(wait_ms)
        .consumer(SLOW)
}

fn limit_of(seen: &Evidence, key: &str) -> Result<u32> {
    let value = seen.summary.number(&format!("recommendation.{key}"))?;
    u32::try_from(value).with_context(|| format!("recommendation.{key} is {value}"))
}

fn said(seen: &Evidence, verdict: &str, findings: &mut Findings) {
    let said = seen.summary.at("recommendation.verdict");
    findings.that(said == verdict, || {
        format!("verdict: expected {verdict}, got {said}")
    });
}

/// Records are lost at 64: with the recommended limit none are, with half the need some.
fn recommended_limit_suffices(scene: &mut Scene<'_>) -> Result<()> {
    let hurt = scene.trial(&trial(64, 0))?;
    let mut findings = hurt.common();
    said(&hurt, "raise", &mut findings);
    // The sink is not auditd, and no file of auditd's has a say in its pace.
    let cause = hurt.summary.at("recommendation.cause");
    findings.that(cause == "other_consumer", || {
        format!("cause: expected other_consumer, got {cause}")
    });
    findings.at_least("lost at 64", hurt.books.backlog_limit, 1);
    let again = scene.trial(&trial(limit_of(&hurt, "limit")?, 0))?;
    again.no_loss(&mut findings);
    let half = scene.trial(&trial(limit_of(&hurt, "needed")? / 2, 0))?;
    findings.at_least("lost at half the need", half.books.backlog_limit, 1);
    findings.verdict()
}

/// Tasks wait at 64: with the recommended limit none does.
fn recommended_after_waiting(scene: &mut Scene<'_>) -> Result<()> {
    let hurt = scene.trial(&trial(64, 60_000))?;
    let mut findings = hurt.common();
    said(&hurt, "raise", &mut findings);
    findings.at_least("stalls at 64", hurt.summary.number("stalls.count")?, 1);
    let again = scene.trial(&trial(limit_of(&hurt, "limit")?, 60_000))?;
    findings.equal("stalls", again.summary.number("stalls.count")?, 0);
    findings.verdict()
}

/// `auditwatch recommend` beside a load, ended by a signal.
fn recommend_watches(scene: &mut Scene<'_>) -> Result<()> {
    let setup = Setup {
        limit: 64,
        wait_ms: 0,
        ..Setup::default()
    };
    let stage = Stage::set(scene.lab, &setup, SLOW)?;
    let mut command = Command::new(&scene.lab.auditwatch);
    command.args(["recommend", "--for", "50s", "--json", "--policy", "cis"]);
    let mut watching = Process::start(&scene.lab.directory, command)?;
    watching.until("watching", PATIENCE, |p| p.errors().contains("counting"))?;
    let (storm, result) = stage.storm(BURST);
    let mut load = Command::new(&storm[0]);
    load.args(&storm[1..]);
    let loaded = Process::start(&scene.lab.directory, load)?.wait(PATIENCE)?;
    let report: StormReport =
        serde_json::from_slice(&fs::read(&result)?).context("parsing the storm's report")?;
    watching.signal(libc::SIGINT)?;
    let ended = watching.wait(PATIENCE)?;
    stage.strike()?;
    scene.log.push(format!(
        "exit {}, {} {}",
        ended.code(),
        ended.stdout,
        ended.stderr
    ));
    let mut findings = Findings::default();
    findings.equal("the load's exit status", loaded.code(), 0);
    findings.equal("exit status", ended.code(), 3);
    let answer: Value = serde_json::from_str(&ended.stdout).context("parsing the answer")?;
    findings.that(answer["verdict"] == "raise", || {
        format!("verdict: expected raise, got {}", answer["verdict"])
    });
    // The policy's limit is above what this load needs.
    findings.that(answer["limit"] == 8192, || {
        format!("limit: expected 8192, got {}", answer["limit"])
    });
    // The sink reads at most one record in its time, and its socket holds some 210 more. So the queue must hold
    // what is left, however long a busy machine takes for the load.
    let lasted_us = (report.produced_ns - report.began_ns) / 1000;
    let taken = i64::try_from(lasted_us / SINK_US)? + SOCKET_RECORDS;
    let needed = answer["needed"].as_i64().unwrap_or(0);
    findings.between("needed", needed, (RECORDS - taken).max(65), RECORDS + 50);
    findings.verdict()
}

/// The real auditd: its configuration, wherever that lies, is read and kept in the recording.
fn recommend_reads_auditd(scene: &mut Scene<'_>) -> Result<()> {
    scene.lab.clear()?;
    scene.lab.configure(&Setup::default())?;
    let auditd = Auditd::start(scene.lab)?;
    let pid = auditd.id();
    let recording = scene.lab.directory.join("reads-auditd.zst");
    drop(fs::remove_file(&recording));
    let run = |words: &[&str]| -> Result<String> {
        let mut command = Command::new(&scene.lab.auditwatch);
        command.args(words);
        let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
        ensure!(
            ended.code() == 0,
            "{words:?}: exit {}, {}",
            ended.code(),
            ended.stderr
        );
        Ok(ended.stdout)
    };
    let file = recording.to_str().context("a path that is no text")?;
    run(&["trace", "--duration", "300ms", "--record", file])?;
    auditd.end()?;
    let told = run(&["recommend", file, "--explain"])?;
    scene.log.push(told.clone());
    let mut findings = Findings::default();
    for words in [
        format!("consumer: auditd (pid {pid})"),
        "auditd/auditd.conf: flush = none, freq = 0, log_format = raw".to_owned(),
        "plugins: none".to_owned(),
    ] {
        findings.that(told.contains(&words), || {
            format!("the explanation has no {words:?}: {told}")
        });
    }
    findings.verdict()
}
