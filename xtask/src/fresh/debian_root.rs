//! A minimal Debian root: a suite comes in, a directory whose commands see a new machine goes out.
//!
//! Its mounts live in a namespace of each command: they end with it, even if it is killed, and none is left to unmount.
//! Archives are those of this machine's own apt sources. Must not write outside of the root.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::{
    process,
    sources::{self, Source},
    suite,
};

/// Rust cannot link without a C compiler, and cargo cannot download without certificates.
const PACKAGES: [&str; 3] = ["gcc", "libc6-dev", "ca-certificates"];
/// What rustup puts beside itself.
const PROXIES: [&str; 7] = [
    "cargo",
    "cargo-clippy",
    "cargo-fmt",
    "clippy-driver",
    "rustc",
    "rustdoc",
    "rustfmt",
];
/// Where the sources are.
const SOURCES: &str = "root/auditwatch";
const CERTIFICATES: &str = "usr/local/share/ca-certificates";

/// PID 1 of the namespace. The toolchain is that of this machine, without library source, and cannot be changed.
const INIT: &str = r#"
set -e
root=$1 toolchain=$2
shift 2
inside=$root/root/.rustup/toolchains/$(basename "$toolchain")
mount --bind "$toolchain" "$inside"
mount -o remount,bind,ro "$inside"
[ ! -d "$inside/lib/rustlib/src" ] || mount -t tmpfs none "$inside/lib/rustlib/src"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
trap 'exit 130' INT
status=0
chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 \
    PATH=/root/.cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    sh -c 'cd /root/auditwatch && exec "$@"' sh "$@" || status=$?
exit $status
"#;

/// A root that is removed when it is dropped.
pub(super) struct DebianRoot {
    directory: TempDir,
    /// This machine's toolchain.
    toolchain: PathBuf,
}

impl DebianRoot {
    /// Makes a root of `suite` with Rust, the sources and the packages `installed`. `is_dated`: its package lists are
    /// those of the release alone, though its sources name the updates as well.
    pub(super) fn make(suite: &str, is_dated: bool, installed: &[&str]) -> Result<Self> {
        let machine = sources::read()?;
        let lines = source_lines(&machine, &suite::machine_suite()?, suite)?;
        // Others may enter: apt downloads as a user of its own.
        let directory = tempfile::Builder::new()
            .prefix("auditwatch-fresh-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/var/tmp")
            .context("cannot make a directory in /var/tmp")?;
        let root = directory.path();
        println!(
            "fresh: making a root of {suite} in {}, which takes about 4 GB until it is removed",
            root.display()
        );
        let mut command = Command::new("mmdebstrap");
        // The lists are what is tested.
        command.args(["--quiet", "--variant=minbase", "--skip=cleanup/apt/lists"]);
        let packages: Vec<&str> = PACKAGES.iter().chain(installed).copied().collect();
        command.arg(format!("--include={}", packages.join(",")));
        command.arg(suite).arg(root);
        command.args(if is_dated { &lines[..1] } else { &lines[..] });
        process::run(&mut command).context("cannot make the root")?;
        write(
            &root.join("etc/apt/sources.list"),
            &(lines.join("\n") + "\n"),
        )?;
        // A root that is thrown away need not outlive a loss of power: dpkg waits for the disk at each file otherwise.
        write(&root.join("etc/dpkg/dpkg.cfg.d/fresh"), "force-unsafe-io\n")?;
        share_network(root)?;
        let toolchain = give_rust(root)?;
        give_sources(&root.join(SOURCES))?;
        Ok(Self {
            directory,
            toolchain,
        })
    }

    /// `command` as root of the new machine, in the directory of the sources.
    pub(super) fn command(&self, command: &[&str]) -> Command {
        let mut outer = Command::new("setpriv");
        // If this process is killed, so is all that runs in the root.
        outer.args(["--pdeathsig", "KILL", "--"]);
        outer.args([
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--",
        ]);
        outer.args(["sh", "-c", INIT, "init"]);
        outer.arg(self.directory.path()).arg(&self.toolchain);
        outer.args(command);
        outer
    }

    /// Removes the root, which dropping it does as well, without a word if it fails.
    pub(super) fn remove(self) -> Result<()> {
        let path = self.directory.path().to_owned();
        self.directory
            .close()
            .with_context(|| format!("cannot remove {}", path.display()))
    }
}

/// apt's lines for `suite`, by the archives that this machine has its own suite from: the release, updates, security.
fn source_lines(machine: &[Source], machine_suite: &str, suite: &str) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for part in ["", "-updates", "-security"] {
        let own = format!("{machine_suite}{part}");
        let archive = sources::archive_of(machine, &own)
            .with_context(|| format!("no apt source of this machine has the suite {own}"))?;
        lines.push(format!("deb {} {suite}{part} main", archive.uri));
    }
    Ok(lines)
}

/// Names, certificates and proxies are those of the network that this machine is in.
fn share_network(root: &Path) -> Result<()> {
    for file in ["etc/resolv.conf", "etc/hosts"] {
        copy(&Path::new("/").join(file), &root.join(file))?;
    }
    let machine_certificates = Path::new("/").join(CERTIFICATES);
    for entry in fs::read_dir(&machine_certificates).into_iter().flatten() {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "crt")
            && let Some(name) = path.file_name()
        {
            copy(&path, &root.join(CERTIFICATES).join(name))?;
        }
    }
    let mut update = Command::new("chroot");
    process::output(update.arg(root).arg("update-ca-certificates"))
        .context("cannot set up the certificates")?;
    let settings = process::output(Command::new("apt-config").arg("dump"))?;
    let is_of_archives = |line: &&str| {
        let is_proxy = line.starts_with("Acquire::http") && line.contains("roxy");
        // A mirror that is a snapshot has release files that have expired.
        is_proxy || line.starts_with("Acquire::Check-Valid-Until")
    };
    let proxies: Vec<&str> = settings.lines().filter(is_of_archives).collect();
    write(
        &root.join("etc/apt/apt.conf.d/50network"),
        &(proxies.join("\n") + "\n"),
    )
}

/// Puts rustup and the crates that were downloaded already into `root`; returns the toolchain to mount there.
fn give_rust(root: &Path) -> Result<PathBuf> {
    let rustup = process::find_program("rustup")
        .context("no rustup on PATH: cargo xtask fresh gives the roots this machine's one")?;
    let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let toolchain = Path::new(sysroot.trim())
        .canonicalize()
        .context("cannot find the toolchain of rustc")?;
    let name = toolchain.file_name().context("the toolchain has no name")?;
    let inside = root.join("root/.rustup");
    create(&inside.join("toolchains").join(name))?;
    write(
        &inside.join("settings.toml"),
        &format!(
            "version = \"12\"\ndefault_toolchain = \"{}\"\n",
            name.display()
        ),
    )?;
    let programs = root.join("root/.cargo/bin");
    create(&programs)?;
    let copied = programs.join("rustup");
    copy(&rustup, &copied)?;
    for proxy in PROXIES {
        fs::hard_link(&copied, programs.join(proxy))
            .with_context(|| format!("cannot link {proxy}"))?;
    }
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let registry = root.join("root/.cargo/registry");
    create(&registry)?;
    for part in ["cache", "index"] {
        let part = cargo.join("registry").join(part);
        if part.is_dir() {
            let mut copy = Command::new("cp");
            process::output(copy.arg("-a").arg(&part).arg(&registry))?;
        }
    }
    Ok(toolchain)
}

/// Unpacks the commit that is checked out; changes that are not committed stay behind.
fn give_sources(directory: &Path) -> Result<()> {
    let git = || {
        let mut command = Command::new("git");
        command.args(["-C", concat!(env!("CARGO_MANIFEST_DIR"), "/..")]);
        command
    };
    let head = process::output(git().args(["log", "-1", "--format=%h (%s)"]))?;
    let changes = process::output(git().args(["status", "--porcelain"]))?;
    let note = if changes.is_empty() {
        ""
    } else {
        "; changes that are not committed are not tested"
    };
    println!("fresh: the sources are those of {}{note}", head.trim());
    create(directory)?;
    let mut archive = git()
        .args(["archive", "--format=tar", "HEAD"])
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start git archive")?;
    let tar = archive.stdout.take().context("git archive has no output")?;
    let mut unpack = Command::new("tar");
    process::run(unpack.arg("-x").arg("-C").arg(directory).stdin(tar))?;
    if !archive.wait().context("lost git archive")?.success() {
        bail!("git archive failed; its message is above");
    }
    Ok(())
}

fn create(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Vec<Source> {
        let source = |uri: &str, suites: &[&str]| Source {
            uri: uri.to_owned(),
            suites: suites.iter().map(|&suite| suite.to_owned()).collect(),
            signed_by: None,
        };
        vec![
            source("http://a.example/debian", &["bookworm", "bookworm-updates"]),
            source("http://s.example/security", &["bookworm-security"]),
        ]
    }

    #[test]
    fn another_release_comes_from_the_archives_of_this_machine() {
        let lines = source_lines(&machine(), "bookworm", "trixie").expect("all archives");
        assert_eq!(
            lines,
            [
                "deb http://a.example/debian trixie main",
                "deb http://a.example/debian trixie-updates main",
                "deb http://s.example/security trixie-security main",
            ]
        );
    }

    #[test]
    fn a_machine_without_security_updates_is_named_as_such() {
        let error = source_lines(&machine()[..1], "bookworm", "bookworm").expect_err("no security");
        assert!(error.to_string().contains("bookworm-security"), "{error}");
    }
}
