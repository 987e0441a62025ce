//! What `rescue` found and did, for people.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    rescue::{report::RescueReport, sleepers::Place},
    units::duration,
    untrusted::{NAME_COLUMNS, Untrusted, shown},
};

/// Names that are listed.
const MOST_NAMES: usize = 10;

/// The report as text.
#[must_use]
pub fn text(report: &RescueReport) -> String {
    let mut text = String::new();
    for line in &report.explanation {
        let _ = write!(text, "{}", shown(line));
        text.push('\n');
    }
    let mut names: BTreeMap<(&Untrusted, Place), Vec<u32>> = BTreeMap::new();
    for sleeper in &report.sleepers {
        let tids = names.entry((&sleeper.comm, sleeper.place)).or_default();
        tids.push(sleeper.tid);
    }
    for ((comm, place), tids) in names.iter().take(MOST_NAMES) {
        let shown: Vec<String> = tids.iter().take(MOST_NAMES).map(u32::to_string).collect();
        let more = if tids.len() > shown.len() {
            ", ..."
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "  {} x {} in {}: {}{more}",
            tids.len(),
            comm.clipped(NAME_COLUMNS),
            place.function(),
            shown.join(", ")
        );
    }
    for step in &report.steps {
        let _ = writeln!(
            text,
            "  {:>9}  {}; {} asleep",
            duration(step.at_ns),
            shown(&step.what),
            step.sleepers_left
        );
    }
    match (report.freed, report.left, report.took_ns) {
        (Some(freed), Some(0), Some(took)) => {
            let _ = writeln!(text, "freed {freed} of {freed} in {}", duration(took));
        }
        (Some(freed), Some(left), _) => {
            let _ = writeln!(text, "freed {freed} of {}", freed + left);
        }
        _ if report.verdict.is_stuck() && !report.asked_to_free => {
            text.push_str("nothing changed; to free them: auditwatch rescue --yes\n");
        }
        _ => {}
    }
    text
}
