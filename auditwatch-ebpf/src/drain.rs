//! What `kauditd` does with records: it takes them off the main queue, delivers
//! them, retries them, holds them. One thread for the whole host.

use auditwatch_ebpf::{DEPTH_BUCKETS, RARE_RESET, depth_bucket};
use aya_ebpf::{
    EbpfContext,
    helpers::bpf_get_current_pid_tgid,
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};

use crate::{
    consumer, delivery,
    globals::{code_hold, code_rehold, off_skb_data, off_skb_end},
    maps::{drain, drained_of_type, gate_is_open, live},
    memory::{add, context_word, load, raise, read_field},
    queue::{hold_depth, main_depth, retry_depth},
    rare, talker,
};

/// Adds 1 to fields of the drain ledger, while the gate is open.
macro_rules! count {
    ($($field:ident),+) => {
        if gate_is_open() {
            let ledger = drain();
            // SAFETY: a map value is alive for the program's run.
            $(add(unsafe { &raw mut (*ledger).$field }, 1);)+
        }
    };
}

// match-proto: kernel/audit.c: static void kauditd_send_multicast_skb(struct sk_buff *skb)
// Called for every record that leaves the main queue, before it is sent.
#[fentry]
pub fn kauditd_send_multicast_skb(ctx: FEntryContext) -> u32 {
    let skb: u64 = ctx.arg(0);
    drained(
        skb,
        // SAFETY: the argument is a `struct sk_buff *`, and the offset is of its member.
        || unsafe { load(skb, off_skb_end()) },
        // SAFETY: as above.
        || unsafe { load(skb, off_skb_data()) },
    )
}

#[kprobe]
pub fn kauditd_send_multicast_skb_probe(ctx: ProbeContext) -> u32 {
    ctx.arg(0).map_or(0, |skb| {
        drained(
            skb,
            || read_field(skb, off_skb_end()),
            || read_field(skb, off_skb_data()),
        )
    })
}

/// Counts a record. `end` reads the size of its data area, bytes, `data` the address of
/// its header, each where it is used: the compiler would read what was not written.
#[inline(always)]
fn drained(skb: u64, end: impl FnOnce() -> Option<u32>, data: impl FnOnce() -> Option<u64>) -> u32 {
    delivery::take(skb);
    if !gate_is_open() {
        return 0;
    }
    let ledger = drain();
    // SAFETY: a map value is alive for the program's run.
    add(unsafe { &raw mut (*ledger).drained }, 1);
    if let Some(end) = end() {
        // SAFETY: as above.
        unsafe {
            add(&raw mut (*ledger).area_bytes, u64::from(end));
            raise(&raw mut (*ledger).area_max_bytes, u64::from(end));
        }
    }
    // `struct nlmsghdr` (uapi): length u32, type u16.
    if let Some(header) = data()
        && let Some(record_type) = read_field::<u16>(header, 4)
    {
        add(drained_of_type(u32::from(record_type)), 1);
    }
    if let Some(depth) = main_depth() {
        // A number of buckets that is a power of two: a mask bounds it, and there is no branch.
        let bucket = depth_bucket(depth) as usize & (DEPTH_BUCKETS - 1);
        // SAFETY: as above; the bucket is within the array.
        unsafe {
            raise(&raw mut (*ledger).depth_max, u64::from(depth));
            consumer::note_depth(depth);
            add((&raw mut (*ledger).depth_hist).cast::<u64>().add(bucket), 1);
        }
    }
    0
}

// match-proto: kernel/audit.c: static void kauditd_retry_skb(struct sk_buff *skb[, int error])
#[fentry]
pub fn kauditd_retry_skb(ctx: FEntryContext) -> u32 {
    retried(ctx.arg(0))
}

#[kprobe]
pub fn kauditd_retry_skb_probe(ctx: ProbeContext) -> u32 {
    retried(ctx.arg(0).unwrap_or(0))
}

#[inline(always)]
fn retried(skb: u64) -> u32 {
    delivery::give_up();
    talker::mark_delivered(skb, bpf_get_current_pid_tgid() as u32);
    count!(retried);
    0
}

// match-proto: kernel/audit.c: static void kauditd_hold_skb(struct sk_buff *skb[, int error])
#[fentry]
pub fn kauditd_hold_skb(ctx: FEntryContext) -> u32 {
    held(ctx.arg(0))
}

#[kprobe]
pub fn kauditd_hold_skb_probe(ctx: ProbeContext) -> u32 {
    held(ctx.arg(0).unwrap_or(0))
}

#[inline(always)]
fn held(skb: u64) -> u32 {
    delivery::give_up();
    count!(held);
    let thread = bpf_get_current_pid_tgid() as u32;
    talker::mark_delivered(skb, thread);
    // SAFETY: a map value is alive for the program's run. Without `audit=1` it is lost now, and
    // nobody says so; otherwise a call of `audit_log_lost` tells.
    if gate_is_open() && unsafe { (*live()).holds } == 0 {
        talker::count_loss(thread);
    }
    0
}

// match-proto: kernel/audit.c: static void kauditd_rehold_skb(struct sk_buff *skb[, int error])
#[fentry]
pub fn kauditd_rehold_skb(_ctx: FEntryContext) -> u32 {
    reheld()
}

#[kprobe]
pub fn kauditd_rehold_skb_probe(_ctx: ProbeContext) -> u32 {
    reheld()
}

#[inline(always)]
fn reheld() -> u32 {
    delivery::give_up();
    count!(reheld);
    0
}

// match-proto: kernel/audit.c: static int kauditd_send_queue(struct sock *sk, u32 portid,
// struct sk_buff_head *queue, unsigned int retry_limit,
// void (*skb_hook)(struct sk_buff *), void (*err_hook)(struct sk_buff *[, int]))
#[fentry]
pub fn kauditd_send_queue(ctx: FEntryContext) -> u32 {
    match (context_word(&ctx, 4), context_word(&ctx, 5)) {
        (Some(skb_hook), Some(err_hook)) => pass(ctx.arg(0), ctx.arg(2), skb_hook, err_hook),
        _ => 0,
    }
}

#[kprobe]
pub fn kauditd_send_queue_probe(ctx: ProbeContext) -> u32 {
    match (ctx.arg(0), ctx.arg(2), ctx.arg(4), ctx.arg(5)) {
        (Some(socket), Some(queue), Some(skb_hook), Some(err_hook)) => {
            pass(socket, queue, skb_hook, err_hook)
        }
        _ => 0,
    }
}

/// Learns who `kauditd` is and where the queues are, also before counting
/// begins: where kallsyms does not list variables this is the only source.
#[inline(always)]
fn pass(socket: u64, queue: u64, skb_hook: u64, err_hook: u64) -> u32 {
    let live = live();
    // SAFETY: a map value is alive for the program's run; only `kauditd`
    // comes here.
    unsafe {
        (*live).kauditd = bpf_get_current_pid_tgid() as u32;
        if skb_hook != 0 {
            (*live).main_queue = queue;
        } else if err_hook == code_rehold() {
            (*live).hold_queue = queue;
        } else if err_hook == code_hold() {
            (*live).retry_queue = queue;
        }
    }
    count!(passes);
    let kept = note_depths();
    if skb_hook != 0 {
        let at_risk = u32::from(socket == 0 || kept);
        // SAFETY: as above. Every attempt reads it: what does not change is not written.
        unsafe {
            if (*live).at_risk != at_risk {
                (*live).at_risk = at_risk;
            }
        }
    }
    0
}

/// Notes how long the retry and hold queue are; returns whether there is anything in them. Records leave
/// them in passes, and the retry queue when the connection to auditd is given up: just before they are
/// longest.
#[inline(always)]
fn note_depths() -> bool {
    if !gate_is_open() {
        return false;
    }
    let ledger = drain();
    let (retry, hold) = (retry_depth().unwrap_or(0), hold_depth().unwrap_or(0));
    // SAFETY: a map value is alive for the program's run.
    unsafe {
        raise(&raw mut (*ledger).retry_depth_max, u64::from(retry));
        raise(&raw mut (*ledger).hold_depth_max, u64::from(hold));
    }
    retry | hold != 0
}

#[fexit]
pub fn kauditd_send_queue_exit(_ctx: FExitContext) -> u32 {
    delivery::end_pass();
    0
}

#[kretprobe]
pub fn kauditd_send_queue_return(_ctx: RetProbeContext) -> u32 {
    delivery::end_pass();
    0
}

// match-proto: net/netlink/af_netlink.c:
// int netlink_unicast(struct sock *ssk, struct sk_buff *skb, u32 portid, int nonblock)
#[fentry]
pub fn netlink_unicast(ctx: FEntryContext) -> u32 {
    delivery::send(ctx.arg(1));
    0
}

#[kprobe]
pub fn netlink_unicast_probe(ctx: ProbeContext) -> u32 {
    if let Some(skb) = ctx.arg(1) {
        delivery::send(skb);
    }
    0
}

// match-proto: kernel/audit.c: static void auditd_reset(const struct auditd_connection *ac)
#[fentry]
pub fn auditd_reset(ctx: FEntryContext) -> u32 {
    reset(&ctx)
}

#[kprobe]
pub fn auditd_reset_probe(ctx: ProbeContext) -> u32 {
    reset(&ctx)
}

#[inline(always)]
fn reset(ctx: &impl EbpfContext) -> u32 {
    if gate_is_open() {
        count!(resets);
        let _ = note_depths();
        rare::report(ctx, RARE_RESET, 0);
    }
    0
}

// match-proto: kernel/audit.c: static int audit_buffer_aux_new(struct audit_buffer *ab, int type)
// 6.18 and later: one buffer then queues several records.
#[fexit]
pub fn audit_buffer_aux_new_exit(ctx: FExitContext) -> u32 {
    let result: i32 = ctx.arg(2);
    if result == 0 {
        count!(auxiliary);
    }
    0
}

#[kretprobe]
pub fn audit_buffer_aux_new_return(ctx: RetProbeContext) -> u32 {
    let result: i32 = ctx.ret();
    if result == 0 {
        count!(auxiliary);
    }
    0
}
