//! The kernel's own table of symbols, compressed as it lies in its memory (kernel/kallsyms.c).
//!
//! In: the text of VMCOREINFO, which since Linux 6.0 says where the table is, and bytes of it. Out:
//! which entries have a wanted name, and their addresses. The text of `/proc/kallsyms` says the same,
//! but the kernel takes some 100 times as long to write it. Pure; it must not guess: an address
//! counts only if the same reading yields the addresses that VMCOREINFO itself names.

use std::collections::BTreeMap;

/// Symbols that VMCOREINFO names and the table has too: the reading is checked by them.
pub const CHECKS: [&str; 3] = ["_stext", "init_uts_ns", "swapper_pg_dir"];
/// Fewest of them that must agree.
const FEWEST_CHECKS: usize = 2;

/// Kernel addresses of the table's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// A 32-bit word: how many symbols there are.
    pub count: u64,
    /// For each symbol the length of its name in tokens, and the tokens.
    pub names: u64,
    /// The address at or before which the names end.
    pub names_end: u64,
    /// The tokens' texts, each with a zero byte behind it.
    pub token_table: u64,
    /// For each of 256 tokens the place of its text, 16 bits.
    pub token_index: u64,
    /// For each symbol a 32-bit offset.
    pub offsets: u64,
    /// The address of a pointer that the offsets are relative to; `None` where a kernel has none.
    pub relative_base: Option<u64>,
    /// Addresses that the reading is checked by.
    pub checks: BTreeMap<&'static str, u64>,
}

impl Tables {
    /// Takes the addresses from VMCOREINFO; `None` where it does not name all.
    #[must_use]
    pub fn of(vmcoreinfo: &str) -> Option<Self> {
        let symbol = |name: &str| {
            let value = vmcoreinfo.lines().find_map(|line| {
                line.strip_prefix("SYMBOL(")?
                    .strip_prefix(name)?
                    .strip_prefix(")=")
            })?;
            u64::from_str_radix(value, 16).ok()
        };
        let names = symbol("kallsyms_names")?;
        let token_table = symbol("kallsyms_token_table")?;
        let token_index = symbol("kallsyms_token_index")?;
        let parts = [
            Some(token_table),
            Some(token_index),
            symbol("kallsyms_offsets"),
        ];
        Some(Self {
            count: symbol("kallsyms_num_syms")?,
            names,
            names_end: parts.into_iter().flatten().filter(|&at| at > names).min()?,
            token_table,
            token_index,
            offsets: symbol("kallsyms_offsets")?,
            relative_base: symbol("kallsyms_relative_base"),
            checks: CHECKS
                .into_iter()
                .filter_map(|name| Some((name, symbol(name)?)))
                .collect(),
        })
    }
}

/// The texts of the 256 tokens.
#[derive(Debug)]
pub struct Tokens {
    table: Vec<u8>,
    starts: Vec<usize>,
}

impl Tokens {
    /// Takes the two tables as they lie in memory.
    #[must_use]
    pub fn new(table: Vec<u8>, index: &[u8]) -> Self {
        let starts = index
            .chunks_exact(2)
            .map(|pair| match *pair {
                [low, high] => usize::from(u16::from_ne_bytes([low, high])),
                _ => usize::MAX,
            })
            .collect();
        Self { table, starts }
    }

    fn text(&self, token: usize) -> &[u8] {
        let start = self.starts.get(token).copied();
        let rest = start.and_then(|start| self.table.get(start..));
        let rest = rest.unwrap_or_default();
        let end = memchr::memchr(0, rest).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }

    /// The numbers of the symbols with a wanted name. A name that several symbols have is left out:
    /// nothing says which is meant.
    #[must_use]
    pub fn find<'a>(&self, names: &[u8], count: u32, wanted: &[&'a str]) -> BTreeMap<&'a str, u32> {
        let mut prefixes = Prefixes::of(wanted);
        let mut found: BTreeMap<&str, Option<u32>> = BTreeMap::new();
        let mut rest = names;
        for number in 0..count {
            let Some((tokens, after)) = entry(rest) else {
                break;
            };
            rest = after;
            if let Some(&name) = prefixes.name(tokens, self).and_then(|at| wanted.get(at)) {
                found
                    .entry(name)
                    .and_modify(|number| *number = None)
                    .or_insert(Some(number));
            }
        }
        found
            .into_iter()
            .filter_map(|(name, number)| Some((name, number?)))
            .collect()
    }
}

/// The wanted names as a tree of prefixes, walked token by token. A kernel has 100,000 to 300,000
/// symbols, so each step from a prefix by a token is computed once.
struct Prefixes {
    /// For each prefix the longer ones, by the next byte.
    longer: Vec<BTreeMap<u8, u32>>,
    /// For each prefix the place of the name that it is, if it is one.
    names: Vec<Option<usize>>,
    /// For each prefix and each of 256 tokens the prefix after it, [`NONE`] or [`UNKNOWN`].
    steps: Vec<u32>,
}

/// The prefix of zero bytes that still expects the symbol's kind, the first character in the table.
const START: u32 = 0;
/// The prefix of zero bytes after the kind.
const EMPTY: u32 = 1;
/// No wanted name begins so.
const NONE: u32 = u32::MAX;
/// The step is not computed yet.
const UNKNOWN: u32 = u32::MAX - 1;

impl Prefixes {
    fn of(wanted: &[&str]) -> Self {
        let mut longer = vec![BTreeMap::new(), BTreeMap::new()];
        let mut names = vec![None, None];
        for (place, name) in wanted.iter().enumerate() {
            let mut at = EMPTY as usize;
            for byte in name.bytes() {
                let next = longer.len();
                // Some hundred prefixes: far below 2^32.
                let number = u32::try_from(next).unwrap_or(NONE);
                let known = *longer[at].entry(byte).or_insert(number);
                if known == number {
                    longer.push(BTreeMap::new());
                    names.push(None);
                }
                at = known as usize;
            }
            names[at] = Some(place);
        }
        let steps = vec![UNKNOWN; longer.len() * 256];
        Self {
            longer,
            names,
            steps,
        }
    }

    /// The place of the name that these tokens make.
    fn name(&mut self, tokens: &[u8], texts: &Tokens) -> Option<usize> {
        let mut at = START;
        for &token in tokens {
            let step = at as usize * 256 + usize::from(token);
            let known = *self.steps.get(step)?;
            at = if known == UNKNOWN {
                let after = self.after(at, texts.text(usize::from(token)));
                *self.steps.get_mut(step)? = after;
                after
            } else {
                known
            };
            if at == NONE {
                return None;
            }
        }
        self.names.get(at as usize).copied().flatten()
    }

    /// The prefix that a text leads to.
    fn after(&self, at: u32, text: &[u8]) -> u32 {
        let (mut at, text) = match (at, text) {
            (START, [_, rest @ ..]) => (EMPTY, rest),
            _ => (at, text),
        };
        for byte in text {
            let next = self
                .longer
                .get(at as usize)
                .and_then(|longer| longer.get(byte));
            let Some(&next) = next else {
                return NONE;
            };
            at = next;
        }
        at
    }
}

/// The tokens of the first name, and what follows. A length of more than 127 takes two bytes
/// (since Linux 6.1).
fn entry(names: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&low, rest) = names.split_first()?;
    let (length, rest) = if low & 0x80 == 0 {
        (usize::from(low), rest)
    } else {
        let (&high, rest) = rest.split_first()?;
        (usize::from(low & 0x7f) | usize::from(high) << 7, rest)
    };
    rest.split_at_checked(length)
}

/// How an offset becomes an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Negative ones count back from the base, others are the address (per-CPU data; to Linux 6.14).
    AbsolutePerCpu,
    /// All count from the base.
    FromBase,
    /// Each counts from its own place.
    FromItself,
}

impl Reading {
    /// The reading by which the symbols that are known come out right; `None` if there is none.
    /// `known`: for each the place of its offset, the offset, and its address.
    #[must_use]
    pub fn of(base: Option<u64>, known: &[(u64, u32, u64)]) -> Option<Self> {
        if known.len() < FEWEST_CHECKS {
            return None;
        }
        [Self::AbsolutePerCpu, Self::FromBase, Self::FromItself]
            .into_iter()
            .find(|reading| {
                known.iter().all(|&(place, offset, address)| {
                    reading.address(base, place, offset) == Some(address)
                })
            })
    }

    /// The address that an offset means.
    #[must_use]
    pub fn address(self, base: Option<u64>, place: u64, offset: u32) -> Option<u64> {
        let signed = i64::from(offset.cast_signed());
        match self {
            Self::AbsolutePerCpu if signed >= 0 => Some(u64::from(offset)),
            Self::AbsolutePerCpu => base?.checked_sub(1)?.checked_add_signed(-signed),
            Self::FromBase => base?.checked_add(u64::from(offset)),
            Self::FromItself => place.checked_add_signed(signed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "OSRELEASE=6.1.0\nSYMBOL(_stext)=ffffffff81000000\n\
        SYMBOL(init_uts_ns)=ffffffff82a1a2c0\nSYMBOL(kallsyms_names)=ffffffff82000100\n\
        SYMBOL(kallsyms_num_syms)=ffffffff820000f8\n\
        SYMBOL(kallsyms_token_table)=ffffffff82000900\n\
        SYMBOL(kallsyms_token_index)=ffffffff82000a00\n\
        SYMBOL(kallsyms_offsets)=ffffffff81ff0000\n\
        SYMBOL(kallsyms_relative_base)=ffffffff820000f0\n";

    #[test]
    fn the_note_names_the_parts() {
        let tables = Tables::of(INFO).expect("all are named");
        assert_eq!(tables.names_end, 0xffff_ffff_8200_0900);
        assert_eq!(tables.relative_base, Some(0xffff_ffff_8200_00f0));
        assert_eq!(tables.checks.len(), 2);
        for line in INFO.lines().filter(|line| line.contains("kallsyms")) {
            let without = INFO.replace(line, "");
            let is_needed = !line.contains("relative_base");
            assert_eq!(Tables::of(&without).is_none(), is_needed, "{line}");
        }
        assert_eq!(Tables::of(""), None);
    }

    /// Tokens by hand: 0 `d`, 1 `baudit`, 2 `_`, 3 `queue`, 4 `s`.
    fn tokens() -> Tokens {
        let texts = ["d", "baudit", "_", "queue", "s"];
        let (mut table, mut index) = (Vec::new(), Vec::new());
        for text in texts {
            index.extend(u16::try_from(table.len()).expect("short").to_ne_bytes());
            table.extend(text.bytes());
            table.push(0);
        }
        Tokens::new(table, &index)
    }

    #[test]
    fn names_are_found_by_their_tokens() {
        let names = [
            2, 0, 4, // ds
            3, 1, 2, 3, // baudit_queue
            4, 1, 2, 3, 4, // baudit_queues
            0x81, 0, 4, // a long length for one token: s
            1, 200, // a token that is not there
            2, 0, 3, // dqueue
        ];
        let found = |count, wanted| tokens().find(&names, count, wanted);
        let wanted = ["audit_queue", "queue", "absent", "audit"];
        assert_eq!(found(6, &wanted), [("audit_queue", 1), ("queue", 5)].into());
        assert_eq!(found(2, &wanted), [("audit_queue", 1)].into());
        // More are said to be there than are.
        assert_eq!(found(99, &wanted), found(6, &wanted));
        for cut in 0..names.len() {
            let _ = tokens().find(&names[..cut], 6, &wanted);
        }
    }

    #[test]
    fn a_name_that_two_have_is_left_out() {
        let names = [2, 0, 3, 2, 0, 3];
        assert_eq!(tokens().find(&names, 2, &["queue"]), BTreeMap::new());
    }

    #[test]
    fn the_reading_is_the_one_that_yields_known_addresses() {
        let base = Some(0xffff_ffff_8100_0000);
        let known = |offsets: [u32; 2]| {
            [
                (0xffff_ffff_81f0_0000, offsets[0], 0xffff_ffff_8100_0000),
                (0xffff_ffff_81f0_0004, offsets[1], 0xffff_ffff_8100_1000),
            ]
        };
        for (offsets, reading) in [
            ([u32::MAX, 0xffff_efff], Reading::AbsolutePerCpu),
            ([0, 0x1000], Reading::FromBase),
            ([0xff10_0000, 0xff10_0ffc], Reading::FromItself),
        ] {
            let known = known(offsets);
            assert_eq!(Reading::of(base, &known), Some(reading));
            assert_eq!(Reading::of(base, &known[..1]), None);
        }
        assert_eq!(Reading::of(base, &known([0, 0x1001])), None);
        let per_cpu = Reading::AbsolutePerCpu.address(base, 0, 0x2_0000);
        assert_eq!(per_cpu, Some(0x2_0000));
    }
}
