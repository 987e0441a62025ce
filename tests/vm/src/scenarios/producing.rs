//! Who makes the records: USER messages, threads, programs, short-lived processes.

use anyhow::Result;

use crate::rule::Rule;
use crate::scenario::{Scenario, Scene};
use crate::trial::Trial;
use crate::wire;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("user-messages", user_messages).short().both(),
    Scenario::new("user-and-syscalls", user_and_syscalls),
    Scenario::new("four-threads", four_threads).both(),
    Scenario::new("short-lived-processes", short_lived_processes),
    Scenario::new("programs", programs),
    Scenario::new("long-arguments", long_arguments),
];

/// An ordinary user, so that rules can tell the producers from the harness.
const USER: u32 = 1000;

fn exec_rule() -> Rule {
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
