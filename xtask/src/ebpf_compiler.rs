//! The compiler of the BPF programs: whether this machine has one that works, and how it gets one.
//!
//! `core` is built from source for that target, so a compiler counts only together with its library source. The build
//! of auditwatch searches in the same order: `AUDITWATCH_EBPF_TOOLCHAIN`, a toolchain of rustup, the distribution's.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{cache::Cache, host_packages, process, setup};

/// Root of Debian's compiler; rustup takes a path for a name.
const SYSTEM: &str = "/usr";
/// Debian's newest compiler, its cargo and the source of its library.
const COMPILER_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
/// Its clippy.
const LINT_PACKAGE: &str = "rust-web-clippy";
/// What bpf-linker is built with; its LLVM must not be older than the compiler's.
const LLVM_PACKAGES: [&str; 2] = ["llvm-22-dev", "libpolly-22-dev"];
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";
/// What the link needs of those packages, a file of each: the directory may have been left behind by other packages.
const LLVM_FILES: [&str; 2] = ["lib/libLLVM.so", "lib/libPolly.a"];
const LINKER_VERSION: &str = "0.13.0";
/// Where a sysroot has the source of the library.
const LIBRARY_SOURCE: &str = "lib/rustlib/src/rust/library/core/src/lib.rs";

/// Whether compiler and linker are there.
pub(crate) fn is_complete(cache: &Cache) -> bool {
    has_compiler() && setup::tool(cache, "bpf-linker")
}

/// What `install` would do, and why.
pub(crate) fn announcement(cache: &Cache) -> String {
    let mut parts = Vec::new();
    if !has_compiler() {
        parts.push(format!("packages {}", COMPILER_PACKAGES.join(", ")));
    }
    if !setup::tool(cache, "bpf-linker") {
        parts.push(format!("packages {}", LLVM_PACKAGES.join(", ")));
        parts.push(format!(
            "bpf-linker {LINKER_VERSION} into {}",
            cache.tools().display()
        ));
    }
    format!(
        "{}: the BPF programs need a compiler with its library source, and its linker \
         (or bring your own: rustup toolchain install nightly --component rust-src; cargo install bpf-linker)",
        parts.join(", ")
    )
}

/// Installs what is missing.
pub(crate) fn install(cache: &Cache) -> Result<()> {
    if !has_compiler() {
        host_packages::install(&COMPILER_PACKAGES)?;
    }
    if setup::tool(cache, "bpf-linker") {
        return Ok(());
    }
    if !LLVM_FILES
        .iter()
        .all(|file| Path::new(LLVM_PREFIX).join(file).is_file())
    {
        host_packages::install(&LLVM_PACKAGES)?;
    }
    let mut command = process::cargo();
    command.args([
        "install",
        "--locked",
        "bpf-linker",
        "--version",
        LINKER_VERSION,
        "--root",
    ]);
    command.arg(cache.tools());
    command.args(["--no-default-features", "--features", "llvm-22"]);
    // Without it the build searches the directories of the machine's default LLVM.
    command.env("LLVM_PREFIX", LLVM_PREFIX);
    process::run(&mut command)
}

/// Whether clippy of that compiler is there.
pub(crate) fn has_lints() -> bool {
    toolchain().is_some_and(|toolchain| match toolchain {
        // Whoever names a toolchain cares for what is in it.
        Toolchain::Named(_) => true,
        Toolchain::Root { path, .. } => path.join("bin/cargo-clippy").is_file(),
    })
}

/// What `install_lints` would do, and why.
pub(crate) fn lints_announcement() -> String {
    let what = match toolchain() {
        Some(Toolchain::Root { name, path }) if path != Path::new(SYSTEM) => {
            format!("clippy of rustup's toolchain {name}")
        }
        _ => format!("package {LINT_PACKAGE}"),
    };
    format!("{what}: lint checks the BPF programs with the compiler that builds them")
}

/// Installs clippy of that compiler.
pub(crate) fn install_lints() -> Result<()> {
    match toolchain() {
        Some(Toolchain::Root { name, path }) if path != Path::new(SYSTEM) => {
            process::run(Command::new("rustup").args([
                "component",
                "add",
                "clippy",
                "--toolchain",
                &name,
            ]))
        }
        _ => host_packages::install(&[LINT_PACKAGE]),
    }
}

/// `cargo SUBCOMMAND` with that compiler, allowed to build its library.
pub(crate) fn cargo(subcommand: &str) -> Result<Command> {
    let toolchain = toolchain().context("no compiler for the BPF target: run cargo xtask setup")?;
    let mut command = if process::find_program("rustup").is_some() {
        let name = match toolchain {
            Toolchain::Named(name) | Toolchain::Root { name, .. } => name,
        };
        let mut command = Command::new("rustup");
        command.args(["run", &name, "cargo"]);
        command
    } else {
        Command::new("cargo")
    };
    // rustup puts these into our own environment, and would heed them before the toolchain asked for.
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(variable);
    }
    command.arg(subcommand).env("RUSTC_BOOTSTRAP", "1");
    Ok(command)
}

/// A compiler that builds BPF programs.
enum Toolchain {
    /// The one that the user named.
    Named(String),
    /// One that was found, by the name that rustup takes it by.
    Root { name: String, path: PathBuf },
}

fn has_compiler() -> bool {
    toolchain().is_some()
}

fn toolchain() -> Option<Toolchain> {
    if let Some(name) = env::var("AUDITWATCH_EBPF_TOOLCHAIN")
        .ok()
        .filter(|name| !name.is_empty())
    {
        return Some(Toolchain::Named(name));
    }
    let mut names: Vec<String> = fs::read_dir(toolchains())
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    // A nightly one may build its library without being told that it may.
    names.sort_by_key(|name| (!name.starts_with("nightly"), name.clone()));
    let of_rustup = names
        .into_iter()
        .map(|name| (toolchains().join(&name), name));
    of_rustup
        .chain([(PathBuf::from(SYSTEM), SYSTEM.to_owned())])
        .find(|(path, _)| has_library_source(path))
        .map(|(path, name)| Toolchain::Root {
            name,
            // rustup may know the distribution's compiler by a name, as a link.
            path: path.canonicalize().unwrap_or(path),
        })
}

fn has_library_source(root: &Path) -> bool {
    root.join("bin/rustc").is_file() && root.join(LIBRARY_SOURCE).is_file()
}

fn toolchains() -> PathBuf {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    env::var_os("RUSTUP_HOME")
        .map_or_else(|| home.join(".rustup"), PathBuf::from)
        .join("toolchains")
}
