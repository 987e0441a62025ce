//! `cargo xtask bench`: measurements whose results the documents quote.

mod accuracy;
mod check;
mod cost;
mod document;
mod figures;
mod overhead;
mod repeat;
mod results;
mod storms;
mod table;
mod variants;
mod yardstick;

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
    /// How near the recommended limits are to what storms really need.
    Accuracy(accuracy::AccuracyArgs),
    /// Whether storms come to the same in every boot, on a clock that counts instructions.
    Repeat(repeat::RepeatArgs),
}

/// Runs what is asked for.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    match &args.bench {
        Bench::Overhead(args) => overhead::run(args),
        Bench::Accuracy(args) => accuracy::run(args),
        Bench::Repeat(args) => repeat::run(args),
    }
}
