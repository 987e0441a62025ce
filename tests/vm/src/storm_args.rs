//! What a storm is asked to do, and its report.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::quiet::Snapshot;

/// The load: every kind runs at the same time, each on its own threads.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// getppid calls per producer
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub syscall: u64,
    /// USER messages per producer, one record each
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub user: u64,
    /// Programs run per producer
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub exec: u64,
    /// Rounds of file-system work per producer
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub files: u64,
    /// Files opened through `io_uring` per producer, every second one by a worker of the kernel's
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub uring: u64,
    /// Producers of each kind
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: u32,
    /// Microseconds between two events of a producer, 0 for flat out
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub gap_us: u64,
    /// Length of the argument that each program run gets
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub argv_bytes: usize,
    /// Run the producers (threads, not the process) as this user
    #[arg(long)]
    pub uid: Option<u32>,
    /// Give the producers this login uid, as a session of a user has it
    #[arg(long)]
    pub loginuid: Option<u32>,
    /// Stop before all events are made: a storm's processes once its acts are done, one process at
    /// the end of its standard input
    #[arg(long)]
    pub until_acts_done: bool,
}

/// A storm.
#[derive(Debug, Args)]
pub struct StormArgs {
    /// What each producer does
    #[command(flatten)]
    pub load: LoadArgs,
    /// Spread the load over this many processes, each with `--threads` producers
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub processes: u32,
    /// The sink's board
    #[arg(long, value_name = "FILE")]
    pub board: Option<PathBuf>,
    /// A real auditd's log, with --log-pid
    #[arg(long, value_name = "FILE", requires = "log_pid")]
    pub log: Option<PathBuf>,
    /// Process id of the auditd that writes --log
    #[arg(long, value_name = "PID")]
    pub log_pid: Option<u32>,
    /// Where the kernel's words are, as `vmtest words` writes it
    #[arg(long, value_name = "FILE")]
    pub words: Option<PathBuf>,
    /// Act at a moment: MS:stop-sink, cont-sink, kill-sink, leave-sink, start-sink, limit=N, rate=N or ask=N
    #[arg(long, value_name = "MS:ACT")]
    pub at: Vec<Timed>,
    /// Wait for quiet before and after, at most this long
    #[arg(long, value_name = "MS")]
    pub settle: Option<u64>,
    /// Let a stopped sink go on once the queue is empty, and wait again
    #[arg(long)]
    pub resume_sink: bool,
    /// Receive buffer of a sink that `start-sink` makes
    #[arg(long, value_name = "BYTES")]
    pub rcvbuf: Option<i32>,
    /// Write the report here
    #[arg(long, value_name = "FILE")]
    pub result: Option<PathBuf>,
    /// End with this status
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub exit: u8,
}

/// Something done to the host during the storm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// SIGSTOP.
    StopSink,
    /// SIGCONT.
    ContSink,
    /// SIGKILL.
    KillSink,
    /// The sink unregisters and lives on.
    LeaveSink,
    /// A new sink on the same board.
    StartSink,
    /// Another process sets the backlog limit.
    Limit(u32),
    /// Another process sets the rate limit.
    Rate(u32),
    /// So many other processes ask for the status once the queue is above its limit.
    Ask(u32),
    /// Nothing, until so many tasks sleep for room: at least so many, or none at all.
    AwaitWaiters(u32),
}

/// An act and its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timed {
    /// Milliseconds from the first event.
    pub at_ms: u64,
    /// What is done.
    pub act: Act,
}

impl FromStr for Timed {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (at, act) = text
            .split_once(':')
            .with_context(|| format!("`{text}` is not MS:ACT"))?;
        let at_ms = at
            .parse()
            .with_context(|| format!("`{at}` is no time in ms"))?;
        let act = match act.split_once('=') {
            Some(("limit", n)) => Act::Limit(n.parse().with_context(|| format!("limit `{n}`"))?),
            Some(("rate", n)) => Act::Rate(n.parse().with_context(|| format!("rate `{n}`"))?),
            Some(("ask", n)) => Act::Ask(n.parse().with_context(|| format!("count `{n}`"))?),
            Some(("await-waiters", n)) => {
                Act::AwaitWaiters(n.parse().with_context(|| format!("count `{n}`"))?)
            }
            _ => match act {
                "stop-sink" => Act::StopSink,
                "cont-sink" => Act::ContSink,
                "kill-sink" => Act::KillSink,
                "leave-sink" => Act::LeaveSink,
                "start-sink" => Act::StartSink,
                _ => bail!("unknown act `{act}`"),
            },
        };
        Ok(Self { at_ms, act })
    }
}

/// What producers did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Produced {
    /// getppid calls.
    pub syscall: u64,
    /// USER messages the kernel took.
    pub user: u64,
    /// Programs run.
    pub exec: u64,
    /// Rounds of file-system work.
    pub files: u64,
    /// Files opened through `io_uring`.
    pub uring: u64,
    /// What could not be done.
    pub failed: u64,
    /// The longest that one event took.
    pub max_latency_ns: u64,
}

impl Produced {
    /// Adds another producer's.
    pub fn merge(&mut self, other: &Self) {
        self.syscall += other.syscall;
        self.user += other.user;
        self.exec += other.exec;
        self.files += other.files;
        self.uring += other.uring;
        self.failed += other.failed;
        self.max_latency_ns = self.max_latency_ns.max(other.max_latency_ns);
    }
}

/// An act that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// What was to be done, and when.
    pub timed: Timed,
    /// The process that did it, or to which it was done.
    pub pid: u32,
}

/// The report of a storm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StormReport {
    /// What was produced.
    pub produced: Produced,
    /// Before the first event.
    pub before: Snapshot,
    /// After the last, when it was quiet.
    pub after: Snapshot,
    /// When the first event came, of the real-time clock.
    pub began_ns: u64,
    /// When the last one had been made.
    pub produced_ns: u64,
    /// When it was quiet again.
    pub ended_ns: u64,
    /// The acts.
    pub acts: Vec<Done>,
}

impl StormReport {
    /// Records that the consumer received in the window.
    pub fn received(&self) -> u64 {
        self.after.received.saturating_sub(self.before.received)
    }

    /// The same of one type.
    pub fn received_of(&self, kind: u16) -> u64 {
        let of = |s: &Snapshot| s.types.get(&kind).copied().unwrap_or(0);
        of(&self.after).saturating_sub(of(&self.before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts() {
        let parse = |text: &str| text.parse::<Timed>().ok();
        assert_eq!(
            parse("0:stop-sink"),
            Some(Timed {
                at_ms: 0,
                act: Act::StopSink
            })
        );
        assert_eq!(
            parse("250:limit=64"),
            Some(Timed {
                at_ms: 250,
                act: Act::Limit(64)
            })
        );
        for wrong in [
            "stop-sink",
            "x:stop-sink",
            "1:dance",
            "1:limit=",
            "1:limit=x",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn received_is_a_difference() {
        let mut report = StormReport::default();
        report.before.received = 10;
        report.before.types.insert(1300, 4);
        report.after.received = 25;
        report.after.types.insert(1300, 9);
        report.after.types.insert(1320, 10);
        assert_eq!(report.received(), 15);
        assert_eq!(report.received_of(1300), 5);
        assert_eq!(report.received_of(1320), 10);
        assert_eq!(report.received_of(1302), 0);
    }
}
