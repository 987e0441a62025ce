//! The diagnosis for people: findings, hooks, and the verdict last.

use std::fmt::Write as _;

use crate::{doctor::Diagnosis, untrusted::shown};

/// The diagnosis as text.
#[must_use]
pub fn text(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    for finding in &diagnosis.findings {
        let _ = writeln!(
            text,
            "{:<8} {:<14} {}",
            finding.severity.name(),
            shown(&finding.topic),
            shown(&finding.text)
        );
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(text, "{:<8} {:<14} -> {}", "", "", shown(remedy));
        }
    }
    for hook in &diagnosis.hooks {
        let form = hook.form.as_deref().unwrap_or("-");
        let why: Vec<&str> = [&hook.reason, &hook.caveat]
            .into_iter()
            .filter_map(Option::as_deref)
            .collect();
        let reason = if why.is_empty() {
            String::new()
        } else {
            format!(": {}", why.join("; "))
        };
        let _ = writeln!(
            text,
            "{:<8} {:<27} {}{}",
            "hook",
            shown(&hook.name),
            shown(form),
            shown(&reason)
        );
    }
    let _ = writeln!(text, "{}", shown(&diagnosis.verdict));
    text
}
