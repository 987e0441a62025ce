//! Repository tasks of auditwatch: `cargo xtask TASK`.
//!
//! Each task installs what it needs and lacks, after saying so; see `cargo xtask setup`.

mod apt_lists;
mod bench;
#[path = "../../auditwatch/build/bpf_tools.rs"]
mod bpf_tools;
#[cfg(test)]
mod bpf_tools_tests;
mod cache;
mod console;
mod cpio;
mod demo;
mod digest;
mod duration;
mod ebpf_compiler;
mod executables;
mod fresh;
mod guest;
mod host_packages;
mod image;
mod kernels;
mod kvm;
mod language;
mod lint;
mod passes;
mod process;
mod prototypes;
mod rule_trees;
mod setup;
mod sources;
mod suite;
mod sysroot;
mod tally;
mod test;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Repository tasks of auditwatch.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what the other tasks need.
    Setup(setup::SetupArgs),
    /// Check the sources: format, clippy, documentation, dependencies, English.
    Lint(lint::LintArgs),
    /// Run the tests, on this machine and in guests.
    Test(test::TestArgs),
    /// Measure auditwatch.
    Bench(bench::BenchArgs),
    /// Show what auditwatch does, in a throw-away guest.
    Demo(demo::DemoArgs),
    /// Compare how rules files are read with what the real loader makes of them.
    RuleTrees(rule_trees::RuleTreesArgs),
    /// Run a command in a throw-away guest.
    Vm(vm::VmArgs),
    /// Set up, build and test as a fresh machine would, in minimal Debian roots.
    Fresh(fresh::FreshArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Setup(args) => setup::run(&args),
        Task::Lint(args) => lint::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::RuleTrees(args) => rule_trees::run(&args),
        Task::Vm(args) => Ok(vm::run(&args)),
        Task::Fresh(args) => fresh::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
