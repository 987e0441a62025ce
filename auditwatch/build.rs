//! Builds the BPF programs and leaves their object in `OUT_DIR`, from where the
//! loader embeds it.
//!
//! It finds a compiler and a linker that can do it by itself. If there is none,
//! one line says why, and what to run.

#[path = "build/bpf_tools.rs"]
mod bpf_tools;

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, anyhow};
use aya_build::{Package, Toolchain};

use bpf_tools::{Compiler, TOOLCHAIN_VARIABLE, Version};

/// Where `cargo xtask setup` keeps what it builds, unless the variable is set.
const CACHE_VARIABLE: &str = "AUDITWATCH_CACHE";
const OBJECT: &str = "auditwatch-ebpf";

const HELP: &str = "run `cargo xtask setup`, which installs what is missing or too old; \
    AYA_BUILD_SKIP=1 builds without the BPF programs, for lints and documentation only";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A failed build script's own output is shown as a dump; this is one line.
            println!("cargo::error={}", format!("{error:#}").replace('\n', " "));
            ExitCode::SUCCESS
        }
    }
}

fn build() -> Result<()> {
    for variable in [TOOLCHAIN_VARIABLE, CACHE_VARIABLE, "PATH"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    if env::var_os("AYA_BUILD_SKIP").is_some_and(|skip| skip == "1" || skip == "true") {
        // An empty object keeps the crate compiling; loading it is an error.
        let object = out_dir.join(OBJECT);
        fs::write(&object, []).with_context(|| format!("cannot write {}", object.display()))?;
        return aya_build::build_ebpf([], Toolchain::default());
    }
    let minimum = env::var("CARGO_PKG_RUST_VERSION")
        .ok()
        .and_then(|version| Version::parse(&version))
        .context("Cargo.toml has no rust-version")?;
    let compiler = bpf_tools::compiler(minimum)
        .map_err(|reason| anyhow!("no compiler builds the BPF programs ({reason}): {HELP}"))?;
    let path = search_path();
    let linker = bpf_tools::linker(&path, &compiler, &out_dir)
        .map_err(|reason| anyhow!("no linker for the BPF programs ({reason}): {HELP}"))?;
    let path = tools_first(&compiler, &linker, path)?;
    // SAFETY: the build script has one thread.
    unsafe { env::set_var("PATH", path) };
    // A compiler of a stable channel builds `core` only when told so.
    // SAFETY: as above.
    unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    let debug = env::var_os("PROFILE").is_some_and(|profile| profile == "debug");
    let features: &[&str] = if debug { &["diagnostics"] } else { &[] };
    aya_build::build_ebpf(
        [Package {
            name: OBJECT,
            root_dir: "../auditwatch-ebpf",
            features,
            ..Package::default()
        }],
        Toolchain::Custom(&compiler.name),
    )
    .with_context(|| {
        format!(
            "the BPF programs do not build with {} in {}; the compiler's messages are above",
            compiler.release,
            compiler.root.display()
        )
    })
}

/// PATH, and after it the place of the tools that `cargo xtask setup` builds.
fn search_path() -> Vec<PathBuf> {
    let mut path: Vec<PathBuf> = env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default();
    let from = |variable: &str, below: &str| {
        env::var_os(variable)
            .filter(|value| !value.is_empty())
            .map(|dir: OsString| PathBuf::from(dir).join(below))
    };
    path.extend(
        from(CACHE_VARIABLE, "tools/bin")
            .or_else(|| from("XDG_CACHE_HOME", "auditwatch/tools/bin"))
            .or_else(|| from("HOME", ".cache/auditwatch/tools/bin")),
    );
    path
}

/// `path`, with the chosen linker before one that does not serve, and without rustup the compiler before others.
fn tools_first(compiler: &Compiler, linker: &Path, path: Vec<PathBuf>) -> Result<OsString> {
    let mut first = Vec::new();
    if let (Some(name), Some(directory)) = (linker.file_name(), linker.parent())
        && path
            .iter()
            .find(|place| place.join(name).is_file())
            .map(PathBuf::as_path)
            != Some(directory)
    {
        first.push(directory.to_path_buf());
    }
    if bpf_tools::output(Command::new("rustup").arg("--version")).is_none() {
        first.push(compiler.root.join("bin"));
    }
    first.extend(path);
    env::join_paths(first).context("PATH has a directory that cannot be joined")
}
