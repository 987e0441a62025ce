//! Stalls: the time that a task sleeps in `audit_log_start`.
//!
//! A task is followed from an attempt that meets a full queue until that attempt
//! ends. It has slept if it gave up the CPU of its own accord in between: tasks
//! that may not wait, auditd itself and holders of the command mutex never do.

use auditwatch_ebpf::{AttemptRow, GATE_SHUT, STALL_BUCKETS, StallLedger, StallStart, log2};
use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_ktime_get_ns},
    macros::{fexit, kprobe, kretprobe},
    programs::{FExitContext, ProbeContext, RetProbeContext},
};

use crate::{
    command, demand,
    globals::off_switches,
    maps::{WAITERS, gate_is_open, live, next_epoch, stalls},
    memory::{add, raise, read_field},
    talker,
};

/// Follows the current task, whose attempt has met a full queue, or one that may
/// be full when the kernel looks. A function of its own: it needs much of the stack, of which its caller
/// needs some where it counts a talker.
#[inline(never)]
pub fn may_begin(row: &AttemptRow, thread: u32, record_type: u32, full: bool) {
    let (live, ledger) = (live(), stalls());
    if full && gate_is_open() {
        // SAFETY: a map value is alive for the program's run.
        add(unsafe { &raw mut (*ledger).met_full }, 1);
    }
    let start = StallStart {
        // SAFETY: the helper has no precondition.
        at_ns: unsafe { bpf_ktime_get_ns() },
        switches: switches(),
        record_type,
        reserved: 0,
        talker: row.run.key,
    };
    // An entry that is there is of an attempt whose end was missed, or of this
    // very one, on top of which a soft interrupt makes a record: begin anew.
    if let Some(entry) = WAITERS.get_ptr_mut(thread) {
        // SAFETY: as above.
        unsafe { *entry = start };
        count_untracked(ledger);
    } else if WAITERS.insert(thread, start, 0).is_ok() {
        // SAFETY: as above.
        add(unsafe { &raw mut (*live).waiters }, 1);
        next_epoch();
    } else {
        count_untracked(ledger);
    }
}

#[inline(always)]
fn count_untracked(ledger: *mut StallLedger) {
    if gate_is_open() {
        // SAFETY: a map value is alive for the program's run.
        add(unsafe { &raw mut (*ledger).untracked }, 1);
    }
}

/// Stops to follow a thread that makes its next attempt: it does not wait in its
/// last one, whose end was missed.
#[inline(always)]
pub fn end_missed(thread: u32) {
    if remove(thread) {
        count_untracked(stalls());
    }
}

/// Stops to follow a thread whose attempt did not wait.
#[inline(always)]
pub fn forget(thread: u32) {
    if any_waiter() {
        remove(thread);
    }
}

/// Ends a thread's stall, if it has one; returns the type of the record that it was for, or 0. (Not
/// an `Option`: the compiler would copy what was not written.)
#[inline(always)]
pub fn end(thread: u32, refused: bool) -> u32 {
    if !any_waiter() {
        return 0;
    }
    let Some(start) = WAITERS.get_ptr(thread) else {
        return 0;
    };
    // SAFETY: a map value is alive for the program's run, and only the thread itself removes its
    // entry.
    let start = unsafe { &*start };
    let record_type = start.record_type;
    if gate_is_open() {
        let mut charges = talker::nothing();
        if switches() != start.switches {
            let duration = ended(start, refused);
            charges.stalls = 1;
            charges.stalled_ns = duration;
            charges.longest_ns = duration;
        }
        charges.refused = u64::from(refused);
        if refused || charges.stalls != 0 {
            talker::charge(&start.talker, &charges);
        }
    }
    remove(thread);
    record_type
}

/// Counts a stall that is over; returns how long it was, ns.
#[inline(always)]
fn ended(start: &StallStart, refused: bool) -> u64 {
    // SAFETY: the helper has no precondition.
    let duration = unsafe { bpf_ktime_get_ns() }.wrapping_sub(start.at_ns);
    demand::lag(duration);
    let ledger = stalls();
    // SAFETY: a map value is alive for the program's run.
    unsafe {
        add(&raw mut (*ledger).count, 1);
        add(&raw mut (*ledger).total_ns, duration);
        raise(&raw mut (*ledger).max_ns, duration);
        if refused {
            add(&raw mut (*ledger).refused, 1);
        }
        if command::has_current_task() {
            add(&raw mut (*ledger).command, 1);
            add(&raw mut (*ledger).command_total_ns, duration);
            raise(&raw mut (*ledger).command_max_ns, duration);
        }
        let bucket = log2(duration) as usize & (STALL_BUCKETS - 1);
        add((&raw mut (*ledger).hist).cast::<u64>().add(bucket), 1);
    }
    duration
}

// match-proto: kernel/audit.c:
// struct audit_buffer *audit_log_start(struct audit_context *ctx, gfp_t gfp_mask, int type)
#[fexit]
pub fn audit_log_start_exit(ctx: FExitContext) -> u32 {
    granted();
    talker::note_owner(ctx.arg(3));
    0
}

/// Any function that runs after a granted attempt: `audit_log_end` where only
/// probes are to be had, and the callers that jump into a split part.
#[kprobe]
pub fn attempt_over_probe(_ctx: ProbeContext) -> u32 {
    granted();
    0
}

#[kretprobe]
pub fn attempt_over_return(_ctx: RetProbeContext) -> u32 {
    granted();
    0
}

/// The current thread's attempt is over. While nobody waits, that costs no helper.
#[inline(always)]
fn granted() {
    if any_waiter() {
        end_granted();
    }
}

/// A function of its own: what it saves of registers costs nothing where it is not called.
#[inline(never)]
fn end_granted() {
    end(bpf_get_current_pid_tgid() as u32, false);
}

/// Whether any thread is followed. Once the gate is shut none is let go: who
/// waits then is part of the last reading.
#[inline(always)]
fn any_waiter() -> bool {
    // SAFETY: a map value is alive for the program's run.
    unsafe { (*live()).waiters != 0 && (*live()).gate != GATE_SHUT }
}

/// Removes a thread's entry; false where there is none.
#[inline(always)]
fn remove(thread: u32) -> bool {
    if WAITERS.remove(thread).is_err() {
        return false;
    }
    // SAFETY: a map value is alive for the program's run.
    add(unsafe { &raw mut (*live()).waiters }, u64::MAX);
    true
}

/// Times that the current task gave up the CPU of its own accord.
#[inline(always)]
fn switches() -> u64 {
    // SAFETY: the helper has no precondition.
    let task = unsafe { bpf_get_current_task() };
    read_field(task, off_switches()).unwrap_or(0)
}
