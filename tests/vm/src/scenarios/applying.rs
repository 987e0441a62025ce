//! Apply and undo with the real tools: what was applied is there after a load as at boot, what was
//! undone is back byte for byte, and whatever goes wrong half-way leaves whole files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::findings::Findings;
use crate::lab::Setup;
use crate::netlink::{self, AuditSocket};
use crate::process::{Ended, Process, tail};
use crate::scenario::{Boot, Scenario, Scene};
use crate::sys;
use crate::tasks;
use crate::trial::{Consumer, Stage};
use crate::wire::Setting;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("apply-each-layout", each_layout).short(),
    Scenario::new("apply-what-fails", what_fails).short(),
    Scenario::new("apply-what-others-changed", others),
    Scenario::new("apply-killed", killed),
    Scenario::new("apply-where-a-loss-panics", panics),
    Scenario::new("apply-watched", watched),
];

/// After this one nothing can be set any more until the guest is booted again.
pub const LOCKING: &[Scenario] =
    &[Scenario::new("apply-locked-settings", locked).boot(Boot::Audit1)];

const PATIENCE: Duration = Duration::from_mins(1);
const ETC: &str = "/etc/audit";
const ASIDE: &str = "/etc/audit.aside";
const JOURNAL: &str = "/var/lib/auditwatch/journal.jsonl";
const OLD: u32 = 320;
const NEW: u32 = 9000;
/// Rules as a host has them: a file without a line break at its end is among them.
const RULES_D: [(&str, &str); 3] = [
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
struct Etc;

impl Etc {
    fn with(files: &[(&str, &str)]) -> Result<Self> {
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

fn make(directory: &Path, files: &[(&str, &str)]) -> Result<()> {
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
type Kept = (Vec<u8>, u32, u32);

/// All files below a directory.
fn files(directory: &Path) -> Result<BTreeMap<PathBuf, Kept>> {
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

fn auditwatch(scene: &Scene<'_>, words: &[&str]) -> Result<Ended> {
    start(scene, words)?.wait(PATIENCE)
}

fn start(scene: &Scene<'_>, words: &[&str]) -> Result<Process> {
    let mut command = Command::new(&scene.lab.auditwatch);
    command.args(words);
    Process::start(&scene.lab.directory, command)
}

fn report(ended: &Ended) -> Result<Value> {
    serde_json::from_str(&ended.stdout).with_context(|| {
        format!(
            "exit {}: {} {}",
            ended.code(),
            tail(&ended.stdout, 300),
            tail(&ended.stderr, 600)
        )
    })
}

fn limit() -> Result<u32> {
    Ok(netlink::status()?.backlog_limit)
}

/// Auditing on, with the old limit, and nobody registered.
fn ready(scene: &Scene<'_>) -> Result<()> {
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

/// A tree on a mounted disk, on which nothing may change.
struct Disk(PathBuf);

impl Disk {
    fn make(scene: &Scene<'_>, name: &str) -> Result<Self> {
        let path = scene.lab.directory.join(name);
        drop(fs::remove_dir_all(&path));
        make(&path.join("etc/audit"), &RULES_D)?;
        fs::create_dir_all(path.join("var/lib"))?;
        Ok(Self(path))
    }

    fn text(&self) -> String {
        self.0.display().to_string()
    }

    /// Applies, expects a refusal in one line that says so much, and nothing changed.
    fn refuses(&self, scene: &mut Scene<'_>, says: &str, findings: &mut Findings) -> Result<()> {
        let etc = self.0.join("etc");
        let before = files(&etc)?;
        let root = self.text();
        let ended = auditwatch(scene, &["apply", "9000", "--yes", "--root", &root])?;
        scene
            .log
            .push(format!("{says}: exit {}: {}", ended.code(), ended.stderr));
        findings.equal(&format!("{says}: exit status"), ended.code(), 1);
        findings.that(ended.stderr.contains(says), || {
            format!("{says}: it says {}", ended.stderr)
        });
        findings.equal(&format!("{says}: lines"), ended.stderr.lines().count(), 1);
        findings.that(files(&etc)? == before, || {
            format!("{says}: something changed")
        });
        Ok(())
    }
}

/// A tmpfs until it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn at(path: &Path, options: &str) -> Result<Self> {
        sys::mount("tmpfs".as_ref(), path, "tmpfs", 0, options)?;
        Ok(Self(path.to_owned()))
    }

    fn fill(&self) {
        // Until nothing more fits: a byte at the end shows that.
        let bytes = vec![b'x'; 1 << 20];
        drop(fs::write(self.0.join("filler"), &bytes));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

fn what_fails(scene: &mut Scene<'_>) -> Result<()> {
    let mut findings = Findings::default();
    let disk = Disk::make(scene, "full")?;
    let mounted = Mounted::at(&disk.0.join("etc/audit"), "size=64k")?;
    make(&disk.0.join("etc/audit"), &RULES_D)?;
    mounted.fill();
    disk.refuses(scene, "No space left", &mut findings)?;
    drop(mounted);
    let disk = Disk::make(scene, "full-journal")?;
    let mounted = Mounted::at(&disk.0.join("var/lib"), "size=64k")?;
    mounted.fill();
    disk.refuses(scene, "No space left", &mut findings)?;
    drop(mounted);
    let disk = Disk::make(scene, "read-only")?;
    let mounted = Mounted::at(&disk.0.join("etc/audit"), "size=64k")?;
    make(&disk.0.join("etc/audit"), &RULES_D)?;
    Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(disk.0.join("etc/audit"))
        .status()?;
    disk.refuses(scene, "Read-only file system", &mut findings)?;
    drop(mounted);
    let disk = Disk::make(scene, "missing")?;
    fs::remove_dir_all(disk.0.join("etc/audit"))?;
    disk.refuses(scene, "cannot open the directory", &mut findings)?;
    let disk = Disk::make(scene, "directory")?;
    fs::create_dir(disk.0.join("etc/audit/rules.d/zz-auditwatch.rules"))?;
    disk.refuses(scene, "is a directory", &mut findings)?;
    let disk = Disk::make(scene, "link")?;
    symlink(
        "/etc/elsewhere",
        disk.0.join("etc/audit/rules.d/zz-auditwatch.rules"),
    )?;
    disk.refuses(scene, "symbolic link", &mut findings)?;
    // As somebody who may not.
    let etc = Etc::with(&RULES_D)?;
    let before = files(Path::new(ETC))?;
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["inside", "user", "--"])
        .arg(&scene.lab.auditwatch)
        .args(["apply", "9000", "--yes"]);
    let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
    findings.equal("exit status of a user", ended.code(), 1);
    findings.that(ended.stderr.contains("root"), || {
        format!("a user is told {}", ended.stderr)
    });
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["inside", "pid-namespace", "--"])
        .arg(&scene.lab.auditwatch)
        .args(["apply", "9000", "--yes"]);
    let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
    findings.equal("exit status in a container", ended.code(), 1);
    findings.that(ended.stderr.contains("hostPID"), || {
        format!("a container is told {}", ended.stderr)
    });
    let ended = auditwatch(scene, &["apply", "9000"])?;
    findings.that(ended.code() == 1 && ended.stderr.contains("--yes"), || {
        format!("without a terminal: {}", ended.stderr)
    });
    findings.that(files(Path::new(ETC))? == before, || {
        "something changed".to_owned()
    });
    drop(etc);
    // And one that works: on a disk, with the journal on it.
    let disk = Disk::make(scene, "fine")?;
    let before = files(&disk.0.join("etc"))?;
    let root = disk.text();
    let kernel = limit()?;
    let ended = auditwatch(
        scene,
        &["apply", "9000", "--yes", "--root", &root, "--json"],
    )?;
    findings.equal("exit status with --root", ended.code(), 0);
    findings.that(report(&ended)?["at_boot"]["backlog_limit"] == NEW, || {
        ended.stdout.clone()
    });
    findings.equal("limit of this host", limit()?, kernel);
    findings.that(
        disk.0.join("var/lib/auditwatch/journal.jsonl").exists(),
        || "there is no journal on the disk".to_owned(),
    );
    let undone = auditwatch(scene, &["undo", "--root", &root])?;
    findings.equal("exit status of undo with --root", undone.code(), 0);
    findings.that(files(&disk.0.join("etc"))? == before, || {
        "not as it was".to_owned()
    });
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
    findings.that(refused.stderr.contains("backlog_limit is 7777"), || {
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
        refused.stderr.contains("zz-auditwatch.rules is not as"),
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

/// Kills of each kind: a few, or as many as a longer run asks for.
fn kills() -> u32 {
    std::env::var("VMTEST_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(3)
}

/// Kill -9 all over apply and undo: files are whole, and a second run finishes.
fn killed(scene: &mut Scene<'_>) -> Result<()> {
    let mut findings = Findings::default();
    let etc = Etc::with(&RULES_D)?;
    ready(scene)?;
    let before = files(Path::new(ETC))?;
    let began = Instant::now();
    let applied = auditwatch(scene, &["apply", "9000", "--yes"])?;
    let usual = began.elapsed();
    ensure!(applied.code() == 0, "{}", applied.stderr);
    let after = files(Path::new(ETC))?
        .into_iter()
        .map(|(path, kept)| (path, kept.0));
    let after: BTreeMap<PathBuf, Vec<u8>> = after.collect();
    let undone = auditwatch(scene, &["undo"])?;
    ensure!(undone.code() == 0, "{}", undone.stderr);
    let mut moments = BTreeMap::<String, u32>::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..kills() {
        for undo in [false, true] {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if undo {
                let applied = auditwatch(scene, &["apply", "9000", "--yes"])?;
                ensure!(applied.code() == 0, "round {round}: {}", applied.stderr);
            }
            let words: &[&str] = if undo {
                &["undo"]
            } else {
                &["apply", "9000", "--yes"]
            };
            let size = fs::metadata(JOURNAL).map_or(0, |file| file.len());
            let process = start(scene, words)?;
            await_moment(random, usual, size, &process);
            drop(process.signal(libc::SIGKILL));
            process.wait(PATIENCE)?;
            let history = report(&auditwatch(scene, &["history", "--json"])?)?;
            let last = history["changes"]
                .as_array()
                .and_then(|all| all.last().cloned());
            let state = last.unwrap_or_default()["state"].to_string();
            *moments.entry(format!("{} {state}", words[0])).or_default() += 1;
            // Whole: old, or new but for the moment that its comment tells.
            let own = PathBuf::from(ETC).join("rules.d/zz-auditwatch.rules");
            for (path, (bytes, ..)) in files(Path::new(ETC))? {
                let is_old = before.get(&path).is_some_and(|kept| kept.0 == bytes);
                let is_new = path == own
                    && bytes.len() == after[&own].len()
                    && bytes.ends_with(b"-b 9000\n");
                let is_staged = path.to_string_lossy().ends_with(".auditwatch-new");
                findings.that(is_old || is_new || is_staged, || {
                    format!("round {round}: {} is torn: {bytes:?}", path.display())
                });
            }
            let now = limit()?;
            findings.that(now == OLD || now == NEW, || {
                format!("round {round}: limit {now}")
            });
            if undo {
                let again = auditwatch(scene, &["undo"])?;
                let fine = again.code() == 0 || again.stderr.contains("nothing to take back");
                findings.that(fine, || {
                    format!("round {round}: undo again: {}", again.stderr)
                });
            } else {
                let again = auditwatch(scene, &["apply", "9000", "--yes"])?;
                findings.that(again.code() == 0, || {
                    format!("round {round}: apply again: {}", again.stderr)
                });
                findings.equal(&format!("round {round}: limit"), limit()?, NEW);
                findings.that(own.exists(), || format!("round {round}: no file"));
                let undone = auditwatch(scene, &["undo"])?;
                findings.that(undone.code() == 0, || {
                    format!("round {round}: {}", undone.stderr)
                });
            }
            findings.that(files(Path::new(ETC))? == before, || {
                format!(
                    "round {round} ({}): not as it was: {:?}",
                    words[0],
                    files(Path::new(ETC))
                )
            });
            findings.equal(&format!("round {round}: limit in the end"), limit()?, OLD);
        }
    }
    println!(
        "# killed {} times, the journal said: {moments:?}",
        2 * kills()
    );
    scene.log.push(format!("{moments:?}"));
    drop(etc);
    scene.lab.clear()?;
    findings.verdict()
}

/// Half of them at any moment of a run, half of them a little after the journal's next line.
fn await_moment(random: u64, usual: Duration, size: u64, process: &Process) {
    if random & 1 == 0 {
        let share = u32::try_from(random >> 8 & 0xff).unwrap_or(0);
        std::thread::sleep(usual * share / 256);
        return;
    }
    while fs::metadata(JOURNAL).map_or(0, |file| file.len()) == size && tasks::alive(process.id()) {
        std::hint::spin_loop();
    }
    std::thread::sleep(Duration::from_micros((random >> 8) % 20_000));
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
    let (storm, _) = stage.storm("--syscall 100000 --gap-us 5000");
    let mut command = Command::new(&storm[0]);
    command.args(&storm[1..]);
    let process = Process::start(&scene.lab.directory, command)?;
    let words = [
        "apply",
        "20",
        "--runtime-only",
        "--watch",
        "3s",
        "--yes",
        "--json",
    ];
    let ended = auditwatch(scene, &words)?;
    process.signal(libc::SIGKILL)?;
    process.wait(PATIENCE)?;
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
