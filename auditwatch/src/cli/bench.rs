//! The command line of `bench`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{OutputArgs, PrintArgs, parse_interval};
use crate::plan::Preference;

/// What `bench` can do.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Run a storm once, and hold its trace against the truth
    #[command(after_help = "Examples:\n  \
        auditwatch bench run boot-burst\n  \
        auditwatch bench run my-storm.toml --limit 320 --record run.zst\n  \
        auditwatch bench run boot-burst --json | jq .checks\n\n\
        Exit status: 0 trace and truth agree, 3 they do not, 1 the storm could not be run.")]
    Run(RunArgs),
    /// Run a storm at several limits: what each would have lost and delayed
    #[command(after_help = "Examples:\n  \
        auditwatch bench sweep ec2-build --limits 64..65536\n  \
        auditwatch bench sweep ec2-build --limits 320,1000,8192 --json")]
    Sweep(SweepArgs),
    /// Find the smallest limit at which a storm neither loses nor delays anything
    #[command(after_help = "Examples:\n  auditwatch bench needed boot-burst")]
    Needed(NeededArgs),
    /// List the storms of the library
    List(OutputArgs),
    /// Print a storm of the library, as a start for one of your own
    #[command(after_help = "Examples:\n  auditwatch bench show boot-burst > my-storm.toml")]
    Show {
        /// Its name
        name: String,
    },
    /// Put back what a bench left behind that was killed together with its keeper
    Restore,
    /// The process that restores the host (internal)
    #[command(hide = true)]
    Keeper,
    /// The process that takes the records (internal)
    #[command(hide = true)]
    Sink,
    /// The process that makes the events (internal)
    #[command(hide = true)]
    Producers,
    /// A program that does nothing (internal)
    #[command(hide = true)]
    Nothing {
        /// Ignored
        arguments: Vec<String>,
    },
}

/// What all runs of storms have in common.
#[derive(Debug, Args)]
pub struct StormArgs {
    /// A storm: a file, or a name of the library (see `bench list`)
    pub storm: String,
    /// Run also where an auditd lives: it is stopped for the storm and started again
    #[arg(long)]
    pub yes: bool,
    /// How programs are attached
    #[arg(long, value_enum, default_value_t)]
    pub attach: Preference,
    /// Time between samples; `compare` wants five or more in a storm
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = parse_interval)]
    pub interval: Duration,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
}

/// Options of `bench run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What to run
    #[command(flatten)]
    pub storm: StormArgs,
    /// Backlog limit instead of the storm's, records; 0 for none
    #[arg(long, value_name = "RECORDS")]
    pub limit: Option<u32>,
    /// Backlog wait time instead of the storm's, milliseconds; 0 for no waiting
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=3_600_000))]
    pub wait_time_ms: Option<u64>,
    /// Record all that is sampled to this file, for `replay` and `compare`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

/// Options of `bench sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// What to run
    #[command(flatten)]
    pub storm: StormArgs,
    /// Limits: FIRST..LAST, doubling from one to the next, or a list
    #[arg(long, value_name = "LIMITS", default_value = "64..65536", value_parser = parse_limits)]
    pub limits: Limits,
}

/// Options of `bench needed`.
#[derive(Debug, Args)]
pub struct NeededArgs {
    /// What to run
    #[command(flatten)]
    pub storm: StormArgs,
    /// Runs at the most
    #[arg(long, value_name = "RUNS", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
}

/// Limits in the order given, records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits(pub Vec<u32>);

/// Parses `64..65536` and `64,320,8192`.
///
/// # Errors
/// When the text is neither.
pub fn parse_limits(text: &str) -> Result<Limits, String> {
    let number = |word: &str| {
        word.trim().parse::<u32>().map_err(|_| {
            format!("`{word}` is no limit; write 64..65536 or a list such as 64,320,8192")
        })
    };
    let Some((first, last)) = text.split_once("..") else {
        return text
            .split(',')
            .map(number)
            .collect::<Result<_, _>>()
            .map(Limits);
    };
    let (first, last) = (number(first)?, number(last)?);
    if first == 0 || first > last {
        return Err(format!(
            "{first}..{last} is no range: the first limit must be at least 1 and at most the last"
        ));
    }
    let mut limits: Vec<u32> = std::iter::successors(Some(first), |limit| limit.checked_mul(2))
        .take_while(|limit| *limit < last)
        .collect();
    limits.push(last);
    Ok(Limits(limits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_a_range_or_a_list() {
        let parse = |text| parse_limits(text).map(|limits| limits.0);
        assert_eq!(parse("64..512"), Ok(vec![64, 128, 256, 512]));
        assert_eq!(parse("64..300"), Ok(vec![64, 128, 256, 300]));
        assert_eq!(parse("7..7"), Ok(vec![7]));
        assert_eq!(parse("320, 64,0"), Ok(vec![320, 64, 0]));
        assert_eq!(
            parse("3000000000..4294967295").map(|limits| limits.len()),
            Ok(2)
        );
        for text in ["", "..", "0..64", "65..64", "a", "64..x", "-1", "1,,2"] {
            assert!(parse_limits(text).is_err(), "{text}");
        }
    }
}
