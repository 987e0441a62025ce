//! The command line of `bench`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueHint};

use super::{
    OutputArgs, PrintArgs,
    value::{self, StormParser},
};
use crate::hooks::plan::Preference;

/// The commands of `bench`.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Run a storm once, and verify its trace against ground truth
    #[command(after_help = "Examples:\n  \
        auditwatch bench run boot-burst\n  \
        auditwatch bench run my-storm.toml --limit 320 --record run.zst\n  \
        auditwatch bench run boot-burst --json | jq .checks\n\n\
        Exit status: 3 if the trace disagrees with the ground truth, 1 if the storm cannot run.")]
    Run(RunArgs),
    /// Run a storm at several limits, and show losses and stalls at each
    #[command(after_help = "Examples:\n  \
        auditwatch bench sweep ec2-build --limits 64..65536\n  \
        auditwatch bench sweep ec2-build --limits 320,1000,8192 --json")]
    Sweep(SweepArgs),
    /// Find the smallest limit without loss or stall for a storm
    #[command(after_help = "Examples:\n  auditwatch bench needed boot-burst")]
    Needed(NeededArgs),
    /// List the storms of the library
    #[command(
        after_help = "Examples:\n  auditwatch bench list\n  auditwatch bench list --json | jq -r .name"
    )]
    List(OutputArgs),
    /// Print a storm of the library, as a template for your own
    #[command(after_help = "Examples:\n  auditwatch bench show boot-burst > my-storm.toml")]
    Show {
        /// Name of the storm
        #[arg(value_parser = StormParser, hide_possible_values = true)]
        name: String,
    },
    /// Restore the host if a bench was killed before it could do so
    #[command(after_help = "Examples:\n  \
        auditwatch bench restore    print each setting that is restored\n\n\
        Exit status: 1 if a setting cannot be restored, or if a bench is running.")]
    Restore,
    /// The process that restores the host (internal)
    #[command(hide = true)]
    Keeper {
        /// Descriptor of the lock
        #[arg(long)]
        lock: i32,
    },
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

/// Options of all commands that run storms.
#[derive(Debug, Args)]
pub struct StormArgs {
    /// Name of a storm from `bench list`, or a file
    #[arg(value_parser = StormParser, hide_possible_values = true)]
    pub storm: String,
    /// Run even if auditd is running
    ///
    /// auditd is stopped for the storm and started again afterwards, unless the storm uses it.
    #[arg(short, long)]
    pub yes: bool,
    /// Choose how BPF programs attach to kernel functions
    #[arg(long, value_enum, default_value_t, ignore_case = true)]
    pub attach: Preference,
    /// Take a sample every TIME; `compare` needs 5 or more samples
    #[arg(short, long, value_name = "TIME", default_value = "100ms", value_parser = value::interval)]
    pub interval: Duration,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
}

/// Options of `bench run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The storm
    #[command(flatten)]
    pub storm: StormArgs,
    /// Override the storm's backlog limit; 0 means no limit
    #[arg(long, value_name = "RECORDS", value_parser = value::number::<u32>("a number of records", 0..=u32::MAX))]
    pub limit: Option<u32>,
    /// Override the storm's backlog wait time, such as 500ms; 0 means no stalls
    #[arg(long, value_name = "TIME", value_parser = value::milliseconds)]
    pub wait_time: Option<u64>,
    /// The same in milliseconds
    #[arg(long, value_name = "MS", hide = true, conflicts_with = "wait_time",
        value_parser = value::number::<u64>("a number of milliseconds", 0..=3_600_000))]
    pub wait_time_ms: Option<u64>,
    /// Record all samples to FILE, for replay, compare and recommend
    ///
    /// FILE must not exist yet.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub record: Option<PathBuf>,
}

/// Options of `bench sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// The storm
    #[command(flatten)]
    pub storm: StormArgs,
    /// Run at each of these limits, in records
    ///
    /// LIMITS is a range or a list. In a range, FIRST..LAST, each limit is twice the one before. A list has commas:
    /// 320,1000,8192.
    #[arg(long, value_name = "LIMITS", default_value = "64..65536", value_parser = parse_limits)]
    pub limits: Limits,
}

/// Options of `bench needed`.
#[derive(Debug, Args)]
pub struct NeededArgs {
    /// The storm
    #[command(flatten)]
    pub storm: StormArgs,
    /// Stop after RUNS runs, even without a result
    #[arg(long, value_name = "RUNS", default_value_t = 12,
        value_parser = value::number::<u32>("a number of runs", 1..=u32::MAX))]
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
            format!("expected limits such as 64..65536 or 64,320,8192; `{word}` is not a number")
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
        return Err("expected a first limit that is at least 1 and at most the last".to_owned());
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
