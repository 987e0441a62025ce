//! Who causes records, and who pays: by process, rule key, system call and control group.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use io_uring::opcode;

use super::producing::exec_rule;
use crate::findings::Findings;
use crate::lab::Setup;
use crate::netlink::AuditSocket;
use crate::process::Process;
use crate::rule::Rule;
use crate::scenario::{Scenario, Scene, Skipped, rounds};
use crate::summary::Summary;
use crate::talking::{self, share, sum};
use crate::trial::{Consumer, FAST, Stage, Trial, trace_command};
use crate::wire;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("talkers-by-reason", by_reason).short().both(),
    Scenario::new("talkers-refused", refused).both(),
    Scenario::new("talkers-stalled", stalled),
    Scenario::new("talkers-lost-later", lost_later).short(),
    Scenario::new("talkers-crowd", crowd).short(),
    Scenario::new("talkers-many-processes", many_processes),
    Scenario::new("talkers-uring", uring).short(),
    Scenario::new("talkers-groups", groups),
    Scenario::new("talkers-off", off),
    Scenario::new("talkers-hostile-names", hostile_names).short(),
];

const PATIENCE: Duration = Duration::from_mins(2);
/// Threads that may be moved to another CPU between asking and being refused: whose the refused
/// record was is not told then.
const MOVED: i64 = 5;

/// Short-lived processes of a round.
const PROCESSES: u32 = 200;

/// Three kinds of records from one process, each for its own reason.
fn by_reason(scene: &mut Scene<'_>) -> Result<()> {
    let seen = scene.trial(&Trial::new("--syscall 400 --user 100"))?;
    let mut findings = seen.common();
    seen.no_loss(&mut findings);
    let missed = seen.books.missed;
    let of = |list: &str, name: &str| share(&seen.summary, list, name, "records");
    findings.near("records of key storm", of("key", "storm"), 1200, missed);
    findings.near("records of getppid", of("syscall", "getppid"), 1200, missed);
    findings.near(
        "records of storm-syscall",
        of("comm", "storm-syscall"),
        1200,
        missed,
    );
    findings.near(
        "records of type USER",
        of("record_type", "USER"),
        100,
        missed,
    );
    let first = &seen.summary.list("talkers")?[0];
    for (key, expected) in [
        ("comm", "storm-syscall"),
        ("key", "storm"),
        ("syscall", "getppid"),
        ("record_type", "SYSCALL"),
    ] {
        findings.that(first[key] == expected, || {
            format!("the first talker's {key} is {}, not {expected}", first[key])
        });
    }
    findings.that(first["processes"] == 1 && first["pid"].is_u64(), || {
        format!("the first talker is no single process: {first}")
    });
    // Who runs a program has its name by the time that the records are made.
    let trial = Trial::new("--syscall 100 --exec 20 --uid 1000").rule(exec_rule());
    let seen = scene.trial(&trial)?;
    findings.take(seen.common().verdict());
    let missed = seen.books.missed;
    let of = |list: &str, name: &str| share(&seen.summary, list, name, "records");
    let programs = of("key", "programs");
    findings.at_least("records of key programs", programs, 20 * 5);
    findings.near("records of execve", of("syscall", "execve"), programs, 0);
    findings.near("records of getppid", of("key", "storm"), 300, missed);
    findings.near("all", programs + 300, seen.books.attempted, missed);
    findings.verdict()
}

/// Refused records are those of who asked for them.
fn refused(scene: &mut Scene<'_>) -> Result<()> {
    let trial = Trial::new("--syscall 1000")
        .limit(64)
        .wait_ms(0)
        .slow_sink(1000);
    let seen = scene.trial(&trial)?;
    let mut findings = seen.common();
    findings.at_least("refused", seen.books.backlog_limit, 100);
    findings.near(
        "dropped records of storm-syscall",
        share(&seen.summary, "comm", "storm-syscall", "dropped"),
        seen.books.losses(),
        seen.books.missed + MOVED,
    );
    findings.verdict()
}

/// So are stalls.
fn stalled(scene: &mut Scene<'_>) -> Result<()> {
    let trial = Trial::new("--syscall 300 --threads 3")
        .limit(64)
        .wait_ms(60_000)
        .slow_sink(500);
    let seen = scene.trial(&trial)?;
    let mut findings = seen.common();
    for (key, path) in [("stalls", "stalls.count"), ("stall_ns", "stalls.total_ns")] {
        let all = seen.summary.number(path)?;
        findings.at_least(path, all, 1);
        let own = share(&seen.summary, "comm", "storm-syscall", key);
        findings.equal(&format!("{key} of storm-syscall"), own, all);
    }
    let row = &seen.summary.list("talkers")?[0];
    findings.equal(
        "longest stall of the first talker",
        row["stall_max_ns"].as_i64().unwrap_or(-1),
        seen.summary.number("stalls.max_ns")?,
    );
    findings.verdict()
}

/// What `kauditd` loses later is of who made it, though the kernel names nobody. Records that were
/// made before anything was amiss are not told: there are few.
fn lost_later(scene: &mut Scene<'_>) -> Result<()> {
    let small = Consumer::Sink {
        per_record_us: 0,
        rcvbuf: Some(8192),
    };
    let storm = "--syscall 100 --gap-us 40000 --at 0:stop-sink --resume-sink";
    let seen = scene.trial(&Trial::new(storm).limit(64).wait_ms(0).consumer(small))?;
    let mut findings = seen.common();
    let lost = seen.books.silent + seen.books.retry_overflow;
    findings.at_least("lost by kauditd", lost, 100);
    let told = share(&seen.summary, "comm", "storm-syscall", "dropped");
    findings.between(
        "of these: told",
        told,
        lost * 9 / 10,
        lost + seen.books.backlog_limit,
    );
    findings.verdict()
}

/// More processes than there are places: none of their records goes astray, and their name, reason and
/// group stay known.
fn crowd(scene: &mut Scene<'_>) -> Result<()> {
    let storm = "--syscall 4 --processes 50 --uid 1000";
    let trial = Trial::new(storm).options(&["--talker-slots", "16"]);
    let seen = scene.trial(&trial)?;
    let mut findings = seen.common();
    let missed = seen.books.missed;
    for (list, name) in [
        ("key", "storm"),
        ("comm", "storm-syscall"),
        ("syscall", "getppid"),
        ("cgroup", "/"),
    ] {
        let got = share(&seen.summary, list, name, "records");
        findings.near(&format!("records of {name}"), got, 4 * 50 * 3, missed);
    }
    let first = &seen.summary.list("talkers")?[0];
    findings.that(first["processes"].is_null(), || {
        format!("the crowd is counted as {} processes", first["processes"])
    });
    findings.verdict()
}

/// Processes that live for one record's event: their reason and group stay known to the record, and memory
/// does not grow with them.
fn many_processes(scene: &mut Scene<'_>) -> Result<()> {
    let processes = PROCESSES * rounds(1);
    let storm = format!("--exec {processes} --uid 1000");
    let mut trial = Trial::new(&storm).rules(vec![exec_rule()]);
    trial.time_limit += Duration::from_millis(100) * processes;
    let seen = scene.trial(&trial)?;
    let mut findings = seen.common();
    seen.no_loss(&mut findings);
    let (attempted, missed) = (seen.books.attempted, seen.books.missed);
    findings.at_least("attempted", attempted, 5 * i64::from(processes));
    for (list, name) in [("key", "programs"), ("syscall", "execve"), ("cgroup", "/")] {
        let got = share(&seen.summary, list, name, "records");
        findings.near(&format!("records of {name}"), got, attempted, missed);
    }
    findings.between(
        "VmHWM of auditwatch, KiB",
        seen.ended.peak_kib,
        1,
        32 * 1024,
    );
    findings.verdict()
}

/// Operations of `io_uring`, within a system call and by a worker: their records are of the process that
/// asked for them, by the key of their rule.
fn uring(scene: &mut Scene<'_>) -> Result<()> {
    const OPENED: u32 = 60;
    let rule = Rule::uring(opcode::OpenAt::CODE, "rings");
    scene.lab.clear()?;
    if AuditSocket::open()?.add_rule(&rule).is_err() {
        let why = "this kernel has no rules for io_uring";
        return Err(Skipped(why.to_owned()).into());
    }
    let storm = format!("--uring {OPENED}");
    let seen = scene.trial(&Trial::new(&storm).rules(vec![rule]))?;
    let mut findings = seen.common();
    seen.no_loss(&mut findings);
    let (attempted, missed) = (seen.books.attempted, seen.books.missed);
    let received = seen.received_of(wire::URINGOP);
    findings.equal("URINGOP received", received, i64::from(OPENED));
    let of = |list: &str, name: &str| share(&seen.summary, list, name, "records");
    findings.near(
        "records of key rings",
        of("key", "rings"),
        attempted,
        missed,
    );
    findings.at_least(
        "records of type URINGOP",
        of("record_type", "URINGOP"),
        i64::from(OPENED),
    );
    let rows = seen.summary.list("talkers")?;
    let of_rings: Vec<_> = rows.iter().filter(|row| row["key"] == "rings").collect();
    findings.that(
        of_rings
            .iter()
            .all(|row| row["pid"].is_u64() && row["pid"] == of_rings[0]["pid"]),
        || "the workers are not told to be their process".to_owned(),
    );
    findings.verdict()
}

/// Two loads in two control groups, one of which looks like a container's.
fn groups(scene: &mut Scene<'_>) -> Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let id = "0123456789abcdef".repeat(4);
    let container = format!("system.slice/docker-{id}.scope");
    let unit = "system.slice/web.service".to_owned();
    for group in [&container, &unit] {
        fs::create_dir_all(root.join(group)).with_context(|| format!("making {group}"))?;
    }
    let setup = Setup::default();
    let stage = Stage::set(scene.lab, &setup, FAST)?;
    let vmtest = std::env::current_exe().context("finding this program")?;
    let load = |group: &str, events: u32| {
        format!(
            "sh -c 'echo $$ > {}/cgroup.procs && exec {} storm --syscall {events} --uid 1000'",
            root.join(group).display(),
            vmtest.display()
        )
    };
    let mut command = trace_command(scene.lab, scene.form, &[]);
    let both = format!("{}; {}", load(&container, 300), load(&unit, 100));
    command.args(["--", "sh", "-c", &both]);
    let traced = Process::start(&scene.lab.directory, command).and_then(|p| p.wait(PATIENCE));
    stage.strike()?;
    let traced = traced?;
    scene
        .log
        .push(format!("{} {}", traced.stdout, traced.stderr));
    let summary = Summary::parse(&traced.stdout)?;
    let mut findings = Findings::default();
    talking::laws(&summary, &mut findings);
    let missed = summary.number("ledger.missed")?;
    let of = |group: &str| share(&summary, "cgroup", &format!("/{group}"), "records");
    // The shell that becomes the storm asks for its parent as well.
    findings.between(
        "records of the container",
        of(&container),
        900 - missed,
        910,
    );
    findings.between("records of the unit", of(&unit), 300 - missed, 310);
    let rows = summary.list("talkers")?;
    let named = |key: &str, name: &str| -> Vec<_> {
        rows.iter()
            .filter(|row| row[key] == name)
            .cloned()
            .collect()
    };
    findings.equal(
        "records of the container's row",
        sum(&named("container", "docker/0123456789ab"), "records"),
        of(&container),
    );
    findings.equal(
        "records of the unit's row",
        sum(&named("unit", "web.service"), "records"),
        of(&unit),
    );
    for group in [&container, &unit] {
        fs::remove_dir(root.join(group)).with_context(|| format!("removing {group}"))?;
    }
    findings.verdict()
}

/// Without them the report has no rows, and no zeroes either.
fn off(scene: &mut Scene<'_>) -> Result<()> {
    let seen = scene.trial(&Trial::new("--syscall 100").options(&["--no-talkers"]))?;
    let mut findings = seen.common();
    for path in ["talkers", "talkers_other", "talkers_by"] {
        findings.that(seen.summary.at(path).is_null(), || {
            format!("{path} is {}, not null", seen.summary.at(path))
        });
    }
    findings.verdict()
}

/// An unprivileged process with escape sequences in its name and in its program's path: the table has no
/// control character but line ends, and JSON has the names as they are.
fn hostile_names(scene: &mut Scene<'_>) -> Result<()> {
    const USER: u32 = 1000;
    const COMM: &str = "\u{1b}[31mE\u{1b}]0;P\u{7}";
    let directory = std::env::temp_dir().join("\u{1b}]52;c;ZXZpbAo=\u{7}\u{1b}[2J");
    fs::create_dir_all(&directory).context("making a directory")?;
    let program = directory.join("busybox");
    fs::copy("/bin/busybox", &program).context("copying a program")?;
    // The shell gives itself a name as prctl(PR_SET_NAME) does, then opens a file again and again.
    let script = r"printf '\033[31mE\033]0;P\007' > /proc/$$/comm
        i=0; while [ $i -lt 300 ]; do : < /dev/null; i=$((i+1)); done; while :; do sleep 1; done";
    let rules =
        vec![Rule::exit(&[libc::SYS_openat, libc::SYS_open], "k\u{1b}[32mKEY").for_uid(USER)];
    let mut findings = Findings::default();
    for format in ["table", "json"] {
        let setup = Setup {
            rules: rules.clone(),
            ..Setup::default()
        };
        let stage = Stage::set(scene.lab, &setup, FAST)?;
        let mut evil = Command::new(&program);
        evil.args(["sh", "-c", script]).uid(USER).gid(USER);
        let mut command = Command::new(&scene.lab.auditwatch);
        command.args(["trace", "--format", format, "--duration", "6s"]);
        let mut traced = Process::start(&scene.lab.directory, command)?;
        traced.until("measuring", PATIENCE, |traced| !traced.output().is_empty())?;
        // It lives on until the trace has read its program's path.
        let evil = Process::start(&scene.lab.directory, evil)?;
        let traced = traced.wait(PATIENCE);
        drop(evil);
        stage.strike()?;
        let traced = traced?;
        scene
            .log
            .push(format!("{} {}", traced.stdout, traced.stderr));
        let acting = |text: &str| text.chars().find(|&c| c.is_control() && c != '\n');
        findings.that(acting(&traced.stdout).is_none(), || {
            format!("{:?} is in the output as {format}", acting(&traced.stdout))
        });
        if format == "json" {
            let summary = Summary::parse(&traced.stdout)?;
            let named = share(&summary, "comm", COMM, "records");
            findings.at_least("records of the name", named, 300);
            let path = program.to_string_lossy().into_owned();
            let rows = summary.list("talkers")?;
            findings.that(rows.iter().any(|row| row["exe"] == *path), || {
                format!("no row has the program {path:?}")
            });
        } else {
            for shown in [
                r"\x1b[31mE\x1b]0;P\x07 (",
                r"\x1b]52;c;ZXZpbAo=\x07\x1b[2J/",
                r"key k\x1b[32mKEY",
            ] {
                findings.that(traced.stdout.contains(shown), || {
                    format!("{shown} is not in the table")
                });
            }
        }
    }
    fs::remove_dir_all(&directory).context("removing the program")?;
    findings.verdict()
}
