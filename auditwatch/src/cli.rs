//! The command line: what can be asked for. It does nothing by itself.

pub mod apply;
pub mod bench;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::plan::{Preference, Role};

/// Measure the kernel's audit backlog: what it loses, why, and what it costs.
#[derive(Debug, Parser)]
#[command(
    name = "auditwatch",
    version,
    about,
    long_about = "Measures the kernel's audit backlog exactly: every record that is attempted, queued, \
        dropped (and why), delivered, retried and held, and every stall.\n\n\
        Exit status: 0 fine, 1 failed, 2 usage; trace: 3 when records were lost, or the status of \
        its COMMAND when that failed; recommend, replay, compare, diagnose and bench: 3 for losses, for what \
        got worse, or for disagreement; doctor, rescue: 1 when this host cannot be traced, when something is stuck."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Count records, losses and stalls while the host works
    #[command(after_help = "Examples:\n  \
        auditwatch trace                          until Ctrl-C\n  \
        auditwatch trace --duration 30s           for half a minute\n  \
        auditwatch trace -- make -j8              for as long as a command runs\n  \
        auditwatch trace --format json | jq .     for machines; the last line is the summary")]
    Trace(TraceArgs),
    /// Show a recorded trace again
    #[command(after_help = "Examples:\n  \
        auditwatch replay trace.zst\n  \
        auditwatch replay --json trace.zst | tail -1 | jq .ledger\n  \
        zstd -dc trace.zst | auditwatch replay -     a recording may be decompressed")]
    Replay(ReplayArgs),
    /// Say what changed from one recorded trace to another
    #[command(after_help = "Examples:\n  \
        auditwatch compare before.zst after.zst\n  \
        auditwatch compare --json before.zst after.zst | jq .verdict\n\n\
        Exit status: 3 when the second is worse in some figure, beyond the noise.")]
    Compare(CompareArgs),
    /// Say what backlog limit a load would have needed, and why
    #[command(after_help = "Examples:\n  \
        auditwatch recommend                          watch this host for a minute\n  \
        auditwatch recommend --for 10m --policy cis   for longer, and keep a baseline\n  \
        auditwatch recommend trace.zst --explain      from a recording, step by step\n  \
        auditwatch recommend --json trace.zst | jq .curve\n\n\
        Exit status: 3 when records were lost.")]
    Recommend(RecommendArgs),
    /// Say what a log tells of lost audit records, hung tasks and panics
    #[command(after_help = "Examples:\n  \
        auditwatch diagnose console.log               the console output of an instance\n  \
        journalctl -k -o export | auditwatch diagnose -\n  \
        auditwatch diagnose                           this host: what /dev/kmsg still has\n  \
        auditwatch diagnose --root /mnt               the logs on the disk of a stopped host\n  \
        auditwatch diagnose --json dmesg.txt | jq .lost_at_least\n\n\
        Exit status: 3 when something is wrong: losses, hung tasks, a panic, or reason to suspect them.")]
    Diagnose(DiagnoseArgs),
    /// Set the backlog limit, now and for the next boot, so that it can be taken back
    #[command(
        override_usage = "auditwatch apply <N | --from RECORDING | --recommended> [OPTIONS]",
        after_help = "Examples:\n  \
        auditwatch apply 8192 --dry-run             what would be done, with the diff\n  \
        auditwatch apply 8192                       now and across reboots; asks first\n  \
        auditwatch apply --recommended --for 10m    watch this host, then apply what it needs\n  \
        auditwatch apply --from trace.zst --yes     what a recording needed, without asking\n  \
        auditwatch apply 8192 --root /mnt           on the mounted disk of a stopped instance"
    )]
    Apply(apply::ApplyArgs),
    /// Take back what apply has done, where it is still as apply left it
    #[command(
        after_help = "Examples:\n  auditwatch undo          the last change\n  auditwatch undo 3        \
            that one\n  auditwatch undo --dry-run"
    )]
    Undo(apply::UndoArgs),
    /// List what was changed: when, why, by whom, from what to what
    #[command(
        after_help = "Examples:\n  auditwatch history\n  auditwatch history --json | jq '.changes[-1]'"
    )]
    History(apply::HistoryArgs),
    /// Find tasks that sleep in the audit code for nothing, and free them
    #[command(
        after_help = "Examples:\n  auditwatch rescue          look, and explain\n  auditwatch rescue --yes    \
            free them by the least means"
    )]
    Rescue(apply::RescueArgs),
    /// Run audit loads of known size, and hold the trace against the truth
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Show the audit settings and what they mean
    #[command(after_help = "Examples:\n  \
        auditwatch status\n  \
        auditwatch status --json | jq .backlog_limit\n  \
        auditwatch status --files                      what decides the limit at the next boot\n  \
        auditwatch status --files --root /mnt/disk     on the disk of a stopped host")]
    Status(StatusArgs),
    /// Say whether this host can be traced, and what to do where it cannot
    #[command(after_help = "Examples:\n  auditwatch doctor\n  auditwatch doctor --json")]
    Doctor(OutputArgs),
    /// Print the completions for a shell
    #[command(
        after_help = "Examples:\n  auditwatch completions bash > /usr/share/bash-completion/completions/auditwatch\n  \
            auditwatch completions zsh > /usr/local/share/zsh/site-functions/_auditwatch"
    )]
    Completions(CompletionsArgs),
    /// Write the manual pages into a directory
    #[command(after_help = "Example:\n  auditwatch man /usr/local/share/man/man1")]
    Man(ManArgs),
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Where to; it must be there
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// Options of `trace`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// How long to trace (30s, 5m, 500ms); without it until Ctrl-C or the COMMAND's end.
    /// A COMMAND that runs longer goes on without the trace
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Time between lines
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_interval)]
    pub interval: Duration,
    /// Where counts come from: the kernel's own functions, or audit netlink
    #[arg(long, value_enum, default_value_t)]
    pub source: SourceChoice,
    /// How programs are attached
    #[arg(long, value_enum, default_value_t)]
    pub attach: Preference,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
    /// Do not count who causes records: each then costs its task some 150 instructions less
    #[arg(long)]
    pub no_talkers: bool,
    /// Most talkers that are told apart by their process, before only their control groups and
    /// reasons are. Diagnostic
    #[arg(long, value_name = "N", default_value_t = 8192, hide = true, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub talker_slots: u32,
    /// Record all that is sampled to this file, for `auditwatch replay`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Hooks that are not attached, to measure what each costs. Diagnostic: what they count is null,
    /// and what rests on it cannot be checked
    #[arg(
        long,
        value_enum,
        value_name = "HOOK",
        value_delimiter = ',',
        hide = true
    )]
    pub leave_out: Vec<Role>,
    /// Trace for as long as this command runs
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// What `trace --record` wrote; - for standard input
    pub file: PathBuf,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
}

/// Options of `recommend`.
#[derive(Debug, Args)]
pub struct RecommendArgs {
    /// What `trace --record` or `bench run --record` wrote; - for standard input; without one, this
    /// host is watched
    pub recording: Option<PathBuf>,
    /// How long to watch; Ctrl-C ends it early
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = parse_duration, conflicts_with = "recording")]
    pub window: Duration,
    /// What is added to the need
    #[arg(long, value_name = "PERCENT", default_value = "20%", value_parser = parse_percent)]
    pub headroom: f64,
    /// Most kernel memory that full queues may take
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size)]
    pub memory_budget: u64,
    /// Recommend no limit below this one
    #[arg(long, value_name = "RECORDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub floor: Option<u64>,
    /// Recommend no limit below that of a baseline
    #[arg(long, value_enum)]
    pub policy: Option<Policy>,
    /// Walk through the evidence
    #[arg(long)]
    pub explain: bool,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
}

/// Baselines that ask for a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// CIS Benchmarks: `audit_backlog_limit` of 8192.
    Cis,
    /// DISA STIG: the same.
    Stig,
}

impl Policy {
    /// The lowest limit that keeps it, records.
    #[must_use]
    pub const fn least_limit(self) -> u64 {
        match self {
            Self::Cis | Self::Stig => 8192,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cis => "cis",
            Self::Stig => "stig",
        }
    }

    /// The rule that asks for it.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Cis => {
                "CIS Benchmarks, \"Ensure audit_backlog_limit is sufficient\": 8192 or more"
            }
            Self::Stig => {
                "DISA STIG, V-274168 of Amazon Linux 2023 for one: less than 8192 is a finding"
            }
        }
    }
}

/// Options of `diagnose`.
#[derive(Debug, Args)]
pub struct DiagnoseArgs {
    /// Console output, dmesg, syslog, journal export or short, or /dev/kmsg format, as it is or
    /// compressed by gzip or zstd; - for standard input; without one, this host's /dev/kmsg
    #[arg(conflicts_with = "root")]
    pub file: Option<PathBuf>,
    /// Read the logs in DIR/var/log, the mounted disk of a host that does not run
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
}

/// Options of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The first: what `trace --record` or `bench run --record` wrote; - for standard input
    pub a: PathBuf,
    /// The second
    pub b: PathBuf,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
}

/// How a report is printed.
#[derive(Debug, Args)]
pub struct PrintArgs {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// How many talkers the table shows; JSON has up to 100
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,
    /// Colour: auto is for terminals, unless `NO_COLOR` is set
    #[arg(long, value_enum, default_value_t)]
    pub color: ColorChoice,
}

impl PrintArgs {
    /// The output format that is wanted.
    #[must_use]
    pub const fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show the backlog limit by source: the kernel, its command line, each rules file, and which line
    /// decides at the next boot
    #[arg(long)]
    pub files: bool,
    /// Read the files of the host whose disk is mounted here; no link leads out of it
    #[arg(long, value_name = "DIR", requires = "files")]
    pub root: Option<PathBuf>,
    /// The awk that augenrules runs there; without it, what /usr/bin/awk leads to
    #[arg(long, value_enum, requires = "files")]
    pub awk: Option<AwkChoice>,
    /// How it is printed
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The awk that augenrules runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AwkChoice {
    /// Debian's and Ubuntu's.
    Mawk,
    /// Fedora's, RHEL's, Amazon Linux's and SUSE's.
    Gawk,
}

/// Options of commands that print one report.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t, conflicts_with = "json")]
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

/// Where counts may come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SourceChoice {
    /// BPF, or polling where that is refused.
    #[default]
    Auto,
    /// BPF or nothing.
    Bpf,
    /// Audit netlink only.
    Poll,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Parses `30s`, `500ms`, `2m`, `1h`; a bare number is seconds.
///
/// # Errors
/// When the text is no such time, or it is 0.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number
        .parse()
        .map_err(|_| format!("`{text}` is no time; write 30s, 500ms, 2m or 1h"))?;
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is no unit of time; use ms, s, m or h")),
    };
    let duration = Duration::try_from_secs_f64(number * seconds)
        .map_err(|error| format!("`{text}`: {error}"))?;
    if duration.is_zero() {
        return Err("the time must be greater than 0".to_owned());
    }
    Ok(duration)
}

/// Parses `20%`, or `20`, as a share.
fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.parse::<f64>() {
        Ok(percent) if (0.0..=1000.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(format!("`{text}` is no share from 0% to 1000%")),
    }
}

/// Parses `64MiB`, `1GiB`, `512K`; a bare number is bytes.
fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size; write 64MiB, 512KiB or 1GiB");
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(1 << shift)
        .filter(|&bytes| bytes > 0)
        .ok_or_else(wrong)
}

/// Below it the samples would be a load of their own.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if interval < SHORTEST_INTERVAL {
        return Err(format!(
            "the interval must be at least {}ms",
            SHORTEST_INTERVAL.as_millis()
        ));
    }
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_mins(2)));
    }

    #[test]
    fn what_is_no_time_is_named() {
        for text in [
            "",
            "s",
            "-1s",
            "1..2s",
            "0",
            "0s",
            "9e9",
            "1d",
            "99999999999999999999h",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_duration("1d").is_err_and(|error| error.contains("`d`")));
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
