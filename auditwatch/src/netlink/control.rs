//! The audit netlink client that sets: settings, rules, USER messages, the place of
//! auditd.
//!
//! In: what is to be. Out: whether the kernel did it. Only commands that say so use
//! it, never `trace`; and none of it while the queue is over its limit (see
//! `netlink`), but to raise that limit.

use crate::netlink::{
    rule::SyscallRule,
    socket::{AuditSocket, NetlinkError},
};

/// `AUDIT_SET`, `AUDIT_ADD_RULE`, `AUDIT_DEL_RULE` (uapi).
const AUDIT_SET: u16 = 1001;
const AUDIT_ADD_RULE: u16 = 1011;
const AUDIT_DEL_RULE: u16 = 1012;
/// `AUDIT_TRUSTED_APP` (uapi): a USER message that means nothing to anybody else.
const AUDIT_TRUSTED_APP: u16 = 1121;
/// `AUDIT_USER_AVC` (uapi): the one USER message that becomes a record while auditing is off.
const AUDIT_USER_AVC: u16 = 1107;
/// Words of `struct audit_status` (uapi) up to `backlog_wait_time`.
const STATUS_WORDS: usize = 10;

/// One of the kernel's audit settings, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// 0 off, 1 on.
    Enabled(u32),
    /// The process that takes the records; 0 for none.
    Consumer(u32),
    /// Records a second that pass; 0 for all.
    RateLimit(u32),
    /// Records; 0 for no limit.
    BacklogLimit(u32),
    /// Jiffies.
    BacklogWaitTime(u32),
    /// What a loss does: 0 nothing, 1 printk.
    Failure(u32),
}

impl Setting {
    /// The payload of `AUDIT_SET`: the mask that names the field, and the field.
    fn encode(self) -> Vec<u8> {
        // The bit of the mask, the word of the structure, the value.
        let (mask, word, value) = match self {
            Self::Enabled(value) => (0x01, 1, value),
            Self::Failure(value) => (0x02, 2, value),
            Self::Consumer(value) => (0x04, 3, value),
            Self::RateLimit(value) => (0x08, 4, value),
            Self::BacklogLimit(value) => (0x10, 5, value),
            Self::BacklogWaitTime(value) => (0x20, 9, value),
        };
        let mut words = [0_u32; STATUS_WORDS];
        for (index, place) in words.iter_mut().enumerate() {
            if index == 0 {
                *place = mask;
            } else if index == word {
                *place = value;
            }
        }
        words.into_iter().flat_map(u32::to_ne_bytes).collect()
    }
}

/// Changes a setting.
///
/// # Errors
/// When the kernel refuses: EPERM where the settings are locked (`-e 2`), EEXIST
/// where another auditd is alive.
pub fn set(socket: &mut AuditSocket, setting: Setting) -> Result<(), NetlinkError> {
    socket.order(AUDIT_SET, &setting.encode())
}

/// Changes a setting without waiting for the answer: whoever registers as the
/// consumer finds records on the socket before it.
///
/// # Errors
/// When the message cannot be sent.
pub fn post(socket: &mut AuditSocket, setting: Setting) -> Result<(), NetlinkError> {
    socket.post(AUDIT_SET, &setting.encode(), true)
}

/// Adds a rule.
///
/// # Errors
/// When the kernel refuses it: EEXIST where it is there already.
pub fn add_rule(socket: &mut AuditSocket, rule: &SyscallRule) -> Result<(), NetlinkError> {
    socket.order(AUDIT_ADD_RULE, &rule.encode())
}

/// Takes a rule away.
///
/// # Errors
/// When the kernel refuses it: ENOENT where it is not there.
pub fn remove_rule(socket: &mut AuditSocket, rule: &SyscallRule) -> Result<(), NetlinkError> {
    socket.order(AUDIT_DEL_RULE, &rule.encode())
}

/// Sends a USER message: one record.
///
/// # Errors
/// When the message cannot be sent.
pub fn user_message(socket: &mut AuditSocket, text: &[u8]) -> Result<(), NetlinkError> {
    socket.post(AUDIT_TRUSTED_APP, text, false)
}

/// The same by the type that becomes a record even while auditing is off.
///
/// # Errors
/// When the message cannot be sent.
pub fn user_message_while_off(socket: &mut AuditSocket, text: &[u8]) -> Result<(), NetlinkError> {
    socket.post(AUDIT_USER_AVC, text, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_names_its_field_alone() {
        let words = |setting: Setting| -> Vec<u32> {
            setting
                .encode()
                .chunks(4)
                .map(|word| u32::from_ne_bytes(word.try_into().expect("four bytes")))
                .collect()
        };
        assert_eq!(words(Setting::Enabled(1)), [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            words(Setting::BacklogLimit(320)),
            [16, 0, 0, 0, 0, 320, 0, 0, 0, 0]
        );
        assert_eq!(
            words(Setting::BacklogWaitTime(7)),
            [32, 0, 0, 0, 0, 0, 0, 0, 0, 7]
        );
        assert_eq!(words(Setting::Consumer(9))[3], 9);
    }
}
