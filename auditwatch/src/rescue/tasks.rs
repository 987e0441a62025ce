//! Tasks of the host, read from `/proc`: who sleeps in the audit code, and what `kauditd` does.
//!
//! In: `/proc`. Out: values. It must not send a signal or a message.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    auditd::registered::Registered,
    rescue::sleepers::{self, Place, Sleeper},
    untrusted::Untrusted,
};

/// What `kauditd` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kauditd {
    /// Process id.
    pub pid: u32,
    /// Whether it waits for a record to come; `None` where the kernel does not tell.
    pub idle: Option<bool>,
}

/// All tasks that sleep in the audit code.
#[must_use]
pub fn audit_sleepers() -> Vec<Sleeper> {
    let mut found = Vec::new();
    for process in numbered(Path::new("/proc")) {
        for task in numbered(&process.join("task")) {
            found.extend(sleeper(&process, &task));
        }
    }
    found
}

/// Whether a thread of this process sleeps in the audit code.
#[must_use]
pub fn is_held_up(tid: u32) -> bool {
    let process = PathBuf::from(format!("/proc/{}", std::process::id()));
    sleeper(&process, &process.join(format!("task/{tid}"))).is_some()
}

/// How many of these are in the same sleep still. Only they are looked at.
#[must_use]
pub fn still_asleep(sleepers: &[Sleeper]) -> usize {
    let sleeps_on = |sleeper: &&Sleeper| {
        let task = PathBuf::from(format!("/proc/{}/task/{}", sleeper.pid, sleeper.tid));
        // A task that runs has not gone to sleep once more yet.
        text(&task, "status").is_some_and(|status| {
            status.contains("\nState:\tD")
                && sleepers::status_number(&status, "voluntary_ctxt_switches:")
                    == Some(sleeper.sleeps)
        })
    };
    sleepers.iter().filter(sleeps_on).count()
}

/// A task, if it sleeps there. The state is cheap to read, the stack is not.
fn sleeper(process: &Path, task: &Path) -> Option<Sleeper> {
    let stat = text(task, "stat")?;
    let (comm, 'D') = sleepers::name_and_state(&stat)? else {
        return None;
    };
    let place = Place::of(&sleeps_in(task)?)?;
    Some(Sleeper {
        pid: number(process)?,
        tid: number(task)?,
        comm: comm.into(),
        place,
        syscall: text(task, "syscall").and_then(|text| sleepers::syscall(&text)),
        sleeps: text(task, "status")
            .and_then(|status| sleepers::status_number(&status, "voluntary_ctxt_switches:"))?,
    })
}

/// The kernel function that a task sleeps in; `None` where it runs, or where nobody tells.
///
/// `wchan` is asked first: the kernel walks no stack of a running task for it. For `stack` it walks
/// that of any task, and kernels from 5.18 on warn where a running one is within a function with a
/// return probe (`rethook_find_ret_addr`).
fn sleeps_in(task: &Path) -> Option<String> {
    let told = text(task, "wchan")?;
    let function = told.trim();
    let by_stack = || sleepers::top_of(&text(task, "stack")?).map(str::to_owned);
    match function {
        "" | "0" if wchan_tells() => None,
        // In `audit_receive` it may also wait for audit's lock, which `wchan` does not tell apart.
        "" | "0" | "audit_receive" => by_stack(),
        _ => Some(function.to_owned()),
    }
}

/// Whether `wchan` names the function that a task sleeps in. Before 5.16 it looks for frame pointers
/// that most kernels have not, and says 0: also of the first of all kernel threads, which sleeps in
/// the function that it is named after.
fn wchan_tells() -> bool {
    text(Path::new("/proc/2"), "wchan").is_some_and(|told| told.trim() == "kthreadd")
}

/// The kernel's sending thread; `None` where there is none.
#[must_use]
pub fn kauditd() -> Option<Kauditd> {
    numbered(Path::new("/proc")).iter().find_map(|process| {
        let stat = text(process, "stat")?;
        let (comm, _) = sleepers::name_and_state(&stat)?;
        // A program may have that name too; a kernel thread has no command line.
        let is_kernels = fs::read(process.join("cmdline")).is_ok_and(|line| line.is_empty());
        if comm != "kauditd" || !is_kernels {
            return None;
        }
        let pid = number(process)?;
        Some(Kauditd {
            pid,
            idle: is_idle(pid),
        })
    })
}

/// Whether `kauditd`, of that process id, waits for a record to come.
#[must_use]
pub fn is_idle(pid: u32) -> Option<bool> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let stat = text(&process, "stat")?;
    let (_, state) = sleepers::name_and_state(&stat)?;
    if state == 'R' {
        return Some(false);
    }
    // While it sends, it sleeps in another function, if at all.
    sleeps_in(&process).map(|function| function == "kauditd_thread")
}

/// The process that is registered for records, by its process id in the host's namespace.
///
/// `sees_host`: whether this process has the host's process ids. Another namespace's process of the same
/// number is no such process.
#[must_use]
pub fn registered(pid: u32, sees_host: Option<bool>) -> Registered {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let stat = text(&process, "stat").filter(|_| pid != 0 && sees_host != Some(false));
    let seen = stat
        .as_deref()
        .and_then(sleepers::name_and_state)
        .map(|(comm, state)| (Untrusted::from(comm), state));
    Registered {
        pid,
        exe: seen.as_ref().and_then(|_| {
            let link = fs::read_link(process.join("exe")).ok()?;
            Some(Untrusted::from_os(link))
        }),
        state: seen.as_ref().map(|&(_, state)| state),
        comm: seen.map(|(comm, _)| comm),
        sees_host,
    }
}

/// The directories of `/proc`, or of a process's `task`, that have a number for a name.
pub(crate) fn numbered(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| number(path).is_some()).collect()
}

/// The number that a directory has for a name.
pub(crate) fn number(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.parse().ok()
}

/// The text of a file of a process; `None` if it has ended.
pub(crate) fn text(directory: &Path, name: &str) -> Option<String> {
    // A task may have a name that is not UTF-8, and be in trouble like any other.
    let bytes = fs::read(directory.join(name)).ok()?;
    Some(Untrusted::from_bytes(&bytes).into_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_process_is_not_asleep() {
        let own = std::process::id();
        assert!(audit_sleepers().iter().all(|sleeper| sleeper.pid != own));
    }
}
