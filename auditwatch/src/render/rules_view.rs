//! The backlog limit by source, for people.

use std::fmt::Write as _;

use crate::{
    rules::{
        Place,
        loader::Loader,
        outcome::Layout,
        view::{RulesView, limit},
    },
    units::{counted, duration},
    untrusted::shown,
};

/// Most lost lines that are shown one by one.
const MOST_LOST: usize = 10;

/// The view as text.
#[must_use]
pub fn text(view: &RulesView) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<14}  {}", shown(value));
    };
    let boot = &view.at_boot;
    for problem in &view.problems {
        row("problem", problem);
    }
    row("root", &view.root);
    row(
        "now",
        &view
            .now
            .and_then(|now| now.backlog_limit)
            .map_or_else(|| "not measured".to_owned(), limit),
    );
    row("command line", &command_line(view));
    row("layout", &layout(view));
    if let Loader::NotKnown { why } = &view.loader {
        row("at boot", &format!("not known: {why}"));
        for note in &view.notes {
            row("note", note);
        }
        return text;
    }
    for file in &view.files {
        let value = match file.backlog_limit {
            Some(records) => limit(records),
            None => "no number".to_owned(),
        };
        let wins = if file.wins { "  <- decides" } else { "" };
        row(
            "file",
            &format!("{}  {value}  `{}`{wins}", at(&file.place), file.text),
        );
    }
    row("at boot", &at_boot(view));
    row("wait time", &wait_time(view));
    row(
        "enabled",
        match boot.enabled {
            0 => "off",
            1 => "on",
            _ => "on, immutable until reboot",
        },
    );
    match &boot.stopped_at {
        Some(stop) => {
            row("stops at", &format!("{}: {}", at(&stop.place), stop.why));
            if !stop.text.is_empty() {
                row("", &format!("`{}`", stop.text));
            }
            row("not run", &counted(boot.lost.len() as u64, "line"));
            for lost in boot.lost.iter().take(MOST_LOST) {
                row("", &format!("{}  `{}`", at(&lost.place), lost.text));
            }
            if boot.lost.len() > MOST_LOST {
                row("", &format!("and {} more", boot.lost.len() - MOST_LOST));
            }
        }
        None if matches!(view.loader, Loader::Nothing { .. }) => row("rules load", "none"),
        None if boot.auditing => row("rules load", "complete"),
        None => row("rules load", "no rule is loaded without auditing"),
    }
    for error in &boot.passed_over {
        row(
            "passed over",
            &format!("{}: {}", at(&error.place), error.why),
        );
    }
    for line in &view.disagreements {
        row("disagreement", line);
    }
    for remark in &view.remarks {
        let place = remark.place.as_ref().map(|place| at(place) + ": ");
        row(
            "remark",
            &format!("{}{}", place.unwrap_or_default(), remark.text),
        );
    }
    for note in &view.notes {
        row("note", note);
    }
    text
}

fn at_boot(view: &RulesView) -> String {
    let boot = &view.at_boot;
    if !boot.auditing {
        return "no auditing (audit=0 on the command line)".to_owned();
    }
    let decided = match &boot.decided_by {
        Some(place) => format!("decided by {}", at(place)),
        None => "which no rules file decides".to_owned(),
    };
    format!("{}, {decided}", limit(boot.backlog_limit))
}

fn at(place: &Place) -> String {
    format!("{}:{}", place.file, place.line)
}

fn command_line(view: &RulesView) -> String {
    match &view.cmdline {
        None => "not known".to_owned(),
        Some(cmdline) => {
            let value = cmdline
                .backlog_limit
                .map_or_else(|| "no audit_backlog_limit=".to_owned(), limit);
            match &cmdline.from {
                Some(from) => format!("{value} ({from})"),
                None => value,
            }
        }
    }
}

fn layout(view: &RulesView) -> String {
    match &view.loader {
        Loader::Auditctl { by } => {
            return format!("auditctl -R audit.rules loads the rules ({by}); rules.d is not read");
        }
        Loader::Nothing { why } => return format!("no rules are loaded: {why}"),
        Loader::Usual | Loader::NotKnown { .. } => {}
    }
    match view.layout {
        Layout::HandKept => "audit.rules is maintained manually, without rules.d".to_owned(),
        Layout::RulesD => {
            let awk = format!("{:?}", view.awk.name).to_lowercase();
            match &view.awk.from {
                Some(from) => format!("augenrules compiles rules.d, with {awk} ({from})"),
                None => {
                    format!("augenrules compiles rules.d, with {awk}, which is a guess: --awk says")
                }
            }
        }
    }
}

fn wait_time(view: &RulesView) -> String {
    let boot = &view.at_boot;
    let time = duration(boot.wait_time_ns);
    let decided = match &boot.wait_decided_by {
        Some(place) => format!(", decided by {}", at(place)),
        None => String::new(),
    };
    format!(
        "{} jiffies at {} a second, {time}{decided}",
        boot.backlog_wait_time, view.hz
    )
}
