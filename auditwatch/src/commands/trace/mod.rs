//! `auditwatch trace`: samples over time, a line each interval, a summary last.

mod host;
mod output;
mod source;
mod workload;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::MissedTickBehavior,
};

use self::{output::Output, source::Live, workload::Workload};
use crate::{cli::TraceArgs, kernel::facts::Facts, render::verdict, timeline::Timeline};

/// Exit status of a trace that saw records being lost.
const LOST: u8 = 3;

/// Runs the command. `started` is when the process began.
///
/// # Errors
/// When nothing can be measured, the command cannot be started, or the output
/// cannot be written.
pub fn run(args: &TraceArgs, started: Instant) -> Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?
        .block_on(trace(args, started))
}

async fn trace(args: &TraceArgs, started: Instant) -> Result<ExitCode> {
    // From here on a signal ends the trace with its summary.
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;

    let facts = Facts::gather();
    super::ensure_audit(&facts)?;
    let mut live = Live::start(args, &facts)?;
    let mut output = Output::new(args);
    Output::begin(&live);
    live.settle().await?;
    let zero = live.zero()?;
    let startup = started.elapsed();
    let mut timeline = Timeline::new(host::host(&facts), zero);
    let mut workload = Workload::start(&args.command)?;

    let mut ticks = tokio::time::interval(live.interval(args.interval));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let end = args
        .duration
        .map(|duration| tokio::time::Instant::now() + duration);
    let mut broken = None;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {
                if workload.interrupted() { break }
            }
            _ = terminate.recv() => {
                workload.terminate();
                if !workload.is_running() { break }
            }
            () = until(end) => break,
            done = workload.ended() => {
                done?;
                break;
            }
            _ = ticks.tick() => {
                if broken.is_none() && let Some(sample) = live.sample()? {
                    let interval = timeline.push(sample);
                    // A command that is being traced runs to its end, whatever
                    // becomes of the output.
                    if let Err(error) = output.interval(&interval) {
                        broken = Some(error);
                        if !workload.is_running() { break }
                    }
                }
                if let Some(pause) = live.pause() {
                    ticks.reset_after(pause);
                }
            }
        }
    }
    let last = live.last().await?;
    let interval = timeline.push(last);
    let mut summary = timeline.summary(live.hooks(), live.reason(), live.notes());
    summary.startup_ns = Some(nanoseconds(startup));
    if let Some(error) = broken {
        return Err(error);
    }
    output.interval(&interval)?;
    output.summary(&summary)?;
    Ok(workload.status().unwrap_or_else(|| {
        if verdict::lost(&summary) > 0 {
            ExitCode::from(LOST)
        } else {
            ExitCode::SUCCESS
        }
    }))
}

async fn until(end: Option<tokio::time::Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
