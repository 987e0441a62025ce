//! `auditwatch trace`: samples over time, a line each interval, a summary last.

mod host;
mod output;
mod source;
mod workload;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::MissedTickBehavior,
};

use self::{output::Output, source::Live, workload::Workload};
use crate::{cli::TraceArgs, kernel::facts::Facts, timeline::Timeline};

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
    // Whoever runs it by nohup wants it to outlive the terminal.
    let mut hangup = if is_ignored(libc::SIGHUP) {
        None
    } else {
        Some(signal(SignalKind::hangup()).context("cannot watch for SIGHUP")?)
    };

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

    let every = live.interval(args.interval);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let began = ticks.tick().await;
    let end = args
        .duration
        .map(|duration| {
            began
                .checked_add(duration)
                .context("--duration is too long")
        })
        .transpose()?;
    // A command that is being traced runs to its end, whatever becomes of the trace.
    let mut failure: Option<anyhow::Error> = None;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {
                if workload.interrupted() { break }
            }
            _ = terminate.recv() => {
                if workload.terminated() { break }
            }
            () = received(hangup.as_mut()) => {
                if workload.terminated() { break }
            }
            () = until(end) => break,
            done = workload.ended() => {
                done?;
                break;
            }
            now = ticks.tick() => {
                // The last interval is to be a whole one.
                let last_is_near = end.is_some_and(|end| now + every / 10 >= end);
                if failure.is_none() && !last_is_near {
                    failure = step(&mut live, &mut timeline, &mut output).err();
                    if failure.is_some() && !workload.is_running() { break }
                }
                if let Some(pause) = live.pause() {
                    ticks.reset_after(pause);
                }
            }
        }
    }
    let lost = match finish(&mut live, &mut timeline, &mut output, startup, failure).await {
        Ok(lost) => lost,
        // The command's own failure goes before ours.
        Err(error) => {
            return match workload.status() {
                None => Err(error),
                Some(status) => {
                    let _ = writeln!(io::stderr(), "auditwatch: {error:#}");
                    Ok(status)
                }
            };
        }
    };
    Ok(workload.status().unwrap_or(if lost {
        ExitCode::from(LOST)
    } else {
        ExitCode::SUCCESS
    }))
}

/// Takes a sample, where it is time for one, and shows the interval.
fn step(live: &mut Live, timeline: &mut Timeline, output: &mut Output) -> Result<()> {
    match live.sample()? {
        Some(sample) => output.interval(&timeline.push(sample)),
        None => Ok(()),
    }
}

/// Ends the trace with its summary, also after a reading failed; returns whether
/// records were lost.
async fn finish(
    live: &mut Live,
    timeline: &mut Timeline,
    output: &mut Output,
    startup: Duration,
    mut failure: Option<anyhow::Error>,
) -> Result<bool> {
    let mut notes = live.notes();
    if failure.is_none() {
        match live.last().await {
            Ok(last) => output.interval(&timeline.push(last))?,
            Err(error) => failure = Some(error),
        }
    }
    if let Some(error) = &failure {
        notes.push(format!("the trace ended early: {error:#}"));
    }
    let mut summary = timeline.summary(live.hooks(), live.reason(), notes);
    summary.startup_ns = Some(nanoseconds(startup));
    let written = output.summary(&summary);
    match failure {
        // Where the output is what failed, the summary finds the same.
        Some(error) => Err(error),
        None => written.map(|()| summary.lost.is_some_and(|lost| lost > 0)),
    }
}

/// Waits for a signal; for ever where it is not watched for.
async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether this process was started with a signal ignored.
fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: the structure is plain data, for which zeroes are valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing is set; the kernel writes to `action`, which lives beyond
    // the call.
    let read = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    read == 0 && action.sa_sigaction == libc::SIG_IGN
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
