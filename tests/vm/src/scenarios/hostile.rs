//! Benchmark runs on a host with a hostile user, or with two administrators: nothing that a user plants is touched
//! or followed, and two benches do not change the host at the same time.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::benching::{Host, JOURNAL, PATIENCE, bench, part, until};
use crate::auditd::Auditd;
use crate::findings::Findings;
use crate::netlink;
use crate::process::Process;
use crate::scenario::{Scenario, Scene};
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("bench-planted-directories", planted_directories).short(),
    Scenario::new("bench-planted-journal", planted_journal).short(),
    Scenario::new("bench-overlapping", overlapping),
    Scenario::new("bench-auditd-again", auditd_again),
];

const USER: u32 = 1000;
const RUN: &str = "/run/auditwatch";
const STATE: &str = "/var/lib/auditwatch";
/// Process ids that a user prepares for.
const GUESSES: u32 = 300;
const FILES: &str =
    "name = \"files\"\n[[producer]]\nkind = \"files\"\nevents = 3\n[consumer]\nfsync = true\n";
const AUDITD: &str = "name = \"auditd\"\n[[producer]]\nkind = \"syscall\"\nevents = 3\n[consumer]\n\
    kind = \"auditd\"\nconf = { flush = \"none\" }\n";

/// Does something as another user than root.
fn as_user<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = std::thread::spawn(move || {
        sys::set_thread_uid(USER)?;
        work()
    });
    done.join()
        .map_err(|_| anyhow::anyhow!("the user's thread panicked"))?
}

/// What must stay as it is: mode, owner and content of each file, by path.
#[derive(Debug, PartialEq, Eq)]
struct Victims(BTreeMap<PathBuf, (u32, u32, Vec<u8>)>);

impl Victims {
    /// Lays them out below a directory: two files, and a directory that everybody can read.
    fn lay_out(at: &Path) -> Result<Self> {
        drop(fs::remove_dir_all(at));
        fs::create_dir_all(at.join("secret"))?;
        fs::write(at.join("shadow"), "root's alone")?;
        fs::write(at.join("log"), "root's log")?;
        fs::set_permissions(at.join("shadow"), Permissions::from_mode(0o600))?;
        fs::set_permissions(at.join("secret"), Permissions::from_mode(0o755))?;
        Self::now(at)
    }

    fn now(at: &Path) -> Result<Self> {
        let mut found = BTreeMap::new();
        let mut directories = vec![at.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                let metadata = fs::symlink_metadata(&path)?;
                let content = if metadata.is_dir() {
                    directories.push(path.clone());
                    Vec::new()
                } else {
                    fs::read(&path)?
                };
                found.insert(path, (metadata.mode(), metadata.uid(), content));
            }
        }
        Ok(Self(found))
    }
}

fn storm(scene: &Scene<'_>, name: &str, text: &str) -> Result<String> {
    let path = scene.lab.directory.join(name);
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// What once was a bench's working directory, for each process id that it could have.
fn plant(victims: &Path, pids: std::ops::Range<u32>) -> Result<()> {
    for pid in pids {
        let directory = PathBuf::from(format!("/var/tmp/auditwatch-bench-{pid}"));
        let files = directory.join("files-0");
        fs::create_dir_all(&files)?;
        for directory in [&directory, &files] {
            fs::set_permissions(directory, Permissions::from_mode(0o777))?;
        }
        for (link, target) in [
            ("files-0/f0", "shadow"),
            ("files-0/f1", "new"),
            ("sink.log", "log"),
            ("auditd", "secret"),
        ] {
            let link = directory.join(link);
            if fs::symlink_metadata(&link).is_err() {
                symlink(victims.join(target), link)?;
            }
        }
    }
    Ok(())
}

fn last_pid() -> Result<u32> {
    let load = fs::read_to_string("/proc/loadavg")?;
    let last = load.split_ascii_whitespace().next_back();
    last.and_then(|word| word.parse().ok())
        .context("the last process id is not known")
}

fn planted_directories(scene: &mut Scene<'_>) -> Result<()> {
    let host = Host::set(scene)?;
    let at = scene.lab.directory.join("victims");
    let victims = Victims::lay_out(&at)?;
    fs::create_dir_all("/var/tmp")?;
    fs::set_permissions("/var/tmp", Permissions::from_mode(0o1777))?;
    let mut findings = Findings::default();
    for (name, text) in [("files.toml", FILES), ("auditd.toml", AUDITD)] {
        let storm = storm(scene, name, text)?;
        let first = last_pid()?;
        let links = at.clone();
        as_user(move || plant(&links, first..first + GUESSES))?;
        let process = bench(scene, &["run", &storm])?;
        let guessed = (first..first + GUESSES).contains(&process.id());
        ensure!(guessed, "process {} was not guessed", process.id());
        let ended = process.wait(PATIENCE)?;
        scene
            .log
            .push(format!("{name}: {} {}", ended.stdout, ended.stderr));
        findings.equal("exit status", ended.code(), 0);
        let now = Victims::now(&at)?;
        findings.that(now == victims, || {
            format!("{name}: {now:?}, not {victims:?}")
        });
    }
    // Where a bench works now, a user can make nothing.
    for place in [STATE, RUN] {
        let path = format!("{place}/bench-0123456789abcdef");
        let made = as_user(move || Ok(fs::create_dir(path).is_ok()))?;
        findings.that(!made, || format!("a user can make directories in {place}"));
    }
    // /run is anybody's in this guest, as in many containers.
    fs::remove_dir_all(RUN)?;
    let target = at.join("secret");
    as_user(move || Ok(symlink(target, RUN)?))?;
    refused(scene, &mut findings, "a link")?;
    fs::remove_file(RUN)?;
    let target = at.join("shadow");
    as_user(move || {
        fs::create_dir(RUN)?;
        Ok(symlink(target, format!("{RUN}/bench.lock"))?)
    })?;
    refused(scene, &mut findings, "a directory of a user's")?;
    fs::remove_dir_all(RUN)?;
    let now = Victims::now(&at)?;
    findings.that(now == victims, || format!("{now:?}, not {victims:?}"));
    findings.take(host.is_back());
    findings.verdict()
}

/// A bench must not begin, and must name what is in its way.
fn refused(scene: &mut Scene<'_>, findings: &mut Findings, what: &str) -> Result<()> {
    for words in [&["run", "boot-burst"][..], &["restore"]] {
        let ended = bench(scene, words)?.wait(PATIENCE)?;
        scene.log.push(format!("{what}: {}", ended.stderr));
        findings.that(
            ended.code() == 1 && ended.stderr.contains(RUN) && ended.stderr.contains("remove it"),
            || format!("{what}, {words:?}: exit {}: {}", ended.code(), ended.stderr),
        );
    }
    Ok(())
}

/// A journal, and the modes and owners of its directory and itself.
struct Planted {
    directory: (u32, u32),
    file: (u32, u32),
    /// Words of the refusal.
    words: &'static [&'static str],
}

fn planted_journal(scene: &mut Scene<'_>) -> Result<()> {
    let host = Host::set(scene)?;
    let at = scene.lab.directory.join("victims");
    let victims = Victims::lay_out(&at)?;
    let ran = scene.lab.directory.join("ran");
    drop(fs::remove_file(&ran));
    let program = scene.lab.directory.join("planted.sh");
    fs::write(&program, format!("#!/bin/sh\n: >{}\n", ran.display()))?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    let journal = serde_json::json!({
        "keeper": null,
        "changes": {
            "settings": null,
            "rules": [],
            "children": [],
            "auditd": { "command": [program], "unit": null },
            "directories": [at.join("secret")],
        },
    });
    let plants = [
        // As root's umask of 0 once left it.
        Planted {
            directory: (0, 0o777),
            file: (USER, 0o666),
            words: &["/run/auditwatch ", "user 0", "0777"],
        },
        Planted {
            directory: (USER, 0o755),
            file: (USER, 0o644),
            words: &["/run/auditwatch ", "user 1000", "0755"],
        },
        Planted {
            directory: (0, 0o755),
            file: (USER, 0o644),
            words: &[JOURNAL, "user 1000", "0644"],
        },
        Planted {
            directory: (0, 0o700),
            file: (0, 0o666),
            words: &[JOURNAL, "user 0", "0666"],
        },
        // Nobody but root wrote it, and no bench did.
        Planted {
            directory: (0, 0o700),
            file: (0, 0o600),
            words: &[JOURNAL, "secret"],
        },
    ];
    let mut findings = Findings::default();
    for plant in plants {
        drop(fs::remove_dir_all(RUN));
        fs::create_dir(RUN)?;
        fs::write(JOURNAL, journal.to_string())?;
        for (path, (owner, mode)) in [(JOURNAL, plant.file), (RUN, plant.directory)] {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
            chown(path, Some(owner), Some(owner))?;
        }
        let ended = bench(scene, &["restore"])?.wait(PATIENCE)?;
        scene.log.push(format!("{} {}", ended.stdout, ended.stderr));
        findings.equal("exit status", ended.code(), 1);
        for word in plant.words.iter().chain(&["remove it"]) {
            findings.that(ended.stderr.contains(word), || {
                format!("the refusal lacks {word:?}: {}", ended.stderr)
            });
        }
        findings.that(!ran.exists(), || {
            format!("the planted program ran: {:?}", plant.words)
        });
        let now = Victims::now(&at)?;
        findings.that(now == victims, || format!("{now:?}, not {victims:?}"));
        drop(fs::remove_file(&ran));
        Victims::lay_out(&at)?;
    }
    fs::remove_dir_all(RUN)?;
    let ended = bench(scene, &["restore"])?.wait(PATIENCE)?;
    findings.that(ended.stdout.starts_with("nothing"), || ended.stdout.clone());
    findings.take(host.is_back());
    findings.verdict()
}

/// A bench that waits for its keeper, which was stopped before it has written anything down.
fn held_early(scene: &Scene<'_>) -> Result<Option<(Process, u32)>> {
    let process = bench(scene, &["run", "boot-burst", "--json"])?;
    until("a keeper", || part("keeper").is_some())?;
    let keeper = part("keeper").context("the keeper is gone")?;
    sys::kill(keeper, libc::SIGSTOP)?;
    if !Path::new(JOURNAL).exists() {
        return Ok(Some((process, keeper)));
    }
    sys::kill(keeper, libc::SIGCONT)?;
    process.wait(PATIENCE)?;
    Ok(None)
}

fn overlapping(scene: &mut Scene<'_>) -> Result<()> {
    let host = Host::set(scene)?;
    let mut first = None;
    for _ in 0..20 {
        first = held_early(scene)?;
        if first.is_some() {
            break;
        }
    }
    let (first, keeper) = first.context("the keeper was always quicker")?;
    let mut findings = Findings::default();
    // Whoever is refused says who is in the way, in one line, and changes nothing.
    let mut is_refused = |holder: u32| -> Result<()> {
        for words in [&["run", "boot-burst"][..], &["restore"]] {
            let ended = bench(scene, words)?.wait(PATIENCE)?;
            scene.log.push(ended.stderr.clone());
            findings.that(
                ended.code() == 1
                    && ended.stderr.contains(&format!("(pid {holder})"))
                    && ended.stderr.trim_end().lines().count() == 1,
                || format!("{words:?}: exit {}: {}", ended.code(), ended.stderr),
            );
        }
        Ok(())
    };
    is_refused(first.id())?;
    // A bench that was killed still has its keeper.
    until("a lock that names the keeper", || {
        fs::read_to_string(format!("{RUN}/bench.lock"))
            .is_ok_and(|text| text.contains(&format!(":{keeper},")))
    })?;
    first.signal(libc::SIGKILL)?;
    drop(first.wait(PATIENCE)?);
    is_refused(keeper)?;
    sys::kill(keeper, libc::SIGCONT)?;
    host.is_back()?;
    let ended = bench(scene, &["run", "boot-burst"])?.wait(PATIENCE)?;
    findings.equal("exit status once the keeper has ended", ended.code(), 0);
    // Nobody is there to remove what a bench leaves if the host loses power.
    let left = Path::new(STATE).join("bench-0123456789abcdef");
    fs::create_dir(&left)?;
    let ended = bench(scene, &["restore"])?.wait(PATIENCE)?;
    findings.that(ended.stdout.contains("its files removed"), || {
        ended.stdout.clone()
    });
    findings.that(!left.exists(), || "leftovers stay".to_owned());
    findings.take(host.is_back());
    findings.verdict()
}

/// The auditd that lived here is started again, without what only the administrator has.
fn auditd_again(scene: &mut Scene<'_>) -> Result<()> {
    let host = Host::set(scene)?;
    let auditd = Auditd::start(scene.lab)?;
    let storm = storm(scene, "auditd.toml", AUDITD)?;
    let mut command = Command::new(&scene.lab.auditwatch);
    command
        .args(["bench", "run", &storm, "--yes"])
        .env("LD_LIBRARY_PATH", "/tmp")
        .env("SECRET", "of the administrator's");
    let ended = Process::start(&scene.lab.directory, command)?.wait(PATIENCE)?;
    scene.log.push(format!("{} {}", ended.stdout, ended.stderr));
    let old = auditd.id();
    auditd.end()?;
    let new = netlink::status()?.pid;
    let environment = fs::read(format!("/proc/{new}/environ"));
    let locks: Vec<PathBuf> = fs::read_dir(format!("/proc/{new}/fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|path| path.ends_with("bench.lock"))
        .collect();
    if new != 0 {
        sys::kill(new, libc::SIGTERM)?;
        until("an end of auditd", || {
            netlink::status().is_ok_and(|status| status.pid == 0)
        })?;
    }
    let mut findings = Findings::default();
    findings.equal("exit status", ended.code(), 0);
    findings.that(new != 0 && new != old, || {
        format!("auditd was process {old} and is process {new}")
    });
    let environment = String::from_utf8_lossy(&environment?).into_owned();
    findings.that(
        environment.starts_with("PATH=/") && environment.matches('=').count() == 1,
        || format!("auditd's environment: {environment:?}"),
    );
    findings.equal("locks that auditd holds", locks.len(), 0);
    findings.take(host.is_back());
    findings.verdict()
}
