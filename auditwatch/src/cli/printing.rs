//! Options of the output, which commands share.

use std::path::PathBuf;

use clap::{Args, ColorChoice, ValueEnum, ValueHint};

use super::value;

/// How a report is printed.
#[derive(Debug, Args)]
pub struct PrintArgs {
    /// Set the output format
    #[arg(long, value_enum, default_value_t, ignore_case = true)]
    pub format: Format,
    /// Print JSON, as --format json does
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Show N talkers in the table; JSON has up to 100
    #[arg(long, value_name = "N", default_value_t = 10,
        value_parser = value::number::<usize>("a number of talkers", 0..=1_000_000))]
    pub top: usize,
    /// Colour the table; auto colours on terminals, unless `NO_COLOR` is set
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        ignore_case = true
    )]
    pub color: ColorChoice,
}

impl PrintArgs {
    /// The output format that is wanted.
    #[must_use]
    pub const fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// Where a report is written.
#[derive(Debug, Args)]
pub struct DestinationArgs {
    /// Write the output to FILE instead of stdout; a regular file is overwritten
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

/// Options of commands that print one report.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Print JSON, as --format json does
    #[arg(long)]
    pub json: bool,
    /// Set the output format
    #[arg(
        long,
        value_enum,
        default_value_t,
        conflicts_with = "json",
        ignore_case = true
    )]
    pub format: Format,
}

impl OutputArgs {
    /// Whether JSON is wanted.
    #[must_use]
    pub fn wants_json(&self) -> bool {
        self.json || self.format == Format::Json
    }
}

/// Output formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For machines: one JSON object a line.
    Json,
}
