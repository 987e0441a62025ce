//! The kernel's symbols, from `/proc/kallsyms`.
//!
//! In: its text. Out: addresses of what the probe needs. Pure.

use std::collections::BTreeMap;

/// Beginnings of the names that are kept; the list has some 200,000.
const KEPT: [&str; 6] = [
    "audit",
    "kauditd",
    "__audit",
    "netlink_unicast",
    "jiffies_64",
    "register_kprobe",
];

/// Symbols of interest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbols {
    addresses: BTreeMap<String, u64>,
}

impl Symbols {
    /// Picks the symbols of interest out of the text of kallsyms. Lines that make
    /// no sense are passed over, as are those of modules.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut addresses = BTreeMap::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(..end).unwrap_or_default();
            rest = rest.get(end + 1..).unwrap_or_default();
            if let Some((name, address)) = symbol(line) {
                addresses.insert(name, address);
            }
        }
        Self { addresses }
    }

    /// Address of a symbol; `None` when it is absent or hidden.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<u64> {
        self.addresses
            .get(name)
            .copied()
            .filter(|&address| address != 0)
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
    let address = std::str::from_utf8(line.get(..16)?).ok()?;
    let address = u64::from_str_radix(address, 16).ok()?;
    Some((std::str::from_utf8(name).ok()?.to_owned(), address))
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
    fn a_cold_half_is_no_split() {
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
