//! What every child of a bench does first, and how its parent knows it again.
//!
//! In: process ids. Out: [`ChildId`]s, that mean one process and no later one of the
//! same number.

use std::{fs, io};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::kernel::process_stat::ProcessStat;

/// A process, known by its number and its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildId {
    /// Process id.
    pub pid: u32,
    /// Start, clock ticks since boot.
    pub start_ticks: u64,
}

impl ChildId {
    /// A process that runs; `None` where it does not.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let ProcessStat {
            state, start_ticks, ..
        } = ProcessStat::parse(&stat)?;
        (state != 'Z').then_some(Self { pid, start_ticks })
    }

    /// Whether it still runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// Sends it a signal, if it runs.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // The descriptor means the process that has the number now; the look that follows tells whether it is
        // this one. One that has just ended needs no signal.
        let Some(Ok(process)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else {
            return;
        };
        if self.runs() {
            let _ = pidfd_send_signal(process, signal);
        }
    }
}

/// Gives this process a name of its own, at most 15 bytes long.
pub fn name(name: &std::ffi::CStr) {
    // SAFETY: the kernel reads up to 16 bytes of a string that ends with a NUL.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Has the kernel kill this process when its parent ends.
///
/// # Errors
/// When the parent has ended already.
pub fn die_with_parent() -> Result<()> {
    // SAFETY: takes no numbers.
    let parent = unsafe { libc::getppid() };
    // SAFETY: takes numbers only.
    let set = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if set != 0 {
        return Err(io::Error::last_os_error()).context("cannot be bound to the parent");
    }
    // SAFETY: takes no numbers.
    let still = unsafe { libc::getppid() };
    ensure!(parent == still, "the parent has ended");
    Ok(())
}

/// Handles a signal.
///
/// # Errors
/// When the kernel refuses.
pub fn on_signal(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) -> Result<()> {
    // SAFETY: the structure is plain data, for which zeroes are valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    // SAFETY: the handler stores to an atomic, which signals allow; the kernel reads
    // `action` during the call.
    let set = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    if set != 0 {
        return Err(io::Error::last_os_error()).context("cannot handle a signal");
    }
    Ok(())
}

/// Leaves signals that end a process without effect.
pub fn ignore_endings() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGPIPE] {
        // SAFETY: ignoring a signal runs no code.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = ChildId::of(std::process::id()).expect("this process runs");
        assert!(own.runs());
        let later = ChildId {
            start_ticks: own.start_ticks + 1,
            ..own
        };
        assert!(!later.runs());
    }
}
