//! What the queue itself does: takes, refuses, makes wait, drops for the rate.

use std::time::Duration;

use anyhow::Result;

use crate::accounting::{getppid_attempts, wrapping};
use crate::findings::Findings;
use crate::netlink;
use crate::process::Process;
use crate::scenario::{Scenario, Scene, Skipped};
use crate::summary::Summary;
use crate::tasks;
use crate::trial::{self, Consumer, Stage, Trial};
use crate::wire;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("oracle", oracle).short(),
    Scenario::new("fast-consumer", fast_consumer).short().both(),
    Scenario::new("slow-consumer-lossy", slow_consumer_lossy)
        .short()
        .both(),
    Scenario::new("slow-consumer-waiting", slow_consumer_waiting)
        .short()
        .both(),
    Scenario::new("peak-below-the-limit", peak_below_the_limit)
        .short()
        .both(),
    Scenario::new("no-auditd", no_auditd).short(),
    Scenario::new("rate-limit", rate_limit).short().both(),
    Scenario::new("source-poll", source_poll),
];

/// The harness against itself: what it reads in kernel memory is what `AUDIT_GET` answers.
fn oracle(scene: &mut Scene<'_>) -> Result<()> {
    let lab = scene.lab;
    lab.clear()?;
    let mut findings = Findings::default();
    for limit in [64, 8192] {
        lab.configure(&crate::lab::Setup {
            limit,
            rules: Vec::new(),
            ..Default::default()
        })?;
        let status = netlink::status()?;
        findings.equal("AUDIT_GET limit", status.backlog_limit, limit);
        findings.equal("AUDIT_GET pid", status.pid, 0);
        let Some(memory) = lab.memory()? else {
            continue;
        };
        let words = memory.read()?;
        findings.equal("limit in memory", words.limit, u64::from(limit));
        findings.equal("lost in memory", words.lost, u64::from(status.lost));
        findings.equal("depths in memory", words.depths(), 0);
        let waited = status.backlog_wait_time_actual.map(u64::from);
        findings.that(words.waited == waited, || {
            format!("waited {:?} {waited:?}", words.waited)
        });
    }
    findings.equal(
        "HZ is a known one",
        [100, 250, 300, 1000].contains(&lab.hz),
        true,
    );
    findings.verdict()
}

fn fast_consumer(scene: &mut Scene<'_>) -> Result<()> {
    let seen = scene.trial(&Trial::new("--syscall 1500 --threads 2").limit(20_000))?;
    let mut findings = seen.common();
    seen.no_loss(&mut findings);
    findings.near("attempted", seen.books.attempted, 9000, 0);
    findings.near("delivered", seen.books.delivered, 9000, seen.books.own);
    findings.equal("stalls", seen.summary.number("stalls.count")?, 0);
    findings.equal("stranded", seen.summary.number("stalls.stranded")?, 0);
    for kind in ["SYSCALL", "PROCTITLE", "EOE"] {
        seen.drained_of(kind, 3000, &mut findings);
    }
    findings.that(seen.summary.at("source") == "bpf", || {
        "source is not bpf".to_owned()
    });
    let hooks = seen.summary.list("hooks")?;
    findings.that(!hooks.is_empty(), || "no hooks".to_owned());
    if scene.form == trial::Form::Kprobe {
        for hook in hooks.iter().filter(|h| h["form"].is_string()) {
            let form = hook["form"].as_str().unwrap_or_default();
            findings.that(!form.contains("fentry") && !form.contains("fexit"), || {
                format!("--attach kprobe, but {hook}")
            });
        }
    }
    findings.verdict()
}

fn slow_consumer_lossy(scene: &mut Scene<'_>) -> Result<()> {
    let trial = Trial::new("--syscall 800")
        .limit(64)
        .wait_ms(0)
        .slow_sink(1000);
    let seen = scene.trial(&trial)?;
    let books = &seen.books;
    let mut findings = seen.common();
    findings.at_least("dropped.backlog_limit", books.backlog_limit, 1);
    if books.losses() == books.backlog_limit && books.retry_growth == 0 {
        let begun = seen.received_of(wire::SYSCALL);
        findings.near(
            "attempted",
            books.attempted,
            getppid_attempts(800, begun),
            books.missed,
        );
    }
    seen.overflowed(64, 1, &mut findings);
    findings.equal("stalls", seen.summary.number("stalls.count")?, 0);
    findings.verdict()
}

fn slow_consumer_waiting(scene: &mut Scene<'_>) -> Result<()> {
    let seen = scene.trial(&Trial::new("--syscall 500").limit(64).slow_sink(1000))?;
    let mut findings = seen.common();
    findings.equal("dropped.backlog_limit", seen.books.backlog_limit, 0);
    // A host that leaves the sink without CPU for 100 ms makes the kernel retry, and then drop.
    if seen.summary.number("ledger.retried")? == 0 {
        seen.no_loss(&mut findings);
    }
    findings.near("attempted", seen.books.attempted, 1500, seen.books.missed);
    seen.overflowed(64, 1, &mut findings);
    seen.stalls(&mut findings);
    // A lone producer that is pre-empted between the kernel's look at the queue and its own going
    // to sleep misses the only wake-up there is, and sleeps on for the whole wait time, traced or
    // not. What is said to be stranded must then have slept so long.
    let stranded = seen.summary.number("stalls.stranded")?;
    let longest = seen.summary.number("stalls.max_ns")?;
    findings.that(stranded == 0 || longest > 1_000_000_000, || {
        format!("stalls.stranded: {stranded}, though the longest stall took {longest} ns")
    });
    findings.verdict()
}

/// Far from its limit not every attempt looks at the queue: its greatest length is told all the same.
fn peak_below_the_limit(scene: &mut Scene<'_>) -> Result<()> {
    let lab = scene.lab;
    let Some(memory) = lab.memory()? else {
        return Err(Skipped("the queue cannot be seen in memory here".to_owned()).into());
    };
    let trial = Trial::new("--syscall 400").limit(8192).slow_sink(1000);
    let stage = Stage::set(lab, &trial.setup, trial.consumer)?;
    let (storm, _) = stage.storm(&trial.storm);
    let mut command = trial::trace_command(lab, scene.form, &[]);
    command.arg("--").args(storm);
    let process = Process::start(&lab.directory, command)?;
    let mut longest = 0;
    while tasks::alive(process.id()) {
        longest = longest.max(memory.read()?.main);
        std::thread::sleep(Duration::from_millis(5));
    }
    let ended = process.wait(trial.time_limit)?;
    stage.strike()?;
    scene.log.push(format!("{} {}", ended.stderr, ended.stdout));
    let summary = Summary::parse(&ended.stdout)?;
    let mut findings = Findings::default();
    findings.equal("exit status", ended.code(), 0);
    findings.at_least("longest queue in memory", longest, 100);
    // An attempt looks before its own record is queued, the drain after one has gone.
    let longest = i64::try_from(longest)?;
    findings.between("depth.max", summary.number("depth.max")?, longest - 1, 1200);
    findings.equal("stalls", summary.number("stalls.count")?, 0);
    findings.verdict()
}

fn no_auditd(scene: &mut Scene<'_>) -> Result<()> {
    let seen = scene.trial(&Trial::new("--syscall 300").consumer(Consumer::None))?;
    let books = &seen.books;
    let mut findings = seen.common();
    findings.near("attempted", books.attempted, 900, books.missed);
    findings.equal("delivered", books.delivered, 0);
    findings.near(
        "dropped.silent",
        books.silent,
        books.enqueued + books.own,
        books.missed,
    );
    findings.equal("growth of the kernel's lost", books.lost, 0);
    findings.near(
        "held",
        seen.summary.number("ledger.held")?,
        books.silent,
        books.missed,
    );
    findings.equal("auditd", seen.summary.number("status.auditd_pid")?, 0);
    findings.verdict()
}

fn rate_limit(scene: &mut Scene<'_>) -> Result<()> {
    let seen = scene.trial(&Trial::new("--syscall 500").limit(20_000).rate_limit(100))?;
    let books = &seen.books;
    let mut findings = seen.common();
    // The record is dropped at its end: each one is admitted, so each event tries all three.
    findings.near("attempted", books.attempted, 1500, books.missed);
    findings.near("admitted", books.admitted, 1500, books.missed);
    findings.at_least("dropped.rate_limit", books.rate_limit, 1);
    findings.equal("other losses", books.losses() - books.rate_limit, 0);
    findings.equal(
        "status.rate_limit",
        seen.summary.number("status.rate_limit")?,
        100,
    );
    findings.verdict()
}

/// Without programs, by asking the kernel now and then: what it counts, and nothing else.
fn source_poll(scene: &mut Scene<'_>) -> Result<()> {
    let lab = scene.lab;
    let trial = Trial::new("--syscall 800")
        .limit(64)
        .wait_ms(0)
        .slow_sink(1000);
    let stage = Stage::set(lab, &trial.setup, trial.consumer)?;
    let before = netlink::status()?;
    let (storm, _) = stage.storm(&trial.storm);
    let mut command = trial::trace_command(lab, scene.form, &[]);
    command.args(["--source", "poll", "--"]).args(storm);
    let ended = Process::start(&lab.directory, command)?.wait(trial.time_limit)?;
    let after = netlink::status()?;
    stage.strike()?;
    scene.log.push(format!(
        "exit {}: {} {}",
        ended.code(),
        ended.stderr,
        ended.stdout
    ));
    let summary = Summary::parse(&ended.stdout)?;
    let mut findings = Findings::default();
    let lost = wrapping(u64::from(before.lost), u64::from(after.lost));
    let start = summary.number("status.lost_start")?;
    let told = summary.number("status.lost_end")? - start;
    findings.at_least("lost", lost, 1);
    findings.equal("lost by status", told, lost);
    findings.equal("exit status", ended.code(), 3);
    findings.that(summary.at("source") == "poll", || {
        "source is not poll".to_owned()
    });
    for unmeasured in [
        "ledger.attempted",
        "ledger.delivered",
        "ledger.dropped.silent",
    ] {
        let value = summary.at(unmeasured);
        findings.that(value.is_null(), || {
            format!("{unmeasured} is {value}, expected null")
        });
    }
    findings.verdict()
}
