//! `auditwatch recommend`: the limit that a load would have needed, from a recording or from now on.

use std::{io, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    recording_file,
    trace::{
        self,
        log::Log,
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
    render::{json, recommendation, style::Style},
    report::Summary,
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
        None => watch(args.window).await?,
    };
    let answer = recommend(&evidence, &wishes(args));
    let mut out = io::stdout();
    let written = if args.print.format() == Format::Json {
        json::line(&mut out, &answer)
    } else {
        let no_color = std::env::var("NO_COLOR").ok();
        let style = Style::new(args.print.color, no_color.as_deref(), &out);
        let mut text = recommendation::block(&answer, style);
        if args.explain {
            text.push('\n');
            for step in explain(&evidence, &answer) {
                text.push_str(&step);
                text.push('\n');
            }
        }
        io::Write::write_all(&mut out, text.as_bytes())
    };
    written.context("cannot write the answer")?;
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

/// Traces for as long as was asked for, or until a signal.
pub(super) async fn watch(window: Duration) -> Result<(Summary, Evidence)> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let facts = Facts::gather();
    super::ensure_audit(&facts)?;
    let wanted = Wanted {
        source: crate::cli::SourceChoice::Auto,
        attach: crate::plan::Preference::Auto,
        interval: INTERVAL,
        extent: probe::Extent {
            follows_command: false,
            talker_slots: probe::Extent::TALKER_SLOTS,
        },
        leave_out: &[],
    };
    let mut live = Live::start(wanted, &facts)?;
    trace::say(live.opening_words());
    live.settle().await?;
    let zero = live.zero()?;
    trace::say(vec![format!(
        "watching for {}; Ctrl-C ends it early",
        number::duration(u64::try_from(window.as_nanos()).unwrap_or(u64::MAX))
    )]);
    let mut log = Log::new(trace::begin(&live, &facts), zero, None);
    let end = tokio::time::Instant::now() + window;
    let mut ticks = tokio::time::interval(live.interval(INTERVAL));
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            () = tokio::time::sleep_until(end) => break,
            _ = ticks.tick() => {
                if let Some(sample) = live.sample()? {
                    log.push(sample);
                }
                if let Some(pause) = live.pause() {
                    ticks.reset_after(pause);
                }
            }
        }
    }
    log.push(live.last().await?);
    let notes = live.notes();
    let end = End {
        notes,
        command: None,
        consumer: trace::setup::consumer(log.auditd_pid()),
    };
    let (summary, evidence) = log.result(end);
    Ok((summary, evidence))
}

/// Time between samples.
const INTERVAL: Duration = Duration::from_secs(1);
