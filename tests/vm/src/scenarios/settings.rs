//! Settings that change or that filter while auditwatch looks.

use anyhow::Result;

use crate::rule::Rule;
use crate::scenario::{Scenario, Scene};
use crate::storm_args::Act;
use crate::trial::Trial;
use crate::wire;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("limit-changed", limit_changed).short(),
    Scenario::new("excluded-type", excluded_type).both(),
];

fn limit_changed(scene: &mut Scene<'_>) -> Result<()> {
    let storm = "--syscall 500 --gap-us 1000 --at 100:limit=4096 --at 250:rate=1000000";
    let seen = scene.trial(&Trial::new(storm).limit(8000))?;
    let mut findings = seen.common();
    seen.no_loss(&mut findings);
    let changes = seen.summary.list("limit_changes")?;
    for (act, field, old, new) in [
        (Act::Limit(4096), "backlog_limit", 8000, 4096),
        (Act::Rate(1_000_000), "rate_limit", 0, 1_000_000),
    ] {
        let pid = seen
            .report
            .acts
            .iter()
            .find(|a| a.timed.act == act)
            .map(|a| a.pid);
        let found = changes.iter().any(|c| {
            c["field"] == field
                && c["old"] == old
                && c["new"] == new
                && c["comm"] == "limit-changer"
                && c["pid"].as_u64() == pid.map(u64::from)
                && c["at_ns"].as_i64().is_some_and(|n| n > 0)
        });
        findings.that(found, || {
            format!("limit_changes: expected {field} {old} -> {new} by {pid:?}, got {changes:?}")
        });
    }
    findings.equal("changes", changes.len(), 2);
    findings.equal(
        "status.limit_start",
        seen.summary.number("status.limit_start")?,
        8000,
    );
    findings.equal(
        "status.limit_end",
        seen.summary.number("status.limit_end")?,
        4096,
    );
    findings.verdict()
}

fn excluded_type(scene: &mut Scene<'_>) -> Result<()> {
    let trial = Trial::new("--syscall 1000").rule(Rule::exclude(wire::PROCTITLE));
    let seen = scene.trial(&trial)?;
    let books = &seen.books;
    let mut findings = seen.common();
    seen.no_loss(&mut findings);
    findings.near("attempted", books.attempted, 3000, books.missed);
    findings.near("filtered", books.filtered, 1000, books.missed);
    findings.near("admitted", books.admitted, 2000, books.missed);
    findings.equal("PROCTITLE received", seen.received_of(wire::PROCTITLE), 0);
    findings.verdict()
}
