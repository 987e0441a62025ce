//! What systemd says of auditd's unit, in its own messages and in the lines of `systemctl status`. In: a message or a
//! line. Out: a [`Daemon`] event or none.
//!
//! It must not count or remember anything but the block that it is in.

use memchr::memmem::find;

use super::daemon::Daemon;

/// What systemd says of auditd's unit, whose description has changed over time.
pub(super) fn unit(message: &[u8]) -> Option<Daemon> {
    let has = |words: &[u8]| find(message, words).is_some();
    // systemctl status prints the unit, its state and its command, on lines of their own or pasted as one.
    let is_command = has(b"ExecStart=") && has(b"auditd");
    let has_failed = is_command
        && find(message, b"(code=exited, status=")
            .is_some_and(|at| !message[at..].starts_with(b"(code=exited, status=0"));
    if has_failed || has(b"auditd.service - ") && has(b"Active: failed") {
        return Some(Daemon::NotStarted);
    }
    if has(b"Security Audit") || has(b" auditd.service - ") {
        if message.starts_with(b"Started ") {
            return Some(Daemon::Started);
        }
        if message.starts_with(b"Stopped ") {
            return Some(Daemon::Stopped);
        }
        return message
            .starts_with(b"Failed to start ")
            .then_some(Daemon::NotStarted);
    }
    let rest = message.strip_prefix(b"auditd.service: ")?;
    let rest_has = |words: &[u8]| find(rest, words).is_some();
    if rest_has(b"Start request repeated too quickly")
        || rest_has(b"Control process exited") && !rest_has(b"status=0/SUCCESS")
    {
        return Some(Daemon::NotStarted);
    }
    if rest_has(b"start operation timed out") || rest_has(b"Start operation timed out") {
        return Some(Daemon::NotStarted);
    }
    if rest_has(b"Failed with result") {
        return Some(Daemon::Failed);
    }
    (rest.starts_with(b"Main process exited") && !rest_has(b"status=0/SUCCESS")
        || rest_has(b"main process exited")
        || rest_has(b"OOM killer"))
    .then_some(Daemon::Died)
}

/// Puts together the lines of `systemctl status auditd`: the unit, and its state some lines below.
#[derive(Debug, Default)]
pub struct UnitLines {
    /// Lines since the one that named the unit; `None` outside of such a block.
    since: Option<u32>,
}

impl UnitLines {
    /// The state stands at most so many lines below the name: drop-ins and triggers come between.
    const MOST: u32 = 8;

    /// Passes a line over that is of no interest otherwise.
    pub fn pass(&mut self, line: &[u8]) {
        self.since = self
            .since
            .filter(|&since| since < Self::MOST && find(line, b".service - ").is_none())
            .map(|since| since + 1);
    }

    /// Takes a line; returns whether it says that auditd's unit has failed.
    pub fn line(&mut self, message: &[u8]) -> bool {
        if find(message, b"auditd.service - ").is_some() {
            self.since = Some(0);
            return false;
        }
        self.pass(message);
        if self.since.is_none() {
            return false;
        }
        let Some(state) = message.trim_ascii_start().strip_prefix(b"Active: ") else {
            return false;
        };
        self.since = None;
        state.starts_with(b"failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_failed_is_found_in_every_form() {
        for message in [
            "auditd.service: Control process exited, code=exited, status=6/NOTCONFIGURED",
            "auditd.service: Start request repeated too quickly.",
            "Failed to start auditd.service - Secu>",
        ] {
            assert_eq!(
                unit(message.as_bytes()),
                Some(Daemon::NotStarted),
                "{message}"
            );
        }
        let command = "Process: 3641097 ExecStart=/sbin/auditd (code=exited, status=6)";
        assert_eq!(unit(command.as_bytes()), Some(Daemon::NotStarted));
        assert_eq!(
            unit(&command.replace("=6", "=0/SUCCESS").into_bytes()),
            None
        );
        let mut lines = UnitLines::default();
        let mut has_failed = |block: &str| block.lines().any(|line| lines.line(line.as_bytes()));
        assert!(has_failed(
            "auditd.service - Security Auditing Service\n   Loaded: loaded\n   Active: failed (Result: exit-code)"
        ));
        assert!(
            !has_failed("   Active: failed (Result: exit-code)"),
            "another unit"
        );
        assert!(!has_failed(
            "auditd.service - Security Auditing Service\n   Active: active (running)"
        ));
    }
}
