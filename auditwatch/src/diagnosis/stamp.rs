//! What stands before a message: when it was said, and by whom. In: a line of console output, dmesg,
//! syslog, `journalctl` or /dev/kmsg. Out: a [`Stamped`] message.
//!
//! It must not understand the message.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2};

use super::{
    date::date,
    heard::is_known,
    logcat,
    scan::{digits, skip_spaces},
};

/// A message with what stood before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamped<'a> {
    /// The kernel's clock, microseconds since boot.
    pub kernel_us: Option<u64>,
    /// Date and time, as the log has them.
    pub wall: Option<&'a [u8]>,
    /// The host, as syslog names it.
    pub host: Option<&'a [u8]>,
    /// Who said it.
    pub speaker: Speaker<'a>,
    /// What.
    pub message: &'a [u8],
}

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker<'a> {
    /// The kernel, as the line itself says.
    Kernel,
    /// The kernel's audit, whose messages lack the `audit: ` here (Android's logcat).
    Audit,
    /// A program, by its name.
    Program(&'a [u8]),
    /// The line does not say; on a console it may be either.
    Unknown,
}

/// A line without NUL bytes and the terminal's escape sequences.
#[must_use]
pub fn clean(line: &[u8]) -> Cow<'_, [u8]> {
    if memchr2(0, 0x1b, line).is_none() {
        return Cow::Borrowed(line);
    }
    let mut text = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            0 => {}
            0x1b => {
                // CSI: parameters and intermediates, then one byte from @ to ~ (ECMA-48, 5.4).
                if let Some(b'[') = after.first() {
                    let end = after[1..]
                        .iter()
                        .position(|byte| !(0x20..0x40).contains(byte))
                        .map_or(after.len(), |at| at + 2);
                    rest = &after[end.min(after.len())..];
                }
            }
            _ => text.push(byte),
        }
    }
    Cow::Owned(text)
}

/// The kernel's clock of a line that begins with it, and nothing else: for lines that are of no interest
/// otherwise.
#[must_use]
pub fn clock(line: &[u8]) -> Option<u64> {
    match line.first()? {
        b'[' => bracket(line).and_then(|(bracket, _)| match bracket {
            Bracket::Clock(us) => Some(us),
            _ => None,
        }),
        b'<' => clock(priority(line)?.1),
        b'0'..=b'9' => kmsg(line).map(|(_, us, _)| us),
        _ => None,
    }
}

/// Takes a line apart.
#[must_use]
pub fn stamped(line: &[u8]) -> Stamped<'_> {
    let mut found = Stamped {
        kernel_us: None,
        wall: None,
        host: None,
        speaker: Speaker::Unknown,
        message: skip_spaces(line),
    };
    // The usual form needs none of the others.
    if found.message.starts_with(b"[") {
        clocks(&mut found);
        return found;
    }
    if let Some((facility, us, rest)) = kmsg(found.message) {
        found.kernel_us = Some(us);
        found.message = rest;
        if facility == 0 {
            found.speaker = Speaker::Kernel;
        } else {
            // Not the kernel, whoever it is.
            found.speaker = Speaker::Program(b"");
            program(&mut found);
        }
        return found;
    }
    let mut is_rfc5424 = false;
    if let Some((value, rest)) = priority(found.message) {
        // RFC 5424 has the version behind the priority.
        is_rfc5424 = rest.starts_with(b"1 ");
        found.message = if is_rfc5424 { &rest[2..] } else { rest };
        // 0 to 7 is the kernel's own facility.
        if value < 8 && !is_rfc5424 {
            found.speaker = Speaker::Kernel;
        }
    } else if let Some((is_kernel, rest)) = decoded_priority(found.message) {
        found.message = rest;
        if is_kernel {
            found.speaker = Speaker::Kernel;
        }
    } else if let Some(rest) = severity(found.message) {
        found.message = rest;
    }
    if let Some((wall, tag, rest)) = logcat::line(found.message) {
        found.wall = Some(wall);
        found.message = rest;
        found.speaker = match tag {
            b"audit" | b"auditd" => Speaker::Audit,
            tag => Speaker::Program(tag),
        };
        return found;
    }
    if let Some((wall, rest)) = date(found.message) {
        // A container's line (CRI), which is a line of its own.
        if let Some(inner) = container_line(rest) {
            let inner = stamped(inner);
            return Stamped {
                wall: inner.wall.or(Some(wall)),
                ..inner
            };
        }
        found.wall = Some(wall);
        found.message = rest;
        if is_rfc5424 {
            structured(&mut found);
        } else {
            sender(&mut found);
        }
    }
    clocks(&mut found);
    if found.kernel_us.is_none() && found.speaker == Speaker::Unknown && found.wall.is_none() {
        found.kernel_us = clock_within(found.message);
    }
    found
}

/// The clock of a message behind a login prompt, or behind the beginning of another one.
fn clock_within(line: &[u8]) -> Option<u64> {
    memchr_iter(b'[', line).take(8).find_map(|at| {
        let (found, rest) = bracket(&line[at..])?;
        match found {
            Bracket::Clock(us) if !rest.is_empty() => Some(us),
            _ => None,
        }
    })
}

/// Brackets before the message: the kernel's clock, a date (`dmesg -T`), the caller (`PRINTK_CALLER`).
fn clocks(found: &mut Stamped<'_>) {
    if matches!(found.speaker, Speaker::Program(_)) {
        return;
    }
    if let Some((_, rest)) = priority(found.message) {
        found.message = rest;
    }
    let Some((first, rest)) = bracket(skip_spaces(found.message)) else {
        if found.speaker == Speaker::Unknown {
            program(found);
        }
        return;
    };
    match first {
        Bracket::Clock(us) => found.kernel_us = Some(us),
        Bracket::Date(date) => found.wall = found.wall.or(Some(date)),
        Bracket::Caller => return,
    }
    found.message = rest;
    if let Some((Bracket::Caller, rest)) = bracket(rest) {
        found.message = rest;
    }
    if found.speaker == Speaker::Unknown {
        // `journalctl -o short-monotonic` has the host between clock and sender.
        let before = found.message;
        if !monotonic_sender(found) {
            found.message = before;
            program(found);
        }
    }
}

/// What a pair of square brackets holds.
enum Bracket<'a> {
    Clock(u64),
    Date(&'a [u8]),
    Caller,
}

/// A bracket that says when or from where, and what stands behind it and one space.
fn bracket(text: &[u8]) -> Option<(Bracket<'_>, &[u8])> {
    let inner = text.strip_prefix(b"[")?;
    let end = memchr(b']', &inner[..inner.len().min(48)])?;
    let rest = &inner[end + 1..];
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let inner = skip_spaces(&inner[..end]);
    let held = match inner.first()? {
        b'0'..=b'9' => Bracket::Clock(seconds(inner)?),
        b'T' | b'C' if inner.len() > 1 && inner[1..].iter().all(u8::is_ascii_digit) => {
            Bracket::Caller
        }
        // A day of the week, or a month: `Wed Aug 14 10:00:01 2021`, `Aug14 10:00`.
        b'A'..=b'Z' if inner.len() >= 11 && memchr(b':', inner).is_some() => Bracket::Date(inner),
        _ => return None,
    };
    Some((held, rest))
}

/// `12.345678`, in microseconds.
fn seconds(text: &[u8]) -> Option<u64> {
    let (whole, rest) = digits(text)?;
    let (fraction, after) = digits(rest.strip_prefix(b".")?)?;
    let length = rest.len() - 1 - after.len();
    // `dmesg -d` has the difference in the same brackets.
    if length > 9 || !(after.is_empty() || after.starts_with(b" ")) {
        return None;
    }
    let length = u32::try_from(length).ok()?;
    let micros = if length > 6 {
        fraction / 10_u64.pow(length - 6)
    } else {
        fraction * 10_u64.pow(6 - length)
    };
    whole.checked_mul(1_000_000)?.checked_add(micros)
}

/// `<6>` of a console or `dmesg -r`.
fn priority(text: &[u8]) -> Option<(u64, &[u8])> {
    let inner = text.strip_prefix(b"<")?;
    if inner.first() == Some(&b'[') {
        return None;
    }
    let (value, rest) = digits(inner)?;
    (value < 1 << 11).then_some((value, rest.strip_prefix(b">")?))
}

/// `kern  :warn  : ` of `dmesg -x`: whether it is the kernel's.
fn decoded_priority(text: &[u8]) -> Option<(bool, &[u8])> {
    const FACILITIES: [&[u8]; 6] = [b"kern", b"user", b"daemon", b"syslog", b"auth", b"local"];
    let facility = FACILITIES.iter().find(|name| text.starts_with(name))?;
    let first = memchr(b':', &text[..text.len().min(10)])?;
    // `kernel: audit: ` is not a facility and a level.
    let padding = text[facility.len()..first].trim_ascii();
    if !padding.iter().all(|byte| b"0123456789priv".contains(byte)) {
        return None;
    }
    let rest = &text[first + 1..];
    let second = memchr(b':', &rest[..rest.len().min(10)])?;
    LEVELS
        .contains(&rest[..second].trim_ascii())
        .then_some((*facility == b"kern", skip_spaces(&rest[second + 1..])))
}

const LEVELS: [&[u8]; 11] = [
    b"emerg", b"alert", b"crit", b"err", b"error", b"warn", b"warning", b"notice", b"info",
    b"debug", b"panic",
];

/// `err` or `kern.err`, in any case.
fn is_severity(word: &[u8]) -> bool {
    let level = memchr(b'.', word).map_or(word, |dot| &word[dot + 1..]);
    LEVELS.iter().any(|known| level.eq_ignore_ascii_case(known))
}

/// `err ` or `kern.err ` before the date, as some templates of rsyslog have it.
fn severity(text: &[u8]) -> Option<&[u8]> {
    let end = memchr(b' ', &text[..text.len().min(20)])?;
    let word = &text[..end];
    let level = memchr(b'.', word).map_or(word, |dot| &word[dot + 1..]);
    let rest = skip_spaces(&text[end..]);
    (LEVELS.contains(&level) && date(rest).is_some()).then_some(rest)
}

/// `6,339,5140900,-;message`: facility, clock, message (Documentation/ABI/testing/dev-kmsg).
fn kmsg(text: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (priority, rest) = digits(text)?;
    let (_, rest) = digits(rest.strip_prefix(b",")?)?;
    let (us, rest) = digits(rest.strip_prefix(b",")?)?;
    let rest = rest.strip_prefix(b",")?;
    let end = memchr(b';', &rest[..rest.len().min(64)])?;
    Some((priority >> 3, us, &rest[end + 1..]))
}

/// Behind a date: `host kernel: `, `host program[1]: `, `host INFO program[1]: `, `kernel: `, or the
/// message at once.
fn sender(found: &mut Stamped<'_>) {
    let mut rest = skip_spaces(found.message);
    let mut host = None;
    for is_first in [true, false, false] {
        let end = memchr(b' ', rest).unwrap_or(rest.len());
        let word = &rest[..end];
        let after = rest.get(end + 1..).unwrap_or_default();
        // Without a space behind it, as some copies have it.
        if word.len() > 7 && word.starts_with(b"kernel:") {
            found.speaker = Speaker::Kernel;
            found.message = &rest[7..];
            found.host = host;
            return;
        }
        if matches!(word, b"kernel:" | b"vmunix:") {
            found.speaker = Speaker::Kernel;
            found.message = after;
            found.host = host;
            return;
        }
        if let Some(name) = program_name(word) {
            // Straight behind a date and without a process id: the message of `dmesg`.
            if is_first && !word.ends_with(b"]:") && !is_known(name) {
                return;
            }
            found.speaker = Speaker::Program(name);
            found.message = after;
            found.host = host;
            return;
        }
        if is_last_message(rest) {
            found.speaker = Speaker::Kernel;
            found.message = rest;
            found.host = host;
            return;
        }
        // A host, or a severity.
        if word.is_empty() || word.starts_with(b"[") {
            return;
        }
        if !is_severity(word) && !is_damaged(word) {
            host = host.or(Some(word));
        }
        rest = after;
        if rest.starts_with(b"[") {
            return;
        }
    }
}

/// Behind `stdout F `: whole lines (F) and parts of lines (P) of a container.
fn container_line(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"std")?;
    let text = text
        .strip_prefix(b"out ")
        .or_else(|| text.strip_prefix(b"err "))?;
    text.strip_prefix(b"F ")
        .or_else(|| text.strip_prefix(b"P "))
}

/// syslogd's own line, which says of its last line that it came more than once.
fn is_last_message(text: &[u8]) -> bool {
    text.starts_with(b"last message repeated ")
}

/// Behind the clock of `short-monotonic`: `host kernel: ` or `host program[1]: `.
fn monotonic_sender<'a>(found: &mut Stamped<'a>) -> bool {
    let rest: &'a [u8] = found.message;
    let Some(end) = memchr(b' ', &rest[..rest.len().min(256)]) else {
        return false;
    };
    let host = &rest[..end];
    if host.ends_with(b":") || host.is_empty() {
        return false;
    }
    let rest = &rest[end + 1..];
    let end = memchr(b' ', rest).unwrap_or(rest.len());
    let word = &rest[..end];
    let after = rest.get(end + 1..).unwrap_or_default();
    if word == b"kernel:" {
        found.speaker = Speaker::Kernel;
    } else if word.ends_with(b"]:")
        && let Some(name) = program_name(word)
    {
        found.speaker = Speaker::Program(name);
    } else {
        return false;
    }
    found.host = Some(host);
    found.message = after;
    true
}

/// `program[1]: ` without anything before it.
fn program(found: &mut Stamped<'_>) {
    let text = found.message;
    let end = memchr(b' ', &text[..text.len().min(256)]).unwrap_or(0);
    let Some(name) = program_name(&text[..end]) else {
        if found.kernel_us.is_none() && found.wall.is_none() && is_host(&text[..end]) {
            // A pasted line whose date was cut off: `host kernel: `, `host program[1]: `.
            monotonic_sender(found);
        }
        return;
    };
    // Of a message without a date only the programs that are known begin with their name.
    if text[..end].ends_with(b"]:") || is_known(name) {
        found.speaker = match name {
            b"kernel" => Speaker::Kernel,
            name => Speaker::Program(name),
        };
        found.message = skip_spaces(&text[end + 1..]);
        if found.kernel_us.is_none()
            && let Some((Bracket::Clock(us), rest)) = bracket(found.message)
        {
            found.kernel_us = Some(us);
            found.message = rest;
        }
    }
}

/// Whether a word has a byte that copies put in the place of a damaged one, and no host's name has.
fn is_damaged(word: &[u8]) -> bool {
    word.iter()
        .any(|&byte| byte == b'?' || !byte.is_ascii_graphic())
}

fn is_host(word: &[u8]) -> bool {
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    !word.is_empty() && word.iter().all(in_name)
}

/// The name in `name:` or `name[1]:`.
fn program_name(word: &[u8]) -> Option<&[u8]> {
    let word = word.strip_suffix(b":")?;
    let name = match memchr(b'[', word) {
        Some(at) => {
            let number = word[at + 1..].strip_suffix(b"]")?;
            if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
                return None;
            }
            &word[..at]
        }
        None => word,
    };
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./@()+".contains(byte);
    (!name.is_empty() && name.iter().all(in_name)).then_some(name)
}

/// RFC 5424 behind the date: host, program, process, message id, structured data.
fn structured(found: &mut Stamped<'_>) {
    let mut rest = found.message;
    let mut words: [&[u8]; 4] = [b""; 4];
    for slot in &mut words {
        let Some(end) = memchr(b' ', rest) else {
            return;
        };
        *slot = &rest[..end];
        rest = &rest[end + 1..];
    }
    found.host = (words[0] != b"-").then_some(words[0]);
    found.speaker = match words[1] {
        b"kernel" => Speaker::Kernel,
        name => Speaker::Program(name),
    };
    rest = match rest.first() {
        Some(b'-') => rest[1..].strip_prefix(b" ").unwrap_or_default(),
        Some(b'[') => memchr(b']', rest).map_or(&b""[..], |end| skip_spaces(&rest[end + 1..])),
        _ => rest,
    };
    found.message = rest.strip_prefix("\u{feff}".as_bytes()).unwrap_or(rest);
}

#[cfg(test)]
#[path = "stamp/tests.rs"]
mod tests;
