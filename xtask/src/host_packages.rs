//! Packages of this machine: names come in, they are installed. The only module that needs root.

use std::{
    io,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::process;

/// Installs `packages` and what they strictly need; reads the package lists only if one of them is unknown.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if process::find_program("apt-get").is_none() {
        bail!(
            "install {} yourself: this machine has no apt-get",
            packages.join(" ")
        );
    }
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    if packages.iter().any(|package| !is_known(package)) {
        apt_get(&["update"], packages)?;
    }
    // A second apt may take its turn between ours, and lists may be older than the archive: once more, with fresh ones.
    if apt_get(&arguments, packages).is_err() {
        apt_get(&["update"], packages)?;
        apt_get(&arguments, packages)?;
    }
    Ok(())
}

fn is_known(package: &str) -> bool {
    process::succeeds(Command::new("apt-cache").args(["show", "--quiet=2", package]))
}

fn apt_get(arguments: &[&str], packages: &[&str]) -> Result<()> {
    // SAFETY: geteuid takes no arguments and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    let mut command = if root {
        Command::new("apt-get")
    } else if process::succeeds(Command::new("sudo").args(["-n", "true"])) {
        let mut command = Command::new("sudo");
        command.args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command
    } else {
        bail!(
            "root is needed once; run: sudo apt-get update && sudo apt-get install --no-install-recommends {}",
            packages.join(" ")
        );
    };
    command.args([
        "-q",
        "-o",
        "DPkg::Lock::Timeout=300",
        "-o",
        "Dpkg::Use-Pty=0",
        "-o",
        "Acquire::Retries=3",
    ]);
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        // Our own stdout belongs to the task that needs the packages.
        .stdout(io::stderr());
    process::run(&mut command)
}
