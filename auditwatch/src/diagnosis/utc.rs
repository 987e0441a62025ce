//! A date for eyes. In: microseconds since 1970. Out: `2021-08-14T10:00:01.123456Z`.

/// The date.
#[must_use]
pub fn text(us: u64) -> String {
    let (seconds, fraction) = (us / 1_000_000, us % 1_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{fraction:06}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// A day: `2021-08-14`; `08-14` of a log without years, which counts as of the year 2000.
#[must_use]
pub fn day(us: i64) -> String {
    let days = u64::try_from(us.div_euclid(86_400_000_000)).unwrap_or(0);
    let (year, month, day) = civil(days);
    if year == 2000 {
        format!("{month:02}-{day:02}")
    } else {
        format!("{year:04}-{month:02}-{day:02}")
    }
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar: years begin in March, so
/// that the leap day is the last one.
const fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let days = days + 719_468;
    let era = days / DAYS_OF_400_YEARS;
    let day = days % DAYS_OF_400_YEARS;
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = year + era * 400;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(1_628_935_201_123_456), "2021-08-14T10:00:01.123456Z");
        assert_eq!(day(1_628_935_201_123_456), "2021-08-14");
        assert_eq!(day(951_782_400_000_000), "02-29");
        assert_eq!(text(951_782_400_000_000), "2000-02-29T00:00:00.000000Z");
        assert_eq!(
            text(u64::MAX).len(),
            "584554-05-15T20:59:57.709551615Z".len() - 3
        );
    }
}
