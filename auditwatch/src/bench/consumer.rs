//! The consumer of a bench: who takes the records.
//!
//! In: what the storm wants. Out: the consumer in place, and what it received. It
//! must not decide whether an auditd that lives here may be asked to leave: that is
//! the command's.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;

use super::{
    board::{Board, Slot},
    changes::Auditd,
    child::ChildId,
    directory::Directory,
    keeper::Keeper,
    programs,
    sink::SinkOrder,
};
use crate::{
    netlink::socket::AuditSocket,
    sample::record_type,
    storm::{ConsumerKind, ConsumerPlan},
};

/// For a consumer to come and to go.
const PATIENCE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(5);

/// Who takes the records.
#[derive(Debug)]
pub enum Consumer {
    /// Nobody.
    None,
    /// The sink.
    Sink(Child),
    /// An auditd of the bench's own, and its log.
    Auditd(Child, PathBuf),
    /// The auditd that was here, which stays.
    Host(u32),
}

/// Asks the auditd that lives here to leave its place, after the keeper knows how to
/// have it back.
///
/// # Errors
/// When it does not go.
pub fn dismiss(pid: u32, keeper: &mut Keeper) -> Result<()> {
    let arguments = fs::read(format!("/proc/{pid}/cmdline"))
        .with_context(|| format!("cannot see how auditd (process {pid}) was started"))?;
    let mut command: Vec<String> = arguments
        .split(|&byte| byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    let program = programs::of_process(pid)
        .with_context(|| format!("cannot see which program auditd (process {pid}) is"))?;
    command.splice(..command.len().min(1), [program]);
    let unit = fs::read_to_string(format!("/proc/{pid}/cgroup"))
        .ok()
        .and_then(|groups| unit_of(&groups))
        .filter(|_| programs::has_systemctl());
    let auditd = ChildId::of(pid).with_context(|| format!("auditd (process {pid}) is gone"))?;
    let started = Auditd { command, unit };
    programs::check(&started).with_context(|| {
        format!(
            "the consumer (process {pid}) could not be started again after the storm; stop it yourself for as long \
             as the storm runs"
        )
    })?;
    keeper.announce(|changes| changes.auditd = Some(started))?;
    auditd.signal(Signal::TERM);
    let deadline = Instant::now() + PATIENCE;
    while auditd.runs() {
        ensure!(
            Instant::now() < deadline,
            "auditd (process {pid}) was asked to end and does not; see its log"
        );
        thread::sleep(STEP);
    }
    Ok(())
}

/// The systemd service of `/proc/PID/cgroup`, if it is one.
fn unit_of(groups: &str) -> Option<String> {
    groups
        .lines()
        .filter_map(|line| line.rsplit('/').next())
        .find(|name| name.ends_with(".service"))
        .map(str::to_owned)
}

impl Consumer {
    /// Puts the consumer in place; `host` is the auditd that lives here and stays.
    ///
    /// # Errors
    /// When it does not come.
    pub fn start(
        plan: &ConsumerPlan,
        host: Option<u32>,
        board: &Board,
        directory: &Directory,
        keeper: &mut Keeper,
    ) -> Result<Self> {
        match (plan.kind, host) {
            (ConsumerKind::None, _) => Ok(Self::None),
            (ConsumerKind::Sink | ConsumerKind::Stopped, _) => {
                Self::sink(plan, board, directory, keeper)
            }
            (ConsumerKind::Auditd, Some(pid)) => Ok(Self::Host(pid)),
            (ConsumerKind::Auditd, None) => Self::auditd(plan, directory, keeper),
        }
    }

    fn sink(
        plan: &ConsumerPlan,
        board: &Board,
        directory: &Directory,
        keeper: &mut Keeper,
    ) -> Result<Self> {
        board.set(Slot::PerRecordUs, plan.per_record_us);
        if let Some(pause) = plan.pause {
            board.set(Slot::PauseForMs, pause.for_ms);
            board.set(Slot::PauseEveryMs, pause.every_ms);
        }
        let order = SinkOrder {
            board: board.path().into(),
            rcvbuf: plan.rcvbuf,
            directory: plan.fsync.then(|| directory.path().into()),
        };
        let mut child = Command::new("/proc/self/exe")
            .args(["bench", "sink"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start the sink")?;
        announce(&child, keeper)?;
        let mut stdin = child.stdin.take().context("the sink has no input")?;
        serde_json::to_writer(&mut stdin, &order)?;
        stdin.write_all(b"\n")?;
        drop(stdin);
        until_registered(&mut child, || board.get(Slot::Registered) > 0)?;
        Ok(Self::Sink(child))
    }

    fn auditd(plan: &ConsumerPlan, directory: &Directory, keeper: &mut Keeper) -> Result<Self> {
        let program = programs::auditd()
            .context("no auditd is installed here; install it, or take consumer kind \"sink\"")?;
        // auditd refuses a configuration that others than root can write to.
        let home = directory.make_unique("auditd-")?;
        let plugins = home.make_unique("plugins-")?;
        let log = home.path().join("audit.log");
        let text = configuration(&plan.conf, &log, plugins.path());
        home.create("auditd.conf")?
            .write_all(text.as_bytes())
            .context("cannot write the configuration of the storm's auditd")?;
        let mut child = programs::command(program)
            .args(["-n", "-s", "nochange", "-c"])
            .arg(home.path())
            .spawn()
            .context("cannot start auditd")?;
        announce(&child, keeper)?;
        let pid = child.id();
        let mut socket = AuditSocket::open()?;
        until_registered(&mut child, || {
            socket.status().is_ok_and(|status| status.pid == pid) && log.exists()
        })?;
        Ok(Self::Auditd(child, log))
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Sink(child) | Self::Auditd(child, _) => Some(child.id()),
            Self::Host(pid) => Some(*pid),
        }
    }

    /// Halts it, or lets it go on.
    pub fn halt(&self, halted: bool) {
        if let Some(child) = self.pid().and_then(ChildId::of) {
            child.signal(if halted { Signal::STOP } else { Signal::CONT });
        }
    }

    /// Whether it has died.
    pub fn has_died(&mut self) -> bool {
        match self {
            Self::None => false,
            Self::Sink(child) | Self::Auditd(child, _) => !matches!(child.try_wait(), Ok(None)),
            Self::Host(pid) => ChildId::of(*pid).is_none(),
        }
    }

    /// Whether its socket is empty, by `/proc/net/netlink`; `None` where that does
    /// not tell.
    #[must_use]
    pub fn has_read_all(&self) -> Option<bool> {
        let Some(pid) = self.pid() else {
            return Some(true);
        };
        unread_bytes(&fs::read_to_string("/proc/net/netlink").ok()?, pid).map(|bytes| bytes == 0)
    }

    /// How far it is: a number that changes as long as it works; `None` where that
    /// cannot be seen.
    #[must_use]
    pub fn progress(&self, board: &Board) -> Option<u64> {
        match self {
            Self::Sink(_) => Some(board.get(Slot::Received)),
            Self::Auditd(_, log) => fs::metadata(log).ok().map(|log| log.len()),
            Self::None | Self::Host(_) => None,
        }
    }

    /// Records that it received since it came, by type name; `None` where nobody
    /// counted. auditd writes no EOE and adds records of its own, which are left out.
    ///
    /// # Errors
    /// When auditd's log cannot be read.
    pub fn received(&self, board: &Board) -> Result<Option<BTreeMap<String, u64>>> {
        match self {
            Self::None => Ok(Some(BTreeMap::new())),
            Self::Host(_) => Ok(None),
            Self::Sink(_) => Ok(Some(
                board
                    .types()
                    .into_iter()
                    .map(|(kind, count)| (record_type::name(kind), count))
                    .collect(),
            )),
            Self::Auditd(_, log) => {
                let cannot = || format!("cannot read {}", log.display());
                let mut types = BTreeMap::new();
                for line in BufReader::new(File::open(log).with_context(cannot)?).lines() {
                    if let Some(name) = type_of(&line.with_context(cannot)?) {
                        *types.entry(name.to_owned()).or_insert(0) += 1;
                    }
                }
                Ok(Some(types))
            }
        }
    }

    /// Ends it; one that stays, stays.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(self) -> Result<()> {
        self.halt(false);
        let (Self::Sink(mut child) | Self::Auditd(mut child, _)) = self else {
            return Ok(());
        };
        if let Some(id) = ChildId::of(child.id()) {
            id.signal(Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait()?.is_none() {
            ensure!(
                Instant::now() < deadline,
                "the consumer (process {}) was asked to end and does not",
                child.id()
            );
            thread::sleep(STEP);
        }
        Ok(())
    }
}

fn announce(child: &Child, keeper: &mut Keeper) -> Result<()> {
    let id = ChildId::of(child.id());
    keeper.announce(|changes| changes.children.extend(id))
}

fn until_registered(child: &mut Child, mut registered: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !registered() {
        if let Some(status) = child.try_wait()? {
            bail!("the consumer ended ({status}) before the kernel took it");
        }
        ensure!(
            Instant::now() < deadline,
            "the kernel did not take the consumer within {} s",
            PATIENCE.as_secs()
        );
        thread::sleep(STEP);
    }
    Ok(())
}

/// auditd.conf: as little as possible between socket and file, but for what the
/// storm wants.
fn configuration(wanted: &BTreeMap<String, String>, log: &Path, plugins: &Path) -> String {
    let mut conf: BTreeMap<&str, String> = [
        ("local_events", "yes"),
        ("write_logs", "yes"),
        ("log_format", "RAW"),
        ("flush", "NONE"),
        ("freq", "0"),
        ("max_log_file", "400"),
        ("max_log_file_action", "IGNORE"),
        ("num_logs", "2"),
        ("name_format", "NONE"),
        ("space_left", "2"),
        ("space_left_action", "IGNORE"),
        ("admin_space_left", "1"),
        ("admin_space_left_action", "IGNORE"),
        ("disk_full_action", "IGNORE"),
        ("disk_error_action", "IGNORE"),
        ("priority_boost", "4"),
        ("q_depth", "2000"),
        ("overflow_action", "IGNORE"),
    ]
    .into_iter()
    .map(|(key, value)| (key, value.to_owned()))
    .collect();
    for (key, value) in wanted {
        conf.insert(key, value.clone());
    }
    conf.insert("log_file", log.display().to_string());
    conf.insert("plugin_dir", plugins.display().to_string());
    let lines: Vec<String> = conf
        .iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    lines.join("\n") + "\n"
}

/// The type of a line of auditd's log; `None` for auditd's own records.
fn type_of(line: &str) -> Option<&str> {
    let name = line
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("type="))?;
    (!name.starts_with("DAEMON_")).then_some(name)
}

/// Bytes that wait on a process's audit socket, by `/proc/net/netlink`: the columns
/// are address, protocol, port id, groups, and unread bytes. The port id is the
/// process id of the first socket that a process opens.
fn unread_bytes(table: &str, pid: u32) -> Option<u64> {
    let audit = libc::NETLINK_AUDIT.to_string();
    let pid = pid.to_string();
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        match fields.as_slice() {
            [_, protocol, port, _, unread, ..] if *protocol == audit && *port == pid => {
                unread.parse().ok()
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_of_auditd_is_found() {
        assert_eq!(
            unit_of("0::/system.slice/auditd.service\n").as_deref(),
            Some("auditd.service")
        );
        assert_eq!(
            unit_of("2:cpu:/\n1:name=systemd:/system.slice/auditd.service\n").as_deref(),
            Some("auditd.service")
        );
        assert_eq!(unit_of("0::/user.slice/session-1.scope\n"), None);
    }

    #[test]
    fn unread_bytes_are_those_of_the_audit_socket() {
        let table = "sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode\n\
             ffff 0 77 00000000 9 0 0 2 0 1\n\
             ffff 9 77 00000000 4864 0 0 2 0 2\n\
             ffff 9 0 00000000 0 0 0 2 0 3\n";
        assert_eq!(unread_bytes(table, 77), Some(4864));
        assert_eq!(unread_bytes(table, 78), None);
    }

    #[test]
    fn auditd_settings_of_the_storm_come_first() {
        let wanted = BTreeMap::from([("flush".to_owned(), "SYNC".to_owned())]);
        let conf = configuration(&wanted, Path::new("/l"), Path::new("/p"));
        assert!(conf.contains("flush = SYNC\n"));
        assert!(!conf.contains("flush = NONE"));
        assert!(conf.contains("log_file = /l\n") && conf.contains("plugin_dir = /p\n"));
        assert_eq!(type_of("type=SYSCALL msg=audit(1.2:3): x"), Some("SYSCALL"));
        assert_eq!(type_of("type=DAEMON_END msg=audit(1.2:3): x"), None);
        assert_eq!(type_of(""), None);
    }
}
