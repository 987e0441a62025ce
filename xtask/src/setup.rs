//! `cargo xtask setup`: parts come in; what they lack is named, with the reason, and then installed.
//!
//! A part is judged by trying it: a file that is there may be too old, or not run. That costs fractions of a second.
//! Must not touch the network when nothing is missing, nor install anything that it did not announce.

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{
    apt_lists::Need,
    bpf_tools::{self, Version},
    cache::Cache,
    ebpf_compiler, host_packages, image,
    kernels::{self, Release},
    process,
    sysroot::Sysroot,
};

/// Built for the Rust version of this repository; a later one may want a later compiler.
const CARGO_DENY_VERSION: &str = "0.20.2";
/// The machine emulator.
pub(crate) const EMULATOR: &str = "qemu-system-x86_64";

/// Something that the other tasks need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A compiler for the BPF target with the source of its library, and its linker.
    EbpfCompiler,
    /// The linter of that compiler.
    EbpfLints,
    /// The machine emulator.
    Emulator,
    /// A kernel to boot.
    Kernel(Release),
    /// The programs that stand beside ours in a guest.
    GuestPackages,
    /// The same, and the tools that auditwatch is compared with.
    BenchPackages,
    /// The checker of dependencies.
    CargoDeny,
    /// The maker of Debian roots.
    RootMaker,
}

/// Installs what the tasks of this repository need.
#[derive(Args, Debug)]
pub(crate) struct SetupArgs {
    /// Only say what is missing; the exit status is 1 if anything is.
    #[arg(long)]
    check: bool,
}

/// Sets everything up, or says what is missing.
pub(crate) fn run(args: &SetupArgs) -> Result<ExitCode> {
    let cache = Cache::open()?;
    let mut parts = vec![
        Part::EbpfCompiler,
        Part::EbpfLints,
        Part::Emulator,
        Part::GuestPackages,
        Part::CargoDeny,
    ];
    parts.extend(Release::ALL.map(Part::Kernel));
    if !args.check {
        let installed = ensure(&cache, &parts)?;
        println!(
            "{}",
            if installed {
                "set up"
            } else {
                "nothing to install"
            }
        );
        return Ok(ExitCode::SUCCESS);
    }
    let missing = missing(&cache, &parts);
    for (part, lack) in &missing {
        match part.refusal() {
            Some(refusal) => println!("missing: {refusal}"),
            None => println!("missing: {} (now: {lack})", part.announcement(&cache)),
        }
    }
    if missing.is_empty() {
        println!("nothing is missing");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// Installs what `parts` lack, after saying so; returns whether anything was.
pub(crate) fn ensure(cache: &Cache, parts: &[Part]) -> Result<bool> {
    if missing(cache, parts).is_empty() {
        return Ok(false);
    }
    let _lock = cache.lock("setup")?;
    // Another run may have done it while we waited.
    let missing = missing(cache, parts);
    for (part, _) in &missing {
        if let Some(refusal) = part.refusal() {
            bail!(refusal);
        }
    }
    for (part, lack) in &missing {
        eprintln!("will install {} (now: {lack})", part.announcement(cache));
    }
    for (part, _) in &missing {
        part.install(cache)?;
        if let Some(lack) = part.lack(cache) {
            bail!(
                "set-up did its part, and still: {lack}; cargo xtask setup --check lists what is missing"
            );
        }
    }
    Ok(!missing.is_empty())
}

/// The parts that do not serve, with the reason.
fn missing(cache: &Cache, parts: &[Part]) -> Vec<(Part, String)> {
    parts
        .iter()
        .filter_map(|&part| Some((part, part.lack(cache)?)))
        .collect()
}

impl Part {
    /// Why the part does not serve, if so.
    fn lack(self, cache: &Cache) -> Option<String> {
        let unless = |complete: bool| (!complete).then(|| "not in the cache".to_owned());
        match self {
            Self::EbpfCompiler => ebpf_compiler::lack(cache),
            Self::EbpfLints => ebpf_compiler::lack_of_lints(),
            Self::Emulator => lack_of_program(EMULATOR),
            Self::Kernel(release) => unless(kernels::is_cached(cache, release)),
            Self::GuestPackages => {
                unless(Sysroot::is_cached(cache, image::SYSROOT, &image::PACKAGES))
            }
            Self::BenchPackages => unless(Sysroot::is_cached(
                cache,
                image::BENCH_SYSROOT,
                &image::BENCH_PACKAGES,
            )),
            Self::CargoDeny => cargo_deny(cache).err(),
            Self::RootMaker => lack_of_program("mmdebstrap"),
        }
    }

    /// Why it cannot be installed, if that is known before.
    fn refusal(self) -> Option<String> {
        match self {
            Self::EbpfCompiler | Self::EbpfLints => ebpf_compiler::refusal(),
            _ => None,
        }
    }

    fn announcement(self, cache: &Cache) -> String {
        let cache_path = cache.path("");
        match self {
            Self::EbpfCompiler => ebpf_compiler::announcement(cache),
            Self::EbpfLints => ebpf_compiler::lints_announcement(),
            Self::Emulator => {
                "package qemu-system-x86: the tests run in guests of their own".to_owned()
            }
            Self::Kernel(release) => {
                format!(
                    "kernel {release} into {} (not on this machine): guests boot it",
                    cache_path.display()
                )
            }
            Self::GuestPackages => format!(
                "{} into {} (not on this machine): guests run them beside auditwatch",
                image::PACKAGES.join(", "),
                cache_path.display()
            ),
            Self::BenchPackages => format!(
                "{} into {} (not on this machine): auditwatch is compared with them",
                image::BENCH_PACKAGES.join(", "),
                cache_path.display()
            ),
            Self::CargoDeny => format!(
                "cargo-deny {CARGO_DENY_VERSION} into {}: lint checks the dependencies",
                cache.tools().display()
            ),
            Self::RootMaker => {
                "package mmdebstrap: it makes the roots of fresh machines".to_owned()
            }
        }
    }

    fn install(self, cache: &Cache) -> Result<()> {
        match self {
            Self::EbpfCompiler => ebpf_compiler::install(cache),
            Self::EbpfLints => ebpf_compiler::install_lints(),
            Self::Emulator => host_packages::install(
                &[Need::any("qemu-system-x86")],
                "or put a qemu-system-x86_64 that runs on PATH",
            ),
            Self::Kernel(release) => kernels::get(cache, release).map(drop),
            Self::GuestPackages => Sysroot::get(cache, image::SYSROOT, &image::PACKAGES).map(drop),
            Self::BenchPackages => {
                Sysroot::get(cache, image::BENCH_SYSROOT, &image::BENCH_PACKAGES).map(drop)
            }
            Self::CargoDeny => {
                let mut command = process::cargo();
                // One that is there does not serve, or this would not run: --force replaces it.
                command
                    .args(["install", "--locked", "--force", "--root"])
                    .arg(cache.tools())
                    .args(["cargo-deny", "--version", CARGO_DENY_VERSION]);
                process::run(&mut command)
                    .context("cannot build cargo-deny; its messages are above")
            }
            Self::RootMaker => {
                host_packages::install(&[Need::any("mmdebstrap")], "or put mmdebstrap on PATH")
            }
        }
    }
}

fn lack_of_program(name: &str) -> Option<String> {
    match process::find_program(name) {
        None => Some(format!("no {name} on PATH")),
        Some(path) => (!process::succeeds(Command::new(&path).arg("--version")))
            .then(|| format!("{} does not run", path.display())),
    }
}

/// The checker of dependencies: the one in the cache or the first on `PATH`, if it is new enough.
///
/// # Errors
/// Why neither serves.
pub(crate) fn cargo_deny(cache: &Cache) -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut reasons = Vec::new();
    let places = [cache.tools().join("bin")];
    for directory in places.into_iter().chain(env::split_paths(&path)) {
        let program = directory.join("cargo-deny");
        if !program.is_file() {
            continue;
        }
        let said = bpf_tools::output(Command::new(&program).arg("--version"));
        match said.as_deref().and_then(Version::find) {
            Some(version) if Some(version) >= Version::parse(CARGO_DENY_VERSION) => {
                return Ok(program);
            }
            Some(version) => reasons.push(format!(
                "{} is {version}, older than {CARGO_DENY_VERSION}",
                program.display()
            )),
            None => reasons.push(format!("{} does not run", program.display())),
        }
    }
    if reasons.is_empty() {
        reasons.push("no cargo-deny on PATH".to_owned());
    }
    Err(reasons.join("; "))
}
