//! What a reader should know beside the verdict. In: a [`Diagnosis`]. Out: sentences.

use super::{boots, cause::Cause, limits::Limits, report::Diagnosis};
use crate::units::{count, counted, plural, was};

/// What a reader should know.
#[must_use]
pub fn notes(diagnosis: &Diagnosis) -> Vec<String> {
    let mut notes = Vec::new();
    let boots = || boots(&diagnosis.sources);
    let quiet: u64 = diagnosis
        .sources
        .iter()
        .map(|source| source.quiet_boots)
        .sum();
    if boots().next().is_none() && quiet == 0 {
        notes.push("no line of this log reports a state or a problem of audit".to_owned());
    }
    let suppressed: u64 = boots().map(|boot| boot.suppressed_lines).sum();
    if suppressed > 0 {
        notes.push(format!(
            "the kernel did not print {} more; they share one limit with other messages, so that they are no number of \
             records",
            counted(suppressed, "line")
        ));
    }
    if diagnosis.causes.contains(&Cause::Overflow) && diagnosis.lost_at_least > 0 {
        notes.push(
            "when the first record of an event is dropped, the kernel never creates the others, and no counter shows them"
                .to_owned(),
        );
    }
    if boots().any(|boot| boot.reasons.contains_key("no_record")) {
        notes.push(
            "the counter includes records that were cut short and kept (out of memory in audit_expand)"
                .to_owned(),
        );
    }
    for boot in boots() {
        if let Some(counter) = boot.counter
            && let Some(value) = counter.unconfirmed
        {
            notes.push(format!(
                "boot {}: the counter went back to {} in one line; no second line confirms it, so that it is not counted",
                boot.number,
                count(u64::from(value))
            ));
        }
    }
    let printed: u64 = boots()
        .map(|boot| boot.printed_records - boot.printed_wanted)
        .sum();
    if printed > 0 {
        notes.push(format!(
            "{} {} printed because no auditd ran, as before it starts; this is harmless. To make a console without \
             auditd quiet: start auditd, or boot with audit=0, or lower the console's level (dmesg -n 4)",
            counted(printed, "record"),
            was(printed)
        ));
    }
    let gaps: u64 = diagnosis.sources.iter().map(|source| source.gaps).sum();
    if gaps > 0 {
        let lines: u64 = diagnosis
            .sources
            .iter()
            .map(|source| source.lines_missing)
            .sum();
        notes.push(format!(
            "lines are missing from the log in {} {}{}",
            count(gaps),
            plural(gaps, "place"),
            if lines > 0 {
                format!(", at least {}", count(lines))
            } else {
                String::new()
            }
        ));
    }
    if diagnosis.sources.len() > 1 && diagnosis.lost_at_least > 0 {
        notes.push(
            "several logs may report the same losses: the figure is that of the log with the most"
                .to_owned(),
        );
    }
    let limits = Limits::of(&diagnosis.sources);
    if limits.is_raised
        && let (Some(over), Some(now)) = (limits.over, limits.at_end)
    {
        let now = if now == 0 {
            "lifted (0)".to_owned()
        } else {
            format!("raised to {}", count(u64::from(now)))
        };
        notes.push(format!(
            "the limit was {now} after the losses at {}, and no loss is seen since",
            count(u64::from(over))
        ));
    }
    if diagnosis.failure == Some(2) && diagnosis.causes.is_empty() {
        notes.push(
            "failure mode is 2 (-f 2): the kernel panics at the first lost record, for any reason"
                .to_owned(),
        );
    }
    notes
}
