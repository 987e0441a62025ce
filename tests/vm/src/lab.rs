//! The lab: the guest, put into a known state before each scenario.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::board::{Board, Slot};
use crate::kernel_words::{KernelMemory, WordMap};
use crate::netlink::AuditSocket;
use crate::process::Process;
use crate::quiet::Watch;
use crate::rule::Rule;
use crate::sys;
use crate::tasks;
use crate::wire::{self, Setting};

/// The default of a host that was not told otherwise, jiffies: 60 s.
const WAIT_SECONDS: u32 = 60;
const SECOND: Duration = Duration::from_secs(1);

/// What the guest is.
pub struct Lab {
    /// Where files of the run go.
    pub directory: PathBuf,
    /// The program under test.
    pub auditwatch: PathBuf,
    /// `uname -r`.
    pub release: String,
    /// Jiffies in a second.
    pub hz: u32,
    /// Booted with `audit=1`: held records are kept.
    pub keeps_held: bool,
    words: Option<PathBuf>,
}

/// The state that a scenario starts from.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Backlog limit, records.
    pub limit: u32,
    /// Backlog wait time, ms.
    pub wait_ms: u32,
    /// Rate limit, records a second.
    pub rate_limit: u32,
    /// The rules.
    pub rules: Vec<Rule>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limit: 8192,
            wait_ms: WAIT_SECONDS * 1000,
            rate_limit: 0,
            rules: vec![Rule::exit(&[libc::SYS_getppid], "storm")],
        }
    }
}

impl Lab {
    /// Looks at the guest. Fails where auditing is off altogether.
    pub fn open(auditwatch: &Path) -> Result<Self> {
        ensure!(std::process::id() != 1, "vmtest must not be init");
        let directory = PathBuf::from("/tmp/vmtest");
        fs::create_dir_all(&directory).context("making /tmp/vmtest")?;
        sys::quiet_console();
        let words = directory.join("words.json");
        let words = match WordMap::find() {
            Ok(map) => {
                map.save(&words)?;
                Some(words)
            }
            Err(error) => {
                println!("# the kernel's variables cannot be read: {error:#}");
                None
            }
        };
        let cmdline = fs::read_to_string("/proc/cmdline").context("reading /proc/cmdline")?;
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?
            .trim()
            .to_owned();
        Ok(Self {
            directory,
            auditwatch: auditwatch.to_owned(),
            release,
            hz: 0,
            keeps_held: cmdline
                .split_ascii_whitespace()
                .any(|w| matches!(w, "audit=1" | "audit=on")),
            words,
        })
    }

    /// Asks for HZ (the wait time is 60 s by default), and lets tasks have audit contexts: the
    /// kernel gives them to those that are forked after auditing was on for the first time.
    pub fn prepare(&mut self) -> Result<()> {
        let mut socket = AuditSocket::open()?;
        let status = socket.get().context("is auditing off?")?;
        ensure!(status.enabled != 2, "the guest's audit settings are locked");
        let default = status.backlog_wait_time.unwrap_or(0) / WAIT_SECONDS;
        self.hz = if [100, 250, 300, 1000].contains(&default) {
            default
        } else {
            250
        };
        socket.set(Setting::Enabled(1))?;
        socket.set(Setting::Enabled(0))
    }

    /// A watch of the kernel.
    pub fn watch(&self) -> Result<Watch> {
        let memory = self.words.as_deref().map(WordMap::load).transpose()?;
        Ok(Watch::new(memory.map(KernelMemory::open).transpose()?))
    }

    /// The kernel's variables, where they can be read.
    pub fn memory(&self) -> Result<Option<KernelMemory>> {
        let map = self.words.as_deref().map(WordMap::load).transpose()?;
        map.map(KernelMemory::open).transpose()
    }

    /// The file with the places of the kernel's variables.
    pub fn words(&self) -> Option<&Path> {
        self.words.as_deref()
    }

    /// Jiffies of a time.
    pub fn jiffies(&self, ms: u32) -> u32 {
        u32::try_from(u64::from(ms) * u64::from(self.hz) / 1000).unwrap_or(u32::MAX)
    }

    /// Nanoseconds of one jiffy.
    pub fn tick_ns(&self) -> i64 {
        1_000_000_000 / i64::from(self.hz.max(1))
    }

    /// Auditing off, no rules, no limits in the way, nothing in any queue, nobody registered.
    pub fn clear(&self) -> Result<()> {
        let mut socket = AuditSocket::open()?;
        socket
            .set(Setting::Enabled(0))
            .context("clearing the guest")?;
        socket.delete_rules()?;
        socket.set(Setting::RateLimit(0))?;
        socket.set(Setting::Failure(1))?;
        socket.set(Setting::BacklogLimit(0))?;
        socket.set(Setting::BacklogWaitTime(self.jiffies(WAIT_SECONDS * 1000)))?;
        self.purge()
    }

    /// Takes what rests in the queues. Only a new record makes kauditd look at the retry and hold
    /// queues, and one type is logged even while auditing is off.
    fn purge(&self) -> Result<()> {
        let mut auditd = AuditSocket::open()?;
        auditd.set_receive_buffer(8 << 20)?;
        auditd
            .set(Setting::Pid(std::process::id()))
            .context("registering to empty the queues")?;
        let memory = self.memory()?;
        let kauditd = tasks::kauditd()?;
        let deadline = Instant::now() + 20 * SECOND;
        let mut rounds = 0;
        loop {
            AuditSocket::open()?.user(wire::USER_AVC, "op=purge")?;
            let mut records = 0;
            let mut silent = 0;
            while silent < 3 {
                if auditd.poll(Duration::from_millis(20))? {
                    silent = 0;
                    if auditd.try_receive()?.is_some_and(|m| m.is_record()) {
                        records += 1;
                    }
                } else {
                    silent += 1;
                }
            }
            rounds += 1;
            let depths = memory
                .as_ref()
                .map(KernelMemory::read)
                .transpose()?
                .map(|k| k.depths());
            let rests = tasks::state(kauditd) != Some('R');
            // Without sight of the queues: a second round that brings nothing but itself.
            let empty = depths.map_or(rounds > 1 && records <= 1, |d| d == 0);
            if empty && rests {
                break;
            }
            ensure!(
                Instant::now() < deadline,
                "the queues do not get empty: {depths:?}"
            );
        }
        auditd.set(Setting::Pid(0)).context("unregistering")
    }

    /// Puts the settings in, enables auditing last: with nobody registered yet.
    pub fn configure(&self, setup: &Setup) -> Result<()> {
        let mut socket = AuditSocket::open()?;
        socket.set(Setting::BacklogLimit(setup.limit))?;
        socket.set(Setting::BacklogWaitTime(self.jiffies(setup.wait_ms)))?;
        socket.set(Setting::RateLimit(setup.rate_limit))?;
        for rule in &setup.rules {
            socket.add_rule(rule)?;
        }
        Ok(())
    }

    /// The file of the sink's board.
    pub fn board(&self) -> PathBuf {
        self.directory.join("board")
    }

    /// Starts a sink and waits until it is registered.
    pub fn sink(&self, per_record_us: u64, rcvbuf: Option<i32>) -> Result<Sink> {
        let path = self.board();
        drop(fs::remove_file(&path));
        let board = Board::open(&path)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("sink").arg("--shm").arg(&path);
        command
            .arg("--per-record-us")
            .arg(per_record_us.to_string());
        if let Some(bytes) = rcvbuf {
            command.arg("--rcvbuf").arg(bytes.to_string());
        }
        let mut process = Process::start(&self.directory, command)?;
        process.until("registered", 10 * SECOND, |_| {
            board.read(Slot::Registered) > 0
        })?;
        Ok(Sink {
            path,
            board,
            process: Some(process),
        })
    }

    /// What must never be left: anything of auditwatch.
    pub fn nothing_left(&self) -> Result<()> {
        let name = self
            .auditwatch
            .file_name()
            .map(|n| n.to_string_lossy().into_owned());
        let left = tasks::named(name.as_deref().unwrap_or("auditwatch"));
        if !left.is_empty() {
            bail!("still running: {left:?}");
        }
        Ok(())
    }
}

/// A sink under the lab's control.
pub struct Sink {
    /// The file of its board.
    pub path: PathBuf,
    board: Board,
    process: Option<Process>,
}

impl Sink {
    /// Ends it, and the one that a storm may have started in its place.
    pub fn end(mut self) -> Result<()> {
        let pid = self.board.sink().unwrap_or(0);
        let first = self.process.take();
        let own = first.as_ref().is_some_and(|p| p.id() == pid);
        if tasks::alive(pid) {
            // In this order: nobody waits for an orphan, which is gone once it has ended.
            sys::kill(pid, libc::SIGCONT)?;
            sys::kill(pid, libc::SIGTERM)?;
        }
        if let Some(process) = first {
            process.wait(10 * SECOND).context("ending the sink")?;
        }
        let deadline = Instant::now() + 10 * SECOND;
        while !own && tasks::alive(pid) {
            ensure!(Instant::now() < deadline, "sink {pid} does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let pid = self.board.sink().unwrap_or(0);
        if tasks::alive(pid) {
            drop(sys::kill(pid, libc::SIGKILL));
        }
    }
}
