//! A trace of a given length. In: how long. Out: its summary, and the evidence behind the recommendation.
//!
//! It must not write to the terminal: it tells its caller of each step.

use std::{path::Path, time::Duration};

use anyhow::Result;
use tokio::time::Instant;

use super::{
    consumer,
    log::{self, Log},
    recorder::Recorder,
    signals::Signals,
    source::{INTERVAL, Live, Wanted},
};
use crate::{
    kernel::{cmdline::AuditBoot, facts::Facts},
    probe::ProbeOptions,
    recommend::model::evidence::Evidence,
    trace::{
        recording::End,
        report::{Interval, Summary},
    },
};

/// How far it is.
pub(crate) enum Step<'a> {
    /// The source is in place; what a reader should know of it.
    Ready(Vec<String>),
    /// It counts from here on.
    Counting,
    /// An interval has ended.
    Interval(&'a Interval),
    /// It counts no longer.
    Over,
}

/// Traces for as long as was asked for, or until a signal, and records it if a file is named. `told` hears of each step.
///
/// # Errors
/// When nothing can be measured here, or the recording cannot be written.
pub(crate) async fn watch(
    window: Duration,
    record: Option<&Path>,
    accept_panic_risk: bool,
    mut told: impl FnMut(Step<'_>),
) -> Result<(Summary, Evidence)> {
    let mut signals = Signals::watch()?;
    let facts = Facts::gather();
    AuditBoot::ensure_on(facts.boot.as_ref())?;
    let recorder = record.map(Recorder::create).transpose()?;
    if let Some(path) = record {
        signals.remove_if_never_begun(path);
    }
    let extent = ProbeOptions {
        follows_command: false,
        talker_slots: ProbeOptions::TALKER_SLOTS,
    };
    let wanted = Wanted::automatic(extent, accept_panic_risk);
    let mut live = Live::start(wanted, &facts)?;
    told(Step::Ready(live.opening_words()));
    live.settle().await?;
    let zero = live.zero()?;
    signals.launch();
    signals.launched();
    told(Step::Counting);
    let mut log = Log::new(log::begin(&live, &facts), zero, recorder);
    let end = Instant::now() + window;
    let mut ticks = tokio::time::interval(live.interval(INTERVAL));
    loop {
        tokio::select! {
            _ = signals.next() => break,
            () = tokio::time::sleep_until(end) => break,
            _ = ticks.tick() => {
                if let Some(sample) = live.sample()? {
                    told(Step::Interval(&log.push(sample)));
                }
                live.tend(INTERVAL)?;
                if let Some(pause) = live.pause() {
                    ticks.reset_after(pause);
                }
            }
        }
    }
    told(Step::Over);
    log.push(live.last().await?);
    let notes = live.notes();
    let own = live.detach().await?;
    let end = End {
        notes,
        command: None,
        consumer: consumer::consumer(log.auditd_pid()),
        own,
        load_has_ended: false,
    };
    let (summary, evidence, written) = log.result(end);
    written?;
    Ok((summary, evidence))
}
