//! A child process with its output in files, a deadline, and no way to be left behind.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::sys;
use crate::tasks;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A running child; it is killed when this goes away.
pub struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    peak_kib: u64,
}

/// How a child ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
    /// The highest `VmHWM` that was seen, KiB.
    pub peak_kib: u64,
}

impl Ended {
    /// The exit code; a signal counts as 128 plus its number, as a shell has it.
    pub fn code(&self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        self.status
            .code()
            .unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }
}

impl Process {
    /// Starts a command, its output going to files in `directory`.
    pub fn start(directory: &Path, mut command: Command) -> Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = command.get_program().to_string_lossy().into_owned();
        let stdout = directory.join(format!("{number}.out"));
        let stderr = directory.join(format!("{number}.err"));
        let create =
            |p: &Path| File::create(p).with_context(|| format!("creating {}", p.display()));
        let child = command
            .stdin(Stdio::null())
            .stdout(create(&stdout)?)
            .stderr(create(&stderr)?)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self {
            name,
            child,
            stdout,
            stderr,
            peak_kib: 0,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        sys::kill(self.id(), signal)
    }

    /// What it has written to standard output so far.
    pub fn output(&self) -> String {
        fs::read(&self.stdout)
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .unwrap_or_default()
    }

    /// What it has written to standard error so far.
    pub fn errors(&self) -> String {
        fs::read(&self.stderr)
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .unwrap_or_default()
    }

    /// Waits for its end. Past the deadline it is killed, and that is an error.
    pub fn wait(mut self, timeout: Duration) -> Result<Ended> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(peak) = tasks::peak_kib(self.id()) {
                self.peak_kib = self.peak_kib.max(peak);
            }
            if let Some(status) = self.child.try_wait().context("waiting for a child")? {
                let ended = Ended {
                    status,
                    stdout: self.output(),
                    stderr: self.errors(),
                    peak_kib: self.peak_kib,
                };
                drop(fs::remove_file(&self.stdout));
                drop(fs::remove_file(&self.stderr));
                return Ok(ended);
            }
            if Instant::now() > deadline {
                bail!(
                    "{} did not end within {timeout:?} (state {:?}, {:?}); it said: {} {}",
                    self.name,
                    tasks::state(self.id()),
                    tasks::wchan(self.id()),
                    tail(&self.errors(), 600),
                    tail(&self.output(), 600),
                );
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until `condition` holds while the child runs.
    pub fn until(
        &mut self,
        what: &str,
        timeout: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + timeout;
        while !condition(self) {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended ({status}) before {what}: {}",
                    self.name,
                    self.errors()
                );
            }
            if Instant::now() > deadline {
                bail!(
                    "{}: not {what} within {timeout:?}: {}",
                    self.name,
                    self.errors()
                );
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let killed = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = killed {
            drop(writeln!(
                std::io::stderr(),
                "cannot end {}: {error}",
                self.name
            ));
        }
    }
}

/// The last part of a text.
pub fn tail(text: &str, bytes: usize) -> &str {
    let mut from = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_status_and_deadline() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 7"]);
        let ended = Process::start(directory.path(), command)
            .and_then(|p| p.wait(Duration::from_secs(10)))
            .expect("runs");
        assert_eq!(ended.code(), 7);
        assert_eq!(
            (ended.stdout.as_str(), ended.stderr.as_str()),
            ("out\n", "err\n")
        );
        let mut command = Command::new("sleep");
        command.arg("30");
        let process = Process::start(directory.path(), command).expect("starts");
        let id = process.id();
        assert!(process.wait(Duration::from_millis(50)).is_err());
        assert!(!tasks::alive(id));
    }

    #[test]
    fn tail_respects_characters() {
        assert_eq!(tail("abc\n", 10), "abc");
        assert_eq!(tail("aäb", 2), "b");
    }
}
