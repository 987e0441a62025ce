//! The record that `kauditd` delivers: off its queue, and the outcome.
//!
//! A delivery that failed shows in the call of an error hook, one that succeeded
//! in what `kauditd` does next: take the next record, send another, or end the
//! pass (`kauditd_send_queue`, kernel/audit.c, 5.10 to 7.2). That needs no hook at
//! the return of `netlink_unicast`, which runs for every sender of the host and
//! whose probes run out of instances there.

use auditwatch_ebpf::{DELIVERY_NONE, DELIVERY_SENT, DELIVERY_TAKEN};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;

use crate::{
    consumer, demand,
    maps::{drain, gate_is_open, live},
    memory::add,
};

/// `kauditd` has taken a record off the main queue.
#[inline(always)]
pub fn take(skb: u64) {
    let live = live();
    // Only `kauditd` takes records; a trace may begin in the middle of its pass.
    // SAFETY: a map value is alive for the program's run; `kauditd` alone writes these
    // fields.
    unsafe {
        if (*live).kauditd == 0 {
            (*live).kauditd = bpf_get_current_pid_tgid() as u32;
        }
    }
    settle();
    // SAFETY: as above.
    unsafe { (*live).sent = skb };
    set(DELIVERY_TAKEN);
}

/// A record is being sent, by whomever.
#[inline(always)]
pub fn send(skb: u64) {
    let live = live();
    // SAFETY: as in `take`.
    let (state, sent) = unsafe { ((*live).in_delivery, (*live).sent) };
    // The record that was taken just now is nobody else's.
    if state == DELIVERY_TAKEN && sent == skb {
        set_sent();
        return;
    }
    if !is_kauditd() {
        return;
    }
    if state == DELIVERY_SENT {
        // A record of the retry or hold queue is sent up to five times. Two
        // records cannot have one address, since the second was queued already
        // when the first was sent.
        if sent == skb {
            return;
        }
        settle();
    }
    // SAFETY: as in `take`.
    unsafe { (*live).sent = skb };
    set_sent();
}

/// An error hook has the record, in whatever task.
#[inline(always)]
pub fn give_up() {
    // `auditd_reset` calls one in process context, with no record in delivery.
    if !is_kauditd() {
        return;
    }
    // SAFETY: as in `take`.
    if unsafe { (*live()).in_delivery } == DELIVERY_SENT && gate_is_open() {
        // SAFETY: a map value is alive for the program's run.
        add(unsafe { &raw mut (*drain()).refused }, 1);
    }
    set(DELIVERY_NONE);
}

/// The pass over a queue is at its end.
#[inline(always)]
pub fn end_pass() {
    settle();
    set(DELIVERY_NONE);
}

/// Counts the record in delivery as delivered: no error hook had it.
#[inline(always)]
fn settle() {
    // SAFETY: as in `take`.
    if unsafe { (*live()).in_delivery } != DELIVERY_NONE && gate_is_open() {
        // SAFETY: a map value is alive for the program's run.
        add(unsafe { &raw mut (*drain()).delivered }, 1);
        consumer::delivered();
    }
}

#[inline(always)]
fn set_sent() {
    // SAFETY: as in `take`.
    unsafe { (*live()).sent_ticks = demand::ticks() };
    set(DELIVERY_SENT);
}

#[inline(always)]
fn set(state: u32) {
    // SAFETY: as in `take`.
    unsafe { (*live()).in_delivery = state };
}

#[inline(always)]
fn is_kauditd() -> bool {
    // SAFETY: a map value is alive for the program's run.
    unsafe { (*live()).kauditd == bpf_get_current_pid_tgid() as u32 }
}
