//! `auditwatch recommend`: the limit that a load would have needed, from a recording or from now on.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::{
    output::{Destination, detail, explain as explain_failure},
    progress,
};
use crate::{
    cli::{Format, Policy, RecommendArgs},
    live::recording_file,
    recommend::{Options, explain, policy, recommend_runs},
    render::{json, recommendation, style::Detail},
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
    let mut runs = Vec::new();
    for path in &args.recordings {
        runs.push(
            recording_file::read_all(path, |_| Ok(()))
                .with_context(|| format!("cannot read {}", path.display()))?,
        );
    }
    if runs.is_empty() {
        runs.push(
            progress::watch(
                args.window,
                args.record.as_deref(),
                args.risk.accept_panic_risk,
            )
            .await?,
        );
    }
    let (summaries, runs): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
    let (place, answer) = recommend_runs(&runs, &wishes(args)).context("no run was measured")?;
    let evidence = &runs[place];
    let mut out = Destination::open(args.to.output.as_deref())?;
    explain_failure(if args.print.format() == Format::Json {
        json::tagged_line(&mut out, "recommendation", &answer)
    } else {
        let mut text = recommendation::block(
            &answer,
            out.style(args.print.color).with_detail(if args.explain {
                Detail::Full
            } else {
                detail(&args.detail)
            }),
        );
        if args.explain {
            text.push('\n');
            for step in explain(evidence, &answer) {
                text.push_str(&shown(&step).to_string());
                text.push('\n');
            }
        }
        out.text(&text)
    })?;
    let worst = summaries
        .iter()
        .max_by_key(|summary| summary.lost)
        .context("no run was measured")?;
    Ok(super::lost_status(worst))
}

/// What the options ask of the answer.
fn wishes(args: &RecommendArgs) -> Options {
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
    Options {
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
