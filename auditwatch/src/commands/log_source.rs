//! Where logs come from: a file, standard input, this host's /dev/kmsg, the mounted disk of another host.
//!
//! In: what was asked for. Out: [`Logs`]. What cannot be read here is named, with what reads it.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, ErrorKind, Read},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use flate2::bufread::MultiGzDecoder;

use crate::{
    diagnosis::{Origin, Reading, Source},
    files::root::Root,
    live::recording_file,
    untrusted::{Untrusted, shell_word},
};

const KMSG: &str = "/dev/kmsg";
/// Where logs are on a disk.
const LOG_DIRECTORY: &str = "/var/log";
/// The name of the distribution.
const OS_RELEASE: &str = "/etc/os-release";
/// What is taken of a file at once, bytes.
const PIECE: usize = 256 << 10;
/// Longest record of /dev/kmsg, bytes (`PRINTK_MESSAGE_MAX`, kernel/printk/internal.h, is 2048; older ones 8192).
const KMSG_RECORD: usize = 16 << 10;

/// Beginnings of files that are read on a disk.
const NAMES: [&str; 7] = [
    "messages",
    "kern.log",
    "syslog",
    "dmesg",
    "cloud-init-output.log",
    "console",
    "boot.log",
];

/// Logs, and what a reader should know of them.
#[derive(Debug, Default)]
pub(super) struct Logs {
    /// What they tell, one for each.
    pub sources: Vec<Source>,
    /// What was not read, and the like.
    pub notes: Vec<String>,
    /// Where they are from.
    pub origin: Origin,
}

/// A file; `-` is standard input.
pub(super) fn of_file(path: &Path) -> Result<Logs> {
    if path == Path::new(KMSG) {
        return of_this_host();
    }
    let mut logs = Logs::default();
    let mut reading = Reading::new(Untrusted::from_os(path).as_raw());
    let whole = if path == Path::new("-") {
        read(BufReader::new(io::stdin().lock()), &mut reading)
            .context("cannot read standard input")?
    } else {
        let what = || format!("cannot read {}", path.display());
        if fs::metadata(path).with_context(what)?.is_dir() {
            bail!(
                "cannot read {}: it is a directory; for the disk of another host, use auditwatch diagnose --root {}",
                path.display(),
                shell_word(path)
            );
        }
        let file = File::open(path).with_context(what)?;
        read(BufReader::with_capacity(PIECE, file), &mut reading).with_context(what)?
    };
    if !whole {
        logs.notes.push(cut_short(&path.display().to_string()));
    }
    logs.sources.push(reading.end());
    Ok(logs)
}

/// What the kernel of this host still has of its messages.
pub(super) fn of_this_host() -> Result<Logs> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(KMSG)
        .with_context(|| {
            format!(
                "cannot open {KMSG} (needs root or CAP_SYSLOG); pass a log instead: \
                 dmesg | auditwatch diagnose -"
            )
        })?;
    let mut reading = Reading::new(KMSG);
    let mut notes = vec![format!(
        "{KMSG} holds only the latest messages: the kernel overwrites old ones, so earlier losses may be missing"
    )];
    let mut record = vec![0; KMSG_RECORD];
    let mut overwritten = 0_u64;
    loop {
        match file.read(&mut record) {
            Ok(0) => break,
            Ok(length) => reading.push(&record[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Overwritten while it was read: the next read goes on behind the hole.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => overwritten += 1,
            Err(error) => return Err(error).with_context(|| format!("cannot read {KMSG}")),
        }
    }
    if overwritten > 0 {
        notes.push(format!(
            "the kernel overwrote messages while {KMSG} was read ({overwritten} times)"
        ));
    }
    Ok(Logs {
        sources: vec![reading.end()],
        notes,
        origin: Origin {
            root: None,
            os_release: fs::read_to_string(OS_RELEASE).ok(),
        },
    })
}

/// The logs on the disk of a host that does not run.
pub(super) fn of_disk(path: &Path) -> Result<Logs> {
    let root =
        Root::open(path).with_context(|| format!("cannot use {} as a root", path.display()))?;
    let directory = Path::new(LOG_DIRECTORY);
    let shown = root.outside(directory);
    let names = root
        .names(directory)
        .with_context(|| format!("cannot list {}", shown.display()))?;
    let mut logs = Logs {
        origin: Origin {
            root: Some(shell_word(path)),
            os_release: os_release(&root),
        },
        ..Logs::default()
    };
    for family in families(&names) {
        of_family(&root, &family, &mut logs);
    }
    let journal = directory.join("journal");
    if root.names(&journal).is_ok_and(|names| !names.is_empty()) {
        let journal = root.outside(&journal);
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
            shown.display(),
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

/// A log and what it was rotated to, oldest first.
#[derive(Debug, PartialEq, Eq)]
struct Family {
    name: String,
    files: Vec<OsString>,
}

/// Puts rotated files behind each other: `messages-20210801`, `messages`; `kern.log.2.gz`, `kern.log.1`,
/// `kern.log`.
fn families(names: &[OsString]) -> Vec<Family> {
    let mut found: Vec<(String, Age, &OsString)> = names
        .iter()
        .filter_map(|name| {
            let text = name.to_string_lossy();
            let begins = NAMES.iter().any(|begin| text.starts_with(begin));
            begins.then(|| {
                let (family, age) = rotated(&text);
                (family.to_owned(), age, name)
            })
        })
        .collect();
    found.sort();
    let mut families: Vec<Family> = Vec::new();
    for (name, _, file) in found {
        match families.last_mut() {
            Some(family) if family.name == name => family.files.push(file.clone()),
            _ => families.push(Family {
                name,
                files: vec![file.clone()],
            }),
        }
    }
    families
}

/// How old a rotated file is; the oldest first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    Dated(u64),
    Numbered(std::cmp::Reverse<u64>),
    Current,
}

/// The log that a file belongs to, and its age.
fn rotated(name: &str) -> (&str, Age) {
    let plain = ["gz", "xz", "bz2", "zst"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending)?.strip_suffix('.'))
        .unwrap_or(name);
    if let Some((log, date)) = plain.rsplit_once('-')
        && date.len() >= 8
        && let Ok(date) = date.parse()
    {
        return (log, Age::Dated(date));
    }
    if let Some((log, number)) = plain.rsplit_once('.')
        && let Ok(number) = number.parse()
    {
        return (log, Age::Numbered(std::cmp::Reverse(number)));
    }
    (plain, Age::Current)
}

fn of_family(root: &Root, family: &Family, logs: &mut Logs) {
    let mut reading = Reading::new(&family.name);
    let mut any = false;
    for name in &family.files {
        let path = PathBuf::from(LOG_DIRECTORY).join(name);
        let shown = root.outside(&path).display().to_string();
        match root
            .open_regular(&path)
            .map_err(anyhow::Error::from)
            .and_then(|file| read(BufReader::with_capacity(PIECE, file), &mut reading))
        {
            Ok(whole) => {
                any = true;
                if !whole {
                    logs.notes.push(cut_short(&shown));
                }
                // Files are cut at lines; where one is not, it does not run into the next.
                reading.break_line();
            }
            Err(error) => logs.notes.push(format!("not read: {shown}: {error:#}")),
        }
    }
    if any {
        logs.sources.push(reading.end());
    }
}

fn cut_short(name: &str) -> String {
    format!("{name} ends in the middle of its compressed data; everything before that was read")
}

/// Reads a log to its end, compressed or not; whether it was whole.
fn read(mut log: impl BufRead, reading: &mut Reading) -> Result<bool> {
    let begin = log.fill_buf()?;
    if begin.starts_with(&[0x1f, 0x8b]) {
        return plain(MultiGzDecoder::new(log), reading);
    }
    if begin.starts_with(&recording_file::ZSTD_MAGIC) {
        return plain(zstd::stream::read::Decoder::with_buffer(log)?, reading);
    }
    if begin.starts_with(b"LPKSHHRH") {
        bail!(
            "it is a journal file; export it: journalctl --file FILE -o export | auditwatch diagnose -"
        );
    }
    for (magic, program) in [(&b"\xfd7zXZ\0"[..], "xz"), (b"BZh", "bzip2")] {
        if begin.starts_with(magic) {
            bail!(
                "it is compressed by {program}; decompress it: {program} -dc FILE | auditwatch diagnose -"
            );
        }
    }
    plain(log, reading)
}

fn plain(mut log: impl Read, reading: &mut Reading) -> Result<bool> {
    let mut piece = vec![0; PIECE];
    loop {
        match log.read(&mut piece) {
            Ok(0) => return Ok(true),
            Ok(length) => reading.push(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn rotated_files_follow_each_other() {
        let names: Vec<OsString> = [
            "kern.log",
            "kern.log.1",
            "kern.log.10.gz",
            "kern.log.2.gz",
            "lastlog",
            "messages",
            "messages-20210801.gz",
            "messages-20210808",
            "syslog.1",
        ]
        .map(OsString::from)
        .to_vec();
        let found: Vec<(String, Vec<String>)> = families(&names)
            .into_iter()
            .map(|family| {
                let files = family.files.iter();
                let files = files.map(|file| String::from_utf8_lossy(file.as_bytes()).into_owned());
                (family.name, files.collect())
            })
            .collect();
        let strings = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(
            found,
            [
                (
                    "kern.log".to_owned(),
                    strings(&["kern.log.10.gz", "kern.log.2.gz", "kern.log.1", "kern.log"])
                ),
                (
                    "messages".to_owned(),
                    strings(&["messages-20210801.gz", "messages-20210808", "messages"])
                ),
                ("syslog".to_owned(), strings(&["syslog.1"])),
            ]
        );
    }
}
