//! Verdicts on the hooks: what was attached, what was not, and what that means.
//!
//! In: the plan and what became of it. Out: a [`HookReport`] for each hook. Pure.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::{
    hooks::plan::{Form, HookPlan, Role},
    untrusted::shown,
};

/// What became of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// In place, in its best form or in the one that the user chose.
    Ok,
    /// In place, in a second-best form or with a caveat.
    Degraded,
    /// The kernel does not offer it.
    Unsupported,
    /// The kernel refused it.
    Failed,
    /// This kernel has no need of it.
    Unneeded,
}

/// A hook's line in the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookReport {
    /// What it measures.
    pub role: Role,
    /// The kernel function that it is named after.
    pub name: String,
    /// The form it was attached in, `fentry+fexit` for two; `None` when it was not.
    pub form: Option<String>,
    /// What became of it.
    pub verdict: Verdict,
    /// Why it is not in place, or not in its best form.
    pub reason: Option<String>,
    /// What it measures less well here than elsewhere.
    pub caveat: Option<String>,
}

/// What became of one alternative of a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Attached.
    Attached,
    /// Refused, with the cause in one line.
    Refused(String),
}

/// Judges one hook by what became of its alternatives, tried in order until one
/// was attached.
#[must_use]
pub fn judge(plan: &HookPlan, attempts: &[Attempt]) -> HookReport {
    let attached = attempts
        .iter()
        .position(|attempt| *attempt == Attempt::Attached);
    let refusals: Vec<&str> = attempts
        .iter()
        .filter_map(|attempt| match attempt {
            Attempt::Attached => None,
            Attempt::Refused(cause) => Some(cause.as_str()),
        })
        .collect();
    let mut reasons: Vec<String> = refusals.iter().map(|&cause| cause.to_owned()).collect();
    reasons.extend(plan.reason.clone());
    let chosen = attached.and_then(|index| plan.alternatives.get(index));
    let caveat = chosen.and_then(|chosen| chosen.caveat.clone());
    let verdict = match chosen {
        Some(_) if reasons.is_empty() && caveat.is_none() => Verdict::Ok,
        Some(_) => Verdict::Degraded,
        None if plan.not_applicable => Verdict::Unneeded,
        None if refusals.is_empty() => Verdict::Unsupported,
        None => Verdict::Failed,
    };
    let form = chosen.map(|chosen| {
        let mut forms: Vec<&str> = Vec::new();
        for attachment in &chosen.attachments {
            let name = Form::name(attachment.form);
            if !forms.contains(&name) {
                forms.push(name);
            }
        }
        forms.join("+")
    });
    HookReport {
        role: plan.role,
        name: plan.function.to_owned(),
        form,
        verdict,
        reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
        caveat,
    }
}

/// One line on all hooks: how many are in place, and which are not.
#[must_use]
pub fn roll_up(hooks: &[HookReport]) -> String {
    let named = |verdict: Verdict| -> Vec<String> {
        hooks
            .iter()
            .filter(|hook| hook.verdict == verdict)
            .map(|hook| shown(&hook.name).to_string())
            .collect()
    };
    let needed = hooks
        .iter()
        .filter(|hook| hook.verdict != Verdict::Unneeded)
        .count();
    let degraded = named(Verdict::Degraded);
    let mut missing = named(Verdict::Unsupported);
    missing.extend(named(Verdict::Failed));
    let mut line = format!("{} of {needed} hooks in place", needed - missing.len());
    if !degraded.is_empty() {
        let _ = write!(line, "; degraded: {}", degraded.join(", "));
    }
    if !missing.is_empty() {
        let _ = write!(line, "; missing: {}", missing.join(", "));
    }
    line
}
