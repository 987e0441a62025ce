//! `auditwatch status`: the audit settings and what they mean.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result};

use crate::{
    kernel::{cmdline::AuditBoot, facts::Basics},
    live,
    render::{json, status},
};

/// Runs the command.
///
/// # Errors
/// When neither the kernel's memory nor netlink tells anything, or the output cannot be written.
pub fn run(as_json: bool) -> Result<ExitCode> {
    let basics = Basics::gather();
    AuditBoot::ensure_on(basics.boot.as_ref())?;
    let report = live::status::report(&basics)?;
    let mut out = io::stdout();
    if as_json {
        json::tagged_line(&mut out, "status", &report)
    } else {
        out.write_all(status::text(&report).as_bytes())
    }
    .context("cannot write the status")?;
    Ok(ExitCode::SUCCESS)
}
