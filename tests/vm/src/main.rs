//! Ground truth for auditwatch, inside a throw-away guest: a consumer that counts, a load of known
//! size, a control client of its own, and scenarios that compare them with what auditwatch says.
//!
//! It changes the host's audit settings and rules, and runs as root: never outside a test guest.

mod accounting;
mod auditd;
mod board;
mod bpf_objects;
mod findings;
mod inside;
mod kernel_words;
mod lab;
mod log_file;
mod netlink;
mod process;
mod producers;
mod quiet;
mod rule;
mod rule_trees;
mod scenario;
mod scenarios;
mod sink;
mod storm;
mod storm_args;
mod strace;
mod summary;
mod sys;
mod talking;
mod tasks;
mod terminal;
mod trial;
mod wire;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

use crate::inside::InsideArgs;
use crate::kernel_words::{KernelMemory, WordMap};
use crate::netlink::AuditSocket;
use crate::quiet::QuietArgs;
use crate::rule::Rule;
use crate::rule_trees::RuleTreesArgs;
use crate::scenario::Pass;
use crate::sink::SinkArgs;
use crate::storm_args::{LoadArgs, StormArgs};
use crate::wire::Setting;

#[derive(Debug, Parser)]
#[command(
    name = "vmtest",
    about = "Ground truth and scenarios for the test guest"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Name the scenarios
    List,
    /// Run scenarios
    Run {
        /// Which
        #[arg(long, value_enum, default_value_t = Pass::Full)]
        pass: Pass,
        /// Those with this text in their name only
        #[arg(long, default_value = "")]
        filter: String,
        /// The program under test
        #[arg(long, value_name = "FILE", default_value = "/usr/bin/auditwatch")]
        auditwatch: PathBuf,
    },
    /// Consume records in auditd's place and count them
    Sink(SinkArgs),
    /// Make audited events
    Storm(StormArgs),
    /// One process of a storm
    #[command(hide = true)]
    StormWorker(LoadArgs),
    /// Set one thing, as another process would
    #[command(hide = true)]
    LimitChanger {
        /// NAME=NUMBER
        setting: String,
    },
    /// Ask for the status once the queue is above its limit
    #[command(hide = true)]
    AskUnderPressure {
        /// Where the kernel's words are
        words: PathBuf,
        /// So many at a time
        count: u32,
    },
    /// Wait until nothing is under way between the kernel and the consumer, and show the number of
    /// BPF programs
    Quiet(QuietArgs),
    /// Talk to the kernel over audit netlink
    Control {
        /// get, NAME=NUMBER, getppid-rule, no-rules
        #[arg(required = true)]
        requests: Vec<String>,
    },
    /// Find the kernel's audit variables and show them
    Words {
        /// Write down where they are
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
    },
    /// Load generated trees of rules files with the real tools, and hold what auditwatch says of them
    /// against what the kernel has then
    RuleTrees(RuleTreesArgs),
    /// Run a command in a bad place
    Inside(InsideArgs),
    /// The second half of `inside pid-namespace`
    #[command(hide = true)]
    OwnProc {
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Do nothing (an exec to be audited)
    #[command(hide = true)]
    Nop {
        /// Ignored
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("vmtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::List => scenario::list(),
        Command::Run {
            pass,
            filter,
            auditwatch,
        } => {
            if !scenario::run(pass, &filter, &auditwatch)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::RuleTrees(args) => {
            if !rule_trees::main(&args)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Inside(args) => return inside::run(&args),
        Command::OwnProc { command } => return inside::own_proc(&command),
        Command::Sink(args) => sink::run(&args)?,
        Command::Storm(args) => storm::run(&args)?,
        Command::StormWorker(load) => storm::run_worker(&load)?,
        Command::LimitChanger { setting } => storm::change_limit(&setting)?,
        Command::AskUnderPressure { words, count } => storm::ask_under_pressure(&words, count)?,
        Command::Quiet(args) => println!("{}", quiet::run(&args)?),
        Command::Control { requests } => control(&requests)?,
        Command::Words { save } => {
            let map = WordMap::find()?;
            if let Some(path) = save {
                map.save(&path)?;
            }
            println!("{:?}", KernelMemory::open(map)?.read()?);
        }
        Command::Nop { arguments } => drop(arguments),
    }
    Ok(ExitCode::SUCCESS)
}

fn control(requests: &[String]) -> Result<()> {
    let mut socket = AuditSocket::open()?;
    for request in requests {
        match request.as_str() {
            "get" => println!("{:?}", socket.get()?),
            "getppid-rule" => socket.add_rule(&Rule::exit(&[libc::SYS_getppid], "storm"))?,
            "no-rules" => println!("{} rules deleted", socket.delete_rules()?),
            setting if setting.contains('=') => socket.set(Setting::parse(setting)?)?,
            other => bail!("unknown request `{other}`"),
        }
    }
    Ok(())
}
