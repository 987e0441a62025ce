//! The storm: an audit load of known size, and the host and consumer that it meets.
//!
//! In: the text of a storm file (docs/storms.md). Out: a [`Storm`] that has been
//! checked, or the line that is wrong and why. Pure: it runs nothing.

#![forbid(unsafe_code)]

mod conf;
mod format;
pub mod library;
pub mod schedule;
mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest storm file, bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Most producers of a storm.
pub const MAX_PRODUCERS: usize = 64;
/// Most threads of a phase.
pub const MAX_THREADS: u32 = 256;
/// Most events of a thread.
pub const MAX_EVENTS: u64 = 10_000_000;
/// Longest time in a storm: one hour, ms.
pub const MAX_MS: u64 = 3_600_000;
/// Highest rate, events a second.
pub const MAX_PER_S: f64 = 10_000_000.0;
/// Longest argument of a program and longest message, bytes.
pub const MAX_TEXT_BYTES: u64 = 100_000;

/// What is wrong with a storm.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {message}")]
pub struct StormError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong there, and what would be right.
    pub message: String,
}

/// An audit load, and what it meets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Storm {
    /// Its name.
    pub name: String,
    /// What it is a model of; may be empty.
    pub about: String,
    /// Settings while it lasts.
    pub host: Host,
    /// What is done, one after another.
    pub phases: Vec<Phase>,
    /// Who takes the records.
    pub consumer: ConsumerPlan,
}

/// Audit settings while the storm lasts; what is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Backlog limit, records; 0 for none.
    pub limit: Option<u32>,
    /// Backlog wait time, ms.
    pub wait_time_ms: Option<u64>,
    /// Records a second that pass; 0 for all.
    pub rate_limit: Option<u32>,
    /// What a loss does: 0 nothing, 1 printk.
    pub failure: Option<u32>,
}

/// Producers that run at the same time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Pause before it, ms.
    pub rest_ms: u64,
    /// Who makes events.
    pub producers: Vec<Producer>,
    /// How the consumer is different meanwhile.
    pub consumer: Pace,
}

/// Threads that make events of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Producer {
    /// Its name.
    pub name: String,
    /// What an event is.
    pub kind: Kind,
    /// Threads that do the same.
    pub threads: u32,
    /// When each of them ends.
    pub amount: Amount,
    /// When its events are due.
    pub pacing: Pacing,
    /// From the phase's begin to its first event, ms.
    pub start_ms: u64,
    /// Whether events that were due during a stall are made up for at once; otherwise
    /// all later ones are put off.
    pub catch_up: bool,
    /// Key of the audit rule.
    pub key: Option<String>,
    /// Length of the program's argument, bytes (`exec`).
    pub argv_bytes: u64,
    /// Least length of the message, bytes (`user`).
    pub message_bytes: u64,
}

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A system call that does nothing.
    Syscall,
    /// A file is opened.
    Open,
    /// A program runs that does nothing.
    Exec,
    /// A USER message is sent.
    User,
    /// A file's mode is changed, it is renamed, it is removed.
    Files,
    /// A socket is connected, on loopback.
    Connect,
    /// Loopback is made promiscuous and not: records that cannot wait for room.
    Promiscuous,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Syscall,
        Self::Open,
        Self::Exec,
        Self::User,
        Self::Files,
        Self::Connect,
        Self::Promiscuous,
    ];

    /// Its name in a storm file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syscall => "syscall",
            Self::Open => "open",
            Self::Exec => "exec",
            Self::User => "user",
            Self::Files => "files",
            Self::Connect => "connect",
            Self::Promiscuous => "promiscuous",
        }
    }
}

/// When a thread ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// After so many events.
    Events(u64),
    /// After so much time, ms.
    Millis(u64),
}

/// When a thread's events are due. Rates are of one thread, events a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pacing {
    /// One after another.
    FlatOut,
    /// At a steady rate.
    Rate {
        /// Events a second.
        per_s: f64,
    },
    /// So many at a time.
    Burst {
        /// Events of a burst.
        events: u64,
        /// From one burst's begin to the next, ms.
        every_ms: u64,
    },
    /// At a rate that changes evenly, and then stays.
    Ramp {
        /// Events a second at first.
        from_per_s: f64,
        /// Events a second at last.
        to_per_s: f64,
        /// Time between the two, ms.
        over_ms: u64,
    },
    /// At a steady rate, with pauses.
    OnOff {
        /// Time with events, ms.
        on_ms: u64,
        /// Time without, ms.
        off_ms: u64,
        /// Events a second in the former.
        per_s: f64,
    },
    /// At random, each without regard to the others.
    Poisson {
        /// Events a second on average.
        per_s: f64,
        /// Where the random numbers begin: the same seed makes the same events.
        seed: u64,
    },
}

/// Who takes the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConsumerKind {
    /// A process that counts them.
    Sink,
    /// The real auditd.
    Auditd,
    /// Nobody.
    None,
    /// A sink that does not run while the storm lasts.
    Stopped,
}

impl ConsumerKind {
    /// Its name in a storm file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sink => "sink",
            Self::Auditd => "auditd",
            Self::None => "none",
            Self::Stopped => "stopped",
        }
    }
}

/// The consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerPlan {
    /// Who it is.
    pub kind: ConsumerKind,
    /// Time that the sink sleeps after each record, µs.
    pub per_record_us: u64,
    /// Pauses of the sink.
    pub pause: Option<Pause>,
    /// Receive buffer of the sink, bytes; the host's default where absent.
    pub rcvbuf: Option<u32>,
    /// Whether the sink writes each record to a file and syncs it.
    pub fsync: bool,
    /// auditd.conf, where it differs from what is usual here.
    pub conf: BTreeMap<String, String>,
}

impl Default for ConsumerPlan {
    fn default() -> Self {
        Self {
            kind: ConsumerKind::Sink,
            per_record_us: 0,
            pause: None,
            rcvbuf: None,
            fsync: false,
            conf: BTreeMap::new(),
        }
    }
}

/// Pauses of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Time between them, ms.
    pub every_ms: u64,
    /// Length of each, ms.
    pub for_ms: u64,
}

/// How the consumer is different in one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Time that the sink sleeps after each record, µs.
    pub per_record_us: Option<u64>,
    /// Pauses of the sink.
    pub pause: Option<Pause>,
    /// Whether it does not run.
    pub stopped: Option<bool>,
}

impl Storm {
    /// Reads a storm file.
    ///
    /// # Errors
    /// Where it is no TOML, has a key or a value that no storm has, or asks for what
    /// makes no sense.
    pub fn parse(text: &str) -> Result<Self, StormError> {
        format::parse(text)
    }

    /// The same storm at another backlog limit, records; 0 for none.
    #[must_use]
    pub const fn with_limit(mut self, limit: u32) -> Self {
        self.host.limit = Some(limit);
        self
    }

    /// The same storm at another backlog wait time, ms; 0 for none.
    #[must_use]
    pub const fn with_wait_time_ms(mut self, ms: u64) -> Self {
        self.host.wait_time_ms = Some(ms);
        self
    }

    /// Events that it makes in all; `None` where it ends by time.
    #[must_use]
    pub fn events(&self) -> Option<u64> {
        self.phases
            .iter()
            .flat_map(|phase| &phase.producers)
            .map(|producer| match producer.amount {
                Amount::Events(events) => Some(events * u64::from(producer.threads)),
                Amount::Millis(_) => None,
            })
            .sum()
    }
}
