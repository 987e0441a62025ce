//! Places where the kernel refuses or hides something: said in one line, never a panic.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::findings::Findings;
use crate::inside::Place;
use crate::lab::Setup;
use crate::netlink;
use crate::process::{Ended, Process, tail};
use crate::scenario::{Scenario, Scene};
use crate::summary::Summary;
use crate::trial::{FAST, Stage};
use crate::wire::Status;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("unprivileged", |s| {
        refused(s, Place::User, &["root", "CAP_", "privilege"])
    })
    .short(),
    Scenario::new("user-namespace", |s| {
        refused(s, Place::UserNamespace, &["namespace", "CAP_", "root"])
    }),
    Scenario::new("pid-namespace", |s| {
        works(s, Place::PidNamespace, NO_STALL, &[])
    }),
    Scenario::new("no-btf", |s| works(s, Place::NoBtf, NO_TYPES, &["BTF"])),
    Scenario::new("no-kallsyms", |s| {
        works(s, Place::NoKallsyms, NO_VARIABLES, &["kallsyms"])
    }),
    Scenario::new("no-addresses", |s| {
        works(s, Place::NoAddresses, NO_VARIABLES, &["CAP_SYSLOG"])
    }),
    Scenario::new("no-tracefs", |s| works(s, Place::NoTracefs, NO_STALL, &[])).both(),
];

/// What is null where everything is measured: there is no reason for another source, no time of stalls where
/// nobody stalled, and no longest stall of all those that have no row.
const NO_STALL: &[&str] = &[
    "source_reason",
    "stalls.p50_ns",
    "stalls.p99_ns",
    "talkers_other.stall_max_ns",
];

/// What is null without BTF: whatever stands in a structure of the kernel (its records, the lengths
/// of its queues), and what follows from it. Who waits is not known, so neither is who was admitted.
const NO_TYPES: &[&str] = &[
    "command",
    "depth.end",
    "depth.hold_end",
    "depth.hold_max",
    "depth.hold_start",
    "depth.max",
    "depth.p50",
    "depth.p99",
    "depth.retry_end",
    "depth.retry_max",
    "depth.retry_start",
    "depth.start",
    "ledger.admitted",
    "ledger.enqueued",
    "ledger.residual",
    "ledger.residuals.delivery",
    "ledger.residuals.queue",
    "ledger.waiting",
    "memory",
    "own.lost",
    "source_reason",
    "stalls",
    "status.auditd_pid",
    "talkers_other.bytes",
    "talkers_other.stall_max_ns",
    "types",
];

/// What is null without the addresses of the kernel's variables: the main queue is learned from
/// the first record that passes, the other two from nothing. Netlink tells how many records were lost,
/// though not as of the ends of the window, nor of each program that is loaded.
const NO_VARIABLES: &[&str] = &[
    "command.samples",
    "command.system_in_audit",
    "command.system_in_audit_error",
    "depth.hold_end",
    "depth.hold_max",
    "depth.hold_start",
    "depth.retry_end",
    "depth.retry_max",
    "depth.retry_start",
    "ledger.residual",
    "ledger.residuals.delivery",
    "ledger.residuals.lost",
    "own.lost",
    "source_reason",
    "stalls.p50_ns",
    "stalls.p99_ns",
    "talkers_other.stall_max_ns",
];

/// What went wrong stands in one line on stderr, without a panic. `before`: lines that said what is
/// measured.
pub fn one_line(ended: &Ended, before: usize, findings: &mut Findings) {
    let lines = ended.stderr.lines().count();
    findings.equal("lines on stderr", lines, before + 1);
    findings.that(!ended.stderr.contains("panicked"), || {
        "it panicked".to_owned()
    });
}

fn names_any(said: &str, words: &[&str], findings: &mut Findings) {
    findings.that(words.iter().any(|w| said.contains(w)), || {
        format!(
            "the cause is not named, by none of {words:?}: {}",
            tail(said, 300)
        )
    });
}

fn inside(scene: &mut Scene<'_>, place: Place, arguments: &[String]) -> Result<Ended> {
    let name = place
        .to_possible_value()
        .map(|v| v.get_name().to_owned())
        .unwrap_or_default();
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("inside")
        .arg(name)
        .arg(&scene.lab.auditwatch)
        .args(arguments);
    let ended = Process::start(&scene.lab.directory, command)?.wait(Duration::from_secs(40))?;
    scene.log.push(format!(
        "exit {}, stderr: {}",
        ended.code(),
        tail(&ended.stderr, 1500)
    ));
    scene
        .log
        .push(format!("stdout: {}", tail(&ended.stdout, 3000)));
    Ok(ended)
}

fn trace(scene: &Scene<'_>, rest: &[String]) -> Vec<String> {
    let mut words: Vec<String> = ["trace", "--format", "json", "--attach", scene.form.name()]
        .map(str::to_owned)
        .to_vec();
    words.extend_from_slice(rest);
    words
}

/// Nothing can be done here: exit status 1 and why.
fn refused(scene: &mut Scene<'_>, place: Place, words: &[&str]) -> Result<()> {
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let arguments = trace(scene, &["--duration".into(), "1s".into()]);
    let ended = inside(scene, place, &arguments);
    stage.strike()?;
    let ended = ended?;
    let mut findings = Findings::default();
    findings.equal("exit status", ended.code(), 1);
    one_line(&ended, 0, &mut findings);
    names_any(&ended.stderr, words, &mut findings);
    findings.that(ended.stdout.is_empty(), || {
        "there is output all the same".to_owned()
    });
    findings.verdict()
}

/// It works all the same: `unseen` and nothing else is null, the cause of that is named on stderr
/// and in the summary, and all that is told is true.
fn works(scene: &mut Scene<'_>, place: Place, unseen: &[&str], cause: &[&str]) -> Result<()> {
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let (mut storm, _) = stage.storm("--syscall 200");
    // kauditd and the sink cannot be seen from there: no settling.
    let settles = place != Place::PidNamespace;
    if !settles {
        storm.truncate(4);
    }
    let mut rest = vec!["--".to_owned()];
    rest.extend(storm);
    let truth = netlink::status()?;
    let arguments = trace(scene, &rest);
    let ended = inside(scene, place, &arguments);
    stage.strike()?;
    let ended = ended?;
    let mut findings = Findings::default();
    findings.that(!ended.stderr.contains("panicked"), || {
        "it panicked".to_owned()
    });
    findings.equal("exit status", ended.code(), 0);
    let summary = Summary::parse(&ended.stdout)?;
    only_these_are_null(&summary, unseen, &mut findings);
    if !cause.is_empty() {
        names_any(&ended.stderr, cause, &mut findings);
        names_any(&summary.at("notes").to_string(), cause, &mut findings);
    }
    all_is_true(&summary, &truth, settles, &mut findings);
    findings.verdict()
}

fn only_these_are_null(summary: &Summary, unseen: &[&str], findings: &mut Findings) {
    let mut nulls = summary.nulls();
    // A recommendation that keeps the limit names no command and no bottleneck.
    nulls.retain(|path| !path.starts_with("recommendation."));
    for path in &nulls {
        findings.that(unseen.contains(&path.as_str()), || {
            format!("{path} is null, expected a value")
        });
    }
    for path in unseen {
        findings.that(nulls.iter().any(|null| null == path), || {
            format!("{path}: expected null, got {}", summary.at(path))
        });
    }
}

/// What is told, and not null, against the storm, the kernel's answer and the sink that took all.
fn all_is_true(summary: &Summary, truth: &Status, settles: bool, findings: &mut Findings) {
    findings.that(summary.at("source") == "bpf", || {
        format!("source: expected bpf, got {}", summary.at("source"))
    });
    let missed = findings.take(summary.number("ledger.missed")).unwrap_or(0);
    let mut counted = vec![("ledger.attempted", 600)];
    if settles {
        counted.extend([
            ("ledger.drained", 600),
            ("ledger.delivered", 600),
            ("types.SYSCALL", 200),
            ("types.PROCTITLE", 200),
            ("types.EOE", 200),
        ]);
    }
    for (path, expected) in counted {
        if let Some(got) = told(summary, path, findings) {
            findings.near(path, got, expected, missed);
        }
    }
    for (path, expected) in [
        ("lost", 0),
        ("ledger.residual", 0),
        ("ledger.dropped.backlog_limit", 0),
        ("ledger.dropped.silent", 0),
        ("status.limit_start", i64::from(truth.backlog_limit)),
        ("status.limit_end", i64::from(truth.backlog_limit)),
        ("status.lost_start", i64::from(truth.lost)),
        ("status.lost_end", i64::from(truth.lost)),
        ("status.enabled", i64::from(truth.enabled)),
        ("status.failure", i64::from(truth.failure)),
        ("status.auditd_pid", i64::from(truth.pid)),
        ("status.rate_limit", i64::from(truth.rate_limit)),
        ("depth.start", 0),
        ("depth.retry_end", 0),
        ("depth.hold_end", 0),
    ] {
        if let Some(got) = told(summary, path, findings) {
            findings.equal(path, got, expected);
        }
    }
}

/// The number at a path, unless it or what it is part of is null. Whether it may be is another
/// question; that it is left out is a finding.
fn told(summary: &Summary, path: &str, findings: &mut Findings) -> Option<i64> {
    let whole = path.split('.').next().unwrap_or_default();
    let nulls = summary.nulls();
    if nulls.iter().any(|null| null == path || null == whole) {
        return None;
    }
    findings.take(summary.number(path))
}
