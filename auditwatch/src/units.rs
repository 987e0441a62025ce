//! Numbers for eyes: thousands, durations, sizes, moments.

#![forbid(unsafe_code)]

pub mod utc;

/// A count with its thousands apart: `1,204`.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A word in the number that goes with a count.
#[must_use]
pub fn plural(value: u64, word: &str) -> String {
    let ending = if value == 1 { "" } else { "s" };
    format!("{word}{ending}")
}

/// A count and its word: `1 record`, `1,204 records`.
#[must_use]
pub fn counted(value: u64, word: &str) -> String {
    format!("{} {}", count(value), plural(value, word))
}

/// A verb for that many: `1 task waits`, `2 tasks wait`.
#[must_use]
pub fn verb(value: u64, of_many: &str) -> String {
    let ending = if value == 1 { "s" } else { "" };
    format!("{of_many}{ending}")
}

/// `was` or `were`.
#[must_use]
pub const fn was(value: u64) -> &'static str {
    if value == 1 { "was" } else { "were" }
}

/// A part of all, rounded to a tenth of a per cent: `2.4 %`. Of nothing it is 0.0 %.
#[must_use]
pub fn percent(part: u64, all: u64) -> String {
    let all = u128::from(all.max(1));
    let per_mille = (u128::from(part) * 1000 + all / 2) / all;
    format!("{}.{} %", per_mille / 10, per_mille % 10)
}

/// A count, or a dash where it was not measured.
#[must_use]
pub fn maybe(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), count)
}

/// A count in so many columns: whole if it fits, else without its commas, else rounded down: `1,204`, `18.4M`.
/// Five columns are enough for any.
#[must_use]
pub fn count_within(value: u64, columns: usize) -> String {
    let whole = [count(value), value.to_string()];
    if let Some(text) = whole.into_iter().find(|text| text.len() <= columns) {
        return text;
    }
    let mut unit = 1;
    for name in ["", "k", "M", "G", "T", "P"] {
        if value / unit < 1000 {
            return tenths(value, unit, name);
        }
        unit *= 1000;
    }
    tenths(value, unit, "E")
}

/// `18.4M` below a hundred, `184M` from there on.
fn tenths(value: u64, unit: u64, name: &str) -> String {
    let whole = value / unit;
    if whole < 100 && unit > 1 {
        format!("{whole}.{}{name}", value % unit / (unit / 10))
    } else {
        format!("{whole}{name}")
    }
}

/// A duration in so many columns: in words if they fit, else short: `4 min 05 s`, `4m05s`. Seven columns are enough
/// for any.
#[must_use]
pub fn duration_within(ns: u64, columns: usize) -> String {
    let words = duration(ns);
    if words.len() <= columns {
        return words;
    }
    let seconds = ns / 1_000_000_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (minutes, hours, days) {
        (0..2, ..) => words.replace(' ', ""),
        (_, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (_, 1..100, _) => format!("{hours}h{:02}m", minutes % 60),
        (_, _, 0..1000) => format!("{days}d{:02}h", hours % 24),
        _ => format!("{days}d"),
    }
}

/// A duration in its natural unit: `850 ns`, `12.5 ms`, `3.2 s`, `4 min 05 s`, `2 h 05 min`, `3 d 04 h`.
#[must_use]
pub fn duration(ns: u64) -> String {
    let (micro, milli, second) = (1_000, 1_000_000, 1_000_000_000);
    let tenths = |unit: u64, name: &str| {
        let value = ns / (unit / 10);
        if value >= 1000 || value.is_multiple_of(10) {
            format!("{} {name}", value / 10)
        } else {
            format!("{}.{} {name}", value / 10, value % 10)
        }
    };
    if ns < micro {
        format!("{ns} ns")
    } else if ns < milli {
        tenths(micro, "us")
    } else if ns < second {
        tenths(milli, "ms")
    } else if ns < 120 * second {
        tenths(second, "s")
    } else {
        let seconds = ns / second;
        let (minutes, hours) = (seconds / 60, seconds / 3600);
        match hours {
            0..2 => format!("{minutes} min {:02} s", seconds % 60),
            2..48 => format!("{hours} h {:02} min", minutes % 60),
            _ => format!("{} d {:02} h", hours / 24, hours % 24),
        }
    }
}

/// A size in binary units: `2,304 B`, `722 KiB`, `18.0 MiB`.
#[must_use]
pub fn bytes(value: u64) -> String {
    if value < 10 * 1024 {
        return format!("{} B", count(value));
    }
    for (unit, name) in [(1_u64 << 10, "KiB"), (1 << 20, "MiB"), (1 << 30, "GiB")] {
        if value < unit * 10 {
            return format!("{}.{} {name}", value / unit, value % unit * 10 / unit);
        }
        if value < unit * 1024 {
            return format!("{} {name}", value / unit);
        }
    }
    format!("{} GiB", count(value >> 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_thousands_apart() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1204), "1,204");
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(maybe(None), "-");
    }

    #[test]
    fn one_has_a_grammar_of_its_own() {
        assert_eq!(counted(1, "record"), "1 record");
        assert_eq!(counted(0, "record"), "0 records");
        assert_eq!(counted(1204, "record"), "1,204 records");
        assert_eq!(
            (verb(1, "wait"), verb(2, "wait")),
            ("waits".into(), "wait".into())
        );
        assert_eq!((was(1), was(0)), ("was", "were"));
    }

    #[test]
    fn durations_pick_their_unit() {
        assert_eq!(duration(0), "0 ns");
        assert_eq!(duration(999), "999 ns");
        assert_eq!(duration(12_500_000), "12.5 ms");
        assert_eq!(duration(3_000_000_000), "3 s");
        assert_eq!(duration(3_240_000_000), "3.2 s");
        assert_eq!(duration(245_000_000_000), "4 min 05 s");
        assert_eq!(duration(7_199_000_000_000), "119 min 59 s");
        assert_eq!(duration(7_500_000_000_000), "2 h 05 min");
        assert_eq!(duration(273_600_000_000_000), "3 d 04 h");
    }

    #[test]
    fn numbers_fit_the_columns_that_they_get() {
        for (value, columns, text) in [
            (1_204, 5, "1,204"),
            (12_040, 5, "12040"),
            (120_400, 5, "120k"),
            (1_234_567, 9, "1,234,567"),
            (1_234_567, 7, "1234567"),
            (1_234_567, 6, "1.2M"),
            (u64::MAX, 5, "18.4E"),
            (999_999, 5, "999k"),
        ] {
            assert_eq!(count_within(value, columns), text);
        }
        let second = 1_000_000_000;
        for (ns, columns, text) in [
            (240 * second, 10, "4 min 00 s"),
            (240 * second, 9, "4m00s"),
            (875_000_000, 5, "875ms"),
            (119 * second, 4, "119s"),
            (3_599 * second, 7, "59m59s"),
            (7_200 * second, 7, "2h00m"),
            (400_000 * second, 7, "4d15h"),
            (u64::MAX, 7, "213503d"),
        ] {
            assert_eq!(duration_within(ns, columns), text);
        }
        for shift in 0..64 {
            assert!(count_within(u64::MAX >> shift, 5).len() <= 5);
            assert!(duration_within(u64::MAX >> shift, 7).len() <= 7);
        }
    }

    #[test]
    fn sizes_pick_their_unit() {
        assert_eq!(bytes(2304), "2,304 B");
        assert_eq!(bytes(739_584), "722 KiB");
        assert_eq!(bytes(18_874_368), "18 MiB");
        assert_eq!(bytes(3 << 20), "3.0 MiB");
        assert_eq!(bytes(5_000 << 30), "5,000 GiB");
    }
}
