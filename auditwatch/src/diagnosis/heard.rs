//! What programs say about audit: auditd and its dispatcher, other consumers, systemd, journald, augenrules. In: the
//! program's name, and the message. Out: a [`Heard`].
//!
//! The wordings are those of audit-userspace 2.x to 4.x and systemd. It must not count or remember anything.

use memchr::memmem::find;

use super::{
    daemon::Daemon,
    scan::{digits, value_of},
    unit::unit,
};

/// Of auditd and audispd; the first that fits.
const OF_AUDITD: [(&[u8], Daemon); 33] = [
    (b"listening for events", Daemon::Started),
    (b"audit daemon is exiting", Daemon::Stopped),
    (b"terminated unexpectedly", Daemon::PluginEnded),
    (b"Unable to set audit pid", Daemon::NotStarted),
    (
        b"Unable to set initial audit startup state",
        Daemon::NotStarted,
    ),
    (b"Error setting audit daemon pid", Daemon::NotStarted),
    (b"Cannot open netlink audit socket", Daemon::NotStarted),
    (b"Could not open dir", Daemon::NotStarted),
    (b"must be larger than admin_space_left", Daemon::NotStarted),
    (b"Unknown keyword", Daemon::NotStarted),
    (b"No buffer space available", Daemon::NoBuffers),
    (b"reporting limit reached", Daemon::PluginReportsEnd),
    (b"suspending event passing", Daemon::PluginsSuspended),
    (b"queue to plugins is full", Daemon::PluginDropped),
    (b"dispatch err (pipe full)", Daemon::DispatcherFull),
    (b"dispatch error reporting limit", Daemon::PluginReportsEnd),
    (b"dropping event", Daemon::PluginDropped),
    (b"event lost", Daemon::PluginDropped),
    (b"halting the system", Daemon::HaltedSystem),
    (b"halting system", Daemon::HaltedSystem),
    (b"to single user mode", Daemon::HaltedSystem),
    (
        b"suspending logging due to logfile size",
        Daemon::SuspendedBySize,
    ),
    (b"suspending logging", Daemon::Suspended),
    (b"Could not reopen a log", Daemon::WriteError),
    (b"resume logging", Daemon::Resumed),
    (b"resuming logging", Daemon::Resumed),
    (b"has no space left", Daemon::DiskFull),
    (b"no space left", Daemon::LowDisk),
    (b"low on disk space", Daemon::LowDisk),
    (b"error writing an event to disk", Daemon::WriteError),
    (b"Record was not written to disk", Daemon::WriteError),
    (b"previously mentioned write error", Daemon::Suspended),
    (b"Unable to open /", Daemon::NotStarted),
];

/// Words by which other consumers report events that they lost.
const OF_OTHERS: [&[u8]; 12] = [
    b"no buffer space available",
    b"No buffer space available",
    b"ENOBUFS",
    b"issed sequence",
    b"lost event",
    b"events lost",
    b"events were lost",
    b"events have been lost",
    b"lost by the kernel",
    b"dropped event",
    b"events dropped",
    b"dropping event",
];

/// Consumers other than auditd.
const OTHERS: [&[u8]; 7] = [
    b"osqueryd",
    b"osquery",
    b"auditbeat",
    b"go-audit",
    b"laurel",
    b"wazuh-agentd",
    b"wazuh-logcollector",
];

/// Whether a word is the name of a program that speaks of audit.
#[must_use]
pub fn is_known(program: &[u8]) -> bool {
    const AUDIT: [&[u8]; 10] = [
        b"auditd",
        b"audispd",
        b"audisp-remote",
        b"audisp-syslog",
        b"augenrules",
        b"auditctl",
        b"systemd",
        b"kernel",
        b"systemd-journald",
        b"rsyslogd",
    ];
    AUDIT.contains(&program) || OTHERS.contains(&program)
}

/// `lost 17 events`, `dropped 17 events`, `17 events lost`, with the number.
fn lost_number(message: &[u8]) -> bool {
    [&b"lost "[..], b"dropped ", b"Dropped ", b"Lost ", b"lost="]
        .iter()
        .any(|words| {
            find(message, words).is_some_and(|at| {
                digits(&message[at + words.len()..]).is_some_and(|(value, _)| value > 0)
            })
        })
}

fn of_others(message: &[u8]) -> Option<Heard> {
    // The counters of a periodic report are zero most of the time.
    (lost_number(message) || OF_OTHERS.iter().any(|words| find(message, words).is_some()))
        .then_some(Heard::Daemon(Daemon::OtherLost))
}

/// The settings as `auditctl -s` prints them, which augenrules does at boot for each option of the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// 2: immutable.
    pub enabled: Option<u32>,
    /// `-f`.
    pub failure: Option<u32>,
    /// Who reads the records; 0 is nobody.
    pub pid: Option<u32>,
    /// Records a second.
    pub rate_limit: Option<u32>,
    /// Records.
    pub backlog_limit: Option<u32>,
    /// The kernel's counter.
    pub lost: Option<u32>,
}

/// What a program said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Of auditd.
    Daemon(Daemon),
    /// The settings.
    Status(Status),
    /// Another consumer, which the line itself does not name, lost events.
    Other(&'static [u8]),
    /// The log misses lines; how many, where it says so.
    Gap(Option<u64>),
}

/// What a program's message says.
#[must_use]
pub fn heard(program: &[u8], message: &[u8]) -> Option<Heard> {
    let has = |words: &[u8]| find(message, words).is_some();
    match program {
        b"auditd" | b"audispd" => OF_AUDITD
            .iter()
            .find(|(words, _)| has(words))
            .map(|&(_, daemon)| match daemon {
                Daemon::PluginDropped if program == b"audispd" => Daemon::DispatcherFull,
                daemon => daemon,
            })
            .map(Heard::Daemon),
        b"audisp-remote" => {
            let is_full = has(b"queue is full") || has(b"queue full") || has(b"dropping event");
            is_full.then_some(Heard::Daemon(Daemon::RemoteFull))
        }
        _ if OTHERS.contains(&program) => of_others(message),
        b"systemd" => unit(message).map(Heard::Daemon),
        b"auditctl" | b"augenrules" => one_line(message).map(Heard::Status),
        b"systemd-journald" | b"systemd-journal" => {
            if let Some(rest) = message.strip_prefix(b"Missed ") {
                return Some(Heard::Gap(digits(rest).map(|(lines, _)| lines)));
            }
            has(b"/dev/kmsg buffer overrun").then_some(Heard::Gap(None))
        }
        b"rsyslogd" | b"rsyslogd-2177" | b"imklog" | b"imjournal" => {
            (has(b"messages lost") || has(b" lost ")).then(|| Heard::Gap(number(message)))
        }
        _ => None,
    }
}

/// The same where a console does not say who speaks.
#[must_use]
pub fn on_console(message: &[u8]) -> Option<Heard> {
    let has = |words: &[u8]| find(message, words).is_some();
    if message.starts_with(b"Starting auditd:") && has(b"OK") {
        return Some(Heard::Daemon(Daemon::Started));
    }
    if message.starts_with(b"Stopping auditd:") && has(b"OK") {
        return Some(Heard::Daemon(Daemon::Stopped));
    }
    if has(b"must be larger than admin_space_left") {
        return Some(Heard::Daemon(Daemon::NotStarted));
    }
    // `[  OK  ] Started ...`.
    if message.starts_with(b"[")
        && let Some(end) = memchr::memchr(b']', &message[..message.len().min(16)])
    {
        let after = super::scan::skip_spaces(&message[end + 1..]);
        return unit(after).map(Heard::Daemon);
    }
    if has(b"auditd.service - ") || has(b"ExecStart=") {
        return unit(message).map(Heard::Daemon);
    }
    if let Some((_, program)) = SIGNS.iter().find(|(sign, _)| has(sign)) {
        return of_others(message).map(|_| Heard::Other(program));
    }
    one_line(message).map(Heard::Status)
}

/// By which the own logs of consumers are known.
const SIGNS: [(&[u8], &[u8]); 4] = [
    (b"Likely missed sequence", b"go-audit"),
    (b"auditdnetlink.cpp", b"osqueryd"),
    (b"auditd/audit_linux.go", b"auditbeat"),
    (b"[auditd]", b"auditbeat"),
];

/// `AUDIT_STATUS: enabled=1 flag=1 pid=1135 rate_limit=0 backlog_limit=320 lost=0 backlog=0`, up to 2.3.
fn one_line(message: &[u8]) -> Option<Status> {
    let text = message.strip_prefix(b"AUDIT_STATUS: ")?;
    let value = |key: &[u8]| {
        let (value, _) = digits(value_of(text, key)?)?;
        u32::try_from(value).ok()
    };
    Some(Status {
        enabled: value(b"enabled="),
        failure: value(b"flag="),
        pid: value(b"pid="),
        rate_limit: value(b"rate_limit="),
        backlog_limit: value(b"backlog_limit="),
        lost: value(b"lost="),
    })
}

/// The first number of a text.
fn number(text: &[u8]) -> Option<u64> {
    let at = text.iter().position(u8::is_ascii_digit)?;
    digits(&text[at..]).map(|(number, _)| number)
}

/// Puts together the lines of `auditctl -s`, one setting on each.
#[derive(Debug, Default)]
pub struct StatusLines {
    so_far: Status,
    /// Settings seen of this block.
    seen: usize,
}

const KEYS: [&[u8]; 6] = [
    b"enabled",
    b"failure",
    b"pid",
    b"rate_limit",
    b"backlog_limit",
    b"lost",
];

impl StatusLines {
    /// Takes a line; the settings come out with the last of them.
    pub fn line(&mut self, message: &[u8]) -> Option<Status> {
        // Cheap, since this is asked of each line: `backlog_limit 4294967295` is the longest.
        if message.len() > 25 || !message.last().is_some_and(u8::is_ascii_digit) {
            return None;
        }
        let space = memchr::memchr(b' ', message)?;
        let index = KEYS.iter().position(|&key| key == &message[..space])?;
        let (value, b"") = digits(&message[space + 1..])? else {
            return None;
        };
        let value = u32::try_from(value).ok()?;
        if index == 0 {
            *self = Self::default();
        } else if index != self.seen {
            // Something else than `auditctl -s`.
            *self = Self::default();
            return None;
        }
        self.seen += 1;
        let so_far = &mut self.so_far;
        *[
            &mut so_far.enabled,
            &mut so_far.failure,
            &mut so_far.pid,
            &mut so_far.rate_limit,
            &mut so_far.backlog_limit,
            &mut so_far.lost,
        ][index] = Some(value);
        (index + 1 == KEYS.len()).then(|| std::mem::take(self).so_far)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auditd_is_understood() {
        for (program, message, daemon) in [
            (
                "auditd",
                "Init complete, auditd 3.0.9 listening for events (startup state enable)",
                Daemon::Started,
            ),
            (
                "auditd",
                "Audit daemon is suspending logging due to low disk space.",
                Daemon::Suspended,
            ),
            (
                "auditd",
                "Audit daemon is low on disk space for logging",
                Daemon::LowDisk,
            ),
            (
                "auditd",
                "dispatch err (pipe full) event lost",
                Daemon::DispatcherFull,
            ),
            (
                "auditd",
                "queue to plugins is full - dropping event",
                Daemon::PluginDropped,
            ),
            (
                "audispd",
                "queue is full - dropping event",
                Daemon::DispatcherFull,
            ),
            (
                "auditd",
                "auditd queue full reporting limit reached - ending dropped event notifications",
                Daemon::PluginReportsEnd,
            ),
            (
                "auditd",
                "Error receiving audit netlink packet (No buffer space available)",
                Daemon::NoBuffers,
            ),
            (
                "systemd",
                "Started Security Auditing Service.",
                Daemon::Started,
            ),
            (
                "systemd",
                "Started auditd.service - Security Audit Logging Service.",
                Daemon::Started,
            ),
            (
                "systemd",
                "auditd.service: Main process exited, code=killed, status=9/KILL",
                Daemon::Died,
            ),
        ] {
            assert_eq!(
                heard(program.as_bytes(), message.as_bytes()),
                Some(Heard::Daemon(daemon)),
                "{message}"
            );
        }
        assert_eq!(heard(b"sshd", b"dropping event"), None);
        assert_eq!(
            on_console(b"Starting auditd: [  OK  ]"),
            Some(Heard::Daemon(Daemon::Started))
        );
    }

    #[test]
    fn settings_are_put_together() {
        let mut lines = StatusLines::default();
        let block =
            "enabled 1\nfailure 1\npid 2264\nrate_limit 0\nbacklog_limit 320\nlost 7\nbacklog 0";
        let found: Vec<Status> = block
            .lines()
            .filter_map(|line| lines.line(line.as_bytes()))
            .collect();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].backlog_limit, found[0].lost),
            (Some(320), Some(7))
        );
        assert_eq!(lines.line(b"lost 9"), None, "no block");
        assert_eq!(
            on_console(b"AUDIT_STATUS: enabled=1 flag=2 pid=1135 rate_limit=0 backlog_limit=320 lost=9 backlog=0"),
            Some(Heard::Status(Status {
                enabled: Some(1),
                failure: Some(2),
                pid: Some(1135),
                rate_limit: Some(0),
                backlog_limit: Some(320),
                lost: Some(9),
            }))
        );
    }
}
