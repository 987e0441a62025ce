//! Where logs come from: a file, standard input, this host's /dev/kmsg, the mounted disk of another host.
//!
//! In: what was asked for. Out: [`Logs`]. What cannot be read here is named, with what reads it.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, ErrorKind, Read},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use self::{content::read, rotation::families};
use crate::{
    diagnosis::{Origin, Reading, Source},
    untrusted::{Untrusted, shell_word},
};

mod content;
mod disk;
mod rotation;
mod short_texts;

const KMSG: &str = "/dev/kmsg";
/// The name of the distribution.
const OS_RELEASE: &str = "/etc/os-release";
/// What is taken of a file at once, bytes.
const PIECE: usize = 256 << 10;
/// Longest record of /dev/kmsg, bytes (`PRINTK_MESSAGE_MAX`, kernel/printk/internal.h, is 2048; older ones 8192).
const KMSG_RECORD: usize = 16 << 10;

/// Logs, and what a reader should know of them.
#[derive(Debug, Default)]
pub(super) struct Logs {
    /// What they tell, one for each.
    pub sources: Vec<Source>,
    /// What was not read, and the like.
    pub notes: Vec<String>,
    /// Whether one of them ends too early.
    pub is_cut: bool,
    /// Where they are from.
    pub origin: Origin,
}

/// Files; `-` is standard input. Rotated files of one log follow each other, oldest first.
pub(super) fn of_files(paths: &[PathBuf]) -> Result<Logs> {
    if let [path] = paths
        && path == Path::new(KMSG)
    {
        return of_this_host();
    }
    let mut logs = Logs::default();
    let names: Vec<OsString> = paths.iter().map(|path| path.clone().into()).collect();
    for family in families(&names) {
        let shown = match family.files.as_slice() {
            [file] => Untrusted::from_os(file).into_raw(),
            _ => family.name,
        };
        let mut reading = Reading::new(&shown);
        for file in &family.files {
            of_file(Path::new(file), &mut reading, &mut logs)?;
            reading.break_line();
        }
        logs.sources.push(reading.end());
    }
    Ok(logs)
}

fn of_file(path: &Path, reading: &mut Reading, logs: &mut Logs) -> Result<()> {
    let extent = if path == Path::new("-") {
        read(BufReader::new(io::stdin().lock()), "FILE", reading)
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
        read(
            BufReader::with_capacity(PIECE, file),
            &shell_word(path),
            reading,
        )
        .with_context(what)?
    };
    logs.is_cut |= extent.is_cut;
    logs.notes.extend(extent.notes(&path.display().to_string()));
    Ok(())
}

/// Whether standard input is a pipe or a file, as in `dmesg | auditwatch diagnose`.
pub(super) fn is_piped() -> bool {
    rustix::fs::fstat(io::stdin()).is_ok_and(|found| {
        let kind = rustix::fs::FileType::from_raw_mode(found.st_mode);
        kind.is_fifo() || kind.is_file()
    })
}

/// The logs on the disk of a host that does not run.
pub(super) fn of_disk(path: &Path) -> Result<Logs> {
    disk::of_disk(path)
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
        ..Logs::default()
    })
}
