//! `cargo xtask setup`: parts come in; what they lack is named, with the reason, and then installed.
//!
//! A part that is complete costs a few file look-ups. Must not touch the network when nothing is missing, nor install
//! anything that it did not announce.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::{
    cache::Cache,
    ebpf_compiler, host_packages, image,
    kernels::{self, Release},
    process,
    sysroot::Sysroot,
};

/// Built for the Rust version of this repository; a later one may want a later compiler.
const CARGO_DENY_VERSION: &str = "0.20.2";

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
    for part in &missing {
        println!("missing: {}", part.announcement(&cache));
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
    for part in &missing {
        eprintln!("will install {}", part.announcement(cache));
    }
    for part in &missing {
        part.install(cache)?;
    }
    Ok(!missing.is_empty())
}

fn missing(cache: &Cache, parts: &[Part]) -> Vec<Part> {
    parts
        .iter()
        .copied()
        .filter(|part| !part.is_complete(cache))
        .collect()
}

impl Part {
    fn is_complete(self, cache: &Cache) -> bool {
        match self {
            Self::EbpfCompiler => ebpf_compiler::is_complete(cache),
            Self::EbpfLints => ebpf_compiler::has_lints(),
            Self::Emulator => process::find_program("qemu-system-x86_64").is_some(),
            Self::Kernel(release) => kernels::is_cached(cache, release),
            Self::GuestPackages => Sysroot::is_cached(cache, image::SYSROOT, &image::PACKAGES),
            Self::BenchPackages => {
                Sysroot::is_cached(cache, image::BENCH_SYSROOT, &image::BENCH_PACKAGES)
            }
            Self::CargoDeny => tool(cache, "cargo-deny"),
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
                "cargo-deny into {}: lint checks the licences and sources of dependencies",
                cache.tools().display()
            ),
        }
    }

    fn install(self, cache: &Cache) -> Result<()> {
        match self {
            Self::EbpfCompiler => ebpf_compiler::install(cache),
            Self::EbpfLints => ebpf_compiler::install_lints(),
            Self::Emulator => host_packages::install(&["qemu-system-x86"]),
            Self::Kernel(release) => kernels::get(cache, release).map(drop),
            Self::GuestPackages => Sysroot::get(cache, image::SYSROOT, &image::PACKAGES).map(drop),
            Self::BenchPackages => {
                Sysroot::get(cache, image::BENCH_SYSROOT, &image::BENCH_PACKAGES).map(drop)
            }
            Self::CargoDeny => {
                let mut command = process::cargo();
                command
                    .args(["install", "--locked", "--root"])
                    .arg(cache.tools())
                    .args(["cargo-deny", "--version", CARGO_DENY_VERSION]);
                process::run(&mut command)
            }
        }
    }
}

/// Whether `name` was built into the cache or stands on `PATH`.
pub(crate) fn tool(cache: &Cache, name: &str) -> bool {
    cache.tools().join("bin").join(name).is_file() || process::find_program(name).is_some()
}
