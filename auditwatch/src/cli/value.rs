//! Values of options: times, sizes, shares and numbers, each with an error that names the
//! expected form.
//!
//! In: a word of the command line. Out: the value, or a sentence that clap puts behind the option's
//! name. Nothing is guessed: an ambiguous value is refused with both readings.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use clap::{
    Arg, Command,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};
use jiff::SignedDuration;

use crate::storm::library;

/// Longest time that an option takes.
const LONGEST: Duration = Duration::from_hours(8760);
/// Shorter intervals would make the samples a load of their own.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Parses a time: `500ms`, `30s`, `5min`, `1h 30m`; a bare number is seconds.
///
/// # Errors
/// When the text is not such a time, it is 0, or longer than a year.
pub fn time(text: &str) -> Result<Duration, String> {
    let time = time_or_zero(text)?;
    if time.is_zero() {
        return Err("expected a time greater than 0".to_owned());
    }
    Ok(time)
}

/// The same, with 0.
///
/// # Errors
/// As [`time`].
pub fn time_or_zero(text: &str) -> Result<Duration, String> {
    let is_bare = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let parsed = if is_bare {
        format!("{text}s").parse::<SignedDuration>()
    } else {
        text.parse::<SignedDuration>()
    };
    parsed
        .ok()
        .and_then(|time| Duration::try_from(time).ok())
        .filter(|time| *time <= LONGEST)
        .ok_or_else(|| {
            "expected a time such as 500ms, 30s, 5min or 2h, at most 8760h (a year)".to_owned()
        })
}

/// Parses the time between samples.
///
/// # Errors
/// When the text is not a time, or too short a one.
pub fn interval(text: &str) -> Result<Duration, String> {
    let interval = time(text)?;
    if interval < SHORTEST_INTERVAL {
        return Err(format!(
            "expected at least {}ms",
            SHORTEST_INTERVAL.as_millis()
        ));
    }
    Ok(interval)
}

/// Parses a time in whole seconds, 0 included: `60s`, `1min`, `60`.
///
/// # Errors
/// When the text is not a time, or not of whole seconds.
pub fn whole_seconds(text: &str) -> Result<u32, String> {
    let time = time_or_zero(text)?;
    match u32::try_from(time.as_secs()) {
        Ok(seconds) if time.subsec_nanos() == 0 => Ok(seconds),
        _ => Err("expected whole seconds, such as 60s".to_owned()),
    }
}

/// Parses a time in whole milliseconds, 0 included, at most an hour.
///
/// # Errors
/// When the text is not such a time.
pub fn milliseconds(text: &str) -> Result<u64, String> {
    let time = time_or_zero(text)?;
    match u64::try_from(time.as_millis()) {
        Ok(ms) if time.subsec_nanos().is_multiple_of(1_000_000) && ms <= 3_600_000 => Ok(ms),
        _ => Err("expected whole milliseconds, at most 1h".to_owned()),
    }
}

/// Parses `20%` as a share. Without the sign `0.2` could be a fifth or a fifth of a percent.
///
/// # Errors
/// When the sign is missing, or the share is not between 0 % and 1000 %.
pub fn percent(text: &str) -> Result<f64, String> {
    let expected = || "expected a share from 0% to 1000%, with its sign, such as 20%".to_owned();
    let Some(number) = text.strip_suffix('%') else {
        return Err(match text.parse::<f64>() {
            Ok(number) if (0.0..1.0).contains(&number) && number > 0.0 => format!(
                "expected a share with its sign: {}% or {text}%",
                number * 100.0
            ),
            Ok(number) if (0.0..=1000.0).contains(&number) => {
                format!("expected a share with its sign: {text}%")
            }
            _ => expected(),
        });
    };
    match number.trim().parse::<f64>() {
        Ok(percent) if (0.0..=1000.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(expected()),
    }
}

/// Parses a size with its unit: `64MiB` or `64M` binary, `64MB` decimal.
///
/// # Errors
/// When the text is not such a size, has no unit, or is 0.
pub fn size(text: &str) -> Result<u64, String> {
    let expected = || "expected a size with its unit, such as 64MiB, 64MB or 512KiB".to_owned();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| expected())?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" => {
            return Err(format!(
                "expected a size with its unit: {text}MiB, {text}KiB or {text}B"
            ));
        }
        "b" => 1,
        "k" | "kib" => 1 << 10,
        "kb" => 1_000,
        "m" | "mib" => 1 << 20,
        "mb" => 1_000_000,
        "g" | "gib" => 1 << 30,
        "gb" => 1_000_000_000,
        _ => return Err(expected()),
    };
    number
        .checked_mul(factor)
        .filter(|&bytes| bytes > 0)
        .ok_or_else(expected)
}

/// A parser of whole numbers that knows their unit, in words: `a number of records`.
pub fn number<T>(
    what: &'static str,
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text: &str| {
        text.parse()
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                format!(
                    "expected {what} from {} to {}, in digits alone",
                    range.start(),
                    range.end()
                )
            })
    }
}

/// A parser of storms: any text, since it may be a file; shells offer the library's names.
#[derive(Clone, Copy, Debug)]
pub struct StormParser;

impl TypedValueParser for StormParser {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(
            library::all()
                .iter()
                .map(|(name, _)| PossibleValue::new(*name)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, ms) in [
            ("30s", 30_000),
            ("30sec", 30_000),
            ("30 s", 30_000),
            ("1.5", 1_500),
            ("1.5s", 1_500),
            ("500ms", 500),
            ("2m", 120_000),
            ("5min", 300_000),
            ("1h 30m", 5_400_000),
            ("8760h", 31_536_000_000),
        ] {
            assert_eq!(time(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn time_that_cannot_be_read_is_answered_with_examples() {
        for text in [
            "",
            ".",
            "s",
            "-1s",
            "1s ago",
            "1..2s",
            "9e9",
            "1d",
            "8761h",
            "99999999999999999h",
            "99999999999999999999999",
        ] {
            let error = time(text).expect_err(text);
            assert!(error.contains("such as 500ms, 30s"), "{text}: {error}");
        }
        for text in ["0", "0s"] {
            assert!(time(text).is_err(), "{text}");
            assert_eq!(time_or_zero(text), Ok(Duration::ZERO), "{text}");
        }
    }

    #[test]
    fn kernel_times_are_whole() {
        assert_eq!(whole_seconds("60"), Ok(60));
        assert_eq!(whole_seconds("60s"), Ok(60));
        assert_eq!(whole_seconds("1min"), Ok(60));
        assert_eq!(whole_seconds("0"), Ok(0));
        assert!(whole_seconds("1.5s").is_err_and(|error| error.contains("whole seconds")));
        assert_eq!(milliseconds("1.5s"), Ok(1500));
        assert!(milliseconds("2h").is_err());
        assert!(interval("9ms").is_err_and(|error| error.contains("10ms")));
    }

    #[test]
    fn share_without_its_sign_is_refused_with_both_readings() {
        assert_eq!(percent("20%"), Ok(0.2));
        assert_eq!(percent("0%"), Ok(0.0));
        assert_eq!(percent("0.2%"), Ok(0.002));
        assert!(percent("0.2").is_err_and(|error| error.contains("20% or 0.2%")));
        assert!(percent("20").is_err_and(|error| error.ends_with("20%")));
        for text in ["", "%", "a%", "-1%", "1001%", "NaN%"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn size_without_its_unit_is_refused() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("64M", 64 << 20),
            ("64MB", 64_000_000),
            ("64 kb", 64_000),
            ("1GiB", 1 << 30),
            ("1b", 1),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert!(size("64").is_err_and(|error| error.contains("64MiB")));
        for text in ["", "MiB", "0MiB", "64XB", "1.5MiB", "18446744073709551615K"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn number_says_what_it_counts() {
        let records = number::<u32>("a number of records", 1..=u32::MAX);
        assert_eq!(records("8192"), Ok(8192));
        for text in ["8k", "0", "", "4294967296"] {
            assert_eq!(
                records(text),
                Err(
                    "expected a number of records from 1 to 4294967295, in digits alone".to_owned()
                ),
                "{text}"
            );
        }
    }
}
