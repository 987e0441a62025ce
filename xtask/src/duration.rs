//! Durations as people write them: `90s`, `5m`, `1h` come in, a `Duration` goes out.

use std::time::Duration;

/// Parses a number of seconds, or one with the unit `s`, `m` or `h`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let (number, factor_s) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) if text.ends_with('m') => (number, 60),
        Some(number) if text.ends_with('h') => (number, 3600),
        Some(number) => (number, 1),
        None => (text, 1),
    };
    let seconds = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor_s));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{text:?} is no duration such as 90s, 5m or 1h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_seconds_minutes_and_hours() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("5m", 300), ("1h", 3600)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "m", "5d", "-1s", "1.5m", "99999999999999999999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
