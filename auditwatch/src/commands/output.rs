//! Where a trace or a replay goes: lines on stdout, in the format that was asked
//! for.

use std::io::{self, ErrorKind, IsTerminal as _, Stdout, Write as _};

use anyhow::{Result, anyhow};

use crate::{
    cli::{Format, PrintArgs},
    render::{json, style::Style, table},
    report::{Interval, Summary},
};

/// Lines between two heads on a terminal.
const LINES_A_HEAD: u32 = 20;

/// The output of one trace.
pub(super) struct Output {
    /// What is written, for errors: a trace, a replay.
    of: &'static str,
    out: Stdout,
    format: Format,
    style: Style,
    terminal: bool,
    lines: u32,
    /// Talkers in the table.
    top: usize,
}

impl Output {
    /// An output as the options ask for; `of` says what is written.
    pub(super) fn new(of: &'static str, print: &PrintArgs) -> Self {
        let out = io::stdout();
        let no_color = std::env::var("NO_COLOR").ok();
        Self {
            of,
            style: Style::new(print.color, no_color.as_deref(), &out),
            terminal: out.is_terminal(),
            format: print.format(),
            out,
            lines: 0,
            top: print.top,
        }
    }

    /// Writes one interval.
    pub(super) fn interval(&mut self, interval: &Interval) -> Result<()> {
        let written = match self.format {
            Format::Json => json::line(&mut self.out, interval),
            Format::Table => {
                let mut text = String::new();
                if self.lines == 0 || (self.terminal && self.lines.is_multiple_of(LINES_A_HEAD)) {
                    text.push_str(&table::head(self.style));
                }
                text.push_str(&table::interval(interval, self.style));
                self.write(&text)
            }
        };
        self.lines += 1;
        self.explain(written)
    }

    /// Writes the summary.
    pub(super) fn summary(&mut self, summary: &Summary) -> Result<()> {
        let written = match self.format {
            Format::Json => json::line(&mut self.out, summary),
            Format::Table => {
                let text = format!("\n{}", table::summary(summary, self.top, self.style));
                self.write(&text)
            }
        };
        self.explain(written)
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn explain(&self, written: io::Result<()>) -> Result<()> {
        written.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => {
                anyhow!(
                    "whoever read the output closed it, so the {} ended early",
                    self.of
                )
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                anyhow!("cannot write the output: {error}; make room, or send the output elsewhere")
            }
            _ => anyhow!("cannot write the output: {error}"),
        })
    }
}
