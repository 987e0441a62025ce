//! Audit rules as the kernel holds them, and whether they keep a type of record out for certain.
//!
//! In: fields of rules, from the kernel's memory or its own answer. Out: [`FilterRule`]s, and a judgement on a whole
//! list. Pure; it must not take a rule for certain that might not match.

/// `AUDIT_FILTER_TASK`, `AUDIT_FILTER_EXIT` and `AUDIT_FILTER_EXCLUDE` (uapi): lists of rules by number.
pub const TASK: u32 = 1;
/// Rules that are looked at when a system call ends.
pub const EXIT: u32 = 4;
/// Rules that keep records out.
pub const EXCLUDE: u32 = 5;
/// `AUDIT_NEVER` (uapi).
const NEVER: u32 = 0;
/// `AUDIT_MSGTYPE` (uapi).
const MSGTYPE: u32 = 12;
/// `AUDIT_PID`, `AUDIT_UID`, `AUDIT_GID`, `AUDIT_LOGINUID`, `AUDIT_MSGTYPE`, `AUDIT_LOGINUID_SET` and `AUDIT_EXE`
/// (uapi): what the kernel always can compare on the exclude list.
const CERTAIN: [u32; 7] = [0, 1, 5, 9, MSGTYPE, 24, 112];
/// `AUDIT_BPF` (uapi): a BPF program was loaded or taken out.
pub const BPF_RECORD: u32 = 1334;
/// Words of a rule's system calls (`AUDIT_BITMASK_SIZE`, uapi).
pub const MASK_WORDS: usize = 64;
/// Most fields of a rule (`AUDIT_MAX_FIELDS`, uapi).
pub const MAX_FIELDS: usize = 64;

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// =
    Equal,
    /// !=
    NotEqual,
    /// <
    Less,
    /// >
    Greater,
    /// <=
    LessOrEqual,
    /// >=
    GreaterOrEqual,
    /// Any other, which is taken for one that does not match.
    Other,
}

impl Op {
    /// By the kernel's own number: `enum { Audit_equal, .. }` (include/linux/audit.h, 5.10 to 7.2).
    #[must_use]
    pub const fn of_kernel(number: u32) -> Self {
        match number {
            0 => Self::Equal,
            1 => Self::NotEqual,
            4 => Self::Less,
            5 => Self::Greater,
            6 => Self::LessOrEqual,
            7 => Self::GreaterOrEqual,
            _ => Self::Other,
        }
    }

    /// By the bits of `struct audit_rule_data` (`AUDIT_EQUAL` and its like, uapi).
    #[must_use]
    pub const fn of_wire(bits: u32) -> Self {
        match bits {
            0x4000_0000 => Self::Equal,
            0x3000_0000 => Self::NotEqual,
            0x1000_0000 => Self::Less,
            0x2000_0000 => Self::Greater,
            0x5000_0000 => Self::LessOrEqual,
            0x6000_0000 => Self::GreaterOrEqual,
            _ => Self::Other,
        }
    }

    const fn holds(self, left: u32, right: u32) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::Greater => left > right,
            Self::LessOrEqual => left <= right,
            Self::GreaterOrEqual => left >= right,
            Self::Other => false,
        }
    }
}

/// One comparison of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// What is compared (`AUDIT_MSGTYPE` and its like, uapi).
    pub kind: u32,
    /// How.
    pub op: Op,
    /// With what.
    pub value: u32,
}

/// A rule in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterRule {
    /// The list that it is on.
    pub list: u32,
    /// `AUDIT_NEVER` 0, `AUDIT_ALWAYS` 2 (uapi).
    pub action: u32,
    /// Its system calls, a bit each.
    pub syscalls: [u32; MASK_WORDS],
    /// Its comparisons, all of which must hold.
    pub fields: Vec<Field>,
}

impl FilterRule {
    /// Reads `struct audit_rule_data` (uapi), as `AUDIT_LIST_RULES` answers; `None` if it is cut short.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            let at = at.checked_mul(4)?;
            let bytes = bytes.get(at..at.checked_add(4)?)?;
            Some(u32::from_ne_bytes(bytes.try_into().ok()?))
        };
        let count = usize::try_from(word(2)?).ok()?;
        if count > MAX_FIELDS {
            return None;
        }
        let mut syscalls = [0; MASK_WORDS];
        for (index, place) in syscalls.iter_mut().enumerate() {
            *place = word(3 + index)?;
        }
        let kinds = 3 + MASK_WORDS;
        let (values, ops) = (kinds + MAX_FIELDS, kinds + 2 * MAX_FIELDS);
        let fields = (0..count)
            .map(|index| {
                Some(Field {
                    kind: word(kinds + index)?,
                    op: Op::of_wire(word(ops + index)?),
                    value: word(values + index)?,
                })
            })
            .collect::<Option<_>>()?;
        Some(Self {
            // The kernel answers with the list and no other flag.
            list: word(0)?,
            action: word(1)?,
            syscalls,
            fields,
        })
    }

    /// Whether a system call is one of the rule's.
    #[must_use]
    pub fn covers(&self, syscall: u32) -> bool {
        usize::try_from(syscall / 32)
            .ok()
            .and_then(|word| self.syscalls.get(word))
            .is_some_and(|word| word & (1 << (syscall % 32)) != 0)
    }

    /// Whether the rule has a system call recorded, for some process.
    #[must_use]
    pub fn records(&self, syscall: u32) -> bool {
        self.list == EXIT && self.action != NEVER && self.covers(syscall)
    }
}

/// Whether the exclude list keeps a type of record out, whoever makes the record. `rules` is the list in its order.
///
/// The kernel takes the first rule that matches, and gives up on the whole list if a security module fails to compare
/// or the list has no comparison for a field (`audit_filter`, kernel/auditsc.c): a rule behind one of those is not
/// certain. The maker of a BPF record may be a
/// thread of the kernel, so a rule that asks for more than the type is not certain either.
#[must_use]
pub fn keeps_out(rules: &[FilterRule], record_type: u32) -> bool {
    rules
        .iter()
        .take_while(|rule| {
            rule.fields
                .iter()
                .all(|field| CERTAIN.contains(&field.kind))
        })
        .any(|rule| {
            rule.list == EXCLUDE
                && !rule.fields.is_empty()
                && rule
                    .fields
                    .iter()
                    .all(|field| field.kind == MSGTYPE && field.op.holds(record_type, field.value))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(fields: &[(u32, Op, u32)]) -> FilterRule {
        FilterRule {
            list: EXCLUDE,
            action: 2,
            syscalls: [0; MASK_WORDS],
            fields: fields
                .iter()
                .map(|&(kind, op, value)| Field { kind, op, value })
                .collect(),
        }
    }

    #[test]
    fn only_a_rule_for_every_bpf_record_is_certain() {
        let bpf = rule(&[(MSGTYPE, Op::Equal, BPF_RECORD)]);
        assert!(keeps_out(std::slice::from_ref(&bpf), BPF_RECORD));
        assert!(keeps_out(
            &[rule(&[
                (MSGTYPE, Op::GreaterOrEqual, 1300),
                (MSGTYPE, Op::LessOrEqual, 1400)
            ])],
            BPF_RECORD
        ));
        for other in [
            rule(&[]),
            rule(&[(MSGTYPE, Op::Equal, 1327)]),
            rule(&[(MSGTYPE, Op::NotEqual, BPF_RECORD)]),
            rule(&[(MSGTYPE, Op::Other, BPF_RECORD)]),
            // The record of a program that is taken out may come from another process.
            rule(&[(MSGTYPE, Op::Equal, BPF_RECORD), (1, Op::Equal, 0)]),
            FilterRule {
                list: EXIT,
                ..bpf.clone()
            },
        ] {
            assert!(
                !keeps_out(std::slice::from_ref(&other), BPF_RECORD),
                "{other:?}"
            );
            assert!(keeps_out(&[other, bpf.clone()], BPF_RECORD));
        }
    }

    #[test]
    fn nothing_is_certain_behind_a_rule_that_the_kernel_may_fail_to_compare() {
        let bpf = rule(&[(MSGTYPE, Op::Equal, BPF_RECORD)]);
        // A subject's role, a key, a directory, a system call's argument.
        for kind in [15, 210, 107, 200] {
            let other = rule(&[(kind, Op::Equal, 0)]);
            assert!(!keeps_out(&[other.clone(), bpf.clone()], BPF_RECORD));
            assert!(keeps_out(&[bpf.clone(), other], BPF_RECORD));
        }
        for kind in [0, 1, 5, 9, 24, 112] {
            let other = rule(&[(kind, Op::Equal, 0)]);
            assert!(keeps_out(&[other, bpf.clone()], BPF_RECORD));
        }
    }

    #[test]
    fn the_wire_form_is_read() {
        let mut words = vec![0_u32; 3 + MASK_WORDS + 3 * MAX_FIELDS + 1];
        words[0] = EXCLUDE;
        words[1] = 2;
        words[2] = 1;
        words[3 + 10] = 1 << 1;
        words[3 + MASK_WORDS] = MSGTYPE;
        words[3 + MASK_WORDS + MAX_FIELDS] = BPF_RECORD;
        words[3 + MASK_WORDS + 2 * MAX_FIELDS] = 0x4000_0000;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let rule = FilterRule::parse(&bytes).expect("whole");
        assert!(keeps_out(std::slice::from_ref(&rule), BPF_RECORD));
        assert!(rule.covers(321) && !rule.covers(320));
        assert_eq!(FilterRule::parse(&bytes[..300]), None);
        words[2] = 65;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(FilterRule::parse(&bytes), None);
    }
}
