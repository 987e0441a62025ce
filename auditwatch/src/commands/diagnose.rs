//! `auditwatch diagnose`: logs go in, what they tell of audit comes out.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result};

use super::log_source;
use crate::{
    cli::{DiagnoseArgs, Format},
    diagnosis::{Verdict, diagnose},
    render::{diagnosis, json, style::Style},
};

/// Runs the command.
///
/// # Errors
/// When a log cannot be read, or the output cannot be written.
pub fn run(args: &DiagnoseArgs) -> Result<ExitCode> {
    let logs = match (&args.root, &args.file) {
        (Some(root), _) => log_source::of_disk(root)?,
        (None, Some(file)) => log_source::of_file(file)?,
        (None, None) => log_source::of_this_host()?,
    };
    let found = diagnose(logs.sources, logs.notes);
    let mut out = io::stdout();
    match args.print.format() {
        Format::Json => json::line(&mut out, &found),
        Format::Table => {
            let no_color = std::env::var("NO_COLOR").ok();
            let style = Style::new(args.print.color, no_color.as_deref(), &out);
            let text = diagnosis::report(&found, style);
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        }
    }
    .context("cannot write the output")?;
    Ok(match found.verdict {
        Verdict::NothingFound => ExitCode::SUCCESS,
        _ => ExitCode::from(super::LOST),
    })
}
