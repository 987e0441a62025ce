//! Where a report goes: stdout or the file that `--output` names; lines of a trace or a replay in
//! the format that was asked for.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, IsTerminal as _, Stdout, Write},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
};

use anyhow::{Context as _, Error, Result, anyhow, bail};
use clap::ColorChoice;

use super::terminal;
use crate::{
    cli::{DetailArgs, Format, PrintArgs},
    render::{
        json,
        live_table::LiveTable,
        style::{Detail, Style},
        summary,
    },
    trace::report::{Interval, Summary},
    untrusted::message,
};

/// Lines between two heads on a terminal.
const LINES_A_HEAD: u32 = 20;

/// Says on stderr what a reader should know. It is a courtesy: a closed stderr
/// does not end a trace.
pub(super) fn say(lines: Vec<String>) {
    for line in lines {
        let _ = writeln!(io::stderr(), "auditwatch: {}", message(&line));
    }
}

/// Stdout, or a file.
pub(super) enum Destination {
    /// Stdout.
    Stdout(Stdout),
    /// A file, empty at first.
    File(File),
}

impl Destination {
    /// Opens the file, or stdout if none is named. A regular file that exists is overwritten, as
    /// by `strace -o`; nothing is written to a directory or to a block device.
    ///
    /// # Errors
    /// When the file cannot be written to.
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Stdout(io::stdout()));
        };
        let shown = path.display();
        let cannot = || format!("cannot write to {shown}");
        if fs::metadata(path).is_ok_and(|found| found.file_type().is_block_device()) {
            bail!("cannot write to {shown}: it is a block device; use a regular file");
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(path)
            .with_context(cannot)?;
        Ok(Self::File(file))
    }

    /// Whether it is a terminal.
    pub(super) fn is_terminal(&self) -> bool {
        match self {
            Self::Stdout(out) => out.is_terminal(),
            Self::File(file) => file.is_terminal(),
        }
    }

    /// How text looks there.
    pub(super) fn style(&self, color: ColorChoice) -> Style {
        match self {
            Self::Stdout(out) => terminal::style(color, out),
            Self::File(file) => terminal::style(color, file),
        }
    }

    /// Writes a text, and hands it on at once.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        self.write_all(text.as_bytes())?;
        self.flush()
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(file) => file.flush(),
        }
    }
}

/// Whether something failed since the reader of the output closed it, as `head` does.
#[must_use]
pub fn is_closed_pipe(error: &Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|cause| cause.kind() == ErrorKind::BrokenPipe)
    })
}

/// Adds to an error of the output what failed.
pub(super) fn explain(written: io::Result<()>) -> Result<()> {
    written.map_err(|error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            anyhow!(
                "cannot write the output: {error}; free some space, or write to another file system"
            )
        }
        _ => Error::from(error).context("cannot write the output"),
    })
}

/// How much of a report the options ask for.
pub(super) const fn detail(args: &DetailArgs) -> Detail {
    if args.verbose {
        Detail::Full
    } else {
        Detail::Brief
    }
}

/// The output of one trace.
pub(super) struct Output {
    out: Destination,
    format: Format,
    color: ColorChoice,
    table: LiveTable,
    /// Talkers in the table.
    top: usize,
    detail: Detail,
}

impl Output {
    /// An output as the options ask for.
    pub(super) fn new(out: Destination, print: &PrintArgs, detail: &DetailArgs) -> Self {
        Self {
            color: print.color,
            table: LiveTable::with_head_every(out.is_terminal().then_some(LINES_A_HEAD)),
            format: print.format(),
            out,
            top: print.top,
            detail: self::detail(detail),
        }
    }

    /// Writes one interval.
    pub(super) fn interval(&mut self, interval: &Interval) -> Result<()> {
        let written = match self.format {
            Format::Json => json::line(&mut self.out, interval),
            Format::Table => {
                let text = self.table.row(interval, self.out.style(self.color));
                self.out.text(&text)
            }
        };
        explain(written)
    }

    /// Writes the summary.
    pub(super) fn summary(&mut self, summary: &Summary) -> Result<()> {
        let written = match self.format {
            Format::Json => json::line(&mut self.out, summary),
            Format::Table => {
                let style = self.out.style(self.color).with_detail(self.detail);
                let text = format!("\n{}", summary::summary(summary, self.top, style));
                self.out.text(&text)
            }
        };
        explain(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn existing_file_is_overwritten() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("out");
        fs::write(&path, "a long text of before").expect("a file");
        let mut out = Destination::open(Some(&path)).expect("it can be written");
        out.text("new\n").expect("it can be written");
        assert_eq!(fs::read_to_string(&path).expect("there"), "new\n");
    }

    #[test]
    fn directory_is_refused_by_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = Destination::open(Some(directory.path())).err();
        let error = format!("{:#}", error.expect("a directory"));
        assert!(error.contains("Is a directory"), "{error}");
        assert!(
            error.contains(&directory.path().display().to_string()),
            "{error}"
        );
    }

    #[test]
    fn closed_pipe_is_known_through_its_contexts() {
        let closed = io::Error::from(ErrorKind::BrokenPipe);
        let error = explain(Err(closed)).expect_err("it is an error");
        assert!(is_closed_pipe(&error.context("cannot replay x")));
        let full = io::Error::from(ErrorKind::StorageFull);
        assert!(!is_closed_pipe(&explain(Err(full)).expect_err("an error")));
    }
}
