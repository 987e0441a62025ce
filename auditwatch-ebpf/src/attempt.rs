//! Record attempts: `audit_filter`, which `audit_log_start` calls once for each
//! attempt, from wherever it is called and however the compiler split it.
//!
//! `audit_log_start` itself will not do: gcc splits it on some kernels, and then
//! its callers in the same file jump past the part that can be hooked.

use auditwatch_ebpf::{AttemptRow, GATE_OPEN, GATE_SHUT, LiveState, UNKNOWN};
use aya_ebpf::{
    EbpfContext as _,
    helpers::bpf_get_current_pid_tgid,
    macros::{fexit, kprobe, kretprobe, map},
    maps::HashMap,
    programs::{FExitContext, ProbeContext, RetProbeContext},
};

use crate::{
    command, demand, event,
    globals::margin,
    maps::{attempts, gate_is_open, live, own},
    memory::raise,
    queue::main_depth,
    stall, talker,
};

/// `AUDIT_FILTER_EXCLUDE` (uapi; `AUDIT_FILTER_TYPE` before 4.20, same value).
const FILTER_EXCLUDE: u32 = 5;
/// `AUDIT_FILTER_USER`.
const FILTER_USER: u32 = 0;

/// Threads within a user filter, for the form that sees entry and exit apart.
#[map]
static IN_USER_FILTER: HashMap<u32, u32> = HashMap::with_max_entries(1024, 0);

// match-proto: kernel/auditsc.c, kernel/auditfilter.c:
// int audit_filter(int msgtype, unsigned int listtype)
#[fexit]
pub fn audit_filter_exit(ctx: FExitContext) -> u32 {
    let list: u32 = ctx.arg(1);
    let verdict: i32 = ctx.arg(2);
    let Some(live) = not_shut() else { return 0 };
    if list == FILTER_EXCLUDE {
        attempt(live, ctx.arg(0), verdict == 0);
    } else if list == FILTER_USER && verdict == 0 && gate_is_open() {
        user_filtered();
    }
    0
}

#[kprobe]
pub fn audit_filter_probe(ctx: ProbeContext) -> u32 {
    let list: u32 = ctx.arg(1).unwrap_or(u32::MAX);
    let record_type: u32 = ctx.arg(0).unwrap_or(0);
    let Some(live) = not_shut() else { return 0 };
    if list == FILTER_EXCLUDE {
        attempt(live, record_type, false);
    } else if list == FILTER_USER {
        // A full map makes a filtered message look like a filtered attempt;
        // the ledger's residual then shows it.
        let _ = IN_USER_FILTER.insert(ctx.pid(), 1, 0);
    }
    0
}

#[kretprobe]
pub fn audit_filter_return(ctx: RetProbeContext) -> u32 {
    if not_shut().is_none() {
        return 0;
    }
    let verdict: i32 = ctx.ret();
    let user = IN_USER_FILTER.remove(ctx.pid()).is_ok();
    if verdict != 0 {
        return 0;
    }
    if !user {
        stall::forget(ctx.pid());
    }
    if gate_is_open() {
        if user {
            user_filtered();
        } else if let Some(row) = attempts() {
            filtered_attempt(row, ctx.tgid() == own());
        }
    }
    0
}

#[inline(always)]
fn user_filtered() {
    if let Some(row) = attempts() {
        // SAFETY: a map value is alive for the program's run.
        unsafe { (*row).user_filtered += 1 };
    }
}

#[inline(always)]
fn filtered_attempt(row: *mut AttemptRow, own: bool) {
    // SAFETY: a map value is alive for the program's run; of each form one program writes these fields.
    unsafe {
        if own {
            (*row).own_filtered += 1;
        } else {
            (*row).filtered += 1;
            if command::has_current_task() {
                (*row).command_filtered += 1;
            }
        }
    }
}

/// The state that programs share, until the window is over.
#[inline(always)]
fn not_shut() -> Option<*mut LiveState> {
    let live = live();
    // SAFETY: a map value is alive for the program's run.
    (unsafe { (*live).gate } != GATE_SHUT).then_some(live)
}

#[inline(always)]
fn attempt(live: *mut LiveState, record_type: u32, filtered: bool) {
    let Some(row) = attempts() else { return };
    let ids = bpf_get_current_pid_tgid();
    // SAFETY: a map value is alive for the program's run.
    let counts = unsafe { (*live).gate } == GATE_OPEN;
    // SAFETY: as above.
    let own = (ids >> 32) as u32 == unsafe { (*live).own };
    if counts {
        // SAFETY: as above; no other program writes these fields, and the kernel
        // does not nest a program on a CPU.
        unsafe {
            if own {
                (*row).own += 1;
            } else {
                (*row).attempted += 1;
                if command::has_current_task() {
                    (*row).command += 1;
                }
            }
        }
        if filtered {
            filtered_attempt(row, own);
        } else {
            demand::arrive(live, ids);
        }
    }
    // SAFETY: as above. A limit of 0 means none.
    let (limit, wait_time, waiters) =
        unsafe { ((*live).limit, (*live).wait_time, (*live).waiters) };
    // A number, not an `Option`: the compiler would copy what was not written.
    let mut depth = UNKNOWN;
    if !filtered
        && !is_spared(row, limit)
        && let Some(length) = main_depth()
    {
        depth = length;
        spare(row, limit, depth);
    }
    // What events are made of matters once some of them are refused: while the queue is far from
    // that, nobody pays for it.
    if counts && depth != UNKNOWN && depth > limit / 4 {
        event::follow(row, ids, record_type);
    }
    if counts && !own {
        talker::count(row, ids, record_type);
    }
    if filtered {
        return;
    }
    if depth != UNKNOWN {
        if counts {
            // SAFETY: as above.
            raise(unsafe { &raw mut (*row).depth_max }, u64::from(depth));
        }
        if limit != 0 && depth > limit {
            // SAFETY: as above.
            unsafe { (*row).pressed = ids << 32 | u64::from(record_type) };
        }
        // The kernel looks again later, and may find the queue longer.
        if limit != 0 && wait_time != 0 && depth.saturating_add(margin()) > limit {
            // SAFETY: as above.
            let talker = unsafe { &(*row).run.key };
            stall::may_begin(live, ids as u32, record_type, talker, depth > limit);
            return;
        }
    }
    if waiters != 0 {
        stall::outlive(ids as u32);
    }
}

/// Whether the queue cannot matter to this attempt yet, by a look at its length a few attempts ago. The
/// look costs more than all else that is counted.
#[inline(always)]
fn is_spared(row: *mut AttemptRow, limit: u32) -> bool {
    // SAFETY: a map value is alive for the program's run; no other program writes these fields.
    unsafe {
        if (*row).spared == 0 || (*row).spared_limit != limit {
            return false;
        }
        (*row).spared -= 1;
    }
    true
}

/// Spares attempts on this CPU a look at the queue, which holds `depth` records now. Each CPU spares as
/// many as lead to an eighth of the limit if all of them do, so that however their looks fall together,
/// no attempt is spared beyond a quarter. How long the queue was at most is seen when records leave it.
#[inline(always)]
fn spare(row: *mut AttemptRow, limit: u32, depth: u32) {
    // Without a limit there is nothing to be near to.
    let far = limit.wrapping_sub(1) / 8;
    // SAFETY: as above. The margin is twice the number of CPUs.
    unsafe {
        (*row).spared = far.saturating_sub(depth).checked_div(margin()).unwrap_or(0);
        (*row).spared_limit = limit;
    }
}
