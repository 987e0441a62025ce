//! What the kernel's own log tells of a storm: never more than the kernel counted.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::Process;
use crate::scenario::{Scenario, Scene};
use crate::trial::Trial;

pub const SCENARIOS: &[Scenario] =
    &[Scenario::new("diagnosed-log-agrees", diagnosed_log_agrees).short()];

const PATIENCE: Duration = Duration::from_mins(1);

/// Records are lost at a limit of 64; `auditwatch diagnose` reads what /dev/kmsg has of it.
fn diagnosed_log_agrees(scene: &mut Scene<'_>) -> Result<()> {
    let trial = Trial::new("--syscall 800")
        .limit(64)
        .wait_ms(0)
        .slow_sink(1000);
    let seen = scene.trial(&trial)?;
    let mut findings = seen.common();
    findings.at_least("dropped.backlog_limit", seen.books.backlog_limit, 1);
    let counted = seen.summary.number("status.lost_end")?;
    let mut command = Command::new(&scene.lab.auditwatch);
    command.args(["diagnose", "--json"]);
    let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
    scene.log.push(format!("{} {}", ended.stdout, ended.stderr));
    findings.equal("exit status", ended.code(), 3);
    let found: Value = serde_json::from_str(&ended.stdout).context("parsing the diagnosis")?;
    findings.that(found["verdict"] == "losses", || {
        format!("verdict: expected losses, got {}", found["verdict"])
    });
    findings.that(
        found["sources"][0]["boots"][0]["depth_max"].as_i64() >= Some(65),
        || {
            format!(
                "no depth over 64 in {}",
                found["sources"][0]["boots"][0]["depth_max"]
            )
        },
    );
    let lost = found["lost_at_least"].as_i64().context("no figure")?;
    findings.between("lost at least", lost, 1, counted);
    findings.verdict()
}
