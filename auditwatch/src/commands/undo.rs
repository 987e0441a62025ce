//! `auditwatch undo`: takes back what is still as `apply` left it, and nothing else.

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};

use super::{
    changing::{Hands, Kernel},
    kernel_now::KernelNow,
};
use crate::{
    change_report::UndoReport,
    cli::apply::UndoArgs,
    journal::{Change, Journal, State},
    journal_file::{self, JournalFile},
    kernel::facts::Facts,
    render::{change, json},
    rooted::Root,
    taking_back::SOMEBODY_ELSE,
};

/// Runs the command.
///
/// # Errors
/// When there is nothing to take back, somebody else has changed it since, or it failed.
pub fn run(args: &UndoArgs) -> Result<ExitCode> {
    let at = args.root.as_deref().unwrap_or(Path::new("/"));
    let root = Root::open(at).with_context(|| format!("cannot open {}", at.display()))?;
    // A host where nothing was ever changed is not to get a journal by being asked.
    let journal = journal_file::read(&root)?;
    let known = find(&journal, args.id)?;
    let kernel = if args.root.is_none() && !known.plan.settings.is_empty() {
        Some(Kernel::open(KernelNow::open(&Facts::gather()))?)
    } else {
        None
    };
    let mut hands = Hands {
        root: &root,
        journal: JournalFile::open(&root)?,
        kernel,
    };
    let change = find(hands.journal.journal(), args.id)?.clone();
    let (parts, _) = hands.parts(&change.plan)?;
    let later = later(hands.journal.journal(), &change);
    let others = parts.others(later.as_deref().unwrap_or(SOMEBODY_ELSE));
    if !others.is_empty() {
        bail!(
            "change {} is not taken back: {}; nothing was touched",
            change.id,
            others.join("; ")
        );
    }
    let mut report = UndoReport {
        kind: "undo".to_owned(),
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
            .with_context(|| {
                format!(
                    "change {} is not taken back altogether; try again",
                    change.id
                )
            })?;
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

/// The change to take back.
fn find(journal: &Journal, id: Option<u64>) -> Result<&Change> {
    let Some(change) = journal.to_undo(id) else {
        match id {
            Some(id) => bail!("there is no change {id}; auditwatch history lists them"),
            None => bail!(
                "there is nothing to take back: auditwatch has changed nothing that is still in force"
            ),
        }
    };
    if change.state.is_undone() {
        bail!(
            "change {} was taken back already ({})",
            change.id,
            change.state.name()
        );
    }
    Ok(change)
}

/// Changes of auditwatch's own that came after one, to the same things.
fn later(journal: &Journal, change: &Change) -> Option<String> {
    let is_same = |other: &Change| {
        let settings = |of: &Change| {
            of.plan
                .settings
                .iter()
                .map(|one| one.field)
                .collect::<Vec<_>>()
        };
        let files = |of: &Change| {
            of.plan
                .files
                .iter()
                .map(|one| one.path.clone())
                .collect::<Vec<_>>()
        };
        settings(other)
            .iter()
            .any(|field| settings(change).contains(field))
            || files(other).iter().any(|path| files(change).contains(path))
    };
    let later: Vec<String> = journal
        .changes
        .iter()
        .filter(|other| other.id > change.id && !other.state.is_undone() && is_same(other))
        .map(|other| other.id.to_string())
        .collect();
    (!later.is_empty()).then(|| {
        format!(
            "auditwatch's own change {} came after it: undo that first",
            later.join(", ")
        )
    })
}
