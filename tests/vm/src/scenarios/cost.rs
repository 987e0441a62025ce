//! What it costs to look on: time to start, memory while the queue is huge.

use std::time::Duration;

use anyhow::Result;

use crate::findings::Findings;
use crate::lab::Setup;
use crate::process::Process;
use crate::scenario::{Boot, Scenario, Scene};
use crate::summary::Summary;
use crate::trial::{self, Consumer, FAST, Stage, Trial};

const PATIENCE: Duration = Duration::from_mins(1);

/// Longest start.
const SECOND_NS: i64 = 1_000_000_000;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("start", start).short(),
    Scenario::new("start-takes-a-second", start_takes_a_second).boot(Boot::Clock),
    Scenario::new("memory-64000-records", memory),
];

/// Says how long it took, though an emulated guest on a busy host may take any time.
fn start(scene: &mut Scene<'_>) -> Result<()> {
    let (startup, mut findings) = startup_ns(scene)?;
    findings.at_least("startup_ns", startup, 1);
    findings.verdict()
}

/// A nanosecond is an instruction here. Right after a boot the kernel still has work of its own, which is
/// no doing of the trace: the best of three counts. (To tell who causes records, the kernel has larger
/// programs to check.)
fn start_takes_a_second(scene: &mut Scene<'_>) -> Result<()> {
    let mut findings = Findings::default();
    for options in [&["--no-talkers"][..], &[]] {
        let mut best = i64::MAX;
        for _ in 0..3 {
            let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
            let mut command = trial::trace_command(scene.lab, scene.form, &[]);
            command.args(["--duration", "500ms"]).args(options);
            let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE);
            stage.strike()?;
            let ended = ended?;
            scene.log.push(ended.stderr.clone());
            findings.equal("exit status", ended.code(), 0);
            let summary = Summary::parse(&ended.stdout)?;
            findings.that(summary.at("source") == "bpf", || "it only polls".to_owned());
            best = best.min(summary.number("startup_ns")?);
        }
        println!("# {best} ns to start with {options:?}");
        let what = format!("startup_ns with {options:?}");
        findings.between(&what, best, 1, SECOND_NS);
    }
    findings.verdict()
}

fn startup_ns(scene: &mut Scene<'_>) -> Result<(i64, Findings)> {
    let seen = scene.trial(&Trial::new("--syscall 10"))?;
    let findings = seen.common();
    Ok((seen.summary.number("startup_ns")?, findings))
}

/// 64,000 records in the queues.
fn memory(scene: &mut Scene<'_>) -> Result<()> {
    let storm = "--syscall 10700 --threads 2 --at 0:stop-sink --resume-sink";
    let trial = Trial::new(storm).limit(70_000).consumer(Consumer::Sink {
        per_record_us: 0,
        rcvbuf: Some(8192),
    });
    let seen = scene.trial(&trial)?;
    let mut findings = seen.common();
    let books = &seen.books;
    findings.near("attempted", books.attempted, 64_200, books.missed);
    findings.between(
        "VmHWM of auditwatch, KiB",
        seen.ended.peak_kib,
        1,
        32 * 1024,
    );
    findings.at_least("not delivered", books.silent + books.retry_growth, 60_000);
    findings.verdict()
}
