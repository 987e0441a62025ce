//! The overhead report: figures come in, a table for people or an object for machines goes out. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    figures::{Figures, RECORDS_PER_CALL},
    variants::{BASE, BASE_AGAIN, FLOOR, Variant},
};

/// Characters of a reason that the table shows; the JSON has them all.
const REASON: usize = 100;

/// The figures of one kernel.
#[derive(Clone, Debug)]
pub(super) struct Report {
    /// What `uname -r` says.
    pub(super) kernel: String,
    /// What was measured, in the order of the table.
    pub(super) variants: Vec<Variant>,
    /// What came out.
    pub(super) figures: Figures,
}

impl Report {
    /// The variants that have a row.
    fn rows(&self) -> impl Iterator<Item = &Variant> {
        self.variants
            .iter()
            .filter(|variant| !variant.label.is_empty() && variant.name != BASE_AGAIN)
    }

    /// How many times the cost of empty programs a variant costs, where both are known.
    fn times_floor(&self, name: &str) -> Option<f64> {
        let floor = self
            .figures
            .added_per_record(FLOOR)
            .filter(|&floor| floor > 0)?;
        let added = self.figures.added_per_record(name)?;
        Some(float(added) / float(floor))
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut text = format!(
            "kernel {}: instructions of the task that causes a record ({RECORDS_PER_CALL} records a call)\n\n\
             {:<48} {:>10} {:>13} {:>10} {:>7}\n",
            self.kernel, "", "a call", "added/record", "x empty", "spread"
        );
        for variant in self.rows() {
            let Some(cost) = self.figures.costs.get(variant.name) else {
                let failure = self.figures.failures.get(variant.name);
                let reason = failure.map_or("the guest ended before", String::as_str);
                let reason: String = reason.chars().take(REASON).collect();
                put(
                    &mut text,
                    &format!("{:<48} not measured: {reason}", variant.label),
                );
                continue;
            };
            let (added, times) = if variant.name == BASE {
                (String::new(), String::new())
            } else {
                let added = self.figures.added_per_record(variant.name);
                let times = self.times_floor(variant.name);
                (
                    added.map_or_else(String::new, |added| added.to_string()),
                    times.map_or_else(String::new, |times| format!("{times:.2}")),
                )
            };
            let line = format!(
                "{:<48} {:>10} {added:>13} {times:>10} {:>7}",
                variant.label, cost.per_call, cost.spread
            );
            put(&mut text, &line);
        }
        if !self.figures.programs.is_empty() {
            put(
                &mut text,
                &format!(
                    "\n{:<48} {:>16} {:>16}",
                    "auditwatch's programs (body only)", "runs a record", "instructions"
                ),
            );
        }
        for program in &self.figures.programs {
            let line = format!(
                "{:<48} {:>16.2} {:>16.0}",
                program.name, program.runs_per_record, program.per_run
            );
            put(&mut text, &line);
        }
        text
    }

    /// For machines.
    pub(super) fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows()
            .map(|variant| {
                json!({
                    "name": variant.name,
                    "label": variant.label,
                    "cost": self.figures.costs.get(variant.name),
                    "added_per_record": self.figures.added_per_record(variant.name),
                    "times_empty": self.times_floor(variant.name),
                    "failure": self.figures.failures.get(variant.name),
                })
            })
            .collect();
        json!({
            "kernel": self.kernel,
            "unit": "instructions",
            "records_per_call": RECORDS_PER_CALL,
            "rows": rows,
            "programs": self.figures.programs,
        })
    }
}

fn put(text: &mut String, line: &str) {
    let line = line.trim_end();
    writeln!(text, "{line}").expect("invariant: a String takes everything");
}

#[expect(
    clippy::cast_precision_loss,
    reason = "instructions of a record are far below 2^52"
)]
fn float(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::variants;

    #[test]
    fn the_table_tells_what_was_measured_and_what_was_not() {
        let text = r#"calls base {"calls":1,"rounds":[{"p10":27000,"mean":40000}]}
calls floor {"calls":1,"rounds":[{"p10":28200,"mean":40000}]}
calls ours {"calls":1,"rounds":[{"p10":28800,"mean":40000}]}
failed ours-kprobe exit status 1: no kprobes
"#;
        let report = Report {
            kernel: "6.1.0".to_owned(),
            variants: variants::variants(false),
            figures: Figures::parse(text).expect("lines"),
        };
        let table = report.table();
        let ours = table
            .lines()
            .find(|line| line.starts_with("auditwatch trace "))
            .expect("a row");
        assert!(
            ours.split_whitespace()
                .eq(["auditwatch", "trace", "28800", "600", "1.50", "0"]),
            "{ours}"
        );
        assert!(table.contains("not measured: exit status 1: no kprobes"));
        let json = report.json();
        assert_eq!(json["rows"][2]["added_per_record"], 600);
        assert_eq!(json["rows"][3]["cost"], Value::Null);
    }
}
