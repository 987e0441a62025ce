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
    /// Print JSON; same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Show at most N talkers in the table
    ///
    /// A talker is a source of records, such as a process. JSON has at most 100 talkers.
    #[arg(long, value_name = "N", default_value_t = 10,
        value_parser = value::number::<usize>("a number of talkers", 0..=1_000_000))]
    pub top: usize,
    /// Set when to color the table
    ///
    /// auto uses color on a terminal, unless the environment has `NO_COLOR`.
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

/// How much of a report is printed.
#[derive(Debug, Args)]
pub struct DetailArgs {
    /// Show all details: the evidence for each advice, baselines, rules of thumb
    #[arg(short, long)]
    pub verbose: bool,
}

/// The destination of a report.
#[derive(Debug, Args)]
pub struct DestinationArgs {
    /// Write the report to FILE instead of stdout; overwrite an existing file
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

/// Options of commands that print one report.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Print JSON; same as --format json
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
    /// Text for people.
    #[default]
    Table,
    /// One JSON object per line.
    Json,
}
