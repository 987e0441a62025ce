//! The guest's output: its lines come in, what a record costs under each variant goes out. Pure.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{
    cost::{Added, Calls, Cost, RECORDS_PER_CALL, hundredths},
    variants::{BASE, BASE_AGAIN, FLOOR, OURS},
};

/// Up to here two measurements without tracing, the first and the last, may differ, in instructions a call.
const DRIFT: u64 = 150;

/// The same for kauditd, in instructions a record.
const KAUDITD_DRIFT: u64 = 50;

/// Records that may come from the tools' own start and end.
const OTHER_RECORDS: u64 = 500;

/// What one BPF program costs by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ProgramCost {
    /// Its name, as far as the kernel keeps it.
    pub(super) name: String,
    /// Runs for each record that the generator made.
    pub(super) runs_per_record: f64,
    /// Instructions of a run, without those of a program that does nothing, rounded.
    pub(super) per_run: i64,
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
    /// Versions by the tool's name.
    pub(super) tools: BTreeMap<String, String>,
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
    attempted: Option<u64>,
    drained: Option<u64>,
    delivered: Option<u64>,
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
                    calls = Some(read.made);
                    let cost = Cost::of(&read).with_context(context)?;
                    figures.costs.insert(name.to_owned(), cost);
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
                "tool" => {
                    figures
                        .tools
                        .insert(name.to_owned(), rest.trim().to_owned());
                }
                _ => bail!("the guest says: {line}"),
            }
        }
        let made = calls.unwrap_or_default() * RECORDS_PER_CALL;
        figures.programs = program_costs(&programs, made);
        Ok(figures)
    }

    /// What a variant adds, if it was measured.
    pub(super) fn added(&self, name: &str) -> Option<Added> {
        Some(Added::between(self.costs.get(BASE)?, self.costs.get(name)?))
    }

    /// What a variant lacks of auditwatch's cost, if both were measured.
    pub(super) fn lacking(&self, name: &str) -> Option<Added> {
        Some(Added::between(self.costs.get(name)?, self.costs.get(OURS)?))
    }

    /// Fails unless what the report rests on is there, and the guest remained as it was.
    pub(super) fn check(&self) -> Result<()> {
        for name in [BASE, BASE_AGAIN, OURS] {
            if let Some(failure) = self.failures.get(name) {
                bail!("{name} was not measured: {failure}");
            }
            ensure!(self.costs.contains_key(name), "{name} was not measured");
        }
        let (first, last) = (&self.costs[BASE], &self.costs[BASE_AGAIN]);
        let drift = first.task_per_call.abs_diff(last.task_per_call);
        ensure!(
            drift <= DRIFT,
            "a call without tracing cost {drift} instructions more or less at the end than at the beginning"
        );
        let drift = first.kauditd_per_record.abs_diff(last.kauditd_per_record);
        ensure!(
            drift <= KAUDITD_DRIFT,
            "a record without tracing cost kauditd {drift} instructions more or less at the end than at the \
             beginning"
        );
        Ok(())
    }
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
        drained,
        delivered,
    } = summary.ledger;
    let plausible = made..made + OTHER_RECORDS;
    // A hook that was left out leaves its count out.
    let counts: Vec<u64> = [attempted, drained, delivered]
        .into_iter()
        .flatten()
        .collect();
    let agree = counts.windows(2).all(|pair| pair[0] == pair[1]);
    (!agree || !counts.first().is_some_and(|count| plausible.contains(count))).then(|| {
        let [attempted, drained, delivered] = [attempted, drained, delivered]
            .map(|count| count.map_or("-".to_owned(), |count| count.to_string()));
        format!(
            "it saw {attempted} records attempted, {drained} drained and {delivered} delivered; {made} were made"
        )
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
            runs_per_record: hundredths(as_float(program.run_cnt) / as_float(made)),
            per_run: whole(per_run(program) - empty),
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

#[expect(
    clippy::cast_possible_truncation,
    reason = "instructions of a run are far below 2^52"
)]
fn whole(number: f64) -> i64 {
    number.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(name: &str, p10: &[u64], drains: [u64; 2]) -> String {
        let rounds: Vec<String> = p10
            .iter()
            .map(|p10| format!(r#"{{"p10":{p10},"mean":{}}}"#, p10 + 10))
            .collect();
        let [few, many] = drains;
        format!(
            r#"calls {name} {{"calls":100,"rounds":[{}],"drains":[{{"calls":4,"instructions":{few}}},{{"calls":64,"instructions":{many}}}]}}"#,
            rounds.join(",")
        )
    }

    /// Without tracing kauditd takes 100 a record and 1000 a wake-up; with, 150 and 1300.
    fn ours(attempted: u64, verdict: &str) -> String {
        [
            calls("base", &[30, 27, 27], [2_200, 20_200]),
            calls("base-again", &[27], [2_200, 20_200]),
            calls("ours", &[90], [3_100, 30_100]),
            format!(
                r#"said ours {{"hooks":[{{"name":"f","verdict":"{verdict}"}}],"ledger":{{"attempted":{attempted},"drained":null,"delivered":{attempted}}}}}"#
            ),
        ]
        .join("\n")
    }

    #[test]
    fn the_cost_of_a_record_is_a_third_of_what_is_added_to_a_call() {
        let figures = Figures::parse(&ours(304, "ok")).expect("lines");
        assert_eq!(
            figures.costs["base"],
            Cost {
                task_per_call: 27,
                task_spread_per_call: 3,
                task_mean_per_call: 38,
                kauditd_per_record: 100,
                kauditd_per_wakeup: 1000,
            }
        );
        let added = figures.added("ours").expect("figures");
        assert_eq!(
            added,
            Added {
                task_per_record: 21,
                kauditd_per_record: 50,
                kauditd_per_wakeup: 300,
            }
        );
        assert_eq!(added.total_per_record(), 71);
        assert_eq!(figures.added("floor"), None);
        assert!(figures.check().is_ok());
    }

    #[test]
    fn cost_of_a_hook_is_the_difference_without_it() {
        let text = format!(
            "{}\n{}",
            ours(304, "ok"),
            calls("without-drain", &[90], [2_560, 21_760])
        );
        let figures = Figures::parse(&text).expect("lines");
        let lacking = figures.lacking("without-drain").expect("figures");
        assert_eq!(
            (lacking.task_per_record, lacking.kauditd_per_record),
            (0, 43)
        );
        assert_eq!(figures.lacking("without-passes"), None);
    }

    #[test]
    fn a_trace_that_did_not_measure_costs_nothing_that_counts() {
        for text in [ours(299, "ok"), ours(9999, "ok"), ours(300, "failed")] {
            let figures = Figures::parse(&text).expect("lines");
            assert!(figures.check().is_err(), "{text}");
            assert_eq!(figures.added("ours"), None);
        }
        let text = ours(300, "ok");
        let refused = text.replace("\"delivered\":300", "\"delivered\":301");
        for text in [refused, text.replace(":300", ":null")] {
            assert_eq!(Figures::parse(&text).expect("lines").added("ours"), None);
        }
        let failed = Figures::parse("failed ours exit status 1: no BTF").expect("a line");
        assert_eq!(failed.failures["ours"], "exit status 1: no BTF");
        assert!(Figures::parse("sh: vmtest: not found").is_err());
    }

    #[test]
    fn a_guest_that_drifts_is_refused() {
        for (old, new) in [
            ("\"p10\":27,\"mean\":37}],", "\"p10\":2700,\"mean\":37}],"),
            ("20200}]}\ncalls ours", "30200}]}\ncalls ours"),
        ] {
            let text = ours(300, "ok");
            let drifted = text.replacen(old, new, 2);
            assert_ne!(text, drifted);
            let last = Figures::parse(&drifted).expect("lines").check();
            assert!(last.is_err(), "{drifted}");
        }
    }

    #[test]
    fn cost_of_programs_excludes_that_of_an_empty_one() {
        let text = format!(
            r#"{}
programs floor [{{"id":1,"name":"e","run_time_ns":700,"run_cnt":10}},{{"id":2,"name":"x"}}]
programs ours [{{"id":3,"name":"audit_filter_ex","run_time_ns":60000,"run_cnt":300}},{{"id":4,"name":"idle"}}]
tool perf perf version 6.1.177
"#,
            calls("ours", &[90], [3_100, 30_100])
        );
        let figures = Figures::parse(&text).expect("lines");
        assert_eq!(
            figures.programs,
            [ProgramCost {
                name: "audit_filter_ex".to_owned(),
                runs_per_record: 1.0,
                per_run: 130
            }]
        );
        assert_eq!(figures.tools["perf"], "perf version 6.1.177");
    }
}
