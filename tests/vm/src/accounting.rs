//! The conservation laws of the audit queues, applied to a summary and to what the harness knows
//! itself. Pure: values in, findings out.

use anyhow::Result;

use crate::findings::Findings;
use crate::kernel_words::KernelWords;
use crate::storm_args::StormReport;
use crate::summary::Summary;

/// The accounts of a window as auditwatch reports them, records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Books {
    /// Attempts of others than auditwatch.
    pub attempted: i64,
    /// Ended by an exclude rule.
    pub filtered: i64,
    /// Granted a buffer.
    pub admitted: i64,
    /// Put on the main queue.
    pub enqueued: i64,
    /// Left the main queue, whoever made them.
    pub drained: i64,
    /// Taken by auditd's socket, whoever made them.
    pub delivered: i64,
    /// auditwatch's own, left out of the first four.
    pub own: i64,
    /// Calls the kernel skipped a program for.
    pub missed: i64,
    /// Attempts still asleep at the end.
    pub waiting: i64,
    /// Refused for the limit.
    pub backlog_limit: i64,
    /// Dropped for the rate.
    pub rate_limit: i64,
    /// Refused for want of memory.
    pub out_of_memory: i64,
    /// Dropped for a full retry queue.
    pub retry_overflow: i64,
    /// Dropped for a full hold queue.
    pub hold_overflow: i64,
    /// Freed without being counted by the kernel.
    pub silent: i64,
    /// What auditwatch says the laws leave over.
    pub residual: i64,
    /// Growth of the main queue.
    pub main_growth: i64,
    /// Growth of the retry queue.
    pub retry_growth: i64,
    /// Growth of the hold queue.
    pub hold_growth: i64,
    /// Growth of the kernel's own count of losses.
    pub lost: i64,
    /// Records by type, summed.
    pub types: i64,
}

impl Books {
    /// Takes them from a summary, where none of them may be missing.
    pub fn of(summary: &Summary) -> Result<Self> {
        let ledger = |key: &str| summary.number(&format!("ledger.{key}"));
        let dropped = |key: &str| summary.number(&format!("ledger.dropped.{key}"));
        let growth = |start: &str, end: &str| {
            anyhow::Ok(
                summary.number(&format!("depth.{end}"))?
                    - summary.number(&format!("depth.{start}"))?,
            )
        };
        Ok(Self {
            attempted: ledger("attempted")?,
            filtered: ledger("filtered")?,
            admitted: ledger("admitted")?,
            enqueued: ledger("enqueued")?,
            drained: ledger("drained")?,
            delivered: ledger("delivered")?,
            own: ledger("own")?,
            missed: ledger("missed")?,
            waiting: summary.number_or_zero("ledger.waiting"),
            backlog_limit: dropped("backlog_limit")?,
            rate_limit: dropped("rate_limit")?,
            out_of_memory: dropped("out_of_memory")?,
            retry_overflow: dropped("retry_overflow")?,
            hold_overflow: dropped("hold_overflow")?,
            silent: dropped("silent")?,
            residual: ledger("residual")?,
            main_growth: growth("start", "end")?,
            retry_growth: growth("retry_start", "retry_end")?,
            hold_growth: growth("hold_start", "hold_end")?,
            lost: summary.number("status.lost_end")? - summary.number("status.lost_start")?,
            types: summary.sum("types")?,
        })
    }

    /// Losses that the kernel knows of.
    pub fn counted_losses(&self) -> i64 {
        self.backlog_limit
            + self.rate_limit
            + self.out_of_memory
            + self.retry_overflow
            + self.hold_overflow
    }

    /// All losses.
    pub fn losses(&self) -> i64 {
        self.counted_losses() + self.silent
    }

    /// The laws. They are exact; where the kernel skipped calls (`missed`), so many may be off.
    pub fn laws(&self, findings: &mut Findings) {
        let slack = self.missed;
        findings.equal("ledger.residual", self.residual, 0);
        findings.near(
            "attempted = admitted + filtered + refused + waiting",
            self.attempted,
            self.admitted + self.filtered + self.backlog_limit + self.out_of_memory + self.waiting,
            slack,
        );
        findings.near(
            "enqueued = admitted - rate_limit",
            self.enqueued,
            self.admitted - self.rate_limit,
            slack,
        );
        findings.near(
            "enqueued + own = drained + growth of the main queue",
            self.enqueued + self.own,
            self.drained + self.main_growth,
            slack,
        );
        findings.near(
            "drained = delivered + silent + overflows + growth of retry and hold",
            self.drained,
            self.delivered
                + self.silent
                + self.retry_overflow
                + self.hold_overflow
                + self.retry_growth
                + self.hold_growth,
            slack,
        );
        findings.near(
            "dropped, silent ones aside = growth of the kernel's count",
            self.counted_losses(),
            self.lost,
            slack,
        );
        findings.near("sum of types = drained", self.types, self.drained, slack);
    }

    /// The books against the consumer's count and the kernel's variables.
    pub fn against(&self, report: &StormReport, findings: &mut Findings) {
        let received = signed(report.received());
        findings.near(
            "delivered = received by the consumer",
            self.delivered,
            received,
            self.missed,
        );
        let (Some(before), Some(after)) = (report.before.kernel, report.after.kernel) else {
            return;
        };
        let growth = |pick: fn(&KernelWords) -> u64| signed(pick(&after)) - signed(pick(&before));
        findings.equal(
            "growth of the main queue",
            self.main_growth,
            growth(|k| k.main),
        );
        findings.equal(
            "growth of the retry queue",
            self.retry_growth,
            growth(|k| k.retry),
        );
        findings.equal(
            "growth of the hold queue",
            self.hold_growth,
            growth(|k| k.hold),
        );
        findings.equal(
            "growth of the kernel's lost",
            self.lost,
            wrapping(before.lost, after.lost),
        );
    }
}

/// Difference of two readings of a 32-bit counter that may have wrapped.
pub fn wrapping(before: u64, after: u64) -> i64 {
    let narrow = |n: u64| u32::try_from(n & u64::from(u32::MAX)).unwrap_or(0);
    i64::from(narrow(after).wrapping_sub(narrow(before)))
}

/// Attempts that `events` system calls made of which `begun` got their SYSCALL record: each of
/// those tries PROCTITLE and EOE as well, a refused one tries nothing more.
pub fn getppid_attempts(events: i64, begun: i64) -> i64 {
    events + 2 * begun
}

/// How far a measured stall time may be from the kernel's own: 5 %, and its clock ticks, which
/// round each stall on its own.
pub fn stall_slack_ns(kernel_ns: i64, stalls: i64, tick_ns: i64) -> i64 {
    kernel_ns / 20 + tick_ns * (1 + stalls.isqrt())
}

/// A count as the books have it.
pub fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measured on 6.12: 3,008 enqueued, 2,606 delivered, 395 freed in silence, 7 overflown.
    fn measured() -> Books {
        Books {
            attempted: 3100,
            filtered: 30,
            admitted: 3008,
            enqueued: 3008,
            drained: 3009,
            delivered: 2606,
            own: 4,
            backlog_limit: 62,
            retry_overflow: 7,
            silent: 395,
            main_growth: 3,
            retry_growth: 1,
            lost: 69,
            types: 3009,
            ..Books::default()
        }
    }

    fn failures(books: &Books) -> Vec<String> {
        let mut findings = Findings::default();
        books.laws(&mut findings);
        findings.list().to_vec()
    }

    #[test]
    fn laws_hold_for_what_was_measured() {
        assert_eq!(failures(&measured()), Vec::<String>::new());
        assert_eq!(measured().losses(), 464);
    }

    #[test]
    fn every_account_is_in_some_law() {
        type Account = fn(&mut Books) -> &mut i64;
        let accounts: [(&str, Account); 19] = [
            ("attempted", |b| &mut b.attempted),
            ("filtered", |b| &mut b.filtered),
            ("admitted", |b| &mut b.admitted),
            ("enqueued", |b| &mut b.enqueued),
            ("drained", |b| &mut b.drained),
            ("delivered", |b| &mut b.delivered),
            ("own", |b| &mut b.own),
            ("waiting", |b| &mut b.waiting),
            ("backlog_limit", |b| &mut b.backlog_limit),
            ("rate_limit", |b| &mut b.rate_limit),
            ("out_of_memory", |b| &mut b.out_of_memory),
            ("retry_overflow", |b| &mut b.retry_overflow),
            ("hold_overflow", |b| &mut b.hold_overflow),
            ("silent", |b| &mut b.silent),
            ("residual", |b| &mut b.residual),
            ("main_growth", |b| &mut b.main_growth),
            ("retry_growth", |b| &mut b.retry_growth),
            ("hold_growth", |b| &mut b.hold_growth),
            ("lost", |b| &mut b.lost),
        ];
        for (name, account) in accounts {
            let mut books = measured();
            *account(&mut books) += 1;
            assert!(
                !failures(&books).is_empty(),
                "{name} off by one went unnoticed"
            );
        }
    }

    #[test]
    fn missed_calls_are_the_only_slack() {
        let mut books = measured();
        books.delivered -= 2;
        books.missed = 1;
        assert_eq!(failures(&books).len(), 1);
        books.missed = 2;
        assert!(failures(&books).is_empty());
    }

    #[test]
    fn books_against_the_harness() {
        let mut report = StormReport::default();
        report.before.kernel = Some(KernelWords {
            lost: u64::from(u32::MAX),
            ..Default::default()
        });
        report.after.kernel = Some(KernelWords {
            main: 3,
            retry: 1,
            lost: 68,
            ..Default::default()
        });
        report.before.received = 100;
        report.after.received = 2706;
        let mut findings = Findings::default();
        measured().against(&report, &mut findings);
        assert_eq!(findings.list(), Vec::<String>::new());
        report.after.received += 1;
        measured().against(&report, &mut findings);
        assert_eq!(findings.list().len(), 1);
    }

    #[test]
    fn arithmetic() {
        assert_eq!(wrapping(5, 7), 2);
        assert_eq!(wrapping(u64::from(u32::MAX), 1), 2);
        assert_eq!(getppid_attempts(1000, 28), 1056);
        assert_eq!(
            stall_slack_ns(2_000_000_000, 64, 4_000_000),
            100_000_000 + 36_000_000
        );
        assert_eq!(stall_slack_ns(0, 0, 4_000_000), 4_000_000);
    }
}
