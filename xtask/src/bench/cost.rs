//! What a variant costs: the generator's measurements come in, instructions of a record in the task and in kauditd go out.
//! Pure.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// Records of one audited getppid: SYSCALL, PROCTITLE and EOE.
pub(super) const RECORDS_PER_CALL: u64 = 3;

/// What the generator wrote.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Calls {
    /// How many it made.
    #[serde(rename = "calls")]
    pub(super) made: u64,
    rounds: Vec<Round>,
    drains: Vec<DrainedCalls>,
}

/// Instructions of the calls of one round.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Round {
    p10: u64,
    mean: u64,
}

/// What kauditd took for the records of some calls in one go.
#[derive(Clone, Copy, Debug, Deserialize)]
struct DrainedCalls {
    calls: u64,
    instructions: u64,
}

/// What is measured of a variant, in instructions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cost {
    /// Of an audited call on the clean path, in the task: the median over the rounds of their 10th percentiles.
    pub(super) task_per_call: u64,
    /// How far the rounds are apart in this.
    pub(super) task_spread_per_call: u64,
    /// The mean of all calls, which has ticks and refills of the kernel's caches in it.
    pub(super) task_mean_per_call: u64,
    /// Of a record more that kauditd takes off the queue while it is awake.
    pub(super) kauditd_per_record: u64,
    /// Of waking kauditd, whatever the number of records, and of the measurement itself.
    pub(super) kauditd_per_wakeup: u64,
}

impl Cost {
    /// Takes together what the generator measured.
    ///
    /// # Errors
    /// When it has no rounds, or kauditd was not measured.
    pub(super) fn of(read: &Calls) -> Result<Self> {
        let rounds = &read.rounds;
        let mut clean: Vec<u64> = rounds.iter().map(|round| round.p10).collect();
        clean.sort_unstable();
        let (Some(first), Some(last)) = (clean.first(), clean.last()) else {
            bail!("no rounds");
        };
        let (per_record, per_wakeup) = kauditd(&read.drains)?;
        Ok(Self {
            task_per_call: clean[clean.len() / 2],
            task_spread_per_call: last - first,
            task_mean_per_call: rounds.iter().map(|round| round.mean).sum::<u64>()
                / rounds.len() as u64,
            kauditd_per_record: per_record,
            kauditd_per_wakeup: per_wakeup,
        })
    }

    /// Of a record, in the task that causes it.
    pub(super) fn task_per_record(&self) -> u64 {
        (self.task_per_call + RECORDS_PER_CALL / 2) / RECORDS_PER_CALL
    }
}

/// What a variant adds, in instructions; a gain is negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Added {
    /// To a record, in the task that causes it.
    pub(super) task_per_record: i64,
    /// To a record, in kauditd.
    pub(super) kauditd_per_record: i64,
    /// To a wake-up of kauditd.
    pub(super) kauditd_per_wakeup: i64,
}

impl Added {
    /// What `to` costs more than `from`.
    pub(super) fn between(from: &Cost, to: &Cost) -> Self {
        let grown = |of: fn(&Cost) -> u64| signed(of(to)) - signed(of(from));
        Self {
            task_per_record: rounded(grown(|cost| cost.task_per_call), RECORDS_PER_CALL),
            kauditd_per_record: grown(|cost| cost.kauditd_per_record),
            kauditd_per_wakeup: grown(|cost| cost.kauditd_per_wakeup),
        }
    }

    /// In the task and in kauditd, to a record.
    pub(super) fn total_per_record(self) -> i64 {
        self.task_per_record + self.kauditd_per_record
    }
}

/// `number` by `by`, half up.
fn rounded(number: i64, by: u64) -> i64 {
    let by = signed(by);
    (number + by / 2).div_euclid(by)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Instructions of a record and of a wake-up: two numbers of records make a line, by the median of each.
fn kauditd(drains: &[DrainedCalls]) -> Result<(u64, u64)> {
    let sizes: BTreeSet<u64> = drains.iter().map(|drain| drain.calls).collect();
    let median = |calls: u64| {
        let mut all: Vec<u64> = drains
            .iter()
            .filter(|drain| drain.calls == calls)
            .map(|drain| drain.instructions)
            .collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let [few, many] = sizes.iter().copied().collect::<Vec<_>>()[..] else {
        bail!("kauditd was not measured with two numbers of records");
    };
    let records = (many - few) * RECORDS_PER_CALL;
    let per_record = rounded(signed(median(many)) - signed(median(few)), records);
    let per_wakeup = signed(median(few)) - per_record * signed(few * RECORDS_PER_CALL);
    match (per_record.try_into(), per_wakeup.try_into()) {
        (Ok(per_record), Ok(per_wakeup)) => Ok((per_record, per_wakeup)),
        _ => bail!("kauditd took less for {many} calls than for {few}"),
    }
}

/// Rounded to two decimals.
pub(super) fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kauditd_is_measured_by_two_numbers_of_records() {
        let drains = |all: &[(u64, u64)]| -> Vec<DrainedCalls> {
            let drain = |&(calls, instructions)| DrainedCalls {
                calls,
                instructions,
            };
            all.iter().map(drain).collect()
        };
        // One of three has a tick in it.
        let with_tick = [
            (4, 2200),
            (64, 90_000),
            (4, 2200),
            (64, 20_200),
            (4, 2200),
            (64, 20_200),
        ];
        assert_eq!(kauditd(&drains(&with_tick)).expect("figures"), (100, 1000));
        assert!(kauditd(&drains(&[(4, 2200)])).is_err());
        assert!(kauditd(&drains(&[(4, 2200), (64, 200)])).is_err());
        assert!(kauditd(&[]).is_err());
    }
}
