//! Wire types: what the BPF programs write and the loader reads.
//!
//! In: nothing. Out: plain `#[repr(C)]` data without padding, shared by both
//! sides, so that a layout can never differ between them. It must not depend on
//! aya, on the standard library, or on any kernel header: kernel offsets are
//! values that the loader finds in the running kernel's BTF.
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

mod attempts;
mod buckets;
mod talkers;

pub use self::{
    attempts::AttemptRow,
    buckets::{depth_bucket, depth_bucket_max, log2},
    talkers::*,
};

/// Map that holds one [`AttemptRow`] per CPU.
pub const ATTEMPTS_MAP: &str = "ATTEMPTS";
/// Map that holds the one [`DrainLedger`].
pub const DRAIN_MAP: &str = ".bss.drain";
/// Map from the address of a loss message to its [`LossCount`].
pub const LOSSES_MAP: &str = "LOSSES";
/// Map that holds the one [`TypeCounts`].
pub const TYPES_MAP: &str = ".bss.types";
/// Map from thread id to the [`StallStart`] of a task that may be asleep.
pub const WAITERS_MAP: &str = "WAITERS";
/// Map that holds the one [`StallLedger`].
pub const STALLS_MAP: &str = ".bss.stalls";
/// Map that holds the one [`KernelState`].
pub const STATE_MAP: &str = "STATE";
/// Map that holds the one [`LiveState`].
pub const LIVE_MAP: &str = ".bss.live";
/// Map that holds the one [`ChangeScratch`].
pub const CHANGE_MAP: &str = "CHANGE";
/// Map of [`BinChunk`]s.
pub const BINS_MAP: &str = "BINS";
/// Map that holds the one [`ConsumerLedger`].
pub const CONSUMER_MAP: &str = ".bss.consumer";
/// Map that holds one [`CpuRow`] per CPU.
pub const CPU_MAP: &str = "CPU";
/// Stacks of samples, by number.
pub const STACKS_MAP: &str = "STACKS";
/// Map from the number of a stack to its samples.
pub const STACK_COUNTS_MAP: &str = "STACK_COUNTS";
/// Ring buffer of [`RareEvent`]s.
pub const RARE_MAP: &str = "RARE";

/// Lowest record type that [`TypeCounts`] has a place for (`AUDIT_GET`).
pub const TYPE_BASE: u32 = 1000;
/// Places in [`TypeCounts`]; the last one counts every type outside the range.
pub const TYPE_SLOTS: usize = 2048;
/// Most threads that can be followed while they may be asleep.
pub const WAITER_SLOTS: u32 = 16_384;
/// Most stacks of samples told apart.
pub const STACK_SLOTS: u32 = 4096;
/// Most loss messages told apart; the kernel has nine.
pub const LOSS_SLOTS: u32 = 64;
/// Bytes kept of a loss message, its final NUL included.
pub const LOSS_NAME_BYTES: usize = 48;
/// Bins in a chunk.
pub const BIN_CHUNK: u32 = 256;
/// Chunks of bins, used in turn: with bins of 4 ms, 262 s.
pub const BIN_CHUNKS: u32 = 256;
/// Furthest that a task's own clock is followed behind the host's, bins.
pub const MOST_LAG_BINS: u64 = (BIN_CHUNK * (BIN_CHUNKS - 32)) as u64;
/// Classes of events by their system call; the last one is for all beyond.
pub const EVENT_SYSCALLS: u32 = 512;
/// Classes of events: after those of system calls one for each record type from 1400 on.
pub const EVENT_CLASSES: u32 = EVENT_SYSCALLS + 500;
/// Most threads that have slept for room whose clocks are followed.
pub const LAG_SLOTS: u32 = 16_384;
/// Shortest time between two reads that is a pause of the consumer's, ns.
pub const LONG_PAUSE_NS: u64 = 20_000_000;
/// Records in the socket that share a place of [`ConsumerLedger::depth_max`].
pub const FILLING: u64 = 16;
/// Places of [`ConsumerLedger::depth_max`]; the last one is for all beyond.
pub const FILLINGS: usize = 32;
/// Size of the ring buffer of rare events, bytes.
pub const RARE_BYTES: u32 = 64 * 1024;

/// Buckets of a stall histogram: bucket `b` holds durations in `[2^b, 2^(b+1))` ns.
pub const STALL_BUCKETS: usize = 64;
/// Buckets of a depth histogram, see [`depth_bucket`].
pub const DEPTH_BUCKETS: usize = 128;
// The programs bound a bucket by a mask.
const _: () = assert!(STALL_BUCKETS == 64 && DEPTH_BUCKETS.is_power_of_two());

/// A `u32` that could not be read.
pub const UNKNOWN: u32 = u32::MAX;

/// Events of one kind on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventClass {
    /// Records after the first.
    pub followers: u64,
    /// Last records: the events that were made.
    pub ends: u64,
    /// Least time from the first to the last one, ns; 0 where none was timed.
    pub least_ns: u64,
    /// Events that took less than twice the least so far: nothing came in between.
    pub usual: u64,
    /// Their time, ns.
    pub usual_ns: u64,
}

/// Samples of the traced command's tasks on one CPU.
#[repr(C)]
#[cfg_attr(not(target_arch = "bpf"), derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuRow {
    /// Samples.
    pub taken: u64,
    /// Of `taken`: outside of the kernel.
    pub outside: u64,
    /// Of `taken`: in the kernel, with a stack that found no place.
    pub unplaced: u64,
}

/// What left the queues. One for the host; additions are atomic, since
/// `kauditd_hold_skb` also runs in process context through `auditd_reset`.
#[repr(C)]
#[cfg_attr(not(target_arch = "bpf"), derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainLedger {
    /// Records that left the main queue.
    pub drained: u64,
    /// Records that `kauditd` handed to auditd's socket.
    pub delivered: u64,
    /// Records whose delivery `kauditd` gave up: auditd's socket was full for
    /// 100 ms, or auditd is gone.
    pub refused: u64,
    /// Calls of `kauditd_retry_skb`.
    pub retried: u64,
    /// Calls of `kauditd_hold_skb`.
    pub held: u64,
    /// Calls of `kauditd_rehold_skb`.
    pub reheld: u64,
    /// Calls of `auditd_reset`.
    pub resets: u64,
    /// Passes of `kauditd` over a queue.
    pub passes: u64,
    /// Extra records queued with a buffer (`audit_buffer_aux_new`).
    pub auxiliary: u64,
    /// Sum of the data areas (`sk_buff.end`) of all drained records, bytes.
    pub area_bytes: u64,
    /// Largest data area of a drained record, bytes.
    pub area_max_bytes: u64,
    /// Greatest length of the main queue left behind by a drained record.
    pub depth_max: u64,
    /// Greatest length of the retry queue.
    pub retry_depth_max: u64,
    /// Greatest length of the hold queue.
    pub hold_depth_max: u64,
    /// Rare events that found the ring buffer full.
    pub rare_missed: u64,
    /// Loss messages beyond [`LOSS_SLOTS`].
    pub losses_unnamed: u64,
    /// Length of the main queue left behind by each drained record.
    pub depth_hist: [u64; DEPTH_BUCKETS],
}

/// Drained records by type, at `type - TYPE_BASE`.
#[repr(C)]
#[cfg_attr(not(target_arch = "bpf"), derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeCounts {
    /// Records.
    pub counts: [u64; TYPE_SLOTS],
}

/// Calls of `audit_log_lost` with one message.
#[repr(C)]
#[cfg_attr(not(target_arch = "bpf"), derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossCount {
    /// Calls.
    pub calls: u64,
    /// Of `calls`: in a thread of auditwatch itself.
    pub own: u64,
    /// Of `calls`: in a thread of the traced command.
    pub command: u64,
    /// The message, NUL-terminated.
    pub name: [u8; LOSS_NAME_BYTES],
}

/// Demand within a few milliseconds of the tasks' own clocks. Each word bears the bin's number
/// in its upper half: the slot is used again after a while.
#[repr(C)]
#[cfg_attr(not(target_arch = "bpf"), derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// Attempts.
    pub arrivals: u64,
    /// Records that were not made since the first of their event was refused, sixteenths.
    pub suppressed: u64,
}

/// Bins in a row.
#[repr(C)]
#[cfg_attr(not(target_arch = "bpf"), derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinChunk {
    /// The bins.
    pub bins: [Bin; BIN_CHUNK as usize],
}

/// How auditd takes records out of its socket.
#[repr(C)]
#[cfg_attr(not(target_arch = "bpf"), derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerLedger {
    /// Records in the socket now, by account.
    pub in_socket: u64,
    /// Most of them.
    pub in_socket_max: u64,
    /// Records taken out.
    pub reads: u64,
    /// Time of the last read, ns of `CLOCK_MONOTONIC`.
    pub read_ns: u64,
    /// Not 0 when that read left a record to be read.
    pub busy: u64,
    /// When the socket got its first record after it had been empty, ticks of the kernel's clock.
    pub filled_ticks: u64,
    /// Records of which it is known how long they took, without the pauses.
    pub served: u64,
    /// Time that these took, ns.
    pub served_ns: u64,
    /// Times between two reads of [`LONG_PAUSE_NS`] or more, with records to be read.
    pub pauses: u64,
    /// Time that these took, ns.
    pub pauses_ns: u64,
    /// Most records in the socket at a read.
    pub most_seen: u64,
    /// Memory that these were charged for, bytes.
    pub most_seen_bytes: u64,
    /// Most memory that the socket's records may be charged for, bytes.
    pub buffer_bytes: u64,
    /// Greatest length of the main queue left behind by a drained record, by the records that were
    /// in the socket then, [`FILLING`] to a place.
    pub depth_max: [u64; FILLINGS],
    /// Times between two reads with records to be read, as [`StallLedger::hist`].
    pub service_hist: [u64; STALL_BUCKETS],
}

/// When a task met a full queue.
#[repr(C)]
#[cfg_attr(not(target_arch = "bpf"), derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StallStart {
    /// Time of the attempt, ns of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// Voluntary context switches of the task until then.
    pub switches: u64,
    /// Type of the record.
    pub record_type: u32,
    /// Explicit padding.
    pub reserved: u32,
    /// Whose it is.
    pub talker: TalkerKey,
}

/// Time that tasks slept in `audit_log_start`.
#[repr(C)]
#[cfg_attr(not(target_arch = "bpf"), derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StallLedger {
    /// Record attempts that slept.
    pub count: u64,
    /// Sum of their durations, ns.
    pub total_ns: u64,
    /// Longest, ns.
    pub max_ns: u64,
    /// Of `count`: refused after the sleep.
    pub refused: u64,
    /// Attempts that met a full queue, whether they slept or not.
    pub met_full: u64,
    /// Attempts that could not be followed: [`WAITERS_MAP`] was full.
    pub untracked: u64,
    /// Of `count`: of the traced command's tasks.
    pub command: u64,
    /// Of `total_ns`: the same.
    pub command_total_ns: u64,
    /// Longest of the same, ns.
    pub command_max_ns: u64,
    /// Durations.
    pub hist: [u64; STALL_BUCKETS],
}

/// The kernel's audit variables at one moment; [`UNKNOWN`] where not readable.
#[repr(C)]
#[cfg_attr(not(target_arch = "bpf"), derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelState {
    /// Time of the reading, ns of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// `jiffies` at that time; 0 when not readable.
    pub jiffies: u64,
    /// Length of the main queue.
    pub depth: u32,
    /// Length of the retry queue.
    pub retry_depth: u32,
    /// Length of the hold queue.
    pub hold_depth: u32,
    /// `audit_backlog_limit`, records.
    pub limit: u32,
    /// `audit_backlog_wait_time`, jiffies.
    pub wait_time: u32,
    /// `audit_backlog_wait_time_actual`, jiffies.
    pub waited: u32,
    /// `audit_lost`, records.
    pub lost: u32,
    /// `audit_rate_limit`, records per second.
    pub rate_limit: u32,
    /// `audit_failure`: 0 silent, 1 printk, 2 panic.
    pub failure: u32,
    /// `audit_enabled`: 0, 1, or 2 for locked.
    pub enabled: u32,
    /// `audit_default`: not 0 when booted with `audit=1`.
    pub audit_default: u32,
    /// Process id of auditd in the initial namespace; 0 when none is registered.
    pub auditd_pid: u32,
    /// Tasks that are followed since they met a full queue.
    pub waiters: u32,
    /// 1 while `kauditd` holds a record that is on no queue, else 0.
    pub in_delivery: u32,
    /// Length of the main queue right after the gate was set, where this reading set it.
    pub depth_after: u32,
    /// Explicit padding.
    pub reserved: u32,
}

/// [`LiveState::in_delivery`]: `kauditd` holds no record.
pub const DELIVERY_NONE: u32 = 0;
/// [`LiveState::in_delivery`]: a record is off its queue, and not yet sent.
pub const DELIVERY_TAKEN: u32 = 1;
/// [`LiveState::in_delivery`]: a record is being sent; what comes of it shows in what
/// `kauditd` does next.
pub const DELIVERY_SENT: u32 = 2;

/// [`LiveState::gate`]: nothing is counted yet, but who waits is followed, so
/// that it is known at the zero point.
pub const GATE_AHEAD: u32 = 0;
/// Not a state of the gate: an order to leave it as it is.
pub const GATE_AS_IT_IS: u32 = 3;
/// Not a state of the gate: an order to take limit and wait time from the next two arguments.
pub const SET_LIMITS: u32 = 4;
/// [`LiveState::gate`]: the programs count.
pub const GATE_OPEN: u32 = 1;
/// [`LiveState::gate`]: the window is over; everything stands still.
pub const GATE_SHUT: u32 = 2;

/// State that the programs keep for each other. The first 64 bytes are what an attempt is counted by, and
/// seldom written: what `kauditd` writes for each record would take them from the CPUs' caches.
#[repr(C)]
#[cfg_attr(not(target_arch = "bpf"), derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveState {
    /// Goes up after a change of whatever an attempt that goes on like the one before need not look at.
    pub epoch: u64,
    /// Entries of [`WAITERS_MAP`].
    pub waiters: u64,
    /// The gate, one of the `GATE_` constants.
    pub gate: u32,
    /// The backlog limit in force, records.
    pub limit: u32,
    /// The wait time in force, jiffies.
    pub wait_time: u32,
    /// Not 0 once `limit` and `wait_time` are filled in.
    pub limits_known: u32,
    /// Process id of auditwatch in the initial namespace, whose own records are
    /// counted apart; learned from its first reading.
    pub own: u32,
    /// Process id of auditd in the initial namespace; 0 for none, or not known.
    pub auditd: u32,
    /// Not 0 once any thread has slept for room.
    pub lagging: u32,
    /// Not 0 while records that are queued now may be lost by `kauditd`: there is no auditd, or it
    /// has left records to be sent again.
    pub at_risk: u32,
    /// Not 0 where the kernel holds what it has no auditd for (`audit=1`).
    pub holds: u32,
    /// Records of auditwatch's own that were lost while the gate was not open: those of loading its programs and of
    /// taking them out.
    pub own_lost: u32,
    /// Explicit padding.
    pub reserved: [u32; 2],
    /// Address of the main queue, learned from `kauditd_send_queue`.
    pub main_queue: u64,
    /// Address of the retry queue, learned likewise.
    pub retry_queue: u64,
    /// Address of the hold queue, learned likewise.
    pub hold_queue: u64,
    /// Address of the record that `kauditd` sent last.
    pub sent: u64,
    /// Ticks of the kernel's clock when `kauditd` began to send the record in delivery.
    pub sent_ticks: u64,
    /// That record's address; 0 where it is settled.
    pub given: u64,
    /// Thread that was last given a record which nobody took.
    pub given_by: u32,
    /// Thread id of `kauditd`, learned likewise; 0 before its first pass.
    pub kauditd: u32,
    /// What `kauditd` does with the record that it holds, one of the `HAND_` constants.
    pub in_delivery: u32,
    /// Explicit padding.
    pub reserved_too: u32,
}
const _: () = assert!(core::mem::offset_of!(LiveState, main_queue) == 64);

/// An `AUDIT_SET` under way; the kernel serialises them by `audit_cmd_mutex`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeScratch {
    /// The variables before the change.
    pub before: KernelState,
    /// The request, see [`AuditSet`].
    pub request: AuditSet,
    /// Thread that makes the change; 0 when none is under way.
    pub thread: u32,
    /// Explicit padding.
    pub reserved: u32,
}

/// The first fields of the kernel's `struct audit_status` (uapi, stable).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditSet {
    /// Which fields are to be set, `AUDIT_STATUS_*`.
    pub mask: u32,
    /// `AUDIT_STATUS_ENABLED`.
    pub enabled: u32,
    /// `AUDIT_STATUS_FAILURE`.
    pub failure: u32,
    /// `AUDIT_STATUS_PID`.
    pub pid: u32,
    /// `AUDIT_STATUS_RATE_LIMIT`, records per second.
    pub rate_limit: u32,
    /// `AUDIT_STATUS_BACKLOG_LIMIT`, records.
    pub backlog_limit: u32,
    /// Read only.
    pub lost: u32,
    /// Read only.
    pub backlog: u32,
    /// Read only.
    pub features: u32,
    /// `AUDIT_STATUS_BACKLOG_WAIT_TIME`, jiffies.
    pub wait_time: u32,
}

/// [`RareEvent::kind`]: an `AUDIT_SET` was processed.
pub const RARE_CHANGE: u32 = 1;
/// [`RareEvent::kind`]: `auditd_reset` was called.
pub const RARE_RESET: u32 = 2;
/// [`RareEvent::kind`]: a loss message was seen for the first time.
pub const RARE_FIRST_LOSS: u32 = 3;
/// [`RareEvent::kind`]: the consumer paused for [`RareEvent::message`] ns until now.
pub const RARE_PAUSE: u32 = 4;

/// A rare fact, sent through the ring buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RareEvent {
    /// Time, ns of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// Address of the loss message ([`RARE_FIRST_LOSS`]), or a duration, ns ([`RARE_PAUSE`]).
    pub message: u64,
    /// One of the `RARE_` constants.
    pub kind: u32,
    /// Process id of the current task in the initial namespace.
    pub pid: u32,
    /// Command name of the current task, NUL-padded.
    pub comm: [u8; 16],
    /// Return value of `audit_receive_msg` ([`RARE_CHANGE`]).
    pub result: i32,
    /// Explicit padding.
    pub reserved: u32,
    /// The variables before the change ([`RARE_CHANGE`]).
    pub before: KernelState,
    /// The variables after it.
    pub after: KernelState,
    /// The request.
    pub request: AuditSet,
}
