//! The verdict in a line: the finding with its number first. In: a [`Diagnosis`]. Out: a sentence.

use super::{
    boots,
    cause::Cause,
    moment::seconds_between,
    report::{Boot, Diagnosis, Verdict, When},
    words::{moment, seconds},
};
use crate::units::{count, counted};

/// The verdict in a line.
#[must_use]
pub fn headline(diagnosis: &Diagnosis) -> String {
    let lost = losses(diagnosis);
    match diagnosis.verdict {
        Verdict::Panic => {
            let why = boots(&diagnosis.sources)
                .flat_map(|boot| &boot.panics)
                .next_back()
                .map_or_else(String::new, ToString::to_string);
            let panicked = format!("the kernel panicked ({why})");
            if diagnosis.lost_at_least > 0 {
                format!("{panicked}; {lost}")
            } else {
                panicked
            }
        }
        Verdict::Losses if hung(diagnosis) > 0 => format!("{lost}; {}", hung_words(diagnosis)),
        Verdict::Losses => lost,
        Verdict::Hang => format!("{}; no loss is seen", hung_words(diagnosis)),
        Verdict::LossesInAuditd | Verdict::ConsumerFailed | Verdict::Suspected => {
            let first = diagnosis
                .causes
                .iter()
                .find_map(|&cause| trouble(cause, diagnosis));
            let lost = if diagnosis.verdict == Verdict::LossesInAuditd {
                "; no loss in the kernel is seen"
            } else {
                ""
            };
            first.map_or_else(|| "records may be lost".to_owned(), |first| first + lost)
        }
        Verdict::NothingFound => {
            let unread = diagnosis
                .notes
                .iter()
                .filter(|note| note.starts_with("not read: "))
                .count() as u64;
            if unread > 0 {
                format!(
                    "nothing that is wrong with audit is in the logs that could be read; {} not read",
                    count(unread)
                )
            } else {
                "nothing that is wrong with audit is in this log".to_owned()
            }
        }
    }
}

/// Losses with their limit and time.
fn losses(diagnosis: &Diagnosis) -> String {
    let has = |cause: Cause| diagnosis.causes.contains(&cause);
    let all = || boots(&diagnosis.sources).filter(|boot| boot.lost_at_least > 0);
    let lost = counted(diagnosis.lost_at_least, "record");
    let mut hosts: Vec<&str> = all()
        .filter_map(|boot| {
            boot.host
                .as_ref()
                .map(super::super::untrusted::Untrusted::as_raw)
        })
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    let on = if hosts.len() > 1 {
        format!(" on {} hosts", count(hosts.len() as u64))
    } else {
        String::new()
    };
    let rate = all().filter_map(|boot| boot.rate_limit).next_back();
    let at = if has(Cause::RateLimit) && !has(Cause::Overflow) {
        match rate {
            Some(rate) if rate > 0 => {
                format!(
                    " to the rate limit of {} records a second",
                    count(u64::from(rate))
                )
            }
            _ => " to the rate limit".to_owned(),
        }
    } else {
        let limit = diagnosis.limit.filter(|&limit| limit > 0);
        limit.map_or_else(String::new, |limit| {
            format!(" at a limit of {}", count(u64::from(limit)))
        })
    };
    let why = if let Some(long) = all().filter_map(|boot| boot.kauditd_stuck_seconds).max() {
        format!(
            "; kauditd, which empties the queue, was stuck for {}",
            seconds(long)
        )
    } else if has(Cause::QueueFarAbove) {
        let depth = all().filter_map(|boot| boot.depth_max).max().unwrap_or(0);
        format!(
            "; the queue held {} records, far above it",
            count(u64::from(depth))
        )
    } else {
        let other = diagnosis
            .causes
            .iter()
            .filter(|&&cause| cause < Cause::RateLimit || cause == Cause::OtherConsumer)
            .find_map(|&cause| trouble(cause, diagnosis));
        other.map_or_else(String::new, |other| format!("; {other}"))
    };
    format!(
        "at least {lost} lost{on}{at}{}{why}",
        time(&all().collect::<Vec<_>>())
    )
}

/// The first and the last sign of a loss, and the number of times.
fn time(boots: &[&Boot]) -> String {
    let incidents: u64 = boots.iter().map(|boot| boot.incidents).sum();
    // Hosts of one log are in any order.
    let first = boots
        .iter()
        .filter_map(|boot| boot.first_loss.as_ref())
        .min_by_key(|at| at.line);
    let last = boots
        .iter()
        .filter_map(|boot| boot.last_loss.as_ref())
        .max_by_key(|at| at.line);
    let known = |at: &&When| at.kernel_ns.is_some() || at.wall.is_some();
    let (Some(first), Some(last)) = (first.filter(known), last.filter(known)) else {
        return String::new();
    };
    let is_short = seconds_between(first, last) == Some(0);
    let (first, last) = (moment(first), moment(last));
    let times = if incidents > 1 {
        format!("{}, ", counted(incidents, "time"))
    } else {
        String::new()
    };
    if is_short || first == last {
        format!(" ({times}{first})")
    } else {
        format!(" ({times}{first} to {last})")
    }
}

fn hung(diagnosis: &Diagnosis) -> u64 {
    boots(&diagnosis.sources)
        .map(|boot| boot.hung_tasks.len() as u64)
        .sum()
}

fn hung_words(diagnosis: &Diagnosis) -> String {
    let longest = boots(&diagnosis.sources)
        .flat_map(|boot| &boot.hung_tasks)
        .filter_map(|task| task.seconds)
        .max();
    let hung = hung(diagnosis);
    let one = if hung == 1 { "" } else { ", one" };
    let length = longest.map_or_else(String::new, |longest| {
        format!("{one} for more than {longest} s")
    });
    format!("{} hung in audit_log_start{length}", counted(hung, "task"))
}

/// A trouble of the consumer, or a suspicion.
fn trouble(cause: Cause, diagnosis: &Diagnosis) -> Option<String> {
    let all = || boots(&diagnosis.sources);
    let reports = |what: &str| -> u64 { all().filter_map(|boot| boot.auditd.get(what)).sum() };
    Some(match cause {
        Cause::KauditdStuck => {
            let longest = all().filter_map(|boot| boot.kauditd_stuck_seconds).max()?;
            format!(
                "kauditd, which empties the queue, was stuck for {}",
                seconds(longest)
            )
        }
        Cause::KernelFault => {
            let fault = all().flat_map(|boot| &boot.kernel_faults).next()?;
            format!("a trace shows a fault of the kernel in audit ({fault})")
        }
        Cause::ConsumerGone => "the program that read audit ended".to_owned(),
        Cause::ConsumerKilled => "the kernel killed auditd to free memory".to_owned(),
        Cause::Halted => "auditd took the system down, as its configuration says".to_owned(),
        Cause::DiskFull => "auditd's disk is full".to_owned(),
        Cause::LogFileFull => {
            "auditd discards records: its log file is full and max_log_file_action is SUSPEND"
                .to_owned()
        }
        Cause::WriteError => format!(
            "auditd could not write to its log ({})",
            counted(reports("write_error"), "report")
        ),
        Cause::LoggingSuspended => "auditd suspended logging and discards records".to_owned(),
        Cause::NotStarted => "auditd could not start".to_owned(),
        Cause::PluginQueue => "auditd dropped events: the queue to its plugins was full".to_owned(),
        Cause::DispatcherQueue => {
            "events were dropped between auditd and its plugins: the queue of audispd was full"
                .to_owned()
        }
        Cause::RemoteQueue => "audisp-remote dropped events: its queue was full".to_owned(),
        Cause::PluginEnded => format!(
            "a plugin of auditd ended unexpectedly ({})",
            counted(reports("plugin_ended"), "report")
        ),
        Cause::OtherConsumer => {
            let (name, reports) = all()
                .flat_map(|boot| &boot.consumers)
                .max_by_key(|(_, reports)| **reports)?;
            format!(
                "{name} reports that it lost events ({})",
                counted(*reports, "report")
            )
        }
        Cause::MissingEvents => {
            let missing: u64 = all().map(|boot| boot.serial_gaps).sum();
            format!(
                "{} missing from audit.log: gaps in the serial numbers",
                if missing == 1 {
                    "1 event is".to_owned()
                } else {
                    format!("{} events are", count(missing))
                }
            )
        }
        Cause::SocketFull => format!(
            "auditd is behind: its socket was full {} (ENOBUFS), and the kernel tries again",
            counted(reports("no_buffers") + reports("refused"), "time")
        ),
        Cause::SilentLoss => {
            let printed: u64 = all().map(|boot| boot.printed_wanted).sum();
            format!(
                "{} may be lost and no counter shows it: auditd did not take {}",
                counted(printed, "record"),
                if printed == 1 { "it" } else { "them" }
            )
        }
        Cause::Suppressed => {
            let lines: u64 = all().map(|boot| boot.suppressed_lines).sum();
            format!(
                "records may be lost: the kernel did not print {} of audit and others",
                counted(lines, "line")
            )
        }
        Cause::LowDisk => "auditd's disk is nearly full".to_owned(),
        _ => return None,
    })
}
