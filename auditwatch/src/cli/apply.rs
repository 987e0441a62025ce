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
    /// The backlog limit, a number of records
    #[arg(value_name = "N", required_unless_present_any = ["from", "recommended", "wait_time"],
        value_parser = value::number::<u32>("a number of records", 0..=u32::MAX))]
    pub limit: Option<u32>,
    /// Apply the limit that this recording needs
    #[arg(long, value_name = "RECORDING", conflicts_with = "limit", value_hint = ValueHint::FilePath)]
    pub from: Option<PathBuf>,
    /// Watch this host, and apply the limit that is recommended then
    #[arg(long, conflicts_with_all = ["limit", "from"])]
    pub recommended: bool,
    /// Watch for TIME before --recommended decides
    #[arg(short = 'd', long = "for", visible_alias = "duration", value_name = "TIME", default_value = "60s",
        value_parser = value::time)]
    pub window: Duration,
    /// Change the running kernel only, not the files that the next boot reads
    #[arg(long, conflicts_with_all = ["persist_only", "root"])]
    pub runtime_only: bool,
    /// Change the files only, not the running kernel
    #[arg(long)]
    pub persist_only: bool,
    /// Set `backlog_wait_time`, the longest stall of a task, in whole seconds (60s; a bare number is
    /// seconds; 0 for no stalls)
    #[arg(long, value_name = "TIME", value_parser = value::whole_seconds)]
    pub wait_time: Option<u32>,
    /// Show the plan with the diff of each file, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
    /// Monitor for TIME afterwards and roll back on regression; 0 disables [default: 60s on a
    /// terminal, else 0]
    #[arg(long, value_name = "TIME", value_parser = value::time_or_zero)]
    pub watch: Option<Duration>,
    /// What watching may risk
    #[command(flatten)]
    pub risk: RiskArgs,
    /// Edit the disk of a stopped instance that is mounted at DIR; this host stays as it is
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// Apply no limit below RECORDS
    #[arg(long, value_name = "RECORDS", value_parser = value::number::<u32>("a number of records", 1..=u32::MAX))]
    pub floor: Option<u32>,
    /// Apply no limit below that of a baseline
    #[arg(long, value_enum, ignore_case = true)]
    pub policy: Option<Policy>,
    /// Apply a limit whose full queues may take more than 64 MiB of kernel memory
    #[arg(long)]
    pub force: bool,
    /// How it is printed
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `undo`.
#[derive(Debug, Args)]
pub struct UndoArgs {
    /// The number of the change, as `history` lists it [default: the last that is in force]
    #[arg(value_parser = value::number::<u64>("the number of a change", 1..=u64::MAX))]
    pub id: Option<u64>,
    /// Show the plan, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Use the disk of a stopped instance that is mounted at DIR
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// How it is printed
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Use the disk of a stopped instance that is mounted at DIR
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// How it is printed
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `rescue`.
#[derive(Debug, Args)]
pub struct RescueArgs {
    /// Free them; without it nothing is changed and nothing is sent
    #[arg(short, long)]
    pub yes: bool,
    /// How it is printed
    #[command(flatten)]
    pub output: OutputArgs,
}
