//! Reports of tasks: hung, stuck on a CPU, killed, and the lines of their traces. In: the text beside an anchor. Out: a
//! [`Fact`].

use super::{
    fact::Fact,
    scan::{digits, readable, skip_spaces},
};
use crate::untrusted::Untrusted;

/// Behind `INFO: task `: `rsync:188152 blocked for more than 120 seconds.`
pub fn blocked(rest: &[u8]) -> Option<Fact> {
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
pub fn header(rest: &[u8]) -> Option<Fact> {
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
pub fn frame(before: &[u8], rest: &[u8], is_receive: bool) -> Option<Fact> {
    // `audit_log_start at ffffffff81125d4c` of crash.
    let is_call = rest.starts_with(b"+0x")
        || rest.starts_with(b" at ffffffff")
        || (!is_receive && rest.starts_with(b".part."));
    let at_begin = before.is_empty() || matches!(before.last(), Some(b' ' | b'\t' | b']'));
    (is_call && at_begin && !before.ends_with(b"? ")).then_some(Fact::Frame { is_receive })
}

/// Before and behind `COMMAND: "` of crash: `PID: 188152  TASK: ffff8801  CPU: 3   ` and `rsync"`.
pub fn command(before: &[u8], rest: &[u8]) -> Option<Fact> {
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
pub fn release(rest: &[u8]) -> Option<Fact> {
    let rest = &rest[..rest.len().min(160)];
    let end = memchr::memmem::find(rest, b" #")?;
    let word = rest[..end].rsplit(|&byte| byte == b' ').next()?;
    let (_, after) = digits(word)?;
    after
        .starts_with(b".")
        .then(|| Fact::Release(readable(word, 80)))
}

/// Behind `soft lockup - CPU#`: `1 stuck for 22s! [kauditd:28]`.
pub fn soft_lockup(rest: &[u8]) -> Option<Fact> {
    let (_, rest) = digits(rest)?;
    let (seconds, rest) = digits(rest.strip_prefix(b" stuck for ")?)?;
    let task = rest.strip_prefix(b"s! [")?;
    let end = memchr::memchr(b']', task)?;
    let (comm, pid) = named(&task[..end])?;
    Some(Fact::SoftLockup { comm, pid, seconds })
}

/// Behind `Killed process `: `512 (auditd)`.
pub fn killed(rest: &[u8]) -> Option<Fact> {
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
pub fn dropped(before: &[u8]) -> Option<Fact> {
    let number = before.strip_prefix(b"** ")?;
    Some(Fact::Gap {
        lines: digits(number).map(|(lines, _)| lines),
    })
}
