//! Losses that the kernel counts: `audit_log_lost`, by message.

use auditwatch_ebpf::{AttemptRow, LossCount, RARE_FIRST_LOSS, TalkerCounts};
use aya_ebpf::{
    EbpfContext,
    bindings::BPF_NOEXIST,
    helpers::{bpf_get_current_pid_tgid, bpf_probe_read_kernel_str_bytes},
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};

use crate::{
    command, demand,
    maps::{LOSSES, attempts, drain, gate_is_open, live, own},
    memory::{add, zeroes},
    rare, stall, talker,
};

// match-proto: kernel/audit.c: void audit_log_lost(const char *message)
#[fentry]
pub fn audit_log_lost(ctx: FEntryContext) -> u32 {
    lost(&ctx, ctx.arg(0))
}

#[kprobe]
pub fn audit_log_lost_probe(ctx: ProbeContext) -> u32 {
    match ctx.arg(0) {
        Some(message) => lost(&ctx, message),
        None => 0,
    }
}

/// Whose loss it is, where that matters: 1 of those whose it is.
#[derive(Clone, Copy)]
struct Whose {
    own: u64,
    command: u64,
}

#[inline(always)]
fn lost(ctx: &impl EbpfContext, message: u64) -> u32 {
    // Ends the stall of an attempt that is refused; a loss of any other kind
    // finds no stall to end.
    let ids = bpf_get_current_pid_tgid();
    let waited_for = stall::end(ids as u32, true);
    let own = (ids >> 32) as u32 == own();
    if !gate_is_open() {
        // SAFETY: a map value is alive for the program's run. One thread loads programs, so nobody else adds to it.
        unsafe { (*live()).own_lost += u32::from(own) };
        return 0;
    }
    if let Some(row) = attempts() {
        let over_limit_by = over_limit_by(row, ids as u32);
        let record_type = if waited_for == 0 {
            over_limit_by
        } else {
            waited_for
        };
        if record_type != 0 {
            // SAFETY: a map value is alive for the program's run.
            unsafe { (*row).understood += 1 };
            demand::suppress(row, record_type);
        }
        // SAFETY: as above.
        let row = unsafe { &*row };
        // Whoever asks next on this CPU begins a run: the attempt is the last one here, unless its
        // thread was moved. What `kauditd` loses was never its own.
        if !talker::count_loss(ids as u32) && waited_for == 0 && row.ids == ids {
            let charges = TalkerCounts {
                refused: 1,
                ..talker::nothing()
            };
            talker::charge(&row.run.key, &charges);
        }
    }
    let whose = Whose {
        own: u64::from(own),
        command: u64::from(command::has_current_task()),
    };
    if count(message, whose) {
        return 0;
    }
    // SAFETY: a `LossCount` is words and bytes without padding, which zeroes are valid for.
    let mut first: LossCount =
        unsafe { core::mem::transmute(zeroes::<{ size_of::<LossCount>() / 8 }>()) };
    // SAFETY: the helper checks the address itself and fails cleanly.
    let _ = unsafe { bpf_probe_read_kernel_str_bytes(message as *const u8, &mut first.name) };
    // Another CPU may be first; the entry is there in either case.
    let fresh = LOSSES
        .insert(message, first, u64::from(BPF_NOEXIST))
        .is_ok();
    if !count(message, whose) {
        // SAFETY: a map value is alive for the program's run.
        add(unsafe { &raw mut (*drain()).losses_unnamed }, 1);
    }
    if fresh {
        rare::report(ctx, RARE_FIRST_LOSS, message);
    }
    0
}

/// The type of the record that a thread has just asked for in vain; 0 for whoever else loses a
/// record, and where another thread came in between.
#[inline(always)]
fn over_limit_by(row: *mut AttemptRow, thread: u32) -> u32 {
    // SAFETY: a map value is alive for the program's run.
    let over_limit_by = unsafe { (*row).over_limit_by };
    if (over_limit_by >> 32) as u32 != thread || thread == 0 {
        return 0;
    }
    // SAFETY: as above; it is taken once.
    unsafe { (*row).over_limit_by = 0 };
    over_limit_by as u32
}

#[inline(always)]
fn count(message: u64, whose: Whose) -> bool {
    let Some(entry) = LOSSES.get_ptr_mut(message) else {
        return false;
    };
    // SAFETY: a map value is alive for the program's run.
    unsafe {
        add(&raw mut (*entry).calls, 1);
        // Not in branches: the verifier would walk all that follows once more for each.
        add(&raw mut (*entry).own, whose.own);
        add(&raw mut (*entry).command, whose.command);
    }
    true
}
