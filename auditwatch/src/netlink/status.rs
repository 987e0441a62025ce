//! The answers of audit netlink: [`AuditStatus`] and [`AuditFeatures`], read from
//! their payloads. Pure; asking is `netlink`'s.

use bytes::Buf as _;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::kernel::audit_state::KernelState;

/// An answer that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the kernel's audit status is {found} bytes long, shorter than any known")]
pub struct TooShort {
    /// Its length, bytes.
    pub found: usize,
}

/// The kernel's audit status: `struct audit_status` (uapi), which grew from 32
/// bytes to 36 (3.14), 40 (3.16) and 44 (5.9). What a kernel does not send is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditStatus {
    /// 0 off, 1 on, 2 on and locked until reboot.
    pub enabled: u32,
    /// What a loss does: 0 nothing, 1 printk, 2 panic.
    pub failure: u32,
    /// Process id of the registered auditd, 0 for none, as this pid namespace sees it.
    pub pid: u32,
    /// Records a second that pass, 0 for no limit.
    pub rate_limit: u32,
    /// Backlog limit, records; 0 for none.
    pub backlog_limit: u32,
    /// Records lost by the kernel's own count, wraps.
    pub lost: u32,
    /// Length of the main queue, records.
    pub backlog: u32,
    /// Bits of `AUDIT_FEATURE_BITMAP_*` (uapi).
    pub feature_bitmap: Option<u32>,
    /// Backlog wait time, jiffies.
    pub backlog_wait_time_jiffies: Option<u32>,
    /// Time waited by all tasks together, jiffies, wraps.
    pub backlog_wait_time_actual_jiffies: Option<u32>,
}

impl AuditStatus {
    /// The kernel's variables that it holds.
    #[must_use]
    pub fn state(&self) -> KernelState {
        KernelState {
            depth: Some(self.backlog),
            limit: Some(self.backlog_limit),
            wait_time_jiffies: self.backlog_wait_time_jiffies,
            waited_jiffies: self.backlog_wait_time_actual_jiffies,
            lost: Some(self.lost),
            rate_limit: Some(self.rate_limit),
            failure: Some(self.failure),
            enabled: Some(self.enabled),
            auditd_pid: Some(self.pid),
            ..KernelState::default()
        }
    }

    /// Reads the payload of an answer, which may be longer than what is known here.
    ///
    /// # Errors
    /// When it is shorter than the oldest form.
    pub fn parse(mut payload: &[u8]) -> Result<Self, TooShort> {
        const OLDEST_BYTES: usize = 32;
        if payload.len() < OLDEST_BYTES {
            return Err(TooShort {
                found: payload.len(),
            });
        }
        let _mask = payload.get_u32_ne();
        Ok(Self {
            enabled: payload.get_u32_ne(),
            failure: payload.get_u32_ne(),
            pid: payload.get_u32_ne(),
            rate_limit: payload.get_u32_ne(),
            backlog_limit: payload.get_u32_ne(),
            lost: payload.get_u32_ne(),
            backlog: payload.get_u32_ne(),
            feature_bitmap: payload.try_get_u32_ne().ok(),
            backlog_wait_time_jiffies: payload.try_get_u32_ne().ok(),
            backlog_wait_time_actual_jiffies: payload.try_get_u32_ne().ok(),
        })
    }
}

/// Audit features that can be switched: `struct audit_features` (uapi).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFeatures {
    /// A login user id can only be set where there is none.
    pub only_unset_loginuid: bool,
    /// A login user id cannot be changed.
    pub loginuid_immutable: bool,
    /// `loginuid_immutable` cannot be switched any more.
    pub loginuid_immutable_locked: bool,
}

impl AuditFeatures {
    /// Reads the payload of an answer; `None` when it is too short.
    #[must_use]
    pub fn parse(mut payload: &[u8]) -> Option<Self> {
        let _version = payload.try_get_u32_ne().ok()?;
        let _mask = payload.try_get_u32_ne().ok()?;
        let features = payload.try_get_u32_ne().ok()?;
        let lock = payload.try_get_u32_ne().ok()?;
        Some(Self {
            only_unset_loginuid: features & 1 != 0,
            loginuid_immutable: features & 2 != 0,
            loginuid_immutable_locked: lock & 2 != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{AuditFeatures, AuditStatus, TooShort};

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn a_status_of_each_age_is_read() {
        let all = words(&[0, 1, 2, 77, 100, 8192, 5, 9, 0x7f, 15_000, 42]);
        let newest = AuditStatus::parse(&all).expect("44 bytes are a status");
        assert_eq!(
            newest,
            AuditStatus {
                enabled: 1,
                failure: 2,
                pid: 77,
                rate_limit: 100,
                backlog_limit: 8192,
                lost: 5,
                backlog: 9,
                feature_bitmap: Some(0x7f),
                backlog_wait_time_jiffies: Some(15_000),
                backlog_wait_time_actual_jiffies: Some(42),
            }
        );
        let older = AuditStatus::parse(&all[..40]).expect("40 bytes are a status");
        assert_eq!(older.backlog_wait_time_actual_jiffies, None);
        assert_eq!(older.backlog_wait_time_jiffies, Some(15_000));
        let oldest = AuditStatus::parse(&all[..32]).expect("32 bytes are a status");
        assert_eq!(oldest.feature_bitmap, None);
        assert_eq!(oldest.backlog, 9);
        assert!(matches!(
            AuditStatus::parse(&all[..28]),
            Err(TooShort { found: 28 })
        ));
        let longer = [all.as_slice(), &[7; 16]].concat();
        assert_eq!(
            AuditStatus::parse(&longer).expect("a longer one too"),
            newest
        );
    }

    #[test]
    fn features_are_bits() {
        let features = AuditFeatures::parse(&words(&[1, 0, 2, 2])).expect("16 bytes");
        assert!(features.loginuid_immutable && features.loginuid_immutable_locked);
        assert!(!features.only_unset_loginuid);
        assert_eq!(AuditFeatures::parse(&words(&[1, 0, 2])), None);
    }
}
