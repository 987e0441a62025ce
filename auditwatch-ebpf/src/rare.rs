//! Rare facts, through the ring buffer; one that finds it full is counted.

use core::mem::offset_of;

use auditwatch_ebpf::{RARE_BYTES, RareEvent};
use aya_ebpf::{
    EbpfContext,
    bindings::BPF_RB_AVAIL_DATA,
    helpers::{bpf_ktime_get_ns, generated::bpf_get_current_comm},
};

use crate::{
    maps::{RARE, drain},
    memory::{add, zeroes},
};

/// Words of an event's last fields, which only a change of settings fills.
const REST_WORDS: usize = (size_of::<RareEvent>() - offset_of!(RareEvent, before)) / 8;
const _: () = assert!(
    size_of::<RareEvent>().is_multiple_of(8) && offset_of!(RareEvent, before).is_multiple_of(8)
);

/// Sends an event without a change of settings.
#[inline(always)]
pub fn report(ctx: &impl EbpfContext, kind: u32, message: u64) {
    send(ctx, kind, message, |event| {
        event.result = 0;
        let rest = &raw mut event.before;
        // SAFETY: the last fields, from this one on, are words without padding.
        unsafe { rest.cast::<[u64; REST_WORDS]>().write(zeroes()) };
    });
}

/// Sends an event that may come often, and that is summed up elsewhere: it leaves half of the ring
/// buffer to those that may not be missed, and is not counted as missed itself.
#[inline(always)]
pub fn report_while_roomy(ctx: &impl EbpfContext, kind: u32, message: u64) {
    if RARE.query(u64::from(BPF_RB_AVAIL_DATA)) < u64::from(RARE_BYTES / 2) {
        report(ctx, kind, message);
    }
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
    // SAFETY: the helper writes no more than the field's size, and all of it.
    unsafe { bpf_get_current_comm(event.comm.as_mut_ptr().cast(), event.comm.len() as u32) };
    event.reserved = 0;
    fill(event);
    entry.submit(0);
    #[cfg(feature = "diagnostics")]
    aya_log_ebpf::debug!(ctx, "rare event of kind {} by process {}", kind, ctx.tgid());
}
