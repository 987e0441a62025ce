//! The commands: each reads options, wires the modules together, and writes.

pub mod apply;
pub mod bench;
pub mod compare;
pub mod diagnose;
pub mod doctor;
mod executor;
pub mod help_files;
pub mod history;
mod log_source;
mod output;
mod progress;
pub mod recommend;
pub mod replay;
pub mod rescue;
pub mod rules_view;
pub mod status;
mod terminal;
pub mod trace;
pub mod undo;

use std::process::ExitCode;

pub use self::output::is_closed_pipe;
use crate::trace::report::Summary;

/// Exit status of a trace that saw records being lost.
const LOST: u8 = 3;

/// The exit status that a trace's findings call for.
fn lost_status(summary: &Summary) -> ExitCode {
    if summary.lost.is_some_and(|lost| lost > 0) {
        ExitCode::from(LOST)
    } else {
        ExitCode::SUCCESS
    }
}
