//! What keeps `apply` from a file, on disks of all kinds: a clear error, and nothing has changed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::applying::{ETC, Etc, NEW, PATIENCE, RULES_D, auditwatch, files, limit, make, report};
use crate::findings::Findings;
use crate::process::Process;
use crate::scenario::{Scenario, Scene};
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario::new("apply-what-fails", what_fails)];

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

    fn bound(from: &Path, path: &Path) -> Result<Self> {
        sys::mount(from, path, "none", libc::MS_BIND, "")?;
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
    // A directory of this host that is bound into the disk's tree.
    let etc = Etc::with(&RULES_D)?;
    let disk = Disk::make(scene, "bound")?;
    let bound = Mounted::bound(Path::new(ETC), &disk.0.join("etc/audit"))?;
    disk.refuses(scene, "this host's own", &mut findings)?;
    drop(bound);
    drop(etc);
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
