//! `auditwatch status` makes no record, and says what keeps records from being written.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::board::{Board, Slot};
use crate::findings::Findings;
use crate::lab::Setup;
use crate::netlink;
use crate::process::Process;
use crate::scenario::{Scenario, Scene};
use crate::trial::{Consumer, FAST, Stage};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("status-makes-no-record", makes_no_record).short(),
    Scenario::new("status-warns", warns).short(),
];

const PATIENCE: Duration = Duration::from_secs(40);

/// What `status` says.
fn status(scene: &mut Scene<'_>) -> Result<Value> {
    let mut command = Command::new(&scene.lab.auditwatch);
    command.args(["status", "--json"]);
    let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
    scene.log.push(format!("{} {}", ended.stdout, ended.stderr));
    serde_json::from_str(&ended.stdout)
        .with_context(|| format!("exit {}: {}", ended.code(), ended.stderr))
}

/// The sink receives no record of it, and loading a program would make some (`AUDIT_BPF`). What it says
/// is what the kernel says.
fn makes_no_record(scene: &mut Scene<'_>) -> Result<()> {
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let board = Board::open(&scene.lab.board())?;
    let watch = scene.lab.watch()?;
    watch.wait(PATIENCE)?;
    let before = board.read(Slot::Received);
    let said = status(scene)?;
    watch.wait(PATIENCE)?;
    let after = board.read(Slot::Received);
    let truth = netlink::status()?;
    stage.strike()?;
    let mut findings = Findings::default();
    findings.equal("records made", after, before);
    for (name, expected) in [
        ("/enabled", truth.enabled),
        ("/failure", truth.failure),
        ("/auditd/pid", truth.pid),
        ("/rate_limit", truth.rate_limit),
        ("/backlog_limit", truth.backlog_limit),
        ("/lost", truth.lost),
    ] {
        let got = said.pointer(name).and_then(Value::as_u64);
        findings.that(got == Some(expected.into()), || {
            format!("{name}: expected {expected}, got {got:?}")
        });
    }
    findings.verdict()
}

/// A stopped process, nobody, and auditing that is off.
fn warns(scene: &mut Scene<'_>) -> Result<()> {
    let mut findings = Findings::default();
    let mut expect = |scene: &mut Scene<'_>, words: Option<&str>| -> Result<()> {
        let warnings = status(scene)?["warnings"].to_string();
        findings.that(
            words.map_or(warnings == "[]", |words| warnings.contains(words)),
            || format!("expected {words:?}, got {warnings}"),
        );
        Ok(())
    };
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let pid = Board::open(&scene.lab.board())?.sink().context("no sink")?;
    expect(scene, None)?;
    crate::sys::kill(pid, libc::SIGSTOP)?;
    expect(scene, Some(&format!("is stopped (T): kill -CONT {pid}")))?;
    crate::sys::kill(pid, libc::SIGCONT)?;
    stage.strike()?;
    let stage = Stage::set(scene.lab, &Setup::default(), Consumer::None)?;
    expect(scene, Some("not registered (pid 0)"))?;
    netlink::AuditSocket::open()?.set(crate::wire::Setting::Enabled(0))?;
    expect(scene, Some("auditing is off (enabled 0)"))?;
    netlink::AuditSocket::open()?.set(crate::wire::Setting::Enabled(1))?;
    stage.strike()?;
    findings.verdict()
}
