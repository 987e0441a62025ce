//! What to do. In: the causes of a [`Diagnosis`], and the [`Place`] it is done in. Out: [`Advice`], the most important
//! first. Without a cause there is none.
//!
//! A log never tells how much was needed, only that it was more than the limit. The number that is advised is a
//! baseline that others ask for, or twice the limit that did not suffice; it is never below the limit in force.

use super::{
    boots,
    cause::Cause,
    limits::{Limits, target},
    place::Place,
    report::{Advice, Boot, Diagnosis},
    words::seconds,
};
use crate::{
    kernel::record_size::USUAL_RECORD_BYTES,
    units::{bytes, count},
};

/// The limit that CIS Benchmarks and DISA STIG ask for, records.
pub const BASELINE: u32 = 8192;

/// All of it.
#[must_use]
pub fn advice(diagnosis: &Diagnosis, place: &Place) -> Vec<Advice> {
    let limits = Limits::of(&diagnosis.sources);
    let all = || boots(&diagnosis.sources);
    let has = |cause: Cause| diagnosis.causes.contains(&cause);
    let mut advice: Vec<Advice> = Vec::new();
    // With -f 2 each loss is a panic, so that it comes first wherever records are lost.
    if diagnosis.failure == Some(2) && !diagnosis.causes.is_empty() {
        advice.push(panics(diagnosis, &limits, place));
    }
    for &cause in &diagnosis.causes {
        match cause {
            Cause::Panic | Cause::Unexplained | Cause::Suppressed => {}
            // Advised already, or of no use.
            Cause::Overflow if has(Cause::SlowConsumer) => {}
            Cause::Overflow => advice.extend(raise(diagnosis, &limits, place)),
            Cause::BeforeRules => advice.extend(early(&limits, place)),
            Cause::SlowConsumer => {
                // Below the baseline a bigger limit is the first thing to try.
                let first = limits.over.is_some_and(|over| over < BASELINE);
                if first {
                    advice.extend(raise(diagnosis, &limits, place));
                }
                let is_retry = all().any(|boot| boot.reasons.contains_key("retry_overflow"));
                advice.push(slow(first && has(Cause::Overflow), is_retry, place));
            }
            cause => advice.extend(other(cause, all().collect::<Vec<_>>().as_slice(), place)),
        }
    }
    let is_unclear = has(Cause::Unexplained) || has(Cause::Suppressed) || has(Cause::Overflow);
    let is_about_limit = ![
        Cause::KauditdStuck,
        Cause::QueueFarAbove,
        Cause::RateLimit,
        Cause::ConsumerGone,
    ]
    .into_iter()
    .any(has);
    if is_unclear && is_about_limit && !place.is_disk() {
        advice.push(measure(has(Cause::Overflow), place));
    }
    let mut seen: Vec<String> = Vec::new();
    advice.retain(|advice| {
        let is_new = !seen.contains(&advice.what);
        seen.push(advice.what.clone());
        is_new
    });
    advice
}

fn say(what: impl Into<String>, why: impl Into<String>, commands: Vec<String>) -> Advice {
    Advice {
        what: what.into(),
        why: why.into(),
        commands,
    }
}

fn measure(is_too_small: bool, place: &Place) -> Advice {
    let why = if is_too_small {
        "a log shows that the limit was too small, and not how much more is needed"
    } else {
        "the log does not show why the records were lost"
    };
    if place.runs_auditwatch() {
        say(
            "measure the need under the same load",
            why,
            vec!["auditwatch recommend --for 10m".to_owned()],
        )
    } else {
        say(
            "watch the counter and the queue under the same load",
            why,
            place.live(&["watch -n 1 auditctl -s"]),
        )
    }
}

fn panics(diagnosis: &Diagnosis, limits: &Limits, place: &Place) -> Advice {
    let is_gone = diagnosis.causes.contains(&Cause::ConsumerGone);
    let more = match target(limits) {
        _ if is_gone => {
            "keep the program that reads audit running; no limit prevents this panic".to_owned()
        }
        Some(limit) => format!(
            "raise the limit to {} first, and set no rate limit and no wait time of 0",
            count(u64::from(limit))
        ),
        None => "keep the limit, and set no rate limit and no wait time of 0".to_owned(),
    };
    let rules = place.path("/etc/audit/rules.d");
    say(
        format!("set failure mode 1 (-f 1, also in {rules}) unless a policy asks for 2"),
        format!(
            "with -f 2 the kernel panics at the first lost record, for any reason; if it must stay: {more}"
        ),
        place.live(&["auditctl -f 1"]),
    )
}

fn raise(diagnosis: &Diagnosis, limits: &Limits, place: &Place) -> Option<Advice> {
    let number = |value: u32| count(u64::from(value));
    let Some(over) = limits.over else {
        return Some(say(
            format!("raise the limit to {}", number(BASELINE)),
            "the log does not name the limit: auditctl -s does (backlog_limit; 64 if nobody set it). If the losses \
             are seconds after boot, add audit_backlog_limit= to the kernel command line",
            [place.live(&["auditctl -s"]), place.set_limit(BASELINE)].concat(),
        ));
    };
    let Some(target) = target(limits) else {
        // Long already, nobody raised it since, and it lost as much as it holds.
        let is_slow = !limits.is_raised && diagnosis.lost_at_least >= u64::from(over);
        return is_slow.then(|| {
            say(
                "reduce the records, or make the consumer faster: flush and freq in auditd.conf, its disk, its plugins",
                format!(
                    "the limit is {} already; when a queue of that length is full, the consumer does not keep up, and \
                     a bigger limit mostly delays the loss",
                    number(over)
                ),
                vec![format!(
                    "grep -E '^(flush|freq|q_depth)' {}",
                    place.path("/etc/audit/auditd.conf")
                )],
            )
        });
    };
    let burst = diagnosis
        .need
        .and_then(|need| need.if_one_burst)
        .map_or_else(String::new, |burst| {
            format!(" (up to {} if the losses were one burst)", count(burst))
        });
    let what_it_is = if target == BASELINE {
        "the value that CIS and STIG ask for"
    } else {
        "about twice that"
    };
    let locked = if boots(&diagnosis.sources).any(|boot| boot.enabled == Some(2)) {
        "; the settings are locked (-e 2), so it takes a reboot"
    } else {
        ""
    };
    let memory = u64::from(target) * USUAL_RECORD_BYTES;
    Some(say(
        format!(
            "raise the limit to {}{locked}{}",
            number(target),
            place.how_limit_stays(target)
        ),
        format!(
            "more than {} was needed{burst}; {} is {what_it_is}. The full queue takes {} of kernel memory",
            number(over),
            number(target),
            bytes(memory)
        ),
        place.set_limit(target),
    ))
}

/// Overflows before the rules were loaded, which only the kernel's command line can prevent.
fn early(limits: &Limits, place: &Place) -> Option<Advice> {
    let limit = target(limits)
        .or(limits.at_end)
        .filter(|&limit| limit > 64)?;
    let word = format!("audit_backlog_limit={limit}");
    Some(say(
        format!("add {word} to the kernel command line"),
        "these losses came before the rules were loaded, while the limit of the boot was in force",
        place.boot_option(&word),
    ))
}

fn slow(is_second: bool, is_retry: bool, place: &Place) -> Advice {
    let why = if is_retry {
        "the retry queue was full, because the consumer did not read for so long; a bigger limit then only delays the loss"
    } else {
        "records came faster than the consumer took them for more than a minute; a bigger limit then only delays the loss"
    };
    let begin = if is_second { "if losses go on: " } else { "" };
    let conf = place.path("/etc/audit/auditd.conf");
    let mut commands = Vec::new();
    if place.runs_auditwatch() {
        commands.push("auditwatch trace --duration 60s".to_owned());
    }
    commands.push(format!("grep -E '^(flush|freq|q_depth|log_format)' {conf}"));
    say(
        format!(
            "{begin}make the consumer faster, or reduce the records: flush and freq, disk, plugins, rules"
        ),
        why,
        commands,
    )
}

/// The causes that no limit changes.
#[expect(clippy::too_many_lines, reason = "one arm for each cause")]
fn other(cause: Cause, boots: &[&Boot], place: &Place) -> Option<Advice> {
    let conf = place.path("/etc/audit/auditd.conf");
    Some(match cause {
        Cause::KauditdStuck => stuck(boots, place),
        Cause::KernelFault => {
            let is_timeout = boots
                .iter()
                .any(|boot| boot.kernel_faults.contains(&"schedule_timeout"));
            say(
                "boot a newer kernel",
                if is_timeout {
                    "audit_log_start called schedule_timeout with a negative time, so that its tasks spin: Red Hat bug \
                     962976 of RHEL 6, mended by RHSA-2013:1173 (6.4) and RHSA-2013:1645 (6.5)"
                } else {
                    "the trace shows auditd_reset and kauditd_hold_skb, which call each other without end when the \
                     consumer goes away; no limit helps"
                },
                place.live(&["uname -r"]),
            )
        }
        Cause::QueueFarAbove => {
            let depth = boots.iter().filter_map(|boot| boot.depth_max).max()?;
            say(
                "find out who adds records that the limit does not hold: stop auditing auditd itself, then restart it",
                format!(
                    "the queue held {} records, about {} of kernel memory; the limit does not hold records of auditd \
                     itself, so that a bigger limit does not help. SELinux denials of auditd_t are such records \
                     (kernel bug, fixed in 5.13)",
                    count(u64::from(depth)),
                    bytes(u64::from(depth) * USUAL_RECORD_BYTES)
                ),
                [
                    place.live(&["ausearch -m AVC -c auditd | tail", "auditctl -l"]),
                    place.restart_auditd(),
                ]
                .concat(),
            )
        }
        Cause::ConsumerGone => say(
            "find out why the program that reads audit ended, and start it",
            "without a consumer the queue fills, or records are printed and discarded; no limit prevents that",
            place.start_auditd(),
        ),
        Cause::ConsumerKilled => say(
            "find out what used the memory, protect auditd from the OOM killer, and start it",
            "the kernel killed auditd to free memory; a bigger limit would take more of it",
            place.start_auditd(),
        ),
        Cause::Halted => say(
            format!(
                "make room on auditd's disk, and check the actions in {conf} (space_left_action, \
                 admin_space_left_action, disk_full_action, disk_error_action)"
            ),
            "auditd took the system down because its configuration says so",
            place_on_disk(place),
        ),
        Cause::DiskFull | Cause::LowDisk => say(
            "make room on auditd's disk",
            if cause == Cause::DiskFull {
                "auditd cannot write: it discards what it reads, whatever the limit"
            } else {
                "auditd warns before it suspends logging or takes the system down"
            },
            place_on_disk(place),
        ),
        Cause::LogFileFull => say(
            format!(
                "set max_log_file_action = ROTATE (or KEEP_LOGS) in {conf}, then rotate the log"
            ),
            "max_log_file_action is SUSPEND and the log file has its greatest size; resuming alone suspends logging \
             again at once",
            [
                vec![format!(
                    "grep -E '^(max_log_file|max_log_file_action|num_logs)' {conf}"
                )],
                place.live(&["auditctl --signal reload", "auditctl --signal rotate"]),
            ]
            .concat(),
        ),
        Cause::WriteError => say(
            "repair the disk or file system of auditd's log",
            "auditd could not write: the records that it reads then are discarded, whatever the limit",
            place_on_disk(place),
        ),
        Cause::LoggingSuspended => say(
            "make room on auditd's disk, then let it log again",
            "auditd suspended logging: the records that it reads then are discarded, whatever the limit",
            [
                place_on_disk(place),
                place.live(&["auditctl --signal resume"]),
            ]
            .concat(),
        ),
        Cause::NotStarted => say(
            "find out why auditd could not start, and start it",
            "without it nobody takes the records: the queue fills, or they are printed and discarded",
            place.start_auditd(),
        ),
        Cause::RateLimit => {
            let rate = boots.iter().filter_map(|boot| boot.rate_limit).next_back();
            say(
                "lift the rate limit (-r in the rules), or let the rules make fewer records",
                format!(
                    "{} dropped the records; no backlog limit changes that",
                    rate.map_or_else(
                        || "the rate limit".to_owned(),
                        |rate| format!(
                            "the rate limit of {} records a second",
                            count(u64::from(rate))
                        )
                    )
                ),
                place.live(&["auditctl -r 0"]),
            )
        }
        Cause::HoldQueue => say(
            "start auditd earlier, or raise audit_backlog_limit= on the kernel command line",
            "with audit=1 the kernel holds records until auditd starts, as many as the limit",
            place.boot_option(&format!("audit_backlog_limit={BASELINE}")),
        ),
        Cause::OutOfMemory => say(
            "find out what used the kernel's memory",
            "records were lost for want of memory; a bigger limit makes that worse",
            place.live(&["dmesg | grep -iE 'out of memory|page allocation failure'"]),
        ),
        Cause::TasksHang => return hang(boots, place),
        Cause::PluginQueue => say(
            format!("raise q_depth in {conf}, or find the plugin that is slow"),
            "events were dropped between auditd and its plugins; the kernel's limit does not change that",
            place.live(&["auditctl --signal state; cat /run/audit/auditd.state"]),
        ),
        Cause::DispatcherQueue => say(
            format!(
                "raise q_depth in {} (disp_qos in {conf} says if auditd waits for it), or find the plugin that is slow",
                place.path("/etc/audisp/audispd.conf")
            ),
            "events were dropped between auditd and audispd; the kernel's limit does not change that",
            vec![format!(
                "grep -E '^(q_depth|overflow_action)' {}",
                place.path("/etc/audisp/audispd.conf")
            )],
        ),
        Cause::RemoteQueue => say(
            "raise queue_depth in audisp-remote.conf, or repair the connection to the remote host",
            "events were dropped on the way to the remote host; the local log has them",
            place.live(&["grep -r queue_depth /etc/audit /etc/audisp"]),
        ),
        Cause::PluginEnded => say(
            "find out why the plugin ended",
            "a plugin that is gone receives no events; the log of auditd itself is complete",
            place.start_auditd().into_iter().take(1).collect(),
        ),
        Cause::OtherConsumer => {
            let names: Vec<&str> = boots
                .iter()
                .flat_map(|boot| boot.consumers.keys().map(String::as_str))
                .collect();
            say(
                format!(
                    "reduce the rules of {}, or give it more CPU time and a bigger socket buffer",
                    names.first().unwrap_or(&"the consumer")
                ),
                "the consumer reports that it lost events that the kernel had delivered or could not deliver",
                place.live(&["sysctl net.core.rmem_default net.core.rmem_max"]),
            )
        }
        Cause::MissingEvents => say(
            "find out where the events were lost: the kernel's counter, the rate limit, auditd's own messages",
            "each event has a serial number, and some of them never reached the log; a log that somebody filtered has \
             such gaps too",
            place.live(&[
                "auditctl -s",
                "ausearch -m DAEMON_ERR,DAEMON_ABORT -ts this-week",
            ]),
        ),
        Cause::SocketFull => say(
            "make the consumer faster: flush and freq in auditd.conf, its disk, its plugins, its priority",
            "its socket was full, so that it is behind; the kernel keeps the record and tries again, and records are \
             lost only when the retry queue is full",
            [
                place.live(&["auditctl -s"]),
                vec![format!("grep -E '^(flush|freq|priority_boost)' {conf}")],
            ]
            .concat(),
        ),
        Cause::SilentLoss => say(
            "boot with audit=1, so that the kernel keeps the records that auditd does not take",
            "otherwise it prints such a record, frees it, and counts it nowhere",
            place.boot_option("audit=1"),
        ),
        Cause::Panic
        | Cause::SlowConsumer
        | Cause::Overflow
        | Cause::BeforeRules
        | Cause::Suppressed
        | Cause::Unexplained => return None,
    })
}

fn place_on_disk(place: &Place) -> Vec<String> {
    vec![format!("df -h {}", place.path("/var/log/audit"))]
}

fn stuck(boots: &[&Boot], place: &Place) -> Advice {
    let longest = boots
        .iter()
        .filter_map(|boot| boot.kauditd_stuck_seconds)
        .max();
    let of = longest.map_or_else(String::new, |longest| format!(" for {}", seconds(longest)));
    let known = if boots.iter().any(|boot| boot.kauditd_stuck_in_netlink) {
        ". The trace is that of the endless retry in netlink_unicast, which came with the fix of sk_rmem_alloc in July \
         2025 (6.16, and stable kernels of that time) and is mended in 6.17 and later stable kernels"
    } else {
        ""
    };
    let commands = if place.is_disk() {
        Vec::new()
    } else {
        place.live(&["uname -r", "auditctl -s"])
    };
    say(
        "boot another kernel: a newer one of the same distribution, or the one before",
        format!(
            "kauditd, the kernel thread that empties the queue, kept a CPU to itself{of}; the losses are the \
             consequence, and no limit helps{known}"
        ),
        commands,
    )
}

fn hang(boots: &[&Boot], place: &Place) -> Option<Advice> {
    boots.iter().find(|boot| !boot.hung_tasks.is_empty())?;
    let commands = if place.runs_auditwatch() {
        vec!["auditwatch rescue".to_owned()]
    } else {
        place.live(&["auditctl -s"])
    };
    (!place.is_disk()).then(|| {
        say(
            "if the host still hangs: free the tasks (a restart of auditd, else a reboot)",
            "tasks that sleep in audit_log_start are woken one for each record that kauditd takes; they can sleep on \
             although the queue is empty",
            commands,
        )
    })
}
