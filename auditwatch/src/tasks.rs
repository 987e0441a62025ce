//! Tasks of the host, read from `/proc`: who sleeps in the audit code, what `kauditd` does, who
//! else sets audit's limit.
//!
//! In: `/proc`. Out: values. It must not send a signal or a message.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    preflight::Writer,
    sleepers::{self, Sleeper},
};

/// Programs that set audit's limit by their own configuration when they start, by command name
/// (15 bytes of it are kept).
const WRITERS: [&str; 3] = ["auditbeat", "osqueryd", "go-audit"];

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

/// A task, if it sleeps there. The state is cheap to read, the stack is not.
fn sleeper(process: &Path, task: &Path) -> Option<Sleeper> {
    let stat = text(task, "stat")?;
    let (comm, 'D') = sleepers::name_and_state(&stat)? else {
        return None;
    };
    let place = sleepers::place(
        text(task, "stack").as_deref(),
        text(task, "wchan").as_deref(),
    )?;
    Some(Sleeper {
        pid: number(process)?,
        tid: number(task)?,
        comm: comm.to_owned(),
        place,
        syscall: text(task, "syscall").and_then(|text| sleepers::syscall(&text)),
        sleeps: text(task, "status")
            .and_then(|status| sleepers::status_number(&status, "voluntary_ctxt_switches:"))
            .unwrap_or(0),
    })
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
    let stack = text(&process, "stack").filter(|stack| !stack.trim().is_empty());
    match (stack, text(&process, "wchan").as_deref().map(str::trim)) {
        // While it sends, another function is on the stack.
        (Some(stack), _) => {
            Some(stack.contains("kauditd_thread+") && !stack.contains("kauditd_send_queue+"))
        }
        (None, None | Some("" | "0")) => None,
        (None, Some(wchan)) => Some(wchan == "kauditd_thread"),
    }
}

/// Programs of the host that set audit's limit too.
#[must_use]
pub fn other_writers() -> Vec<Writer> {
    numbered(Path::new("/proc"))
        .iter()
        .filter_map(|process| {
            let comm = text(process, "comm")?.trim().to_owned();
            let pid = number(process)?;
            WRITERS
                .contains(&comm.as_str())
                .then_some(Writer { pid, comm })
        })
        .collect()
}

/// Memory that can be had without swapping, bytes; `None` where the kernel does not tell.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    sleepers::status_number(&text, "MemAvailable:")?.checked_mul(1024)
}

fn numbered(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| number(path).is_some()).collect()
}

fn number(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.parse().ok()
}

fn text(directory: &Path, name: &str) -> Option<String> {
    fs::read_to_string(directory.join(name)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_no_sleeper() {
        let own = std::process::id();
        assert!(audit_sleepers().iter().all(|sleeper| sleeper.pid != own));
        assert!(available_bytes().is_some_and(|bytes| bytes > 0));
    }
}
