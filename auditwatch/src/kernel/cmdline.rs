//! The kernel's command line, as far as it concerns audit.
//!
//! In: the text of `/proc/cmdline`. Out: what `audit=` and `audit_backlog_limit=`
//! say, read as the kernel reads them. Pure.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A host that makes no records at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "auditing is off until reboot: the kernel was booted with audit=0; remove that from its command line and reboot"
)]
pub struct BootedWithoutAudit;

/// Audit's boot options; the last one of a name wins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditBoot {
    /// `audit=1` or `audit=on`: held records are kept. `audit_enable`, kernel/audit.c.
    pub on: bool,
    /// `audit=0` or `audit=off`: auditing is off until reboot.
    pub off: bool,
    /// `audit_backlog_limit=`, records.
    pub backlog_limit: Option<u32>,
}

impl AuditBoot {
    /// Refuses a host that makes no records; options that are not known speak against none.
    ///
    /// # Errors
    /// When the kernel was booted with `audit=0`.
    pub fn ensure_on(boot: Option<&Self>) -> Result<(), BootedWithoutAudit> {
        if boot.is_some_and(|boot| boot.off) {
            return Err(BootedWithoutAudit);
        }
        Ok(())
    }

    /// Reads the options.
    #[must_use]
    pub fn parse(cmdline: &str) -> Self {
        let mut boot = Self::default();
        for word in cmdline.split_whitespace() {
            if let Some(value) = word.strip_prefix("audit=") {
                // Whatever is neither is taken as on, since 4.15 with a complaint.
                boot.off = matches!(value, "0" | "off");
                boot.on = !boot.off;
            } else if let Some(value) = word.strip_prefix("audit_backlog_limit=") {
                // A value that makes no sense keeps the default (kstrtouint, base 0).
                if let Some(limit) = unsigned(value) {
                    boot.backlog_limit = Some(limit);
                }
            }
        }
        boot
    }
}

/// A number in the kernel's notation: decimal, `0x` hexadecimal or `0` octal.
fn unsigned(text: &str) -> Option<u32> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u32::from_str_radix(digits, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => u32::from_str_radix(digits, 8).ok(),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_option_wins() {
        let boot = AuditBoot::parse("quiet audit=1 audit_backlog_limit=0x2000 audit=off");
        assert!(boot.off && !boot.on);
        assert_eq!(boot.backlog_limit, Some(8192));
        assert!(AuditBoot::parse("audit=on").on);
        assert_eq!(AuditBoot::parse("ro quiet"), AuditBoot::default());
    }

    #[test]
    fn a_limit_that_makes_no_sense_is_passed_over() {
        let boot = AuditBoot::parse("audit_backlog_limit=64 audit_backlog_limit=many");
        assert_eq!(boot.backlog_limit, Some(64));
        assert_eq!(
            AuditBoot::parse("audit_backlog_limit=010").backlog_limit,
            Some(8)
        );
        assert_eq!(
            AuditBoot::parse("audit_backlog_limit=-1").backlog_limit,
            None
        );
    }
}
