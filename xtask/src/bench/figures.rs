//! The guest's output: its lines come in, what a record costs under each variant goes out. Pure.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::variants::{BASE, BASE_AGAIN, FLOOR, OURS};

/// Records of one audited getppid: SYSCALL, PROCTITLE and EOE.
pub(super) const RECORDS_PER_CALL: u64 = 3;

/// Up to here two measurements without tracing, the first and the last, may differ, in instructions a call.
const DRIFT: u64 = 150;

/// Records that may come from the tools' own start and end.
const OTHER_RECORDS: u64 = 500;

/// What the generator wrote.
#[derive(Clone, Debug, Deserialize)]
struct Calls {
    calls: u64,
    rounds: Vec<Round>,
}

/// Instructions of the calls of one round.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Round {
    p10: u64,
    mean: u64,
}

/// What a variant costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cost {
    /// Instructions of an audited call on the clean path: the median over the rounds of their 10th percentiles.
    pub(super) per_call: u64,
    /// How far the rounds are apart in this.
    pub(super) spread: u64,
    /// The mean of all calls, which has ticks and refills of the kernel's caches in it.
    pub(super) mean_per_call: u64,
}

/// What one BPF program costs by itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ProgramCost {
    /// Its name, as far as the kernel keeps it.
    pub(super) name: String,
    /// Runs for each record that the generator made.
    pub(super) runs_per_record: f64,
    /// Instructions of a run, without those of a program that does nothing.
    pub(super) per_run: f64,
}

/// What came out of one guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// Costs by the variant's name.
    pub(super) costs: BTreeMap<String, Cost>,
    /// Why variants have none.
    pub(super) failures: BTreeMap<String, String>,
    /// The programs of auditwatch, those that ran.
    pub(super) programs: Vec<ProgramCost>,
}

/// What bpftool says of a program; the counters stand there once it has run.
#[derive(Clone, Debug, Deserialize)]
struct Program {
    #[serde(default)]
    name: String,
    #[serde(default)]
    run_time_ns: u64,
    #[serde(default)]
    run_cnt: u64,
}

/// The parts of auditwatch's summary that tell whether it measured.
#[derive(Clone, Debug, Deserialize)]
struct Summary {
    hooks: Vec<Hook>,
    ledger: Ledger,
}

#[derive(Clone, Debug, Deserialize)]
struct Hook {
    name: String,
    verdict: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Ledger {
    attempted: u64,
    delivered: u64,
}

impl Figures {
    /// Reads all lines of a guest.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut figures = Self::default();
        let mut calls = None;
        let mut programs: BTreeMap<&str, Vec<Program>> = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.splitn(3, ' ');
            let (kind, name, rest) = (
                words.next().unwrap_or_default(),
                words.next().unwrap_or_default(),
                words.next().unwrap_or_default(),
            );
            let context = || format!("cannot read the guest's line: {line}");
            match kind {
                "calls" => {
                    let read: Calls = serde_json::from_str(rest).with_context(context)?;
                    calls = Some(read.calls);
                    figures
                        .costs
                        .insert(name.to_owned(), cost(&read.rounds).with_context(context)?);
                }
                "failed" => {
                    figures.failures.insert(name.to_owned(), rest.to_owned());
                }
                "said" => {
                    let made = calls.unwrap_or_default() * RECORDS_PER_CALL;
                    let summary = serde_json::from_str(rest).with_context(context)?;
                    if let Some(doubt) = doubt(&summary, made) {
                        figures.costs.remove(name);
                        figures.failures.insert(name.to_owned(), doubt);
                    }
                }
                "programs" => {
                    let read = serde_json::from_str(rest).with_context(context)?;
                    programs.insert(name, read);
                }
                _ => bail!("the guest says: {line}"),
            }
        }
        let made = calls.unwrap_or_default() * RECORDS_PER_CALL;
        figures.programs = program_costs(&programs, made);
        Ok(figures)
    }

    /// Instructions that a variant adds to a record, if it was measured; a gain is negative.
    pub(super) fn added_per_record(&self, name: &str) -> Option<i64> {
        let difference =
            signed(self.costs.get(name)?.per_call) - signed(self.costs.get(BASE)?.per_call);
        let records = signed(RECORDS_PER_CALL);
        // Rounded half up.
        Some((difference + records / 2).div_euclid(records))
    }

    /// Fails unless what the report rests on is there, and the guest remained as it was.
    pub(super) fn check(&self) -> Result<()> {
        for name in [BASE, BASE_AGAIN, OURS] {
            if let Some(failure) = self.failures.get(name) {
                bail!("{name} was not measured: {failure}");
            }
            ensure!(self.costs.contains_key(name), "{name} was not measured");
        }
        let drift = self.costs[BASE]
            .per_call
            .abs_diff(self.costs[BASE_AGAIN].per_call);
        ensure!(
            drift <= DRIFT,
            "a call without tracing cost {drift} instructions more or less at the end than at the beginning"
        );
        Ok(())
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn cost(rounds: &[Round]) -> Result<Cost> {
    let mut clean: Vec<u64> = rounds.iter().map(|round| round.p10).collect();
    clean.sort_unstable();
    let (Some(first), Some(last)) = (clean.first(), clean.last()) else {
        bail!("no rounds");
    };
    Ok(Cost {
        per_call: clean[clean.len() / 2],
        spread: last - first,
        mean_per_call: rounds.iter().map(|round| round.mean).sum::<u64>() / rounds.len() as u64,
    })
}

/// Why a trace's cost means nothing, if so.
fn doubt(summary: &Summary, made: u64) -> Option<String> {
    let missing: Vec<&str> = summary
        .hooks
        .iter()
        .filter(|hook| !["ok", "degraded", "unneeded"].contains(&hook.verdict.as_str()))
        .map(|hook| hook.name.as_str())
        .collect();
    if !missing.is_empty() {
        return Some(format!("it had no hook on {}", missing.join(", ")));
    }
    let Ledger {
        attempted,
        delivered,
    } = summary.ledger;
    let plausible = made..made + OTHER_RECORDS;
    (!plausible.contains(&attempted) || attempted != delivered).then(|| {
        format!("it saw {attempted} records, {delivered} of them delivered; {made} were made")
    })
}

fn program_costs(programs: &BTreeMap<&str, Vec<Program>>, made: u64) -> Vec<ProgramCost> {
    let ran = |name: &str| -> Vec<&Program> {
        let all = programs.get(name).map(Vec::as_slice).unwrap_or_default();
        all.iter().filter(|program| program.run_cnt > 0).collect()
    };
    let Some(empty) = ran(FLOOR).into_iter().map(per_run).reduce(f64::min) else {
        return Vec::new();
    };
    ran(OURS)
        .into_iter()
        .map(|program| ProgramCost {
            name: program.name.clone(),
            runs_per_record: as_float(program.run_cnt) / as_float(made),
            per_run: per_run(program) - empty,
        })
        .collect()
}

fn per_run(program: &Program) -> f64 {
    as_float(program.run_time_ns) / as_float(program.run_cnt)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of one short run are far below 2^52"
)]
fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASES: &str = r#"calls base {"calls":100,"rounds":[{"p10":30,"mean":40},{"p10":27,"mean":40},{"p10":27,"mean":43}]}
calls base-again {"calls":100,"rounds":[{"p10":27,"mean":40}]}
"#;

    fn ours(attempted: u64, verdict: &str) -> String {
        format!(
            r#"{BASES}calls ours {{"calls":100,"rounds":[{{"p10":90,"mean":99}}]}}
said ours {{"hooks":[{{"name":"f","verdict":"{verdict}"}}],"ledger":{{"attempted":{attempted},"delivered":{attempted}}}}}
"#
        )
    }

    #[test]
    fn the_cost_of_a_record_is_a_third_of_what_is_added_to_a_call() {
        let figures = Figures::parse(&ours(304, "ok")).expect("lines");
        assert_eq!(
            figures.costs["base"],
            Cost {
                per_call: 27,
                spread: 3,
                mean_per_call: 41
            }
        );
        assert_eq!(figures.added_per_record("ours"), Some(21));
        assert_eq!(figures.added_per_record("base"), Some(0));
        assert_eq!(figures.added_per_record("floor"), None);
        assert!(figures.check().is_ok());
    }

    #[test]
    fn a_trace_that_did_not_measure_costs_nothing_that_counts() {
        for text in [ours(299, "ok"), ours(9999, "ok"), ours(300, "failed")] {
            let figures = Figures::parse(&text).expect("lines");
            assert!(figures.check().is_err(), "{text}");
            assert_eq!(figures.added_per_record("ours"), None);
        }
        let failed = Figures::parse("failed ours exit status 1: no BTF").expect("a line");
        assert_eq!(failed.failures["ours"], "exit status 1: no BTF");
        assert!(Figures::parse("sh: vmtest: not found").is_err());
    }

    #[test]
    fn a_guest_that_drifts_is_refused() {
        let text = ours(300, "ok").replace(
            "base-again {\"calls\":100,\"rounds\":[{\"p10\":27",
            "base-again {\"calls\":100,\"rounds\":[{\"p10\":2700",
        );
        assert!(Figures::parse(&text).expect("lines").check().is_err());
    }

    #[test]
    fn programs_cost_what_an_empty_one_does_not() {
        let text = r#"calls ours {"calls":100,"rounds":[{"p10":90,"mean":99}]}
programs floor [{"id":1,"name":"e","run_time_ns":700,"run_cnt":10},{"id":2,"name":"x"}]
programs ours [{"id":3,"name":"audit_filter_ex","run_time_ns":60000,"run_cnt":300},{"id":4,"name":"idle"}]
"#;
        let figures = Figures::parse(text).expect("lines");
        assert_eq!(
            figures.programs,
            [ProgramCost {
                name: "audit_filter_ex".to_owned(),
                runs_per_record: 1.0,
                per_run: 130.0
            }]
        );
    }
}
