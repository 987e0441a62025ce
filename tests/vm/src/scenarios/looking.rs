//! `auditwatch status` makes no record, and says what keeps records from being written.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::auditd::AUDITCTL;
use crate::board::{Board, Slot};
use crate::findings::Findings;
use crate::lab::Setup;
use crate::netlink;
use crate::process::Process;
use crate::scenario::{Boot, Scenario, Scene};
use crate::trial::{Consumer, FAST, Stage};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("status-makes-no-record", makes_no_record).short(),
    Scenario::new("status-warns", warns).short(),
    Scenario::new("status-is-quick", is_quick).boot(Boot::Clock),
];

/// Longest time that `status` takes more than `auditctl -s`. The clock counts instructions, one a
/// nanosecond; a real CPU runs at least twice as many, so this is a tenth of a second there.
const MORE_THAN_AUDITCTL: Duration = Duration::from_millis(200);
/// The same if VMCOREINFO does not name the kernel's table of symbols (before 6.0): the kernel writes
/// the text of 5 MB.
const WITH_SYMBOLS_AS_TEXT: Duration = Duration::from_millis(300);

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

/// `status` against `auditctl -s`, the best of three each.
fn is_quick(scene: &mut Scene<'_>) -> Result<()> {
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let directory = &scene.lab.directory;
    let best = |program: &Path, argument: &str| -> Result<Duration> {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let mut command = Command::new(program);
            command.arg(argument);
            let begin = Instant::now();
            let ended = Process::start(directory, command)?.wait(PATIENCE)?;
            best = best.min(begin.elapsed());
            ensure!(ended.code() == 0, "{}: {}", program.display(), ended.stderr);
        }
        Ok(best)
    };
    let auditctl = best(Path::new(AUDITCTL), "-s");
    let status = best(&scene.lab.auditwatch, "status");
    stage.strike()?;
    let (auditctl, status) = (auditctl?, status?);
    println!("# status {status:?}, auditctl -s {auditctl:?}");
    let has_table = fs::read_to_string("/proc/sys/kernel/osrelease")?
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok())
        .is_some_and(|major| major >= 6);
    let most = if has_table {
        MORE_THAN_AUDITCTL
    } else {
        WITH_SYMBOLS_AS_TEXT
    };
    let mut findings = Findings::default();
    findings.that(status <= auditctl + most, || {
        format!("status takes {status:?}, auditctl -s {auditctl:?}, more than {most:?} apart")
    });
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
