//! Packages of this machine: needs come in, they are installed. The only module that changes packages, as root.
//!
//! Package lists are read anew when they are old or offer too little. Must never remove a package.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    apt_lists::{self, Need, Step},
    process,
};

/// apt renames new lists from `partial` into the directory above, which dates both.
const LISTS: [&str; 2] = ["/var/lib/apt/lists", "/var/lib/apt/lists/partial"];

/// Installs or upgrades `needs` with what they strictly depend on.
///
/// # Errors
/// One line with the cause and `way_out`, which names how to do without apt.
pub(crate) fn install(needs: &[Need], way_out: &str) -> Result<()> {
    let packages: Vec<&str> = needs.iter().map(|need| need.package).collect();
    let names = packages.join(" ");
    if process::find_program("apt-get").is_none() {
        bail!("this machine has no apt-get: install {names} yourself; {way_out}");
    }
    let mut refreshed = false;
    loop {
        let step = apt_lists::next_step(needs, &policy(&packages)?, age_of_lists(), refreshed);
        match step {
            Step::Install => break,
            Step::Refuse(reason) => {
                bail!(
                    "{reason}: add an apt source that has it, such as the security suite; {way_out}"
                )
            }
            Step::Refresh(reason) => refresh(&reason, &names)?,
        }
        refreshed = true;
    }
    let mut arguments = vec!["install", "--yes", "--no-install-recommends", "--no-remove"];
    arguments.extend(&packages);
    let mut outcome = apt_get(&arguments, &names)?;
    if outcome.is_err() && !refreshed {
        // The archive drops a version when it gets the next one.
        refresh("the archive may have newer versions", &names)?;
        outcome = apt_get(&arguments, &names)?;
    }
    outcome.map_err(|said| anyhow::anyhow!("apt-get cannot install {names}: {said}; {way_out}"))
}

fn refresh(reason: &str, names: &str) -> Result<()> {
    eprintln!("reading the package lists anew: {reason}");
    if let Err(said) = apt_get(&["update"], names)? {
        // The lists that are there may offer enough.
        eprintln!("warning: apt-get cannot read the package lists: {said}");
    }
    Ok(())
}

fn policy(packages: &[&str]) -> Result<String> {
    let mut command = Command::new("apt-cache");
    process::output(command.arg("policy").args(packages).env("LC_ALL", "C"))
}

/// How long ago the lists were read; `None` if there are none.
fn age_of_lists() -> Option<Duration> {
    let has_lists = fs::read_dir(LISTS[0]).ok()?.flatten().any(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().contains("_Packages")
    });
    if !has_lists {
        return None;
    }
    let read = LISTS
        .iter()
        .filter_map(|directory| Path::new(directory).metadata().ok()?.modified().ok())
        .max()?;
    // A clock that was set back makes them new.
    Some(SystemTime::now().duration_since(read).unwrap_or_default())
}

/// Runs apt-get; the inner error is its first line that begins with `E:`.
fn apt_get(arguments: &[&str], names: &str) -> Result<Result<(), String>> {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("apt-get")
    } else if process::succeeds(Command::new("sudo").args(["-n", "true"])) {
        let mut command = Command::new("sudo");
        command.args([
            "-n",
            "DEBIAN_FRONTEND=noninteractive",
            "LC_ALL=C",
            "apt-get",
        ]);
        command
    } else {
        bail!(
            "root is needed once; run: sudo apt-get update && \
             sudo apt-get install --no-install-recommends {names}"
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
    let mut child = command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        // Our own stdout belongs to the task that needs the packages.
        .stdout(io::stderr())
        .stderr(Stdio::piped())
        .spawn()
        .context("failed to start apt-get")?;
    let mut error = None;
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n') {
            let line = line.context("lost the output of apt-get")?;
            let line = String::from_utf8_lossy(&line);
            writeln!(io::stderr(), "{line}").context("cannot write to stderr")?;
            error = error.or_else(|| line.strip_prefix("E: ").map(str::to_owned));
        }
    }
    let status = child.wait().context("lost apt-get")?;
    if status.success() {
        return Ok(Ok(()));
    }
    Ok(Err(error.unwrap_or_else(|| status.to_string())))
}
