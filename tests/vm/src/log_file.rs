//! auditd's log, as ground truth: how many records of which type it holds.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

/// Kernel record types by the names that auditd writes, as far as the scenarios need them by
/// number; other names are numbered 0.
const NAMES: [(&str, u16); 9] = [
    ("SYSCALL", 1300),
    ("PATH", 1302),
    ("SOCKADDR", 1306),
    ("CWD", 1307),
    ("EXECVE", 1309),
    ("EOE", 1320),
    ("PROCTITLE", 1327),
    ("CONFIG_CHANGE", 1305),
    ("LOGIN", 1006),
];

/// Counts the kernel's records in a log by type. What auditd writes of its own accord
/// (`DAEMON_*`) never was in the kernel's queue and is left out.
pub fn count_types(path: &Path) -> Result<BTreeMap<u16, u64>> {
    let log = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(count(&log))
}

fn count(log: &[u8]) -> BTreeMap<u16, u64> {
    let mut types = BTreeMap::new();
    for line in log.split(|&b| b == b'\n') {
        let Some(rest) = line.strip_prefix(b"type=") else {
            continue;
        };
        let end = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
        let name = String::from_utf8_lossy(&rest[..end]);
        if name.starts_with("DAEMON_") {
            continue;
        }
        let number = NAMES.iter().find(|n| n.0 == name).map_or(0, |n| n.1);
        *types.entry(number).or_insert(0) += 1;
    }
    types
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_by_type() {
        let log = b"type=DAEMON_START msg=audit(1.0:1): x\ntype=SYSCALL msg=audit(1.0:2): y\n\
                    type=PATH msg=a\ntype=PATH msg=b\ntype=UNKNOWN[1420] msg=c\nnoise\n";
        assert_eq!(count(log), BTreeMap::from([(1300, 1), (1302, 2), (0, 1)]));
    }
}
