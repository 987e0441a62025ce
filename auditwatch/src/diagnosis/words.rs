//! Events in words. In: values. Out: text. It must not judge.

use std::fmt::Write as _;

use super::report::What;
use crate::units::{count, plural};

/// One event.
#[must_use]
pub fn event(what: &What) -> String {
    match what {
        What::Boot { kernel } => format!("boot of Linux {kernel}"),
        What::Losses { .. } => losses(what),
        What::Suppressed {
            function,
            suppressed_lines,
        } => format!(
            "{function}: {} {} not printed",
            count(*suppressed_lines),
            plural(*suppressed_lines, "line")
        ),
        What::Printed { records, wanted } => format!(
            "{} {} printed: no auditd took {}{}",
            count(*records),
            plural(*records, "record"),
            if *records == 1 { "it" } else { "them" },
            if *wanted {
                ", although it ran or its rules asked for them"
            } else {
                ""
            }
        ),
        What::Setting {
            name,
            value,
            old,
            done,
        } => setting(name, *value, *old, *done),
        What::HungTask {
            comm,
            pid,
            seconds,
            place,
        } => match seconds {
            Some(seconds) => format!("{comm} ({pid}) asleep in {place} for more than {seconds} s"),
            None => format!("{comm} ({pid}) asleep in {place}"),
        },
        What::SoftLockup { comm, seconds } => {
            format!("{comm} kept a CPU to itself for {seconds} s")
        }
        What::Panic { message } => format!("PANIC: {message}"),
        What::Auditd { what } => auditd(what).to_owned(),
        What::Error { message } => format!("error without a loss: {message}"),
    }
}

fn losses(what: &What) -> String {
    let What::Losses {
        counter_first,
        counter_last,
        depth_max,
        limit,
        reasons,
        suppressed_lines,
    } = what
    else {
        return String::new();
    };
    let mut text = "records lost".to_owned();
    match (counter_first, counter_last) {
        (Some(first), Some(last)) if first != last => {
            let _ = write!(
                text,
                ", counter {} to {}",
                count(u64::from(*first)),
                count(u64::from(*last))
            );
        }
        (Some(first), _) => {
            let _ = write!(text, ", counter {}", count(u64::from(*first)));
        }
        _ => {}
    }
    let named: Vec<String> = reasons
        .iter()
        .map(|(&reason, lines)| {
            let words = match reason {
                "no_record" => "record cut short or none due".to_owned(),
                _ => reason.replace('_', " "),
            };
            format!("{words} x {lines}")
        })
        .collect();
    if !named.is_empty() {
        let _ = write!(text, ": {}", named.join(", "));
    }
    match (depth_max, limit) {
        (Some(depth), Some(limit)) => {
            let _ = write!(
                text,
                "; depth {} at limit {}",
                count(u64::from(*depth)),
                count(u64::from(*limit))
            );
        }
        (None, Some(limit)) => {
            let _ = write!(text, "; limit {}", count(u64::from(*limit)));
        }
        (Some(depth), None) => {
            let _ = write!(text, "; depth {}", count(u64::from(*depth)));
        }
        (None, None) => {}
    }
    if *suppressed_lines > 0 {
        let _ = write!(
            text,
            "; {} more {} not printed",
            count(*suppressed_lines),
            plural(*suppressed_lines, "line")
        );
    }
    text
}

fn setting(name: &str, value: u32, old: Option<u32>, done: bool) -> String {
    let from = old.map_or_else(String::new, |old| {
        format!(" from {}", count(u64::from(old)))
    });
    let value_text = count(u64::from(value));
    if !done {
        return format!("{name}{from} to {value_text} was refused");
    }
    match (name, value) {
        ("audit_backlog_limit", _) => format!("limit {value_text}{}", was(old)),
        ("audit_failure", 2) => {
            format!("failure 2: the kernel panics at the first loss{}", was(old))
        }
        ("audit_enabled", 0) => "audit is off".to_owned(),
        ("audit_enabled", 2) => "the settings are locked until reboot (-e 2)".to_owned(),
        ("lost", _) => format!("the counter of losses was reset{}", was(old)),
        ("audit_backlog_wait_time", _) => {
            format!("wait time {value_text} jiffies{}", was(old))
        }
        ("audit_rate_limit", _) => format!("rate limit {value_text} records a second{}", was(old)),
        _ => format!("{name} {value_text}{}", was(old)),
    }
}

fn was(old: Option<u32>) -> String {
    old.map_or_else(String::new, |old| {
        format!(" (was {})", count(u64::from(old)))
    })
}

fn auditd(what: &str) -> &'static str {
    super::daemon::ALL
        .iter()
        .find(|daemon| daemon.name() == what)
        .map_or("auditd", |daemon| daemon.in_words())
}
