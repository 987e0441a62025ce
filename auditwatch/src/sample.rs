//! A [`Sample`]: everything as read at one moment, nothing derived.
//!
//! All counts are totals since the zero point. What was not measured is `None`,
//! never 0. Plain data: it is recorded, replayed and tested as it is.

#![forbid(unsafe_code)]

pub mod container;
pub mod footprint;
pub mod histogram;
pub mod loss;
pub mod record_type;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{kernel::audit_state::KernelState, untrusted::Untrusted};

/// Where a sample comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The BPF programs.
    Bpf,
    /// Audit netlink only.
    Poll,
}

impl Source {
    /// The source's name, as in the report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bpf => "bpf",
            Self::Poll => "poll",
        }
    }
}

/// Record attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// By others than auditwatch.
    pub attempted: u64,
    /// By auditwatch itself.
    pub own: u64,
    /// Of `attempted`: ended by an exclude rule.
    pub filtered: u64,
    /// Of `own`: the same.
    pub own_filtered: u64,
    /// USER messages ended by a user rule, before any attempt.
    pub user_filtered: u64,
    /// Greatest main queue length seen by an attempt, records.
    pub depth_max: Option<u64>,
    /// Refused attempts of which it is known what went with them; None in recordings before it was
    /// counted.
    #[serde(default)]
    pub understood: Option<u64>,
}

/// Records that left the main queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Records.
    pub drained: u64,
    /// Their data areas; `None` when they cannot be read.
    pub areas: Option<Areas>,
    /// Main queue lengths left behind; `None` when they cannot be read.
    pub depths: Option<Depths>,
    /// Records by type number; `None` when it cannot be read.
    pub types: Option<BTreeMap<u32, u64>>,
}

/// Data areas of drained records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Areas {
    /// Their sum, bytes.
    pub total_bytes: u64,
    /// The largest, bytes.
    pub max_bytes: u64,
}

/// Main queue lengths that drained records left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depths {
    /// The greatest, records.
    pub max: u64,
    /// By bucket (`auditwatch_ebpf::depth_bucket`).
    pub hist: Vec<u64>,
}

/// What came of deliveries to auditd.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Taken by auditd's socket.
    pub delivered: u64,
    /// Given up: the socket was full for 100 ms, or auditd is gone.
    pub refused: u64,
}

/// Records on the retry or hold queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Calls of the function that puts them there.
    pub calls: u64,
    /// Greatest length of the queue, records; `None` when it cannot be read.
    pub depth_max: Option<u64>,
}

/// A task that has met a full queue and whose attempt has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    /// Thread id in the initial namespace.
    pub thread: u32,
    /// Start of the attempt, ns of `CLOCK_MONOTONIC`.
    pub since_ns: u64,
    /// Whether it sleeps in the audit code; `None` where the kernel does not tell.
    pub asleep: Option<bool>,
}

/// Demand of a few milliseconds: the bin's number since boot, attempts in it by the tasks' own
/// clocks, and sixteenths of records that were not made since the first of their event was refused.
pub type DemandBin = (u64, u32, u32);

/// Demand in time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Ticks of the kernel's clock in a bin.
    pub ticks_per_bin: u32,
    /// What came to each bin since the sample before, in the order of their numbers.
    pub bins: Vec<DemandBin>,
}

/// How auditd takes records out of its socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumer {
    /// Records taken out.
    pub reads: u64,
    /// Records in the socket, by account.
    pub in_socket: u64,
    /// Most of them.
    pub in_socket_max: u64,
    /// Records of which it is known how long they took, but for the pauses.
    pub served: u64,
    /// Time that these took, ns.
    pub served_ns: u64,
    /// Pauses: 20 ms or more between two reads, with records to be read.
    pub pauses: u64,
    /// Time that these took, ns.
    pub pauses_ns: u64,
    /// Most records in the socket at a read.
    pub most_seen: u64,
    /// Memory that these were charged for, bytes.
    pub most_seen_bytes: u64,
    /// Most memory that the socket's records may be charged for, bytes.
    pub buffer_bytes: u64,
    /// Its last read, ns of `CLOCK_MONOTONIC`, if that left a record to be read; absent in older recordings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread_since_ns: Option<u64>,
    /// When a record came to the empty socket that is still there, ticks of the kernel's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread_since_ticks: Option<u64>,
    /// Greatest main queue length while the socket held `[16 i, 16 (i + 1))` records; the last one is
    /// for all beyond.
    pub depth_max: Vec<u64>,
    /// Times between two reads with records to be read: bucket `b` counts `[2^b, 2^(b+1))` ns.
    pub service_hist: Vec<u64>,
}

/// Who causes records, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TalkerId {
    /// Process id in the initial namespace; `None` where no task is behind the record, and for
    /// processes that found no place of their own.
    pub pid: Option<u32>,
    /// Command name at the attempt; empty where no task is behind the record.
    pub comm: Untrusted,
    /// Id of the control group (v2); `None` where no task is behind the record.
    pub cgroup: Option<u64>,
    /// Key of the audit rule that asked for the event (`auditctl -k`), cut after 31 bytes.
    pub rule: Option<Untrusted>,
    /// Number of the system call; `None` where the record is of none.
    pub syscall: Option<u32>,
    /// Type of the event's first record.
    pub record_type: u32,
}

/// A talker's totals since the zero point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TalkerCounts {
    /// Record attempts, filtered and refused ones included.
    pub records: u64,
    /// Of these: refused, or dropped before they were queued.
    pub refused: u64,
    /// Of these: queued, and lost by `kauditd`.
    pub lost: u64,
    /// Of these: that slept for room.
    pub stalls: u64,
    /// Time that they slept, ns.
    pub stalled_ns: u64,
    /// The longest, ns.
    pub longest_ns: u64,
}

/// A talker, and what is known of it beside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Talker {
    /// Who it is.
    pub id: TalkerId,
    /// What it did.
    pub counts: TalkerCounts,
    /// Its program, where the process still ran when it was looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<Untrusted>,
    /// Path of its control group, where that still was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup_path: Option<Untrusted>,
    /// Name of its container or pod, where a runtime has left one on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<Untrusted>,
}

/// Stalls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stalls {
    /// Attempts that slept.
    pub count: u64,
    /// Sum of their durations, ns.
    pub total_ns: u64,
    /// Longest, ns.
    pub max_ns: u64,
    /// Of `count`: refused all the same.
    pub refused: u64,
    /// Attempts that met a full queue while waiting was allowed.
    pub met_full: u64,
    /// Attempts that could not be followed.
    pub untracked: u64,
    /// Durations: bucket `b` counts `[2^b, 2^(b+1))` ns.
    pub hist: Vec<u64>,
    /// Tasks whose attempt has not ended.
    pub waiters: Vec<Waiter>,
}

/// What the tasks of the traced command did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandCounts {
    /// Record attempts.
    pub attempted: u64,
    /// Of `attempted`: ended by an exclude rule.
    pub filtered: u64,
    /// Losses that the kernel counted in these tasks, where hooked.
    pub lost: Option<u64>,
    /// Stalls, where hooked.
    pub stalls: Option<CommandStalls>,
    /// Samples of what the CPUs did with these tasks, where taken.
    pub cpu: Option<CpuSamples>,
}

/// Stalls of the traced command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandStalls {
    /// Attempts that slept.
    pub count: u64,
    /// Sum of their durations, ns.
    pub total_ns: u64,
    /// Longest, ns.
    pub max_ns: u64,
}

/// Samples at a steady rate of the traced command's tasks on the CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuSamples {
    /// Outside of the kernel.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// Of `system`: within the audit code, or what it calls.
    pub audit: u64,
    /// Of `system`: not known whether within the audit code.
    pub unplaced: u64,
}

/// The programs' own shortfalls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortfalls {
    /// Calls that each program was skipped for (`recursion_misses`); programs
    /// without any are left out.
    pub missed: BTreeMap<String, u64>,
    /// Rare events that found the ring buffer full.
    pub rare_missed: u64,
    /// Losses whose message found no place.
    pub losses_unnamed: u64,
}

/// A rare fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Time, ns of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// Process id of who caused it, in the initial namespace.
    pub pid: u32,
    /// Its command name.
    pub comm: Untrusted,
    /// What happened.
    pub what: EventKind,
}

/// What a rare fact is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A setting was changed, or an attempt to do so was refused.
    Change {
        /// The setting, by its name in `auditctl -s`.
        field: String,
        /// Value before; `None` when not readable.
        old: Option<u32>,
        /// Value asked for.
        new: u32,
        /// 0, or the negative error number.
        result: i32,
    },
    /// `kauditd` or a process gave up the connection to auditd.
    AuditdReset,
    /// A loss message was seen for the first time.
    FirstLoss,
    /// auditd read nothing for a while, although there was something to read, until now.
    Pause {
        /// How long, ns.
        duration_ns: u64,
    },
}

/// Everything as read at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Time of the reading, ns of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// Where it comes from.
    pub source: Source,
    /// The kernel's variables.
    pub state: KernelState,
    /// Attempts, where hooked.
    pub attempts: Option<Attempts>,
    /// Losses that the kernel counts, by its message, where hooked.
    pub losses: Option<BTreeMap<String, u64>>,
    /// Of these: auditwatch's own attempts.
    pub own_losses: Option<BTreeMap<String, u64>>,
    /// Drains, where hooked.
    pub drain: Option<Drain>,
    /// Deliveries, where hooked.
    pub delivery: Option<Delivery>,
    /// Demand in time, where attempts are hooked.
    #[serde(default)]
    pub demand: Option<Demand>,
    /// What auditd does, where hooked.
    #[serde(default)]
    pub consumer: Option<Consumer>,
    /// Retries, where hooked.
    pub retry: Option<Kept>,
    /// Holds, where hooked.
    pub hold: Option<Kept>,
    /// Held records put back, where hooked.
    pub reheld: Option<u64>,
    /// Connections to auditd given up, where hooked.
    pub resets: Option<u64>,
    /// Passes of `kauditd` over a queue, where hooked.
    pub passes: Option<u64>,
    /// Extra records of a buffer, where hooked; 0 where the kernel has none.
    pub auxiliary: Option<u64>,
    /// Stalls, where hooked.
    pub stalls: Option<Stalls>,
    /// Talkers whose totals have changed since they were last read; `None` where they were not read
    /// for this sample, or are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub talkers: Option<Vec<Talker>>,
    /// Of all these: the traced command's, where one is followed.
    pub command: Option<CommandCounts>,
    /// The programs' own shortfalls; all zero for a source without programs.
    pub shortfalls: Shortfalls,
    /// Rare facts since the last sample.
    pub events: Vec<Event>,
}
