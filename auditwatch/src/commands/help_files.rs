//! `auditwatch completions` and `auditwatch man`: the command line, for shells and for `man`.
//!
//! In: the command line's own description. Out: a script on stdout, pages in a directory.

use std::{fs::File, io, path::Path, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use roff::{Roff, roman};

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
    io::Write::write_all(&mut io::stdout(), &script)
        .context("cannot write the completion script")?;
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
        "{shown} is not a directory; create it first"
    );
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    pages(command, &args.directory)
        .with_context(|| format!("cannot write the manual pages into {shown}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the pages of a command and of those under it.
fn pages(command: Command, directory: &Path) -> io::Result<()> {
    for under in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        pages(under.clone(), directory)?;
    }
    let sections = sections(&command);
    let usage = usage(&command);
    let has_options = command.get_arguments().any(|it| !it.is_hide_set());
    let has_commands = command.has_subcommands();
    let has_version = command.get_version().is_some();
    let page = Man::new(command);
    let mut file = File::create(directory.join(page.get_filename()))?;
    page.render_title(&mut file)?;
    page.render_name_section(&mut file)?;
    usage.to_writer(&mut file)?;
    page.render_description_section(&mut file)?;
    if has_options {
        page.render_options_section(&mut file)?;
    }
    if has_commands {
        page.render_subcommands_section(&mut file)?;
    }
    sections.to_writer(&mut file)?;
    if has_version {
        page.render_version_section(&mut file)?;
    }
    Ok(())
}

/// The synopsis, as `--help` has it.
fn usage(command: &Command) -> Roff {
    let text = command.clone().render_usage().to_string();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([roman(text.trim_start_matches("Usage:").trim())]);
    roff
}

/// The text behind the options as sections: indented lines, such as examples, stay as they are.
fn sections(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let Some(text) = command.get_after_help() else {
        return roff;
    };
    for paragraph in text.to_string().split("\n\n") {
        let (title, body) = paragraph.split_once(':').unwrap_or(("NOTES", paragraph));
        roff.control("SH", [title.to_uppercase().as_str()]);
        let is_list = !body.trim().is_empty()
            && body
                .lines()
                .filter(|line| !line.is_empty())
                .all(|line| line.starts_with("  "));
        if is_list {
            roff.control("nf", None::<&str>);
            for line in body.lines().filter(|line| !line.is_empty()) {
                roff.text([roman(line)]);
            }
            roff.control("fi", None::<&str>);
        } else {
            roff.text([roman(body.trim())]);
        }
    }
    roff
}
