//! Losses that the kernel counts: `audit_log_lost`, by message.

use auditwatch_ebpf::{LOSS_NAME_BYTES, LossCount, RARE_FIRST_LOSS};
use aya_ebpf::{
    EbpfContext,
    bindings::BPF_NOEXIST,
    helpers::bpf_probe_read_kernel_str_bytes,
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};

use crate::{
    command,
    maps::{LOSSES, drain, gate_is_open, own},
    memory::add,
    rare, stall,
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

/// Whose loss it is, where that matters.
#[derive(Clone, Copy)]
struct Whose {
    own: bool,
    command: bool,
}

#[inline(always)]
fn lost(ctx: &impl EbpfContext, message: u64) -> u32 {
    // Ends the stall of an attempt that is refused; a loss of any other kind
    // finds no stall to end.
    stall::end(ctx.pid(), true);
    if !gate_is_open() {
        return 0;
    }
    let whose = Whose {
        own: ctx.tgid() == own(),
        command: command::has_current_task(),
    };
    if count(message, whose) {
        return 0;
    }
    let mut first = LossCount {
        calls: 0,
        own: 0,
        command: 0,
        name: [0; LOSS_NAME_BYTES],
    };
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

#[inline(always)]
fn count(message: u64, whose: Whose) -> bool {
    let Some(entry) = LOSSES.get_ptr_mut(message) else {
        return false;
    };
    // SAFETY: a map value is alive for the program's run.
    unsafe {
        add(&raw mut (*entry).calls, 1);
        if whose.own {
            add(&raw mut (*entry).own, 1);
        }
        if whose.command {
            add(&raw mut (*entry).command, 1);
        }
    }
    true
}
