//! `auditwatch diagnose`: logs go in, what they tell of audit comes out.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use super::{
    log_source,
    output::{Destination, explain},
};
use crate::{
    cli::{DiagnoseArgs, Format},
    diagnosis::{Verdict, diagnose},
    render::{diagnosis, json},
};

/// Runs the command.
///
/// # Errors
/// When a log cannot be read, or the output cannot be written.
pub fn run(args: &DiagnoseArgs) -> Result<ExitCode> {
    let logs = match (&args.root, args.files.as_slice()) {
        (Some(root), _) => log_source::of_disk(root)?,
        (None, []) if log_source::is_piped() => log_source::of_files(&["-".into()])
            .context("for the messages of this host, use auditwatch diagnose /dev/kmsg")?,
        (None, []) => log_source::of_this_host()?,
        (None, files) => log_source::of_files(files)?,
    };
    let is_cut = logs.is_cut;
    let found = diagnose(logs.sources, logs.notes, &logs.origin);
    // What is missing may be the trouble.
    if is_cut && found.verdict == Verdict::NothingFound {
        bail!(
            "the log ends too early, and nothing is wrong in the part before that; copy the whole log and try again"
        );
    }
    let mut out = Destination::open(args.to.output.as_deref())?;
    explain(match args.print.format() {
        Format::Json => json::line(&mut out, &found),
        Format::Table => {
            let style = out.style(args.print.color);
            let mut text = diagnosis::report(&found, style);
            if args.by_day {
                text.push_str(&diagnosis::by_day(&found, style));
            }
            out.text(&text)
        }
    })?;
    Ok(match found.verdict {
        Verdict::NothingFound => ExitCode::SUCCESS,
        _ => ExitCode::from(super::LOST),
    })
}
