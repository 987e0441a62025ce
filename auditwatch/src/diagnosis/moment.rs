//! When a line was said, without owning it. In: what stands before a message. Out: a [`When`] to be kept.

use super::{report::When, scan::readable};

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
}

impl Moment<'_> {
    /// Keeps it.
    #[must_use]
    pub fn when(&self) -> When {
        When {
            line: self.line,
            kernel_ns: self.kernel_us.map(|us| us.saturating_mul(1000)),
            wall: self.wall.map(|wall| readable(wall, 40)),
        }
    }
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
