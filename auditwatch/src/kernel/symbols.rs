//! The kernel's symbols, from `/proc/kallsyms`.
//!
//! In: its text. Out: addresses of what the probe needs, and where the audit code is.
//! Pure.

use std::{collections::BTreeMap, ops::Range};

/// Beginnings of the names that are kept; the list has some 200,000.
const KEPT: [&str; 7] = [
    "audit",
    "kauditd",
    "__audit",
    "netlink_unicast",
    "netlink_recvmsg",
    "register_kprobe",
    "bpf_get_current_task_btf",
];

/// Symbols of interest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbols {
    addresses: BTreeMap<String, u64>,
    audit_code: AuditCode,
}

/// The kernel's audit code: the functions whose names begin with `audit`, `__audit` or
/// `kauditd`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditCode(Vec<Range<u64>>);

impl AuditCode {
    /// Whether an address lies in it.
    #[must_use]
    pub fn contains(&self, address: u64) -> bool {
        let after = self.0.partition_point(|range| range.start <= address);
        after
            .checked_sub(1)
            .and_then(|last| self.0.get(last))
            .is_some_and(|range| range.contains(&address))
    }

    /// Whether nothing is known of it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Symbols {
    /// Picks the symbols of interest out of the text of kallsyms. Lines that make
    /// no sense are passed over, as are those of modules.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut addresses = BTreeMap::new();
        let mut audit_code = Vec::new();
        // The list is in the order of addresses: a function ends where the next
        // symbol begins.
        let mut begun: Option<u64> = None;
        let mut rest = text;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(..end).unwrap_or_default();
            rest = rest.get(end + 1..).unwrap_or_default();
            if let Some(start) = begun
                && let Some(next) = address(line)
                && next > start
            {
                audit_code.push(start..next);
                begun = None;
            }
            if let Some((name, address)) = symbol(line) {
                if address != 0 && is_audit_code(line, &name) {
                    begun.get_or_insert(address);
                }
                addresses.insert(name, address);
            }
        }
        audit_code.sort_unstable_by_key(|range: &Range<u64>| range.start);
        Self {
            addresses,
            audit_code: AuditCode(audit_code),
        }
    }

    /// Symbols whose addresses are known. Where the audit code is, they do not tell.
    #[must_use]
    pub fn of(addresses: impl IntoIterator<Item = (String, u64)>) -> Self {
        Self {
            addresses: addresses.into_iter().collect(),
            audit_code: AuditCode::default(),
        }
    }

    /// Address of a symbol; `None` when it is absent or hidden.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<u64> {
        self.addresses
            .get(name)
            .copied()
            .filter(|&address| address != 0)
    }

    /// Where the audit code is; empty when that is hidden.
    #[must_use]
    pub const fn audit_code(&self) -> &AuditCode {
        &self.audit_code
    }

    /// Whether the kernel has the symbol, hidden or not.
    #[must_use]
    pub fn present(&self, name: &str) -> bool {
        self.addresses.contains_key(name)
    }

    /// Whether there are symbols and all addresses are hidden.
    #[must_use]
    pub fn hidden(&self) -> bool {
        !self.addresses.is_empty() && self.addresses.values().all(|&address| address == 0)
    }

    /// Whether no symbol at all could be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Parts that the compiler made of a function, but for its cold half.
    #[must_use]
    pub fn splits(&self, name: &str) -> Vec<String> {
        self.addresses
            .keys()
            .filter(|symbol| {
                symbol
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('.') && !rest.contains(".cold"))
            })
            .cloned()
            .collect()
    }
}

/// `ffffffff81157220 T audit_log_end`; a module's name follows behind a tab.
fn symbol(line: &[u8]) -> Option<(String, u64)> {
    const NAME_AT: usize = 19;
    let name = line.get(NAME_AT..)?;
    if !KEPT.iter().any(|kept| name.starts_with(kept.as_bytes())) || name.contains(&b'\t') {
        return None;
    }
    Some((std::str::from_utf8(name).ok()?.to_owned(), address(line)?))
}

fn address(line: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(line.get(..16)?).ok()?, 16).ok()
}

fn is_audit_code(line: &[u8], name: &str) -> bool {
    const KIND_AT: usize = 17;
    matches!(line.get(KIND_AT), Some(b't' | b'T'))
        && ["audit", "__audit", "kauditd"]
            .iter()
            .any(|begin| name.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"ffffffff814f9f70 t audit_log_end.part.0\n\
        ffffffff814fa0c0 T audit_log_end\n\
        ffffffff8121d955 t audit_log_lost.cold\n\
        ffffffff814f99d0 T audit_log_lost\n\
        ffffffff83e7ce00 b audit_queue\n\
        ffffffff81000000 T schedule\n\
        ffffffffc0000000 t audit_mod\t[some_module]\n\
        garbage\n\
        zzzzzzzzzzzzzzzz T audit_bad\n";

    #[test]
    fn only_symbols_of_interest_are_kept() {
        let symbols = Symbols::parse(TEXT);
        assert_eq!(symbols.address("audit_queue"), Some(0xffff_ffff_83e7_ce00));
        for absent in ["schedule", "audit_mod", "audit_bad", "audit"] {
            assert!(!symbols.present(absent), "{absent}");
        }
        assert!(!symbols.hidden());
    }

    #[test]
    fn audit_code_ends_where_the_next_symbol_begins() {
        let symbols = Symbols::parse(
            b"ffffffff81000000 T before\n\
            ffffffff81000100 T audit_log_start\n\
            ffffffff81000100 t audit_alias\n\
            ffffffff81000180 t __audit_one\n\
            ffffffff81000200 T after\n\
            ffffffff81000300 t kauditd_thread\n\
            ffffffff81000400 D audit_enabled\n\
            ffffffff81000500 T last\n",
        );
        let code = symbols.audit_code();
        for (address, is) in [
            (0xff, false),
            (0x100, true),
            (0x17f, true),
            (0x1ff, true),
            (0x200, false),
            (0x2ff, false),
            (0x3ff, true),
            (0x400, false),
        ] {
            assert_eq!(
                code.contains(0xffff_ffff_8100_0000 + address),
                is,
                "{address:x}"
            );
        }
        let hidden = Symbols::parse(b"0000000000000000 T audit_log_end\n");
        assert!(hidden.audit_code().is_empty());
    }

    #[test]
    fn cold_part_does_not_count_as_a_split_function() {
        let symbols = Symbols::parse(TEXT);
        assert_eq!(symbols.splits("audit_log_end"), ["audit_log_end.part.0"]);
        assert!(symbols.splits("audit_log_lost").is_empty());
    }

    #[test]
    fn hidden_addresses_are_not_addresses() {
        let symbols = Symbols::parse(b"0000000000000000 T audit_log_end\n");
        assert!(symbols.hidden());
        assert!(symbols.present("audit_log_end"));
        assert_eq!(symbols.address("audit_log_end"), None);
        assert!(!Symbols::parse(b"").hidden());
        assert!(Symbols::parse(b"").is_empty());
    }
}
