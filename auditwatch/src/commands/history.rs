//! `auditwatch history`: the journal, for people and for scripts.

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{
    change::{journal, journal_file},
    cli::apply::HistoryArgs,
    files::root::Root,
    render::{change, json},
};

/// What scripts read.
#[derive(Debug, Serialize)]
struct History<'a> {
    /// Always `history`.
    kind: &'static str,
    /// Version of this format; keys are only ever added to it.
    schema: u32,
    /// The changes, the latest last.
    changes: &'a [journal::Change],
}

/// Runs the command.
///
/// # Errors
/// When the journal cannot be read.
pub fn run(args: &HistoryArgs) -> Result<ExitCode> {
    let at = args.root.as_deref().unwrap_or(Path::new("/"));
    let root = Root::open(at).with_context(|| format!("cannot open {}", at.display()))?;
    let journal = journal_file::read(&root)?;
    let mut out = io::stdout();
    if args.output.wants_json() {
        let history = History {
            kind: "history",
            schema: 1,
            changes: &journal.changes,
        };
        json::line(&mut out, &history)
    } else {
        out.write_all(change::history(&journal).as_bytes())
    }
    .context("cannot write the history")?;
    Ok(ExitCode::SUCCESS)
}
