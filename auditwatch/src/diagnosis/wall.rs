//! A date of a log as a clock. In: the text. Out: microseconds that can be compared with those of the same log.
//!
//! Dates without a year are taken as of one leap year; only differences are used. A zone counts if the date has one.

use super::scan::{digits, skip_spaces};

const DAY_US: i64 = 86_400_000_000;
const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
/// The year of dates that have none.
const NO_YEAR: i64 = 2000;

/// Microseconds since 1970, or since a year of its own if the date has no year.
#[must_use]
pub fn clock_us(text: &[u8]) -> Option<i64> {
    let mut text = skip_spaces(text);
    // A day of the week.
    if text.len() > 4 && text[..3].is_ascii() && text[3] == b' ' && month(text).is_none() {
        text = skip_spaces(&text[4..]);
    }
    if let Some(month) = month(text) {
        return by_month(NO_YEAR, month, &text[3..]);
    }
    let (first, rest) = digits(text)?;
    let first = i64::try_from(first).ok()?;
    match (text.len() - rest.len(), rest.first()?) {
        (4, b'-') => {
            let (month, rest) = digits(&rest[1..])?;
            let (day, rest) = digits(rest.strip_prefix(b"-")?)?;
            of(first, month, day, rest.get(1..)?)
        }
        (2, b':') => of(NO_YEAR, 1, 1, text),
        (4, b' ') => by_month(first, month(&rest[1..])?, &rest[4..]),
        (2, b'-') => {
            let (day, rest) = digits(&rest[1..])?;
            of(NO_YEAR, u64::try_from(first).ok()?, day, skip_spaces(rest))
        }
        (9 | 10, b'.') => {
            let (fraction, _) = digits(rest.get(1..7)?)?;
            first
                .checked_mul(1_000_000)?
                .checked_add(i64::try_from(fraction).ok()?)
        }
        _ => None,
    }
}

/// The time between two moments of one log, microseconds: a year without number may end in between.
#[must_use]
pub const fn between(first: i64, last: i64) -> i64 {
    let apart = last.saturating_sub(first);
    if apart < -180 * DAY_US && apart > -366 * DAY_US {
        apart + 366 * DAY_US
    } else {
        apart
    }
}

fn month(text: &[u8]) -> Option<u64> {
    let at = MONTHS.iter().position(|month| text.starts_with(month))?;
    u64::try_from(at + 1).ok()
}

/// Behind the month: ` 14 10:00:01`, perhaps with a fraction or a year.
fn by_month(year: i64, month: u64, rest: &[u8]) -> Option<i64> {
    let (day, rest) = digits(skip_spaces(rest))?;
    let time = skip_spaces(rest);
    let year = time
        .iter()
        .position(|&byte| byte == b' ')
        .and_then(|space| digits(&time[space + 1..]))
        .filter(|(year, _)| (1990..2200).contains(year))
        .map_or(year, |(year, _)| i64::try_from(year).unwrap_or(NO_YEAR));
    of(year, month, day, time)
}

/// A date and what stands behind it: a time, a fraction, a zone.
fn of(year: i64, month: u64, day: u64, time: &[u8]) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1970..3000).contains(&year) {
        return None;
    }
    let (hour, rest) = digits(time)?;
    let (minute, rest) = digits(rest.strip_prefix(b":")?)?;
    let (second, rest) = rest
        .strip_prefix(b":")
        .and_then(digits)
        .unwrap_or((0, rest));
    if hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    let (micros, rest) = fraction(rest);
    let seconds = i64::try_from(hour * 3600 + minute * 60 + second).ok()?;
    let days = days(year, i64::try_from(month).ok()?, i64::try_from(day).ok()?);
    Some(days * DAY_US + (seconds - zone_s(rest)) * 1_000_000 + micros)
}

/// `.123456`, microseconds.
fn fraction(text: &[u8]) -> (i64, &[u8]) {
    let Some([b'.' | b',', rest @ ..]) = Some(text) else {
        return (0, text);
    };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut micros = 0;
    for place in 0..6 {
        let digit = rest[..length]
            .get(place)
            .map_or(0, |byte| i64::from(byte - b'0'));
        micros = micros * 10 + digit;
    }
    (micros, &rest[length..])
}

/// `+02:00`, `+0200`: seconds east of Greenwich.
fn zone_s(text: &[u8]) -> i64 {
    let text = skip_spaces(text);
    let sign = match text.first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return 0,
    };
    let number = |at: &[u8]| digits(at).map_or(0, |(value, _)| i64::try_from(value).unwrap_or(0));
    let hours = text.get(1..3).map_or(0, number);
    let rest = text.get(3..).unwrap_or_default();
    let minutes = rest.strip_prefix(b":").unwrap_or(rest);
    let minutes = minutes.get(..2).map_or(0, number);
    sign * (hours * 3600 + minutes * 60)
}

/// Days since 1970, in the Gregorian calendar: years begin in March.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<i64> {
        clock_us(text.as_bytes())
    }

    #[test]
    fn dates_of_all_formats_are_clocks() {
        let utc = Some(1_628_935_201_123_456);
        assert_eq!(at("2021-08-14T10:00:01.123456Z"), utc);
        assert_eq!(at("2021-08-14T12:00:01.123456+02:00"), utc);
        assert_eq!(at("2021-08-14 06:00:01.123456-0400"), utc);
        assert_eq!(at("1628935201.123456"), utc);
        let whole = Some(1_628_935_201_000_000);
        assert_eq!(at("Sat Aug 14 10:00:01 2021"), whole);
        assert_eq!(at("2021 Aug 14 10:00:01"), whole);
        assert_eq!(at("Sat 2021-08-14 10:00:01 UTC"), whole);
        let first = at("Aug 14 10:00:01").expect("a date");
        assert_eq!(at("08-14 10:00:01.000"), Some(first));
        assert_eq!(at("Aug14 10:00"), Some(first - 1_000_000));
        for text in ["", "x", "Aug", "2021-13-01T00:00:00", "Aug 14 25:00:00"] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn a_year_without_number_may_end() {
        let (old, new) = (at("Dec 31 23:59:59"), at("Jan  1 00:00:01"));
        let (old, new) = old.zip(new).expect("dates");
        assert_eq!(between(old, new), 2_000_000);
        assert_eq!(between(new, new + 5), 5);
    }
}
