//! `auditwatch completions` and `auditwatch man`: the command line, for shells and for `man`.
//!
//! In: the command line's own description. Out: a script on stdout, pages in a directory.

use std::{io, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::CommandFactory as _;

use crate::cli::{Cli, CompletionsArgs, ManArgs};

/// Prints the completions for a shell.
///
/// # Errors
/// When they cannot be written.
pub fn completions(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    io::Write::write_all(&mut io::stdout(), &script).context("cannot write the completions")?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a page for each command.
///
/// # Errors
/// When the directory is not there, or cannot be written to.
pub fn man(args: &ManArgs) -> Result<ExitCode> {
    let shown = args.directory.display();
    ensure!(
        args.directory.is_dir(),
        "{shown} is not a directory: make it first"
    );
    clap_mangen::generate_to(Cli::command(), &args.directory)
        .with_context(|| format!("cannot write the pages into {shown}"))?;
    Ok(ExitCode::SUCCESS)
}
