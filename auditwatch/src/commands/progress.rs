//! A window that is watched, with a line on stderr that says how far it is.

use std::{
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use anyhow::Result;

use super::{output::say, terminal};
use crate::{
    live::window::{self, Step},
    recommend::model::evidence::Evidence,
    trace::report::{Interval, Summary},
    units,
};

/// Traces for as long as was asked for, or until a signal, and records it if a file is named.
///
/// # Errors
/// When nothing can be measured here, or the recording cannot be written.
pub(super) async fn watch(
    length: Duration,
    record: Option<&Path>,
    accept_panic_risk: bool,
) -> Result<(Summary, Evidence)> {
    let mut progress = None;
    window::watch(length, record, accept_panic_risk, |step| match step {
        Step::Ready(words) => say(words),
        Step::Counting => {
            say(vec![format!(
                "tracing for {}; Ctrl-C ends the trace early",
                units::duration(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX))
            )]);
            progress = Some(Progress::new(length));
        }
        Step::Interval(interval) => {
            if let Some(progress) = &mut progress {
                progress.show(interval);
            }
        }
        Step::Over => drop(progress.take()),
    })
    .await
}

/// A line on stderr that says how far the watch is, if stderr is a terminal that can rewrite it.
struct Progress {
    window: Duration,
    is_shown: bool,
    attempts: u64,
    lost: u64,
}

impl Progress {
    fn new(window: Duration) -> Self {
        Self {
            window,
            is_shown: terminal::stderr_takes_escapes(),
            attempts: 0,
            lost: 0,
        }
    }

    fn show(&mut self, interval: &Interval) {
        if !self.is_shown {
            return;
        }
        self.attempts += interval.ledger.attempted.unwrap_or(0);
        self.lost += interval.lost.unwrap_or(0);
        let elapsed = Duration::from_nanos(interval.at_ns).as_secs();
        // The terminal may be gone; the watch is not ended by that.
        let _ = write!(
            io::stderr(),
            "\r{elapsed} s of {} s, {} {}, {} lost\u{1b}[K",
            self.window.as_secs(),
            units::count(self.attempts),
            units::plural(self.attempts, "record"),
            units::count(self.lost),
        );
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}
