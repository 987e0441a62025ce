//! `auditwatch trace`: samples over time, a line each interval, a summary last.

mod slow_notice;
mod workload;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::time::MissedTickBehavior;

use self::{
    slow_notice::SlowNotice,
    workload::{CommandOutput, Workload},
};
use super::output::{self, Destination, Output, say};
use crate::{
    cli::{Format, TraceArgs},
    kernel::{cmdline::AuditBoot, facts::Facts},
    live::{
        consumer,
        log::{Log, begin},
        recorder::Recorder,
        signals::Signals,
        source::{Live, Wanted},
    },
    probe::ProbeOptions,
    trace::{
        command_cost::CommandTimes,
        recording::{Begin, End},
        report::Summary,
    },
};

/// To change code that runs, the kernel waits until each task has slept once, and
/// `kauditd` does not as long as the queue never empties.
const SLOW_START: &str = "still attaching BPF programs; nothing is counted yet. The kernel waits until each task has \
     slept once, and kauditd does not sleep until its queue is empty. --attach kprobe does not wait";
const SLOW_END: &str = "still detaching BPF programs; the summary follows. The kernel waits until each task has \
     slept once, and kauditd does not sleep until its queue is empty";

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
    // Whatever comes before it counts can be ended at once: nothing is owed for it.
    let mut signals = Signals::watch()?;
    let remark = |lines| {
        if !args.quiet {
            say(lines);
        }
    };
    // Nobody is to wait for the hooks to learn of a typing error.
    if let Err(refusal) = workload::find(&args.command) {
        say(vec![refusal.to_string()]);
        return Ok(refusal.status());
    }
    let facts = Facts::gather();
    AuditBoot::ensure_on(facts.boot.as_ref())?;
    let destination = Destination::open(args.to.output.as_deref())?;
    let recorder = args.record.as_deref().map(Recorder::create).transpose()?;
    if let Some(path) = &args.record {
        signals.remove_if_never_begun(path);
    }
    let notice = SlowNotice::with(SLOW_START);
    let mut live = Live::start(wanted(args), &facts)?;
    drop(notice);
    remark(live.opening_words());
    live.settle().await?;
    let zero = live.zero()?;
    signals.launch();
    let mut log = Log::new(
        Begin {
            startup_ns: nanoseconds(started.elapsed()),
            ..begin(&live, &facts)
        },
        zero,
        recorder,
    );
    let mut output = Output::new(destination, &args.print, &args.detail);
    let mut workload = match Workload::start(&args.command, command_output(args)) {
        Ok(workload) => workload,
        Err(refusal) => {
            say(vec![refusal.to_string()]);
            return Ok(refusal.status());
        }
    };
    signals.launched();

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
            arrived = signals.next() => {
                if workload.signalled(&arrived) { break }
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
                    failure = step(&mut live, &mut log, &mut output, every).err();
                    if failure.is_some() && !workload.is_running() { break }
                }
                if let Some(pause) = live.pause() {
                    ticks.reset_after(pause);
                }
            }
        }
    }
    let finished = finish(&mut live, log, &mut output, workload.times(), failure).await;
    drop(live);
    remark(workload.failure().into_iter().collect());
    match finished {
        Ok(summary) => Ok(workload
            .status()
            .unwrap_or_else(|| super::lost_status(&summary))),
        // The command's own failure goes before ours.
        Err(error) => match workload.status() {
            None => Err(error),
            Some(status) => {
                if !output::is_closed_pipe(&error) {
                    say(vec![format!("{error:#}")]);
                }
                Ok(status)
            }
        },
    }
}

/// What the options ask of the source.
fn wanted(args: &TraceArgs) -> Wanted<'_> {
    Wanted {
        source: args.source,
        attach: args.attach,
        interval: args.interval,
        extent: ProbeOptions {
            follows_command: !args.command.is_empty(),
            talker_slots: if args.no_talkers {
                0
            } else {
                args.talker_slots
            },
        },
        leave_out: &args.leave_out,
        accept_panic_risk: args.risk.accept_panic_risk,
    }
}

/// Where the command may write: never between lines of JSON.
fn command_output(args: &TraceArgs) -> CommandOutput {
    if args.print.format() == Format::Json && args.to.output.is_none() {
        CommandOutput::Stderr
    } else {
        CommandOutput::Stdout
    }
}

/// Takes a sample, where it is time for one, and then does what no sample is to wait for.
fn step(live: &mut Live, log: &mut Log, output: &mut Output, every: Duration) -> Result<()> {
    if let Some(sample) = live.sample()? {
        output.interval(&log.push(sample))?;
    }
    live.tend(every)
}

/// Ends the trace with its summary, also after something failed.
async fn finish(
    live: &mut Live,
    mut log: Log,
    output: &mut Output,
    command: Option<CommandTimes>,
    failure: Option<anyhow::Error>,
) -> Result<Summary> {
    let failure = match failure {
        Some(error) => Some(error),
        None => match live.last().await {
            Ok(last) => output.interval(&log.push(last)).err(),
            Err(error) => Some(error),
        },
    };
    let mut notes = live.notes();
    notes.extend(
        failure
            .as_ref()
            .map(|error| format!("the trace ended early: {error:#}")),
    );
    let consumer = consumer::consumer(log.auditd_pid());
    let notice = SlowNotice::with(SLOW_END);
    let own = live.detach().await;
    drop(notice);
    notes.extend(
        own.as_ref()
            .err()
            .map(|error| format!("cannot detach the BPF programs cleanly: {error:#}")),
    );
    let (summary, recorded) = log.end(End {
        notes,
        command,
        consumer,
        own: own.ok().flatten(),
        load_has_ended: false,
    });
    let written = output.summary(&summary);
    // Where the output is what failed, the summary found the same.
    match failure {
        Some(error) => Err(error),
        None => written.and(recorded).map(|()| summary),
    }
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
