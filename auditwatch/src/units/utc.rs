//! Moments in UTC, for eyes. In: a time since 1970. Out: text.
//!
//! What lies beyond the calendar (a damaged log has such times) is told as the calendar's last moment, in 9999.

use jiff::Timestamp;

/// To the microsecond: `2021-08-14T10:00:01.123456Z`.
#[must_use]
pub fn microsecond(us: u64) -> String {
    told(us, "%Y-%m-%dT%H:%M:%S.%6fZ")
}

/// To the second, of a time in milliseconds: `2026-11-25 22:14:07 UTC`.
#[must_use]
pub fn second(ms: u64) -> String {
    told(ms.saturating_mul(1000), "%Y-%m-%d %H:%M:%S UTC")
}

/// A day: `2021-08-14`; `08-14` of a log without years, which counts as of the year 2000.
#[must_use]
pub fn day(us: i64) -> String {
    let us = u64::try_from(us).unwrap_or(0);
    let day = told(us, "%Y-%m-%d");
    day.strip_prefix("2000-").unwrap_or(&day).to_owned()
}

fn told(us: u64, format: &str) -> String {
    let moment = i64::try_from(us).map(Timestamp::from_microsecond);
    let moment = moment.ok().and_then(Result::ok).unwrap_or(Timestamp::MAX);
    moment.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        assert_eq!(microsecond(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(
            microsecond(1_628_935_201_123_456),
            "2021-08-14T10:00:01.123456Z"
        );
        assert_eq!(
            microsecond(951_782_400_000_000),
            "2000-02-29T00:00:00.000000Z"
        );
        assert_eq!(day(1_628_935_201_123_456), "2021-08-14");
        assert_eq!(day(951_782_400_000_000), "02-29");
        assert_eq!(day(-1), "1970-01-01");
    }

    #[test]
    fn times_are_shown_as_dates() {
        assert_eq!(second(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(second(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(second(1_772_323_199_999), "2026-02-28 23:59:59 UTC");
        assert_eq!(second(4_102_444_800_000), "2100-01-01 00:00:00 UTC");
    }

    #[test]
    fn a_time_beyond_the_calendar_is_its_last_moment() {
        for us in [i64::MAX.unsigned_abs(), u64::MAX] {
            assert_eq!(microsecond(us), "9999-12-30T22:00:00.999999Z");
        }
        assert_eq!(second(u64::MAX), "9999-12-30 22:00:00 UTC");
        assert_eq!(day(i64::MAX), "9999-12-30");
    }
}
