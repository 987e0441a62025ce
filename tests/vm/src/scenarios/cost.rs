//! What it costs to look on: time to start, memory while the queue is huge.

use std::time::Duration;

use anyhow::Result;

use crate::scenario::{Scenario, Scene};
use crate::trial::{Consumer, Trial};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("start-within-a-second", start).short(),
    Scenario::new("memory-64000-records", memory),
];

/// A second on a real processor. An emulated one is some ten times slower, and shares its host.
fn start(scene: &mut Scene<'_>) -> Result<()> {
    let seen = scene.trial(&Trial::new("--syscall 10"))?;
    let mut findings = seen.common();
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let bound = Duration::from_secs(if emulated(&cpu) { 4 } else { 1 });
    let startup = seen.summary.number("startup_ns")?;
    findings.between("startup_ns", startup, 1, i64::try_from(bound.as_nanos())?);
    findings.verdict()
}

/// Whether `/proc/cpuinfo` is that of QEMU's own processors: it names itself on x86-64, and has
/// no maker on aarch64.
fn emulated(cpuinfo: &str) -> bool {
    cpuinfo.contains("QEMU TCG")
        || cpuinfo.lines().any(|l| {
            l.starts_with("CPU implementer")
                && l.split(':').next_back().map(str::trim) == Some("0x00")
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emulated_processors() {
        assert!(emulated("model name\t: QEMU TCG CPU version 2.5+\n"));
        assert!(emulated("CPU implementer\t: 0x00\n"));
        assert!(!emulated("model name\t: AMD EPYC\n"));
        assert!(!emulated("CPU implementer\t: 0x41\n"));
    }
}
