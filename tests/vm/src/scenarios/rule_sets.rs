//! The real auditd and the rule sets that distributions ship, under file-system work.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::accounting::{Books, signed};
use crate::auditd::{self, Auditd};
use crate::findings::Findings;
use crate::lab::Setup;
use crate::netlink::AuditSocket;
use crate::process::{Process, tail};
use crate::scenario::{Scenario, Scene, Skipped};
use crate::storm_args::StormReport;
use crate::summary::Summary;
use crate::trial::{self, Consumer, Stage};
use crate::wire::{self, Setting};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("auditd-stig", |s| rule_set(s, "30-stig")).short(),
    Scenario::new("auditd-pci-dss", |s| rule_set(s, "30-pci-dss")),
    Scenario::new("auditd-ospp", |s| rule_set(s, "30-ospp")),
];

const RULES: &str = "/usr/share/audit-rules";

fn rule_files(prefix: &str) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(RULES))
        .with_context(|| format!("listing {RULES}"))?
        .flatten()
        .map(|e| e.path())
        .filter(|p| {
            p.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with(prefix))
        })
        .collect();
    files.sort();
    Ok(files)
}

fn rule_set(scene: &mut Scene<'_>, prefix: &str) -> Result<()> {
    let files = rule_files(prefix)?;
    if files.is_empty() {
        return Err(Skipped(format!("this guest has no {prefix}*.rules")).into());
    }
    let lab = scene.lab;
    let setup = Setup {
        limit: 20_000,
        rules: Vec::new(),
        ..Setup::default()
    };
    let stage = Stage::set(lab, &setup, Consumer::None)?;
    let daemon = Auditd::start(lab)?;
    let loaded = auditd::load_rules(lab, &files)?;
    // A session of a user, as the rules want it: they look at auid >= 1000.
    let load = "--files 60 --threads 2 --uid 1000 --loginuid 1000";
    let (mut storm, result) = stage.storm(load);
    storm.extend(["--log".into(), daemon.log.to_string_lossy().into_owned()]);
    storm.extend(["--log-pid".into(), daemon.id().to_string()]);
    // Loading the rules has been logged: all of that must be out of the way.
    lab.watch()?
        .log(Some((daemon.log.clone(), daemon.id())))
        .wait(std::time::Duration::from_secs(20))?;
    let mut command = trial::trace_command(lab, scene.form, &[]);
    command.arg("--").args(storm);
    let ended = Process::start(&lab.directory, command)?.wait(std::time::Duration::from_secs(90));
    // auditd leaves while nothing is logged any more, or its leaving would be.
    AuditSocket::open()?.set(Setting::Enabled(0))?;
    daemon.end()?;
    stage.strike()?;
    let ended = ended?;
    scene.log.push(format!("{loaded} rules of {prefix}"));
    if let Some(line) = ended.stdout.lines().next_back() {
        scene.log.push(format!("summary: {line}"));
    }
    scene.log.push(format!(
        "exit {}, stderr: {}",
        ended.code(),
        tail(&ended.stderr, 1500)
    ));
    let report = fs::read(&result).context("the storm left no result")?;
    scene
        .log
        .push(format!("storm: {}", String::from_utf8_lossy(&report)));
    let report: StormReport = serde_json::from_slice(&report)?;
    let summary = Summary::parse(&ended.stdout)?;
    let books = Books::of(&summary)?;
    let mut findings = Findings::default();
    findings.at_least("rules loaded", loaded, 11);
    books.laws(&mut findings);
    findings.equal("exit status", ended.code(), 0);
    findings.equal("losses", books.losses(), 0);
    // auditd writes every record but EOE to its log, and each event has one SYSCALL and one EOE.
    let written = signed(report.received());
    let ends = signed(report.received_of(wire::SYSCALL));
    findings.at_least("records in the log", written, 100);
    findings.near(
        "delivered = lines of the log + EOE",
        books.delivered,
        written + ends,
        books.missed,
    );
    findings.near(
        "types.EOE",
        summary.number("types.EOE")?,
        ends,
        books.missed,
    );
    findings.equal("failed rounds", report.produced.failed, 0);
    findings.verdict()
}
