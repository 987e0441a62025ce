//! The command that is traced: found, started, waited for, and its exit status passed on.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::AsFd as _,
        unix::{ffi::OsStrExt as _, process::ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result};
use rustix::{fs::Access, io::Errno};
use thiserror::Error;
use tokio::process::{Child, Command};

use crate::live::signals::Arrived;
use crate::{cli::value, trace::command_cost::CommandTimes};

/// Exit status for a command that is not found, as a shell has it.
const NOT_FOUND: u8 = 127;
/// Exit status for a command that cannot be executed, as a shell has it.
const NOT_EXECUTABLE: u8 = 126;
/// Where programs are if `PATH` is not set, as execvp(3) has it.
const USUAL_PATH: &str = "/bin:/usr/bin";

/// A command that cannot be run.
#[derive(Debug, Error)]
#[error("cannot run `{program}`: {cause}{hint}")]
pub(super) struct CannotRun {
    program: String,
    cause: String,
    hint: String,
    status: u8,
}

impl CannotRun {
    fn new(program: &OsStr, error: &io::Error) -> Self {
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        let time = program.to_str().filter(|text| value::time(text).is_ok());
        Self {
            program: program.display().to_string(),
            cause: if is_missing {
                "command not found".to_owned()
            } else {
                error.to_string()
            },
            hint: match time {
                Some(time) if is_missing => format!("; to trace for a time, use --duration {time}"),
                _ => String::new(),
            },
            status: if is_missing {
                NOT_FOUND
            } else {
                NOT_EXECUTABLE
            },
        }
    }

    /// The exit status that a shell gives.
    pub(super) fn status(&self) -> ExitCode {
        ExitCode::from(self.status)
    }
}

/// Looks for the command's program before anything is loaded for it.
///
/// # Errors
/// When there is no such program, or it may not be executed.
pub(super) fn find(command: &[OsString]) -> Result<(), CannotRun> {
    let Some(program) = command.first() else {
        return Ok(());
    };
    let candidates: Vec<PathBuf> = if program.is_empty() {
        Vec::new()
    } else if program.as_bytes().contains(&b'/') {
        vec![program.into()]
    } else {
        let path = env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into());
        env::split_paths(&path)
            .map(|directory| directory.join(program))
            .collect()
    };
    let mut reason = Errno::NOENT;
    for candidate in candidates {
        match executable(&candidate) {
            Ok(()) => return Ok(()),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(other) => reason = other,
        }
    }
    Err(CannotRun::new(program, &reason.into()))
}

fn executable(path: &Path) -> rustix::io::Result<()> {
    rustix::fs::access(path, Access::EXEC_OK)?;
    // A directory may be "executed" by everybody.
    if path.is_dir() {
        Err(Errno::ISDIR)
    } else {
        Ok(())
    }
}

/// Where the command's standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandOutput {
    /// To ours.
    Stdout,
    /// To our standard error: JSON goes to standard output, and nothing else may.
    Stderr,
}

/// A command, or none.
pub(super) struct Workload {
    child: Option<Child>,
    status: Option<ExitStatus>,
    started: Instant,
    ended: Option<Instant>,
    signals: u32,
}

impl Workload {
    /// Starts the command, if there is one.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub(super) fn start(command: &[OsString], output: CommandOutput) -> Result<Self, CannotRun> {
        let started = Instant::now();
        let child = match command.split_first() {
            None => None,
            Some((program, arguments)) => {
                let spawn = || {
                    let mut command = Command::new(program);
                    command.args(arguments);
                    if output == CommandOutput::Stderr {
                        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
                        command.stdout(Stdio::from(stderr));
                    }
                    command.spawn()
                };
                Some(spawn().map_err(|error| CannotRun::new(program, &error))?)
            }
        };
        Ok(Self {
            child,
            status: None,
            started,
            ended: None,
            signals: 0,
        })
    }

    /// Whether a command is running.
    pub(super) const fn is_running(&self) -> bool {
        self.child.is_some() && self.status.is_none()
    }

    /// Waits for the command's end; for ever if there is none.
    pub(super) async fn ended(&mut self) -> Result<()> {
        match &mut self.child {
            Some(child) => {
                self.status = Some(child.wait().await.context("cannot wait for COMMAND")?);
                self.ended = Some(Instant::now());
                Ok(())
            }
            None => std::future::pending().await,
        }
    }

    /// Passes a signal on to the command, unless the terminal has done so; says whether the trace
    /// is to end. The command's end ends the trace; a second signal does not wait for that.
    pub(super) fn signalled(&mut self, arrived: &Arrived) -> bool {
        self.signals += 1;
        if arrived.is_ours_alone
            && let Some(id) = self.child.as_ref().and_then(Child::id)
            && let Ok(id) = libc::pid_t::try_from(id)
        {
            // SAFETY: a system call without memory arguments. The child has not
            // been waited for, so its id is still its own.
            unsafe { libc::kill(id, arrived.signal) };
        }
        !self.is_running() || self.signals > 1
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

    /// How the command failed, in words.
    pub(super) fn failure(&self) -> Option<String> {
        failure(self.status?)
    }

    /// The exit status to pass on if the command failed: its own, or as a
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

/// How a command failed, in words; `None` if it did not.
fn failure(status: ExitStatus) -> Option<String> {
    match (status.code(), status.signal()) {
        (Some(0), _) | (None, None) => None,
        (Some(code), _) => Some(format!("command exited with {code}")),
        (None, Some(signal)) => Some(match signal_name(signal) {
            Some(name) => format!("command killed by {name}"),
            None => format!("command killed by signal {signal}"),
        }),
    }
}

/// The name of a signal that ends programs.
const fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        _ => return None,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(program: &str) -> CannotRun {
        find(&[program.into()]).expect_err("it cannot be run")
    }

    #[test]
    fn missing_command_is_127_and_named() {
        for program in ["no-such-command", "/no/such/command", "/dev/null/x", ""] {
            let refusal = refusal(program);
            assert_eq!(refusal.status, NOT_FOUND, "{refusal}");
            assert_eq!(
                refusal.to_string(),
                format!("cannot run `{program}`: command not found")
            );
        }
    }

    #[test]
    fn command_that_cannot_be_executed_is_126() {
        for (program, cause) in [("/", "directory"), ("/etc/passwd", "denied")] {
            let refusal = refusal(program);
            assert_eq!(refusal.status, NOT_EXECUTABLE, "{refusal}");
            assert!(refusal.to_string().contains(cause), "{refusal}");
        }
    }

    #[test]
    fn command_that_is_a_time_is_answered_with_the_option() {
        assert!(refusal("30s").to_string().ends_with("--duration 30s"));
    }

    #[test]
    fn command_is_found_by_path_and_by_name() {
        assert!(find(&["sh".into()]).is_ok());
        assert!(find(&["/bin/sh".into()]).is_ok());
        assert!(find(&[]).is_ok());
    }

    #[test]
    fn failing_command_is_said_in_words() {
        let words = |raw| failure(ExitStatus::from_raw(raw));
        assert_eq!(words(0), None);
        assert_eq!(words(7 << 8).as_deref(), Some("command exited with 7"));
        assert_eq!(words(11).as_deref(), Some("command killed by SIGSEGV"));
        assert_eq!(words(35).as_deref(), Some("command killed by signal 35"));
    }
}
