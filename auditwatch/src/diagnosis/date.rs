//! The date at the beginning of a line. In: text. Out: the date as it is written, and what stands behind it.

use super::scan::{digits, skip_spaces};

const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Date and time at the beginning, and what stands behind them and a space.
#[must_use]
pub fn date(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = text;
    if DAYS.iter().any(|day| at.starts_with(day)) && at.get(3) == Some(&b' ') {
        at = &at[4..];
    }
    let is_month = |text: &[u8]| MONTHS.iter().any(|month| text.starts_with(month));
    let rest = if is_month(at) {
        month_day_time(at)?
    } else {
        let (_, rest) = digits(at)?;
        match (at.len() - rest.len(), rest.first()?) {
            // A time alone, with its fraction.
            (2, b':') if time(at).is_some_and(|rest| rest.len() + 9 < at.len()) => time(at)?,
            (4, b'-') => iso(rest)?,
            // `2025 Nov 18 11:33:27.171558`, as some rsyslog templates have it.
            (4, b' ') if is_month(&rest[1..]) => month_day_time(&rest[1..])?,
            // `journalctl -o short-unix`.
            (9 | 10, b'.') => {
                let (_, after) = digits(&rest[1..])?;
                if rest.len() - 1 - after.len() != 6 {
                    return None;
                }
                after
            }
            _ => return None,
        }
    };
    let wall = &text[..text.len() - rest.len()];
    if rest.is_empty() {
        return Some((wall, rest));
    }
    let after = rest.strip_prefix(b" ").or_else(|| rest.strip_prefix(b"\t"));
    Some((wall, after?))
}

/// `Aug 14 10:00:01`, with a fraction or a year behind it.
fn month_day_time(text: &[u8]) -> Option<&[u8]> {
    let (_, rest) = digits(skip_spaces(text.get(3..)?.strip_prefix(b" ")?))?;
    let rest = time(rest.strip_prefix(b" ")?)?;
    // `Wed Aug 14 10:00:01 2021`.
    if let Some((year, after)) = rest.strip_prefix(b" ").and_then(digits)
        && (1990..2200).contains(&year)
        && after.first().is_none_or(|&byte| byte == b' ')
    {
        return Some(after);
    }
    Some(rest)
}

/// `-08-14T10:00:01.123456+00:00`.
fn iso(text: &[u8]) -> Option<&[u8]> {
    let (_, rest) = digits(text.strip_prefix(b"-")?)?;
    let (_, rest) = digits(rest.strip_prefix(b"-")?)?;
    let rest = match rest.split_first()? {
        (b'T' | b' ', rest) => time(rest)?,
        _ => return None,
    };
    if let Some(rest) = rest.strip_prefix(b"Z") {
        return Some(rest);
    }
    if let Some((b'+' | b'-', zone)) = rest.split_first() {
        let (_, rest) = digits(zone)?;
        return match rest.strip_prefix(b":").and_then(digits) {
            Some((_, rest)) => Some(rest),
            None => Some(rest),
        };
    }
    // `journalctl -o short-full` names the zone.
    if let Some(zone) = rest.strip_prefix(b" ") {
        let length = zone
            .iter()
            .take_while(|byte| byte.is_ascii_uppercase())
            .count();
        if (3..=5).contains(&length) && zone.get(length) == Some(&b' ') {
            return Some(&zone[length..]);
        }
    }
    Some(rest)
}

/// `10:00:01`, with a fraction behind a point or a comma.
fn time(text: &[u8]) -> Option<&[u8]> {
    let (_, rest) = digits(text)?;
    let (_, rest) = digits(rest.strip_prefix(b":")?)?;
    let (_, rest) = digits(rest.strip_prefix(b":")?)?;
    match rest.split_first() {
        Some((b'.' | b',', fraction)) => Some(digits(fraction).map_or(rest, |(_, rest)| rest)),
        _ => Some(rest),
    }
}
