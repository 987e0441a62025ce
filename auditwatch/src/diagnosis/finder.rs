//! What the kernel says about audit. In: the text of a message. Out: [`Fact`]s, as many as stand in it:
//! lines of a console run into each other.
//!
//! The wordings are those of kernel/audit.c, `kernel/hung_task.c`, kernel/panic.c and lib/ratelimit.c from
//! 2.6.32 to 7.2. It must not count or remember anything.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{
    fact::{Fact, Reason, Setting},
    scan::{counter, digits, readable, skip_spaces, value_of},
};
use crate::{kernel::cmdline::AuditBoot, untrusted::Untrusted};

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
    /// Of interest to other modules only.
    Other,
}

const ANCHORS: [(&str, Anchor); 33] = [
    ("audit_lost=", Anchor::Lost),
    ("audit_backlog=", Anchor::Depth),
    ("audit: ", Anchor::Audit),
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
        changes(text, found);
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
    if record_type == CONFIG_CHANGE {
        changes(rest, found);
    }
}

const CONFIG_CHANGE: u32 = 1305;

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

/// Behind `INFO: task `: `rsync:188152 blocked for more than 120 seconds.`
fn blocked(rest: &[u8]) -> Option<Fact> {
    const WORDS: &[u8] = b" blocked for more than ";
    let at = memchr::memmem::find(&rest[..rest.len().min(128)], WORDS)?;
    let (task, after) = (&rest[..at], &rest[at + WORDS.len()..]);
    let (seconds, after) = digits(after)?;
    after.starts_with(b" seconds").then_some(())?;
    let (comm, pid) = named(task)?;
    Some(Fact::Blocked {
        comm,
        pid,
        seconds: Some(seconds),
    })
}

/// `name:7`; the name may have colons.
fn named(task: &[u8]) -> Option<(Untrusted, u32)> {
    let colon = memchr::memrchr(b':', task)?;
    let (pid, b"") = digits(&task[colon + 1..])? else {
        return None;
    };
    Some((readable(&task[..colon], 32), u32::try_from(pid).ok()?))
}

/// Behind `task:`, since 5.9: `rsync state:D stack:0 pid:188152 tgid:188152 ppid:1 flags:0x0`.
fn header(rest: &[u8]) -> Option<Fact> {
    let at = memchr::memmem::find(&rest[..rest.len().min(64)], b"state:D")?;
    let pid = memchr::memmem::find(&rest[at..], b" pid:")?;
    let pid = skip_spaces(&rest[at + pid + 5..]);
    let (pid, after) = digits(pid)?;
    after.starts_with(b" ").then_some(())?;
    Some(Fact::Blocked {
        comm: readable(rest[..at].trim_ascii_end(), 32),
        pid: u32::try_from(pid).ok()?,
        seconds: None,
    })
}

/// A line of a trace: ` [<ffffffff810d1d9d>] audit_log_start+0x2cd/0x450`. One with a `?` is only a trace
/// of an earlier call on the stack.
fn frame(before: &[u8], rest: &[u8], is_receive: bool) -> Option<Fact> {
    // `audit_log_start at ffffffff81125d4c` of crash.
    let is_call = rest.starts_with(b"+0x")
        || rest.starts_with(b" at ffffffff")
        || (!is_receive && rest.starts_with(b".part."));
    let at_begin = before.is_empty() || matches!(before.last(), Some(b' ' | b'\t' | b']'));
    (is_call && at_begin && !before.ends_with(b"? ")).then_some(Fact::Frame { is_receive })
}

/// Before and behind `COMMAND: "` of crash: `PID: 188152  TASK: ffff8801  CPU: 3   ` and `rsync"`.
fn command(before: &[u8], rest: &[u8]) -> Option<Fact> {
    let pid = memchr::memmem::find(before, b"PID: ")?;
    let (pid, _) = digits(skip_spaces(&before[pid + 5..]))?;
    let end = memchr::memchr(b'"', &rest[..rest.len().min(64)])?;
    Some(Fact::Blocked {
        comm: readable(&rest[..end], 32),
        pid: u32::try_from(pid).ok()?,
        seconds: None,
    })
}

/// Behind `Not t` or `T` and `ainted`: ` 6.1.147-172.266.amzn2023.x86_64 #1`, perhaps behind letters.
fn release(rest: &[u8]) -> Option<Fact> {
    let rest = &rest[..rest.len().min(160)];
    let end = memchr::memmem::find(rest, b" #")?;
    let word = rest[..end].rsplit(|&byte| byte == b' ').next()?;
    let (_, after) = digits(word)?;
    after
        .starts_with(b".")
        .then(|| Fact::Release(readable(word, 80)))
}

/// Behind `soft lockup - CPU#`: `1 stuck for 22s! [kauditd:28]`.
fn soft_lockup(rest: &[u8]) -> Option<Fact> {
    let (_, rest) = digits(rest)?;
    let (seconds, rest) = digits(rest.strip_prefix(b" stuck for ")?)?;
    let task = rest.strip_prefix(b"s! [")?;
    let end = memchr::memchr(b']', task)?;
    let (comm, pid) = named(&task[..end])?;
    Some(Fact::SoftLockup { comm, pid, seconds })
}

/// Behind `Killed process `: `512 (auditd)`.
fn killed(rest: &[u8]) -> Option<Fact> {
    let (_, rest) = digits(rest)?;
    let name = rest
        .strip_prefix(b" (")
        .or_else(|| rest.strip_prefix(b", UID 0, ("))?;
    let end = memchr::memchr(b')', name)?;
    Some(Fact::OomKilled {
        comm: readable(&name[..end], 32),
    })
}

/// Before ` printk messages dropped`: `** 153`.
fn dropped(before: &[u8]) -> Option<Fact> {
    let number = before.strip_prefix(b"** ")?;
    Some(Fact::Gap {
        lines: digits(number).map(|(lines, _)| lines),
    })
}

#[cfg(test)]
#[path = "finder/tests.rs"]
mod tests;
