//! Readings of the kernel's own audit variables, so that no netlink message is
//! needed while the queue is under pressure.

use auditwatch_ebpf::{DELIVERY_NONE, GATE_AS_IT_IS, KernelState, LiveState, SET_LIMITS, UNKNOWN};
use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};

use crate::{
    demand, globals as g,
    maps::{live, next_epoch, state},
    memory::{read, read_field, read_u32},
    queue::{hold_depth, main_depth, retry_depth},
};

/// Never attached: the loader runs it on demand (`BPF_PROG_TEST_RUN`). Its first argument is an order: what becomes of
/// the gate, or [`SET_LIMITS`]. One program does for all, since each that is loaded makes audit records.
///
/// The variables are read and the gate is set in the same breath: counts and queue lengths share one zero point, and
/// the final counts stand still while they are read.
#[raw_tracepoint]
pub fn read_state(context: RawTracePointContext) -> i32 {
    let order = context.arg::<u64>(0) as u32;
    if order == SET_LIMITS {
        set_limits(context.arg::<u64>(1) as u32, context.arg::<u64>(2) as u32);
    } else if let Some(place) = state() {
        read_all(place, live());
        if order != GATE_AS_IT_IS {
            // SAFETY: a map value is alive for the program's run.
            unsafe {
                (*live()).gate = order;
                next_epoch();
                // Whoever delays this CPU in between (a hypervisor, say) lets records pass unseen.
                (*place).depth_after = main_depth().unwrap_or(UNKNOWN);
            }
        }
    }
    0
}

/// Takes the limit and the wait time in force from the loader, where the kernel's variables cannot be read. It writes
/// these words alone: attached programs write those beside them at the same time.
#[inline(always)]
fn set_limits(limit: u32, wait_time: u32) {
    // SAFETY: a map value is alive for the program's run; one word each, which nobody reads by halves.
    unsafe {
        (*live()).limit = limit;
        (*live()).wait_time = wait_time;
        (*live()).limits_known = 1;
    }
    next_epoch();
}

/// Fills the place for a reading, and sets right what the programs follow by themselves.
#[inline(always)]
fn read_all(place: *mut KernelState, live: *mut LiveState) {
    // SAFETY: a map value is alive for the program's run.
    let place = unsafe { &mut *place };
    // SAFETY: as above. Whoever runs this program is auditwatch.
    unsafe { (*live).own = (bpf_get_current_pid_tgid() >> 32) as u32 };
    fill_settings(place);
    if place.limit != UNKNOWN && place.wait_time != UNKNOWN {
        // SAFETY: as above; one word each, which nobody reads by halves.
        unsafe {
            (*live).limit = place.limit;
            (*live).wait_time = place.wait_time;
            (*live).limits_known = 1;
        }
    }
    if place.auditd_pid != UNKNOWN {
        // SAFETY: as above.
        unsafe { (*live).auditd = place.auditd_pid };
    }
    // SAFETY: as above. Where it is not known, nothing is taken for lost.
    unsafe { (*live).holds = u32::from(place.audit_default != 0) };
    next_epoch();
    fill_queues(place, live);
}

/// Reads every variable that can be read.
#[inline(always)]
pub fn fill(place: &mut KernelState) {
    fill_settings(place);
    fill_queues(place, live());
}

#[inline(always)]
fn fill_settings(place: &mut KernelState) {
    place.jiffies = demand::ticks();
    let (limit, wait_time) = followed_limits();
    place.limit = read(g::addr_limit()).unwrap_or(limit);
    place.wait_time = read(g::addr_wait_time()).unwrap_or(wait_time);
    place.rate_limit = read_u32(g::addr_rate_limit());
    place.failure = read_u32(g::addr_failure());
    place.enabled = read_u32(g::addr_enabled());
    place.audit_default = read_u32(g::addr_default());
    place.auditd_pid = auditd_pid();
}

/// Reads what moves with each record, the main queue last: the gate is set right
/// after it, since a record that passes in between is on one side only.
#[inline(always)]
fn fill_queues(place: &mut KernelState, live: *mut LiveState) {
    // SAFETY: the helper has no precondition.
    place.at_ns = unsafe { bpf_ktime_get_ns() };
    place.waited = read_u32(g::addr_waited());
    place.lost = read_u32(g::addr_lost());
    place.hold_depth = hold_depth().unwrap_or(UNKNOWN);
    place.retry_depth = retry_depth().unwrap_or(UNKNOWN);
    // SAFETY: a map value is alive for the program's run.
    unsafe {
        place.in_delivery = u32::from((*live).in_delivery != DELIVERY_NONE);
        place.waiters = (*live).waiters as u32;
    }
    place.depth = main_depth().unwrap_or(UNKNOWN);
    place.depth_after = place.depth;
}

/// Limit and wait time as the programs follow them, where the kernel's variables
/// cannot be read.
#[inline(always)]
fn followed_limits() -> (u32, u32) {
    let live = live();
    // SAFETY: a map value is alive for the program's run.
    unsafe {
        if (*live).limits_known == 0 {
            (UNKNOWN, UNKNOWN)
        } else {
            ((*live).limit, (*live).wait_time)
        }
    }
}

/// Process id of the registered auditd: `auditd_conn->pid->numbers[0].nr`.
#[inline(always)]
pub fn auditd_pid() -> u32 {
    let address = g::addr_auditd();
    if address == 0 || g::off_auditd_pid() == u32::MAX || g::off_pid_numbers() == u32::MAX {
        return UNKNOWN;
    }
    match read::<u64>(address) {
        None => UNKNOWN,
        Some(0) => 0,
        Some(connection) => match read_field::<u64>(connection, g::off_auditd_pid()) {
            None => UNKNOWN,
            Some(0) => 0,
            Some(pid) => read_field::<u32>(pid, g::off_pid_numbers()).unwrap_or(UNKNOWN),
        },
    }
}
