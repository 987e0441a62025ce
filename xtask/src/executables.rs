//! Our own programs: package names come in, the paths of their release builds go out.

use std::{path::PathBuf, process::Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::process;

/// The parts of cargo's messages that tell where an executable is.
#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
}

/// Builds what every guest has on its `PATH`: auditwatch and the scenarios that test it.
pub(crate) fn for_guest() -> Result<Vec<PathBuf>> {
    release_builds(&["auditwatch", "auditwatch-vmtest"])
}

/// Builds `packages` for release and returns their executables.
pub(crate) fn release_builds(packages: &[&str]) -> Result<Vec<PathBuf>> {
    let mut command = process::cargo();
    command.args([
        "build",
        "--quiet",
        "--release",
        "--bins",
        "--message-format=json-render-diagnostics",
    ]);
    for package in packages {
        command.args(["--package", package]);
    }
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("failed to start {command:?}"))?;
    if !output.status.success() {
        bail!("cannot build {}", packages.join(" and "));
    }
    let text = String::from_utf8(output.stdout).context("cargo wrote no UTF-8")?;
    executables(&text)
}

fn executables(messages: &str) -> Result<Vec<PathBuf>> {
    let mut executables = Vec::new();
    for line in messages.lines() {
        let message: Message =
            serde_json::from_str(line).with_context(|| format!("no message of cargo: {line}"))?;
        if message.reason == "compiler-artifact" {
            executables.extend(message.executable);
        }
    }
    Ok(executables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_among_other_messages() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
{"reason":"build-script-executed","package_id":"x"}
{"reason":"compiler-artifact","executable":"/t/release/auditwatch"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            executables(messages).expect("messages"),
            [PathBuf::from("/t/release/auditwatch")]
        );
        assert!(executables("error: x").is_err());
    }
}
