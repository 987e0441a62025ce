//! Looking on: what is lost and who waits, before a change and after it.
//!
//! In: the host. Out: two [`Window`]s. It changes nothing; whether the change is taken back is
//! decided by who called it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    change::{regression::Window, writers},
    kernel::facts::Facts,
    live::{
        log::{self, Log},
        source::{INTERVAL, Live, Wanted},
    },
    probe::ProbeOptions,
    trace::report::Interval,
};

/// Longest look before the change.
pub(super) const LOOK_BEFORE: Duration = Duration::from_secs(10);

/// A trace that goes on while the change is made.
pub(super) struct Onlooker {
    live: Live,
    log: Log,
}

impl Onlooker {
    /// Begins to count.
    pub(super) async fn start(facts: &Facts, accept_panic_risk: bool) -> Result<Self> {
        let wanted = Wanted::automatic(ProbeOptions::default(), accept_panic_risk);
        let mut live = Live::start(wanted, facts)?;
        live.settle().await?;
        let zero = live.zero()?;
        let log = Log::new(log::begin(&live, facts), zero, None);
        Ok(Self { live, log })
    }

    /// Stops to look on.
    pub(super) async fn end(mut self) -> Result<()> {
        self.live.detach().await.map(drop)
    }

    /// Counts for so long, or until a signal; whether it was a signal.
    pub(super) async fn window(&mut self, length: Duration) -> Result<(Window, bool)> {
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
        let mut window = Window::default();
        let mut waiting_ns = 0;
        let end = tokio::time::Instant::now() + length;
        let mut interrupted = false;
        loop {
            let now = tokio::time::Instant::now();
            if interrupted || now >= end {
                break;
            }
            let step = self.live.interval(INTERVAL).min(end - now);
            tokio::select! {
                _ = interrupt.recv() => interrupted = true,
                _ = terminate.recv() => interrupted = true,
                () = tokio::time::sleep(step) => {}
            }
            if let Some(sample) = self.live.sample()? {
                waiting_ns = add(&mut window, &self.log.push(sample));
            }
        }
        // Whoever waits at the end has not been counted yet.
        window.stalled_ns = window.stalled_ns.map(|ns| ns + waiting_ns);
        window.available_bytes = writers::available_bytes();
        Ok((window, interrupted))
    }
}

/// Adds an interval; returns what those who wait at its end have waited in it at most, ns.
fn add(window: &mut Window, interval: &Interval) -> u64 {
    let first = window.duration_ns == 0;
    let sum = |total: Option<u64>, more: Option<u64>| match (total, more) {
        (None, more) if first => more,
        (Some(total), Some(more)) => Some(total + more),
        _ => None,
    };
    window.attempted = sum(window.attempted, interval.ledger.attempted);
    window.lost = sum(window.lost, interval.lost);
    window.stalled_ns = sum(
        window.stalled_ns,
        interval.stalls.as_ref().map(|stalls| stalls.total_ns),
    );
    window.duration_ns += interval.duration_ns;
    let waiting = interval.stalls.as_ref().map_or(0, |stalls| stalls.waiting);
    waiting.saturating_mul(interval.duration_ns)
}
