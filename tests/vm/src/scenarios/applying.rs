//! Apply and undo with the real tools: what was applied is there after a load as at boot, what was
//! undone is back byte for byte, and whatever goes wrong half-way leaves whole files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::findings::Findings;
use crate::lab::Setup;
use crate::netlink::{self, AuditSocket};
use crate::process::{Ended, Process, tail};
use crate::scenario::{Boot, Scenario, Scene};
use crate::tasks;
use crate::trial::{Consumer, Stage};
use crate::wire::Setting;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("apply-each-layout", each_layout).short(),
    Scenario::new("apply-what-others-changed", others),
    Scenario::new("apply-where-a-loss-panics", panics),
    Scenario::new("apply-watched", watched),
];

/// After this one nothing can be set any more until the guest is booted again.
pub const LOCKING: &[Scenario] =
    &[Scenario::new("apply-locked-settings", locked).boot(Boot::Audit1)];

pub(super) const PATIENCE: Duration = Duration::from_mins(1);
pub(super) const ETC: &str = "/etc/audit";
const ASIDE: &str = "/etc/audit.aside";
pub(super) const JOURNAL: &str = "/var/lib/auditwatch/journal.jsonl";
pub(super) const OLD: u32 = 320;
pub(super) const NEW: u32 = 9000;
/// Rules as a host has them: a file without a line break at its end is among them.
pub(super) const RULES_D: [(&str, &str); 3] = [
    ("rules.d/10-base.rules", "## base\n-D\n-f 1\n"),
    (
        "rules.d/99-site.rules",
        "# site\n-w /etc/passwd -p wa -k site\n",
    ),
    (
        "rules.d/audit.rules",
        "-b 320\n--backlog_wait_time 5000\n-w /etc/group -p wa -k group",
    ),
];
const BY_HAND: [(&str, &str); 1] = [(
    "audit.rules",
    "# kept by hand\n-D\n# the buffer\n-b 320\n-f 1\n-w /etc/passwd -p wa -k site\n",
)];

/// `/etc/audit` with these files, until it is dropped.
pub(super) struct Etc;

impl Etc {
    pub(super) fn with(files: &[(&str, &str)]) -> Result<Self> {
        drop(fs::remove_dir_all(ASIDE));
        drop(fs::remove_file(JOURNAL));
        fs::rename(ETC, ASIDE).context("moving /etc/audit aside")?;
        let etc = Self;
        make(Path::new(ETC), files)?;
        Ok(etc)
    }
}

impl Drop for Etc {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(ETC));
        drop(fs::rename(ASIDE, ETC));
        drop(fs::remove_file(JOURNAL));
    }
}

pub(super) fn make(directory: &Path, files: &[(&str, &str)]) -> Result<()> {
    fs::create_dir_all(directory)?;
    for (name, content) in files {
        let path = directory.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604))?;
    }
    Ok(())
}

/// A file: its bytes, its mode, its owner.
pub(super) type Kept = (Vec<u8>, u32, u32);

/// All files below a directory.
pub(super) fn files(directory: &Path) -> Result<BTreeMap<PathBuf, Kept>> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("reading {}", next.display()))? {
            let path = entry?.path();
            let seen = fs::symlink_metadata(&path)?;
            if seen.is_dir() {
                open.push(path);
            } else {
                let bytes = if seen.is_symlink() {
                    fs::read_link(&path)?.into_os_string().into_encoded_bytes()
                } else {
                    fs::read(&path)?
                };
                found.insert(path, (bytes, seen.mode(), seen.uid()));
            }
        }
    }
    Ok(found)
}

pub(super) fn auditwatch(scene: &Scene<'_>, words: &[&str]) -> Result<Ended> {
    start(scene, words)?.wait(PATIENCE)
}

pub(super) fn start(scene: &Scene<'_>, words: &[&str]) -> Result<Process> {
    let mut command = Command::new(&scene.lab.auditwatch);
    command.args(words);
    Process::start(&scene.lab.directory, command)
}

pub(super) fn report(ended: &Ended) -> Result<Value> {
    serde_json::from_str(&ended.stdout).with_context(|| {
        format!(
            "exit {}: {} {}",
            ended.code(),
            tail(&ended.stdout, 300),
            tail(&ended.stderr, 600)
        )
    })
}

pub(super) fn limit() -> Result<u32> {
    Ok(netlink::status()?.backlog_limit)
}

/// Auditing on, with the old limit, and nobody registered.
pub(super) fn ready(scene: &Scene<'_>) -> Result<()> {
    scene.lab.clear()?;
    scene.lab.configure(&Setup {
        limit: OLD,
        rules: Vec::new(),
        ..Setup::default()
    })?;
    AuditSocket::open()?.set(Setting::Enabled(1))
}

/// Loads the rules as a boot does, by the real tool: of the kernel's own limit.
fn boot(scene: &Scene<'_>, by_hand: bool) -> Result<u32> {
    AuditSocket::open()?.set(Setting::BacklogLimit(64))?;
    let mut command = if by_hand {
        let mut command = Command::new("/usr/sbin/auditctl");
        command.args(["-R", "/etc/audit/audit.rules"]);
        command
    } else {
        let mut command = Command::new("augenrules");
        command.arg("--load");
        command
    };
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
    ensure!(
        ended.code() == 0,
        "the loader failed: {} {}",
        ended.stdout,
        ended.stderr
    );
    limit()
}

/// What augenrules makes of rules.d is its own.
fn forget_compiled() {
    for name in ["audit.rules", "audit.rules.prev"] {
        drop(fs::remove_file(Path::new(ETC).join(name)));
    }
}

fn each_layout(scene: &mut Scene<'_>) -> Result<()> {
    let mut findings = Findings::default();
    for (layout, tree) in [("rules.d", RULES_D.as_slice()), ("by hand", &BY_HAND)] {
        let by_hand = layout == "by hand";
        let etc = Etc::with(tree)?;
        ready(scene)?;
        let before = files(Path::new(ETC))?;
        let shown = auditwatch(scene, &["apply", "9000", "--dry-run", "--json"])?;
        findings.that(
            report(&shown)?["files"][0]["diff"]
                .to_string()
                .contains("+-b 9000"),
            || format!("{layout}: no diff: {}", shown.stdout),
        );
        findings.that(files(Path::new(ETC))? == before && limit()? == OLD, || {
            format!("{layout}: --dry-run changed something")
        });
        let ended = auditwatch(scene, &["apply", "9000", "--yes", "--json"])?;
        let told = report(&ended)?;
        scene.log.push(format!("{layout}: {told}"));
        findings.equal(&format!("{layout}: exit status"), ended.code(), 0);
        findings.equal(&format!("{layout}: limit"), limit()?, NEW);
        findings.that(told["state"] == "verified", || told.to_string());
        findings.equal(
            &format!("{layout}: limit after a boot"),
            boot(scene, by_hand)?,
            NEW,
        );
        if !by_hand {
            forget_compiled();
        }
        // What it writes over keeps its mode and owner.
        for (path, (_, mode, owner)) in files(Path::new(ETC))? {
            if let Some((_, then, its)) = before.get(&path) {
                findings.that(mode == *then && owner == *its, || {
                    format!("{layout}: {} has mode {mode:o}", path.display())
                });
            }
        }
        let again = auditwatch(scene, &["apply", "9000", "--yes", "--json"])?;
        findings.that(report(&again)?["id"].is_null(), || {
            format!("{layout}: applied twice: {}", again.stdout)
        });
        let undone = auditwatch(scene, &["undo", "--json"])?;
        scene
            .log
            .push(format!("{layout}: {} {}", undone.stdout, undone.stderr));
        findings.equal(&format!("{layout}: exit status of undo"), undone.code(), 0);
        findings.that(files(Path::new(ETC))? == before, || {
            format!("{layout}: not as it was: {:?}", files(Path::new(ETC)))
        });
        findings.equal(&format!("{layout}: limit in the end"), limit()?, OLD);
        findings.equal(
            &format!("{layout}: limit after a boot"),
            boot(scene, by_hand)?,
            OLD,
        );
        let history = auditwatch(scene, &["history", "--json"])?;
        let changes = report(&history)?["changes"].clone();
        findings.that(
            changes[0]["state"] == "reverted" && changes[0]["plan"]["by"]["uid"] == 0,
            || format!("{layout}: history: {changes}"),
        );
        drop(etc);
    }
    scene.lab.clear()?;
    findings.verdict()
}

/// What somebody else has changed since is named, and nothing is touched.
fn others(scene: &mut Scene<'_>) -> Result<()> {
    let mut findings = Findings::default();
    let etc = Etc::with(&RULES_D)?;
    ready(scene)?;
    let applied = auditwatch(scene, &["apply", "9000", "--yes"])?;
    ensure!(applied.code() == 0, "{}", applied.stderr);
    AuditSocket::open()?.set(Setting::BacklogLimit(7777))?;
    let now = files(Path::new(ETC))?;
    let refused = auditwatch(scene, &["undo"])?;
    findings.equal("exit status", refused.code(), 1);
    findings.that(refused.stderr.contains("backlog_limit is now 7777"), || {
        refused.stderr.clone()
    });
    findings.that(files(Path::new(ETC))? == now && limit()? == 7777, || {
        "something was touched".to_owned()
    });
    AuditSocket::open()?.set(Setting::BacklogLimit(NEW))?;
    let own = Path::new(ETC).join("rules.d/zz-auditwatch.rules");
    let ours = fs::read(&own)?;
    fs::write(&own, [ours.as_slice(), b"# mine\n"].concat())?;
    let refused = auditwatch(scene, &["undo"])?;
    findings.equal("exit status", refused.code(), 1);
    findings.that(
        refused.stderr.contains("zz-auditwatch.rules differs"),
        || refused.stderr.clone(),
    );
    findings.equal("limit", limit()?, NEW);
    fs::write(&own, ours)?;
    findings.equal(
        "exit status in the end",
        auditwatch(scene, &["undo"])?.code(),
        0,
    );
    drop(etc);
    scene.lab.clear()?;
    findings.verdict()
}

/// A full queue on a host that a lost record panics: the raise is sent, nothing else ever is. Were
/// anything lost the guest would be gone.
fn panics(scene: &mut Scene<'_>) -> Result<()> {
    let setup = Setup {
        limit: 64,
        ..Setup::default()
    };
    // Slow, and never so slow that kauditd gives a record up: what it gives up may overflow too.
    let slow = Consumer::Sink {
        per_record_us: 10_000,
        rcvbuf: Some(8192),
    };
    let stage = Stage::set(scene.lab, &setup, slow)?;
    AuditSocket::open()?.set(Setting::Failure(2))?;
    let seeing = scene.lab.memory()?.is_some();
    let mut findings = Findings::default();
    if seeing {
        let (storm, _) = stage.storm("--processes 8 --syscall 60");
        let mut command = Command::new(&storm[0]);
        command.args(&storm[1..]);
        let mut process = Process::start(&scene.lab.directory, command)?;
        process.until("full", PATIENCE, |_| tasks::asleep_in_audit().len() >= 8)?;
        let lower = auditwatch(scene, &["apply", "32", "--runtime-only", "--yes"])?;
        findings.equal("exit status of a lower limit", lower.code(), 1);
        let raised = auditwatch(scene, &["apply", "9000", "--runtime-only", "--yes"])?;
        scene
            .log
            .push(format!("{} {}", raised.stdout, raised.stderr));
        findings.equal("exit status of a raise", raised.code(), 0);
        process.wait(PATIENCE)?;
    } else {
        let raised = auditwatch(scene, &["apply", "9000", "--runtime-only", "--yes"])?;
        findings.equal("exit status of a raise", raised.code(), 0);
    }
    findings.equal("limit", limit()?, NEW);
    let wait = auditwatch(
        scene,
        &["apply", "--wait-time", "0", "--runtime-only", "--yes"],
    )?;
    findings.that(wait.code() == 1 && wait.stderr.contains("-f 2"), || {
        wait.stderr.clone()
    });
    let undone = auditwatch(scene, &["undo", "--json"])?;
    findings.equal("exit status of undo", undone.code(), 0);
    findings.that(
        report(&undone)?["stays"].to_string().contains("-f 2"),
        || undone.stdout.clone(),
    );
    findings.equal("limit after undo", limit()?, NEW);
    AuditSocket::open()?.set(Setting::Failure(1))?;
    drop(fs::remove_file(JOURNAL));
    stage.strike()?;
    findings.verdict()
}

/// Things get worse while it looks on, and the change is taken back.
fn watched(scene: &mut Scene<'_>) -> Result<()> {
    let mut findings = Findings::default();
    let setup = Setup {
        limit: 8192,
        wait_ms: 0,
        ..Setup::default()
    };
    let slow = Consumer::Sink {
        per_record_us: 2000,
        rcvbuf: Some(8192),
    };
    let stage = Stage::set(scene.lab, &setup, slow)?;
    let words = [
        "apply",
        "100",
        "--runtime-only",
        "--watch",
        "4s",
        "--yes",
        "--json",
    ];
    let mut process = start(scene, &words)?;
    process.until("monitoring", PATIENCE, |p| {
        p.errors().contains("monitoring for")
    })?;
    findings.equal("limit while it looks on", limit()?, 100);
    let (storm, _) = stage.storm("--processes 4 --syscall 1000");
    let mut command = Command::new(&storm[0]);
    command.args(&storm[1..]);
    let storm = Process::start(&scene.lab.directory, command)?;
    let ended = process.wait(PATIENCE)?;
    storm.wait(PATIENCE)?;
    scene.log.push(format!("{} {}", ended.stdout, ended.stderr));
    let told = report(&ended)?;
    findings.equal("exit status", ended.code(), 1);
    findings.that(
        told["watch"]["reverted"] == true && told["state"] == "reverted",
        || told.to_string(),
    );
    findings.equal("limit", limit()?, 8192);
    let kept = auditwatch(
        scene,
        &[
            "apply",
            "9000",
            "--runtime-only",
            "--watch",
            "1s",
            "--yes",
            "--json",
        ],
    )?;
    findings.equal("exit status where nothing got worse", kept.code(), 0);
    findings.equal("limit", limit()?, NEW);
    drop(fs::remove_file(JOURNAL));
    stage.strike()?;
    findings.verdict()
}

/// Settings that are locked until reboot: nothing is sent, the files have it, and what the real
/// augenrules makes of them has it.
fn locked(scene: &mut Scene<'_>) -> Result<()> {
    let mut findings = Findings::default();
    let etc = Etc::with(&RULES_D)?;
    ready(scene)?;
    let before = files(Path::new(ETC))?;
    AuditSocket::open()?.set(Setting::Enabled(2))?;
    let only = auditwatch(scene, &["apply", "9000", "--runtime-only", "--yes"])?;
    findings.that(only.code() == 1 && only.stderr.contains("-e 2"), || {
        only.stderr.clone()
    });
    let ended = auditwatch(scene, &["apply", "9000", "--yes", "--json"])?;
    let told = report(&ended)?;
    scene.log.push(told.to_string());
    findings.equal("exit status", ended.code(), 0);
    findings.that(
        told["pending_reboot"] == true && told["runtime"] == "pending_reboot",
        || told.to_string(),
    );
    findings.equal("limit", limit()?, OLD);
    let mut command = Command::new("augenrules");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    drop(Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?);
    let compiled = fs::read_to_string(Path::new(ETC).join("audit.rules"))?;
    let limits: Vec<&str> = compiled
        .lines()
        .filter(|line| line.starts_with("-b"))
        .collect();
    findings.that(limits == ["-b 9000"], || format!("compiled: {limits:?}"));
    forget_compiled();
    let undone = auditwatch(scene, &["undo"])?;
    findings.equal("exit status of undo", undone.code(), 0);
    findings.that(files(Path::new(ETC))? == before, || {
        "not as it was".to_owned()
    });
    drop(etc);
    findings.verdict()
}
