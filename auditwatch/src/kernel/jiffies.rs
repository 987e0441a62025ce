//! Ticks of the kernel's clock in nanoseconds. Pure.

/// Ticks of the kernel's clock in ns.
#[must_use]
pub fn jiffies_to_ns(jiffies: impl Into<u64>, hz: u32) -> u64 {
    jiffies.into() * 1_000_000_000 / u64::from(hz.max(1))
}
