//! What `apply` is to set, and why: a number that was given, a recording's answer, or this host's.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{
    change::{journal::Why, preflight::Floor, regression::Window, writers},
    cli::apply::ApplyArgs,
    commands::progress,
    live::recording_file,
    recommend::{MEMORY_BUDGET_BYTES, Options, Verdict, recommend},
    trace::report::Summary,
    units::{bytes, count, duration},
};

/// What to set.
#[derive(Clone)]
pub(super) struct Choice {
    /// Backlog limit, records; `None` to leave it.
    pub(super) limit: Option<u32>,
    /// Files that bring a higher limit stay as they are: this one is the least that suffices.
    pub(super) is_least: bool,
    /// Why.
    pub(super) why: Why,
    /// What was counted on this host while the answer was sought; `None` where nothing was.
    pub(super) before: Option<Window>,
}

/// Makes the choice.
pub(super) async fn choose(args: &ApplyArgs) -> Result<Choice> {
    let (summary, evidence, says) = if let Some(path) = &args.from {
        let (summary, evidence) = recording_file::read_all(path, |_| Ok(()))
            .with_context(|| format!("cannot read {}", path.display()))?;
        (
            summary,
            evidence,
            format!("the recording {}", path.display()),
        )
    } else if args.recommended {
        let (summary, evidence) =
            progress::watch(args.window, None, args.risk.accept_panic_risk).await?;
        let says = format!("a trace of this host for {}", duration(summary.duration_ns));
        (summary, evidence, says)
    } else {
        let evidence = match args.limit {
            Some(limit) => format!("limit {limit} from the command line"),
            None => "wait time from the command line".to_owned(),
        };
        return Ok(Choice {
            limit: args.limit,
            is_least: false,
            why: Why {
                evidence,
                reasons: Vec::new(),
            },
            before: None,
        });
    };
    let (floor, floor_reason) = floors(args)
        .into_iter()
        .max_by_key(|floor| floor.limit)
        .map(|floor| (u64::from(floor.limit), floor.asked_by))
        .unzip();
    let answer = recommend(
        &evidence,
        &Options {
            floor,
            floor_reason,
            over_budget: args.force,
            ..Options::default()
        },
    );
    if answer.capped_by_budget {
        let or = answer.limit.map_or_else(String::new, |most| {
            format!(", or apply {most}, the largest limit within the budget")
        });
        bail!(
            "refused: {says} needs a limit over the memory budget of {}: {}; add --force to apply it{or}",
            bytes(MEMORY_BUDGET_BYTES),
            answer.reasons.join("; ")
        );
    }
    let limit = match (answer.verdict, answer.limit) {
        (Verdict::Raise | Verdict::Lower, Some(limit)) => {
            Some(u32::try_from(limit).ok().with_context(|| {
                format!(
                    "limit {} is over the kernel's maximum of 4,294,967,295",
                    count(limit)
                )
            })?)
        }
        // What is in force suffices. That is no reason to write it anywhere: the next boot may bring more.
        (Verdict::Keep, _) => None,
        _ => bail!(
            "{says} gives no limit to apply ({}): {}",
            answer.verdict.name(),
            answer.reasons.join("; ")
        ),
    };
    Ok(Choice {
        limit,
        is_least: answer.verdict == Verdict::Raise,
        why: Why {
            evidence: says,
            reasons: answer.reasons,
        },
        before: args.recommended.then(|| window(&summary)),
    })
}

/// Lowest limits that the options ask for.
pub(super) fn floors(args: &ApplyArgs) -> Vec<Floor> {
    let policy = args.policy.and_then(|policy| {
        Some(Floor {
            limit: u32::try_from(policy.least_limit()).ok()?,
            asked_by: format!("the policy {} ({})", policy.name(), policy.rule()),
        })
    });
    let asked = args.floor.map(|limit| Floor {
        limit,
        asked_by: format!("--floor {limit}"),
    });
    policy.into_iter().chain(asked).collect()
}

/// What a trace counted.
fn window(summary: &Summary) -> Window {
    let stalled = |stalls: &crate::trace::report::StallSummary| {
        // Who waits still has waited for some time.
        stalls.total_ns
            + stalls.waiting * u64::try_from(Duration::from_secs(1).as_nanos()).unwrap_or(0)
    };
    Window {
        duration_ns: summary.duration_ns,
        attempted: summary.ledger.attempted,
        lost: summary.lost,
        stalled_ns: summary.stalls.as_ref().map(stalled),
        available_bytes: writers::available_bytes(),
    }
}
