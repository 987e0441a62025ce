//! Audit rules and their wire form, `struct audit_rule_data`. Pure.

use anyhow::{Result, ensure};

/// The rule list that is consulted at the end of a system call.
pub const FILTER_EXIT: u32 = 4;
/// The rule list that keeps record types out.
pub const FILTER_EXCLUDE: u32 = 5;
/// The rule list that is consulted at the end of an operation of `io_uring`; 5.16 and later.
pub const FILTER_URING: u32 = 7;
const ACTION_ALWAYS: u32 = 2;
const OP_EQUAL: u32 = 0x4000_0000;
/// Rule field: the effective user id.
pub const FIELD_UID: u32 = 1;
/// Rule field: the architecture.
pub const FIELD_ARCH: u32 = 11;
/// Rule field: the record type.
pub const FIELD_MSGTYPE: u32 = 12;
const FIELD_FILTERKEY: u32 = 210;
const MAX_FIELDS: usize = 64;
const BITMASK_WORDS: usize = 64;

/// `AUDIT_ARCH_*` of this build.
#[cfg(target_arch = "x86_64")]
pub const ARCH: u32 = 0xC000_003E;
/// `AUDIT_ARCH_*` of this build.
#[cfg(target_arch = "aarch64")]
pub const ARCH: u32 = 0xC000_00B7;

/// A rule: all fields must be equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The list it goes to.
    pub list: u32,
    /// System call numbers of this architecture.
    pub syscalls: Vec<u32>,
    /// Field and value.
    pub fields: Vec<(u32, u32)>,
    /// The key that talkers are named by.
    pub key: Option<String>,
}

impl Rule {
    /// `-a always,exit -F arch=.. -S .. -k KEY`.
    pub fn exit(syscalls: &[libc::c_long], key: &str) -> Self {
        Self {
            list: FILTER_EXIT,
            syscalls: syscalls
                .iter()
                .filter_map(|&n| u32::try_from(n).ok())
                .collect(),
            fields: vec![(FIELD_ARCH, ARCH)],
            key: Some(key.to_owned()),
        }
    }

    /// The same for one user only, so that the harness itself stays out.
    pub fn for_uid(mut self, uid: u32) -> Self {
        self.fields.push((FIELD_UID, uid));
        self
    }

    /// `-a always,io_uring -S .. -k KEY`.
    pub fn uring(operation: u8, key: &str) -> Self {
        Self {
            list: FILTER_URING,
            syscalls: vec![u32::from(operation)],
            fields: Vec::new(),
            key: Some(key.to_owned()),
        }
    }

    /// `-a always,exclude -F msgtype=..`.
    pub fn exclude(kind: u16) -> Self {
        Self {
            list: FILTER_EXCLUDE,
            syscalls: Vec::new(),
            fields: vec![(FIELD_MSGTYPE, u32::from(kind))],
            key: None,
        }
    }

    /// `struct audit_rule_data`.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut mask = [0u32; BITMASK_WORDS];
        for &nr in &self.syscalls {
            let word = mask.get_mut((nr / 32) as usize);
            ensure!(word.is_some(), "system call {nr} does not fit into a rule");
            if let Some(word) = word {
                *word |= 1 << (nr % 32);
            }
        }
        let mut fields = self.fields.clone();
        let key = self.key.as_deref().unwrap_or_default();
        let key_len = u32::try_from(key.len())?;
        if key_len > 0 {
            fields.push((FIELD_FILTERKEY, key_len));
        }
        ensure!(
            fields.len() <= MAX_FIELDS,
            "{} fields in one rule",
            fields.len()
        );
        let column = |pick: fn(&(u32, u32)) -> u32| {
            let mut column = [0u32; MAX_FIELDS];
            for (slot, field) in column.iter_mut().zip(&fields) {
                *slot = pick(field);
            }
            column
        };
        let mut words = vec![self.list, ACTION_ALWAYS, u32::try_from(fields.len())?];
        words.extend(mask);
        words.extend(column(|f| f.0));
        words.extend(column(|f| f.1));
        words.extend(column(|f| if f.0 == 0 { 0 } else { OP_EQUAL }));
        words.push(key_len);
        let mut out: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        out.extend_from_slice(key.as_bytes());
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
    }

    #[test]
    fn rule_layout() {
        let rule = Rule::exit(&[33], "storm")
            .for_uid(1000)
            .encode()
            .expect("encodes");
        assert_eq!(rule.len(), 12 + 4 * 64 * 4 + 4 + 5);
        assert_eq!(word(&rule, 0), FILTER_EXIT);
        assert_eq!(word(&rule, 4), ACTION_ALWAYS);
        assert_eq!(word(&rule, 8), 3, "arch, uid and key");
        assert_eq!(word(&rule, 12 + 4), 2, "bit 33 is bit 1 of word 1");
        assert_eq!(word(&rule, 12 + 256), FIELD_ARCH);
        assert_eq!(word(&rule, 12 + 512), ARCH);
        assert_eq!(word(&rule, 12 + 512 + 8), 5, "length of the key");
        assert_eq!(word(&rule, 12 + 768), OP_EQUAL);
        assert_eq!(&rule[rule.len() - 5..], b"storm");
        assert!(Rule::exit(&[9999], "x").encode().is_err());
    }
}
