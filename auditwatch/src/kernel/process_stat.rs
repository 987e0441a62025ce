//! A process's line in `/proc`. In: the text of `/proc/PID/stat`. Out: the fields that are used here. Pure.

/// What `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    /// `Z` for a zombie, and so on: field 3.
    pub state: char,
    /// The nice value: field 19.
    pub nice: i32,
    /// Start, clock ticks since boot: field 22.
    pub start_ticks: u64,
}

impl ProcessStat {
    /// Reads the line; `None` where it is none. Fields are counted from behind the name, which may hold anything.
    #[must_use]
    pub fn parse(stat: &str) -> Option<Self> {
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        Some(Self {
            state: fields.next()?.chars().next()?,
            nice: fields.nth(15)?.parse().ok()?,
            start_ticks: fields.nth(2)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_parenthesis_does_not_shift_the_fields() {
        assert_eq!(
            ProcessStat::parse("7 (a) b) S 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 -4 1 0 4711 0"),
            Some(ProcessStat {
                state: 'S',
                nice: -4,
                start_ticks: 4711
            })
        );
        assert_eq!(ProcessStat::parse("nonsense"), None);
        assert_eq!(ProcessStat::parse("7 (a) S 1 7 7"), None);
    }
}
