//! The options of the commands that change something: `apply`, `undo`, `rescue`, and of `history`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{OutputArgs, Policy, parse_duration};

/// Options of `apply`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
pub struct ApplyArgs {
    /// The limit, records
    #[arg(value_name = "N", required_unless_present_any = ["from", "recommended", "wait_time"], value_parser = parse_whole)]
    pub limit: Option<u32>,
    /// Take the limit that this recording would have needed
    #[arg(long, value_name = "RECORDING", conflicts_with = "limit")]
    pub from: Option<PathBuf>,
    /// Watch this host, and take the limit that is recommended then
    #[arg(long, conflicts_with_all = ["limit", "from"])]
    pub recommended: bool,
    /// How long to watch for --recommended
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub window: Duration,
    /// Change the running kernel only; the next boot brings what the files say
    #[arg(long, conflicts_with_all = ["persist_only", "root"])]
    pub runtime_only: bool,
    /// Change the files only; the running kernel keeps what it has
    #[arg(long)]
    pub persist_only: bool,
    /// Set `backlog_wait_time` too: how long a full queue may hold a task up, seconds
    #[arg(long, value_name = "SECONDS", value_parser = parse_whole)]
    pub wait_time: Option<u32>,
    /// Show what would be done, with the diff of each file, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// How long to look on afterwards, and take it back if losses, stalls or memory get worse; 0 for not
    /// at all. Without it 60s on a terminal, else 0
    #[arg(long, value_name = "TIME", value_parser = parse_watch)]
    pub watch: Option<Duration>,
    /// Edit the disk of a stopped instance, mounted here; nothing of this host is changed
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Apply no limit below this one
    #[arg(long, value_name = "RECORDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub floor: Option<u32>,
    /// Apply no limit below that of a baseline
    #[arg(long, value_enum)]
    pub policy: Option<Policy>,
    /// How it is printed
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `undo`.
#[derive(Debug, Args)]
pub struct UndoArgs {
    /// Number of the change, as `history` lists it; without one the last that is in force
    pub id: Option<u64>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The disk of a stopped instance, mounted here
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// How it is printed
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// The disk of a stopped instance, mounted here
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// How it is printed
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `rescue`.
#[derive(Debug, Args)]
pub struct RescueArgs {
    /// Free them; without it nothing is changed and nothing is sent
    #[arg(long)]
    pub yes: bool,
    /// How it is printed
    #[command(flatten)]
    pub output: OutputArgs,
}

/// A time, or 0 for none.
fn parse_watch(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") {
        return Ok(Duration::ZERO);
    }
    parse_duration(text)
}

/// A whole number.
fn parse_whole(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| {
        format!(
            "not a whole number from 0 to {}; write it in digits alone, such as 8192",
            u32::MAX
        )
    })
}
