//! The guest's root file system: a sysroot, our programs and one command come in, an initramfs goes out.
//!
//! Everything but ours is one archive, cached by its contents. What changes between runs (our programs, shared files,
//! the command) is a second archive behind it, which the kernel unpacks over the first: so a run costs no rebuild.

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    cache::Cache,
    cpio::Archive,
    digest,
    kernels::Kernel,
    process,
    sysroot::{self, Sysroot},
};

/// Name of the sysroot with what every guest has.
pub(crate) const SYSROOT: &str = "guest";

/// Packages that every guest has.
pub(crate) const PACKAGES: [&str; 8] = [
    "auditd",
    "bash",
    "bpftool",
    "busybox-static",
    "coreutils",
    "gawk",
    "mawk",
    "strace",
];

/// Programs taken from them.
const PROGRAMS: [&str; 14] = [
    "auditd",
    "auditctl",
    "augenrules",
    "ausearch",
    "aureport",
    "ausyscall",
    "audisp-syslog",
    "bash",
    "bpftool",
    "busybox",
    "gawk",
    // augenrules' order of files is that of this ls, which busybox does not have.
    "ls",
    "mawk",
    "strace",
];

/// Name of the sysroot with what a guest that measures has besides.
pub(crate) const BENCH_SYSROOT: &str = "bench";

/// Packages that a guest that measures has: every guest's, and the tools that auditwatch is compared with.
pub(crate) const BENCH_PACKAGES: [&str; 10] = [
    "auditd",
    "bash",
    "bpftool",
    "busybox-static",
    "coreutils",
    "gawk",
    "mawk",
    "strace",
    "bpftrace",
    "linux-perf",
];

/// Programs taken from them besides every guest's.
const BENCH_PROGRAMS: [&str; 2] = ["bpftrace", "perf"];

/// Where the versions of the auditd package keep the sample rules, oldest first.
const SAMPLE_RULES: [&str; 3] = [
    "usr/share/doc/auditd/examples/rules",
    "usr/share/audit/sample-rules",
    "usr/share/audit-rules",
];

/// Empty directories that the guest's init mounts on, or that programs expect.
const DIRECTORIES: [&str; 14] = [
    "dev",
    "etc/audit/plugins.d",
    "etc/audit/rules.d",
    "mnt",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr/bin",
    "usr/lib64",
    "usr/sbin",
    "var/log/audit",
    "var/spool/audit",
];

/// Our own text files in the guest.
const TEXTS: [(&str, &str); 6] = [
    ("etc/audit/auditd.conf", include_str!("guest/auditd.conf")),
    ("etc/group", "root:x:0:\nadm:x:4:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n"),
    (
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files\n",
    ),
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    ("etc/shells", "/bin/sh\n/bin/bash\n"),
];

const INIT: &str = include_str!("guest/init.sh");

/// The part of the root file system that all runs share.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    base: PathBuf,
    sysroot: Sysroot,
}

/// What one run adds to an image.
#[derive(Clone, Debug)]
pub(crate) struct Overlay<'a> {
    /// Programs that get onto the guest's `PATH`.
    pub(crate) programs: &'a [PathBuf],
    /// Files that appear in `/mnt`.
    pub(crate) share: &'a [PathBuf],
    /// What the guest runs.
    pub(crate) command: &'a [OsString],
}

impl Image {
    /// The image of this machine's release, made if the cache has none of the same contents.
    pub(crate) fn get(cache: &Cache) -> Result<Self> {
        Self::of(cache, Sysroot::get(cache, SYSROOT, &PACKAGES)?, &[])
    }

    /// The same with bpftrace and perf; much larger.
    pub(crate) fn for_bench(cache: &Cache) -> Result<Self> {
        let sysroot = Sysroot::get(cache, BENCH_SYSROOT, &BENCH_PACKAGES)?;
        Self::of(cache, sysroot, &BENCH_PROGRAMS)
    }

    fn of(cache: &Cache, sysroot: Sysroot, more: &[&str]) -> Result<Self> {
        let directory = cache.directory(
            &format!("images/{:016x}", base_digest(&sysroot)?),
            |staging| {
                let archive = base_archive(&sysroot, more)?;
                write_archive(&archive, &staging.join("base.cpio"))
            },
        )?;
        Ok(Self {
            base: directory.join("base.cpio"),
            sysroot,
        })
    }

    /// Writes the initramfs of one run to `path`.
    pub(crate) fn write(&self, kernel: &Kernel, overlay: &Overlay<'_>, path: &Path) -> Result<()> {
        let mut archive = Archive::default();
        for program in overlay.programs {
            self.add_program(
                &mut archive,
                program,
                &format!("usr/bin/{}", file_name(program)?),
            )?;
        }
        for shared in overlay.share {
            self.add_program(&mut archive, shared, &format!("mnt/{}", file_name(shared)?))?;
        }
        add_file(
            &mut archive,
            &kernel.config,
            &format!("boot/config-{}", kernel.version),
        )?;
        archive.file("command", script(overlay.command)?, false);

        fs::copy(&self.base, path)
            .with_context(|| format!("cannot copy the image to {}", path.display()))?;
        let mut writer = BufWriter::new(
            File::options()
                .append(true)
                .open(path)
                .with_context(|| format!("cannot append to {}", path.display()))?,
        );
        archive
            .write_to(&mut writer)
            .and_then(|()| writer.flush())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn add_program(&self, archive: &mut Archive, host: &Path, guest: &str) -> Result<()> {
        add_program(archive, &self.sysroot, host, guest)
    }
}

/// Changes with everything that the base archive is made from, this code included.
fn base_digest(sysroot: &Sysroot) -> Result<u64> {
    let mut text = format!(
        "{TEXTS:?}{INIT}{}{}",
        include_str!("image.rs"),
        include_str!("cpio.rs")
    );
    text.push_str(&sysroot.root().to_string_lossy());
    // The C library is this machine's own, and is replaced by upgrades.
    for library in
        sysroot.libraries(&std::env::current_exe().context("cannot find this program")?)?
    {
        let metadata =
            fs::metadata(&library).with_context(|| format!("cannot read {}", library.display()))?;
        let changed = metadata
            .modified()
            .context("this file system keeps no times")?;
        write!(text, "{}{}{changed:?}", library.display(), metadata.len())?;
    }
    Ok(digest::of(text.as_bytes()))
}

fn base_archive(sysroot: &Sysroot, more: &[&str]) -> Result<Archive> {
    let mut archive = Archive::default();
    for directory in DIRECTORIES {
        archive.directory(directory);
    }
    for directory in ["bin", "lib", "lib64", "sbin"] {
        archive.symlink(directory, &format!("usr/{directory}"));
    }
    // The kernel opens it as init's input and output before anything is mounted.
    archive.char_device("dev/console", 5, 1);
    archive.symlink("etc/mtab", "/proc/self/mounts");
    for (path, text) in TEXTS {
        archive.file(path, text.as_bytes().to_vec(), false);
    }
    archive.file("init", INIT.as_bytes().to_vec(), true);
    for name in PROGRAMS.iter().chain(more) {
        // Not every version of the packages has every one of them.
        let Some(host) = sysroot::program_in(sysroot, name) else {
            continue;
        };
        let guest = canonical(&sysroot.guest_path(&host).to_string_lossy());
        add_program(&mut archive, sysroot, &host, &guest)?;
    }
    archive.symlink("usr/bin/awk", "gawk");
    add_applets(&mut archive, sysroot)?;
    add_audit_rules(&mut archive, sysroot)?;
    Ok(archive)
}

/// Links every applet of busybox whose name is not taken by a real program.
fn add_applets(archive: &mut Archive, sysroot: &Sysroot) -> Result<()> {
    let busybox =
        sysroot::program_in(sysroot, "busybox").context("the guest's packages have no busybox")?;
    for applet in process::output(Command::new(busybox).arg("--list-full"))?.lines() {
        let path = canonical(applet);
        let name = path.rsplit('/').next().unwrap_or_default();
        let taken = ["usr/bin", "usr/sbin"]
            .iter()
            .any(|place| archive.contains(&format!("{place}/{name}")));
        if path.starts_with("usr/") && !taken {
            archive.symlink(&path, "/usr/bin/busybox");
        }
    }
    Ok(())
}

fn add_audit_rules(archive: &mut Archive, sysroot: &Sysroot) -> Result<()> {
    let samples = SAMPLE_RULES
        .iter()
        .map(|directory| sysroot.root().join(directory))
        .find(|directory| directory.is_dir())
        .context("the auditd package has no sample rules where we know them")?;
    for entry in
        fs::read_dir(&samples).with_context(|| format!("cannot list {}", samples.display()))?
    {
        let path = entry?.path();
        let name = file_name(&path)?;
        let (name, content) = match name.strip_suffix(".gz") {
            Some(name) => {
                let text = process::output(Command::new("gzip").arg("-dc").arg(&path))?;
                (name, text.into_bytes())
            }
            None => (name, read(&path)?),
        };
        for directory in String::from_utf8_lossy(&content)
            .lines()
            .filter_map(watched_directory)
        {
            archive.directory(&canonical(directory));
        }
        archive.file(&format!("usr/share/audit-rules/{name}"), content, false);
    }
    for name in ["audit-stop.rules", "rules.d/audit.rules"] {
        let path = sysroot.root().join("etc/audit").join(name);
        if path.is_file() {
            add_file(archive, &path, &format!("etc/audit/{name}"))?;
        }
    }
    Ok(())
}

/// The directory that must exist for the kernel to take this line of a rules file.
fn watched_directory(rule: &str) -> Option<&str> {
    let mut words = rule.split_whitespace();
    let path = words.find_map(|word| match word {
        "-w" => Some(""),
        _ => word
            .strip_prefix("path=")
            .or_else(|| word.strip_prefix("dir=")),
    })?;
    let (path, is_directory) = if path.is_empty() {
        let path = words.next()?;
        (path, path.ends_with('/'))
    } else {
        (path, rule.contains("dir="))
    };
    let directory = if is_directory {
        path.trim_end_matches('/')
    } else {
        path.rsplit_once('/')?.0
    };
    // A comment's prose and the pseudo file systems give nothing to make.
    let wanted = directory.len() > 1 && !rule.starts_with('#') && !directory.starts_with("/proc/");
    (wanted && directory.starts_with('/')).then_some(directory)
}

fn add_program(archive: &mut Archive, sysroot: &Sysroot, host: &Path, guest: &str) -> Result<()> {
    add_file(archive, host, guest)?;
    if !is_executable(host)? {
        return Ok(());
    }
    for library in sysroot.libraries(host)? {
        let guest = canonical(&sysroot.guest_path(&library).to_string_lossy());
        if !archive.contains(&guest) {
            archive.file(&guest, read(&library)?, true);
        }
    }
    Ok(())
}

fn add_file(archive: &mut Archive, host: &Path, guest: &str) -> Result<()> {
    archive.file(guest, read(host)?, is_executable(host)?);
    Ok(())
}

fn is_executable(path: &Path) -> Result<bool> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(metadata.permissions().mode() & 0o111 != 0)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn file_name(path: &Path) -> Result<&str> {
    path.file_name()
        .and_then(|name| name.to_str())
        .with_context(|| format!("{} has no name that a guest can use", path.display()))
}

fn write_archive(archive: &Archive, path: &Path) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut writer = BufWriter::new(File::create(path)?);
        archive.write_to(&mut writer)?;
        writer.flush()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Packages differ in whether they know that `/bin` and its like are links into `/usr` by now; in the guest they are.
fn canonical(path: &str) -> String {
    let path = path.trim_start_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    if ["bin", "lib", "lib64", "sbin"].contains(&first) {
        format!("usr/{path}")
    } else {
        path.to_owned()
    }
}

/// A script that makes the guest's shell run exactly this command, byte for byte.
fn script(command: &[OsString]) -> Result<Vec<u8>> {
    let words = command.iter().map(|word| word.as_bytes());
    let line = shlex::bytes::try_join(words).context("a command has a NUL byte")?;
    Ok([b"exec ", &*line, b"\n"].concat())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn directories_that_rules_need_are_found() {
        for (rule, directory) in [
            (
                "-w /etc/sysconfig/network -p wa -k x",
                Some("/etc/sysconfig"),
            ),
            ("-w /etc/selinux/ -p wa", Some("/etc/selinux")),
            (
                "-a always,exit -F arch=b64 -F path=/usr/bin/su -k x",
                Some("/usr/bin"),
            ),
            ("-a always,exit -F dir=/var/lib -F perm=w", Some("/var/lib")),
            ("## -w /nowhere/x", None),
            ("-D", None),
            ("-w /x", None),
        ] {
            assert_eq!(watched_directory(rule), directory, "{rule}");
        }
    }

    #[test]
    fn old_places_become_new_ones() {
        assert_eq!(canonical("/sbin/auditctl"), "usr/sbin/auditctl");
        assert_eq!(canonical("/usr/sbin/bpftool"), "usr/sbin/bpftool");
        assert_eq!(
            canonical("lib64/ld-linux-x86-64.so.2"),
            "usr/lib64/ld-linux-x86-64.so.2"
        );
        assert_eq!(canonical("linuxrc"), "linuxrc");
    }

    #[test]
    fn shell_runs_a_guests_command_byte_for_byte() {
        let words = [
            "",
            "a b",
            "it's",
            "$HOME `id` \"x\"",
            "new\nline",
            "*",
            "\\",
            "ümlaut",
            "-n",
            "!",
        ];
        let command: Vec<OsString> = ["printf", "%s\\0"]
            .iter()
            .chain(&words)
            .map(Into::into)
            .collect();
        let script = script(&command).expect("a script");
        let output = Command::new("sh")
            .arg("-c")
            .arg(OsStr::from_bytes(&script))
            .output()
            .expect("a shell");
        assert_eq!(output.stdout, (words.join("\0") + "\0").into_bytes());
    }
}
