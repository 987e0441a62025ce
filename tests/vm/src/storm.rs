//! A storm: a load of known size, acts upon the host while it runs, and what was seen before and
//! after. It is meant to be the command that auditwatch traces, so that its life is the window.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::board::{Board, Slot};
use crate::kernel_words::{KernelMemory, WordMap};
use crate::netlink::AuditSocket;
use crate::producers;
use crate::quiet::Watch;
use crate::storm_args::{Act, Done, LoadArgs, Produced, StormArgs, StormReport, Timed};
use crate::sys;
use crate::tasks;
use crate::wire::Setting;

/// This program, however it was started.
const SELF: &str = "/proc/self/exe";
const REGISTRATION: Duration = Duration::from_secs(10);
/// For the producers to fill the queue, and for the consumer to empty it.
const WAITERS: Duration = Duration::from_secs(30);

/// Runs it.
pub fn run(args: &StormArgs) -> Result<()> {
    let memory = args.words.as_deref().map(WordMap::load).transpose()?;
    let memory = memory.map(KernelMemory::open).transpose()?;
    let watch = Watch::new(memory)
        .board(args.board.as_deref())?
        .log(args.log.clone().zip(args.log_pid));
    let settle = args.settle.map(Duration::from_millis);
    let mut report = StormReport::default();
    if let Some(timeout) = settle {
        watch.wait(timeout).context("before the storm")?;
    }
    report.before = watch.snapshot()?;
    report.began_ns = sys::realtime_ns();
    let begin = sys::monotonic_ns();
    (report.produced, report.acts) = thread::scope(|scope| {
        let acts = scope.spawn(|| act_all(args, begin));
        let done = || acts.join().ok().context("the acting thread panicked")?;
        if args.processes == 0 {
            let produced = producers::run(&args.load);
            return anyhow::Ok((produced?, done()?));
        }
        let workers = spawn_workers(&args.load, args.processes)?;
        if args.load.until_acts_done {
            let acts = done();
            return Ok((finish_workers(workers)?, acts?));
        }
        let produced = finish_workers(workers);
        Ok((produced?, done()?))
    })?;
    report.produced_ns = sys::realtime_ns();
    if let Some(timeout) = settle {
        watch.wait(timeout).context("after the storm")?;
        if args.resume_sink {
            let board = args
                .board
                .as_deref()
                .context("--resume-sink needs --board")?;
            sys::kill(sink_pid(board)?, libc::SIGCONT)?;
            watch.wait(timeout).context("after the sink went on")?;
        }
    }
    report.after = watch.snapshot()?;
    report.ended_ns = sys::realtime_ns();
    if let Some(path) = &args.result {
        fs::write(path, serde_json::to_vec(&report)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    if args.exit != 0 {
        std::process::exit(i32::from(args.exit));
    }
    Ok(())
}

/// The part of a storm that one process of `--processes` does; its report goes to stdout.
pub fn run_worker(load: &LoadArgs) -> Result<()> {
    println!("{}", serde_json::to_string(&producers::run(load)?)?);
    Ok(())
}

fn spawn_workers(load: &LoadArgs, count: u32) -> Result<Vec<Child>> {
    (0..count).map(|_| spawn_worker(load)).collect()
}

/// Waits for the workers, whose standard input ends now.
fn finish_workers(mut workers: Vec<Child>) -> Result<Produced> {
    for worker in &mut workers {
        worker.stdin = None;
    }
    let mut sum = Produced::default();
    for child in workers {
        let output = child.wait_with_output().context("waiting for a worker")?;
        ensure!(
            output.status.success(),
            "a worker ended with {}",
            output.status
        );
        sum.merge(&serde_json::from_slice(&output.stdout).context("parsing a worker's report")?);
    }
    Ok(sum)
}

fn spawn_worker(load: &LoadArgs) -> Result<Child> {
    let mut command = Command::new(SELF);
    command.arg("storm-worker");
    for (option, value) in [
        ("--syscall", load.syscall),
        ("--user", load.user),
        ("--exec", load.exec),
        ("--files", load.files),
        ("--uring", load.uring),
        ("--threads", u64::from(load.threads)),
        ("--gap-us", load.gap_us),
        ("--argv-bytes", load.argv_bytes as u64),
    ] {
        command.arg(option).arg(value.to_string());
    }
    for (option, value) in [("--uid", load.uid), ("--loginuid", load.loginuid)] {
        if let Some(value) = value {
            command.arg(option).arg(value.to_string());
        }
    }
    command.stdin(Stdio::null());
    if load.until_acts_done {
        command.arg("--until-acts-done").stdin(Stdio::piped());
    }
    command
        .stdout(Stdio::piped())
        .spawn()
        .context("starting a worker")
}

fn act_all(args: &StormArgs, begin: u64) -> Result<Vec<Done>> {
    let mut acts = args.at.clone();
    acts.sort_by_key(|a| a.at_ms);
    let mut done = Vec::new();
    let mut asking = Vec::new();
    for timed in acts {
        sys::sleep_until(begin + timed.at_ms * 1_000_000);
        let pid = if let Act::Ask(count) = timed.act {
            asking.push(ask(args, count)?);
            0
        } else {
            act(args, timed).with_context(|| format!("doing {timed:?}"))?
        };
        done.push(Done { timed, pid });
    }
    for mut child in asking {
        child.wait().context("waiting for one who asks")?;
    }
    Ok(done)
}

fn act(args: &StormArgs, timed: Timed) -> Result<u32> {
    let signal = match timed.act {
        Act::StopSink => libc::SIGSTOP,
        Act::ContSink => libc::SIGCONT,
        Act::KillSink => libc::SIGKILL,
        Act::LeaveSink => libc::SIGUSR1,
        Act::StartSink => return start_sink(args),
        Act::Limit(n) => return change(&format!("backlog_limit={n}")),
        Act::Ask(_) => bail!("asking is done elsewhere"),
        Act::AwaitWaiters(n) => return await_waiters(n).map(|()| 0),
        Act::Rate(n) => return change(&format!("rate_limit={n}")),
    };
    let pid = sink_pid(args.board.as_deref().context("this act needs --board")?)?;
    sys::kill(pid, signal)?;
    Ok(pid)
}

fn await_waiters(count: u32) -> Result<()> {
    let deadline = Instant::now() + WAITERS;
    loop {
        let waiters = tasks::audit_waiters().len();
        if (count == 0 && waiters == 0) || (count > 0 && waiters >= count as usize) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{waiters} tasks sleep for room, not {count}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

fn sink_pid(board: &Path) -> Result<u32> {
    Board::open(board)?
        .sink()
        .context("no sink has been on this board")
}

/// Starts a sink that outlives the storm: the harness finds it by the board and ends it.
fn start_sink(args: &StormArgs) -> Result<u32> {
    let path = args.board.as_deref().context("start-sink needs --board")?;
    let board = Board::open(path)?;
    let before = board.read(Slot::Registered);
    let mut command = Command::new(SELF);
    command.arg("sink").arg("--shm").arg(path);
    if let Some(bytes) = args.rcvbuf {
        command.arg("--rcvbuf").arg(bytes.to_string());
    }
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("starting a sink")?;
    let deadline = Instant::now() + REGISTRATION;
    while board.read(Slot::Registered) == before {
        ensure!(Instant::now() < deadline, "the new sink did not register");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(child.id())
}

/// So many threads ask for the status at the worst of moments: when the queue is above its limit.
pub fn ask_under_pressure(words: &Path, count: u32) -> Result<()> {
    let memory = KernelMemory::open(WordMap::load(words)?)?;
    let above = Barrier::new(count as usize + 1);
    thread::scope(|scope| {
        let mut askers = Vec::new();
        for _ in 0..count {
            askers.push(scope.spawn(|| {
                let socket = AuditSocket::open();
                above.wait();
                socket?.get()
            }));
        }
        let deadline = Instant::now() + REGISTRATION;
        let mut now = memory.read();
        while now.as_ref().is_ok_and(|n| n.main <= n.limit) && Instant::now() < deadline {
            thread::sleep(Duration::from_micros(200));
            now = memory.read();
        }
        above.wait();
        for asker in askers {
            asker.join().ok().context("an asker panicked")??;
        }
        now.map(drop)
    })
}

/// Starts somebody who does so, and may sleep in that.
fn ask(args: &StormArgs, count: u32) -> Result<Child> {
    let words = args
        .words
        .as_deref()
        .context("asking under pressure needs --words")?;
    Command::new(SELF)
        .arg("ask-under-pressure")
        .arg(words)
        .arg(count.to_string())
        .stdin(Stdio::null())
        .spawn()
        .context("starting those who ask")
}

/// Changes a setting from another process with a name of its own, as an admin would.
fn change(setting: &str) -> Result<u32> {
    let mut child = Command::new(SELF)
        .arg("limit-changer")
        .arg(setting)
        .stdin(Stdio::null())
        .spawn()
        .context("starting the limit changer")?;
    let pid = child.id();
    let status = child.wait().context("waiting for the limit changer")?;
    if !status.success() {
        bail!("the limit changer ended with {status}");
    }
    Ok(pid)
}

/// Sets one thing under a name that shows in reports.
pub fn change_limit(setting: &str) -> Result<()> {
    sys::set_comm("limit-changer");
    AuditSocket::open()?.set(Setting::parse(setting)?)
}
