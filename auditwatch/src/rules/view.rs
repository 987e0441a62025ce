//! The backlog limit by source: the kernel now, its command line, each rules file, and what the next boot comes to, with
//! every disagreement among them.
//!
//! In: what a simulated boot says, and what is set now. Out: a [`RulesView`]. Pure.

use serde::Serialize;

use crate::{
    kernel::jiffies::jiffies_to_ns,
    rules::{
        Boot, Place,
        loader::Loader,
        outcome::{Layout, Lost, Remark, Stop},
        remarks::Named,
    },
    units::{count, counted, duration},
    untrusted::Untrusted,
};

/// What the view is made of.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The root that was read, as it was named.
    pub root: String,
    /// The simulated boot.
    pub boot: Boot,
    /// Every line of the files that names a limit.
    pub named: Vec<Named>,
    /// What is set now; `None` for a root that is not running.
    pub now: Option<Now>,
    /// Why it is not known.
    pub now_missing: Option<String>,
    /// What the kernel command line says; `None` when it is not known.
    pub cmdline: Option<Cmdline>,
    /// What loads the rules.
    pub loader: Loader,
    /// The awk that augenrules runs.
    pub awk: Awk,
    /// Timer ticks a second.
    pub hz: u32,
    /// What the answer rests on besides the files.
    pub notes: Vec<String>,
}

/// The settings of the running kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Now {
    /// `backlog_limit`, records.
    pub backlog_limit: Option<u32>,
    /// `backlog_wait_time`, jiffies.
    pub backlog_wait_time: Option<u32>,
    /// 0 off, 1 on, 2 immutable.
    pub enabled: Option<u32>,
    /// 0 silent, 1 printk, 2 panic.
    pub failure: Option<u32>,
}

/// The kernel command line, as far as audit goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cmdline {
    /// `audit_backlog_limit=`, records; null when it is not there.
    pub backlog_limit: Option<u32>,
    /// `audit=`: true on, false off, null when it is not there.
    pub audit: Option<bool>,
    /// Where it was read.
    pub from: Option<String>,
}

/// The awk in use, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Awk {
    /// mawk or gawk.
    pub name: crate::rules::Awk,
    /// How it is known; null when it is a guess.
    pub from: Option<String>,
}

/// What the next boot comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AtBoot {
    /// `backlog_limit`, records; 0 is unlimited.
    pub backlog_limit: u32,
    /// `backlog_wait_time`, jiffies.
    pub backlog_wait_time: u32,
    /// The same, ns.
    pub wait_time_ns: u64,
    /// 0 off, 1 on, 2 immutable until reboot.
    pub enabled: u32,
    /// 0 silent, 1 printk, 2 panic.
    pub failure: u32,
    /// `rate_limit`, records a second; 0 is none.
    pub rate_limit: u32,
    /// Rules in the kernel after it.
    pub rules: usize,
    /// The line that decides the limit; null when none does.
    pub decided_by: Option<Place>,
    /// The line that decides the wait time; null when none does.
    pub wait_decided_by: Option<Place>,
    /// Where the load stops before its end.
    pub stopped_at: Option<Stop>,
    /// What is not run for that.
    pub lost: Vec<Lost>,
    /// Errors that `-i` or `-c` lets the load go on after.
    pub passed_over: Vec<Stop>,
    /// Whether the kernel can audit at all: false with `audit=0` on its command line.
    pub auditing: bool,
}

/// A line of a file that names a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileLimit {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// The limit, records; null when auditctl reads no number there.
    pub backlog_limit: Option<u32>,
    /// Whether it decides.
    pub wins: bool,
    /// The line.
    pub text: Untrusted,
}

/// The limit by source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RulesView {
    /// What the next boot comes to.
    pub at_boot: AtBoot,
    /// What is set now; null for a root that is not running.
    pub now: Option<Now>,
    /// The kernel command line; null when it is not known.
    pub cmdline: Option<Cmdline>,
    /// Every line that names a limit, in the order of the load.
    pub files: Vec<FileLimit>,
    /// Where the sources differ.
    pub disagreements: Vec<String>,
    /// What goes wrong at the next boot; where there is any, the exit status is 3.
    pub problems: Vec<String>,
    /// What a reader should know of the files.
    pub remarks: Vec<Remark>,
    /// How audit.rules comes about.
    pub layout: Layout,
    /// What loads the rules.
    pub loader: Loader,
    /// The awk in use.
    pub awk: Awk,
    /// Timer ticks a second.
    pub hz: u32,
    /// The root.
    pub root: String,
    /// What the answer rests on, and what was not measured.
    pub notes: Vec<String>,
}

impl RulesView {
    /// Puts the view together.
    #[must_use]
    pub fn new(inputs: Inputs) -> Self {
        let disagreements = disagreements(&inputs);
        let Inputs {
            root,
            boot,
            named,
            now,
            now_missing,
            cmdline,
            loader,
            awk,
            hz,
            mut notes,
        } = inputs;
        notes.extend(now_missing);
        let auditing = cmdline
            .as_ref()
            .is_none_or(|cmdline| cmdline.audit != Some(false));
        let enabled = if auditing { boot.settings.enabled } else { 0 };
        let problems = problems(&boot, auditing, enabled, &loader);
        let files = named
            .into_iter()
            .map(|named| FileLimit {
                wins: boot.decided_by.as_ref() == Some(&named.place),
                place: named.place,
                backlog_limit: named.limit,
                text: named.text,
            })
            .collect();
        Self {
            at_boot: AtBoot {
                backlog_limit: boot.settings.backlog_limit,
                backlog_wait_time: boot.settings.backlog_wait_time,
                wait_time_ns: jiffies_to_ns(boot.settings.backlog_wait_time, hz),
                enabled,
                failure: boot.settings.failure,
                rate_limit: boot.settings.rate_limit,
                rules: boot.rules,
                decided_by: boot.decided_by,
                wait_decided_by: boot.wait_decided_by,
                stopped_at: boot.stopped_at,
                lost: boot.lost,
                passed_over: boot.passed_over,
                auditing,
            },
            now,
            cmdline,
            files,
            disagreements,
            problems,
            remarks: boot.remarks,
            layout: boot.layout,
            loader,
            awk,
            hz,
            root,
            notes,
        }
    }
}

/// What keeps the next boot from auditing as the files ask.
fn problems(boot: &Boot, auditing: bool, enabled: u32, loader: &Loader) -> Vec<String> {
    if !auditing {
        return vec![
            "at boot: no auditing (audit=0 on the command line); remove audit=0 from it".to_owned(),
        ];
    }
    let mut all = Vec::new();
    match loader {
        Loader::Usual | Loader::Auditctl { .. } => {}
        Loader::Nothing { why } => all.push(format!("no rules are loaded at boot: {why}")),
        Loader::NotKnown { why } => {
            all.push(format!("the limit at boot is not known: {why}"));
            return all;
        }
    }
    if let Some(stop) = &boot.stopped_at {
        all.push(format!(
            "the rules load stops at {}:{}: {} not run",
            stop.place.file,
            stop.place.line,
            counted(boot.lost.len() as u64, "line")
        ));
    }
    if let Some(lost) = boot.lost.iter().find(|lost| locks(lost.text.as_raw()))
        && enabled != 2
    {
        all.push(format!(
            "{}:{} (`{}`) is lost: the settings are not locked after the boot",
            lost.place.file, lost.place.line, lost.text
        ));
    }
    if enabled == 0 {
        all.push("at boot: auditing is off (enabled 0); add `-e 1` to the rules".to_owned());
    }
    all
}

/// Whether a line locks the settings.
fn locks(line: &str) -> bool {
    let mut words = line.split_whitespace();
    matches!(
        (words.next(), words.next()),
        (Some("-e"), Some("2")) | (Some("-e2"), None)
    )
}

fn disagreements(inputs: &Inputs) -> Vec<String> {
    let mut all = Vec::new();
    if inputs
        .cmdline
        .as_ref()
        .is_some_and(|cmdline| cmdline.audit == Some(false))
    {
        return all;
    }
    let settings = inputs.boot.settings;
    let wins = limit(settings.backlog_limit);
    let winner = match &inputs.boot.decided_by {
        Some(place) => format!("{}:{}", place.file, place.line),
        None => "no rules file".to_owned(),
    };
    let now = inputs.now.as_ref();
    if let Some(now) = now.and_then(|now| now.backlog_limit)
        && now != settings.backlog_limit
    {
        all.push(format!(
            "the kernel has a limit of {} now, and {wins} after the next boot ({winner})",
            limit(now)
        ));
    }
    let command_line = inputs
        .cmdline
        .as_ref()
        .and_then(|cmdline| cmdline.backlog_limit);
    if let Some(before) = command_line
        && before != settings.backlog_limit
    {
        all.push(format!(
            "the kernel command line says {}, which holds until rules are loaded; then it is {wins} ({winner})",
            limit(before)
        ));
    }
    for named in &inputs.named {
        let is_winner = inputs.boot.decided_by.as_ref() == Some(&named.place);
        if let Some(other) = named.limit
            && other != settings.backlog_limit
            && !is_winner
        {
            all.push(format!(
                "{}:{} says {}, and {winner} decides: {wins}",
                named.place.file,
                named.place.line,
                limit(other)
            ));
        }
    }
    if let Some(now) = now.and_then(|now| now.backlog_wait_time)
        && now != settings.backlog_wait_time
    {
        let time = |jiffies: u32| {
            format!(
                "{jiffies} jiffies ({})",
                duration(jiffies_to_ns(jiffies, inputs.hz))
            )
        };
        all.push(format!(
            "a task waits up to {} now, and {} after the next boot",
            time(now),
            time(settings.backlog_wait_time)
        ));
    }
    let is_locked = |enabled: u32| enabled == 2;
    if let Some(now) = now.and_then(|now| now.enabled)
        && is_locked(now) != is_locked(settings.enabled)
    {
        all.push(if is_locked(now) {
            "audit is immutable now, and not after the next boot".to_owned()
        } else {
            "audit can be changed now, and is immutable after the next boot".to_owned()
        });
    }
    all
}

/// A limit in words.
#[must_use]
pub fn limit(records: u32) -> String {
    match records {
        0 => "unlimited".to_owned(),
        some => count(some.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Settings, outcome::Layout};

    fn view(audit: Option<bool>, enabled: u32, stopped: bool) -> RulesView {
        let place = |line| Place {
            file: "/etc/audit/audit.rules".to_owned(),
            line,
        };
        RulesView::new(Inputs {
            root: "/".to_owned(),
            boot: Boot {
                settings: Settings {
                    enabled,
                    ..Settings::of_kernel(250)
                },
                rules: 0,
                decided_by: None,
                wait_decided_by: None,
                stopped_at: stopped.then(|| Stop {
                    place: place(3),
                    why: "no such option".to_owned(),
                    text: "-x".into(),
                }),
                lost: stopped
                    .then(|| Lost {
                        place: place(4),
                        text: "-e 2".into(),
                    })
                    .into_iter()
                    .collect(),
                passed_over: Vec::new(),
                remarks: Vec::new(),
                layout: Layout::HandKept,
                compiled: None,
            },
            named: Vec::new(),
            now: None,
            now_missing: None,
            cmdline: Some(Cmdline {
                backlog_limit: None,
                audit,
                from: None,
            }),
            loader: Loader::Usual,
            awk: Awk {
                name: crate::rules::Awk::Mawk,
                from: None,
            },
            hz: 250,
            notes: Vec::new(),
        })
    }

    #[test]
    fn a_boot_without_auditing_is_a_problem() {
        let off = view(Some(false), 1, false);
        assert!(!off.at_boot.auditing);
        assert_eq!(off.at_boot.enabled, 0);
        assert!(off.problems[0].starts_with("at boot: no auditing (audit=0 on the command line)"));
        assert_eq!(view(Some(true), 1, false).problems, Vec::<String>::new());
        assert_eq!(view(None, 1, false).problems, Vec::<String>::new());
        assert!(view(None, 0, false).problems[0].contains("enabled 0"));
    }

    #[test]
    fn a_load_that_stops_says_that_the_lock_is_lost() {
        assert_eq!(
            view(None, 1, true).problems,
            [
                "the rules load stops at /etc/audit/audit.rules:3: 1 line not run",
                "/etc/audit/audit.rules:4 (`-e 2`) is lost: the settings are not locked after the boot"
            ]
        );
        assert!(locks(" -e  2 "));
        assert!(!locks("-e 1"));
        assert!(!locks("-a always,exit -e 2"));
    }
}
