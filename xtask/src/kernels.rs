//! The kernels of the test matrix: a release name comes in, the files of its newest build go out.
//!
//! Takes the kernels that the distribution ships, unpacked into the cache and never installed. Once a kernel is
//! there, no network is touched. Never asks for a fixed build: the archive replaces builds weekly.

use std::{
    cmp::Ordering,
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::{cache::Cache, suite::Suite};

/// A kernel release of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Release {
    /// The oldest kernel that is supported, with the audit code as it was before 5.17.
    #[value(name = "5.10")]
    V5_10,
    /// The kernel of Debian 12.
    #[value(name = "6.1")]
    V6_1,
    /// The long-term kernel of Debian 13.
    #[value(name = "6.12")]
    V6_12,
    /// The newest kernel, with audit functions that the compiler split.
    #[value(name = "7.2")]
    V7_2,
}

impl Release {
    /// Every release, oldest first.
    pub(crate) const ALL: [Self; 4] = [Self::V5_10, Self::V6_1, Self::V6_12, Self::V7_2];

    /// The name as the command line and the cache spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V7_2 => "7.2",
        }
    }

    /// The suites that may have this release, the best first.
    fn suites(self) -> &'static [&'static str] {
        match self {
            Self::V5_10 => &["bullseye"],
            Self::V6_1 => &["bookworm"],
            // The security suite of bookworm has it, which other releases do not read.
            Self::V6_12 => &["bookworm", "trixie"],
            Self::V7_2 => &["forky", "sid"],
        }
    }

    /// How the names of the packages with a kernel of this release begin.
    fn package_prefix(self) -> &'static str {
        match self {
            Self::V5_10 => "linux-image-5.10.",
            Self::V6_1 => "linux-image-6.1.",
            Self::V6_12 => "linux-image-6.12.",
            // From 7.0 on linux-image-* only depends on these.
            Self::V7_2 => "linux-binary-",
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A kernel in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// What `uname -r` says.
    pub(crate) version: String,
    /// The bootable image.
    pub(crate) vmlinuz: PathBuf,
    /// The configuration that it was built with.
    pub(crate) config: PathBuf,
}

/// Whether `release` can be had without the network.
pub(crate) fn is_cached(cache: &Cache, release: Release) -> bool {
    cache.path(key(release)).is_dir()
}

/// The kernel of `release`, downloaded first if the cache has none.
pub(crate) fn get(cache: &Cache, release: Release) -> Result<Kernel> {
    let directory = cache
        .directory(&key(release), |staging| fetch(cache, release, staging))
        .with_context(|| format!("cannot get kernel {release}"))?;
    let version = fs::read_to_string(directory.join("version"))
        .with_context(|| format!("cannot read the version of kernel {release}"))?;
    Ok(Kernel {
        version: version.trim().to_owned(),
        vmlinuz: directory.join("vmlinuz"),
        config: directory.join("config"),
    })
}

fn key(release: Release) -> String {
    format!("kernels/{release}")
}

fn fetch(cache: &Cache, release: Release, staging: &Path) -> Result<()> {
    for name in release.suites() {
        let suite = Suite::open(cache, name)?;
        let names = suite.names(release.package_prefix())?;
        let Some(package) = newest(&names, release) else {
            continue;
        };
        let mut packages = vec![package.to_owned()];
        if let Some(abi) = abi_of(package)
            && package.starts_with("linux-binary-")
        {
            packages.push(format!("linux-base-{abi}"));
        }
        eprintln!("downloading kernel {release}: {}", packages.join(", "));
        let unpacked = staging.join("unpacked");
        suite.unpack(&packages, &unpacked)?;
        keep(&unpacked, staging)?;
        return fs::remove_dir_all(&unpacked).context("cannot remove the unpacked packages");
    }
    bail!(
        "no package with kernel {release} in {}",
        release.suites().join(", ")
    )
}

/// Moves what a guest or its reader needs out of the unpacked packages.
fn keep(unpacked: &Path, kept: &Path) -> Result<()> {
    let mut places = vec![unpacked.join("boot")];
    for modules in ["usr/lib/modules", "lib/modules"] {
        if let Ok(versions) = fs::read_dir(unpacked.join(modules)) {
            places.extend(versions.filter_map(|entry| Some(entry.ok()?.path())));
        }
    }
    for kind in ["vmlinuz", "config", "System.map"] {
        let found = places.iter().find_map(|place| file_of_kind(place, kind));
        let (path, version) = found.with_context(|| format!("the kernel package has no {kind}"))?;
        fs::rename(&path, kept.join(kind))
            .with_context(|| format!("cannot move {}", path.display()))?;
        fs::write(kept.join("version"), format!("{version}\n"))
            .context("cannot write the version")?;
    }
    Ok(())
}

/// `KIND-VERSION` in `directory`, or `KIND` where the directory is named for the version.
fn file_of_kind(directory: &Path, kind: &str) -> Option<(PathBuf, String)> {
    let plain = directory.join(kind);
    if plain.is_file() {
        let version = directory.file_name()?.to_str()?.to_owned();
        return Some((plain, version));
    }
    fs::read_dir(directory).ok()?.find_map(|entry| {
        let path = entry.ok()?.path();
        let version = path
            .file_name()?
            .to_str()?
            .strip_prefix(kind)?
            .strip_prefix('-')?
            .to_owned();
        Some((path, version))
    })
}

/// The newest kernel package of `release` among `names`.
fn newest(names: &[String], release: Release) -> Option<&str> {
    let belongs = |name: &&str| {
        abi_of(name).is_some_and(|abi| {
            let rest = abi.strip_prefix(release.name());
            rest.is_some_and(|rest| rest.starts_with('.')) && abi.ends_with("-cloud-amd64")
        })
    };
    names
        .iter()
        .map(String::as_str)
        .filter(belongs)
        .max_by(|a, b| {
            // Signed and unsigned hold the same kernel; the signed one is what users run.
            let unsigned = |name: &str| name.contains("unsigned");
            natural_order(abi_of(a).unwrap_or_default(), abi_of(b).unwrap_or_default())
                .then_with(|| unsigned(b).cmp(&unsigned(a)))
        })
}

/// The `uname -r` of the kernel in the package `name`, or `None` for any other package.
fn abi_of(name: &str) -> Option<&str> {
    let rest = name
        .strip_prefix("linux-image-")
        .or_else(|| name.strip_prefix("linux-binary-"))?;
    let rest = rest.strip_prefix("unsigned-").unwrap_or(rest);
    let rest = rest.strip_suffix("-unsigned").unwrap_or(rest);
    (rest.starts_with(|first: char| first.is_ascii_digit()) && !rest.ends_with("-dbg"))
        .then_some(rest)
}

/// Compares runs of digits by their value, everything else byte by byte.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let ((left, a_rest), (right, b_rest)) = (split_run(a), split_run(b));
        let order = match (left.parse::<u64>(), right.parse::<u64>()) {
            (Ok(left), Ok(right)) => left.cmp(&right),
            _ => left.cmp(right),
        };
        if order != Ordering::Equal || (a_rest.is_empty() && b_rest.is_empty()) {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
}

fn split_run(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|first: char| first.is_ascii_digit());
    let end = text.find(|next: char| next.is_ascii_digit() != digits);
    text.split_at(end.unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_newest_build_is_chosen_by_number_and_the_signed_one_of_two() {
        let list = names(&[
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64-dbg",
            "linux-image-6.1.0-56-cloud-amd64-unsigned",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.1.0-55-cloud-amd64",
            "linux-image-6.1.0-57-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64",
        ]);
        assert_eq!(
            newest(&list, Release::V6_1),
            Some("linux-image-6.1.0-56-cloud-amd64")
        );
        assert_eq!(
            newest(&list, Release::V6_12),
            Some("linux-image-6.12.117+deb12-cloud-amd64")
        );
        assert_eq!(newest(&list, Release::V5_10), None);
    }

    #[test]
    fn a_build_that_exists_unsigned_only_is_taken() {
        let list = names(&[
            "linux-image-6.12.99+deb12-cloud-amd64",
            "linux-image-6.12.107+deb12-cloud-amd64-unsigned",
        ]);
        assert_eq!(
            newest(&list, Release::V6_12),
            Some("linux-image-6.12.107+deb12-cloud-amd64-unsigned")
        );
    }

    #[test]
    fn the_split_packages_of_new_kernels_are_found() {
        let list = names(&[
            "linux-binary-unsigned-7.2.12+deb14-cloud-amd64",
            "linux-binary-7.2.9+deb14-cloud-amd64",
            "linux-binary-7.20.1-cloud-amd64",
        ]);
        let package = newest(&list, Release::V7_2).expect("a package");
        assert_eq!(package, "linux-binary-unsigned-7.2.12+deb14-cloud-amd64");
        assert_eq!(abi_of(package), Some("7.2.12+deb14-cloud-amd64"));
        assert_eq!(abi_of("linux-image-cloud-amd64"), None);
    }

    #[test]
    fn natural_order_counts_digits_as_numbers() {
        assert_eq!(natural_order("6.1.0-9", "6.1.0-10"), Ordering::Less);
        assert_eq!(natural_order("6.1.0-10", "6.1.0-10"), Ordering::Equal);
        assert_eq!(natural_order("7.2.12+deb14", "7.2.12"), Ordering::Greater);
    }
}
