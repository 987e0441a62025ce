//! An audit rule in its wire form: `struct audit_rule_data` (uapi). Pure; sending
//! it is `control`'s.

use serde::{Deserialize, Serialize};

/// `AUDIT_FILTER_EXIT` (uapi): looked at when a system call ends.
const FILTER_EXIT: u32 = 4;
/// `AUDIT_ALWAYS` (uapi).
const ALWAYS: u32 = 2;
/// `AUDIT_EQUAL` (uapi).
const EQUAL: u32 = 0x4000_0000;
/// `AUDIT_BITMASK_SIZE` (uapi), 32-bit words of system call numbers.
const MASK_WORDS: usize = 64;
/// `AUDIT_MAX_FIELDS` (uapi).
const MAX_FIELDS: usize = 64;
/// `AUDIT_PID`, `AUDIT_ARCH`, `AUDIT_PPID`, `AUDIT_FILTERKEY` (uapi).
const FIELD_PID: u32 = 0;
const FIELD_ARCH: u32 = 11;
const FIELD_PPID: u32 = 18;
const FIELD_KEY: u32 = 210;
/// `AUDIT_ARCH_*` (uapi) of this build.
#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xC000_00B7;

/// Whose system calls a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whose {
    /// Those of a process.
    Process(u32),
    /// Those of its children.
    ChildrenOf(u32),
}

/// A rule that has every call of some system calls recorded:
/// `-a always,exit -F arch=... -S ... -F pid=... -k KEY`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyscallRule {
    /// System call numbers of this architecture.
    pub syscalls: Vec<u32>,
    /// Whose.
    pub whose: Whose,
    /// The rule's key.
    pub key: String,
}

impl SyscallRule {
    /// The payload of `AUDIT_ADD_RULE` and `AUDIT_DEL_RULE`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut mask = [0_u32; MASK_WORDS];
        for number in &self.syscalls {
            if let Some(word) = usize::try_from(number / 32)
                .ok()
                .and_then(|word| mask.get_mut(word))
            {
                *word |= 1 << (number % 32);
            }
        }
        let key_bytes = u32::try_from(self.key.len()).unwrap_or(u32::MAX);
        let (whose, process) = match self.whose {
            Whose::Process(id) => (FIELD_PID, id),
            Whose::ChildrenOf(id) => (FIELD_PPID, id),
        };
        let fields = [(FIELD_ARCH, ARCH), (whose, process), (FIELD_KEY, key_bytes)];
        let count = u32::try_from(fields.len()).unwrap_or(u32::MAX);
        let column = |pick: fn(&(u32, u32)) -> u32| {
            let mut words = [0_u32; MAX_FIELDS];
            for (word, field) in words.iter_mut().zip(&fields) {
                *word = pick(field);
            }
            words
        };
        [FILTER_EXIT, ALWAYS, count]
            .into_iter()
            .chain(mask)
            .chain(column(|field| field.0))
            .chain(column(|field| field.1))
            .chain(column(|_| EQUAL))
            .chain([key_bytes])
            .flat_map(u32::to_ne_bytes)
            .chain(self.key.bytes())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_has_the_layout_of_the_kernel() {
        let rule = SyscallRule {
            syscalls: vec![0, 110, 2047],
            whose: Whose::Process(77),
            key: "storm".to_owned(),
        };
        let bytes = rule.encode();
        assert_eq!(bytes.len(), 4 * (3 + 64 + 3 * 64 + 1) + 5);
        let word = |at: usize| {
            let at = at * 4;
            u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
        };
        assert_eq!((word(0), word(1), word(2)), (4, 2, 3));
        assert_eq!((word(3), word(3 + 3), word(3 + 63)), (1, 1 << 14, 1 << 31));
        assert_eq!((word(67), word(68), word(69), word(70)), (11, 0, 210, 0));
        assert_eq!((word(131), word(132), word(133)), (ARCH, 77, 5));
        assert_eq!((word(195), word(197), word(198)), (EQUAL, EQUAL, 0));
        assert_eq!(word(259), 5);
        assert_eq!(&bytes[1040..], b"storm");
    }

    #[test]
    fn a_number_that_no_mask_has_room_for_is_left_out() {
        let rule = SyscallRule {
            syscalls: vec![u32::MAX],
            whose: Whose::ChildrenOf(1),
            key: String::new(),
        };
        assert!(rule.encode()[12..268].iter().all(|&byte| byte == 0));
    }
}
