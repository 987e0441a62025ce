//! Record attempts: `audit_filter`, which `audit_log_start` calls once for each
//! attempt, from wherever it is called and however the compiler split it.
//!
//! `audit_log_start` itself will not do: gcc splits it on some kernels, and then
//! its callers in the same file jump past the part that can be hooked.

use auditwatch_ebpf::{AttemptRow, GATE_OPEN, GATE_SHUT};
use aya_ebpf::{
    EbpfContext as _,
    helpers::bpf_get_current_pid_tgid,
    macros::{fexit, kprobe, kretprobe, map},
    maps::HashMap,
    programs::{FExitContext, ProbeContext, RetProbeContext},
};

use crate::{
    command, demand, event,
    globals::{follows_command, margin},
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
    if list == FILTER_EXCLUDE {
        attempt(ctx.arg(0), verdict == 0);
    } else {
        filtered_by(list, verdict);
    }
    0
}

#[kprobe]
pub fn audit_filter_probe(ctx: ProbeContext) -> u32 {
    let list: u32 = ctx.arg(1).unwrap_or(u32::MAX);
    let record_type: u32 = ctx.arg(0).unwrap_or(0);
    if list == FILTER_EXCLUDE {
        attempt(record_type, false);
    } else if list == FILTER_USER && !is_shut() {
        // A full map makes a filtered message look like a filtered attempt;
        // the ledger's residual then shows it.
        let _ = IN_USER_FILTER.insert(ctx.pid(), 1, 0);
    }
    0
}

#[kretprobe]
pub fn audit_filter_return(ctx: RetProbeContext) -> u32 {
    if is_shut() {
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
            filtered_attempt(
                row,
                ctx.tgid() == own(),
                u32::from(command::has_current_task()),
            );
        }
    }
    0
}

/// Another filter has come to a verdict. A function of its own: the compiler would ask for the user filter
/// before all else.
#[inline(never)]
fn filtered_by(list: u32, verdict: i32) {
    if list == FILTER_USER && verdict == 0 && gate_is_open() {
        user_filtered();
    }
}

#[inline(always)]
fn user_filtered() {
    if let Some(row) = attempts() {
        // SAFETY: a map value is alive for the program's run.
        unsafe { (*row).user_filtered += 1 };
    }
}

/// `by_command` is 1 where the attempt is the traced command's, else 0.
#[inline(always)]
fn filtered_attempt(row: *mut AttemptRow, own: bool, by_command: u32) {
    // SAFETY: a map value is alive for the program's run; of each form one program writes these fields.
    unsafe {
        if own {
            (*row).own_filtered += 1;
        } else {
            (*row).filtered += 1;
            (*row).command_filtered += u64::from(by_command);
        }
    }
}

/// Whether the window is over.
#[inline(always)]
fn is_shut() -> bool {
    // SAFETY: a map value is alive for the program's run.
    unsafe { (*live()).gate == GATE_SHUT }
}

#[inline(always)]
fn attempt(record_type: u32, filtered: bool) {
    // First what is called: the compiler would save what it has loaded before.
    let now = demand::ticks();
    let Some(row) = attempts() else { return };
    let ids = bpf_get_current_pid_tgid();
    // SAFETY: a map value is alive for the program's run, and this CPU's alone: what other programs write of
    // it they write before or after this one, or on top of it, where 5.10 lets a soft interrupt come in.
    let row = unsafe { &mut *row };
    if filtered || !count_repeat(row, ids, now, record_type) {
        count_new(row, ids, now, record_type, filtered);
    }
}

/// Counts an attempt that is like the one before on its CPU; false where it is not.
#[inline(always)]
fn count_repeat(row: &mut AttemptRow, ids: u64, now: u64, record_type: u32) -> bool {
    // SAFETY: a map value is alive for the program's run.
    let epoch = unsafe { (*live()).epoch };
    if row.ids != ids
        || row.attempted >= row.depth_check_at
        || row.epoch != epoch
        || row.ticks != now
        || !talker::repeats(record_type)
    {
        return false;
    }
    row.attempted += 1;
    // Where talkers are not counted nobody reads this, and to ask costs more.
    row.run.records += 1;
    if follows_command() != 0 {
        row.command += u64::from(row.by_command);
    }
    demand::arrive_at(row.bin);
    true
}

/// Counts an attempt, and finds out what holds for the next ones if they are like it. A function of its
/// own: what it saves of registers costs nothing where it is not called.
#[inline(never)]
fn count_new(row: &mut AttemptRow, ids: u64, now: u64, record_type: u32, filtered: bool) {
    let live = live();
    // SAFETY: a map value is alive for the program's run. The epoch comes first, by volatile reads: whatever
    // changes while this attempt looks ends what it finds. A limit of 0 means none.
    let (epoch, gate, limit, wait_time, waiters, own) = unsafe {
        (
            (&raw const (*live).epoch).read_volatile(),
            (&raw const (*live).gate).read_volatile(),
            (&raw const (*live).limit).read_volatile(),
            (&raw const (*live).wait_time).read_volatile(),
            (&raw const (*live).waiters).read_volatile(),
            (*live).own,
        )
    };
    if gate == GATE_SHUT {
        return;
    }
    let counts = gate == GATE_OPEN;
    let own = (ids >> 32) as u32 == own;
    let mut is_far = false;
    if counts {
        if own {
            row.own += 1;
            row.depth_check_at = row.depth_check_at.saturating_sub(1);
        } else {
            row.attempted += 1;
            row.by_command = u32::from(command::has_current_task());
            row.command += u64::from(row.by_command);
            attribute(row, ids, now, record_type, filtered, epoch);
        }
        is_far = row.attempted <= row.depth_check_at && row.far_limit == limit;
        if filtered {
            filtered_attempt(row, own, row.by_command);
        } else {
            let bin = demand::arrive(live, ids);
            if !own {
                row.bin = bin;
            }
        }
    }
    if filtered {
        return;
    }
    if !is_far && let Some(depth) = main_depth() {
        if counts {
            raise(&raw mut row.depth_max, u64::from(depth));
            set_depth_check_interval(row, limit, depth);
            // What events are made of matters once some of them are refused: while the queue is far
            // from that, nobody pays for it.
            if depth > limit / 4 {
                event::follow(row, ids, record_type);
            }
        }
        if limit != 0 && depth > limit {
            row.over_limit_by = ids << 32 | u64::from(record_type);
        }
        // The kernel looks again later, and may find the queue longer.
        if limit != 0 && wait_time != 0 && depth.saturating_add(margin()) > limit {
            stall::may_begin(row, ids as u32, record_type, depth > limit);
            return;
        }
    }
    if waiters != 0 {
        row.epoch = 0;
        stall::end_missed(ids as u32);
    }
}

/// Whose the last attempt was, and what holds for those that are like it.
#[inline(always)]
fn attribute(
    row: &mut AttemptRow,
    ids: u64,
    now: u64,
    record_type: u32,
    filtered: bool,
    epoch: u64,
) {
    // The bin is found after the tick was: where another tick began in between, it holds for none.
    let same = row.ids == ids && row.ticks == now;
    row.ids = ids;
    row.ticks = now;
    // Of one that is filtered the bin is not known; near the limit `depth_check_at` lets none go on.
    if !filtered {
        row.epoch = epoch;
    } else if !same {
        row.epoch = 0;
    }
    talker::count(row, record_type, same);
}

/// Spares attempts on this CPU a look at the queue, which holds `depth` records now. Each CPU spares as
/// many as lead half of the way to an eighth of the limit if all of them do, so that however their looks
/// fall together, no attempt is spared beyond a quarter. How long the queue was at most is seen when records
/// leave it.
#[inline(always)]
fn set_depth_check_interval(row: &mut AttemptRow, limit: u32, depth: u32) {
    // Without a limit there is nothing to be near to.
    let far = limit.wrapping_sub(1) / 8;
    // The margin is twice the number of CPUs.
    let spared = far.saturating_sub(depth).checked_div(margin()).unwrap_or(0);
    row.depth_check_at = row.attempted + u64::from(spared);
    row.far_limit = limit;
}
