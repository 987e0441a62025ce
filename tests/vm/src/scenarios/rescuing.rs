//! Rescue: tasks that were left asleep beside room are all freed, and nothing else is touched.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::findings::Findings;
use crate::kernel_words::KernelMemory;
use crate::lab::Setup;
use crate::netlink;
use crate::process::{Ended, Process, tail};
use crate::scenario::{Scenario, Scene, Skipped, rounds};
use crate::tasks::{self, Task};
use crate::trial::{Consumer, Stage};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("rescue-frees-the-stranded", frees).short(),
    Scenario::new("rescue-finds-nothing", finds_nothing).short(),
    Scenario::new("rescue-raises-the-limit", raises),
];

const PATIENCE: Duration = Duration::from_mins(1);
/// From the start of the command until all have gone on. It goes on itself to see that they stay awake, beside the
/// load that they make then.
const IN_TIME: Duration = Duration::from_secs(2);
/// The same in a pass among others, where the emulated host shares its CPUs.
const IN_TIME_SHARED: Duration = Duration::from_secs(10);
/// So many times somebody is to be stranded for once.
const TRIES: u32 = 6;
/// Who writes, and who asks meanwhile.
const WRITERS: usize = 24;
/// Tasks that have slept for so long beside room will not be woken.
const SURELY: Duration = Duration::from_millis(1500);
/// For meeting a queue while it is stuck, as it is most of the time.
const MEETING: Duration = Duration::from_secs(12);
const SMALL: Consumer = Consumer::Sink {
    per_record_us: 0,
    rcvbuf: Some(8192),
};

/// Writers before a consumer that stops, and askers that use up the wake-ups: they are left asleep. Which of the
/// two does it more surely depends on the kernel.
const STORMS: [&str; 2] = [
    "--processes 24 --syscall 400 --at 0:ask=24 --at 100:stop-sink --at 3800:cont-sink",
    "--processes 24 --syscall 400 --at 0:ask=24 --at 400:stop-sink --at 600:ask=24 --at 1800:cont-sink",
];

fn frees(scene: &mut Scene<'_>) -> Result<()> {
    let mut findings = Findings::default();
    let mut done = 0;
    let mut tried = 0;
    while done < rounds(1) {
        ensure!(
            tried < TRIES + 4 * rounds(1),
            "nobody is stranded in {tried} tries"
        );
        if tried == TRIES && done == 0 {
            return Err(Skipped(format!("in {tried} tries nobody was stranded")).into());
        }
        let storm = STORMS[tried as usize % STORMS.len()];
        tried += 1;
        if one(scene, storm, &mut findings)? {
            done += 1;
        }
    }
    findings.verdict()
}

/// Strands tasks and has them freed; whether any were stranded.
fn one(scene: &mut Scene<'_>, storm: &str, findings: &mut Findings) -> Result<bool> {
    let setup = Setup {
        limit: 64,
        ..Setup::default()
    };
    let stage = Stage::set(scene.lab, &setup, SMALL)?;
    let (storm, _) = stage.storm(storm);
    let mut command = Command::new(&storm[0]);
    command.args(&storm[1..]);
    let process = Process::start(&scene.lab.directory, command)?;
    let memory = scene.lab.memory()?;
    let stranded = await_stranded(&process, memory.as_ref())?;
    println!("# {} tasks are stranded", stranded.len());
    if stranded.len() < WRITERS {
        ends(scene, process, memory.as_ref())?;
        stage.strike()?;
        return Ok(false);
    }
    let before = netlink_free_settings(memory.as_ref())?;
    let looked = rescue(scene, &[])?;
    let told = parse(&looked)?;
    findings.equal("exit status of a look", looked.code(), 1);
    findings.that(told["verdict"] == "stranded", || format!("it says {told}"));
    findings.equal(
        "stranded by the look",
        told["stranded"].as_u64().unwrap_or(0),
        stranded.len() as u64,
    );
    findings.equal(
        "still asleep after a look",
        still(&stranded, &tasks::asleep_in_audit()).len(),
        stranded.len(),
    );
    let began = Instant::now();
    let rescuer = start(scene, &["--yes"])?;
    while tasks::alive(rescuer.id()) && stranded.iter().any(tasks::sleeps_on) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = began.elapsed();
    let freed = rescuer.wait(PATIENCE)?;
    let left = still(&stranded, &tasks::asleep_in_audit());
    let report = parse(&freed)?;
    findings.equal("exit status", freed.code(), 0);
    findings.that(left.is_empty(), || format!("still asleep: {left:?}"));
    findings.at_least(
        "freed",
        report["freed"].as_u64().unwrap_or(0),
        stranded.len() as u64,
    );
    let bound = if rounds(1) > 1 {
        IN_TIME
    } else {
        IN_TIME_SHARED
    };
    findings.that(took < bound, || format!("it took {took:?}: {report}"));
    let after = netlink_free_settings(memory.as_ref())?;
    findings.that(before == after, || {
        format!("limit {before:?}, then {after:?}")
    });
    let line = format!(
        "freed {} of {} in {took:?} ({} ms by its own account, {} steps)",
        stranded.len() - left.len(),
        stranded.len(),
        report["took_ns"].as_u64().unwrap_or(0) / 1_000_000,
        report["steps"].as_array().map_or(0, Vec::len),
    );
    println!("# {line}");
    scene.log.push(line);
    scene.log.push(report.to_string());
    process.wait(PATIENCE).context("the storm goes on")?;
    stage.strike()?;
    Ok(true)
}

/// Waits for tasks that sleep on beside room, or for the storm's end.
fn await_stranded(process: &Process, memory: Option<&KernelMemory>) -> Result<Vec<Task>> {
    let deadline = Instant::now() + PATIENCE;
    let mut since = Instant::now();
    let mut before: Vec<Task> = Vec::new();
    while tasks::alive(process.id()) && Instant::now() < deadline {
        let now = tasks::asleep_in_audit();
        let room = match memory {
            Some(memory) => {
                let words = memory.read()?;
                words.main <= words.limit
            }
            None => true,
        };
        let same =
            !now.is_empty() && still(&before, &now).len() == now.len() && before.len() == now.len();
        if !room || !same {
            since = Instant::now();
            before = now;
        } else if since.elapsed() > SURELY {
            return Ok(now);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Vec::new())
}

/// The storm ends. Whoever it strands on its way is freed: they would sleep for a minute each time.
fn ends(scene: &mut Scene<'_>, process: Process, memory: Option<&KernelMemory>) -> Result<Ended> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && !await_stranded(&process, memory)?.is_empty() {
        let freed = rescue(scene, &["--yes"])?;
        scene.log.push(format!("stranded: {}", freed.stdout));
    }
    process.wait(PATIENCE)
}

/// Those of the first who are in the same sleep now.
fn still(then: &[Task], now: &[Task]) -> Vec<Task> {
    then.iter()
        .filter(|task| {
            now.iter()
                .any(|t| (t.tid, t.sleeps) == (task.tid, task.sleeps))
        })
        .cloned()
        .collect()
}

/// The limit, read without a message.
fn netlink_free_settings(memory: Option<&KernelMemory>) -> Result<Option<u64>> {
    memory.map(|memory| Ok(memory.read()?.limit)).transpose()
}

fn rescue(scene: &Scene<'_>, words: &[&str]) -> Result<Ended> {
    start(scene, words)?.wait(PATIENCE)
}

fn start(scene: &Scene<'_>, words: &[&str]) -> Result<Process> {
    let mut command = Command::new(&scene.lab.auditwatch);
    command.args(["rescue", "--json"]).args(words);
    Process::start(&scene.lab.directory, command)
}

fn parse(ended: &Ended) -> Result<Value> {
    serde_json::from_str(&ended.stdout).with_context(|| {
        format!(
            "exit {}, no report: {} {}",
            ended.code(),
            tail(&ended.stdout, 300),
            tail(&ended.stderr, 600)
        )
    })
}

/// On a host where nothing is stuck nothing is done, not even where it may be.
fn finds_nothing(scene: &mut Scene<'_>) -> Result<()> {
    let stage = Stage::set(scene.lab, &Setup::default(), SMALL)?;
    let before = netlink::status()?;
    let mut findings = Findings::default();
    for words in [&[] as &[&str], &["--yes"]] {
        let ended = rescue(scene, words)?;
        let report = parse(&ended)?;
        findings.equal("exit status", ended.code(), 0);
        findings.that(report["verdict"] == "nothing_stuck", || report.to_string());
        findings.that(
            report["steps"].as_array().is_some_and(Vec::is_empty),
            || format!("it did something: {report}"),
        );
    }
    let after = netlink::status()?;
    findings.that(before.backlog_limit == after.backlog_limit, || {
        format!("{before:?}, then {after:?}")
    });
    stage.strike()?;
    findings.verdict()
}

/// A queue over its limit before a consumer that has stopped: the limit is raised, who waits goes on,
/// and the limit is put back once that is safe. `kauditd` tries to send a record for half a second; then it
/// moves all others out of the queue at once, and whoever looks just then sees nothing stuck.
fn raises(scene: &mut Scene<'_>) -> Result<()> {
    let Some(memory) = scene.lab.memory()? else {
        let why = "the queue cannot be seen here while it is full";
        return Err(Skipped(why.to_owned()).into());
    };
    let setup = Setup {
        limit: 64,
        ..Setup::default()
    };
    let stage = Stage::set(scene.lab, &setup, SMALL)?;
    let storm = "--processes 8 --syscall 300 --at 0:stop-sink --at 100:await-waiters=8 --at 30000:cont-sink";
    let (storm, _) = stage.storm(storm);
    let mut command = Command::new(&storm[0]);
    command.args(&storm[1..]);
    let mut process = Process::start(&scene.lab.directory, command)?;
    process.until("all asleep", PATIENCE, |_| {
        tasks::asleep_in_audit().len() >= 8
    })?;
    let mut findings = Findings::default();
    // Without leave nothing is done, whatever is seen; it is told what the matter is.
    let looked = until(
        |looked| looked["verdict"] == "full",
        || {
            let looked = parse(&rescue(scene, &[])?)?;
            findings.that(
                looked["steps"].as_array().is_some_and(Vec::is_empty),
                || looked.to_string(),
            );
            Ok(looked)
        },
    )?;
    findings.that(looked["verdict"] == "full", || looked.to_string());
    let mut stuck = Vec::new();
    let report = until(
        |report| report["change"].is_u64(),
        || {
            stuck = tasks::asleep_in_audit();
            let freed = rescue(scene, &["--yes"])?;
            scene.log.push(format!("{} {}", freed.stdout, freed.stderr));
            findings.equal("exit status", freed.code(), 0);
            parse(&freed)
        },
    )?;
    findings.that(report["verdict"] == "full", || report.to_string());
    let left = still(&stuck, &tasks::asleep_in_audit());
    findings.that(left.is_empty(), || format!("still asleep: {left:?}"));
    findings.that(report["change"].is_u64(), || {
        format!("not journaled: {report}")
    });
    let limit = memory.read()?.limit;
    let back = report["steps"].to_string().contains("stays");
    findings.that(if back { limit > 64 } else { limit == 64 }, || {
        format!("the limit is {limit}: {report}")
    });
    // Whatever it came to, the limit can be taken back when the consumer goes on.
    ends(scene, process, Some(&memory))?;
    if back {
        let mut command = Command::new(&scene.lab.auditwatch);
        command.arg("undo");
        let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
        findings.equal("exit status of undo", ended.code(), 0);
        scene.log.push(format!("{} {}", ended.stdout, ended.stderr));
    }
    findings.equal("limit in the end", netlink::status()?.backlog_limit, 64);
    stage.strike()?;
    findings.verdict()
}

/// What `look` says at last: that which is `wanted`, or what it said when the time was over.
fn until(
    wanted: impl Fn(&Value) -> bool,
    mut look: impl FnMut() -> Result<Value>,
) -> Result<Value> {
    let deadline = Instant::now() + MEETING;
    loop {
        let said = look()?;
        if wanted(&said) || Instant::now() > deadline {
            return Ok(said);
        }
    }
}
