//! Hosts that were booted with `audit=1` or `audit=0`.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::accounting::signed;
use crate::findings::Findings;
use crate::process::Process;
use crate::scenario::{Boot, Scenario, Scene};
use crate::scenarios::places::one_line;
use crate::trial::{Consumer, Trial};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("hold-overflow", hold_overflow)
        .boot(Boot::Audit1)
        .both(),
    Scenario::new("held-then-delivered", held_then_delivered).boot(Boot::Audit1),
    Scenario::new("fast-consumer-audit1", fast_consumer).boot(Boot::Audit1),
    Scenario::new("trace-refuses", |s| {
        refuses(s, &["trace", "--duration", "1s"])
    })
    .boot(Boot::Audit0),
    Scenario::new("trace-json-refuses", |s| {
        refuses(s, &["trace", "--format", "json", "--duration", "1s"])
    })
    .boot(Boot::Audit0),
    Scenario::new("status-refuses", |s| refuses(s, &["status"])).boot(Boot::Audit0),
    Scenario::new("doctor-refuses", |s| refuses(s, &["doctor"])).boot(Boot::Audit0),
];

/// Nobody registered, and more records than the hold queue takes: the rest is lost, and here the
/// kernel counts it.
fn hold_overflow(scene: &mut Scene<'_>) -> Result<()> {
    let trial = Trial::new("--syscall 200 --gap-us 2000")
        .limit(64)
        .consumer(Consumer::None);
    let seen = scene.trial(&trial)?;
    let books = &seen.books;
    let mut findings = seen.common();
    findings.at_least("dropped.hold_overflow", books.hold_overflow, 1);
    findings.equal("dropped.silent", books.silent, 0);
    findings.equal("delivered", books.delivered, 0);
    findings.at_least("held", seen.summary.number("ledger.held")?, 1);
    let end = seen.summary.number("depth.hold_end")?;
    findings.between("depth.hold_end", end, 60, 65);
    findings.verdict()
}

/// What is held is delivered when somebody comes.
fn held_then_delivered(scene: &mut Scene<'_>) -> Result<()> {
    let storm = "--syscall 600 --gap-us 2000 --at 200:leave-sink --at 600:kill-sink \
                 --at 700:start-sink --rcvbuf 8388608";
    let seen = scene.trial(&Trial::new(storm))?;
    let books = &seen.books;
    let mut findings = seen.common();
    findings.at_least("held", seen.summary.number("ledger.held")?, 1);
    findings.equal("losses", books.losses(), 0);
    findings.equal(
        "hold queue at the end",
        seen.summary.number("depth.hold_end")?,
        0,
    );
    findings.at_least("received", signed(seen.report.received()), 1800);
    findings.verdict()
}

fn fast_consumer(scene: &mut Scene<'_>) -> Result<()> {
    let seen = scene.trial(&Trial::new("--syscall 1000"))?;
    let mut findings = seen.common();
    seen.no_loss(&mut findings);
    findings.near("attempted", seen.books.attempted, 3000, seen.books.missed);
    findings.verdict()
}

/// With auditing off for good there is nothing to trace: said in one line, with a failure.
fn refuses(scene: &mut Scene<'_>, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(&scene.lab.auditwatch);
    command.args(arguments);
    let ended = Process::start(&scene.lab.directory, command)?.wait(Duration::from_secs(20))?;
    scene.log.push(format!(
        "exit {}: {} {}",
        ended.code(),
        ended.stderr,
        ended.stdout
    ));
    let mut findings = Findings::default();
    findings.equal("exit status", ended.code(), 1);
    let said = format!(
        "{}{}",
        ended.stderr,
        if arguments[0] == "doctor" {
            &ended.stdout
        } else {
            ""
        }
    );
    findings.that(said.contains("audit=0"), || {
        format!("audit=0 is not named: {said}")
    });
    if arguments[0] != "doctor" {
        one_line(&ended, 0, &mut findings);
    }
    findings.verdict()
}
