//! The consumer: how auditd takes records out of its socket, which is a second queue behind
//! the first.
//!
//! The time between two reads is the time that a record takes, as long as there was another
//! one to read all the while.

use auditwatch_ebpf::{FILLING, FILLINGS, LONG_PAUSE_NS, RARE_PAUSE, STALL_BUCKETS, log2};
use aya_ebpf::{
    EbpfContext,
    helpers::bpf_ktime_get_ns,
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};

use crate::{
    demand,
    globals::{off_rcvbuf, off_rmem, off_sk, tick_ns},
    maps::{consumer, gate_is_open, live},
    memory::{add, load, raise, read_field},
    rare,
};

/// `MSG_PEEK` (uapi): the record stays where it is.
const PEEK: u32 = 2;

// match-proto: net/netlink/af_netlink.c:
// static int netlink_recvmsg(struct socket *sock, struct msghdr *msg, size_t len, int flags)
#[fentry]
pub fn netlink_recvmsg(ctx: FEntryContext) -> u32 {
    if reader_is_auditd(&ctx) {
        let socket: u64 = ctx.arg(0);
        // SAFETY: the argument is a `struct socket *`, whose `sk` is a `struct sock *`, and the offsets
        // are of their members.
        let of_sock = |offset| unsafe { load::<u32>(load::<u64>(socket, off_sk())?, offset) };
        read(
            &ctx,
            ctx.arg(3),
            || of_sock(off_rmem()),
            || of_sock(off_rcvbuf()),
        );
    }
    0
}

#[kprobe]
pub fn netlink_recvmsg_probe(ctx: ProbeContext) -> u32 {
    if reader_is_auditd(&ctx)
        && let (Some(socket), Some(flags)) = (ctx.arg(0), ctx.arg(3))
    {
        let of_sock = |offset| read_field::<u32>(read_field::<u64>(socket, off_sk())?, offset);
        read(
            &ctx,
            flags,
            || of_sock(off_rmem()),
            || of_sock(off_rcvbuf()),
        );
    }
    0
}

#[inline(always)]
fn reader_is_auditd(ctx: &impl EbpfContext) -> bool {
    // SAFETY: a map value is alive for the program's run.
    gate_is_open() && ctx.tgid() == unsafe { (*live()).auditd }
}

/// auditd asks for the next record. `held` reads how many bytes its socket holds, `room` how many it
/// may hold.
#[inline(always)]
fn read(
    ctx: &impl EbpfContext,
    flags: u32,
    held: impl FnOnce() -> Option<u32>,
    room: impl FnOnce() -> Option<u32>,
) {
    if flags & PEEK != 0 {
        return;
    }
    let ledger = consumer();
    let Some(held_bytes) = held() else {
        return;
    };
    // SAFETY: the helper has no precondition.
    let now = unsafe { bpf_ktime_get_ns() };
    // SAFETY: a map value is alive for the program's run; auditd reads in one thread.
    let ledger = unsafe { &mut *ledger };
    let was_busy = ledger.busy != 0;
    if held_bytes == 0 {
        ledger.in_socket = 0;
        ledger.busy = 0;
        ledger.read_ns = now;
        return;
    }
    let waiting = ledger.in_socket;
    ledger.reads += 1;
    // One of them is taken now; with another one behind it auditd is busy until it comes again.
    ledger.busy = u64::from(waiting >= 2);
    if waiting > 0 {
        add(&raw mut ledger.in_socket, u64::MAX);
    }
    if waiting >= ledger.most_seen {
        ledger.most_seen = waiting;
        ledger.most_seen_bytes = u64::from(held_bytes);
        ledger.buffer_bytes = u64::from(room().unwrap_or(0));
    }
    let mut pause_ns = 0;
    if was_busy {
        let took = now.wrapping_sub(ledger.read_ns);
        if took < LONG_PAUSE_NS {
            ledger.served += 1;
            ledger.served_ns += took;
        } else {
            pause_ns = took;
        }
        let bucket = log2(took) as usize & (STALL_BUCKETS - 1);
        ledger.service_hist[bucket] += 1;
    } else if ledger.filled_ticks != 0 {
        // With nothing left by the read before, what is there now came later: had auditd been
        // ready, it would have taken it at once.
        let waited = demand::ticks().wrapping_sub(ledger.filled_ticks) * u64::from(tick_ns());
        if waited >= LONG_PAUSE_NS {
            pause_ns = waited;
        }
    }
    // Whoever comes next finds what this read left, or an empty socket: the wait is told once.
    ledger.filled_ticks = 0;
    if pause_ns != 0 {
        ledger.pauses += 1;
        ledger.pauses_ns += pause_ns;
        rare::report_while_roomy(ctx, RARE_PAUSE, pause_ns);
    }
    ledger.read_ns = now;
}

/// A record has gone to auditd's socket.
#[inline(always)]
pub fn delivered() {
    let ledger = consumer();
    // SAFETY: as above; only `kauditd` delivers.
    unsafe {
        if (*ledger).in_socket == 0 {
            (*ledger).filled_ticks = demand::ticks();
        }
        add(&raw mut (*ledger).in_socket, 1);
        raise(&raw mut (*ledger).in_socket_max, (*ledger).in_socket);
    }
}

/// Notes how long the main queue was with the socket as full as it is.
#[inline(always)]
pub fn note_depth(depth: u32) {
    let ledger = consumer();
    // SAFETY: as above; the filling is within the array.
    unsafe {
        let mut filling = ((*ledger).in_socket / FILLING) as usize;
        if filling >= FILLINGS {
            filling = FILLINGS - 1;
        }
        raise(
            (&raw mut (*ledger).depth_max).cast::<u64>().add(filling),
            u64::from(depth),
        );
    }
}
