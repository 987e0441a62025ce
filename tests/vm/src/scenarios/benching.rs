//! Benchmark runs: trace and truth agree on the storms of the library, and the host is as it was,
//! however a run ends.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::bpf_objects::BpfObjects;
use crate::findings::Findings;
use crate::lab::Setup;
use crate::netlink::AuditSocket;
use crate::process::{Ended, Process, tail};
use crate::scenario::{self, Pass, Scenario, Scene};
use crate::tasks;
use crate::wire::{Setting, Status};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("bench-library", library).short(),
    Scenario::new("bench-needed", needed),
    Scenario::new("bench-sweep", sweep),
    Scenario::new("bench-compared", compared),
    Scenario::new("bench-killed", killed),
    Scenario::new("bench-keeper-killed", keeper_killed).short(),
    Scenario::new("bench-interrupted", interrupted),
    Scenario::new("bench-refused", refused),
    Scenario::new("bench-on-a-full-disk", full_disk),
];

pub(super) const PATIENCE: Duration = Duration::from_mins(3);
pub(super) const JOURNAL: &str = "/run/auditwatch/bench.json";
/// Storms of the smaller passes: each kind of end that a record can have, and the first of these alone on
/// the kernels that are tested least.
const SOME: [&str; 6] = [
    "boot-burst",
    "non-blocking",
    "rate-limited",
    "wait-time-default",
    "busy-sshd",
    "long-exec",
];
const SHORT: usize = 3;
/// Moments at which a bench is killed, and in the smaller passes.
const KILLS: u32 = 20;
const SOME_KILLS: u32 = 4;
/// From the first moment to the last.
const KILLED_WITHIN: Duration = Duration::from_secs(3);

/// What a bench must put back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Host {
    status: Status,
    rules: Vec<Vec<u8>>,
}

impl Host {
    /// Settings that are nobody's default, so that what is put back is what was there.
    pub(super) fn set(scene: &Scene<'_>) -> Result<Self> {
        scene.lab.clear()?;
        scene.lab.configure(&Setup {
            limit: 777,
            ..Setup::default()
        })?;
        let mut socket = AuditSocket::open()?;
        socket.set(Setting::BacklogWaitTime(scene.lab.jiffies(7_000)))?;
        Self::now()
    }

    fn now() -> Result<Self> {
        let mut socket = AuditSocket::open()?;
        let status = socket.get()?;
        Ok(Self {
            // Counters are no settings.
            status: Status {
                lost: 0,
                backlog: 0,
                backlog_wait_time_actual: None,
                ..status
            },
            rules: socket.rules()?,
        })
    }

    /// Waits until all is as it was: a keeper may still be at it, or about to be.
    pub(super) fn is_back(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stands = Path::new(JOURNAL).exists();
            let now = Self::now()?;
            let files = working_directories();
            if !stands && files == 0 && now == *self && part("keeper").is_none() {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the host is not as it was (the journal is still there: {stands}, {files} directories): {now:?}, not \
                 {self:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Directories of benches that are still there.
fn working_directories() -> usize {
    fs::read_dir("/var/lib/auditwatch")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"bench-"))
        .count()
}

pub(super) fn bench(scene: &Scene<'_>, words: &[&str]) -> Result<Process> {
    let mut command = Command::new(&scene.lab.auditwatch);
    command.arg("bench").args(words);
    Process::start(&scene.lab.directory, command)
}

fn last_line(ended: &Ended) -> Result<Value> {
    let line = ended.stdout.lines().next_back().unwrap_or_default();
    serde_json::from_str(line).with_context(|| {
        format!(
            "exit {}, no report: {} {}",
            ended.code(),
            tail(&ended.stdout, 300),
            tail(&ended.stderr, 600)
        )
    })
}

fn storms(scene: &Scene<'_>) -> Result<Vec<String>> {
    let some = match scene.pass {
        Pass::Whole => None,
        Pass::Short => SOME.get(..SHORT),
        _ => Some(&SOME[..]),
    };
    if let Some(some) = some {
        return Ok(some.iter().map(|&name| name.to_owned()).collect());
    }
    let ended = bench(scene, &["list"])?.wait(PATIENCE)?;
    let names: Vec<String> = ended
        .stdout
        .lines()
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect();
    ensure!(names.len() >= 22, "the library has but {names:?}");
    Ok(names)
}

fn library(scene: &mut Scene<'_>) -> Result<()> {
    let host = Host::set(scene)?;
    let mut findings = Findings::default();
    for name in storms(scene)? {
        let begin = Instant::now();
        let ended = bench(scene, &["run", &name, "--json"])?.wait(PATIENCE)?;
        let report = match last_line(&ended) {
            Ok(report) => report,
            Err(error) => {
                findings.that(false, || format!("{name}: {error:#}"));
                continue;
            }
        };
        let (agrees, events) = (&report["agrees"], &report["trace"]["ledger"]["attempted"]);
        let known = report["checks"]
            .as_array()
            .map_or(0, |c| c.iter().filter(|c| c["agrees"] == true).count());
        scene.log.push(format!(
            "{name}: {:.1} s, {events} attempted, {} lost, {} stalls, {known} checks",
            begin.elapsed().as_secs_f64(),
            report["trace"]["lost"],
            report["trace"]["stalls"]["count"],
        ));
        findings.that(*agrees == true && ended.code() == 0, || {
            format!("{name}: exit {}: {}", ended.code(), report["checks"])
        });
        findings.that(known >= 2, || {
            format!("{name}: hardly anything to compare: {}", report["checks"])
        });
        findings.that(events.as_u64() > Some(0), || format!("{name}: no record"));
        for producer in report["truth"]["producers"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let of = |key: &str| producer[key].as_u64().unwrap_or(0);
            // Nobody sleeps for longer than the longest event takes.
            let longest = of("max_ns") + of("max_ns") / 500;
            findings.that(
                of("p50_ns") > 0
                    && of("p50_ns") <= of("p99_ns")
                    && of("p99_ns") <= longest
                    && of("slept_ns") <= of("slept") * longest,
                || format!("{name}: times that make no sense: {producer}"),
            );
        }
    }
    findings.take(host.is_back());
    findings.verdict()
}

fn needed(scene: &mut Scene<'_>) -> Result<()> {
    let host = Host::set(scene)?;
    let ended = bench(scene, &["needed", "long-stall", "--json"])?.wait(PATIENCE)?;
    let report = last_line(&ended);
    scene.log.push(format!("{} {}", ended.stdout, ended.stderr));
    host.is_back()?;
    let report = report?;
    let mut findings = Findings::default();
    findings.equal("exit status", ended.code(), 0);
    findings.that(report["verdict"] == "needed", || format!("{report}"));
    let runs = report["runs"].as_array().cloned().unwrap_or_default();
    findings.between("runs", runs.len(), 5, 12);
    let limit = report["limit"].as_u64().unwrap_or(0);
    let clean_there = runs
        .iter()
        .filter(|r| r["limit"] == limit && r["lost"] == 0 && r["stalls"] == 0);
    findings.at_least("clean runs at the limit", clean_there.count(), 3);
    findings.verdict()
}

fn sweep(scene: &mut Scene<'_>) -> Result<()> {
    let host = Host::set(scene)?;
    let words = ["sweep", "boot-burst", "--limits", "16,64,100000", "--json"];
    let ended = bench(scene, &words)?.wait(PATIENCE)?;
    scene.log.push(format!("{} {}", ended.stdout, ended.stderr));
    host.is_back()?;
    let points: Vec<Value> = ended
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let mut findings = Findings::default();
    findings.equal("exit status", ended.code(), 0);
    findings.equal("points", points.len(), 3);
    let hurt =
        |point: &Value| point["lost"].as_u64().unwrap_or(0) + point["stalls"].as_u64().unwrap_or(0);
    findings.that(points.first().is_some_and(|p| hurt(p) > 0), || {
        "a limit of 16 does not hurt".to_owned()
    });
    findings.that(points.last().is_some_and(|p| hurt(p) == 0), || {
        "a limit of 100,000 hurts".to_owned()
    });
    findings.verdict()
}

/// Two runs of one storm, with and without room for it.
fn compared(scene: &mut Scene<'_>) -> Result<()> {
    let host = Host::set(scene)?;
    let file = |name: &str| scene.lab.directory.join(name).display().to_string();
    let (tight, wide) = (file("tight.zst"), file("wide.zst"));
    for (limit, record) in [("64", &tight), ("8192", &wide)] {
        drop(fs::remove_file(record));
        let words = [
            "run",
            "connection-flood",
            "--limit",
            limit,
            "--record",
            record,
            "--json",
        ];
        let ended = bench(scene, &words)?.wait(PATIENCE)?;
        ensure!(ended.code() == 0, "limit {limit}: {}", ended.stderr);
    }
    host.is_back()?;
    let compare = |a: &str, b: &str| -> Result<(i32, Value)> {
        let mut command = Command::new(&scene.lab.auditwatch);
        command.args(["compare", "--json", a, b]);
        let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
        Ok((ended.code(), last_line(&ended)?))
    };
    let lost = |report: &Value| {
        let figures = report["figures"].as_array().cloned().unwrap_or_default();
        let figure = figures.iter().find(|f| f["name"] == "records lost");
        figure.map_or(Value::Null, |figure| figure["verdict"].clone())
    };
    let mut findings = Findings::default();
    let (code, better) = compare(&tight, &wide)?;
    findings.equal("exit status", code, 0);
    findings.that(lost(&better) == "better", || format!("{better}"));
    let (code, worse) = compare(&wide, &tight)?;
    findings.equal("exit status", code, 3);
    findings.that(
        lost(&worse) == "worse" && worse["verdict"] == "worse",
        || format!("{worse}"),
    );
    let differs = |report: &Value| report["circumstances"][0]["what"] == "backlog limit";
    findings.that(differs(&better), || format!("{}", better["circumstances"]));
    findings.verdict()
}

/// A process of a bench.
pub(super) fn part(word: &str) -> Option<u32> {
    tasks::with_words("bench", word).first().copied()
}

pub(super) fn until(what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        ensure!(Instant::now() < deadline, "not {what} in time");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Kill -9 of bench and consumer at moments all over a run.
fn killed(scene: &mut Scene<'_>) -> Result<()> {
    let host = Host::set(scene)?;
    let before = BpfObjects::count()?;
    let mut findings = Findings::default();
    let kills = match scene.pass {
        Pass::Whole => KILLS,
        _ => SOME_KILLS,
    };
    for kill in 0..kills {
        let record = scene.lab.directory.join("killed.zst");
        drop(fs::remove_file(&record));
        let words = [
            "run",
            "long-stall",
            "--json",
            "--record",
            &record.to_string_lossy(),
        ];
        let process = bench(scene, &words)?;
        // The first moments are those of the preparations.
        std::thread::sleep(KILLED_WITHIN * kill / kills);
        let victim = match kill % 2 {
            0 => Some(process.id()),
            _ => part("sink").or_else(|| Some(process.id())),
        };
        let killed = victim.map(|pid| crate::sys::kill(pid, libc::SIGKILL));
        let ended = process.wait(PATIENCE)?;
        let restored = host.is_back();
        scene.log.push(format!(
            "kill {kill} of {victim:?} ({killed:?}): exit {}, {} {restored:?}",
            ended.code(),
            tail(&ended.stderr, 300)
        ));
        restored.with_context(|| format!("kill {kill}"))?;
        until("gone", || {
            ["keeper", "sink", "producers"]
                .iter()
                .all(|word| part(word).is_none())
        })
        .with_context(|| format!("kill {kill}: processes are left"))?;
        scenario::gone(before).with_context(|| format!("kill {kill}"))?;
        if fs::metadata(&record).is_ok_and(|file| file.len() > 0) {
            let mut command = Command::new(&scene.lab.auditwatch);
            command.args(["replay", "--json"]).arg(&record);
            let replayed = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
            findings.that(matches!(replayed.code(), 0 | 3), || {
                format!("kill {kill}: the recording: {}", replayed.stderr)
            });
        }
    }
    findings.verdict()
}

/// Bench and keeper killed together: the next bench puts back what they left.
fn keeper_killed(scene: &mut Scene<'_>) -> Result<()> {
    let host = Host::set(scene)?;
    let process = bench(scene, &["run", "long-stall", "--json"])?;
    until("under way", || part("producers").is_some())?;
    let keeper = part("keeper").context("there is no keeper")?;
    // Neither is to see the other's end.
    for pid in [keeper, process.id()] {
        crate::sys::kill(pid, libc::SIGSTOP)?;
    }
    for pid in [keeper, process.id()] {
        crate::sys::kill(pid, libc::SIGKILL)?;
    }
    drop(process.wait(PATIENCE)?);
    ensure!(Path::new(JOURNAL).exists(), "there is no journal");
    let ended = bench(scene, &["restore"])?.wait(PATIENCE)?;
    scene.log.push(format!("{} {}", ended.stdout, ended.stderr));
    host.is_back()?;
    let mut findings = Findings::default();
    findings.equal("exit status", ended.code(), 0);
    findings.that(ended.stdout.starts_with("restored: limit 777, "), || {
        format!("it does not say what it put back: {}", ended.stdout)
    });
    let again = bench(scene, &["restore"])?.wait(PATIENCE)?;
    findings.that(again.stdout.starts_with("nothing"), || again.stdout.clone());
    findings.verdict()
}

fn interrupted(scene: &mut Scene<'_>) -> Result<()> {
    let host = Host::set(scene)?;
    let process = bench(scene, &["run", "long-stall", "--json"])?;
    until("under way", || part("producers").is_some())?;
    process.signal(libc::SIGINT)?;
    let ended = process.wait(PATIENCE)?;
    scene.log.push(format!("{} {}", ended.stdout, ended.stderr));
    host.is_back()?;
    let mut findings = Findings::default();
    findings.equal("exit status", ended.code(), 1);
    findings.that(ended.stderr.contains("interrupted"), || {
        "it does not say why it ended".to_owned()
    });
    findings.verdict()
}

/// A recording that finds no room costs nothing but itself.
fn full_disk(scene: &mut Scene<'_>) -> Result<()> {
    let host = Host::set(scene)?;
    let disk = scene.lab.directory.join("disk");
    fs::create_dir_all(&disk)?;
    crate::sys::mount("tmpfs".as_ref(), &disk, "tmpfs", 0, "size=64k")?;
    let filled = fs::write(disk.join("rest"), vec![0; 128 * 1024]);
    let recording = disk.join("run.zst");
    let recording = recording.to_str().context("a path in ASCII")?;
    let ended = bench(
        scene,
        &["run", "wait-time-0", "--json", "--record", recording],
    )
    .and_then(|process| process.wait(PATIENCE));
    crate::sys::unmount(&disk)?;
    ensure!(filled.is_err(), "the disk is not full");
    let ended = ended?;
    let report = last_line(&ended)?;
    let mut findings = Findings::default();
    findings.equal("exit status", ended.code(), 1);
    findings.that(report["agrees"] == true, || report["checks"].to_string());
    findings.that(ended.stderr.contains("No space left"), || {
        format!("the cause is not named: {}", ended.stderr)
    });
    findings.take(host.is_back());
    findings.verdict()
}

/// A host that a storm could harm is left alone.
fn refused(scene: &mut Scene<'_>) -> Result<()> {
    let mut findings = Findings::default();
    let host = Host::set(scene)?;
    let mut socket = AuditSocket::open()?;
    socket.set(Setting::Failure(2))?;
    let panics = bench(scene, &["run", "boot-burst"])?.wait(PATIENCE)?;
    socket.set(Setting::Failure(1))?;
    findings.equal("exit status under -f 2", panics.code(), 1);
    findings.that(panics.stderr.contains("-f 1"), || panics.stderr.clone());
    // Somebody in auditd's place who is not to be sent away unasked.
    let sink = scene.lab.sink(0, None)?;
    let lives = bench(scene, &["run", "boot-burst"])?.wait(PATIENCE)?;
    sink.end()?;
    findings.equal("exit status where an auditd lives", lives.code(), 1);
    findings.that(lives.stderr.contains("--yes"), || lives.stderr.clone());
    let unknown = bench(scene, &["run", "no-such-storm"])?.wait(PATIENCE)?;
    findings.equal("exit status without a storm", unknown.code(), 1);
    findings.that(unknown.stderr.contains("no-such-storm"), || {
        unknown.stderr.clone()
    });
    findings.take(host.is_back());
    findings.verdict()
}
