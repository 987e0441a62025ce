//! When a line was said, without owning it. In: what stands before a message. Out: a [`When`] to be kept.

use super::{report::When, scan::readable, wall};

/// Records that the kernel had queued before auditd started may be printed this long after, microseconds.
const AUDITD_SETTLES_US: u64 = 5_000_000;

/// When, without owning it.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The line.
    pub line: u64,
    /// The kernel's clock, microseconds.
    pub kernel_us: Option<u64>,
    /// Date and time as the log has them.
    pub wall: Option<&'a [u8]>,
    /// The same as a clock, microseconds.
    pub wall_us: Option<i64>,
    /// How often it was said: `message repeated N times`.
    pub times: u64,
}

impl<'a> Moment<'a> {
    /// A moment at which something was said once.
    #[must_use]
    pub fn new(line: u64, kernel_us: Option<u64>, wall: Option<&'a [u8]>) -> Self {
        Self {
            line,
            kernel_us,
            wall,
            wall_us: wall.and_then(wall::clock_us),
            times: 1,
        }
    }

    /// Seconds from something until this, by the kernel's clock or else by the date.
    #[must_use]
    pub fn seconds_since(&self, then: &When) -> Option<u64> {
        let kernel_ns = self.kernel_us.map(|us| us.saturating_mul(1000));
        seconds(then, kernel_ns, self.wall_us)
    }

    /// Keeps it.
    #[must_use]
    pub fn when(&self) -> When {
        When {
            line: self.line,
            kernel_ns: self.kernel_us.map(|us| us.saturating_mul(1000)),
            wall: self.wall.map(|wall| readable(wall, 40)),
            wall_us: self.wall_us,
        }
    }
}

/// Seconds between two moments of a boot, by the kernel's clock or else by the date; none if the clock goes back.
#[must_use]
pub fn seconds_between(then: &When, now: &When) -> Option<u64> {
    seconds(then, now.kernel_ns, now.wall_us)
}

fn seconds(then: &When, kernel_ns: Option<u64>, wall_us: Option<i64>) -> Option<u64> {
    if let (Some(then), Some(now)) = (then.kernel_ns, kernel_ns) {
        return Some(now.saturating_sub(then) / 1_000_000_000);
    }
    let apart = wall::between(then.wall_us?, wall_us?);
    u64::try_from(apart).ok().map(|us| us / 1_000_000)
}

/// Whether something comes so long after auditd's start that the start does not explain it.
#[must_use]
pub fn is_after(start: &When, at: &Moment<'_>) -> bool {
    match (start.kernel_ns, at.kernel_us) {
        (Some(start), Some(now)) => now > start / 1000 + AUDITD_SETTLES_US,
        _ => match (&start.wall, at.wall) {
            (Some(start), Some(now)) => start.as_raw().as_bytes() != now,
            _ => false,
        },
    }
}
