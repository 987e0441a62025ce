//! Numbers for eyes: thousands, durations, sizes.

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

/// A count, or a dash where it was not measured.
#[must_use]
pub fn maybe(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), count)
}

/// A duration in its natural unit: `850 ns`, `12.5 ms`, `3.2 s`, `4 min 05 s`.
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
        format!("{} min {:02} s", seconds / 60, seconds % 60)
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
    fn durations_pick_their_unit() {
        assert_eq!(duration(0), "0 ns");
        assert_eq!(duration(999), "999 ns");
        assert_eq!(duration(12_500_000), "12.5 ms");
        assert_eq!(duration(3_000_000_000), "3 s");
        assert_eq!(duration(3_240_000_000), "3.2 s");
        assert_eq!(duration(245_000_000_000), "4 min 05 s");
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
