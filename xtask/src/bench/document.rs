//! The document's tables: results come in, Markdown goes out, in the place between two markers. Pure.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::{
    cost::{Added, Cost},
    results::{HookCost, KernelResult, Ratio, Results, Row},
    variants::{BASE, FLOOR, OURS, OURS_PLAIN},
};

/// Where the tables begin.
const BEGIN: &str =
    "<!-- tables: made from docs/overhead.json by `cargo xtask bench overhead --render` -->\n";
/// Where they end.
const END: &str = "<!-- end of the tables -->\n";
/// Not measured on this kernel; the reason is in the JSON.
const NONE: &str = "not available";

/// The document with tables of these results.
///
/// # Errors
/// When a marker is missing.
pub(super) fn with_tables(document: &str, results: &Results) -> Result<String> {
    let lost = |marker: &str| format!("it has no line {}", marker.trim());
    let (before, rest) = document.split_once(BEGIN).with_context(|| lost(BEGIN))?;
    let (_, after) = rest.split_once(END).with_context(|| lost(END))?;
    Ok(format!("{before}{BEGIN}\n{}{END}{after}", tables(results)))
}

fn tables(results: &Results) -> String {
    let page = Page {
        kernels: &results.kernels,
    };
    [
        "### In the task that causes the record\n\n".to_owned(),
        page.task(),
        "### In kauditd\n\nFor each record, and for each wake-up, whatever its number of records.\n\n".to_owned(),
        page.kauditd(),
        "### Both together\n\n".to_owned(),
        page.total(),
        "### Ratios\n\nOf the instructions added to a record: in the task, in both together. Figures in bold miss their bar.\n\n"
            .to_owned(),
        page.ratios(results),
        "### Each hook of auditwatch\n\n\
         The cost that disappears without the hook: in the task, in kauditd, and for a wake-up of kauditd.\n\n"
            .to_owned(),
        page.hooks(),
        "### auditwatch's programs by themselves\n\n\
         The kernel's own count (`kernel.bpf_stats_enabled`), less that of an empty program: bodies only, without\n\
         trampolines. Instructions a run, and runs a record.\n\n"
            .to_owned(),
        page.programs(),
        "### Where this comes from\n\n".to_owned(),
        page.origins(),
        "The commands in the guests:\n\n".to_owned(),
        page.commands(),
    ]
    .concat()
}

/// Tables with a column for each kernel.
struct Page<'a> {
    kernels: &'a [KernelResult],
}

impl Page<'_> {
    fn task(&self) -> String {
        let mut table = self.heading(|kernel| kernel.release.clone());
        self.rows(&mut table, Cost::task_per_record, |added| {
            thousands(added.task_per_record, "+")
        });
        let share = |kernel: &KernelResult| {
            let cost = kernel.row(BASE)?.cost.as_ref()?;
            let added = u64::try_from(kernel.added(OURS)?.task_per_record).ok()?;
            let permille = (added * 1000 + cost.task_per_record() / 2) / cost.task_per_record();
            Some(format!("{}.{} %", permille / 10, permille % 10))
        };
        self.line(
            &mut table,
            "`auditwatch trace` in parts of the record",
            |kernel| share(kernel).unwrap_or_else(|| NONE.to_owned()),
        );
        table.push('\n');
        table
    }

    fn kauditd(&self) -> String {
        let mut table = self.heading(|kernel| kernel.kernel.clone());
        for row in self.labels() {
            self.line(&mut table, &label(row), |kernel| {
                let measured = kernel.row(&row.name);
                match measured.and_then(|row| Some((row.cost.as_ref()?, row.added?))) {
                    Some((cost, _)) if row.name == BASE => format!(
                        "{}, {}",
                        thousands(signed(cost.kauditd_per_record), ""),
                        thousands(signed(cost.kauditd_per_wakeup), "")
                    ),
                    Some((_, added)) => format!(
                        "{}, {}",
                        thousands(added.kauditd_per_record, "+"),
                        thousands(added.kauditd_per_wakeup, "+")
                    ),
                    None => NONE.to_owned(),
                }
            });
        }
        table.push('\n');
        table
    }

    fn total(&self) -> String {
        let mut table = self.heading(|kernel| kernel.kernel.clone());
        self.rows(
            &mut table,
            |cost| cost.task_per_record() + cost.kauditd_per_record,
            |added| thousands(added.total_per_record(), "+"),
        );
        table.push('\n');
        table
    }

    fn ratios(&self, results: &Results) -> String {
        let mut table = self.heading(|kernel| kernel.kernel.clone());
        let mut names: Vec<(&str, &str)> = Vec::new();
        for ratio in self.kernels.iter().flat_map(|kernel| &kernel.ratios) {
            if !names.contains(&(&ratio.of, &ratio.to)) {
                names.push((&ratio.of, &ratio.to));
            }
        }
        for (of, to) in names {
            let meets = |ratio: f64| match of {
                OURS_PLAIN => ratio <= results.times_floor_max,
                _ => ratio >= results.times_ours_min,
            };
            let bar = match of {
                OURS_PLAIN => format!("at most {}", results.times_floor_max),
                _ => format!("at least {}", results.times_ours_min),
            };
            let cell = |part: Option<f64>| match part {
                Some(part) if meets(part) => format!("{part:.2}"),
                Some(part) => format!("**{part:.2}**"),
                None => "-".to_owned(),
            };
            self.line(
                &mut table,
                &format!("{} / {} ({bar})", self.name(of), self.name(to)),
                |kernel| match kernel.ratio(of) {
                    Some(Ratio {
                        task: None,
                        total: None,
                        ..
                    })
                    | None => NONE.to_owned(),
                    Some(ratio) => format!("{}, {}", cell(ratio.task), cell(ratio.total)),
                },
            );
        }
        table.push('\n');
        table
    }

    fn hooks(&self) -> String {
        let mut table = self.heading(|kernel| kernel.kernel.clone());
        let cell = |lacking: Option<Added>| match lacking {
            Some(lacking) => format!(
                "{}, {}, {}",
                thousands(lacking.task_per_record, ""),
                thousands(lacking.kauditd_per_record, ""),
                thousands(lacking.kauditd_per_wakeup, "")
            ),
            None => NONE.to_owned(),
        };
        let all: &[HookCost] = self.kernels.last().map_or(&[], |kernel| &kernel.hooks);
        for hook in all {
            self.line(&mut table, &hook.label, |kernel| {
                let found = kernel.hooks.iter().find(|other| other.name == hook.name);
                cell(found.and_then(|hook| hook.lacking))
            });
        }
        self.line(&mut table, "all: `auditwatch trace`", |kernel| {
            cell(kernel.added(OURS))
        });
        table.push('\n');
        table
    }

    fn programs(&self) -> String {
        let mut table = self.heading(|kernel| kernel.kernel.clone());
        let mut names: Vec<&str> = Vec::new();
        for program in self.kernels.iter().flat_map(|kernel| &kernel.programs) {
            // What runs once in a trace costs nothing that counts.
            if program.runs_per_record > 0.0 && !names.contains(&program.name.as_str()) {
                names.push(&program.name);
            }
        }
        for name in names {
            self.line(&mut table, &format!("`{name}`"), |kernel| {
                let same = kernel
                    .programs
                    .iter()
                    .filter(|program| program.name == name);
                let cells: Vec<String> = same
                    .map(|program| format!("{}, {:.2}", program.per_run, program.runs_per_record))
                    .collect();
                if cells.is_empty() {
                    "-".to_owned()
                } else {
                    cells.join("; ")
                }
            });
        }
        table.push('\n');
        table
    }

    fn origins(&self) -> String {
        let mut text = String::new();
        for kernel in self.kernels {
            let mut tools = vec![kernel.emulator.clone()];
            tools.extend(kernel.tools.values().cloned());
            put(
                &mut text,
                &format!(
                    "- {} (`{}`): {}, `{}`; {}",
                    kernel.kernel,
                    kernel.release,
                    kernel.date,
                    kernel.command,
                    tools.join(", ")
                ),
            );
        }
        text.push('\n');
        text
    }

    fn commands(&self) -> String {
        let mut text = String::new();
        for row in self.labels() {
            put(&mut text, &format!("- {}: `{}`", row.label, row.command));
        }
        for hook in self.kernels.last().map_or(&[][..], |kernel| &kernel.hooks) {
            put(
                &mut text,
                &format!("- without {}: `{}`", hook.label, hook.command),
            );
        }
        text.push('\n');
        text
    }

    /// The rows of the newest kernel, which has them all.
    fn labels(&self) -> &[Row] {
        self.kernels.last().map_or(&[], |kernel| &kernel.rows)
    }

    /// What the tables call a row.
    fn name(&self, name: &str) -> String {
        let row = self.labels().iter().find(|row| row.name == name);
        row.map_or_else(|| name.to_owned(), |row| row.label.clone())
    }

    fn heading(&self, cell: impl Fn(&KernelResult) -> String) -> String {
        let mut table = "| |".to_owned();
        for kernel in self.kernels {
            let _ = write!(table, " {} |", cell(kernel));
        }
        table.push_str("\n|---|");
        table.push_str(&"---|".repeat(self.kernels.len()));
        table.push('\n');
        table
    }

    /// A line for each row: the cost of a record without tracing, and what the others add.
    fn rows(
        &self,
        table: &mut String,
        cost: impl Fn(&Cost) -> u64,
        added: impl Fn(Added) -> String,
    ) {
        for row in self.labels() {
            self.line(table, &label(row), |kernel| {
                let measured = kernel.row(&row.name);
                match measured.and_then(|row| Some((row.cost.as_ref()?, row.added?))) {
                    Some((base, _)) if row.name == BASE => thousands(signed(cost(base)), ""),
                    Some((_, more)) => added(more),
                    None => NONE.to_owned(),
                }
            });
        }
    }

    fn line(&self, table: &mut String, label: &str, cell: impl Fn(&KernelResult) -> String) {
        let cells: Vec<String> = self.kernels.iter().map(cell).collect();
        put(table, &format!("| {label} | {} |", cells.join(" | ")));
    }
}

/// A row's label in a table.
fn label(row: &Row) -> String {
    match row.name.as_str() {
        BASE => format!("{}: a record costs", row.label),
        FLOOR => format!("{} (the floor)", row.label),
        OURS => format!("**`{}`**", row.label),
        _ => row.label.clone(),
    }
}

/// With a comma between thousands; `plus` stands before what is not negative.
fn thousands(number: i64, plus: &str) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    let sign = if number < 0 { "-" } else { plus };
    format!("{sign}{text}")
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn put(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("invariant: a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::tests::result;

    const COMMITTED: &str = include_str!("../../../docs/overhead.json");
    const DOCUMENT: &str = include_str!("../../../docs/overhead.md");

    #[test]
    fn the_committed_document_shows_the_committed_results() {
        let results: Results = serde_json::from_str(COMMITTED).expect("docs/overhead.json");
        let shown = with_tables(DOCUMENT, &results).expect("the markers");
        similar_asserts::assert_eq!(
            shown,
            DOCUMENT,
            "docs/overhead.md differs from docs/overhead.json: run cargo xtask bench overhead --render"
        );
    }

    fn two_kernels() -> Results {
        let mut results = Results::new();
        let mut old = result("5.10");
        old.rows.retain(|row| row.name != "bpftrace-like");
        old.ratios.retain(|ratio| ratio.of != "bpftrace-like");
        results.put(old);
        results.put(result("6.1"));
        results
    }

    #[test]
    fn text_around_the_tables_stays() {
        let document = format!("# Title\n\n{BEGIN}old\n{END}\nCaveats.\n");
        let new = with_tables(&document, &two_kernels()).expect("the markers");
        assert!(new.starts_with("# Title\n") && new.ends_with("\nCaveats.\n"));
        assert!(!new.contains("old\n"));
        assert_eq!(with_tables(&new, &two_kernels()).expect("the markers"), new);
        assert!(with_tables("# Title\n", &two_kernels()).is_err());
        assert!(with_tables(BEGIN, &two_kernels()).is_err());
    }

    #[test]
    fn every_kernel_has_its_column() {
        let text = tables(&two_kernels());
        for line in [
            "| no tracing: a record costs | 9,000 | 9,000 |",
            "| **`auditwatch trace`** | +600 | +600 |",
            "| `auditwatch trace` in parts of the record | 6.7 % | 6.7 % |",
            "| no tracing: a record costs | 100, 1,000 | 100, 1,000 |",
            "| **`auditwatch trace`** | +1,100 | +1,100 |",
            "| auditwatch trace --attach kprobe | not available | not available |",
            "| auditwatch trace --no-talkers / empty programs on the same hooks (at most 2) | 1.50, 1.57 | 1.50, 1.57 |",
            "| attempts: exit of `audit_filter` | 400, 0, 0 | 400, 0, 0 |",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
        }
        assert!(text.contains("(at least 4) | not available | 5.00, **3.64** |"));
    }

    #[test]
    fn numbers_are_easy_to_read() {
        for (number, text) in [
            (0, "+0"),
            (999, "+999"),
            (1000, "+1,000"),
            (-12_345, "-12,345"),
        ] {
            assert_eq!(thousands(number, "+"), text);
        }
    }
}
