//! The answer in a word, in a line, and what limits it. In: [`Source`]s. Out: [`Verdict`], [`Need`], words.

use super::{
    boots,
    report::{Boot, Diagnosis, Event, Need, Source, Verdict, What},
};
use crate::{
    units::{count, plural},
    untrusted::Untrusted,
};

/// The worst that was found.
#[must_use]
pub fn verdict(sources: &[Source]) -> Verdict {
    boots(sources)
        .map(of_boot)
        .max()
        .unwrap_or(Verdict::NothingFound)
}

fn of_boot(boot: &Boot) -> Verdict {
    let has = |what: &str| boot.auditd.contains_key(what);
    if !boot.panics.is_empty() {
        Verdict::Panic
    } else if boot.lost_at_least > 0 {
        Verdict::Losses
    } else if has("suspended") || has("plugin_dropped") || has("plugins_suspended") {
        Verdict::LossesInAuditd
    } else if !boot.hung_tasks.is_empty() {
        Verdict::Hang
    } else if is_suspect(boot) {
        Verdict::Suspected
    } else {
        Verdict::NothingFound
    }
}

/// Whether records may have been lost where nobody counts them.
#[must_use]
pub fn is_suspect(boot: &Boot) -> bool {
    let freed = boot.printed_wanted > 0 && boot.audit_at_boot != Some(true);
    // Up to 4.9 a record that could not be printed was counted as lost. `audit_panic` tells of losses and
    // of other errors.
    let unprinted = boot.timeline.iter().any(|event| {
        matches!(&event.what, What::Suppressed { function, .. }
            if matches!(function.as_raw(), "audit_printk_skb" | "audit_panic"))
    });
    freed || unprinted
}

/// Losses, in order.
pub fn losses(sources: &[Source]) -> impl DoubleEndedIterator<Item = &Event> {
    boots(sources)
        .flat_map(|boot| &boot.timeline)
        .filter(|event| matches!(event.what, What::Losses { .. }))
}

/// The limit when a loss was seen last, else the last one of all.
#[must_use]
pub fn limit(sources: &[Source]) -> Option<u32> {
    let of_losses = losses(sources)
        .filter_map(|event| match event.what {
            What::Losses { limit, .. } => limit,
            _ => None,
        })
        .next_back();
    let seen = || {
        boots(sources)
            .flat_map(|boot| &boot.limits)
            .map(|seen| seen.limit)
            .next_back()
    };
    of_losses.or_else(seen)
}

/// What the log tells of the limit that would have sufficed.
#[must_use]
pub fn need(sources: &[Source]) -> Option<Need> {
    let mut need: Option<Need> = None;
    for event in losses(sources) {
        let What::Losses {
            counter_first,
            counter_last,
            depth_max,
            limit: Some(limit),
            reasons,
            ..
        } = &event.what
        else {
            continue;
        };
        // Without a reason (`-f 0`) it is most likely this one, but a depth proves it.
        let is_overflow = depth_max.is_some() || reasons.contains_key("backlog_limit");
        if !is_overflow || *limit == 0 {
            continue;
        }
        let burst = match (counter_first, counter_last) {
            (Some(first), Some(last)) if last > first => {
                Some(u64::from(*limit) + u64::from(last - first) + 1)
            }
            _ => None,
        };
        let so_far = need.get_or_insert(Need {
            more_than: *limit,
            if_one_burst: None,
        });
        so_far.more_than = so_far.more_than.max(*limit);
        so_far.if_one_burst = so_far.if_one_burst.max(burst);
    }
    need
}

/// The verdict in a line.
#[must_use]
pub fn headline(diagnosis: &Diagnosis) -> String {
    let boots = || boots(&diagnosis.sources);
    let lost = diagnosis.lost_at_least;
    let at_limit = diagnosis.limit.map_or_else(String::new, |limit| {
        format!(" at a limit of {}", count(u64::from(limit)))
    });
    let lost_words = format!(
        "at least {} {} lost{at_limit}",
        count(lost),
        plural(lost, "record")
    );
    let hung: u64 = boots().map(|boot| boot.hung_tasks.len() as u64).sum();
    let hung_words = || {
        let longest = boots()
            .flat_map(|boot| &boot.hung_tasks)
            .filter_map(|task| task.seconds)
            .max();
        let one = if hung == 1 { "" } else { ", one" };
        let length = longest.map_or_else(String::new, |s| format!("{one} for more than {s} s"));
        format!(
            "{} {} in audit_log_start{length}",
            count(hung),
            plural(hung, "task") + " hung"
        )
    };
    match diagnosis.verdict {
        Verdict::Panic => {
            let panics: Vec<&Untrusted> = boots().flat_map(|boot| &boot.panics).collect();
            let why = panics.last().map_or_else(String::new, ToString::to_string);
            if lost > 0 {
                format!("the kernel panicked ({why}); {lost_words}")
            } else {
                format!("the kernel panicked ({why})")
            }
        }
        Verdict::Losses if hung > 0 => format!("{lost_words}; {}", hung_words()),
        Verdict::Losses => lost_words,
        Verdict::LossesInAuditd => {
            "auditd lost events that the kernel had delivered; the kernel lost none that the log tells of"
                .to_owned()
        }
        Verdict::Hang => format!("{}; no loss is seen", hung_words()),
        Verdict::Suspected => {
            let printed: u64 = boots().map(|boot| boot.printed_wanted).sum();
            if printed > 0 {
                format!(
                    "{} {} may be lost where nobody counts: auditd did not take {}",
                    count(printed),
                    plural(printed, "record"),
                    if printed == 1 { "it" } else { "them" }
                )
            } else {
                let lines: u64 = boots().map(|boot| boot.suppressed_lines).sum();
                format!(
                    "records may be lost: {} {} of audit and others were not printed, and what is printed \
                     tells of no loss",
                    count(lines),
                    plural(lines, "line")
                )
            }
        }
        Verdict::NothingFound => "nothing that is wrong with audit is in this log".to_owned(),
    }
}

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
        notes.push(
            "no line of it looks like the kernel's or auditd's: is it the right log?".to_owned(),
        );
    }
    let suppressed: u64 = boots().map(|boot| boot.suppressed_lines).sum();
    if suppressed > 0 {
        notes.push(format!(
            "{} more {} suppressed: of all that share the kernel's printk limit, so that they are no count of \
             records, but there was more than is shown",
            count(suppressed),
            if suppressed == 1 { "line was" } else { "lines were" }
        ));
    }
    if diagnosis.lost_at_least > 0 {
        notes.push(
            "a refused SYSCALL record takes the other records of its event with it, which the kernel counts \
             nowhere: less arrived than the figure says"
                .to_owned(),
        );
    }
    if boots().any(|boot| boot.reasons.contains_key("no_record")) {
        notes.push(
            "the counter also counts records that were cut short and kept (out of memory in audit_expand \
             and the like): some of the figure may be no lost record"
                .to_owned(),
        );
    }
    for boot in boots() {
        if let Some(counter) = boot.counter
            && let Some(value) = counter.unconfirmed
        {
            notes.push(format!(
                "boot {}: the counter went back to {} once, which no second line confirms; that is not \
                 counted",
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
            "{} {} printed by the kernel since no auditd took them, as it is before auditd starts; only a host \
             booted with audit=1 keeps such records for it",
            count(printed),
            if printed == 1 { "record was" } else { "records were" }
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
            "the log itself misses lines in {} {}{}",
            count(gaps),
            plural(gaps, "place"),
            if lines > 0 {
                format!(", {} at least", count(lines))
            } else {
                String::new()
            }
        ));
    }
    if diagnosis.sources.len() > 1 && diagnosis.lost_at_least > 0 {
        notes.push(
            "several logs may tell of the same losses: the figure is that of the one which tells most"
                .to_owned(),
        );
    }
    notes
}
