//! The rule of `cargo xtask bench overhead --check`: the committed result and a new one of the same kernel come in, what is
//! to be said of the difference goes out. Pure.

use super::{
    cost::Added,
    results::KernelResult,
    variants::{FLOOR, OURS, OURS_KPROBE, OURS_PLAIN},
};

/// By so many percent of what is committed auditwatch's cost may grow unnoticed.
const GROWTH_MAX_PERCENT: i64 = 3;
/// How a growth ends: either way it is seen.
const WAY_OUT: &str = "make it cheaper, or say in the change log why it is worth it, and commit what \
    `cargo xtask bench overhead --write` writes";

/// A part of what is added.
type Part = fn(Added) -> i64;

/// What is compared: its name, where it stands, and by how many instructions one boot differs from another. What the
/// kernel's allocator has at hand decides it in kauditd.
const PARTS: [(&str, Part, i64); 2] = [
    ("the task", |added| added.task_per_record, 0),
    ("kauditd", |added| added.kauditd_per_record, 40),
];

/// What is to be said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Each figure beside the committed one.
    pub(super) notes: Vec<String>,
    /// What must not be.
    pub(super) failures: Vec<String>,
}

/// Compares auditwatch's rows. A kernel of another release is compared all the same: only its newest build can be had.
pub(super) fn compare(committed: Option<&KernelResult>, measured: &KernelResult) -> Findings {
    let mut findings = Findings::default();
    let kernel = &measured.kernel;
    let Some(committed) = committed else {
        findings.failures.push(format!(
            "kernel {kernel}: docs/overhead.json has no figures of it; commit what \
             `cargo xtask bench overhead --write --kernel {kernel}` writes"
        ));
        return findings;
    };
    let mut reason = String::new();
    if committed.release != measured.release {
        reason = format!(
            " (the committed figure is of {}, this one of {}{})",
            committed.release,
            measured.release,
            floors(committed, measured)
        );
        findings.notes.push(format!(
            "kernel {kernel}: the committed figures are of {}, these of {}: part of a difference may be the \
             kernel's{}",
            committed.release,
            measured.release,
            floors(committed, measured)
        ));
    }
    for variant in [OURS, OURS_PLAIN, OURS_KPROBE] {
        let (Some(old), Some(new)) = (committed.added(variant), measured.added(variant)) else {
            findings
                .failures
                .push(unmeasured(committed, measured, variant));
            continue;
        };
        for (place, part, noise) in PARTS {
            let (old, new) = (part(old), part(new));
            findings.notes.push(format!(
                "kernel {kernel}: {variant} adds {new} instructions to a record in {place}; committed: {old}"
            ));
            if new * 100 > old * (100 + GROWTH_MAX_PERCENT) && new - old > noise {
                findings.failures.push(format!(
                    "kernel {kernel}: {variant} adds {new} instructions to a record in {place}, more than the \
                     committed {old} and {GROWTH_MAX_PERCENT} %{reason}: {WAY_OUT}"
                ));
            }
        }
    }
    findings
}

/// What empty programs cost on both, as far as that is known.
fn floors(committed: &KernelResult, measured: &KernelResult) -> String {
    match (committed.added(FLOOR), measured.added(FLOOR)) {
        (Some(old), Some(new)) => format!(
            "; empty programs add {} and {} in the task, {} and {} in kauditd",
            old.task_per_record,
            new.task_per_record,
            old.kauditd_per_record,
            new.kauditd_per_record
        ),
        _ => String::new(),
    }
}

fn unmeasured(committed: &KernelResult, measured: &KernelResult, variant: &str) -> String {
    let kernel = &measured.kernel;
    if committed.added(variant).is_none() {
        return format!(
            "kernel {kernel}: docs/overhead.json has no figures of {variant}; commit what \
             `cargo xtask bench overhead --write --kernel {kernel}` writes"
        );
    }
    let row = measured.row(variant);
    let reason = row
        .and_then(|row| row.failure.as_deref())
        .unwrap_or("it has no row");
    format!(
        "kernel {kernel}: {variant} was not measured: {reason}; see its hooks with \
         `cargo xtask vm --kernel {kernel} -- auditwatch doctor`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::{Row, tests::result};

    /// A result in which both rows of auditwatch add so much.
    fn with(task: i64, kauditd: i64) -> KernelResult {
        let mut result = result("6.1");
        for row in &mut result.rows {
            if [OURS, OURS_PLAIN, OURS_KPROBE].contains(&row.name.as_str()) {
                row.added = Some(Added {
                    task_per_record: task,
                    kauditd_per_record: kauditd,
                    kauditd_per_wakeup: 0,
                });
                row.failure = None;
            }
        }
        result
    }

    fn row<'a>(result: &'a mut KernelResult, name: &str) -> &'a mut Row {
        let mut rows = result.rows.iter_mut();
        rows.find(|row| row.name == name).expect("a row")
    }

    #[test]
    fn three_percent_are_let_through_and_no_more() {
        let committed = with(600, 500);
        for (task, kauditd, failures) in [
            (600, 500, 0),
            (618, 515, 0),
            (300, 200, 0),
            (619, 515, 3),
            (618, 540, 0),
            (618, 541, 3),
            (619, 541, 6),
        ] {
            let findings = compare(Some(&committed), &with(task, kauditd));
            assert_eq!(findings.failures.len(), failures, "{task} {kauditd}");
            assert_eq!(findings.notes.len(), 6);
        }
    }

    #[test]
    fn a_failure_names_variant_kernel_both_figures_and_the_way_out() {
        let findings = compare(Some(&with(600, 500)), &with(700, 500));
        let text = findings.failures.first().expect("a failure");
        for word in [
            "kernel 6.1",
            "ours adds 700",
            "the task",
            "committed 600",
            "--write",
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }

    #[test]
    fn another_build_of_the_kernel_is_compared_and_named() {
        let mut measured = with(700, 500);
        measured.release = "6.1.0-2".to_owned();
        let findings = compare(Some(&with(600, 500)), &measured);
        assert!(findings.notes[0].contains("6.1.0-1, these of 6.1.0-2"));
        assert!(findings.notes[0].contains("empty programs add 400 and 400"));
        assert!(findings.failures[0].contains("6.1.0-2"));
        let same_cost = compare(Some(&with(700, 500)), &measured);
        assert_eq!(same_cost.failures, [""; 0]);
    }

    #[test]
    fn unmeasured_row_fails_the_check() {
        let committed = with(600, 500);
        let mut measured = with(600, 500);
        row(&mut measured, OURS_KPROBE).added = None;
        row(&mut measured, OURS_KPROBE).failure = Some("no kprobes".to_owned());
        let findings = compare(Some(&committed), &measured);
        assert_eq!(findings.failures.len(), 1);
        assert!(findings.failures[0].contains("not measured: no kprobes"));
        let swapped = compare(Some(&measured), &committed);
        assert!(swapped.failures[0].contains("no figures of ours-kprobe"));
        let nothing = compare(None, &measured);
        assert!(nothing.failures[0].contains("--write --kernel 6.1"));
    }
}
