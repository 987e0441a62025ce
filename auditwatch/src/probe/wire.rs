//! Decoding: wire values to the plain data of a sample. Pure.

use std::collections::BTreeMap;

use auditwatch_ebpf as wire;
use bytes::Buf as _;

use crate::{
    kernel::audit_state::KernelState,
    sample::{Consumer, Event, EventKind, TalkerCounts, TalkerId},
    untrusted::Untrusted,
};

/// A wire value as a map value.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Wire<T>(pub(super) T);

// SAFETY: `bytemuck::Pod` is derived, which refuses a type with padding, or of which not all bytes make sense.
unsafe impl<T: bytemuck::Pod> aya::Pod for Wire<T> {}

const fn known(value: u32) -> Option<u32> {
    if value == wire::UNKNOWN {
        None
    } else {
        Some(value)
    }
}

/// What auditd does.
pub(super) fn consumer(ledger: &wire::ConsumerLedger) -> Consumer {
    Consumer {
        reads: ledger.reads,
        in_socket: ledger.in_socket,
        in_socket_max: ledger.in_socket_max,
        served: ledger.served,
        served_ns: ledger.served_ns,
        pauses: ledger.pauses,
        pauses_ns: ledger.pauses_ns,
        most_seen: ledger.most_seen,
        most_seen_bytes: ledger.most_seen_bytes,
        buffer_bytes: ledger.buffer_bytes,
        unread_since_ns: (ledger.busy != 0 && ledger.in_socket > 0).then_some(ledger.read_ns),
        // A reader that sleeps in its call takes the first record without another call: the account is one too high.
        unread_since_ticks: (ledger.busy == 0 && ledger.in_socket > 1 && ledger.filled_ticks != 0)
            .then_some(ledger.filled_ticks),
        depth_max: ledger.depth_max.to_vec(),
        service_hist: ledger.service_hist.to_vec(),
    }
}

/// Who a talker is. Where no task is behind its records, it has no control group.
pub(super) fn talker_id(key: &wire::TalkerKey) -> TalkerId {
    let words = |words: &[u64]| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        text(&bytes)
    };
    TalkerId {
        pid: (key.process != 0).then_some(key.process),
        comm: words(&key.comm),
        cgroup: (key.cgroup != 0).then_some(key.cgroup),
        rule: Some(words(&key.rule)).filter(|rule| !rule.is_empty()),
        syscall: (key.syscall != wire::NO_SYSCALL).then_some(key.syscall),
        record_type: key.record_type,
    }
}

/// What a talker did.
pub(super) fn talker_counts(counts: &wire::TalkerCounts) -> TalkerCounts {
    TalkerCounts {
        records: counts.records,
        refused: counts.refused,
        lost: counts.lost,
        stalls: counts.stalls,
        stalled_ns: counts.stalled_ns,
        longest_ns: counts.longest_ns,
    }
}

/// The kernel's variables; `UNKNOWN` becomes `None`.
pub(super) fn state(state: &wire::KernelState) -> KernelState {
    KernelState {
        jiffies: (state.jiffies != 0).then_some(state.jiffies),
        depth: known(state.depth),
        depth_after: known(state.depth_after),
        retry_depth: known(state.retry_depth),
        hold_depth: known(state.hold_depth),
        limit: known(state.limit),
        wait_time_jiffies: known(state.wait_time),
        waited_jiffies: known(state.waited),
        lost: known(state.lost),
        lost_is_apart: false,
        rate_limit: known(state.rate_limit),
        failure: known(state.failure),
        enabled: known(state.enabled),
        booted_with_audit: known(state.audit_default).map(|value| value != 0),
        auditd_pid: known(state.auditd_pid),
        in_hand: known(state.in_delivery),
        waiters: known(state.waiters),
    }
}

/// Text up to the first NUL; tasks and rules may put anything into it.
pub(super) fn text(bytes: &[u8]) -> Untrusted {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    Untrusted::from_bytes(bytes.get(..end).unwrap_or_default())
}

/// Names a loss by the kernel's message; one that could not be read, by its place.
pub(super) fn losses(
    entries: &[(u64, wire::LossCount)],
    pick: impl Fn(&wire::LossCount) -> u64,
) -> BTreeMap<String, u64> {
    let mut named = BTreeMap::new();
    for (address, entry) in entries {
        let mut name = text(&entry.name).to_string();
        if name.is_empty() {
            name = format!("message at {address:#x}");
        }
        *named.entry(name).or_insert(0) += pick(entry);
    }
    named
}

/// The fields of an `AUDIT_SET`: mask bit (uapi `AUDIT_STATUS_*`), name as in
/// `auditctl -s`, value before, value asked for.
fn changes(
    before: &wire::KernelState,
    request: &wire::AuditSet,
    result: i32,
) -> Vec<(String, Option<u32>, u32)> {
    // The counters are reset only by requests for that alone, which answer with
    // the old value (`audit_receive_msg`, 4.11 and 5.9 to 7.2).
    let reset = match request.mask {
        0x40 => Some("lost"),
        0x80 => Some("backlog_wait_time_actual"),
        _ => None,
    };
    if let Some(field) = reset {
        return vec![(field.to_owned(), u32::try_from(result).ok(), 0)];
    }
    [
        (0x01, "enabled", before.enabled, request.enabled),
        (0x02, "failure", before.failure, request.failure),
        (0x04, "auditd_pid", before.auditd_pid, request.pid),
        (0x08, "rate_limit", before.rate_limit, request.rate_limit),
        (0x10, "backlog_limit", before.limit, request.backlog_limit),
        (
            0x20,
            "backlog_wait_time",
            before.wait_time,
            request.wait_time,
        ),
    ]
    .into_iter()
    .filter(|(bit, ..)| request.mask & bit != 0)
    .map(|(_, name, old, new)| (name.to_owned(), known(old), new))
    .collect()
}

/// Decodes what the ring buffer holds; `None` when it is too short.
pub(super) fn events(mut bytes: &[u8]) -> Option<Vec<Event>> {
    if bytes.len() < size_of::<wire::RareEvent>() {
        return None;
    }
    let at_ns = bytes.get_u64_ne();
    let message = bytes.get_u64_ne();
    let kind = bytes.get_u32_ne();
    let pid = bytes.get_u32_ne();
    let mut comm = [0; 16];
    bytes.copy_to_slice(&mut comm);
    let result = bytes.get_i32_ne();
    let _reserved = bytes.get_u32_ne();
    let before = kernel_state(&mut bytes);
    let _after = kernel_state(&mut bytes);
    let request = audit_set(&mut bytes);
    let event = |what| Event {
        at_ns,
        pid,
        comm: text(&comm),
        what,
    };
    Some(match kind {
        wire::RARE_CHANGE => changes(&before, &request, result)
            .into_iter()
            // Resets answer with the old value as a positive result.
            .map(|(field, old, new)| {
                event(EventKind::Change {
                    field,
                    old,
                    new,
                    result: result.min(0),
                })
            })
            .collect(),
        wire::RARE_RESET => vec![event(EventKind::AuditdReset)],
        wire::RARE_FIRST_LOSS => vec![event(EventKind::FirstLoss)],
        wire::RARE_PAUSE => vec![event(EventKind::Pause {
            duration_ns: message,
        })],
        _ => Vec::new(),
    })
}

fn kernel_state(bytes: &mut &[u8]) -> wire::KernelState {
    wire::KernelState {
        at_ns: bytes.get_u64_ne(),
        jiffies: bytes.get_u64_ne(),
        depth: bytes.get_u32_ne(),
        retry_depth: bytes.get_u32_ne(),
        hold_depth: bytes.get_u32_ne(),
        limit: bytes.get_u32_ne(),
        wait_time: bytes.get_u32_ne(),
        waited: bytes.get_u32_ne(),
        lost: bytes.get_u32_ne(),
        rate_limit: bytes.get_u32_ne(),
        failure: bytes.get_u32_ne(),
        enabled: bytes.get_u32_ne(),
        audit_default: bytes.get_u32_ne(),
        auditd_pid: bytes.get_u32_ne(),
        waiters: bytes.get_u32_ne(),
        in_delivery: bytes.get_u32_ne(),
        depth_after: bytes.get_u32_ne(),
        reserved: bytes.get_u32_ne(),
    }
}

fn audit_set(bytes: &mut &[u8]) -> wire::AuditSet {
    wire::AuditSet {
        mask: bytes.get_u32_ne(),
        enabled: bytes.get_u32_ne(),
        failure: bytes.get_u32_ne(),
        pid: bytes.get_u32_ne(),
        rate_limit: bytes.get_u32_ne(),
        backlog_limit: bytes.get_u32_ne(),
        lost: bytes.get_u32_ne(),
        backlog: bytes.get_u32_ne(),
        features: bytes.get_u32_ne(),
        wait_time: bytes.get_u32_ne(),
    }
}
