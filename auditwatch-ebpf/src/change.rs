//! Changes of audit settings, and who makes them: `AUDIT_SET` messages.

use auditwatch_ebpf::{AuditSet, RARE_CHANGE};
use aya_ebpf::{
    EbpfContext,
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};

use crate::{
    globals::receive_msg_params,
    maps::{change, gate_is_open, live, next_epoch},
    memory::{context_word, read_field},
    rare, stall, state,
};

/// `AUDIT_SET` (uapi).
const AUDIT_SET: u16 = 1001;
/// `AUDIT_STATUS_BACKLOG_LIMIT` (uapi).
const SET_LIMIT: u32 = 0x10;
/// `AUDIT_STATUS_BACKLOG_WAIT_TIME` (uapi).
const SET_WAIT_TIME: u32 = 0x20;
/// `AUDIT_STATUS_PID` (uapi).
const SET_PID: u32 = 0x04;
/// Size of `struct nlmsghdr` (uapi), bytes.
const HEADER: u64 = 16;

// match-proto: kernel/audit.c:
// static int audit_receive_msg(struct sk_buff *skb, struct nlmsghdr *nlh[, bool *ack])
#[fentry]
pub fn audit_receive_msg(ctx: FEntryContext) -> u32 {
    begin(&ctx, ctx.arg(1))
}

#[fexit]
pub fn audit_receive_msg_exit(ctx: FExitContext) -> u32 {
    // The value returned comes after the arguments, of which newer kernels have
    // one more.
    let result = context_word(&ctx, receive_msg_params()).unwrap_or(0) as i32;
    finish(&ctx, result)
}

#[kprobe]
pub fn audit_receive_msg_probe(ctx: ProbeContext) -> u32 {
    ctx.arg(1).map_or(0, |header| begin(&ctx, header))
}

#[kretprobe]
pub fn audit_receive_msg_return(ctx: RetProbeContext) -> u32 {
    finish(&ctx, ctx.ret())
}

#[inline(always)]
fn begin(ctx: &impl EbpfContext, header: u64) -> u32 {
    let Some(scratch) = change() else { return 0 };
    // SAFETY: a map value is alive for the program's run, and the kernel
    // serialises these messages by audit_cmd_mutex.
    let scratch = unsafe { &mut *scratch };
    // A change whose end was skipped is over when the next message begins.
    scratch.thread = 0;
    // `struct nlmsghdr` (uapi): length u32, type u16.
    if read_field::<u16>(header, 4) != Some(AUDIT_SET) {
        return 0;
    }
    let length = read_field::<u32>(header, 0).unwrap_or(0);
    scratch.request = AuditSet::default();
    // Old tools send a structure without the wait time.
    let known = if length >= 16 + 40 { 40 } else { 32 };
    for word in 0..10_u32 {
        if word * 4 < known {
            let value = read_field::<u32>(header + HEADER, word * 4).unwrap_or(0);
            // SAFETY: AuditSet is ten `u32` without padding.
            unsafe { *(&raw mut scratch.request).cast::<u32>().add(word as usize) = value };
        }
    }
    state::fill(&mut scratch.before);
    scratch.thread = ctx.pid();
    0
}

#[inline(always)]
fn finish(ctx: &impl EbpfContext, result: i32) -> u32 {
    // A record that the message caused was admitted without waiting, maybe by a way past every hook at which an
    // attempt ends: the callers in kernel/audit.c jump into a split `audit_log_start`.
    stall::forget(ctx.pid());
    let Some(scratch) = change() else { return 0 };
    // SAFETY: as in `begin`.
    let scratch = unsafe { &mut *scratch };
    if scratch.thread != ctx.pid() {
        return 0;
    }
    scratch.thread = 0;
    if result == 0 {
        let live = live();
        // SAFETY: as in `begin`.
        unsafe {
            if scratch.request.mask & SET_LIMIT != 0 {
                (*live).limit = scratch.request.backlog_limit;
            }
            if scratch.request.mask & SET_WAIT_TIME != 0 {
                (*live).wait_time = scratch.request.wait_time;
            }
            if scratch.request.mask & SET_PID != 0 {
                (*live).auditd = state::auditd_pid();
            }
        }
        next_epoch();
    }
    if gate_is_open() {
        rare::send(ctx, RARE_CHANGE, 0, |event| {
            event.result = result;
            event.before = scratch.before;
            event.request = scratch.request;
            state::fill(&mut event.after);
        });
    }
    0
}
