//! `auditwatch undo`: takes back what is still as `apply` left it, and nothing else.

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::executor::{ChangeExecutor, Kernel};
use crate::{
    change::{
        journal::{Change, Journal, State},
        journal_file::{self, JournalFile},
        report::{UndoKind, UndoReport},
        revert::Part,
    },
    cli::apply::UndoArgs,
    files::root::Root,
    kernel::facts::Facts,
    live::settings::KernelNow,
    render::{change, json},
};

/// Runs the command.
///
/// # Errors
/// When there is no such change, somebody else has changed it since, or it failed.
pub fn run(args: &UndoArgs) -> Result<ExitCode> {
    let at = args.root.as_deref().unwrap_or(Path::new("/"));
    let root = Root::open(at).with_context(|| format!("cannot open {}", at.display()))?;
    // A host where nothing was ever changed is not to get a journal by being asked.
    let journal = journal_file::read(&root)?;
    let Some(known) = find(&journal, args.id)? else {
        return nothing(args);
    };
    let kernel = if args.root.is_none() && !known.plan.settings.is_empty() {
        Some(Kernel::open(KernelNow::open(&Facts::gather()))?)
    } else {
        None
    };
    let mut hands = ChangeExecutor {
        root: &root,
        journal: JournalFile::open(&root)?,
        kernel,
    };
    let Some(change) = find(hands.journal.journal(), args.id)?.cloned() else {
        return nothing(args);
    };
    let (parts, _) = hands.parts(&change.plan)?;
    let others = parts.others(|part| later(hands.journal.journal(), &change, part));
    if !others.is_empty() {
        bail!(
            "cannot revert change {}: {}; nothing changed",
            change.id,
            others.join("; ")
        );
    }
    let mut report = UndoReport {
        kind: UndoKind::Undo,
        schema: 1,
        dry_run: args.dry_run,
        id: change.id,
        state: change.state,
        parts,
        stays: Vec::new(),
    };
    if !args.dry_run {
        report.stays = hands
            .take_back(change.id, &change.plan, "auditwatch undo")
            .with_context(|| format!("change {} is only partly reverted; try again", change.id))?;
        report.state = State::Reverted;
    }
    let mut out = io::stdout();
    if args.output.wants_json() {
        json::line(&mut out, &report)
    } else {
        out.write_all(change::undo(&report).as_bytes())
    }
    .context("cannot write the report")?;
    Ok(ExitCode::SUCCESS)
}

/// What `undo` says if no change is in force.
#[derive(Serialize)]
struct NothingToUndo {
    /// Always `undo`.
    kind: &'static str,
    /// Version of this format; keys are only ever added to it.
    schema: u32,
    /// Whether nothing was to be done.
    dry_run: bool,
    /// No change.
    id: Option<u64>,
    /// No state.
    state: Option<State>,
}

/// Says that no change is in force. The host is as `undo` is to leave it, so that it is no failure.
fn nothing(args: &UndoArgs) -> Result<ExitCode> {
    let mut out = io::stdout();
    if args.output.wants_json() {
        let report = NothingToUndo {
            kind: "undo",
            schema: 1,
            dry_run: args.dry_run,
            id: None,
            state: None,
        };
        json::line(&mut out, &report)
    } else {
        out.write_all(b"nothing to undo: no change of auditwatch is in force\n")
    }
    .context("cannot write the report")?;
    Ok(ExitCode::SUCCESS)
}

/// The change to take back; `None` if no number is given and no change is in force.
fn find(journal: &Journal, id: Option<u64>) -> Result<Option<&Change>> {
    let Some(change) = journal.to_undo(id) else {
        return match id {
            Some(id) => bail!("no change {id}; auditwatch history lists all changes"),
            None => Ok(None),
        };
    };
    if change.state.is_undone() {
        bail!(
            "cannot revert change {}: it is not in force (state: {})",
            change.id,
            change.state.name()
        );
    }
    Ok(Some(change))
}

/// Changes of auditwatch's own to that part that came after the change; `None` for none.
fn later(journal: &Journal, change: &Change, part: Part<'_>) -> Option<String> {
    let is_about = |other: &Change| match part {
        Part::Setting(field) => other.plan.settings.iter().any(|one| one.field == field),
        Part::File(path) => other.plan.files.iter().any(|one| one.path == path),
    };
    let later: Vec<String> = journal
        .changes
        .iter()
        .filter(|other| other.id > change.id && !other.state.is_undone() && is_about(other))
        .map(|other| other.id.to_string())
        .collect();
    match later.as_slice() {
        [] => None,
        [one] => Some(format!("change {one} came after it; undo {one} first")),
        // Each is in the way of the one before it.
        [.., last] => Some(format!(
            "changes {} came after it; undo them first, beginning with {last}",
            later.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::journal::tests::plan;

    #[test]
    fn a_later_change_is_named_for_its_own_parts_only() {
        let change = |id, state, with_file: bool| {
            let mut plan = plan();
            if !with_file {
                plan.files.clear();
            }
            Change {
                id,
                at_ms: 0,
                state,
                state_at_ms: 0,
                notes: Vec::new(),
                plan,
            }
        };
        let mut journal = Journal {
            changes: vec![
                change(1, State::Verified, true),
                change(2, State::Verified, false),
                change(3, State::Reverted, true),
            ],
            ..Journal::default()
        };
        let first = journal.changes[0].clone();
        let field = first.plan.settings[0].field;
        let path = first.plan.files[0].path.clone();
        let words = |journal: &Journal, part| later(journal, &first, part).unwrap_or_default();
        assert!(words(&journal, Part::Setting(field)).contains("change 2 came after"));
        assert_eq!(words(&journal, Part::File(&path)), "");
        journal.changes.push(change(4, State::Verified, true));
        assert!(words(&journal, Part::Setting(field)).contains("changes 2, 4 came after"));
        assert!(words(&journal, Part::File(&path)).contains("change 4 came after"));
    }
}
