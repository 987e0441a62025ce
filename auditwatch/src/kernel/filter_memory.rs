//! The audit rules in force, read out of the kernel's memory.
//!
//! In: symbols, types, and a [`KernelMemory`]. Out: the rules of one list, in its order. Reading makes no record and
//! sends no message, so it serves while the queue is full. A list that changes while it is read gives an error, or
//! rules that were in it a moment ago; callers ask again before each step that rests on them.

use std::io;

use super::{core_memory::KernelMemory, symbols::Symbols, types::KernelTypes};
use crate::kernel::filter_rule::{Field, FilterRule, MASK_WORDS, MAX_FIELDS, Op};

/// A list that seems longer than this is one that changed under our eyes.
const MOST_RULES: usize = 65_536;

/// Where the lists are, and what a rule looks like.
#[derive(Clone, Copy, Debug)]
pub struct FilterLists {
    heads: u64,
    link: u64,
    listnr: u64,
    action: u64,
    mask: u64,
    field_count: u64,
    fields: u64,
    field_size: usize,
    field_kind: usize,
    field_value: usize,
    field_op: usize,
}

impl FilterLists {
    /// Finds them; `None` if the kernel does not tell.
    #[must_use]
    pub fn find(symbols: &Symbols, types: Option<&KernelTypes>) -> Option<Self> {
        let types = types?;
        let offset = |strukt, member| types.member_offset(strukt, member).map(u64::from);
        let index = |strukt, member| usize::try_from(types.member_offset(strukt, member)?).ok();
        let rule = offset("audit_entry", "rule")?;
        Some(Self {
            heads: symbols.address("audit_filter_list")?,
            link: offset("audit_entry", "list")?,
            listnr: rule + offset("audit_krule", "listnr")?,
            action: rule + offset("audit_krule", "action")?,
            mask: rule + offset("audit_krule", "mask")?,
            field_count: rule + offset("audit_krule", "field_count")?,
            fields: rule + offset("audit_krule", "fields")?,
            field_size: usize::try_from(types.struct_size("audit_field")?).ok()?,
            field_kind: index("audit_field", "type")?,
            field_value: index("audit_field", "val")?,
            field_op: index("audit_field", "op")?,
        })
    }

    /// The rules of a list (`audit_filter_list[]`, kernel/auditfilter.c), first to last.
    ///
    /// # Errors
    /// When the memory cannot be read, or makes no sense.
    pub fn rules(&self, memory: &KernelMemory, list: u32) -> io::Result<Vec<FilterRule>> {
        /// `struct list_head`: two pointers.
        const HEAD_BYTES: u64 = 16;
        let head = self.heads + u64::from(list) * HEAD_BYTES;
        let mut rules = Vec::new();
        let mut link = memory.pointer(head)?;
        while link != head {
            if rules.len() >= MOST_RULES {
                return Err(io::Error::other("the list of audit rules has no end"));
            }
            let rule = self.rule(memory, link - self.link)?;
            if rule.list != list {
                return Err(io::Error::other("an audit rule changed while it was read"));
            }
            rules.push(rule);
            link = memory.pointer(link)?;
        }
        Ok(rules)
    }

    fn rule(&self, memory: &KernelMemory, entry: u64) -> io::Result<FilterRule> {
        let at = |offset: u64| entry.wrapping_add(offset);
        let count = usize::try_from(memory.word(at(self.field_count))?).unwrap_or(usize::MAX);
        if count > MAX_FIELDS {
            return Err(io::Error::other("an audit rule changed while it was read"));
        }
        let mut mask = [0; MASK_WORDS * 4];
        memory.read(at(self.mask), &mut mask)?;
        let mut syscalls = [0; MASK_WORDS];
        for (word, bytes) in syscalls.iter_mut().zip(mask.as_chunks::<4>().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
        let mut fields = vec![0; count * self.field_size];
        if count > 0 {
            memory.read(memory.pointer(at(self.fields))?, &mut fields)?;
        }
        let word = |bytes: &[u8], at: usize| {
            let bytes = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
            bytes.map_or(u32::MAX, u32::from_ne_bytes)
        };
        Ok(FilterRule {
            list: memory.word(at(self.listnr))?,
            action: memory.word(at(self.action))?,
            syscalls,
            fields: fields
                .chunks_exact(self.field_size.max(1))
                .map(|bytes| Field {
                    kind: word(bytes, self.field_kind),
                    op: Op::of_kernel(word(bytes, self.field_op)),
                    value: word(bytes, self.field_value),
                })
                .collect(),
        })
    }
}
