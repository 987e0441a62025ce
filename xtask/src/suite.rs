//! One suite of the distribution's archive, read through a private apt state: package names and files go out.
//!
//! Leaves the machine's own sources and lists alone and needs no root. Signatures are checked as apt always does.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    cache::{Cache, CacheLock},
    process,
    sources::{self, Source},
};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A suite whose package lists have a directory of their own in the cache.
#[derive(Debug)]
pub(crate) struct Suite {
    name: String,
    directory: PathBuf,
    // apt's own locks would fail where ours waits.
    _lock: CacheLock,
}

impl Suite {
    /// The suite `name`, such as `bookworm`, with its security updates where the machine knows that archive.
    pub(crate) fn open(cache: &Cache, name: &str) -> Result<Self> {
        let list = source_list(&sources::read()?, &machine_suite()?, name)?;
        let key = format!("apt/{name}");
        let lock = cache.lock(&key)?;
        let directory = cache.path(&key);
        for below in ["lists/partial", "archives/partial"] {
            let path = directory.join(below);
            fs::create_dir_all(&path)
                .with_context(|| format!("cannot create {}", path.display()))?;
        }
        let path = directory.join("sources.list");
        fs::write(&path, list).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            name: name.to_owned(),
            directory,
            _lock: lock,
        })
    }

    /// The suite that this machine runs, whose libraries fit the programs built here.
    pub(crate) fn of_machine(cache: &Cache) -> Result<Self> {
        Self::open(cache, &machine_suite()?)
    }

    /// The names of all packages that begin with `prefix`; reads the archive's lists anew if there are none.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let names = self.known_names(prefix)?;
        if !names.is_empty() {
            return Ok(names);
        }
        self.update()?;
        self.known_names(prefix)
    }

    /// Every package that one of `packages` needs, themselves included.
    pub(crate) fn closure(&self, packages: &[&str]) -> Result<Vec<String>> {
        for package in packages {
            if !self.names(package)?.iter().any(|name| name == package) {
                bail!("{} has no package {package}", self.name);
            }
        }
        let mut command = self.command("apt-cache");
        command.args(["depends", "--recurse"]);
        for kind in [
            "recommends",
            "suggests",
            "conflicts",
            "breaks",
            "replaces",
            "enhances",
        ] {
            command.arg(format!("--no-{kind}"));
        }
        let text = process::output(command.args(packages))?;
        let is_package = |line: &&str| !line.starts_with([' ', '<', '|']);
        let mut names: Vec<String> = text.lines().filter(is_package).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Downloads `packages` and unpacks them into `root`; nothing is installed.
    pub(crate) fn unpack(&self, packages: &[String], root: &Path) -> Result<()> {
        let downloads = root.with_extension("debs");
        if downloads.exists() {
            fs::remove_dir_all(&downloads)
                .with_context(|| format!("cannot remove {}", downloads.display()))?;
        }
        fs::create_dir_all(&downloads)
            .with_context(|| format!("cannot create {}", downloads.display()))?;
        let download = || {
            let mut command = self.command("apt-get");
            process::output(
                command
                    .args(["-q", "download"])
                    .args(packages)
                    .current_dir(&downloads),
            )
        };
        if download().is_err() {
            // The lists may be older than the archive, which drops a version when it gets the next one.
            self.update()?;
            download()?;
        }
        for entry in fs::read_dir(&downloads)? {
            process::output(
                Command::new("dpkg-deb")
                    .arg("-x")
                    .arg(entry?.path())
                    .arg(root),
            )?;
        }
        fs::remove_dir_all(&downloads)
            .with_context(|| format!("cannot remove {}", downloads.display()))
    }

    fn known_names(&self, prefix: &str) -> Result<Vec<String>> {
        let pattern = format!("^{}", escape(prefix));
        let mut command = self.command("apt-cache");
        let text = process::output(command.args(["search", "--names-only", &pattern]))?;
        let names = text.lines().filter_map(|line| line.split_once(" - "));
        Ok(names.map(|(name, _)| name.to_owned()).collect())
    }

    fn update(&self) -> Result<()> {
        eprintln!("reading the package lists of {}", self.name);
        process::output(self.command("apt-get").args(["-q", "update"]))
            .with_context(|| format!("cannot read the package lists of {}", self.name))?;
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let mut option = |name: &str, value: &Path| {
            let mut option = OsString::from(name);
            option.push("=");
            option.push(value);
            command.arg("-o").arg(option);
        };
        option("Dir::Etc::sourcelist", &self.directory.join("sources.list"));
        option("Dir::Etc::sourceparts", Path::new("/dev/null"));
        option("Dir::State::lists", &self.directory.join("lists"));
        option("Dir::Cache", &self.directory);
        // apt's sandbox user cannot enter a home directory.
        option("APT::Sandbox::User", Path::new("root"));
        option("Acquire::Languages", Path::new("none"));
        option("Acquire::Retries", Path::new("3"));
        command.env("LC_ALL", "C");
        command
    }
}

/// The code name of the release that this machine runs.
pub(crate) fn machine_suite() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    code_name(&text)
        .context("/etc/os-release names no VERSION_CODENAME: a released Debian is needed")
}

fn code_name(os_release: &str) -> Option<String> {
    let value = os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(value.trim_matches('"').to_owned())
}

fn source_list(machine: &[Source], machine_suite: &str, suite: &str) -> Result<String> {
    let main = sources::archive_of(machine, machine_suite)
        .with_context(|| format!("no apt source of this machine has the suite {machine_suite}"))?;
    let mut list = source_line(main, suite);
    let security = format!("{machine_suite}-security");
    // Old releases leave the security archive, foreign ones need no fixes of theirs: the machine's own suite only.
    if suite == machine_suite
        && let Some(source) = sources::archive_of(machine, &security)
    {
        list.push_str(&source_line(source, &security));
    }
    Ok(list)
}

fn source_line(source: &Source, suite: &str) -> String {
    let keyring = source.signed_by.as_deref().unwrap_or(KEYRING);
    format!(
        "deb [signed-by={keyring} arch=amd64] {} {suite} main\n",
        source.uri
    )
}

/// Package names hold only a few characters that mean something to a regular expression.
fn escape(name: &str) -> String {
    name.replace('.', "\\.").replace('+', "\\+")
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
            source("http://tools.example", &["stable"]),
            source("http://a.example/debian", &["bookworm", "bookworm-updates"]),
            source("http://s.example/security", &["bookworm-security"]),
        ]
    }

    #[test]
    fn a_foreign_suite_is_sought_in_the_main_archive_alone() {
        let list = source_list(&machine(), "bookworm", "forky").expect("a main archive");
        assert_eq!(
            list,
            format!("deb [signed-by={KEYRING} arch=amd64] http://a.example/debian forky main\n")
        );
    }

    #[test]
    fn the_own_suite_comes_with_its_security_updates() {
        let list = source_list(&machine(), "bookworm", "bookworm").expect("a main archive");
        assert_eq!(list.lines().count(), 2);
        assert!(list.ends_with("http://s.example/security bookworm-security main\n"));
    }

    #[test]
    fn machine_without_the_main_archive_gets_an_error() {
        let error = source_list(&machine(), "noble", "forky").expect_err("no such suite");
        assert!(error.to_string().contains("noble"));
    }

    #[test]
    fn the_code_name_is_found_with_and_without_quotes() {
        assert_eq!(
            code_name("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(),
            Some("bookworm")
        );
        assert_eq!(
            code_name("VERSION_CODENAME=\"trixie\"").as_deref(),
            Some("trixie")
        );
        assert_eq!(code_name("ID=x"), None);
    }
}
