//! Trees of rules files, the edge cases weighted up, and what the real augenrules and auditctl make of them in this kernel:
//! the truth that `auditwatch status --files` is held against.
//!
//! A kernel that a tree has locked (`-e 2`) stays so until it is booted again. So trees that may lock it come last, and
//! the first that does ends the run, which says which ones are left for another boot.

mod lines;
mod random;
mod tree;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;

use crate::netlink::AuditSocket;
use crate::wire::Setting;
use tree::Tree;

/// Where the real loader looks.
const AUDIT: &str = "/etc/audit";
/// Jiffies of 60 s at 250 a second, which all kernels of the matrix have.
const USUAL_WAIT: u32 = 15_000;

/// Which trees, and how.
#[derive(Debug, Clone, Args)]
pub struct RuleTreesArgs {
    /// Which sequence of trees
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many
    #[arg(long, default_value_t = 40)]
    pub count: u64,
    /// The awk that augenrules runs
    #[arg(long, value_enum, default_value_t = Awk::Gawk)]
    pub awk: Awk,
    /// These of the sequence only, after a boot that a tree has locked
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<u64>,
    /// Leave out the trees that may lock the kernel
    #[arg(long)]
    pub unlocked: bool,
    /// Do not ask auditwatch; print trees and truth, one JSON object a line
    #[arg(long)]
    pub truth: bool,
    /// The program under test
    #[arg(long, value_name = "FILE", default_value = "/usr/bin/auditwatch")]
    pub auditwatch: PathBuf,
}

/// The awk that augenrules runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Awk {
    /// mawk.
    Mawk,
    /// gawk.
    Gawk,
}

impl Awk {
    fn name(self) -> &'static str {
        match self {
            Self::Mawk => "mawk",
            Self::Gawk => "gawk",
        }
    }
}

/// What a load leaves in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Truth {
    /// Records.
    pub backlog_limit: u32,
    /// Jiffies.
    pub backlog_wait_time: u32,
    /// 2 is locked.
    pub enabled: u32,
    /// 0 silent, 1 printk, 2 panic.
    pub failure: u32,
}

/// What became of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Trees that were compared.
    pub compared: u64,
    /// What differed, in words.
    pub wrong: Vec<String>,
    /// Trees that wait for another boot.
    pub left: Vec<u64>,
}

/// Runs the trees and says what differed.
pub fn main(args: &RuleTreesArgs) -> Result<bool> {
    let outcome = run(args)?;
    for line in &outcome.wrong {
        eprintln!("{line}");
    }
    eprintln!(
        "seed {} with {}: {} of {} trees as the kernel has it",
        args.seed,
        args.awk.name(),
        outcome.compared - u64::try_from(outcome.wrong.len())?,
        outcome.compared
    );
    if !outcome.left.is_empty() {
        let left: Vec<String> = outcome.left.iter().map(u64::to_string).collect();
        eprintln!("locked; in another boot: --only {}", left.join(","));
    }
    Ok(outcome.wrong.is_empty())
}

/// Runs the trees.
pub fn run(args: &RuleTreesArgs) -> Result<Outcome> {
    let path = search_path(args.awk)?;
    let numbers: Vec<u64> = if args.only.is_empty() {
        (0..args.count).collect()
    } else {
        args.only.clone()
    };
    let mut trees: Vec<Tree> = numbers
        .into_iter()
        .map(|number| Tree::new(args.seed, number))
        .filter(|tree| !(args.unlocked && tree.may_lock()))
        .collect();
    trees.sort_by_key(Tree::may_lock);
    let mut outcome = Outcome::default();
    let mut trees = trees.into_iter();
    for tree in trees.by_ref() {
        tree.write(Path::new(AUDIT))?;
        // The load changes audit.rules, so it is asked before.
        let said = if args.truth {
            None
        } else {
            Some(ask(&args.auditwatch, args.awk)?)
        };
        reset()?;
        load(&path)?;
        let truth = read()?;
        outcome.compared += 1;
        if args.truth {
            print_truth(args, &tree, truth)?;
        }
        if let Some(said) = said
            && let Some(difference) = difference(&said, truth)
        {
            let tree = serde_json::to_string(&tree)?;
            outcome.wrong.push(format!(
                "seed {} with {}: {difference}\n  {tree}\n  {said}",
                args.seed,
                args.awk.name()
            ));
        }
        if truth.enabled == 2 {
            break;
        }
    }
    outcome.left = trees.map(|tree| tree.number).collect();
    Ok(outcome)
}

/// A `PATH` on which `awk` is the one that is wanted.
fn search_path(awk: Awk) -> Result<String> {
    let directory = std::env::temp_dir().join(format!("awk-{}", awk.name()));
    fs::create_dir_all(&directory)?;
    let link = directory.join("awk");
    if fs::symlink_metadata(&link).is_err() {
        let program = ["/usr/bin", "/bin", "/mnt"]
            .iter()
            .map(|place| Path::new(place).join(awk.name()))
            .find(|path| path.exists())
            .with_context(|| format!("this guest has no {}", awk.name()))?;
        std::os::unix::fs::symlink(program, &link)?;
    }
    let rest = std::env::var("PATH").context("PATH is not set")?;
    Ok(format!("{}:{rest}", directory.display()))
}

/// The kernel as it is before rules are loaded.
fn reset() -> Result<()> {
    let mut socket = AuditSocket::open()?;
    for setting in [
        Setting::Enabled(0),
        Setting::Failure(1),
        Setting::RateLimit(0),
        Setting::BacklogLimit(64),
        Setting::BacklogWaitTime(USUAL_WAIT),
    ] {
        socket.set(setting)?;
    }
    socket.delete_rules()?;
    Ok(())
}

/// Runs the real loader; its exit status says little, and is not looked at. By bash, since busybox's shell would take
/// its own awk whatever `PATH` says.
fn load(path: &str) -> Result<()> {
    Command::new("/bin/bash")
        .args(["/sbin/augenrules", "--load"])
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("running augenrules")?;
    Ok(())
}

/// What the kernel has now. Auditing is turned off first, where that can be done: rules that were loaded may match
/// whatever runs.
fn read() -> Result<Truth> {
    let mut socket = AuditSocket::open()?;
    let status = socket.get()?;
    Ok(Truth {
        backlog_limit: status.backlog_limit,
        backlog_wait_time: status.backlog_wait_time.context("no wait time")?,
        enabled: status.enabled,
        failure: status.failure,
    })
}

fn ask(auditwatch: &Path, awk: Awk) -> Result<Value> {
    let output = Command::new(auditwatch)
        .args([
            "status",
            "--files",
            "--json",
            "--root",
            "/",
            "--awk",
            awk.name(),
        ])
        .output()
        .context("running auditwatch")?;
    // 3: it found a problem of the next boot, which most of these trees have.
    ensure!(
        matches!(output.status.code(), Some(0 | 3)),
        "auditwatch: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("what auditwatch says is no JSON")
}

/// What auditwatch says wrongly.
fn difference(said: &Value, truth: Truth) -> Option<String> {
    let number = |name: &str| {
        said.pointer(&format!("/at_boot/{name}"))
            .and_then(Value::as_u64)
    };
    let mut all = Vec::new();
    for (name, real) in [
        ("backlog_limit", truth.backlog_limit),
        ("backlog_wait_time", truth.backlog_wait_time),
        ("failure", truth.failure),
    ] {
        if number(name) != Some(real.into()) {
            all.push(format!("{name} is {real}, said {:?}", number(name)));
        }
    }
    if (number("enabled") == Some(2)) != (truth.enabled == 2) {
        all.push(format!(
            "enabled is {}, said {:?}",
            truth.enabled,
            number("enabled")
        ));
    }
    (!all.is_empty()).then(|| all.join(", "))
}

#[derive(Serialize)]
struct Line<'a> {
    seed: u64,
    awk: Awk,
    tree: &'a Tree,
    truth: Truth,
}

fn print_truth(args: &RuleTreesArgs, tree: &Tree, truth: Truth) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(
        &mut out,
        &Line {
            seed: args.seed,
            awk: args.awk,
            tree,
            truth,
        },
    )?;
    writeln!(out)?;
    Ok(())
}

/// All trees of a scenario must be as the kernel has them.
pub fn check(args: &RuleTreesArgs) -> Result<u64> {
    let outcome = run(args)?;
    if !outcome.wrong.is_empty() {
        bail!("{}", outcome.wrong.join("\n"));
    }
    Ok(outcome.compared)
}
