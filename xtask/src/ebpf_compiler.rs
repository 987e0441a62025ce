//! The compiler of the BPF programs: whether this machine has one that works, and how it gets one.
//!
//! `core` is built from source for that target, so a compiler counts only together with its library source. What is
//! judged, and in which order, stands in `bpf_tools`, which the build of auditwatch shares.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{
    apt_lists::Need,
    bpf_tools::{self, Compiler, SYSTEM_ROOT, TOOLCHAIN_VARIABLE, Version},
    cache::Cache,
    host_packages, process,
};

/// Debian's newest compiler, its cargo and the source of its library.
const COMPILER_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
/// Its clippy.
const LINT_PACKAGE: &str = "rust-web-clippy";
/// What bpf-linker is built with; its LLVM must not be older than the compiler's.
const LLVM_PACKAGES: [&str; 2] = ["llvm-22-dev", "libpolly-22-dev"];
const LLVM_MAJOR: u32 = 22;
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";
/// What the link needs of those packages, a file of each: the directory may have been left behind by other packages.
const LLVM_FILES: [&str; 2] = ["lib/libLLVM.so", "lib/libPolly.a"];
const LINKER_VERSION: &str = "0.13.0";
const OWN_COMPILER: &str =
    "or bring your own compiler: rustup toolchain install nightly --component rust-src";

/// Why the BPF programs cannot be built, if so.
pub(crate) fn lack(cache: &Cache) -> Option<String> {
    match compiler() {
        Err(reason) => Some(reason),
        Ok(compiler) => linker(cache, &compiler).err(),
    }
}

/// Why set-up can do nothing about a lack, if so: the user named a toolchain that does not serve.
pub(crate) fn refusal() -> Option<String> {
    // The system's compiler is the one that set-up can install.
    bpf_tools::named().filter(|name| name != SYSTEM_ROOT)?;
    let reason = compiler().err()?;
    Some(format!(
        "{reason}: name another toolchain, or unset {TOOLCHAIN_VARIABLE}"
    ))
}

/// What `install` would do.
pub(crate) fn announcement(cache: &Cache) -> String {
    let mut parts = Vec::new();
    let compiler = compiler();
    if compiler.is_err() {
        parts.push(format!("packages {}", COMPILER_PACKAGES.join(", ")));
    }
    if !compiler.is_ok_and(|compiler| linker(cache, &compiler).is_ok()) {
        parts.push(format!("packages {}", LLVM_PACKAGES.join(", ")));
        parts.push(format!(
            "bpf-linker {LINKER_VERSION} into {}",
            cache.tools().display()
        ));
    }
    format!(
        "{}: the BPF programs need a compiler with its library source, and its linker ({OWN_COMPILER}; \
         cargo install bpf-linker)",
        parts.join(", ")
    )
}

/// Installs what is missing or too old.
pub(crate) fn install(cache: &Cache) -> Result<()> {
    if compiler().is_err() {
        let needs = COMPILER_PACKAGES.map(|package| Need {
            package,
            at_least: Some(minimum()),
        });
        host_packages::install(&needs, OWN_COMPILER)?;
    }
    let compiler = compiler().map_err(|reason| {
        anyhow!(
            "{} are installed, and do not build the BPF programs ({reason}); {OWN_COMPILER}",
            COMPILER_PACKAGES.join(", ")
        )
    })?;
    if linker(cache, &compiler).is_ok() {
        return Ok(());
    }
    install_linker(cache, &compiler)?;
    linker(cache, &compiler).map(drop).map_err(|reason| {
        anyhow!("bpf-linker {LINKER_VERSION} is installed, and does not serve ({reason}); {OTHER_COMPILER}")
    })
}

/// How to get round a compiler that no linker fits.
const OTHER_COMPILER: &str = "name an older compiler, such as the system's: AUDITWATCH_EBPF_TOOLCHAIN=/usr cargo xtask setup";

fn install_linker(cache: &Cache, compiler: &Compiler) -> Result<()> {
    let [llvm_major, ..] = compiler.release.llvm.numbers();
    if llvm_major > LLVM_MAJOR {
        bail!(
            "{} in {} needs a bpf-linker on LLVM {llvm_major} or later, and LLVM {LLVM_MAJOR} is what set-up installs: \
             cargo install bpf-linker, or {OTHER_COMPILER}",
            compiler.release,
            compiler.root.display()
        );
    }
    let is_there = |file: &str| Path::new(LLVM_PREFIX).join(file).is_file();
    if !LLVM_FILES.into_iter().all(is_there) {
        host_packages::install(
            &LLVM_PACKAGES.map(Need::any),
            "or install bpf-linker yourself: cargo install bpf-linker",
        )?;
    }
    let mut command = process::cargo();
    // One that is there does not serve, or this would not run: --force replaces it.
    command.args(["install", "--locked", "--force", "bpf-linker"]);
    command.args(["--version", LINKER_VERSION, "--root"]);
    command.arg(cache.tools());
    command.args(["--no-default-features", "--features", "llvm-22"]);
    // Without it the build searches the directories of the machine's default LLVM.
    command.env("LLVM_PREFIX", LLVM_PREFIX);
    process::run(&mut command).context("cannot build bpf-linker; its messages are above")
}

/// Why there is no clippy of that compiler, if so.
pub(crate) fn lack_of_lints() -> Option<String> {
    let compiler = match compiler() {
        Ok(compiler) => compiler,
        Err(reason) => return Some(reason),
    };
    let program = compiler.root.join("bin/cargo-clippy");
    let said = bpf_tools::output(Command::new(&program).arg("-V"));
    let Some(version) = said.as_deref().and_then(Version::find) else {
        return Some(format!("{} does not run", program.display()));
    };
    // Clippy 0.1.96 is that of rustc 1.96.
    let ([.., clippy], rustc) = (version.numbers(), compiler.release.rustc);
    (clippy != rustc.numbers()[1]).then(|| {
        format!(
            "{} is that of rustc 1.{clippy}, and not of {rustc}",
            program.display()
        )
    })
}

/// What `install_lints` would do.
pub(crate) fn lints_announcement() -> String {
    let what = match compiler() {
        Ok(compiler) if compiler.root != Path::new(SYSTEM_ROOT) => {
            format!("clippy of rustup's toolchain {}", compiler.name)
        }
        _ => format!("package {LINT_PACKAGE}"),
    };
    format!("{what}: lint checks the BPF programs with the compiler that builds them")
}

/// Installs clippy of that compiler.
pub(crate) fn install_lints() -> Result<()> {
    let compiler = compiler().map_err(|reason| anyhow!(reason))?;
    if compiler.root != Path::new(SYSTEM_ROOT) {
        let mut command = Command::new("rustup");
        command.args(["component", "add", "clippy", "--toolchain", &compiler.name]);
        return process::run(&mut command);
    }
    let need = Need {
        package: LINT_PACKAGE,
        at_least: Some(compiler.release.rustc),
    };
    host_packages::install(&[need], OWN_COMPILER)
}

/// `cargo SUBCOMMAND` with that compiler, allowed to build its library.
pub(crate) fn cargo(subcommand: &str) -> Result<Command> {
    let compiler = compiler().map_err(|reason| {
        anyhow!("no compiler for the BPF target ({reason}): run cargo xtask setup")
    })?;
    let mut command = if process::find_program("rustup").is_some() {
        let mut command = Command::new("rustup");
        command.args(["run", &compiler.name, "cargo"]);
        command
    } else {
        // Cargo looks for rustc and clippy on PATH.
        let path = env::var_os("PATH").unwrap_or_default();
        let first = [compiler.root.join("bin")];
        let path = env::join_paths(first.into_iter().chain(env::split_paths(&path)))?;
        let mut command = Command::new(compiler.root.join("bin/cargo"));
        command.env("PATH", path);
        command
    };
    // rustup puts these into our own environment, and would heed them before the toolchain asked for.
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(variable);
    }
    command.arg(subcommand).env("RUSTC_BOOTSTRAP", "1");
    Ok(command)
}

fn compiler() -> Result<Compiler, String> {
    bpf_tools::compiler(minimum())
}

/// The linker that the build of auditwatch would choose.
fn linker(cache: &Cache, compiler: &Compiler) -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = env::split_paths(&path).collect();
    directories.push(cache.tools().join("bin"));
    bpf_tools::linker(&directories, compiler, &cache.path("staging"))
}

/// `rust-version` of the workspace.
fn minimum() -> Version {
    Version::parse(env!("CARGO_PKG_RUST_VERSION"))
        .expect("invariant: rust-version of Cargo.toml is a version")
}
