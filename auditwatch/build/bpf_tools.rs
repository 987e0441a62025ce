//! The tools that build the BPF programs: the places to look in come in; the first compiler and the first linker that
//! can do it go out, or one reason for each that cannot.
//!
//! The build script and `cargo xtask` share this file, so that set-up never calls complete what the build refuses.
//! Must not install anything, and must not print.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Names the toolchain to use, instead of a search.
pub(crate) const TOOLCHAIN_VARIABLE: &str = "AUDITWATCH_EBPF_TOOLCHAIN";
/// Root of the distribution's compiler. `rustup run` takes a path for a name.
pub(crate) const SYSTEM_ROOT: &str = "/usr";
const LINKER: &str = "bpf-linker";
/// `core` is built for the BPF target from here, below the root of a toolchain.
const LIBRARY_SOURCE: &str = "lib/rustlib/src/rust/library/core/src/lib.rs";
/// A program with the attributes that differ between releases of LLVM: slices, options and overflow.
const TRIAL: &str = "#![no_std]\n#[unsafe(no_mangle)]\n\
    pub fn trial(values: &[u64], start: Option<u32>) -> u64 {\n\
    values.iter().fold(u64::from(start.unwrap_or(7)), |sum, value| sum.wrapping_add(*value))\n}\n";

/// A version such as 1.95.0. What follows the numbers, such as `-nightly`, does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version([u32; 3]);

impl Version {
    /// The version at the start of `text`: one to three numbers, the rest of them 0.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let numbers = text
            .find(|next: char| !next.is_ascii_digit() && next != '.')
            .map_or(text, |end| &text[..end]);
        if !numbers.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        let mut version = Self::default();
        for (place, number) in version.0.iter_mut().zip(numbers.split('.')) {
            match number.parse() {
                Ok(number) => *place = number,
                // "22." and "12.dfsg" end with a point.
                Err(_) if number.is_empty() => break,
                Err(_) => return None,
            }
        }
        Some(version)
    }

    /// The first word of `text` that is a version of two numbers or more, as programs print it for `--version`.
    pub(crate) fn find(text: &str) -> Option<Self> {
        text.split_whitespace()
            .filter(|word| word.contains('.'))
            .find_map(Self::parse)
    }

    /// Its numbers, the first one first.
    pub(crate) const fn numbers(self) -> [u32; 3] {
        self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers();
        write!(formatter, "{major}.{minor}.{patch}")
    }
}

/// What `rustc -vV` says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    /// Version of the compiler.
    pub(crate) rustc: Version,
    /// Version of the LLVM inside of it.
    pub(crate) llvm: Version,
}

impl Release {
    /// Reads the output of `rustc -vV`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name))?;
            Version::parse(value.trim())
        };
        Some(Self {
            rustc: field("release:")?,
            llvm: field("LLVM version:")?,
        })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "rustc {} (LLVM {})", self.rustc, self.llvm)
    }
}

/// What was found out about the compiler at one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Whether there is a compiler at all.
    pub(crate) exists: bool,
    /// What its compiler says; `None` if it does not run.
    pub(crate) release: Option<Release>,
    /// Version of its cargo; `None` if there is none that runs.
    pub(crate) cargo: Option<Version>,
    /// Whether the library source is there.
    pub(crate) has_source: bool,
    /// Version of that source, if its directory names one.
    pub(crate) source: Option<Version>,
}

impl Findings {
    /// The release of a compiler that builds the BPF programs, or the reason why it does not.
    pub(crate) fn judge(&self, minimum: Version) -> Result<Release, String> {
        if !self.exists {
            return Err("there is no compiler".to_owned());
        }
        let release = self.release.ok_or("its rustc does not run")?;
        let rustc = release.rustc;
        if rustc < minimum {
            return Err(format!("rustc {rustc} is older than {minimum}"));
        }
        let cargo = self.cargo.ok_or("it has no cargo that runs")?;
        if cargo < minimum {
            return Err(format!("cargo {cargo} is older than {minimum}"));
        }
        if !self.has_source {
            return Err(format!("rustc {rustc} has no library source"));
        }
        match self.source {
            Some(source) if source != rustc => Err(format!(
                "its library source is that of {source}, its rustc is {rustc}"
            )),
            _ => Ok(release),
        }
    }
}

/// A compiler that builds the BPF programs.
#[derive(Clone, Debug)]
pub(crate) struct Compiler {
    /// The name that `rustup run` takes.
    pub(crate) name: String,
    /// Its directory, with `bin` and `lib` below.
    pub(crate) root: PathBuf,
    /// Its version.
    pub(crate) release: Release,
}

/// The toolchain that the user named, if so. Set to nothing, the variable names none.
pub(crate) fn named() -> Option<String> {
    env::var(TOOLCHAIN_VARIABLE)
        .ok()
        .filter(|name| !name.is_empty())
}

/// The named toolchain, else the first of rustup's and the system's that builds the BPF programs.
///
/// # Errors
/// Why none does: one reason for each place where a compiler is.
pub(crate) fn compiler(minimum: Version) -> Result<Compiler, String> {
    if let Some(name) = named() {
        let root = root_of(&name).ok_or_else(|| {
            format!("{TOOLCHAIN_VARIABLE}={name} names no toolchain that rustup can run")
        })?;
        return judged(name.clone(), root, minimum)
            .map_err(|reason| format!("{TOOLCHAIN_VARIABLE}={name}: {reason}"));
    }
    let mut reasons = Vec::new();
    for (name, root) in candidates() {
        match judged(name, root.clone(), minimum) {
            Ok(compiler) => return Ok(compiler),
            Err(reason) => reasons.push(format!("{}: {reason}", root.display())),
        }
    }
    Err(reasons.join("; "))
}

/// Rustup's toolchains, nightly ones first since these may build their library by default; then the system's.
fn candidates() -> Vec<(String, PathBuf)> {
    let directory = rustup_home().join("toolchains");
    let mut names: Vec<String> = fs::read_dir(&directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort_by_key(|name| (!name.starts_with("nightly"), name.clone()));
    let mut found: Vec<(String, PathBuf)> = names
        .into_iter()
        .map(|name| (name.clone(), directory.join(name)))
        .collect();
    found.push((SYSTEM_ROOT.to_owned(), PathBuf::from(SYSTEM_ROOT)));
    found
}

fn rustup_home() -> PathBuf {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    env::var_os("RUSTUP_HOME").map_or_else(|| home.join(".rustup"), PathBuf::from)
}

fn root_of(name: &str) -> Option<PathBuf> {
    if name.starts_with('/') {
        return Some(PathBuf::from(name));
    }
    let mut command = Command::new("rustup");
    command.args(["run", name, "rustc", "--print", "sysroot"]);
    output(&mut command).map(|text| PathBuf::from(text.trim()))
}

fn judged(name: String, root: PathBuf, minimum: Version) -> Result<Compiler, String> {
    let release = examine(&root).judge(minimum)?;
    Ok(Compiler {
        name,
        // rustup may know the system's compiler by a name, as a link.
        root: root.canonicalize().unwrap_or(root),
        release,
    })
}

fn examine(root: &Path) -> Findings {
    let rustc = root.join("bin/rustc");
    let says = |program: &Path, option: &str| output(Command::new(program).arg(option));
    let source = root.join(LIBRARY_SOURCE);
    Findings {
        exists: rustc.is_file(),
        release: says(&rustc, "-vV").and_then(|text| Release::parse(&text)),
        cargo: says(&root.join("bin/cargo"), "-V").and_then(|text| Version::find(&text)),
        has_source: source.is_file(),
        source: source
            .canonicalize()
            .ok()
            .and_then(|path| source_version(&path)),
    }
}

/// The version in a path such as `/usr/src/rustc-1.96.0/library/core/src/lib.rs`.
pub(crate) fn source_version(path: &Path) -> Option<Version> {
    path.iter()
        .filter_map(|part| part.to_str()?.strip_prefix("rustc-"))
        .find_map(Version::parse)
}

/// The first linker in the directories `path` that can read what `compiler` writes; `scratch` is a directory to try it in.
///
/// # Errors
/// Why none can: one reason for each.
pub(crate) fn linker(
    path: &[PathBuf],
    compiler: &Compiler,
    scratch: &Path,
) -> Result<PathBuf, String> {
    let mut reasons = Vec::new();
    for directory in path {
        let linker = directory.join(LINKER);
        if !linker.is_file() {
            continue;
        }
        match try_link(&linker, compiler, scratch) {
            Ok(()) => return Ok(linker),
            Err(reason) => reasons.push(format!("{}: {reason}", linker.display())),
        }
    }
    if reasons.is_empty() {
        reasons.push(format!("no {LINKER} on PATH"));
    }
    Err(reasons.join("; "))
}

/// Links a small program of `compiler`. Only that shows whether the linker's LLVM is new enough: it does not tell.
fn try_link(linker: &Path, compiler: &Compiler, scratch: &Path) -> Result<(), String> {
    if output(Command::new(linker).arg("--version")).is_none() {
        return Err("it does not run".to_owned());
    }
    let trial = scratch.join(format!("linker-trial-{}", std::process::id()));
    let result = fs::create_dir_all(&trial)
        .map_err(|error| format!("cannot create {}: {error}", trial.display()))
        .and_then(|()| link_in(&trial, linker, compiler));
    // It is left behind at worst, in a directory for such things.
    fs::remove_dir_all(&trial).ok();
    result
}

fn link_in(trial: &Path, linker: &Path, compiler: &Compiler) -> Result<(), String> {
    let (source, bitcode) = (trial.join("trial.rs"), trial.join("trial.bc"));
    fs::write(&source, TRIAL)
        .map_err(|error| format!("cannot write {}: {error}", source.display()))?;
    let mut compile = Command::new(compiler.root.join("bin/rustc"));
    compile.args(["--edition=2021", "--crate-type=lib", "-O", "-Cpanic=abort"]);
    compile.arg("--emit=llvm-bc").arg("-o");
    compile.arg(&bitcode).arg(&source);
    succeed(&mut compile).map_err(|said| format!("the compiler fails on a trial: {said}"))?;
    let mut link = Command::new(linker);
    link.args(["--emit=obj", "--target=bpfel", "--export=trial", "-o"]);
    link.arg(trial.join("trial.o")).arg(&bitcode);
    succeed(&mut link).map_err(|said| {
        format!(
            "it cannot link what {} writes (its own LLVM must not be older): {said}",
            compiler.release
        )
    })
}

/// Runs `command`; the error is the last line that it wrote to stderr.
fn succeed(command: &mut Command) -> Result<(), String> {
    let output = quiet(command)
        .output()
        .map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let is_message = |line: &&str| !line.trim().is_empty() && !line.starts_with("note:");
    let last = said.lines().rfind(is_message);
    Err(last.unwrap_or("no message").trim().to_owned())
}

/// What `command` writes to stdout, if it runs and succeeds.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = quiet(command).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Cargo and rustup name a compiler in the environment, which must not decide for another one.
fn quiet(command: &mut Command) -> &mut Command {
    for variable in ["RUSTC", "RUSTUP_TOOLCHAIN", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null())
}
