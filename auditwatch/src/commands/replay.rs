//! `auditwatch replay`: a recording goes in, what its trace printed comes out.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::output::{Destination, Output};
use crate::{cli::ReplayArgs, live::recording_file};

/// Runs the command.
///
/// # Errors
/// When the file cannot be read, is no recording, or the output cannot be written.
pub fn run(args: &ReplayArgs) -> Result<ExitCode> {
    let mut output = Output::new(
        Destination::open(args.to.output.as_deref())?,
        &args.print,
        &args.detail,
    );
    let summary = recording_file::read(&args.file, |interval| output.interval(&interval))
        .with_context(|| format!("cannot replay {}", args.file.display()))?;
    output.summary(&summary)?;
    Ok(super::lost_status(&summary))
}
