//! Builds the BPF programs and leaves their object in `OUT_DIR`, from where the
//! loader embeds it.
//!
//! It finds a compiler that has its library source by itself: `core` has to be
//! built for the BPF target. Where there is none, the error says what to run.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use aya_build::{Package, Toolchain};

/// Names the toolchain to use, before any search.
const TOOLCHAIN_VARIABLE: &str = "AUDITWATCH_EBPF_TOOLCHAIN";
/// Where `cargo xtask setup` keeps what it builds, unless the variable is set.
const CACHE_VARIABLE: &str = "AUDITWATCH_CACHE";
const OBJECT: &str = "auditwatch-ebpf";
/// Root of Debian's compiler, which brings its library source as a package.
const SYSTEM_ROOT: &str = "/usr";

const HELP: &str = "run `cargo xtask setup`, which installs what is missing. By hand: \
    `rustup toolchain install nightly --component rust-src && cargo install bpf-linker`, or on \
    Debian the packages rustc-web, cargo-web, rust-web-src and llvm-22-dev with bpf-linker built on \
    them. AYA_BUILD_SKIP=1 builds without the programs, for lints and documentation only";

fn main() -> Result<()> {
    for variable in [TOOLCHAIN_VARIABLE, CACHE_VARIABLE, "PATH"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let object = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?).join(OBJECT);
    if env::var_os("AYA_BUILD_SKIP").is_some_and(|skip| skip == "1" || skip == "true") {
        // An empty object keeps the crate compiling; loading it is an error.
        fs::write(&object, []).with_context(|| format!("cannot write {}", object.display()))?;
        return aya_build::build_ebpf([], Toolchain::default());
    }
    let path = search_path();
    if !path.iter().any(|dir| dir.join("bpf-linker").is_file()) {
        bail!("no bpf-linker on PATH, which links the BPF programs: {HELP}");
    }
    let toolchain = find_toolchain()?;
    let path = env::join_paths(&path).context("PATH has a directory that cannot be joined")?;
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
        Toolchain::Custom(&toolchain),
    )
    .with_context(|| format!("the BPF programs do not build with the toolchain {toolchain:?}"))
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

/// A toolchain with library source: the one that is named, else one of rustup's,
/// else the system's.
fn find_toolchain() -> Result<String> {
    // Set to nothing it names none, as `cargo xtask` has it.
    if let Some(named) = env::var_os(TOOLCHAIN_VARIABLE).filter(|name| !name.is_empty()) {
        return named
            .into_string()
            .map_err(|name| anyhow::anyhow!("{TOOLCHAIN_VARIABLE}={} is no text", name.display()));
    }
    for toolchain in rustup_toolchains() {
        if has_library_source(Path::new(&toolchain.root)) {
            return Ok(toolchain.name);
        }
    }
    if has_library_source(Path::new(SYSTEM_ROOT)) {
        return Ok(SYSTEM_ROOT.to_owned());
    }
    bail!("no Rust compiler with its library source, which the BPF target needs: {HELP}")
}

struct RustupToolchain {
    name: String,
    root: String,
}

/// Rustup's toolchains, nightly ones first: they need no permission to build
/// `core`. None where there is no rustup.
fn rustup_toolchains() -> Vec<RustupToolchain> {
    let Ok(output) = Command::new("rustup")
        .args(["toolchain", "list", "--verbose"])
        .output()
    else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let mut found: Vec<RustupToolchain> = text
        .lines()
        .filter_map(|line| {
            // "NAME [(active, default)] ROOT"
            let name = line.split_whitespace().next()?.to_owned();
            let root = line.get(line.find('/')?..)?.trim().to_owned();
            Some(RustupToolchain { name, root })
        })
        .collect();
    found.sort_by_key(|toolchain| !toolchain.name.starts_with("nightly"));
    found
}

fn has_library_source(root: &Path) -> bool {
    root.join("lib/rustlib/src/rust/library/core/src/lib.rs")
        .is_file()
        && root.join("bin/rustc").is_file()
}
