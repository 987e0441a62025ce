//! The command line: commands and options. It does nothing by itself.

#![forbid(unsafe_code)]

pub mod apply;
pub mod bench;
pub mod printing;
pub mod risk;
pub mod value;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum, ValueHint, error::ErrorKind};
use clap_complete::Shell;

pub use self::printing::{DestinationArgs, DetailArgs, Format, OutputArgs, PrintArgs};
use self::risk::{DoctorArgs, RiskArgs};
use crate::hooks::plan::{Preference, Role};

/// Measure the kernel's audit backlog: losses, their cause, and the limit that a load needs.
#[derive(Debug, Parser)]
#[command(
    name = "auditwatch",
    version,
    about,
    long_about = "Measure the kernel's audit backlog: losses, their cause, and the limit that a load needs.\n\n\
        auditwatch counts each audit record that is attempted, queued, dropped, delivered, retried or held. It \
        names the reason for each drop, and measures each stall of a task.",
    after_help = "Examples:\n  \
        auditwatch trace -d 30s     count records, losses and stalls for 30 seconds\n  \
        auditwatch recommend        compute the backlog limit that this host needs\n  \
        auditwatch apply 8192       set the backlog limit now and at boot\n\n\
        Exit status:\n  \
        0    success\n  \
        1    failure; doctor: this host cannot be traced; rescue: still stuck\n  \
        2    wrong usage\n  \
        3    trace, replay, recommend: records were lost; compare: got worse;\n       \
        diagnose, status --files: problem found; bench: wrong counts\n\n\
        trace has more values: see auditwatch trace --help"
)]
pub struct Cli {
    /// The command.
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
                "expected a COMMAND after `--`; omit `--` to trace until Ctrl-C",
            ));
        }
        Ok(cli)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Count records, losses and stalls while the host works
    ///
    /// A record is lost if it is dropped before a consumer, such as auditd, gets it. A task stalls if it sleeps
    /// because the queue is full.
    #[command(
        override_usage = "auditwatch trace [OPTIONS] [[--] COMMAND [ARG]...]",
        after_help = "Examples:\n  \
        auditwatch trace                          trace until Ctrl-C\n  \
        auditwatch trace -d 30s                   trace for 30 seconds\n  \
        auditwatch trace make -j8                 trace while a command runs\n  \
        auditwatch trace --json -o t.json make    write JSON to a file, not to stdout\n  \
        auditwatch trace --json | jq .            print JSON; the last line sums up\n\n\
        Exit status:\n  \
        0    no record was lost\n  \
        3    records were lost\n  \
        N    COMMAND failed with status N; 128+N: signal N ended it\n  \
        126  COMMAND cannot be executed\n  \
        127  COMMAND was not found\n  \
        130  Ctrl-C ended the trace before it counted; 143: SIGTERM did"
    )]
    Trace(TraceArgs),
    /// Print a recorded trace again
    #[command(after_help = "Examples:\n  \
        auditwatch replay trace.zst                  print all lines and the summary\n  \
        auditwatch replay --json trace.zst | tail -1 | jq .ledger\n  \
        zstd -dc trace.zst | auditwatch replay -     read a decompressed recording\n\n\
        Exit status: 3 if records were lost.")]
    Replay(ReplayArgs),
    /// Compare two recorded traces
    #[command(after_help = "Examples:\n  \
        auditwatch compare before.zst after.zst\n  \
        auditwatch compare --json before.zst after.zst | jq .verdict\n\n\
        Exit status: 3 if a figure of the second trace is worse by more than the noise.")]
    Compare(CompareArgs),
    /// Compute the backlog limit that a load needs, and explain it
    ///
    /// The need is the smallest limit at which no record is lost and no task stalls.
    #[command(after_help = "Examples:\n  \
        auditwatch recommend                         trace this host for 60 seconds\n  \
        auditwatch recommend --for 10m --policy cis  trace longer; meet CIS baseline\n  \
        auditwatch recommend trace.zst --explain     use a recording; print evidence\n  \
        auditwatch recommend --json trace.zst | jq .curve\n\n\
        Exit status: 3 if records were lost.")]
    Recommend(RecommendArgs),
    /// Find lost audit records, hung tasks and panics in a log
    #[command(after_help = "Examples:\n  \
        auditwatch diagnose                     read /dev/kmsg of this host\n  \
        auditwatch diagnose console.log         read the console output of an instance\n  \
        auditwatch diagnose --root /mnt         read the logs of a stopped host's disk\n  \
        auditwatch diagnose messages*           read a log and its rotated files\n  \
        journalctl -k -o export | auditwatch diagnose\n  \
        auditwatch diagnose --json dmesg.txt | jq .lost_at_least\n\n\
        Exit status: 3 if losses, hung tasks or a panic are found or suspected.")]
    Diagnose(DiagnoseArgs),
    /// Set the backlog limit now and at boot; revert with undo
    ///
    /// The limit is set in the running kernel and in the rules files. A check refuses a change that could lose
    /// records or panic the host.
    #[command(
        override_usage = "auditwatch apply <N | --from RECORDING | --recommended> [OPTIONS]",
        after_help = "Examples:\n  \
        auditwatch apply 8192 -n                  show the plan and the diff\n  \
        auditwatch apply 8192                     set the limit after confirmation\n  \
        auditwatch apply --recommended --for 10m  trace for 10 min, then set the need\n  \
        auditwatch apply --from trace.zst -y      use a recording; do not ask\n  \
        auditwatch apply 8192 --root /mnt         edit the disk of a stopped host\n\n\
        Exit status: 1 if the change is refused, fails, or is reverted on regression."
    )]
    Apply(apply::ApplyArgs),
    /// Revert a change of apply, unless the setting has changed since
    #[command(
        after_help = "Examples:\n  auditwatch undo          revert the last change\n  auditwatch undo 3        \
            revert change 3\n  auditwatch undo -n       show the plan"
    )]
    Undo(apply::UndoArgs),
    /// List the changes of apply and rescue: when, why, by whom, old and new value
    #[command(
        after_help = "Examples:\n  auditwatch history\n  auditwatch history --json | jq '.changes[-1]'"
    )]
    History(apply::HistoryArgs),
    /// Find tasks that are stranded in the kernel's audit code, and free them
    ///
    /// A task is stranded if it sleeps in the audit code although the queue has room.
    #[command(
        after_help = "Examples:\n  auditwatch rescue          report stranded tasks; change nothing\n  \
            auditwatch rescue -y       free them with the smallest change that works\n\n\
            Exit status: 1 if a task or a record is still stuck."
    )]
    Rescue(apply::RescueArgs),
    /// Run synthetic audit loads, and verify the trace against ground truth
    ///
    /// Such a load is a storm: a file says how many events it makes, and how fast. The ground truth is the
    /// number of events made and of records received.
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
        auditwatch status --files                      find the deciding line\n  \
        auditwatch status --files --root /mnt/disk     read a mounted disk\n\n\
        Exit status with --files: 3 if the next boot will not apply the rules files as written.")]
    Status(StatusArgs),
    /// Check whether this host can be traced, and name the fix if not
    #[command(
        after_help = "Examples:\n  auditwatch doctor\n  auditwatch doctor --json | jq .verdict\n\n\
            Exit status: 1 if this host cannot be traced."
    )]
    Doctor(DoctorArgs),
    /// Print the completion script for a shell
    #[command(
        after_help = "Examples:\n  auditwatch completions bash > /etc/bash_completion.d/auditwatch\n  \
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
    /// Shell that runs the script
    #[arg(value_enum, ignore_case = true)]
    pub shell: Shell,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Existing directory for the pages
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,
}

/// Options of `trace`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Stop after TIME [default: until Ctrl-C or COMMAND's end]
    ///
    /// TIME is a number with a unit, such as 500ms, 30s or 5min. A bare number is seconds. After TIME, COMMAND
    /// keeps running.
    #[arg(short, long, value_name = "TIME", value_parser = value::time)]
    pub duration: Option<Duration>,
    /// Print one line every TIME
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = value::interval)]
    pub interval: Duration,
    /// Choose how to count: with BPF programs, or by polling audit netlink
    #[arg(long, value_enum, default_value_t, ignore_case = true)]
    pub source: SourceChoice,
    /// Choose how BPF programs attach to kernel functions
    #[arg(long, value_enum, default_value_t, ignore_case = true)]
    pub attach: Preference,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
    /// How much is printed
    #[command(flatten)]
    pub detail: DetailArgs,
    /// The destination of the report
    #[command(flatten)]
    pub to: DestinationArgs,
    /// Print only errors on stderr, no remarks
    #[arg(short, long)]
    pub quiet: bool,
    /// Do not attribute records to processes (saves about 150 instructions per record)
    #[arg(long)]
    pub no_talkers: bool,
    /// Track at most N processes individually; group the others by cgroup and rule. Diagnostic
    #[arg(long, value_name = "N", default_value_t = 8192, hide = true,
        value_parser = value::number::<u32>("a number of processes", 1..=65_536))]
    pub talker_slots: u32,
    /// Record all samples to FILE, for replay, compare and recommend
    ///
    /// FILE must not exist yet.
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
    /// Risks that tracing may take
    #[command(flatten)]
    pub risk: RiskArgs,
    /// Run COMMAND and trace until it ends
    ///
    /// All words after COMMAND are its arguments. If JSON goes to stdout, COMMAND's stdout goes to stderr.
    #[arg(trailing_var_arg = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Recording of `trace --record`, or - for stdin
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
    /// How much is printed
    #[command(flatten)]
    pub detail: DetailArgs,
    /// The destination of the report
    #[command(flatten)]
    pub to: DestinationArgs,
}

/// Options of `recommend`.
#[derive(Debug, Args)]
pub struct RecommendArgs {
    /// Recordings of `trace --record` or `bench run --record`, or - for stdin [default: trace this host]
    ///
    /// Several recordings are runs of one load. The limit is that of the run that needs most.
    #[arg(value_name = "RECORDING", value_hint = ValueHint::FilePath)]
    pub recordings: Vec<PathBuf>,
    /// Trace this host for TIME; Ctrl-C ends the trace early
    #[arg(short = 'd', long = "for", visible_alias = "duration", value_name = "TIME", default_value = "60s",
        value_parser = value::time, conflicts_with = "recordings")]
    pub window: Duration,
    /// Record all samples of the trace to FILE
    ///
    /// FILE must not exist yet.
    #[arg(long, value_name = "FILE", conflicts_with = "recordings", value_hint = ValueHint::FilePath)]
    pub record: Option<PathBuf>,
    /// Add PERCENT to the need as headroom
    #[arg(long, value_name = "PERCENT", default_value = "20%", value_parser = value::percent)]
    pub headroom: f64,
    /// Let full queues use at most SIZE of kernel memory
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = value::size)]
    pub memory_budget: u64,
    /// Recommend at least RECORDS
    #[arg(long, value_name = "RECORDS",
        value_parser = value::number::<u64>("a number of records", 1..=u64::from(u32::MAX)))]
    pub floor: Option<u64>,
    /// Recommend at least the limit of a baseline
    #[arg(long, value_enum, ignore_case = true)]
    pub policy: Option<Policy>,
    /// Print the evidence step by step
    #[arg(long)]
    pub explain: bool,
    /// Risks that tracing may take
    #[command(flatten)]
    pub risk: RiskArgs,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
    /// How much is printed
    #[command(flatten)]
    pub detail: DetailArgs,
    /// The destination of the report
    #[command(flatten)]
    pub to: DestinationArgs,
}

/// Baselines that ask for a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// CIS Benchmarks: 8192 records or more.
    Cis,
    /// DISA STIG: 8192 records or more.
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
            Self::Stig => "DISA STIG, such as V-274168 of Amazon Linux 2023: 8192 or more",
        }
    }
}

/// Options of `diagnose`.
#[derive(Debug, Args)]
pub struct DiagnoseArgs {
    /// Log files, or - for stdin [default: piped input, else /dev/kmsg of this host]
    ///
    /// A log is console output, dmesg, syslog, audit.log, the journal (export, short or JSON format) or JSON of a log
    /// store. gzip and zstd files are decompressed. Rotated files of one log are read as one.
    #[arg(conflicts_with = "root", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Show the losses of each day, if the log has dates
    #[arg(long)]
    pub by_day: bool,
    /// Read the logs of a stopped host whose disk is mounted at DIR
    ///
    /// The logs are the files in DIR/var/log, DIR/var/crash and pstore, or in the tree of an sos report.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
    /// The destination of the report
    #[command(flatten)]
    pub to: DestinationArgs,
}

/// Options of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// First recording, of `trace --record` or `bench run --record`; - for stdin
    #[arg(value_hint = ValueHint::FilePath)]
    pub a: PathBuf,
    /// Second recording; - for stdin
    #[arg(value_hint = ValueHint::FilePath)]
    pub b: PathBuf,
    /// How it is printed
    #[command(flatten)]
    pub print: PrintArgs,
    /// The destination of the report
    #[command(flatten)]
    pub to: DestinationArgs,
}

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show the backlog limit of each source, and the line that decides at the next boot
    ///
    /// The sources are the running kernel, its command line, and the rules files.
    #[arg(long)]
    pub files: bool,
    /// Read the files of a stopped host whose disk is mounted at DIR
    ///
    /// Symbolic links are resolved inside DIR.
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
    /// Used by Debian and Ubuntu.
    Mawk,
    /// Used by Fedora, RHEL, Amazon Linux and SUSE.
    Gawk,
}

/// The sources of the counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SourceChoice {
    /// BPF, or polling if BPF does not work here.
    #[default]
    Auto,
    /// BPF only; fail if it does not work here.
    Bpf,
    /// Polling only.
    Poll,
}

#[cfg(test)]
mod tests;
