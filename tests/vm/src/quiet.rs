//! Waiting for a condition: nothing under way between the kernel and the consumer.
//!
//! Quiet means: the main queue is empty, kauditd sleeps for work, and the consumer has found its
//! socket empty twice since then without its count moving. A stopped or missing consumer is quiet
//! by itself. Whatever rests in the retry and hold queues stays: nothing moves it without a record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::board::{Board, Slot};
use crate::bpf_objects::BpfObjects;
use crate::kernel_words::{KernelMemory, KernelWords};
use crate::log_file;
use crate::netlink::AuditSocket;
use crate::tasks;

const SPACING: Duration = Duration::from_millis(20);
/// `AUDIT_GET` costs the kernel a thread each: rarely.
const GET_SPACING: Duration = Duration::from_millis(300);

/// What is seen at a quiet moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Records that the consumer had received.
    pub received: u64,
    /// The same by type.
    pub types: BTreeMap<u16, u64>,
    /// Bytes of their text.
    pub bytes: u64,
    /// The kernel's variables, where they can be read.
    pub kernel: Option<KernelWords>,
}

/// What is waited for, in a script.
#[derive(Debug, Args)]
pub struct QuietArgs {
    /// A sink's board: it must have registered
    #[arg(long, value_name = "FILE")]
    board: Option<PathBuf>,
    /// No more BPF programs than this are left: the kernel says in records that it frees them
    #[arg(long, value_name = "N")]
    programs: Option<usize>,
    /// When that is an error
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    within: u64,
}

/// Waits; the number of BPF programs that there are then.
pub fn run(args: &QuietArgs) -> Result<usize> {
    let deadline = Instant::now() + Duration::from_millis(args.within);
    let board = args.board.as_deref().map(Board::open).transpose()?;
    loop {
        let registered = board
            .as_ref()
            .is_none_or(|board| board.read(Slot::Registered) > 0);
        let programs = BpfObjects::count()?.programs;
        if registered && args.programs.is_none_or(|most| programs <= most) {
            let watch = Watch::new(None).board(args.board.as_deref())?;
            watch.wait(deadline.saturating_duration_since(Instant::now()))?;
            return Ok(programs);
        }
        ensure!(
            Instant::now() < deadline,
            "within {} ms: {}, {programs} BPF programs are left",
            args.within,
            if registered {
                "a consumer"
            } else {
                "no consumer"
            }
        );
        std::thread::sleep(SPACING);
    }
}

/// Whom to watch.
#[derive(Default)]
pub struct Watch {
    memory: Option<KernelMemory>,
    board: Option<Board>,
    log: Option<(PathBuf, u32)>,
    kauditd: Option<u32>,
}

impl Watch {
    /// A watch of the kernel, by its variables when there is a map of them.
    pub fn new(memory: Option<KernelMemory>) -> Self {
        Self {
            memory,
            kauditd: tasks::kauditd().ok(),
            ..Self::default()
        }
    }

    /// Watches a sink as well.
    pub fn board(mut self, path: Option<&Path>) -> Result<Self> {
        self.board = path.map(Board::open).transpose()?;
        Ok(self)
    }

    /// Watches a real auditd by its log.
    pub fn log(mut self, log: Option<(PathBuf, u32)>) -> Self {
        self.log = log;
        self
    }

    /// Reads everything once.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let mut snapshot = Snapshot {
            kernel: self.memory.as_ref().map(KernelMemory::read).transpose()?,
            ..Snapshot::default()
        };
        if let Some(board) = &self.board {
            snapshot.received = board.read(Slot::Received);
            snapshot.types = board.types();
            snapshot.bytes = board.read(Slot::Bytes);
        }
        if let Some((path, _)) = &self.log {
            snapshot.types = log_file::count_types(path)?;
            snapshot.received = snapshot.types.values().sum();
        }
        Ok(snapshot)
    }

    /// Waits until it is quiet; it is an error when it does not get so in time.
    pub fn wait(&self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let mut streak = 0;
        let mut before = self.consumer();
        let mut asked: Option<Instant> = None;
        while Instant::now() < deadline {
            std::thread::sleep(SPACING);
            let empty = match &self.memory {
                Some(memory) => memory.read()?.main == 0,
                None if asked.is_none_or(|t| t.elapsed() > GET_SPACING) => {
                    asked = Some(Instant::now());
                    AuditSocket::open()?.get()?.backlog == 0
                }
                None => streak > 0,
            };
            let now = self.consumer();
            let Some(rest) = self.kauditd_rests() else {
                bail!("kauditd is gone");
            };
            let undisturbed =
                now.count == before.count && now.idle.is_some() == before.idle.is_some();
            if !(empty && rest.0 && undisturbed) {
                streak = 0;
                before = now;
                continue;
            }
            if streak == 0 {
                before = now;
                streak = 1;
                continue;
            }
            streak += 1;
            if streak >= rest.1 && now.empty_since(&before) {
                return Ok(());
            }
        }
        let seen = self.snapshot().context("looking at what is not quiet")?;
        bail!(
            "not quiet within {timeout:?}: {:?}, {} received",
            seen.kernel,
            seen.received
        )
    }

    /// Whether kauditd sleeps for work, and how many looks in a row make that sure: where the
    /// kernel does not say what it sleeps in, it may be the 100 ms for room in auditd's socket.
    fn kauditd_rests(&self) -> Option<(bool, u32)> {
        let pid = self.kauditd?;
        let state = tasks::state(pid)?;
        let wchan = tasks::wchan(pid).unwrap_or_default();
        Some(match wchan.as_str() {
            "kauditd_thread" => (state != 'R', 3),
            "" | "0" => (state != 'R', 15),
            _ => (false, 3),
        })
    }

    fn consumer(&self) -> Consumer {
        if let Some((path, pid)) = &self.log {
            let gone = !tasks::alive(*pid);
            let idle =
                gone || (tasks::socket_backlog(*pid) == Some(0) && tasks::state(*pid) == Some('S'));
            let size = std::fs::metadata(path).map_or(0, |m| m.len());
            return Consumer {
                count: size,
                idle: None,
                quiet: idle,
            };
        }
        let Some(board) = &self.board else {
            return Consumer {
                count: 0,
                idle: None,
                quiet: true,
            };
        };
        let pid = board.sink().unwrap_or(0);
        let count = board.read(Slot::Received);
        match tasks::state(pid) {
            Some('T') => Consumer {
                count,
                idle: None,
                quiet: true,
            },
            Some(state) if state != 'Z' => Consumer {
                count,
                idle: Some(board.read(Slot::Idle)),
                quiet: true,
            },
            _ => Consumer {
                count,
                idle: None,
                quiet: true,
            },
        }
    }
}

struct Consumer {
    count: u64,
    idle: Option<u64>,
    quiet: bool,
}

impl Consumer {
    /// Whether the consumer has found its socket empty twice since `before`.
    fn empty_since(&self, before: &Self) -> bool {
        match (before.idle, self.idle) {
            (Some(then), Some(now)) => now >= then + 2,
            (None, Some(_)) => false,
            (_, None) => self.quiet,
        }
    }
}
