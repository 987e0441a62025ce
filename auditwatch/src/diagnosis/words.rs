//! Events in words. In: values. Out: text. It must not judge.

use std::fmt::Write as _;

use super::report::{What, When};
use crate::units::{count, counted, plural};

/// A length: `48 s`, `12 min`.
#[must_use]
pub fn seconds(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", count(seconds / 86_400)),
    }
}

/// The date, else the kernel's clock, else the line.
#[must_use]
pub fn moment(at: &When) -> String {
    match (at.kernel_ns, &at.wall) {
        (_, Some(wall)) => wall.to_string(),
        (Some(ns), None) => format!("[{:>5}.{:06}]", ns / 1_000_000_000, ns / 1000 % 1_000_000),
        (None, None) => format!("line {}", at.line),
    }
}

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
                ", although it ran or the rules asked for them"
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
            format!("{comm} was stuck on a CPU for {seconds} s")
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
        lost,
        seconds: length,
    } = what
    else {
        return String::new();
    };
    let number = |value: &u32| count(u64::from(*value));
    let mut text = if *lost > 0 {
        format!("{} lost", counted(*lost, "record"))
    } else {
        "records lost".to_owned()
    };
    if let Some(length) = length.filter(|&length| length > 0) {
        let _ = write!(text, " in {}", seconds(length));
        if *lost >= length {
            let _ = write!(text, ", {} a second", count(*lost / length));
        }
    }
    match (depth_max, limit) {
        (Some(depth), Some(limit)) => {
            let _ = write!(
                text,
                "; peak depth {} at limit {}",
                number(depth),
                number(limit)
            );
        }
        (None, Some(limit)) => {
            let _ = write!(text, "; limit {}", number(limit));
        }
        (Some(depth), None) => {
            let _ = write!(text, "; peak depth {}", number(depth));
        }
        (None, None) => {}
    }
    match (counter_first, counter_last) {
        (Some(first), Some(last)) if first != last => {
            let _ = write!(text, "; counter {} to {}", number(first), number(last));
        }
        (Some(first), _) => {
            let _ = write!(text, "; counter {}", number(first));
        }
        _ => {}
    }
    let named: Vec<String> = reasons
        .iter()
        .map(|(&reason, &lines)| {
            let words = match reason {
                "no_record" => "record cut short".to_owned(),
                _ => reason.replace('_', " "),
            };
            format!("{words} x {}", count(lines))
        })
        .collect();
    if !named.is_empty() {
        let _ = write!(text, "; {}", named.join(", "));
    }
    if *suppressed_lines > 0 {
        let _ = write!(text, "; {} not printed", counted(*suppressed_lines, "line"));
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
