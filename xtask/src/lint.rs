//! `cargo xtask lint`: runs every check that reads the sources; the names of those that failed go out.
//!
//! Must run them all: who fixes one finding wants to see the next one too.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{
    cache::Cache,
    ebpf_compiler, process,
    setup::{self, Part},
};

/// The packages that are built for the host. The BPF programs are not: their package is checked apart.
const HOST: [&str; 3] = ["--workspace", "--exclude", "auditwatch-ebpf"];

/// One check.
struct Check {
    name: &'static str,
    command: Command,
}

/// Runs the checks; fails if any of them did.
pub(crate) fn run() -> Result<ExitCode> {
    let cache = Cache::open()?;
    setup::ensure(
        &cache,
        &[Part::EbpfCompiler, Part::EbpfLints, Part::CargoDeny],
    )?;
    let mut failed = Vec::new();
    for mut check in checks(&cache)? {
        println!("lint: {}", check.name);
        if let Err(error) = process::run(&mut check.command) {
            eprintln!("lint: {}: {error:#}", check.name);
            failed.push(check.name);
        }
    }
    if failed.is_empty() {
        println!("lint: all is well");
        return Ok(ExitCode::SUCCESS);
    }
    println!("lint: failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

fn checks(cache: &Cache) -> Result<Vec<Check>> {
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
        check("dependencies", deny(cache)),
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

fn deny(cache: &Cache) -> Command {
    let built = cache.tools().join("bin/cargo-deny");
    let program = if built.is_file() {
        built
    } else {
        "cargo-deny".into()
    };
    let mut command = Command::new(&program);
    command.args([
        "--workspace",
        "--all-features",
        "check",
        "--hide-inclusion-graph",
    ]);
    if !process::succeeds(Command::new(&program).args(["fetch", "db"])) {
        println!(
            "lint: the advisory database is out of reach: known vulnerabilities are not checked"
        );
        command.args(["licenses", "bans", "sources"]);
    }
    command
}
