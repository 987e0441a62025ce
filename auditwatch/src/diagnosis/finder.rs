//! What the kernel says about audit. In: the text of a message. Out: [`Fact`]s, as many as stand in it:
//! lines of a console run into each other.
//!
//! The wordings are those of kernel/audit.c, `kernel/hung_task.c`, kernel/panic.c and lib/ratelimit.c from
//! 2.6.32 to 7.2. It must not count or remember anything.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{
    fact::{Fact, Reason, Setting},
    scan::{counter, digits, readable, value_of},
    talkers::who,
    traces::{blocked, command, dropped, frame, header, killed, release, soft_lockup},
};
use crate::kernel::cmdline::AuditBoot;

/// The messages of `audit_log_lost`, printed with `-f 1` behind `audit: `.
const REASONS: [(&[u8], Reason); 13] = [
    (b"backlog limit exceeded", Reason::BacklogLimit),
    (b"rate limit exceeded", Reason::RateLimit),
    (b"out of memory in audit_log_start", Reason::OutOfMemory),
    (b"kauditd retry queue overflow", Reason::RetryOverflow),
    (b"kauditd hold queue overflow", Reason::HoldOverflow),
    (b"printk limit exceeded", Reason::PrintkLimit),
    // Spelled like that up to 3.16.
    (b"auditd dissapeared", Reason::AuditdGone),
    (b"auditd disappeared", Reason::AuditdGone),
    (b"audit_pid=", Reason::AuditdGone),
    (b"out of memory in audit_expand", Reason::NoRecord),
    (b"out of memory in audit_alloc", Reason::NoRecord),
    (
        b"out of memory in __audit_log_kern_module",
        Reason::NoRecord,
    ),
    (b"out of memory in TTY auditing", Reason::NoRecord),
];

const SETTINGS: [(&[u8], Setting); 7] = [
    (b"audit_backlog_limit=", Setting::BacklogLimit),
    (b"audit_failure=", Setting::Failure),
    (b"audit_enabled=", Setting::Enabled),
    (b"audit_rate_limit=", Setting::RateLimit),
    (b"audit_backlog_wait_time=", Setting::WaitTime),
    (b"audit_pid=", Setting::Pid),
    (b"lost=", Setting::Lost),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anchor {
    Lost,
    Depth,
    Audit,
    Suppressed,
    Type,
    Panic,
    Blocked,
    Frame,
    Receive,
    Version,
    CommandLine,
    SoftLockup,
    Killed,
    PrintkDropped,
    TaskHeader,
    Tainted,
    Netlink,
    Command,
    Reset,
    Timeout,
    /// Of interest to other modules only.
    Other,
}

const ANCHORS: [(&str, Anchor); 38] = [
    ("audit_lost=", Anchor::Lost),
    ("audit_backlog=", Anchor::Depth),
    ("audit: ", Anchor::Audit),
    // As a translation, or a console without room, prints it.
    ("audit:", Anchor::Audit),
    (" callbacks suppressed", Anchor::Suppressed),
    ("type=", Anchor::Type),
    ("Kernel panic - not syncing: ", Anchor::Panic),
    ("INFO: task ", Anchor::Blocked),
    ("audit_log_start", Anchor::Frame),
    ("audit_receive", Anchor::Receive),
    ("Linux version ", Anchor::Version),
    ("ommand line: ", Anchor::CommandLine),
    ("soft lockup - CPU#", Anchor::SoftLockup),
    ("Killed process ", Anchor::Killed),
    ("Kill process ", Anchor::Killed),
    (" printk messages dropped", Anchor::PrintkDropped),
    ("task:", Anchor::TaskHeader),
    ("ainted", Anchor::Tainted),
    ("netlink_attachskb", Anchor::Netlink),
    ("netlink_unicast", Anchor::Netlink),
    ("COMMAND: \"", Anchor::Command),
    ("auditd_reset", Anchor::Reset),
    ("schedule_timeout: wrong timeout", Anchor::Timeout),
    // auditd, augenrules, auditctl, journald, other consumers.
    ("audisp", Anchor::Other),
    ("osquery", Anchor::Other),
    ("laurel", Anchor::Other),
    ("missed sequence", Anchor::Other),
    ("dropping event", Anchor::Other),
    ("audit", Anchor::Other),
    ("Audit", Anchor::Other),
    ("augenrules", Anchor::Other),
    ("backlog_limit", Anchor::Other),
    ("Missed ", Anchor::Other),
    ("messages lost", Anchor::Other),
    ("message repeated", Anchor::Other),
    (" lost ", Anchor::Other),
    ("Active: failed", Anchor::Other),
    ("admin_space_left(", Anchor::Other),
];

/// Finds facts.
#[derive(Debug)]
pub struct Finder {
    /// Skips what has none, which is most of a log.
    sparse: AhoCorasick,
    /// Goes byte by byte, which is faster where there are several.
    dense: AhoCorasick,
}

impl Default for Finder {
    fn default() -> Self {
        let anchors = |skips| {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostFirst)
                .kind(Some(AhoCorasickKind::DFA))
                .prefilter(skips)
                .build(ANCHORS.map(|(text, _)| text))
                .expect("invariant: a few short words make an automaton")
        };
        Self {
            sparse: anchors(true),
            dense: anchors(false),
        }
    }
}

impl Finder {
    /// Whether a line may be of interest at all.
    #[must_use]
    pub fn may_tell(&self, line: &[u8]) -> bool {
        self.sparse.is_match(line)
    }

    /// Facts of a message of the kernel, in order.
    pub fn facts(&self, message: &[u8], found: &mut Vec<Fact>) {
        for at in self.dense.find_iter(message) {
            let anchor = ANCHORS[at.pattern().as_usize()].1;
            let (before, rest) = (&message[..at.start()], &message[at.end()..]);
            // Who quotes a message does not report it.
            let whole = before.strip_suffix(b"audit: ").unwrap_or(before);
            if matches!(whole.last(), Some(b'"' | b'\'' | b'`' | b'\\')) {
                continue;
            }
            let fact = match anchor {
                Anchor::Lost => Some(lost(rest)),
                Anchor::Depth => Some(depth(rest)),
                Anchor::Audit if before.ends_with(b"not syncing: ") => None,
                Anchor::Audit => of_audit(rest),
                Anchor::Suppressed => suppressed(before),
                Anchor::Type => {
                    record(before, rest, found);
                    None
                }
                Anchor::Panic => panic(rest),
                Anchor::Blocked => blocked(rest),
                Anchor::Frame if before.ends_with(b"? ") => Some(Fact::AnyFrame),
                Anchor::Frame => frame(before, rest, false),
                Anchor::Receive => frame(before, rest, true),
                Anchor::Version if before.is_empty() => Some(Fact::KernelStart {
                    release: readable(
                        rest.split(|&byte| byte == b' ').next().unwrap_or_default(),
                        80,
                    ),
                }),
                // `Command line: ` of the architecture, `Kernel command line: ` of init/main.c.
                Anchor::CommandLine if matches!(before, b"C" | b"Kernel c") => Some(
                    Fact::CommandLine(AuditBoot::parse(&String::from_utf8_lossy(rest))),
                ),
                Anchor::SoftLockup => soft_lockup(rest),
                Anchor::Killed => killed(rest),
                Anchor::PrintkDropped => dropped(before),
                Anchor::TaskHeader if before.is_empty() => header(rest),
                Anchor::Tainted => release(rest),
                Anchor::Netlink => rest.starts_with(b"+0x").then_some(Fact::NetlinkFrame),
                Anchor::Reset => rest.starts_with(b"+0x").then_some(Fact::ResetFrame),
                Anchor::Timeout => Some(Fact::WrongTimeout),
                Anchor::Command => command(before, rest),
                _ => None,
            };
            found.extend(fact);
        }
    }
}

/// Behind `audit_lost=`.
fn lost(rest: &[u8]) -> Fact {
    // A number at the very end may have lost its last digits.
    let lost = counter(rest).filter(|(_, rest)| rest.starts_with(b" "));
    let rate_limit = lost
        .and_then(|(_, rest)| counter(rest.strip_prefix(b" audit_rate_limit=")?))
        .filter(|(_, rest)| rest.starts_with(b" "));
    let limit = rate_limit
        .and_then(|(_, rest)| rest.strip_prefix(b" audit_backlog_limit="))
        .and_then(whole);
    Fact::Lost {
        lost: lost.map(|(lost, _)| lost),
        rate_limit: rate_limit.map(|(rate_limit, _)| rate_limit),
        limit,
    }
}

/// Behind `audit_backlog=`.
fn depth(rest: &[u8]) -> Fact {
    let depth = counter(rest).filter(|(_, rest)| rest.starts_with(b" "));
    let limit = depth
        .and_then(|(_, rest)| rest.strip_prefix(b" > audit_backlog_limit="))
        .and_then(whole);
    Fact::Depth {
        depth: depth.map(|(depth, _)| depth),
        limit,
    }
}

/// A number, and nothing but the beginning of another line behind it.
fn whole(word: &[u8]) -> Option<u32> {
    let (value, rest) = counter(word)?;
    matches!(rest.first(), None | Some(b'[' | b'<' | b' ')).then_some(value)
}

fn reason(text: &[u8]) -> Option<Reason> {
    let &(message, reason) = REASONS
        .iter()
        .find(|(message, _)| text.starts_with(message))?;
    // `audit_pid=7 reset` (4.4 to 4.9), and not the settings.
    if message == b"audit_pid=" {
        let (_, rest) = digits(&text[message.len()..])?;
        return rest.starts_with(b" reset").then_some(reason);
    }
    Some(reason)
}

/// Behind `audit: `.
#[must_use]
pub fn of_audit(rest: &[u8]) -> Option<Fact> {
    if let Some(reason) = reason(rest) {
        return Some(Fact::Loss(reason));
    }
    if let Some(rest) = rest.strip_prefix(b"audit_backlog_limit: ") {
        return digits(rest).and_then(|(limit, _)| u32::try_from(limit).ok().map(Fact::BootLimit));
    }
    if let Some(rest) = rest.strip_prefix(b"initializing netlink ") {
        let enabled = rest.ends_with(b"(enabled)");
        return (enabled || rest.ends_with(b"(disabled)")).then_some(Fact::Initialized { enabled });
    }
    if rest.starts_with(b"enabled (after initialization)") {
        return Some(Fact::Initialized { enabled: true });
    }
    if rest.starts_with(b"disabled (until reboot)") {
        return Some(Fact::Off);
    }
    if rest.starts_with(b"*NO* daemon at audit_pid=") {
        return Some(Fact::NoDaemon { is_loss: true });
    }
    if rest.starts_with(b"netlink_unicast sending to audit_pid=") {
        // ECONNREFUSED is final; the kernel tries again after any other error.
        let is_final = memchr::memmem::find(rest, b"error: -111").is_some();
        return Some(if is_final {
            Fact::ReaderGone
        } else {
            Fact::NoDaemon { is_loss: false }
        });
    }
    if rest.starts_with(b"re-scheduling(#") {
        return Some(Fact::NoDaemon { is_loss: false });
    }
    let errors: [&[u8]; 7] = [
        b"error in audit_log_",
        b"out of memory for argv string",
        b"error updating watch",
        b"error updating LSM filters",
        b"unrecoverable error in audit_syscall_entry",
        b"cannot create audit fsnotify group",
        b"cannot initialize netlink socket",
    ];
    errors
        .iter()
        .any(|words| rest.starts_with(words))
        .then(|| Fact::Error(readable(rest, 80)))
}

/// Before ` callbacks suppressed`: `audit_log_start: 2470`.
fn suppressed(before: &[u8]) -> Option<Fact> {
    let number = before
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (text, number) = before.split_at(before.len() - number);
    let (lines, _) = digits(number)?;
    let text = text.strip_suffix(b": ")?;
    let name = text
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
        .count();
    let function = &text[text.len() - name..];
    let is_audits = function.starts_with(b"audit_") || function.starts_with(b"kauditd_");
    // 2.6.30 and older say it of the helper, whoever called it.
    (is_audits || function == b"__ratelimit").then(|| Fact::Suppressed {
        function: readable(function, 40),
        lines,
    })
}

/// Behind `type=`: a record that was printed, or one of auditd's own log.
fn record(before: &[u8], rest: &[u8], found: &mut Vec<Fact>) {
    if let Some(text) = rest.strip_prefix(b"CONFIG_CHANGE msg=audit(") {
        found.extend(serial_of(text).map(Fact::Serial));
        changes(text, found);
        return;
    }
    // A line of audit.log, and no other word that ends like that.
    let is_first = matches!(before.last(), None | Some(b' '));
    if is_first && let Some(at) = memchr::memmem::find(&rest[..rest.len().min(48)], b" msg=audit(")
    {
        let text = &rest[at + 11..];
        found.extend(serial_of(text).map(Fact::Serial));
        if rest.starts_with(b"SYSCALL ") {
            found.push(Fact::Talker(who(text)));
        }
        return;
    }
    let Some((record_type, rest)) = digits(rest) else {
        return;
    };
    // `audit_printk_skb`, `kauditd_printk_skb`; before 3.14 without `audit: `.
    if !rest.starts_with(b" audit(") || before.ends_with(b"=") {
        return;
    }
    let Ok(record_type) = u32::try_from(record_type) else {
        return;
    };
    let serial = memchr::memchr(b':', &rest[..rest.len().min(48)])
        .and_then(|colon| digits(&rest[colon + 1..]))
        .map(|(serial, _)| serial);
    found.push(Fact::Printed {
        record_type,
        serial,
        has_key: memchr::memmem::find(rest, b" key=\"").is_some(),
    });
    if record_type == SYSCALL {
        found.push(Fact::Talker(who(rest)));
    }
    if record_type == CONFIG_CHANGE {
        changes(rest, found);
    }
}

const SYSCALL: u32 = 1300;
const CONFIG_CHANGE: u32 = 1305;

/// Behind `audit(`: `1709272800.123:456): ..`, the number of the event.
fn serial_of(text: &[u8]) -> Option<u64> {
    let colon = memchr::memchr(b':', &text[..text.len().min(32)])?;
    let (serial, rest) = digits(&text[colon + 1..])?;
    rest.starts_with(b")").then_some(serial)
}

/// The settings of a `CONFIG_CHANGE` record.
pub fn changes(text: &[u8], found: &mut Vec<Fact>) {
    let done = value_of(text, b"res=").is_none_or(|value| !value.starts_with(b"0"));
    let mut words = text.split(|&byte| byte == b' ').peekable();
    while let Some(word) = words.next() {
        let Some((setting, value)) = SETTINGS
            .iter()
            .find_map(|(key, setting)| Some((*setting, word.strip_prefix(*key)?)))
        else {
            continue;
        };
        let old = words.peek().and_then(|word| word.strip_prefix(b"old="));
        // Without the old value it may be a word of a rule, or the line is cut.
        if let (Some((new, b"")), Some(old)) = (counter(value), old) {
            found.push(Fact::Change {
                setting,
                new,
                old: counter(old).map(|(old, _)| old),
                done,
            });
        }
    }
}

/// Behind `Kernel panic - not syncing: `.
fn panic(rest: &[u8]) -> Option<Fact> {
    if rest.starts_with(b"hung_task: blocked tasks") {
        return Some(Fact::HungTaskPanic);
    }
    let message = rest.strip_prefix(b"audit: ")?;
    Some(Fact::Panic {
        message: readable(message, 80),
        reason: reason(message),
    })
}

#[cfg(test)]
#[path = "finder/tests.rs"]
mod tests;
