//! `cargo xtask bench`: measurements whose results the documents quote.

mod figures;
mod overhead;
mod report;
mod variants;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Measures auditwatch.
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// What tracing adds to the cost of a record, in instructions of the task that causes it.
    Overhead(overhead::OverheadArgs),
}

/// Runs what is asked for.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    match &args.bench {
        Bench::Overhead(args) => overhead::run(args),
    }
}
