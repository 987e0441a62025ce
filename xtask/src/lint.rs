//! `cargo xtask lint`: runs every check that reads the sources; the names of those that failed go out.
//!
//! Must run them all: who fixes one finding wants to see the next one too.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Result, anyhow, bail};
use clap::Args;

use crate::{
    cache::Cache,
    ebpf_compiler, language, process, prototypes,
    setup::{self, Part},
};

/// The packages that are built for the host. The BPF programs are not: their package is checked apart.
const HOST: [&str; 3] = ["--workspace", "--exclude", "auditwatch-ebpf"];

/// Where the known vulnerabilities are listed, for messages.
const ADVISORIES: &str = "advisories";
/// The name of the check of the English, for messages.
const ENGLISH: &str = "English";
/// The name of the check of the prototypes in comments, for messages.
const PROTOTYPES: &str = "prototypes";

/// Checks the sources.
#[derive(Args, Debug)]
pub(crate) struct LintArgs {
    /// Do not check for known vulnerabilities, if the advisory database is out of reach.
    #[arg(long)]
    without_advisories: bool,
    /// Check the English of documents and help texts only.
    #[arg(long, conflicts_with = "without_advisories")]
    english: bool,
    /// Check the prototypes that the BPF programs were written for against the kernels only.
    #[arg(long, conflicts_with_all = ["without_advisories", "english"])]
    prototypes: bool,
}

/// One check.
struct Check {
    name: &'static str,
    command: Command,
}

/// Runs the checks; fails if any of them did.
pub(crate) fn run(args: &LintArgs) -> Result<ExitCode> {
    if args.english {
        language::run()?;
        return Ok(ExitCode::SUCCESS);
    }
    let cache = Cache::open()?;
    if args.prototypes {
        prototypes::run(&cache)?;
        return Ok(ExitCode::SUCCESS);
    }
    setup::ensure(
        &cache,
        &[Part::EbpfCompiler, Part::EbpfLints, Part::CargoDeny],
    )?;
    let deny = setup::cargo_deny(&cache).map_err(|reason| anyhow!(reason))?;
    let mut failed = Vec::new();
    for mut check in checks(&deny)? {
        println!("lint: {}", check.name);
        if let Err(error) = process::run(&mut check.command) {
            eprintln!("lint: {}: {error:#}", check.name);
            failed.push(check.name);
        }
    }
    println!("lint: {ENGLISH}");
    if let Err(error) = language::run() {
        eprintln!("lint: {ENGLISH}: {error:#}");
        failed.push(ENGLISH);
    }
    println!("lint: {PROTOTYPES}");
    if let Err(error) = prototypes::run(&cache) {
        eprintln!("lint: {PROTOTYPES}: {error:#}");
        failed.push(PROTOTYPES);
    }
    if !args.without_advisories {
        println!("lint: {ADVISORIES}");
        if let Err(error) = check_advisories(&deny) {
            eprintln!("lint: {ADVISORIES}: {error:#}");
            failed.push(ADVISORIES);
        }
    }
    if !failed.is_empty() {
        println!("lint: failed: {}", failed.join(", "));
    }
    if args.without_advisories {
        println!(
            "lint: ADVISORIES WERE NOT CHECKED (--without-advisories): a known vulnerability would not be found"
        );
    }
    if failed.is_empty() {
        let but = if args.without_advisories {
            ", but for advisories"
        } else {
            ""
        };
        println!("lint: all is well{but}");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

fn checks(deny: &Path) -> Result<Vec<Check>> {
    let cargo = |arguments: &[&str]| {
        let mut command = process::cargo();
        command.args(arguments);
        command
    };
    let check = |name, command| Check { name, command };

    let mut clippy = cargo(&["clippy", "--quiet", "--all-targets"]);
    clippy.args(HOST).args(["--", "-D", "warnings"]);
    let mut doc = cargo(&["doc", "--quiet", "--no-deps", "--document-private-items"]);
    doc.args(HOST).env("RUSTDOCFLAGS", "-D warnings");
    let mut wire_doc = cargo(&[
        "doc",
        "--quiet",
        "--no-deps",
        "--package",
        "auditwatch-ebpf",
        "--lib",
    ]);
    wire_doc.env("RUSTDOCFLAGS", "-D warnings");
    Ok(vec![
        check("format", cargo(&["fmt", "--all", "--check"])),
        check("clippy", clippy),
        check(
            "clippy of the wire types",
            cargo(&[
                "clippy",
                "--quiet",
                "--package",
                "auditwatch-ebpf",
                "--lib",
                "--",
                "-D",
                "warnings",
            ]),
        ),
        check("clippy of the BPF programs", bpf_clippy()?),
        check("documentation", doc),
        check("documentation of the wire types", wire_doc),
        check("dependencies", dependencies(deny)),
    ])
}

/// The BPF programs are checked by the clippy of the compiler that builds them: another one cannot read its library.
fn bpf_clippy() -> Result<Command> {
    let mut command = ebpf_compiler::cargo("clippy")?;
    command.args([
        "--quiet",
        "--package",
        "auditwatch-ebpf",
        "--bins",
        "--all-features",
        "--target",
        "bpfel-unknown-none",
    ]);
    // A directory of its own: sharing it, two compilers would each throw away what the other one built.
    command.args(["-Z", "build-std=core", "--target-dir", "target/bpf-clippy"]);
    command.args(["--", "-D", "warnings"]);
    // The layout of the kernel's registers is that of the machine that loads the programs, not of the BPF machine.
    command.env(
        "CARGO_ENCODED_RUSTFLAGS",
        format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH),
    );
    Ok(command)
}

/// What needs no network.
fn dependencies(deny: &Path) -> Command {
    let mut command = deny_check(deny, false);
    command.args(["licenses", "bans", "sources"]);
    command
}

/// Checks for known vulnerabilities and withdrawn versions. If the network does not serve, a database of an earlier run
/// does; cargo-deny refuses one that is older than 90 days, and fails if there is none.
fn check_advisories(deny: &Path) -> Result<()> {
    let fetched = process::output(Command::new(deny).args(["fetch", "db"]));
    let mut command = deny_check(deny, fetched.is_err());
    let checked = process::run(command.arg("advisories"));
    let Err(fetch) = fetched else {
        return checked;
    };
    let fetch = format!("{fetch:#}");
    let cause = fetch.lines().last().unwrap_or_default();
    match checked {
        Ok(()) => {
            println!(
                "lint: checked with the database of an earlier run; a newer one is out of reach: {cause}"
            );
            Ok(())
        }
        Err(_) => bail!(
            "the advisory database is out of reach ({cause}), and that of an earlier run is missing, too old, or lists \
             one of the dependencies: connect this machine to it, or run cargo xtask lint --without-advisories"
        ),
    }
}

fn deny_check(deny: &Path, offline: bool) -> Command {
    let mut command = Command::new(deny);
    command.args(["--workspace", "--all-features"]);
    if offline {
        command.arg("--offline");
    }
    command.args(["check", "--hide-inclusion-graph"]);
    command
}
