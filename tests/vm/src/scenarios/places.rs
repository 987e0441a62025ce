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
        works_or_says(s, Place::PidNamespace, &["namespace"])
    }),
    Scenario::new("no-btf", |s| works_or_says(s, Place::NoBtf, &["BTF"])),
    Scenario::new("no-kallsyms", |s| {
        works_or_says(s, Place::NoKallsyms, &["kallsyms", "symbol"])
    }),
    Scenario::new("no-addresses", |s| {
        works_or_says(
            s,
            Place::NoAddresses,
            &["CAP_SYSLOG", "kptr_restrict", "kallsyms", "address"],
        )
    }),
    Scenario::new("no-tracefs", |s| {
        works_or_says(s, Place::NoTracefs, &["trac"])
    })
    .both(),
];

/// What went wrong stands in one line on stderr: `error: ...`; a remedy may follow on a second.
pub fn one_line(ended: &Ended, findings: &mut Findings) {
    let lines = ended
        .stderr
        .lines()
        .filter(|l| !l.trim().is_empty())
        .count();
    findings.between("lines on stderr", lines, 1, 2);
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
    one_line(&ended, &mut findings);
    names_any(&ended.stderr, words, &mut findings);
    findings.that(ended.stdout.is_empty(), || {
        "there is output all the same".to_owned()
    });
    findings.verdict()
}

/// Either it works all the same, and then what it tells is true, and what it cannot tell is null
/// and the cause is named on stderr or in the summary; or it fails and says why.
fn works_or_says(scene: &mut Scene<'_>, place: Place, words: &[&str]) -> Result<()> {
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let (mut storm, _) = stage.storm("--syscall 200");
    if place == Place::PidNamespace {
        // kauditd and the sink cannot be seen from there: no settling.
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
    match ended.code() {
        0 => true_or_null(&ended, &truth, words, &mut findings)?,
        1 => {
            one_line(&ended, &mut findings);
            names_any(&ended.stderr, words, &mut findings);
        }
        other => findings.equal("exit status", other, 0),
    }
    findings.verdict()
}

fn true_or_null(
    ended: &Ended,
    truth: &Status,
    words: &[&str],
    findings: &mut Findings,
) -> Result<()> {
    let summary = Summary::parse(&ended.stdout)?;
    let mut complete = true;
    for (path, expected) in [
        ("ledger.attempted", 600),
        ("ledger.residual", 0),
        ("ledger.dropped.silent", 0),
        ("status.limit_start", i64::from(truth.backlog_limit)),
        ("status.limit_end", i64::from(truth.backlog_limit)),
        ("status.lost_start", i64::from(truth.lost)),
        ("status.enabled", i64::from(truth.enabled)),
        ("status.rate_limit", i64::from(truth.rate_limit)),
        ("depth.start", 0),
        ("depth.retry_end", 0),
    ] {
        match summary.at(path).as_i64() {
            Some(got) => findings.equal(path, got, expected),
            None => complete = false,
        }
    }
    if !complete {
        names_any(&format!("{}{}", ended.stderr, summary), words, findings);
    }
    Ok(())
}
