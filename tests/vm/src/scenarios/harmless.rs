//! That looking on does no harm: nobody is stranded, nothing is asked while the queue is full.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::board::{Board, Slot};
use crate::findings::Findings;
use crate::kernel_words::KernelMemory;
use crate::lab::Lab;
use crate::netlink;
use crate::process::Process;
use crate::scenario::{Pass, Scenario, Scene, Skipped};
use crate::strace;
use crate::tasks;
use crate::trial::{self, Consumer, Evidence, Trial};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("nobody-stranded", nobody_stranded).short(),
    Scenario::new("user-messages-under-pressure", user_messages_under_pressure).short(),
    Scenario::new("stranding-is-seen", stranding_is_seen),
    Scenario::new("nothing-asked-under-pressure", nothing_asked),
    Scenario::new("settings-untouched", settings_untouched).short(),
];

/// As long as tasks may sleep although there is room: a wake-up under way, in emulation.
const GRACE: Duration = Duration::from_secs(1);
/// What nobody may overlook: longer than a look and the second that is no news.
const EVIDENT: Duration = Duration::from_secs(2);
/// From the consumer's last return to the last writer's end.
const RELEASE: Duration = Duration::from_secs(20);
/// One stall of the consumer and what follows.
const ROUND_MS: i64 = 1300;
/// A buffer for a few records, so that a consumer that stops is felt at once.
const SMALL: Consumer = Consumer::Sink {
    per_record_us: 0,
    rcvbuf: Some(8192),
};

/// 24 writers against a consumer that stalls again and again: each time they all sleep, and each
/// time they all get through once it goes on. They write less than an emulated host can take, and
/// make up for what they missed.
fn nobody_stranded(scene: &mut Scene<'_>) -> Result<()> {
    let rounds = match scene.pass {
        Pass::Whole => 10,
        Pass::Short => 2,
        _ => 4,
    };
    let mut storm = "--processes 24 --gap-us 100000 --syscall 1000000 --until-acts-done".to_owned();
    for round in 0..rounds {
        let begin = 600 + round * ROUND_MS;
        write!(
            storm,
            " --at {begin}:stop-sink --at {begin}:await-waiters=24 --at {}:cont-sink --at {}:await-waiters=0",
            begin + 800,
            begin + 801
        )?;
    }
    let trial = Trial::new(&storm).limit(64).consumer(SMALL);
    let (seen, stranded) = watched(scene, &trial)?;
    let mut findings = seen.common();
    if let Some(stranded) = stranded {
        findings.that(false, || stranded.what);
    }
    findings.equal("stranded", seen.summary.number("stalls.stranded")?, 0);
    seen.stalls(&mut findings);
    // Those whose beginning or end the kernel skipped the programs for are told apart.
    findings.at_least(
        "stalls.count and stalls.missed",
        seen.summary.number("stalls.count")? + seen.summary.number("stalls.missed")?,
        rounds * 24,
    );
    let took = Duration::from_nanos(seen.report.produced_ns - seen.report.began_ns);
    let bound = u32::try_from(rounds)? * (RELEASE + Duration::from_millis(ROUND_MS.unsigned_abs()));
    findings.that(took < bound, || format!("the writers took {took:?}"));
    let attempted = i64::try_from(seen.report.produced.syscall)? * 3;
    findings.near(
        "attempted",
        seen.books.attempted,
        attempted,
        seen.books.missed,
    );
    findings.verdict()
}

/// Tasks that send USER messages while the queue is full are let in without waiting, past the hooks
/// where gcc split `audit_log_start`: nobody is counted as a waiter afterwards. (Kernels >= 5.17
/// make such a sender wait once it has its record in the queue. It takes a wake-up then, and if it
/// has nothing more to say makes none: the host may strand the others, without us.)
fn user_messages_under_pressure(scene: &mut Scene<'_>) -> Result<()> {
    let storm = "--processes 8 --syscall 300 --user 100 --at 0:stop-sink --at 1500:cont-sink";
    let trial = Trial::new(storm).limit(64).wait_ms(4000).consumer(SMALL);
    let (seen, stranded) = watched(scene, &trial)?;
    let mut findings = seen.common();
    told_as_seen(
        &mut findings,
        stranded.as_ref(),
        seen.summary.number("stalls.stranded")?,
    );
    findings.equal("waiting", seen.summary.number("ledger.waiting")?, 0);
    findings.at_least("stalls.count", seen.summary.number("stalls.count")?, 1);
    findings.verdict()
}

/// The control of the scenario above: a monitor that asks under pressure strands the host's
/// waiters (kernels >= 5.17, mostly). The harness must see that, and so must auditwatch.
fn stranding_is_seen(scene: &mut Scene<'_>) -> Result<()> {
    let storm = "--processes 24 --syscall 40 --at 0:ask=24 --at 400:stop-sink --at 1800:cont-sink";
    let trial = Trial::new(storm).limit(64).wait_ms(4000).consumer(SMALL);
    let (seen, stranded) = watched(scene, &trial)?;
    let mut findings = Findings::default();
    seen.books.laws(&mut findings);
    told_as_seen(
        &mut findings,
        stranded.as_ref(),
        seen.summary.number("stalls.stranded")?,
    );
    findings.verdict()?;
    if stranded.is_some_and(|s| s.lasted > EVIDENT) {
        return Ok(());
    }
    Err(Skipped("this time nobody was stranded".to_owned()).into())
}

/// A trial during which the harness looks for itself who sleeps for nothing.
fn watched(scene: &mut Scene<'_>, trial: &Trial) -> Result<(Evidence, Option<Stranding>)> {
    let lab = scene.lab;
    let mut stranded = None;
    let seen = trial::run_watched(lab, scene.form, trial, &mut scene.log, |process| {
        stranded = watch_waiters(lab, process)?;
        Ok(())
    })?;
    Ok((seen, stranded))
}

/// Whom the harness saw stranded long enough, auditwatch tells of; and of nobody that it did not see.
fn told_as_seen(findings: &mut Findings, stranded: Option<&Stranding>, told: i64) {
    match stranded {
        None => findings.equal("stalls.stranded", told, 0),
        Some(seen) if seen.lasted > EVIDENT => findings.that(told > 0, || {
            format!("stalls.stranded: 0, but {}", seen.what)
        }),
        Some(_) => {}
    }
}

/// Tasks that slept for room while there was room.
struct Stranding {
    lasted: Duration,
    what: String,
}

/// Looks, until the tracer ends, for a task that sleeps for room while there is room and the
/// consumer runs, in one sleep and not in many, and with no record on its way. (Each pass of
/// kauditd wakes but one task, the next record makes the next pass: while records move, each task
/// gets its turn. While the consumer does not run, a pass takes up to a second.)
fn watch_waiters(lab: &Lab, process: &Process) -> Result<Option<Stranding>> {
    let Some(memory) = lab.memory()? else {
        return Ok(None);
    };
    let board = Board::open(&lab.board())?;
    let mut since: BTreeMap<(u32, u64), Instant> = BTreeMap::new();
    let mut longest: Option<Stranding> = None;
    let mut before = 0;
    while tasks::alive(process.id()) {
        let waiters = tasks::audit_waiters();
        let words = KernelMemory::read(&memory)?;
        let stopped = board
            .sink()
            .is_none_or(|pid| tasks::state(pid) == Some('T'));
        let received = board.read(Slot::Received);
        let moves = received != before;
        before = received;
        if words.main > words.limit || stopped || moves {
            since.clear();
        } else {
            let sleeps: Vec<_> = waiters.iter().map(|w| (w.tid, w.sleeps)).collect();
            since.retain(|sleep, _| sleeps.contains(sleep));
            for sleep in sleeps {
                since.entry(sleep).or_insert_with(Instant::now);
            }
        }
        let lasted = since
            .values()
            .map(Instant::elapsed)
            .max()
            .unwrap_or_default();
        if lasted > longest.as_ref().map_or(GRACE, |l| l.lasted) {
            let what = format!(
                "for {lasted:?} a task has slept while the queue holds {} of {}: {waiters:?}",
                words.main, words.limit
            );
            longest = Some(Stranding { lasted, what });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(longest)
}

/// No audit netlink message is sent during the storm, by strace's account.
fn nothing_asked(scene: &mut Scene<'_>) -> Result<()> {
    if scene.lab.words().is_none() {
        let why = "the storm itself would have to ask the kernel here";
        return Err(Skipped(why.to_owned()).into());
    }
    let path = scene.lab.directory.join("strace.out");
    let mut trial = Trial::new("--syscall 300 --at 0:stop-sink --at 1200:cont-sink")
        .limit(64)
        .consumer(SMALL);
    let calls = "trace=socket,sendto,sendmsg,sendmmsg,write,close";
    trial.wrapper = ["strace", "-f", "-ttt", "-s", "16", "-e", calls, "-o"]
        .map(str::to_owned)
        .into_iter()
        .chain([path.to_string_lossy().into_owned()])
        .collect();
    let seen = scene.trial(&trial)?;
    let text = std::fs::read_to_string(&path).context("reading strace's output")?;
    anyhow::ensure!(text.contains("write("), "strace saw nothing");
    let sends = strace::audit_sends(&text);
    let mut findings = seen.common();
    let (from, to) = (seen.report.began_ns, seen.report.ended_ns);
    let within: Vec<_> = sends
        .iter()
        .filter(|s| (from..to).contains(&s.at_ns))
        .collect();
    findings.that(within.is_empty(), || {
        format!("asked the kernel during the storm: {within:?}")
    });
    findings.at_least("depth.max", seen.summary.number("depth.max")?, 65);
    findings.verdict()
}

/// Every setting, the rules and auditd's registration are as before.
fn settings_untouched(scene: &mut Scene<'_>) -> Result<()> {
    let lab = scene.lab;
    let trial = Trial::new("--syscall 100").limit(777).wait_ms(5000);
    let stage = trial::Stage::set(lab, &trial.setup, trial.consumer)?;
    let socket = netlink::AuditSocket::open;
    let (before, rules) = (netlink::status()?, socket()?.rules()?);
    let (storm, _) = stage.storm(&trial.storm);
    let mut command = trial::trace_command(lab, scene.form, &[]);
    command.arg("--").args(storm);
    let ended = Process::start(&lab.directory, command)?.wait(trial.time_limit)?;
    let (after, rules_after) = (netlink::status()?, socket()?.rules()?);
    stage.strike()?;
    scene
        .log
        .push(format!("exit {}, {}", ended.code(), ended.stderr));
    let mut findings = Findings::default();
    findings.equal("exit status", ended.code(), 0);
    // The backlog is what is there at the moment, not a setting.
    let same = crate::wire::Status {
        backlog: before.backlog,
        ..after.clone()
    } == before;
    findings.that(same, || {
        format!("settings: {before:?} before, {after:?} after")
    });
    findings.that(rules == rules_after, || {
        "the rules are not the same".to_owned()
    });
    findings.verdict()
}
