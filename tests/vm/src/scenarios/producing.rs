//! Who makes the records: USER messages, threads, programs, short-lived processes.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::findings::Findings;
use crate::lab::Setup;
use crate::process::Process;
use crate::rule::Rule;
use crate::scenario::{Scenario, Scene};
use crate::summary::Summary;
use crate::trial::{Consumer, Stage, Trial, trace_command};
use crate::wire;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("user-messages", user_messages).short().both(),
    Scenario::new("user-and-syscalls", user_and_syscalls),
    Scenario::new("four-threads", four_threads).both(),
    Scenario::new("short-lived-processes", short_lived_processes),
    Scenario::new("programs", programs),
    Scenario::new("long-arguments", long_arguments),
    Scenario::new("command-and-others", command_and_others)
        .short()
        .both(),
    Scenario::new("command-in-audit", command_in_audit).short(),
];

const PATIENCE: Duration = Duration::from_mins(2);
/// An ordinary user, so that rules can tell the producers from the harness.
const USER: u32 = 1000;

/// Programs that this user runs.
pub(super) fn exec_rule() -> Rule {
    Rule::exit(&[libc::SYS_execve], "programs").for_uid(USER)
}

/// USER messages come through functions of kernel/audit.c that the compiler may have split or
/// inlined: the hooks must see them all the same.
fn user_messages(scene: &mut Scene<'_>) -> Result<()> {
    let seen = scene.trial(&Trial::new("--user 1000 --threads 2"))?;
    let mut findings = seen.common();
    seen.no_loss(&mut findings);
    findings.near("attempted", seen.books.attempted, 2000, seen.books.missed);
    seen.drained_of("USER", 2000, &mut findings);
    findings.verdict()
}

fn user_and_syscalls(scene: &mut Scene<'_>) -> Result<()> {
    let seen = scene.trial(&Trial::new("--user 600 --syscall 600 --threads 2"))?;
    let mut findings = seen.common();
    seen.no_loss(&mut findings);
    findings.near(
        "attempted",
        seen.books.attempted,
        4 * 1200,
        seen.books.missed,
    );
    findings.equal("USER received", seen.received_of(wire::USER), 1200);
    findings.verdict()
}

fn four_threads(scene: &mut Scene<'_>) -> Result<()> {
    let seen = scene.trial(&Trial::new("--syscall 800 --threads 4").limit(20_000))?;
    let mut findings = seen.common();
    seen.no_loss(&mut findings);
    findings.near("attempted", seen.books.attempted, 9600, seen.books.missed);
    findings.verdict()
}

fn short_lived_processes(scene: &mut Scene<'_>) -> Result<()> {
    let seen = scene.trial(&Trial::new("--syscall 5 --processes 30"))?;
    let mut findings = seen.common();
    seen.no_loss(&mut findings);
    findings.near("attempted", seen.books.attempted, 450, seen.books.missed);
    findings.verdict()
}

fn programs(scene: &mut Scene<'_>) -> Result<()> {
    let trial = Trial::new("--exec 50 --threads 2 --uid 1000").rules(vec![exec_rule()]);
    let seen = scene.trial(&trial)?;
    let mut findings = seen.common();
    seen.no_loss(&mut findings);
    findings.equal("SYSCALL received", seen.received_of(wire::SYSCALL), 100);
    findings.equal("EXECVE received", seen.received_of(wire::EXECVE), 100);
    seen.drained_of("EXECVE", 100, &mut findings);
    findings.verdict()
}

/// An argument of 20,000 bytes: `audit_expand`, and several EXECVE records an event.
fn long_arguments(scene: &mut Scene<'_>) -> Result<()> {
    let trial = Trial::new("--exec 20 --argv-bytes 20000 --uid 1000").rules(vec![exec_rule()]);
    let seen = scene.trial(&trial)?;
    let mut findings = seen.common();
    seen.no_loss(&mut findings);
    let pieces = seen.received_of(wire::EXECVE);
    findings.at_least("EXECVE received", pieces, 3 * 20);
    seen.drained_of("EXECVE", pieces, &mut findings);
    let received = seen.report.after.bytes - seen.report.before.bytes;
    findings.at_least("bytes received", received, 400_000);
    findings.verdict()
}

/// What others do beside the traced command is not the command's, be it records, losses or
/// stalls.
fn command_and_others(scene: &mut Scene<'_>) -> Result<()> {
    let setup = Setup {
        limit: 64,
        wait_ms: 60_000,
        // A shell asks for its parent as well.
        rules: vec![Rule::exit(&[libc::SYS_getppid], "storm").for_uid(USER)],
        ..Setup::default()
    };
    let slow = Consumer::Sink {
        per_record_us: 300,
        rcvbuf: None,
    };
    let stage = Stage::set(scene.lab, &setup, slow)?;
    let vmtest = std::env::current_exe().context("finding this program")?;
    // They begin at once, without waiting for the quiet that this trace may end.
    let mut others = Command::new(&vmtest);
    others.args("storm --syscall 1000000 --threads 2 --uid 1000".split(' '));
    let others = Process::start(&scene.lab.directory, others)?;
    let mut command = trace_command(scene.lab, scene.form, &[]);
    // A grandchild, with another child of the command's first process beside it.
    let load = format!(
        "{0} storm --syscall 150 --threads 2 --processes 2 --uid 1000; {0} storm --user 100",
        vmtest.display()
    );
    command.args(["--", "sh", "-c", &load]);
    let traced = Process::start(&scene.lab.directory, command).and_then(|p| p.wait(PATIENCE));
    others.signal(libc::SIGKILL)?;
    drop(others.wait(PATIENCE)?);
    stage.strike()?;
    let traced = traced?;
    scene
        .log
        .push(format!("{} {}", traced.stdout, traced.stderr));
    let summary = Summary::parse(&traced.stdout)?;
    let number = |path: &str| summary.number(path);
    let mut findings = Findings::default();
    let missed = number("ledger.missed")?;
    // Three records a call, one a message.
    let records = 3 * 150 * 2 * 2 + 100;
    findings.near(
        "command.records",
        number("command.records")?,
        records,
        missed,
    );
    findings.equal("command.lost", number("command.lost")?, 0);
    let all = number("ledger.attempted")?;
    findings.at_least("attempted in all", all, records + 100);
    for key in ["count", "total_ns"] {
        let (own, all) = (
            number(&format!("command.stalls.{key}"))?,
            number(&format!("stalls.{key}"))?,
        );
        findings.between(&format!("command.stalls.{key}"), own, 1, all - 1);
    }
    findings.verdict()
}

/// A command that does nothing but audited calls spends its time in audit; of one whose calls meet no rule
/// the kernel only looks whether they do.
fn command_in_audit(scene: &mut Scene<'_>) -> Result<()> {
    let mut findings = Findings::default();
    let share =
        |scene: &mut Scene<'_>, rules: Vec<Rule>, findings: &mut Findings| -> Result<[f64; 2]> {
            let trial = Trial {
                // 75,000 records, on a machine that may be busy.
                time_limit: 2 * PATIENCE,
                ..Trial::new("--syscall 25000").limit(0).rules(rules)
            };
            let seen = scene.trial(&trial)?;
            findings.take(seen.laws().verdict());
            let samples = seen.summary.number("command.samples.system")?;
            // Calls without records take a fast machine some 40 ms, of 397 samples a second.
            findings.at_least("samples in the kernel", samples, 10);
            let unplaced = seen.summary.number("command.samples.unplaced")?;
            findings.between("samples without a place", unplaced, 0, samples / 5);
            for path in ["command.user_ns", "command.system_ns"] {
                findings.at_least(path, seen.summary.number(path)?, 1);
            }
            let number = |path| seen.summary.at(path).as_f64().context("no share");
            Ok([
                number("command.system_in_audit")?,
                number("command.system_in_audit_error")?,
            ])
        };
    let rules = Setup::default().rules;
    let [audited, audited_error] = share(scene, rules, &mut findings)?;
    // Never met, so that the calls take the audited way out and make no record.
    let unmet = Rule::exit(&[libc::SYS_getppid], "unmet").for_uid(USER + 1);
    let [unaudited, unaudited_error] = share(scene, vec![unmet], &mut findings)?;
    // The kernel's look is audit's too, and such a call does little else: only what the samples can tell apart.
    findings.that(
        audited > 0.5 && audited - audited_error > unaudited + unaudited_error,
        || {
            format!(
                "audit's share is {audited} +- {audited_error} with records and {unaudited} +- {unaudited_error} \
                 without"
            )
        },
    );
    findings.verdict()
}
