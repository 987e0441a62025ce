//! Rare facts, through the ring buffer; one that finds it full is counted.

use auditwatch_ebpf::{AuditSet, KernelState, RareEvent};
use aya_ebpf::{EbpfContext, helpers::bpf_ktime_get_ns};

use crate::{
    maps::{RARE, drain},
    memory::add,
};

/// Sends an event without a change of settings.
#[inline(always)]
pub fn report(ctx: &impl EbpfContext, kind: u32, message: u64) {
    send(ctx, kind, message, |event| {
        event.result = 0;
        event.before = KernelState::default();
        event.after = KernelState::default();
        event.request = AuditSet::default();
    });
}

/// Sends an event whose last fields `fill` writes.
#[inline(always)]
pub fn send(ctx: &impl EbpfContext, kind: u32, message: u64, fill: impl FnOnce(&mut RareEvent)) {
    let Some(mut entry) = RARE.reserve::<RareEvent>(0) else {
        // SAFETY: a map value is alive for the program's run.
        add(unsafe { &raw mut (*drain()).rare_missed }, 1);
        return;
    };
    // SAFETY: the memory is reserved for this program, and `fill` and the lines
    // below write each field before it is submitted.
    let event = unsafe { &mut *entry.as_mut_ptr() };
    // SAFETY: the helper has no precondition.
    event.at_ns = unsafe { bpf_ktime_get_ns() };
    event.message = message;
    event.kind = kind;
    event.pid = ctx.tgid();
    event.comm = ctx.command().unwrap_or([0; 16]);
    event.reserved = 0;
    fill(event);
    entry.submit(0);
    #[cfg(feature = "diagnostics")]
    aya_log_ebpf::debug!(ctx, "rare event of kind {} by process {}", kind, ctx.tgid());
}
