//! The load of `cargo xtask bench overhead`, inside its guest: audited system calls come in, the instructions that each
//! took go out as JSON, into a file that the environment names.
//!
//! Takes no options: what stands in `argv` is part of every record, and every run must make the same ones. It runs before
//! everything else on its CPU, so that a call's cost is that of the task alone.

use std::{arch::asm, env, error::Error, fs, io, thread, time::Duration};

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
/// Rounds, with a pause before each in which the queue runs empty.
const ROUNDS: usize = 3;
const PAUSE: Duration = Duration::from_millis(300);
/// Above the kernel's own threads, which all have ordinary priorities here.
const PRIORITY: i32 = 50;

fn main() -> Result<(), Box<dyn Error>> {
    run_before_all_others()?;
    if env::var_os(WARM_ONLY).is_some() {
        repeat(SERIALS);
        return Ok(());
    }
    let mut costs = vec![1_u64; TIMED];
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        thread::sleep(PAUSE);
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
    // Whoever looks on ends with us, and should see the last records leave.
    thread::sleep(PAUSE);
    let calls = ROUNDS * (WARM + TIMED);
    let path = env::var_os(OUTPUT).ok_or("OVERHEAD_OUTPUT names no file")?;
    fs::write(path, json!({"calls": calls, "rounds": rounds}).to_string())?;
    Ok(())
}

fn repeat(calls: usize) {
    for _ in 0..calls {
        call();
    }
}

fn run_before_all_others() -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: PRIORITY,
    };
    // SAFETY: the pointer is to a live value that the call only reads.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
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
