//! Who caused records by the summary's account, and what its lists must come to.

use serde_json::Value;

use crate::findings::Findings;
use crate::summary::Summary;

/// Rows and rest come to the ledger, and so does each list of shares: exactly.
pub fn laws(summary: &Summary, findings: &mut Findings) {
    if summary.at("talkers").is_null() {
        return;
    }
    let dropped = findings.take(summary.sum("ledger.dropped"));
    for (key, all) in [
        ("records", findings.take(summary.number("ledger.attempted"))),
        ("dropped", dropped),
        ("stalls", findings.take(summary.number("stalls.count"))),
        ("stall_ns", findings.take(summary.number("stalls.total_ns"))),
    ] {
        let rows = findings.take(summary.list("talkers")).unwrap_or_default();
        let other = findings.take(summary.number(&format!("talkers_other.{key}")));
        let (Some(all), Some(other)) = (all, other) else {
            continue;
        };
        findings.equal(
            &format!("talkers: sum of {key}"),
            sum(rows, key) + other,
            all,
        );
    }
    let Some(all) = findings.take(summary.number("ledger.attempted")) else {
        return;
    };
    let unattributed = summary.number_or_zero("talkers_other.unattributed");
    for list in ["key", "comm", "cgroup", "syscall", "record_type"] {
        let path = format!("talkers_by.{list}");
        let shares = findings.take(summary.list(&path)).unwrap_or_default();
        findings.equal(&path, sum(shares, "records") + unattributed, all);
    }
    // Only calls that the kernel skipped the program for are not told apart.
    findings.between(
        "talkers_other.unattributed",
        unattributed,
        0,
        summary.number_or_zero("ledger.missed"),
    );
}

/// The sum of a key over a list.
pub fn sum(list: &[Value], key: &str) -> i64 {
    list.iter().filter_map(|entry| entry[key].as_i64()).sum()
}

/// What a list of shares says of a name.
pub fn share(summary: &Summary, list: &str, name: &str, key: &str) -> i64 {
    let shares = summary.at(&format!("talkers_by.{list}")).as_array();
    shares
        .into_iter()
        .flatten()
        .filter(|share| share["name"] == name)
        .filter_map(|share| share[key].as_i64())
        .sum()
}
