//! The demo's stage: the guest's output comes in, what is for people is passed on, what is for us becomes claims.
//!
//! A claim that the summaries do not bear out is an error.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// The parts of auditwatch's summary that the demo speaks of.
#[derive(Clone, Debug, Deserialize)]
struct Summary {
    status: Status,
    ledger: Ledger,
    depth: Depth,
    stalls: Stalls,
}

#[derive(Clone, Debug, Deserialize)]
struct Status {
    limit_end: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct Ledger {
    attempted: u64,
    delivered: u64,
    dropped: Dropped,
}

#[derive(Clone, Debug, Deserialize)]
struct Dropped {
    backlog_limit: u64,
    rate_limit: u64,
    out_of_memory: u64,
    retry_overflow: u64,
    hold_overflow: u64,
    silent: u64,
}

impl Dropped {
    fn sum(&self) -> u64 {
        self.backlog_limit
            + self.rate_limit
            + self.out_of_memory
            + self.retry_overflow
            + self.hold_overflow
            + self.silent
    }
}

#[derive(Clone, Debug, Deserialize)]
struct Depth {
    max: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct Stalls {
    count: u64,
}

/// Takes the guest's output apart.
pub(super) struct Stage<W> {
    out: W,
    acts: Vec<Summary>,
    kernel_lost: Option<u64>,
}

impl<W: Write> Stage<W> {
    /// Passes on to `out` what is for people.
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            acts: Vec::new(),
            kernel_lost: None,
        }
    }

    /// The last sentence, if all that was claimed did happen.
    pub(super) fn closing(&self) -> Result<String> {
        let [first, second, third] = self.acts.as_slice() else {
            anyhow::bail!("{} acts of 3 were played", self.acts.len());
        };
        let kernel_lost = self
            .kernel_lost
            .context("the kernel's own count is missing")?;
        let (lost, silent) = (first.ledger.dropped.sum(), third.ledger.dropped.silent);
        ensure!(lost > 0, "nothing was lost in act 1");
        ensure!(
            second.ledger.dropped.sum() == 0,
            "{} records were lost in act 2",
            second.ledger.dropped.sum()
        );
        ensure!(
            second.stalls.count == 0,
            "{} tasks waited in act 2",
            second.stalls.count
        );
        ensure!(
            second.status.limit_end > first.status.limit_end,
            "no higher limit was applied: {}",
            second.status.limit_end
        );
        ensure!(silent > 0, "nothing was lost in silence in act 3");
        ensure!(
            kernel_lost == 0,
            "the kernel counted {kernel_lost} losses in act 3"
        );
        let (needed, limit) = (second.depth.max, second.status.limit_end);
        Ok(format!(
            "\nWith a limit of {limit}, of which the storm used {needed}, nothing was lost instead of {lost} records; and \
             where the kernel counted none, auditwatch counted the {silent} that auditd never got."
        ))
    }

    /// Takes a line of the guest's output.
    pub(super) fn put_line(&mut self, line: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(line);
        if let Some(act) = text.strip_prefix("@act ") {
            let (_, json) = act.split_once(' ').unwrap_or_default();
            self.acts.push(serde_json::from_str(json)?);
            if let [first, second] = self.acts.as_slice() {
                let table = side_by_side(first, second);
                self.out.write_all(table.as_bytes())?;
            }
        } else if let Some(number) = text.strip_prefix("@kernel-lost ") {
            self.kernel_lost = number.trim().parse().ok();
        } else {
            self.out.write_all(line)?;
            self.out.write_all(b"\n")?;
        }
        self.out.flush()
    }
}

fn side_by_side(first: &Summary, second: &Summary) -> String {
    type Row = (&'static str, fn(&Summary) -> u64);

    let mut text = format!("{:<22}{:>10}{:>10}\n", "the same storm", "act 1", "act 2");
    let rows: [Row; 6] = [
        ("backlog limit", |act| act.status.limit_end),
        ("records attempted", |act| act.ledger.attempted),
        ("records delivered", |act| act.ledger.delivered),
        ("records lost", |act| act.ledger.dropped.sum()),
        ("peak depth", |act| act.depth.max),
        ("stalls", |act| act.stalls.count),
    ];
    for (name, number) in rows {
        writeln!(
            text,
            "{name:<22}{:>10}{:>10}",
            number(first),
            number(second)
        )
        .expect("invariant: a String takes everything");
    }
    text.push_str(
        "(From a second trace around the one above: it has the 100 or so records more that the start of that one makes.)\n\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(number: u32, lost: u64, silent: u64) -> String {
        format!(
            "@act {number} {{\"status\":{{\"limit_end\":{}}},\"ledger\":{{\"attempted\":9,\"delivered\":5,\
             \"dropped\":{{\"backlog_limit\":{lost},\"rate_limit\":0,\"out_of_memory\":0,\"retry_overflow\":0,\
             \"hold_overflow\":0,\"silent\":{silent}}}}},\"depth\":{{\"max\":7}},\"stalls\":{{\"count\":0}}}}\n",
            320 * number
        )
    }

    fn played(lines: &[String]) -> (Result<String>, String) {
        let mut out = Vec::new();
        let mut stage = Stage::new(&mut out);
        for line in lines.concat().lines() {
            stage
                .put_line(line.as_bytes())
                .expect("a Vec takes everything");
        }
        let closing = stage.closing();
        (closing, String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn demo_shows_results_instead_of_json_summaries() {
        let lines = [
            "Act 1\n".to_owned(),
            act(1, 4, 0),
            act(2, 0, 0),
            act(3, 0, 3),
            "@kernel-lost 0\n".to_owned(),
        ];
        let (closing, out) = played(&lines);
        assert!(
            closing
                .expect("all happened")
                .contains("instead of 4 records")
        );
        assert!(out.starts_with("Act 1\nthe same storm"), "{out}");
        assert!(!out.contains('@'));
    }

    #[test]
    fn act_that_did_not_happen_is_an_error() {
        let end = || "@kernel-lost 0\n".to_owned();
        for lines in [
            vec![act(1, 4, 0), act(2, 0, 0), end()],
            vec![act(1, 0, 0), act(2, 0, 0), act(3, 0, 3), end()],
            vec![act(1, 4, 0), act(2, 1, 0), act(3, 0, 3), end()],
            vec![act(1, 4, 0), act(2, 0, 0), act(3, 0, 0), end()],
            vec![act(1, 4, 0), act(2, 0, 0), act(3, 0, 3)],
            vec![
                act(1, 4, 0),
                act(2, 0, 0),
                act(3, 0, 3),
                "@kernel-lost 2\n".to_owned(),
            ],
        ] {
            assert!(played(&lines).0.is_err(), "{lines:?}");
        }
    }
}
