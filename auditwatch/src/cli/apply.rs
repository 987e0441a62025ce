//! The options of the commands that change something: `apply`, `undo`, `rescue`, and of `history`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueHint};

use super::{OutputArgs, Policy, risk::RiskArgs, value};

/// Options of `apply`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
pub struct ApplyArgs {
    /// Backlog limit, in records
    #[arg(value_name = "N", required_unless_present_any = ["from", "recommended", "wait_time"],
        value_parser = value::number::<u32>("a number of records", 0..=u32::MAX))]
    pub limit: Option<u32>,
    /// Apply the limit that a recording needs
    #[arg(long, value_name = "RECORDING", conflicts_with = "limit", value_hint = ValueHint::FilePath)]
    pub from: Option<PathBuf>,
    /// Trace this host, then apply the recommended limit
    #[arg(long, conflicts_with_all = ["limit", "from"])]
    pub recommended: bool,
    /// Trace for TIME; only with --recommended
    #[arg(short = 'd', long = "for", visible_alias = "duration", value_name = "TIME", default_value = "60s",
        value_parser = value::time)]
    pub window: Duration,
    /// Change only the running kernel, not the rules files for the next boot
    #[arg(long, conflicts_with_all = ["persist_only", "root"])]
    pub runtime_only: bool,
    /// Change only the rules files, not the running kernel
    #[arg(long)]
    pub persist_only: bool,
    /// Set `backlog_wait_time`, the longest stall of a task
    ///
    /// TIME is in whole seconds, such as 60s; a bare number is seconds. With 0, tasks never stall: if the queue is
    /// full, records are dropped at once.
    #[arg(long, value_name = "TIME", value_parser = value::whole_seconds)]
    pub wait_time: Option<u32>,
    /// Show the plan and the diff of each file; change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
    /// Monitor for TIME afterwards and revert on regression [default: 60s on a terminal, else 0]
    ///
    /// 0 disables monitoring. A regression is more loss, longer stalls, or too little free memory.
    #[arg(long, value_name = "TIME", value_parser = value::time_or_zero)]
    pub watch: Option<Duration>,
    /// Risks that monitoring may take
    #[command(flatten)]
    pub risk: RiskArgs,
    /// Edit the disk of a stopped instance that is mounted at DIR
    ///
    /// This host is not changed.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// Apply no limit below RECORDS
    #[arg(long, value_name = "RECORDS", value_parser = value::number::<u32>("a number of records", 1..=u32::MAX))]
    pub floor: Option<u32>,
    /// Apply no limit below that of a baseline
    #[arg(long, value_enum, ignore_case = true)]
    pub policy: Option<Policy>,
    /// Apply the limit even if full queues can use more than 64 MiB of kernel memory
    #[arg(long)]
    pub force: bool,
    /// How it is printed
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `undo`.
#[derive(Debug, Args)]
pub struct UndoArgs {
    /// Number of the change, from `history` [default: the last change in force]
    #[arg(value_parser = value::number::<u64>("the number of a change", 1..=u64::MAX))]
    pub id: Option<u64>,
    /// Show the plan; change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Revert the change on the disk of a stopped instance that is mounted at DIR
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// How it is printed
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// List the changes of a stopped instance whose disk is mounted at DIR
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// How it is printed
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `rescue`.
#[derive(Debug, Args)]
pub struct RescueArgs {
    /// Free stranded tasks; without this option nothing is changed or sent
    #[arg(short, long)]
    pub yes: bool,
    /// How it is printed
    #[command(flatten)]
    pub output: OutputArgs,
}
