//! What it costs to look on: time to start, memory while the queue is huge.

use std::time::Duration;

use anyhow::Result;

use crate::scenario::{Scenario, Scene};
use crate::trial::{Consumer, Trial};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("start-within-a-second", start).short(),
    Scenario::new("memory-64000-records", memory),
];

fn start(scene: &mut Scene<'_>) -> Result<()> {
    let seen = scene.trial(&Trial::new("--syscall 10"))?;
    let mut findings = seen.common();
    let startup = seen.summary.number("startup_ns")?;
    let second = i64::try_from(Duration::from_secs(1).as_nanos())?;
    findings.between("startup_ns", startup, 1, second);
    findings.verdict()
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
