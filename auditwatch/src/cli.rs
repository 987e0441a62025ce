//! The command line: what can be asked for. It does nothing by itself.

pub mod apply;
pub mod bench;
pub mod printing;
pub mod risk;
pub mod value;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum, ValueHint, error::ErrorKind};
use clap_complete::Shell;

pub use self::printing::{DestinationArgs, Format, OutputArgs, PrintArgs};
use self::risk::{DoctorArgs, RiskArgs};
use crate::hooks::plan::{Preference, Role};

/// Measure the kernel's audit backlog: losses, their cause, and the limit that a load needs.
#[derive(Debug, Parser)]
#[command(
    name = "auditwatch",
    version,
    about,
    long_about = "Measures the kernel's audit backlog exactly: every record that is attempted, queued, \
        dropped (and why), delivered, retried and held, and every stall.\n\n\
        Exit status: 0 fine, 1 failed, 2 usage. trace, replay, recommend, compare, diagnose and bench: 3 for \
        losses, for a figure that got worse, or for disagreement. trace: the status of its COMMAND if that \
        failed, 127 if it is not found, 126 if it cannot be executed; 130 if Ctrl-C (143 if SIGTERM) ends the \
        trace before it counts. doctor, rescue: 1 if this host cannot be traced, or if something is stuck."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads the command line, the program's name first.
    ///
    /// # Errors
    /// When it asks for something that does not exist, or for help.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let words: Vec<OsString> = words.into_iter().collect();
        let cli = Self::try_parse_from(&words)?;
        if let Command::Trace(args) = &cli.command
            && args.command.is_empty()
            && words.last().is_some_and(|word| word == "--")
        {
            // clap takes no words behind `--` for none at all.
            let mut all = Self::command();
            all.build();
            let trace = all.find_subcommand_mut("trace");
            return Err(trace.cloned().unwrap_or_else(Self::command).error(
                ErrorKind::MissingRequiredArgument,
                "expected a COMMAND after `--`; leave `--` out to trace until Ctrl-C",
            ));
        }
        Ok(cli)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Count records, losses and stalls while the host works
    #[command(
        override_usage = "auditwatch trace [OPTIONS] [[--] COMMAND [ARG]...]",
        after_help = "Examples:\n  \
        auditwatch trace                          until Ctrl-C\n  \
        auditwatch trace -d 30s                   for half a minute\n  \
        auditwatch trace make -j8                 for as long as a command runs\n  \
        auditwatch trace --json -o trace.json make    the command's output stays apart\n  \
        auditwatch trace --json | jq .            for machines; the last line is the summary"
    )]
    Trace(TraceArgs),
    /// Print a recorded trace again
    #[command(after_help = "Examples:\n  \
        auditwatch replay trace.zst\n  \
        auditwatch replay --json trace.zst | tail -1 | jq .ledger\n  \
        zstd -dc trace.zst | auditwatch replay -     a recording may be decompressed")]
    Replay(ReplayArgs),
    /// Compare two recorded traces, figure by figure
    #[command(after_help = "Examples:\n  \
        auditwatch compare before.zst after.zst\n  \
        auditwatch compare --json before.zst after.zst | jq .verdict\n\n\
        Exit status: 3 when the second is worse in some figure, beyond the noise.")]
    Compare(CompareArgs),
    /// Compute the backlog limit that a load needs, and say why
    #[command(after_help = "Examples:\n  \
        auditwatch recommend                          watch this host for a minute\n  \
        auditwatch recommend --for 10m --policy cis   for longer, with a baseline's limit\n  \
        auditwatch recommend trace.zst --explain      from a recording, step by step\n  \
        auditwatch recommend --json trace.zst | jq .curve\n\n\
        Exit status: 3 when records were lost.")]
    Recommend(RecommendArgs),
    /// Find lost audit records, hung tasks and panics in a log
    #[command(after_help = "Examples:\n  \
        auditwatch diagnose console.log               the console output of an instance\n  \
        journalctl -k -o export | auditwatch diagnose -\n  \
        auditwatch diagnose                           this host's /dev/kmsg\n  \
        auditwatch diagnose --root /mnt               the logs on the disk of a stopped host\n  \
        auditwatch diagnose --json dmesg.txt | jq .lost_at_least\n\n\
        Exit status: 3 when something is wrong: losses, hung tasks, a panic, or reason to suspect them.")]
    Diagnose(DiagnoseArgs),
    /// Set the backlog limit now and at boot; revert with undo
    #[command(
        override_usage = "auditwatch apply <N | --from RECORDING | --recommended> [OPTIONS]",
        after_help = "Examples:\n  \
        auditwatch apply 8192 -n                    show the plan and the diff\n  \
        auditwatch apply 8192                       now and across reboots; asks first\n  \
        auditwatch apply --recommended --for 10m    watch this host, then apply its need\n  \
        auditwatch apply --from trace.zst -y        the need of a recording, without asking\n  \
        auditwatch apply 8192 --root /mnt           on the mounted disk of a stopped instance"
    )]
    Apply(apply::ApplyArgs),
    /// Revert a change of apply, unless somebody changed it since
    #[command(
        after_help = "Examples:\n  auditwatch undo          the last change\n  auditwatch undo 3        \
            that one\n  auditwatch undo -n       show the plan"
    )]
    Undo(apply::UndoArgs),
    /// List the changes of apply: when, why, by whom, old and new value
    #[command(
        after_help = "Examples:\n  auditwatch history\n  auditwatch history --json | jq '.changes[-1]'"
    )]
    History(apply::HistoryArgs),
    /// Find tasks that are stranded in the audit code, and free them
    #[command(
        after_help = "Examples:\n  auditwatch rescue          look, and explain\n  auditwatch rescue -y       \
            free them by the least means"
    )]
    Rescue(apply::RescueArgs),
    /// Run synthetic audit loads, and verify the trace against ground truth
    #[command(
        subcommand,
        after_help = "Examples:\n  \
            auditwatch bench list\n  \
            auditwatch bench run boot-burst\n  \
            auditwatch bench sweep ec2-build --limits 64..65536\n  \
            auditwatch bench needed boot-burst"
    )]
    Bench(bench::BenchCommand),
    /// Show the audit settings, and explain them
    #[command(after_help = "Examples:\n  \
        auditwatch status\n  \
        auditwatch status --json | jq .backlog_limit\n  \
        auditwatch status --files                      the line that decides the limit at boot\n  \
        auditwatch status --files --root /mnt/disk     on the disk of a stopped host")]
    Status(StatusArgs),
    /// Check whether this host can be traced, and name the remedy if not
    #[command(after_help = "Examples:\n  auditwatch doctor\n  auditwatch doctor --json")]
    Doctor(DoctorArgs),
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

impl Command {
    /// Whether its report is all that it is run for: it leaves the host as it is.
    #[must_use]
    pub const fn changes_nothing(&self) -> bool {
        match self {
            Self::Apply(args) => args.dry_run,
            Self::Undo(args) => args.dry_run,
            Self::Rescue(args) => !args.yes,
            Self::Bench(_) => false,
            _ => true,
        }
    }
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, ignore_case = true)]
    pub shell: Shell,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The directory; it must exist
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,
}

/// Options of `trace`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Stop after TIME (500ms, 30s, 5min; a bare number is seconds); the COMMAND is left running
    /// [default: until Ctrl-C or the COMMAND's end]
    #[arg(short, long, value_name = "TIME", value_parser = value::time)]
    pub duration: Option<Duration>,
    /// Print a line each TIME
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = value::interval)]
    pub interval: Duration,
    /// Take counts from BPF programs, or poll audit netlink
    #[arg(long, value_enum, default_value_t, ignore_case = true)]
    pub source: SourceChoice,
    /// Attach the BPF programs in this form
    #[arg(long, value_enum, default_value_t, ignore_case = true)]
    pub attach: Preference,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
    /// Where it is written
    #[command(flatten)]
    pub to: DestinationArgs,
    /// Print no remarks on stderr, errors only
    #[arg(short, long)]
    pub quiet: bool,
    /// Do not attribute records to processes (saves about 150 instructions per record)
    #[arg(long)]
    pub no_talkers: bool,
    /// Track at most N processes one by one; others are grouped by cgroup and rule. Diagnostic
    #[arg(long, value_name = "N", default_value_t = 8192, hide = true,
        value_parser = value::number::<u32>("a number of processes", 1..=65_536))]
    pub talker_slots: u32,
    /// Record all samples to FILE, which must not exist yet; print them again with replay
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub record: Option<PathBuf>,
    /// Do not attach these hooks, to measure the cost of each. Diagnostic: their counts are null
    #[arg(
        long,
        value_enum,
        value_name = "HOOK",
        value_delimiter = ',',
        ignore_case = true,
        hide = true
    )]
    pub leave_out: Vec<Role>,
    /// What tracing may risk
    #[command(flatten)]
    pub risk: RiskArgs,
    /// Run COMMAND and trace until it ends; words after it are its own. With JSON on stdout, its
    /// output goes to stderr
    #[arg(trailing_var_arg = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A recording of `trace --record`; - for stdin
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
    /// Where it is written
    #[command(flatten)]
    pub to: DestinationArgs,
}

/// Options of `recommend`.
#[derive(Debug, Args)]
pub struct RecommendArgs {
    /// A recording of `trace --record` or `bench run --record`; - for stdin [default: watch this host]
    #[arg(value_hint = ValueHint::FilePath)]
    pub recording: Option<PathBuf>,
    /// Watch this host for TIME; Ctrl-C ends it early
    #[arg(short = 'd', long = "for", visible_alias = "duration", value_name = "TIME", default_value = "60s",
        value_parser = value::time, conflicts_with = "recording")]
    pub window: Duration,
    /// Record all samples of the watch to FILE, which must not exist yet
    #[arg(long, value_name = "FILE", conflicts_with = "recording", value_hint = ValueHint::FilePath)]
    pub record: Option<PathBuf>,
    /// Add this share to the need, such as 20%
    #[arg(long, value_name = "PERCENT", default_value = "20%", value_parser = value::percent)]
    pub headroom: f64,
    /// Allow full queues this much kernel memory, such as 64MiB
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = value::size)]
    pub memory_budget: u64,
    /// Recommend no limit below RECORDS
    #[arg(long, value_name = "RECORDS",
        value_parser = value::number::<u64>("a number of records", 1..=u64::from(u32::MAX)))]
    pub floor: Option<u64>,
    /// Recommend no limit below that of a baseline
    #[arg(long, value_enum, ignore_case = true)]
    pub policy: Option<Policy>,
    /// Print the evidence step by step
    #[arg(long)]
    pub explain: bool,
    /// What tracing may risk
    #[command(flatten)]
    pub risk: RiskArgs,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
    /// Where it is written
    #[command(flatten)]
    pub to: DestinationArgs,
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
    /// A log: console output, dmesg, syslog, journal export or short, or /dev/kmsg format, plain or
    /// compressed by gzip or zstd; - for stdin [default: this host's /dev/kmsg]
    #[arg(conflicts_with = "root", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Read the logs in DIR/var/log, the mounted disk of a stopped host
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
    /// Where it is written
    #[command(flatten)]
    pub to: DestinationArgs,
}

/// Options of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The first recording, of `trace --record` or `bench run --record`; - for stdin
    #[arg(value_hint = ValueHint::FilePath)]
    pub a: PathBuf,
    /// The second recording
    #[arg(value_hint = ValueHint::FilePath)]
    pub b: PathBuf,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
    /// Where it is written
    #[command(flatten)]
    pub to: DestinationArgs,
}

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show the backlog limit of each source (kernel, command line, rules files), and the line that
    /// decides at the next boot
    #[arg(long)]
    pub files: bool,
    /// Read the files of a stopped host whose disk is mounted at DIR; no link leads out of it
    #[arg(long, value_name = "DIR", requires = "files", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// Assume that augenrules runs this awk [default: the target of /usr/bin/awk]
    #[arg(long, value_enum, requires = "files", ignore_case = true)]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(words: &[&str]) -> Result<TraceArgs, clap::Error> {
        let words = ["auditwatch", "trace"].iter().chain(words);
        match Cli::read(words.map(OsString::from))?.command {
            Command::Trace(args) => Ok(args),
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn options_after_the_command_are_its_own() {
        for words in [
            &["-d", "5s", "make", "-j8", "--json"][..],
            &["-d", "5s", "--", "make", "-j8", "--json"],
        ] {
            let args = trace(words).expect("it can be read");
            assert_eq!(args.command, ["make", "-j8", "--json"], "{words:?}");
            assert_eq!(args.duration, Some(Duration::from_secs(5)));
            assert!(!args.print.json);
        }
    }

    #[test]
    fn unknown_option_before_the_command_is_an_error() {
        for words in [&["--durration", "5s"][..], &["-j8", "make"]] {
            assert!(trace(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn dashes_without_a_command_are_an_error() {
        let error = trace(&["-d", "5s", "--"]).expect_err("there is no command");
        assert!(error.to_string().contains("COMMAND"), "{error}");
        assert!(trace(&["true", "--"]).is_ok_and(|args| args.command == ["true", "--"]));
        assert!(trace(&[]).is_ok_and(|args| args.command.is_empty()));
    }

    #[test]
    fn case_of_a_name_does_not_matter() {
        let words = [
            "auditwatch",
            "recommend",
            "--policy",
            "CIS",
            "--format",
            "JSON",
        ];
        assert!(Cli::try_parse_from(words).is_ok());
    }
}
