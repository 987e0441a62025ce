//! What `/proc` says of tasks: state, where a sleeper waits, peak memory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One task (thread).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Thread id.
    pub tid: u32,
    /// Name.
    pub comm: String,
    /// `R`, `S`, `D`, `T`, `Z`, `I`...
    pub state: char,
    /// The kernel function it waits in; empty when it does not.
    pub wchan: String,
    /// How often it has gone to sleep: tells one sleep from the next.
    pub sleeps: u64,
}

impl Task {
    /// Whether it sleeps for room in the audit queue.
    pub fn waits_for_audit(&self) -> bool {
        self.state == 'D' && self.wchan.starts_with("audit_log_start")
    }

    fn read(directory: &Path) -> Option<Self> {
        let tid = directory.file_name()?.to_str()?.parse().ok()?;
        let (comm, state) = parse_stat(&fs::read_to_string(directory.join("stat")).ok()?)?;
        let wchan = sleeps_in(directory).unwrap_or_default();
        let status = fs::read_to_string(directory.join("status")).unwrap_or_default();
        Some(Self {
            tid,
            comm,
            state,
            wchan,
            sleeps: parse_number(&status, "voluntary_ctxt_switches:").unwrap_or(0),
        })
    }
}

/// The kernel function that a task sleeps in. `wchan` says 0 on kernels before 5.16, which look
/// for frame pointers that are not there; the stack is right there. But to read the stack of a task that
/// runs again by then makes kernels from 5.18 on warn, where the task has a return probe on it. The first
/// kernel thread, which always sleeps, shows whether `wchan` tells.
fn sleeps_in(directory: &Path) -> Option<String> {
    let wchan = fs::read_to_string(directory.join("wchan")).ok()?;
    match wchan.trim() {
        "" | "0" if self::wchan(2).is_some_and(|told| told.trim() == "kthreadd") => return None,
        // It may be there for audit's lock, which only the stack tells.
        "" | "0" | "audit_receive" => {}
        function => return Some(function.to_owned()),
    }
    let stack = fs::read_to_string(directory.join("stack")).ok()?;
    let mut frames = stack
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.split('+').next());
    frames
        .find(|frame| !SCHEDULING.contains(frame))
        .map(str::to_owned)
}

/// Functions that any sleep ends in.
const SCHEDULING: [&str; 4] = ["__schedule", "schedule", "io_schedule", "schedule_timeout"];

fn numbered(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|e| {
            e.file_name()
                .to_str()
                .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
        })
        .map(|e| e.path())
        .collect()
}

/// Name and state from `/proc/PID/stat`; the name may hold spaces and parentheses.
fn parse_stat(stat: &str) -> Option<(String, char)> {
    let open = stat.find('(')?;
    let close = stat.rfind(')')?;
    let state = stat.get(close + 2..)?.chars().next()?;
    Some((stat.get(open + 1..close)?.to_owned(), state))
}

/// All tasks that sleep for room in the audit queue.
pub fn audit_waiters() -> Vec<Task> {
    uninterruptible(Task::waits_for_audit)
}

/// All tasks that sleep in the audit code: for room, or after a message that they sent while there was none.
pub fn asleep_in_audit() -> Vec<Task> {
    uninterruptible(|task| task.waits_for_audit() || task.wchan == "audit_receive")
}

/// Those of the tasks that cannot be interrupted who are `wanted`.
fn uninterruptible(wanted: impl Fn(&Task) -> bool) -> Vec<Task> {
    numbered(Path::new("/proc"))
        .iter()
        .flat_map(|process| numbered(&process.join("task")))
        .filter_map(|directory| {
            // The state is cheap to read, the stack walk behind `wchan` is not.
            let stat = fs::read_to_string(directory.join("stat")).ok()?;
            (parse_stat(&stat)?.1 == 'D').then(|| Task::read(&directory))?
        })
        .filter(wanted)
        .collect()
}

/// Whether a task is in the same sleep still as when it was looked at. Cheap: only its status is read.
pub fn sleeps_on(task: &Task) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", task.tid)).unwrap_or_default();
    status.contains("\nState:\tD")
        && parse_number(&status, "voluntary_ctxt_switches:") == Some(task.sleeps)
}

/// The main threads of all processes of that name.
pub fn named(comm: &str) -> Vec<Task> {
    numbered(Path::new("/proc"))
        .iter()
        .filter_map(|directory| Task::read(directory))
        .filter(|task| task.comm == comm && task.state != 'Z')
        .collect()
}

/// Processes whose second and third word are these.
pub fn with_words(second: &str, third: &str) -> Vec<u32> {
    numbered(Path::new("/proc"))
        .iter()
        .filter(|directory| {
            fs::read(directory.join("cmdline")).is_ok_and(|line| {
                let mut words = line.split(|&byte| byte == 0).skip(1);
                words.next() == Some(second.as_bytes()) && words.next() == Some(third.as_bytes())
            })
        })
        .filter_map(|directory| directory.file_name()?.to_str()?.parse().ok())
        .collect()
}

/// The state of a process's main thread, `None` when it is gone.
pub fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&stat).map(|s| s.1)
}

/// The wait channel of a process's main thread.
pub fn wchan(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/wchan")).ok()
}

/// Whether a process runs (or is stopped): neither gone nor a zombie.
pub fn alive(pid: u32) -> bool {
    pid != 0 && state(pid).is_some_and(|s| s != 'Z' && s != 'X')
}

/// The process id of the kernel's sending thread.
pub fn kauditd() -> Result<u32> {
    named("kauditd")
        .first()
        .map(|t| t.tid)
        .context("there is no kauditd: is auditing off?")
}

/// `VmHWM`, the peak resident memory, in KiB.
pub fn peak_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    parse_number(&status, "VmHWM:")
}

/// A number of `/proc/PID/status`.
fn parse_number(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Bytes that wait in the audit netlink socket which belongs to `port` (mostly the process id).
pub fn socket_backlog(port: u32) -> Option<u64> {
    parse_netlink(&fs::read_to_string("/proc/net/netlink").ok()?, port)
}

/// Columns: sk Eth Pid Groups Rmem ...; protocol 9 is audit.
fn parse_netlink(table: &str, port: u32) -> Option<u64> {
    table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        (columns.get(1)? == &"9" && columns.get(2)?.parse() == Ok(port))
            .then(|| columns.get(4)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_an_awkward_name() {
        assert_eq!(
            parse_stat("12 (a) b) D 1 2 3"),
            Some(("a) b".to_owned(), 'D'))
        );
        assert_eq!(parse_stat("12 "), None);
    }

    #[test]
    fn peak_and_socket() {
        assert_eq!(
            parse_number("Name:\tx\nVmHWM:\t  1234 kB\n", "VmHWM:"),
            Some(1234)
        );
        assert_eq!(parse_number("Name:\tx\n", "VmHWM:"), None);
        let table = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n\
            0000000000000000 9   0          00000000 0        0        0     2        0        10\n\
            0000000000000000 9   77         00000000 4608     0        0     2        0        11\n\
            0000000000000000 0   77         00000000 1        0        0     2        0        12\n";
        assert_eq!(parse_netlink(table, 77), Some(4608));
        assert_eq!(parse_netlink(table, 78), None);
    }
}
