//! The load of `cargo xtask bench overhead`, inside its guest: audited system calls come in, the instructions that each
//! took, and that kauditd took to empty the queue of them, go out as JSON, into a file that the environment names.
//!
//! Takes no options: what stands in `argv` is part of every record, and every run must make the same ones. It runs before
//! everything else on its CPU, so that a call's cost is that of the task alone; then kauditd runs before it, alone.

use std::{
    arch::asm,
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

/// Names the file with the result.
const OUTPUT: &str = "OVERHEAD_OUTPUT";
/// Set to anything, the calls are made and not timed.
const WARM_ONLY: &str = "OVERHEAD_WARM_ONLY";

/// Calls that bring the serial number of events to five digits, where it stays.
const SERIALS: usize = 10_500;
/// Calls of a round before the timed ones: caches, slabs and branch tables of the kernel.
const WARM: usize = 200;
/// Timed calls of a round.
const TIMED: usize = 600;
/// Rounds, before each of which the queue runs empty.
const ROUNDS: usize = 3;
/// Calls whose records kauditd takes in one go. The smaller number is there to tell what a wake-up costs from what a record
/// does: the difference of the two has no wake-up, no switch of tasks and no system call in it.
const BURSTS: [usize; 2] = [4, 64];
/// Measurements of each. Some have a tick in them, fewer than half.
const BURST_ROUNDS: usize = 15;
/// Time between two looks at kauditd. It waits 100 ms at most for room in the consumer's socket, so that a sleep which
/// outlasts this is for want of records. Its wait channel would say so at once, but 5.10 does not show it.
const LOOK: Duration = Duration::from_millis(150);
/// How long it may take to empty the queue.
const PATIENCE: Duration = Duration::from_secs(30);
/// Above the kernel's own threads, which all have ordinary priorities here.
const PRIORITY: i32 = 50;
/// Above ours: kauditd has the CPU then until the queue is empty.
const KAUDITD_PRIORITY: i32 = 60;

fn main() -> Result<(), Box<dyn Error>> {
    set_priority(0, libc::SCHED_FIFO, PRIORITY)?;
    if env::var_os(WARM_ONLY).is_some() {
        repeat(SERIALS);
        return Ok(());
    }
    let kauditd = kauditd()?;
    let mut costs = vec![1_u64; TIMED];
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        wait_until_idle(&kauditd)?;
        repeat(WARM);
        for cost in &mut costs {
            let before = instructions();
            call();
            *cost = instructions() - before;
        }
        costs.sort_unstable();
        rounds.push(json!({
            "min": costs[0],
            "p10": costs[TIMED / 10],
            "p50": costs[TIMED / 2],
            "p99": costs[TIMED * 99 / 100],
            "mean": costs.iter().sum::<u64>() / costs.len() as u64,
        }));
    }
    let mut drains = Vec::new();
    wait_until_idle(&kauditd)?;
    for _ in 0..BURST_ROUNDS {
        for calls in BURSTS {
            drains.push(json!({"calls": calls, "instructions": drain(&kauditd, calls)?}));
        }
    }
    // Whoever looks on ends with us, and should see the last records leave.
    wait_until_idle(&kauditd)?;
    let calls = ROUNDS * (WARM + TIMED) + BURST_ROUNDS * BURSTS.iter().sum::<usize>();
    let path = env::var_os(OUTPUT).ok_or("OVERHEAD_OUTPUT names no file")?;
    fs::write(
        path,
        json!({"calls": calls, "rounds": rounds, "drains": drains}).to_string(),
    )?;
    Ok(())
}

/// Instructions that kauditd takes for the records of so many calls, from the system call that puts it before all others
/// until it sleeps. The consumer does not run meanwhile: nobody takes what kauditd puts into its socket.
fn drain(kauditd: &Path, calls: usize) -> Result<u64, Box<dyn Error>> {
    let thread = kauditd
        .file_name()
        .and_then(|name| name.to_str()?.parse().ok())
        .ok_or("kauditd's directory is no number")?;
    // Its wake-up is in the first of the calls: it waits for the CPU from there on.
    let before = sleeps(kauditd)?;
    repeat(calls);
    let begin = instructions();
    set_priority(thread, libc::SCHED_FIFO, KAUDITD_PRIORITY)?;
    let end = instructions();
    set_priority(thread, libc::SCHED_OTHER, 0)?;
    let after = sleeps(kauditd)?;
    if (after.asleep, after.number) != (true, before.number + 1) {
        return Err("kauditd did not empty the queue in one go".into());
    }
    Ok(end - begin)
}

/// The directory of the kernel's thread that empties the queue.
fn kauditd() -> Result<PathBuf, Box<dyn Error>> {
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        if fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim_end() == "kauditd") {
            return Ok(process);
        }
    }
    Err("there is no kauditd".into())
}

/// Waits until the queue is empty: kauditd sleeps, and has not been awake since the last look.
fn wait_until_idle(kauditd: &Path) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + PATIENCE;
    let mut before = None;
    loop {
        let now = sleeps(kauditd)?;
        if now.asleep && before == Some(now.number) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("kauditd does not fall asleep within {PATIENCE:?}").into());
        }
        before = now.asleep.then_some(now.number);
        thread::sleep(LOOK);
    }
}

/// A task's sleeps.
struct Sleeps {
    /// Whether it is in one.
    asleep: bool,
    /// How many there were.
    number: u64,
}

fn sleeps(task: &Path) -> Result<Sleeps, Box<dyn Error>> {
    let status = fs::read_to_string(task.join("status"))?;
    let field = |name: &str| {
        let mut lines = status.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value
            .map(str::trim)
            .ok_or_else(|| format!("{} has no {name}", task.display()))
    };
    Ok(Sleeps {
        asleep: field("State")?.starts_with(['S', 'I']),
        number: field("voluntary_ctxt_switches")?.parse()?,
    })
}

fn repeat(calls: usize) {
    for _ in 0..calls {
        call();
    }
}

/// Sets how a thread, or with 0 this one, is scheduled.
fn set_priority(thread: i32, policy: i32, priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the pointer is to a live value that the call only reads.
    let result = unsafe { libc::sched_setscheduler(thread, policy, &raw const parameters) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The time stamp counter, which counts instructions in a guest whose clock does.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a call of its own would be counted with what it times"
)]
fn instructions() -> u64 {
    // SAFETY: every x86-64 has the instruction, and the guest's kernel allows it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// One audited call, with arguments of 0: their digits are part of the record.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a call of its own would be counted with what it times"
)]
fn call() {
    // SAFETY: getppid reads no memory and cannot fail; the instruction changes rcx, r11 and rax, all named.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") libc::SYS_getppid => _,
            in("rdi") 0,
            in("rsi") 0,
            in("rdx") 0,
            in("r10") 0,
            in("r8") 0,
            in("r9") 0,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
}
