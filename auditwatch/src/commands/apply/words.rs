//! What `apply` says and asks: reports, refusals, the question, the comment in a file.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::choice::Choice;
use crate::{
    change::{
        preflight::{Finding, Preflight, Severity},
        report::ApplyReport,
    },
    cli::apply::ApplyArgs,
    commands::{executor::who, output::say},
    render::{change, json},
    units::utc,
};

/// What scripts read of a change that was refused.
#[derive(Serialize)]
struct Refused<'a> {
    /// Always `apply`.
    kind: &'static str,
    /// Version of this format; keys are only ever added to it.
    schema: u32,
    /// Why.
    because: &'a Finding,
    /// All that was found.
    findings: &'a [Finding],
}

/// Turns a refusal into an error, after what else was found.
pub(super) fn refuse(args: &ApplyArgs, outcome: &Preflight) -> Result<()> {
    let Some(refusal) = outcome.refusal() else {
        return Ok(());
    };
    if args.output.wants_json() {
        let refused = Refused {
            kind: "apply",
            schema: 1,
            because: refusal,
            findings: &outcome.findings,
        };
        json::line(&mut io::stdout(), &refused).context("cannot write the report")?;
    }
    let warnings = outcome
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Warning);
    say(warnings.map(|finding| finding.message.clone()).collect());
    bail!("refused: {}", refusal.message);
}

/// What stands beside a line in the files: when, by whom, by which evidence.
pub(super) fn comment(choice: &Choice) -> Vec<String> {
    let by = who();
    let user = by.sudo_user.map_or_else(
        || format!("uid {}", by.loginuid.unwrap_or(by.uid)),
        |user| user.to_string(),
    );
    let mut lines = vec![format!("{} by {user}: {}", utc_now(), choice.why.evidence)];
    lines.extend(choice.why.reasons.first().cloned());
    lines.push("revert with: auditwatch undo".to_owned());
    lines
}

/// Now, for a comment.
fn utc_now() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    utc::second(u64::try_from(since.as_millis()).unwrap_or(0))
}

/// Asks on the terminal.
pub(super) fn agreed() -> Result<bool> {
    let mut err = io::stderr();
    write!(err, "Apply this change? [y/N] ")
        .and_then(|()| err.flush())
        .context("cannot ask for confirmation")?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Writes the report to stdout; of a plan that was shown there already only what came of it.
pub(super) fn print(args: &ApplyArgs, report: &ApplyReport, was_shown: bool) -> Result<ExitCode> {
    let mut out = io::stdout();
    if args.output.wants_json() {
        json::line(&mut out, report)
    } else if was_shown && out.is_terminal() {
        out.write_all(change::outcome(report).as_bytes())
    } else {
        out.write_all(change::apply(report).as_bytes())
    }
    .context("cannot write the report")?;
    Ok(ExitCode::SUCCESS)
}
