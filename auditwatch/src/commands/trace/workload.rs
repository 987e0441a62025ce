//! The command that is traced: started, waited for, and its exit status passed on.

use std::{ffi::OsString, os::unix::process::ExitStatusExt as _, process::ExitCode, time::Instant};

use anyhow::{Context as _, Result};
use tokio::process::{Child, Command};

use crate::command_cost::CommandTimes;

/// A command, or none.
pub(super) struct Workload {
    child: Option<Child>,
    status: Option<std::process::ExitStatus>,
    started: Instant,
    ended: Option<Instant>,
    interrupts: u32,
    terminations: u32,
}

impl Workload {
    /// Starts the command, if there is one.
    pub(super) fn start(command: &[OsString]) -> Result<Self> {
        let started = Instant::now();
        let child = match command.split_first() {
            None => None,
            Some((program, arguments)) => Some(
                Command::new(program)
                    .args(arguments)
                    .spawn()
                    .with_context(|| format!("cannot start `{}`", program.display()))?,
            ),
        };
        Ok(Self {
            child,
            status: None,
            started,
            ended: None,
            interrupts: 0,
            terminations: 0,
        })
    }

    /// Whether a command is running.
    pub(super) const fn is_running(&self) -> bool {
        self.child.is_some() && self.status.is_none()
    }

    /// Waits for the command's end; for ever where there is none.
    pub(super) async fn ended(&mut self) -> Result<()> {
        match &mut self.child {
            Some(child) => {
                self.status = Some(child.wait().await.context("cannot wait for the command")?);
                self.ended = Some(Instant::now());
                Ok(())
            }
            None => std::future::pending().await,
        }
    }

    /// Notes a Ctrl-C; says whether the trace is to end. The terminal sends it to
    /// the command as well, whose end then ends the trace; a second one does not
    /// wait for that.
    pub(super) const fn interrupted(&mut self) -> bool {
        self.interrupts += 1;
        !self.is_running() || self.interrupts > 1
    }

    /// Passes a SIGTERM on to the command; says whether the trace is to end. A
    /// second one does not wait for the command.
    pub(super) fn terminated(&mut self) -> bool {
        self.terminations += 1;
        if let Some(id) = self.child.as_ref().and_then(Child::id)
            && let Ok(id) = libc::pid_t::try_from(id)
        {
            // SAFETY: a system call without memory arguments. The child has not
            // been waited for, so its id is still its own.
            unsafe { libc::kill(id, libc::SIGTERM) };
        }
        !self.is_running() || self.terminations > 1
    }

    /// How long the command ran; `None` without one.
    pub(super) fn times(&self) -> Option<CommandTimes> {
        self.child.as_ref()?;
        let end = self.ended.unwrap_or_else(Instant::now);
        // Nobody else's child was ever waited for here.
        let used = self.ended.and_then(|_| used_by_children());
        Some(CommandTimes {
            wall_ns: u64::try_from((end - self.started).as_nanos()).unwrap_or(u64::MAX),
            user_ns: used.map(|(user_ns, _)| user_ns),
            system_ns: used.map(|(_, system_ns)| system_ns),
        })
    }

    /// The exit status to pass on, where the command failed: its own, or as a
    /// shell gives it, 128 and the signal that ended it.
    pub(super) fn status(&self) -> Option<ExitCode> {
        let status = self.status?;
        if status.success() {
            return None;
        }
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Some(ExitCode::from(u8::try_from(code).unwrap_or(1)))
    }
}

/// CPU time of all children that were waited for, and of theirs: outside of the kernel
/// and in it, ns.
fn used_by_children() -> Option<(u64, u64)> {
    // SAFETY: the structure is plain integers, for which zeroes are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes to `usage`, which lives beyond the call.
    if unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) } != 0 {
        return None;
    }
    Some((nanoseconds(usage.ru_utime)?, nanoseconds(usage.ru_stime)?))
}

fn nanoseconds(time: libc::timeval) -> Option<u64> {
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let micros = u64::try_from(time.tv_usec).ok()?;
    Some(seconds * 1_000_000_000 + micros * 1_000)
}
