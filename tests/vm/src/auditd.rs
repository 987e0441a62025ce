//! The real auditd, in the foreground, with a log that is ground truth.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::lab::Lab;
use crate::netlink;
use crate::process::Process;

const AUDITD: &str = "/usr/sbin/auditd";
pub const AUDITCTL: &str = "/usr/sbin/auditctl";
const PATIENCE: Duration = Duration::from_secs(15);

/// A running auditd.
pub struct Auditd {
    process: Process,
    /// Its log.
    pub log: PathBuf,
}

impl Auditd {
    /// Starts it with a configuration of its own and waits until the kernel has it registered.
    pub fn start(lab: &Lab) -> Result<Self> {
        let directory = lab.directory.join("auditd");
        drop(fs::remove_dir_all(&directory));
        fs::create_dir_all(directory.join("plugins.d")).context("making auditd's directory")?;
        // auditd refuses a directory or file that others may write to.
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
        let log = directory.join("audit.log");
        let conf = directory.join("auditd.conf");
        fs::write(&conf, configuration(&log, &directory.join("plugins.d")))?;
        fs::set_permissions(&conf, fs::Permissions::from_mode(0o640))?;
        let mut command = Command::new(AUDITD);
        command.args(["-n", "-s", "nochange", "-c"]).arg(&directory);
        let mut process = Process::start(&lab.directory, command)?;
        process.until("registered", PATIENCE, |p| {
            netlink::status().is_ok_and(|s| s.pid == p.id())
        })?;
        let auditd = Self { process, log };
        let deadline = Instant::now() + PATIENCE;
        while !auditd.log.exists() {
            ensure!(Instant::now() < deadline, "auditd writes no log");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(auditd)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it.
    pub fn end(self) -> Result<()> {
        self.process.signal(libc::SIGTERM)?;
        self.process
            .wait(PATIENCE)
            .map(drop)
            .context("ending auditd")
    }
}

/// As little as possible between the socket and the file: no flushing, no enriching, no plugins.
fn configuration(log: &Path, plugins: &Path) -> String {
    format!(
        "local_events = yes\nwrite_logs = yes\nlog_file = {}\nlog_format = RAW\nflush = NONE\n\
         freq = 0\nmax_log_file = 200\nmax_log_file_action = IGNORE\nnum_logs = 2\n\
         name_format = NONE\nspace_left = 2\nspace_left_action = IGNORE\nadmin_space_left = 1\n\
         admin_space_left_action = IGNORE\ndisk_full_action = IGNORE\ndisk_error_action = IGNORE\n\
         priority_boost = 4\nq_depth = 2000\noverflow_action = IGNORE\nplugin_dir = {}\n",
        log.display(),
        plugins.display(),
    )
}

/// Loads rule files with auditctl, passing over what this guest cannot take (paths that are not
/// there, architectures it has not), and returns how many rules the kernel then has.
pub fn load_rules(lab: &Lab, files: &[PathBuf]) -> Result<usize> {
    // The rules only: settings and what wipes or locks belongs to other files of the set.
    let mut text = String::from("-i\n");
    for file in files {
        let rules =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        text.extend(
            rules
                .lines()
                .filter(|l| is_rule(l))
                .flat_map(|l| [l.trim(), "\n"]),
        );
    }
    let path = lab.directory.join("test.rules");
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let mut command = Command::new(AUDITCTL);
    command.arg("-R").arg(&path);
    let ended = Process::start(&lab.directory, command)?.wait(PATIENCE)?;
    let loaded = netlink::AuditSocket::open()?.rules()?.len();
    ensure!(
        loaded > 0,
        "auditctl loaded no rule (exit {}): {}",
        ended.code(),
        crate::process::tail(&ended.stderr, 500)
    );
    Ok(loaded)
}

/// Whether a line of a rules file adds a rule.
fn is_rule(line: &str) -> bool {
    ["-a ", "-A ", "-w "]
        .iter()
        .any(|prefix| line.trim_start().starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_not_settings() {
        assert!(is_rule("-a always,exit -F arch=b64 -S open"));
        assert!(is_rule("  -w /etc/passwd -p wa"));
        for other in [
            "-D",
            "-b 8192",
            "-e 2",
            "## -a comment",
            "",
            "--loginuid-immutable",
        ] {
            assert!(!is_rule(other), "{other}");
        }
    }
}
