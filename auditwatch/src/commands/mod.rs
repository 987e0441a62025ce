//! The commands: each reads options, wires the modules together, and writes.

pub mod apply;
pub mod bench;
mod changing;
pub mod compare;
pub mod diagnose;
pub mod doctor;
pub mod help_files;
pub mod history;
mod kernel_now;
mod log_source;
mod output;
pub mod recommend;
mod recording_file;
pub mod replay;
pub mod rescue;
pub mod rules_view;
pub mod status;
mod terminal;
pub mod trace;
pub mod undo;

use std::process::ExitCode;

use anyhow::{Result, ensure};

pub use self::output::is_closed_pipe;
use crate::{
    kernel::{cmdline::AuditBoot, facts::Facts},
    report::Summary,
};

/// Exit status of a trace that saw records being lost.
const LOST: u8 = 3;

/// Ends a command early on a host that makes no records at all.
fn ensure_audit(facts: &Facts) -> Result<()> {
    ensure_booted_with_audit(facts.boot.as_ref())
}

/// The same by the boot options alone.
fn ensure_booted_with_audit(boot: Option<&AuditBoot>) -> Result<()> {
    ensure!(
        !boot.is_some_and(|boot| boot.off),
        "auditing is off until reboot: the kernel was booted with audit=0; remove that from its command \
         line and reboot"
    );
    Ok(())
}

/// The exit status that a trace's findings call for.
fn lost_status(summary: &Summary) -> ExitCode {
    if summary.lost.is_some_and(|lost| lost > 0) {
        ExitCode::from(LOST)
    } else {
        ExitCode::SUCCESS
    }
}
