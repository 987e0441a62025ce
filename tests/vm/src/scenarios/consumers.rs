//! What becomes of records when the consumer stalls, dies, leaves or comes back.

use anyhow::Result;

use crate::scenario::{Scenario, Scene};
use crate::trial::{Consumer, Trial};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("stopped-consumer", stopped_consumer)
        .short()
        .both(),
    Scenario::new("stopped-consumer-no-limit", stopped_consumer_no_limit).short(),
    Scenario::new("consumer-dies-and-returns", consumer_dies_and_returns).short(),
    Scenario::new("consumer-leaves", consumer_leaves),
];

/// A buffer for a few records only.
const SMALL: Consumer = Consumer::Sink {
    per_record_us: 0,
    rcvbuf: Some(8192),
};

/// Slow enough that the main queue never overflows: the kernel counts no loss at all, yet most
/// records are gone.
fn stopped_consumer(scene: &mut Scene<'_>) -> Result<()> {
    let storm = "--syscall 35 --gap-us 100000 --at 0:stop-sink --resume-sink";
    let seen = scene.trial(&Trial::new(storm).limit(64).wait_ms(0).consumer(SMALL))?;
    let books = &seen.books;
    let mut findings = seen.common();
    findings.near("attempted", books.attempted, 105, books.missed);
    findings.equal("growth of the kernel's lost", books.lost, 0);
    findings.at_least("dropped.silent", books.silent, 1);
    findings.at_least("retried", seen.summary.number("ledger.retried")?, 1);
    findings.near(
        "attempts that were not delivered",
        books.enqueued - books.delivered - books.retry_growth - books.main_growth,
        books.silent,
        books.own + books.missed,
    );
    findings.verdict()
}

fn stopped_consumer_no_limit(scene: &mut Scene<'_>) -> Result<()> {
    let storm = "--syscall 1000 --at 0:stop-sink --resume-sink";
    let seen = scene.trial(&Trial::new(storm).limit(0).consumer(SMALL))?;
    let books = &seen.books;
    let mut findings = seen.common();
    findings.near("attempted", books.attempted, 3000, books.missed);
    findings.equal("growth of the kernel's lost", books.lost, 0);
    findings.at_least("not delivered", books.silent + books.retry_growth, 1);
    findings.equal("stalls", seen.summary.number("stalls.count")?, 0);
    findings.verdict()
}

/// SIGKILL: the kernel notices at its next delivery, and until a new one registers all is lost in
/// silence. What stood in the dead socket was delivered and never received.
fn consumer_dies_and_returns(scene: &mut Scene<'_>) -> Result<()> {
    let storm = "--syscall 1500 --gap-us 1000 --at 300:kill-sink --at 800:start-sink \
                 --rcvbuf 8388608";
    let seen = scene.trial(&Trial::new(storm))?;
    let books = &seen.books;
    let mut findings = seen.laws();
    let received = crate::accounting::signed(seen.report.received());
    findings.between("delivered", books.delivered, received, received + 300);
    findings.at_least("dropped.silent", books.silent, 1);
    // The new one's registration is a change that is logged: an event more.
    findings.between("attempted", books.attempted, 4500, 4520 + books.missed);
    findings.equal("growth of the kernel's lost", books.lost, 0);
    findings.verdict()
}

fn consumer_leaves(scene: &mut Scene<'_>) -> Result<()> {
    let storm = "--syscall 800 --gap-us 1000 --at 300:leave-sink";
    let seen = scene.trial(&Trial::new(storm))?;
    let books = &seen.books;
    let mut findings = seen.common();
    findings.at_least("dropped.silent", books.silent, 1);
    findings.at_least("delivered", books.delivered, 1);
    findings.between("attempted", books.attempted, 2400, 2420 + books.missed);
    findings.equal("growth of the kernel's lost", books.lost, 0);
    let changes = seen.summary.list("limit_changes")?;
    findings.that(
        changes
            .iter()
            .any(|c| c["field"] == "auditd_pid" && c["new"] == 0),
        || format!("limit_changes does not tell that auditd left: {changes:?}"),
    );
    findings.verdict()
}
