//! The overhead of one kernel for a terminal: its result comes in, a table goes out. Pure.

use std::fmt::Write as _;

use super::{
    cost::RECORDS_PER_CALL,
    results::{KernelResult, Ratio, Results},
    variants::{BASE, OURS_PLAIN},
};

/// Characters of a reason that the table shows; the JSON has them all.
const REASON: usize = 100;

/// The table of one kernel. `bars` are those of the results file.
pub(super) fn table(result: &KernelResult, bars: &Results) -> String {
    let mut text = String::new();
    put(
        &mut text,
        &format!(
            "kernel {}: instructions ({RECORDS_PER_CALL} records a call)\n\n{:<60} {:>10} {:>8} {:>9} {:>9} {:>9}",
            result.release, "", "task", "task", "kauditd", "kauditd", "total"
        ),
    );
    put(
        &mut text,
        &format!(
            "{:<60} {:>10} {:>8} {:>9} {:>9} {:>9}",
            "", "a call", "+record", "+record", "+wake-up", "+record"
        ),
    );
    for row in &result.rows {
        let Some(cost) = &row.cost else {
            let reason = row.failure.as_deref().unwrap_or("nobody knows why");
            let reason: String = reason.chars().take(REASON).collect();
            put(
                &mut text,
                &format!("{:<60} not measured: {reason}", row.label),
            );
            continue;
        };
        let [task, kauditd, wakeup, total] = match row.added {
            Some(_) if row.name == BASE => [
                format!("({})", cost.task_per_record()),
                format!("({})", cost.kauditd_per_record),
                format!("({})", cost.kauditd_per_wakeup),
                format!("({})", cost.task_per_record() + cost.kauditd_per_record),
            ],
            Some(added) => [
                added.task_per_record,
                added.kauditd_per_record,
                added.kauditd_per_wakeup,
                added.total_per_record(),
            ]
            .map(|added| added.to_string()),
            None => [const { String::new() }; 4],
        };
        put(
            &mut text,
            &format!(
                "{:<60} {:>10} {task:>8} {kauditd:>9} {wakeup:>9} {total:>9}",
                row.label, cost.task_per_call
            ),
        );
    }
    hooks(&mut text, result);
    programs(&mut text, result);
    ratios(&mut text, result, bars);
    text
}

fn hooks(text: &mut String, result: &KernelResult) {
    if result.hooks.is_empty() {
        return;
    }
    put(
        text,
        "\nwhat auditwatch's cost lacks without each of its hooks",
    );
    for hook in &result.hooks {
        let line = match hook.lacking {
            Some(lacking) => format!(
                "{:<60} {:>10} {:>8} {:>9} {:>9} {:>9}",
                hook.label,
                "",
                lacking.task_per_record,
                lacking.kauditd_per_record,
                lacking.kauditd_per_wakeup,
                lacking.total_per_record()
            ),
            None => format!(
                "{:<60} not measured: {}",
                hook.label,
                hook.failure.as_deref().unwrap_or("nobody knows why")
            ),
        };
        put(text, &line);
    }
}

fn programs(text: &mut String, result: &KernelResult) {
    if result.programs.is_empty() {
        return;
    }
    put(
        text,
        &format!(
            "\n{:<60} {:>16} {:>16}",
            "auditwatch's programs (body only)", "runs a record", "instructions"
        ),
    );
    for program in &result.programs {
        put(
            text,
            &format!(
                "{:<60} {:>16.2} {:>16}",
                program.name, program.runs_per_record, program.per_run
            ),
        );
    }
}

fn ratios(text: &mut String, result: &KernelResult, bars: &Results) {
    if !result.ratios.is_empty() {
        put(text, "\nratios of what is added: task, kauditd, total");
    }
    for ratio in &result.ratios {
        let Ratio {
            of,
            to,
            task,
            kauditd,
            total,
        } = ratio;
        let bar = if of == OURS_PLAIN {
            format!("at most {}", bars.times_floor_max)
        } else {
            format!("at least {}", bars.times_ours_min)
        };
        let parts = [task, kauditd, total]
            .map(|part| part.map_or_else(|| "-".to_owned(), |part| format!("{part:.2}")));
        put(
            text,
            &format!(
                "{:<60} {}   (bar: {bar})",
                format!("{of} / {to}"),
                parts.join("  ")
            ),
        );
    }
}

fn put(text: &mut String, line: &str) {
    let line = line.trim_end();
    writeln!(text, "{line}").expect("invariant: a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::tests::result;

    #[test]
    fn table_distinguishes_measured_from_unmeasured() {
        let table = table(&result("6.1"), &Results::new());
        let line = |begin: &str| -> Vec<String> {
            let mut lines = table.lines().filter_map(|line| line.strip_prefix(begin));
            let rest = lines.next().expect("a row");
            rest.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(
            line("auditwatch trace  "),
            ["28800", "600", "500", "0", "1100"]
        );
        assert_eq!(
            line("no tracing"),
            ["27000", "(9000)", "(100)", "(1000)", "(9100)"]
        );
        assert_eq!(
            line("attempts: exit of `audit_filter`"),
            ["400", "0", "0", "400"]
        );
        assert_eq!(line("ours-plain / floor")[..3], ["1.50", "1.67", "1.57"]);
        assert!(table.contains("not measured: exit status 1: no kprobes"));
        assert!(table.contains("bpftrace-like / ours-plain"));
    }
}
