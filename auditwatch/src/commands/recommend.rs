//! `auditwatch recommend`: the limit that a load would have needed, from a recording or from now on.

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::time::Instant;

use super::{
    output::{Destination, explain as explain_failure},
    recording_file, terminal,
    trace::{
        self,
        log::Log,
        recorder::Recorder,
        signals::Signals,
        source::{Live, Wanted},
    },
};
use crate::{
    cli::{Format, Policy, RecommendArgs},
    kernel::facts::Facts,
    model::evidence::Evidence,
    number, probe,
    recommendation::{Wishes, explain, policy, recommend},
    recording::End,
    render::{json, recommendation},
    report::{Interval, Summary},
    untrusted::shown,
};

/// Runs the command.
///
/// # Errors
/// When the recording cannot be read, or nothing can be measured here.
pub fn run(args: &RecommendArgs) -> Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?
        .block_on(answer(args))
}

async fn answer(args: &RecommendArgs) -> Result<ExitCode> {
    let (summary, evidence) = match &args.recording {
        Some(path) => recording_file::read_all(path, |_| Ok(()))
            .with_context(|| format!("cannot read {}", path.display()))?,
        None => {
            watch(
                args.window,
                args.record.as_deref(),
                args.risk.accept_panic_risk,
            )
            .await?
        }
    };
    let answer = recommend(&evidence, &wishes(args));
    let mut out = Destination::open(args.to.output.as_deref())?;
    explain_failure(if args.print.format() == Format::Json {
        json::tagged_line(&mut out, "recommendation", &answer)
    } else {
        let mut text = recommendation::block(&answer, out.style(args.print.color));
        if args.explain {
            text.push('\n');
            for step in explain(&evidence, &answer) {
                text.push_str(&shown(&step).to_string());
                text.push('\n');
            }
        }
        out.text(&text)
    })?;
    Ok(super::lost_status(&summary))
}

/// What the options ask of the answer.
fn wishes(args: &RecommendArgs) -> Wishes {
    let policy = args.policy.map(|policy| {
        (
            policy.least_limit(),
            format!("the policy {} ({})", policy.name(), rule(policy)),
        )
    });
    let asked = args.floor.map(|floor| (floor, format!("--floor {floor}")));
    let (floor, floor_reason) = policy
        .into_iter()
        .chain(asked)
        .max_by_key(|&(floor, _)| floor)
        .unzip();
    Wishes {
        headroom: args.headroom,
        memory_budget_bytes: args.memory_budget,
        over_budget: false,
        floor,
        floor_reason,
    }
}

/// The rule of a baseline that asks for a limit.
const fn rule(policy: Policy) -> &'static str {
    match policy {
        Policy::Cis => policy::CIS,
        Policy::Stig => policy::STIG,
    }
}

/// Traces for as long as was asked for, or until a signal, and records it if a file is named.
pub(super) async fn watch(
    window: Duration,
    record: Option<&Path>,
    accept_panic_risk: bool,
) -> Result<(Summary, Evidence)> {
    let mut signals = Signals::watch()?;
    let facts = Facts::gather();
    super::ensure_audit(&facts)?;
    let recorder = record.map(Recorder::create).transpose()?;
    if let Some(path) = record {
        signals.remove_if_never_begun(path);
    }
    let wanted = Wanted {
        source: crate::cli::SourceChoice::Auto,
        attach: crate::plan::Preference::Auto,
        interval: INTERVAL,
        extent: probe::Extent {
            follows_command: false,
            talker_slots: probe::Extent::TALKER_SLOTS,
        },
        leave_out: &[],
        accept_panic_risk,
    };
    let mut live = Live::start(wanted, &facts)?;
    trace::say(live.opening_words());
    live.settle().await?;
    let zero = live.zero()?;
    signals.launch();
    signals.launched();
    trace::say(vec![format!(
        "watching for {}; Ctrl-C ends it early",
        number::duration(u64::try_from(window.as_nanos()).unwrap_or(u64::MAX))
    )]);
    let mut log = Log::new(trace::begin(&live, &facts), zero, recorder);
    let mut progress = Progress::new(window);
    let end = Instant::now() + window;
    let mut ticks = tokio::time::interval(live.interval(INTERVAL));
    loop {
        tokio::select! {
            _ = signals.next() => break,
            () = tokio::time::sleep_until(end) => break,
            _ = ticks.tick() => {
                if let Some(sample) = live.sample()? {
                    progress.show(&log.push(sample));
                }
                live.tend(INTERVAL)?;
                if let Some(pause) = live.pause() {
                    ticks.reset_after(pause);
                }
            }
        }
    }
    drop(progress);
    log.push(live.last().await?);
    let notes = live.notes();
    let own = live.detach().await?;
    let end = End {
        notes,
        command: None,
        consumer: trace::setup::consumer(log.auditd_pid()),
        own,
    };
    let (summary, evidence, written) = log.result(end);
    written?;
    Ok((summary, evidence))
}

/// Time between samples.
const INTERVAL: Duration = Duration::from_secs(1);

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
            number::count(self.attempts),
            number::plural(self.attempts, "record"),
            number::count(self.lost),
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
