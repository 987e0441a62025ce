//! `auditwatch compare`: two recordings go in, what changed between them comes out.

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result, ensure};

use super::recording_file;
use crate::{
    cli::{CompareArgs, Format},
    comparison::{Trace, Verdict, compare},
    render::{comparison, json, style::Style},
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
        "standard input can be one of the two recordings, not both"
    );
    let comparison = compare(&trace(&args.a)?, &trace(&args.b)?);
    let mut out = io::stdout();
    match args.print.format() {
        Format::Json => json::line(&mut out, &comparison),
        Format::Table => {
            let no_color = std::env::var("NO_COLOR").ok();
            let style = Style::new(args.print.color, no_color.as_deref(), &out);
            let text = comparison::table(&comparison, style);
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        }
    }
    .context("cannot write the output")?;
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
