//! The logs on the disk of a host that does not run, or in the tree of a report (sos). In: its directory. Out: [`Logs`].

use std::{
    ffi::OsString,
    io::{BufReader, ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{Logs, PIECE, content::read, rotation::families};
use crate::{
    diagnosis::{Origin, Reading},
    files::root::Root,
    untrusted::shell_word,
};

/// Directories with logs, and the beginnings of the names that are read there.
const PLACES: [(&str, &[&str]); 6] = [
    ("/var/log", &NAMES),
    ("/var/log/audit", &["audit.log"]),
    ("/sos_commands/kernel", &["dmesg"]),
    ("/sos_commands/logs", &["journalctl", "dmesg"]),
    ("/var/lib/systemd/pstore", &["dmesg"]),
    ("/sys/fs/pstore", &["dmesg"]),
];
/// Directories with a directory for each crash.
const CRASHES: [&str; 2] = ["/var/crash", "/var/lib/systemd/pstore"];
/// Crashes that are read.
const MOST_CRASHES: usize = 64;
/// Beginnings of the names of /var/log that are read.
const NAMES: [&str; 7] = [
    "messages",
    "kern.log",
    "syslog",
    "dmesg",
    "cloud-init-output.log",
    "console",
    "boot.log",
];

/// The logs of a disk.
pub(super) fn of_disk(path: &Path) -> Result<Logs> {
    let root =
        Root::open(path).with_context(|| format!("cannot use {} as a root", path.display()))?;
    let mut logs = Logs {
        origin: Origin {
            root: Some(shell_word(path)),
            os_release: os_release(&root),
        },
        ..Logs::default()
    };
    for (directory, begins) in PLACES {
        let directory = Path::new(directory);
        let names = names(&root, directory, &mut logs);
        let names = beginning(&names, begins);
        for family in families(&names) {
            of_files(&root, directory, &family.name, &family.files, &mut logs);
        }
    }
    for crashes in CRASHES {
        of_crashes(&root, Path::new(crashes), 2, &mut logs);
    }
    let journal = Path::new("/var/log/journal");
    if root.names(journal).is_ok_and(|names| !names.is_empty()) {
        let journal = root.outside(journal);
        logs.notes.push(format!(
            "not read: the journal in {}; to read the last boot: journalctl --directory {} -k -o export | \
             auditwatch diagnose - (omit -k for all boots)",
            journal.display(),
            shell_word(&journal)
        ));
    }
    if logs.sources.is_empty() {
        let mut words = format!(
            "no readable log in {} (looked for {})",
            root.outside(Path::new("/var/log")).display(),
            NAMES.map(|name| format!("{name}*")).join(", ")
        );
        for note in &logs.notes {
            words.push_str("; ");
            words.push_str(note);
        }
        bail!(words);
    }
    Ok(logs)
}

/// The logs in the directories below one, so many levels deep.
fn of_crashes(root: &Root, directory: &Path, levels: u32, logs: &mut Logs) {
    if levels == 0 {
        return;
    }
    let found = names(root, directory, logs);
    for name in found.iter().take(MOST_CRASHES) {
        let directory = directory.join(name);
        let files = names(root, &directory, logs);
        let files = beginning(&files, &["dmesg", "vmcore-dmesg", "kexec-dmesg"]);
        if files.is_empty() {
            of_crashes(root, &directory, levels - 1, logs);
        } else {
            let shown = directory.display().to_string();
            of_files(root, &directory, &shown, &files, logs);
        }
    }
}

/// The names in a directory; most disks do not have all of them.
fn names(root: &Root, directory: &Path, logs: &mut Logs) -> Vec<OsString> {
    root.names(directory).unwrap_or_else(|error| {
        if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
            let directory = root.outside(directory);
            logs.notes
                .push(format!("not read: {}: {error}", directory.display()));
        }
        Vec::new()
    })
}

/// The names that begin like one of these, in order.
fn beginning(names: &[OsString], begins: &[&str]) -> Vec<OsString> {
    let mut found: Vec<OsString> = names
        .iter()
        .filter(|name| {
            let name = name.to_string_lossy();
            begins.iter().any(|begin| name.starts_with(begin))
        })
        .cloned()
        .collect();
    found.sort();
    found
}

/// The text of the disk's os-release, which is a link to /usr/lib on most.
fn os_release(root: &Root) -> Option<String> {
    ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|path| {
            let mut text = String::new();
            let file = root.open_regular(Path::new(path)).ok()?;
            file.take(64 << 10).read_to_string(&mut text).ok()?;
            Some(text)
        })
}

fn of_files(root: &Root, directory: &Path, name: &str, files: &[OsString], logs: &mut Logs) {
    let mut reading = Reading::new(name);
    let mut any = false;
    for file in files {
        let path: PathBuf = directory.join(file);
        let shown = root.outside(&path);
        let opened = root.open_regular(&path).map_err(anyhow::Error::from);
        // Empty files are usual on a disk.
        if opened
            .as_ref()
            .is_ok_and(|file| file.metadata().is_ok_and(|found| found.len() == 0))
        {
            any = true;
            continue;
        }
        match opened.and_then(|file| {
            read(
                BufReader::with_capacity(PIECE, file),
                &shell_word(&shown),
                &mut reading,
            )
        }) {
            Ok(extent) => {
                any = true;
                logs.notes
                    .extend(extent.notes(&shown.display().to_string()));
                // Files are cut at lines; one that is not does not run into the next.
                reading.break_line();
            }
            Err(error) => logs
                .notes
                .push(format!("not read: {}: {error:#}", shown.display())),
        }
    }
    if any {
        logs.sources.push(reading.end());
    }
}
