//! `auditwatch compare`: two recordings go in, what changed between them comes out.

use std::{path::Path, process::ExitCode};

use anyhow::{Context as _, Result, ensure};

use super::output::{Destination, explain};
use crate::{
    cli::{CompareArgs, Format},
    live::recording_file,
    render::{comparison, json},
    trace::comparison::{Trace, Verdict, compare},
};

/// Exit status when something got worse.
const WORSE: u8 = 3;

/// Runs the command.
///
/// # Errors
/// When a file cannot be read, is no recording, or the output cannot be written.
pub fn run(args: &CompareArgs) -> Result<ExitCode> {
    let stdin = Path::new("-");
    ensure!(
        !(args.a == stdin && args.b == stdin),
        "only one of the two recordings can be stdin, not both"
    );
    let comparison = compare(&trace(&args.a)?, &trace(&args.b)?);
    let mut out = Destination::open(args.to.output.as_deref())?;
    explain(match args.print.format() {
        Format::Json => json::line(&mut out, &comparison),
        Format::Table => {
            let text = comparison::table(&comparison, out.style(args.print.color));
            out.text(&text)
        }
    })?;
    Ok(match comparison.verdict {
        Verdict::Worse => ExitCode::from(WORSE),
        _ => ExitCode::SUCCESS,
    })
}

fn trace(path: &Path) -> Result<Trace> {
    let mut intervals = Vec::new();
    let summary = recording_file::read(path, |interval| {
        intervals.push(interval);
        Ok(())
    })
    .with_context(|| format!("cannot compare {}", path.display()))?;
    Ok(Trace { intervals, summary })
}
