//! The guest's programs: package names come in, a directory with their unpacked files goes out.
//!
//! The packages are those of this machine's own release, so that they run with its C library; they are never
//! installed. Also resolves which shared libraries a program needs.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{cache::Cache, suite::Suite};

/// Where unpacked packages keep shared libraries.
const LIBRARY_DIRECTORIES: [&str; 4] = [
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib",
    "lib",
];

/// The unpacked packages that a guest image is made from.
#[derive(Clone, Debug)]
pub(crate) struct Sysroot {
    root: PathBuf,
}

impl Sysroot {
    /// The sysroot called `name`, whether or not it is cached; `packages` tell one version of it from the next.
    fn key(name: &str, packages: &[&str]) -> String {
        format!(
            "sysroot/{name}-{:016x}",
            crate::digest::of(packages.join(" ").as_bytes())
        )
    }

    /// Whether the sysroot can be had without the network.
    pub(crate) fn is_cached(cache: &Cache, name: &str, packages: &[&str]) -> bool {
        cache.path(Self::key(name, packages)).is_dir()
    }

    /// Downloads and unpacks `packages` with the libraries that they need, unless the cache has them.
    pub(crate) fn get(cache: &Cache, name: &str, packages: &[&str]) -> Result<Self> {
        let root = cache
            .directory(&Self::key(name, packages), |staging| {
                let suite = Suite::of_machine(cache)?;
                let wanted: Vec<String> = suite
                    .closure(packages)?
                    .into_iter()
                    .filter(|name| packages.contains(&name.as_str()) || is_library(name, packages))
                    .collect();
                eprintln!(
                    "downloading {} packages for the guest: {}",
                    wanted.len(),
                    packages.join(", ")
                );
                suite.unpack(&wanted, staging)
            })
            .with_context(|| {
                format!(
                    "cannot get the packages of the guest ({})",
                    packages.join(", ")
                )
            })?;
        Ok(Self { root })
    }

    /// The unpacked files.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The host paths of all shared libraries that `program` needs, with the name that it asks for each by.
    pub(crate) fn libraries(&self, program: &Path) -> Result<Vec<PathBuf>> {
        let mut path = OsString::new();
        for directory in LIBRARY_DIRECTORIES {
            path.push(self.root.join(directory));
            path.push(":");
        }
        // ldd fails for a static program and for a script, which need none.
        let output = Command::new("ldd")
            .arg(program)
            .env("LD_LIBRARY_PATH", path)
            .env("LC_ALL", "C")
            .output()
            .context("failed to start ldd")?;
        parse_ldd(&String::from_utf8_lossy(&output.stdout))
            .with_context(|| format!("cannot resolve the libraries of {}", program.display()))
    }

    /// The path that a library found at `host` has in the guest.
    pub(crate) fn guest_path(&self, host: &Path) -> PathBuf {
        host.strip_prefix(&self.root)
            .map_or_else(|_| host.to_owned(), |below| Path::new("/").join(below))
    }
}

/// Whether a dependency is a shared library that the machine may lack; what packages want besides is for their installation.
fn is_library(package: &str, wanted: &[&str]) -> bool {
    // perf has an interpreter built in; to the others Perl is for their installation only.
    if package.starts_with("libperl5") {
        return wanted.contains(&"linux-perf");
    }
    // Programs built on this machine run with its C library: a second one in the sysroot would clash with it.
    let of_the_machine = ["libc6", "libgcc-s1", "libc-bin", "libcrypt1"].contains(&package);
    package.starts_with("lib") && !package.contains("perl") && !of_the_machine
}

fn parse_ldd(text: &str) -> Result<Vec<PathBuf>> {
    let mut libraries = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.ends_with("=> not found") {
            bail!("no package brings {line}");
        }
        let target = line.split_once(" => ").map_or(line, |(_, target)| target);
        // The vDSO has a name and no file.
        if let Some((path, _address)) = target.rsplit_once(" (0x")
            && path.starts_with('/')
        {
            libraries.push(PathBuf::from(path));
        }
    }
    Ok(libraries)
}

/// Whether `program` is found by this name in the sysroot, and where.
pub(crate) fn program_in(sysroot: &Sysroot, name: &str) -> Option<PathBuf> {
    ["usr/sbin", "usr/bin", "sbin", "bin"]
        .iter()
        .map(|directory| sysroot.root().join(directory).join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_output_gives_files_and_no_vdso() {
        let text = "\tlinux-vdso.so.1 (0x00007ffe)\n\
                    \tlibaudit.so.1 => /c/usr/lib/libaudit.so.1 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let libraries = parse_ldd(text).expect("all found");
        assert_eq!(
            libraries,
            [
                PathBuf::from("/c/usr/lib/libaudit.so.1"),
                PathBuf::from("/lib64/ld-linux-x86-64.so.2")
            ]
        );
    }

    #[test]
    fn a_missing_library_is_an_error_that_names_it() {
        let error = parse_ldd("\tlibx.so.1 => not found\n").expect_err("missing");
        assert!(error.to_string().contains("libx.so.1"));
        assert_eq!(
            parse_ldd("\tnot a dynamic executable\n").expect("static"),
            Vec::<PathBuf>::new()
        );
    }

    #[test]
    fn only_libraries_are_taken_along() {
        assert!(is_library("libaudit1", &["auditd"]));
        assert!(is_library("libperl5.36", &["auditd", "linux-perf"]));
        for package in [
            "libc6",
            "perl-base",
            "libperl5.36",
            "debianutils",
            "usrmerge",
        ] {
            assert!(!is_library(package, &["auditd"]), "{package}");
        }
    }
}
