//! Signals that end a trace.
//!
//! In: SIGINT, SIGTERM and SIGHUP. Out: the end of the process if nothing is counted yet, else an
//! [`Arrived`] for the trace's loop. It must not end a trace that counts: that trace owes a summary.
//!
//! The start cannot look at a flag: it waits within system calls that load and attach programs. So
//! the signal handler itself ends the process, and the kernel detaches and unloads what the
//! process's descriptors hold.

use std::{
    ffi::CString,
    io,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicU32, Ordering},
    },
};

use anyhow::{Context as _, Result};
use libc::{c_int, siginfo_t};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Nothing is counted yet: a signal ends the process.
const STARTING: u8 = 0;
/// The command may not have been started yet: it is told of each signal.
const LAUNCHING: u8 = 1;
/// The loop sees each signal.
const COUNTING: u8 = 2;

/// A signal for the trace's loop.
pub(crate) struct Arrived {
    /// Its number.
    pub(crate) signal: c_int,
    /// Whether the command cannot have received it: it was sent to this process alone, or before
    /// the command ran. The terminal sends SIGINT to both.
    pub(crate) is_ours_alone: bool,
}

/// The signals that are watched for.
pub(crate) struct Signals {
    shared: Arc<Shared>,
    interrupt: Signal,
    terminate: Signal,
    /// `None` if the process was started with it ignored, as `nohup` does.
    hangup: Option<Signal>,
}

/// What the handlers read and write.
#[derive(Default)]
struct Shared {
    phase: AtomicU8,
    /// A bit for each signal that the command did not receive.
    ours_alone: AtomicU32,
    /// The file to remove if the trace never begins.
    leftover: OnceLock<CString>,
}

impl Signals {
    /// Watches for them. Until [`Signals::launch`] each one ends the process.
    ///
    /// # Errors
    /// When the kernel refuses to install a handler.
    pub(crate) fn watch() -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let watch = |number: c_int| {
            let cannot = || format!("cannot handle signal {number}");
            // Ours runs first, so that the loop sees what it has noted.
            on_arrival(number, Arc::clone(&shared)).with_context(cannot)?;
            signal(SignalKind::from_raw(number)).with_context(cannot)
        };
        let hangup = if is_ignored(libc::SIGHUP) {
            None
        } else {
            Some(watch(libc::SIGHUP)?)
        };
        Ok(Self {
            interrupt: watch(libc::SIGINT)?,
            terminate: watch(libc::SIGTERM)?,
            hangup,
            shared,
        })
    }

    /// Names the file that is removed if a signal ends the process before it counts.
    pub(crate) fn remove_if_never_begun(&self, path: &Path) {
        // A path that was opened has no zero byte in it.
        if let Ok(path) = CString::new(path.as_os_str().as_bytes()) {
            let _ = self.shared.leftover.set(path);
        }
    }

    /// Says that counting has begun, and that a command may be started next.
    pub(crate) fn launch(&self) {
        self.shared.phase.store(LAUNCHING, Ordering::SeqCst);
    }

    /// Says that the command runs, if there is one: the terminal reaches it from here on.
    pub(crate) fn launched(&self) {
        self.shared.phase.store(COUNTING, Ordering::SeqCst);
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Arrived {
        let number = tokio::select! {
            _ = self.interrupt.recv() => libc::SIGINT,
            _ = self.terminate.recv() => libc::SIGTERM,
            () = received(self.hangup.as_mut()) => libc::SIGHUP,
        };
        let before = self
            .shared
            .ours_alone
            .fetch_and(!bit(number), Ordering::SeqCst);
        Arrived {
            signal: number,
            is_ours_alone: before & bit(number) != 0,
        }
    }
}

const fn bit(signal: c_int) -> u32 {
    1 << signal
}

/// Installs the handler for a signal.
fn on_arrival(number: c_int, shared: Arc<Shared>) -> io::Result<()> {
    let arrived = move |info: &siginfo_t| shared.arrived(number, info.si_code);
    // SAFETY: `arrived` does nothing but what a signal handler may do: it reads and writes atomics
    // and calls unlink(2) and _exit(2). It neither allocates, locks nor panics.
    unsafe { signal_hook_registry::register_sigaction(number, arrived) }.map(|_id| ())
}

impl Shared {
    /// Runs within the signal handler. `code`: who sent the signal; the kernel's own, such as the
    /// terminal's, are greater than 0.
    fn arrived(&self, number: c_int, code: c_int) {
        let phase = self.phase.load(Ordering::SeqCst);
        if phase == STARTING {
            if let Some(path) = self.leftover.get() {
                // SAFETY: the path ends in a zero byte and lives as long as `self`.
                unsafe { libc::unlink(path.as_ptr()) };
            }
            // SAFETY: it ends the process, and touches no memory of it.
            unsafe { libc::_exit(128 + number) };
        }
        if phase == LAUNCHING || code <= 0 {
            self.ours_alone.fetch_or(bit(number), Ordering::SeqCst);
        }
    }
}

/// Waits for a signal, for ever if it is not watched for.
async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether this process was started with a signal ignored.
fn is_ignored(signal: c_int) -> bool {
    // SAFETY: the structure is plain data, for which zeroes are valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing is set; the kernel writes to `action`, which lives beyond
    // the call.
    let read = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    read == 0 && action.sa_sigaction == libc::SIG_IGN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting() -> Shared {
        let shared = Shared::default();
        shared.phase.store(COUNTING, Ordering::SeqCst);
        shared
    }

    #[test]
    fn signal_from_terminal_reached_the_command() {
        let shared = counting();
        shared.arrived(libc::SIGINT, libc::SI_KERNEL);
        assert_eq!(shared.ours_alone.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn signal_from_a_process_is_passed_on() {
        let shared = counting();
        shared.arrived(libc::SIGINT, libc::SI_USER);
        assert_eq!(shared.ours_alone.load(Ordering::SeqCst), bit(libc::SIGINT));
    }

    #[test]
    fn signal_before_the_command_runs_is_passed_on() {
        let shared = counting();
        shared.phase.store(LAUNCHING, Ordering::SeqCst);
        shared.arrived(libc::SIGINT, libc::SI_KERNEL);
        assert_eq!(shared.ours_alone.load(Ordering::SeqCst), bit(libc::SIGINT));
    }
}
