//! Changes for people: what `apply`, `undo` and `history` say.

use std::fmt::Write as _;

use crate::{
    change::{
        journal::{Change, Journal, SettingChange, State},
        preflight::{Runtime, Severity},
        report::{ApplyReport, AtBootReport, UndoReport},
        revert::PartState,
    },
    kernel::jiffies::jiffies_to_ns,
    units::{counted, duration, utc},
    untrusted::{shell_word, shown},
};

/// What `apply` has done, or would do.
#[must_use]
pub fn apply(report: &ApplyReport) -> String {
    plan(report) + &outcome(report)
}

/// What it would do.
#[must_use]
pub fn plan(report: &ApplyReport) -> String {
    let mut text = Text::default();
    text.row("because", &report.why.evidence);
    for reason in &report.why.reasons {
        text.row("", reason);
    }
    match report.runtime {
        Runtime::Set => {
            for change in &report.settings {
                text.row("kernel", &setting(change));
            }
        }
        Runtime::AlreadySo => text.row("kernel", "already set"),
        Runtime::PendingReboot => text.row("kernel", "locked until reboot (-e 2): pending reboot"),
        Runtime::NotAsked => {}
    }
    for file in &report.files {
        let does = if file.created { "new file" } else { "edited" };
        text.row("file", &format!("{} ({does})", file.path.display()));
        for line in file.diff.lines() {
            text.row("", line);
        }
    }
    if report.target.persist && report.files.is_empty() {
        text.row("files", "no change needed");
    }
    text.at_boot("boot, before", report.at_boot_before.as_ref());
    text.at_boot("boot, after", report.at_boot.as_ref());
    for finding in &report.findings {
        let name = match finding.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Refusal => "refused",
        };
        text.row(name, &finding.message);
    }
    for command in &report.by_hand {
        text.row("manual step", command);
    }
    text.0
}

/// What came of it.
#[must_use]
pub fn outcome(report: &ApplyReport) -> String {
    let mut text = Text::default();
    if let Some(watch) = &report.watch {
        if watch.worse.is_empty() {
            text.row("monitored", "no regression");
        }
        for line in &watch.worse {
            text.row("regression", line);
        }
    }
    text.row(
        "state",
        &match (report.dry_run, report.state) {
            (true, _) => "nothing changed (--dry-run)".to_owned(),
            (false, None) if report.settings.is_empty() && report.files.is_empty() => {
                "nothing to do".to_owned()
            }
            (false, None) => "not applied yet".to_owned(),
            (false, Some(State::Verified)) if report.pending_reboot => {
                "files changed; the running kernel keeps its settings until reboot (-e 2)"
                    .to_owned()
            }
            (false, Some(state)) => in_words(state).to_owned(),
        },
    );
    if let Some(undo) = &report.undo {
        text.row("undo", undo);
    }
    text.0
}

/// What `undo` has done, or would do.
#[must_use]
pub fn undo(report: &UndoReport) -> String {
    let mut text = Text::default();
    text.row("change", &report.id.to_string());
    for part in &report.parts.settings {
        let SettingChange { field, old, new } = part.change;
        let line = match part.standing {
            PartState::Ours => format!("{} {new} -> {old}", field.name()),
            PartState::AsBefore => format!("{} is already {old}", field.name()),
            PartState::Others | PartState::Unknown => format!("{} is not changed", field.name()),
        };
        text.row("kernel", &line);
    }
    for part in &report.parts.files {
        let does = match part.standing {
            PartState::Ours if report.dry_run => "to be restored",
            PartState::Ours => "restored",
            PartState::AsBefore => "already as before",
            PartState::Others | PartState::Unknown => "not changed",
        };
        text.row("file", &format!("{} ({does})", part.path.display()));
    }
    for stays in &report.stays {
        text.row("not reverted", stays);
    }
    let state = if report.dry_run {
        "nothing changed (--dry-run)"
    } else {
        in_words(report.state)
    };
    text.row("state", state);
    text.0
}

/// All changes, the latest last.
#[must_use]
pub fn history(journal: &Journal) -> String {
    if journal.changes.is_empty() {
        return "no changes: auditwatch has changed nothing here\n".to_owned();
    }
    let mut text = Text::default();
    for change in &journal.changes {
        let when = utc::second(change.at_ms);
        text.row(
            &format!("change {}", change.id),
            &format!("{when}, {}", in_words(change.state)),
        );
        text.row("  by", &by(change));
        text.row("  because", &change.plan.why.evidence);
        for reason in &change.plan.why.reasons {
            text.row("", reason);
        }
        for one in &change.plan.settings {
            text.row("  kernel", &setting(one));
        }
        if change.plan.pending_reboot {
            text.row(
                "  kernel",
                "was locked (-e 2); takes effect at the next boot",
            );
        }
        for file in &change.plan.files {
            let does = if file.before.is_some() {
                "edited"
            } else {
                "new"
            };
            text.row("  file", &format!("{} ({does})", file.path.display()));
        }
        for note in &change.notes {
            text.row("  note", note);
        }
    }
    text.0
}

fn by(change: &Change) -> String {
    let by = &change.plan.by;
    let mut text = format!("uid {}", by.uid);
    if let Some(loginuid) = by.loginuid {
        let _ = write!(text, ", loginuid {loginuid}");
    }
    if let Some(user) = &by.sudo_user {
        let _ = write!(text, ", sudo by {user}");
    }
    let command: Vec<String> = by
        .command
        .iter()
        .map(|word| shell_word(word.as_raw()))
        .collect();
    let _ = write!(text, ": {}", command.join(" "));
    text
}

fn setting(change: &SettingChange) -> String {
    format!("{} {} -> {}", change.field.name(), change.old, change.new)
}

const fn in_words(state: State) -> &'static str {
    match state {
        State::Planned => "planned; interrupted before the first step was recorded",
        State::RuntimeSet => "interrupted after the kernel was set",
        State::Persisted => "interrupted after the files were written",
        State::Verified => "done",
        State::Reverting => "interrupted during the revert",
        State::Reverted => "reverted",
        State::Failed => "failed; nothing of it is in force",
    }
}

/// Two columns.
#[derive(Default)]
struct Text(String);

impl Text {
    fn row(&mut self, name: &str, value: &str) {
        let line = format!("{name:<14}{}", shown(value));
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    fn at_boot(&mut self, name: &str, at_boot: Option<&AtBootReport>) {
        let Some(at_boot) = at_boot else { return };
        let limit = at_boot
            .backlog_limit
            .map_or_else(|| "unknown".to_owned(), |limit| limit.to_string());
        let by = at_boot
            .decided_by
            .as_ref()
            .map_or_else(String::new, |by| format!(", set by {by}"));
        self.row(name, &format!("backlog_limit {limit}{by}"));
        let mut rest = Vec::new();
        if let Some(jiffies) = at_boot.backlog_wait_time {
            let time = at_boot.hz.map_or_else(String::new, |hz| {
                format!(" ({})", duration(jiffies_to_ns(jiffies, hz)))
            });
            rest.push(format!("wait time {jiffies} jiffies{time}"));
        }
        rest.extend(at_boot.rules.map(|rules| counted(rules, "rule")));
        rest.extend(at_boot.enabled.map(|enabled| match enabled {
            0 => "auditing off".to_owned(),
            2 => "settings locked (-e 2) until the boot after that".to_owned(),
            _ => "auditing on".to_owned(),
        }));
        self.row("", &rest.join(", "));
        if let Some(stopped) = &at_boot.stopped_at {
            self.row("", &format!("loading of the rules stops at {stopped}"));
        }
    }
}
