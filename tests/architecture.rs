//! The import rule of ARCHITECTURE.md, read from the sources: pure modules touch
//! no file, clock, process or kernel, and only the probe knows aya.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Modules that take values and return values.
const PURE: [&str; 21] = [
    "plan.rs",
    "health.rs",
    "ledger.rs",
    "timeline.rs",
    "histogram.rs",
    "memory.rs",
    "number.rs",
    "record_type.rs",
    "report.rs",
    "sample.rs",
    "status.rs",
    "poll.rs",
    "doctor/mod.rs",
    "doctor/findings.rs",
    "kernel/btf.rs",
    "kernel/symbols.rs",
    "kernel/types.rs",
    "kernel/cmdline.rs",
    "kernel/privileges.rs",
    "render/table.rs",
    "render/verdict.rs",
];
/// What a pure module must not name.
const IMPURE: [&str; 9] = [
    "aya::",
    "aya_obj",
    "tokio",
    "std::fs",
    "std::net",
    "std::process",
    "Instant::now",
    "SystemTime",
    "libc::",
];
const MOST_LINES: usize = 500;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file below a directory, with its text.
fn files(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a source directory can be listed") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file is text");
            found.push((path, text));
        }
    }
    found
}

/// The code of a file: no comments, and nothing from its tests on.
fn code(text: &str) -> String {
    let product = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines: Vec<&str> = product
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    lines.join("\n")
}

fn named<'a>(text: &str, forbidden: &[&'a str]) -> Vec<&'a str> {
    let code = code(text);
    forbidden
        .iter()
        .copied()
        .filter(|word| code.contains(word))
        .collect()
}

#[test]
fn pure_modules_touch_nothing() {
    for module in PURE {
        let path = sources().join(module);
        let text = fs::read_to_string(&path).expect("a module of the list exists");
        assert_eq!(named(&text, &IMPURE), [""; 0], "{module}");
    }
}

#[test]
fn only_the_probe_knows_aya() {
    for (path, text) in files(&sources()) {
        if !path.starts_with(sources().join("probe")) {
            assert_eq!(
                named(&text, &["aya::", "aya_obj", "aya_log"]),
                [""; 0],
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn only_commands_and_the_program_use_anyhow() {
    for (path, text) in files(&sources()) {
        let edge = path.starts_with(sources().join("commands")) || path.ends_with("main.rs");
        if !edge {
            assert_eq!(named(&text, &["anyhow"]), [""; 0], "{}", path.display());
        }
    }
}

#[test]
fn the_model_does_not_render() {
    for module in [
        "ledger.rs",
        "timeline.rs",
        "status.rs",
        "health.rs",
        "plan.rs",
        "sample.rs",
        "doctor/mod.rs",
    ] {
        let text = fs::read_to_string(sources().join(module)).expect("a module of the list exists");
        assert_eq!(
            named(&text, &["render::", "commands::"]),
            [""; 0],
            "{module}"
        );
    }
}

#[test]
fn every_file_is_small_and_says_what_it_is_for() {
    let bpf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../auditwatch-ebpf/src");
    for (path, text) in files(&sources()).into_iter().chain(files(&bpf)) {
        assert!(
            text.starts_with("//! "),
            "{} has no //! line",
            path.display()
        );
        let lines = text.lines().count();
        assert!(lines <= MOST_LINES, "{} has {lines} lines", path.display());
    }
}

#[test]
fn the_checker_sees_a_violation_and_no_comment() {
    let text = "//! aya:: is named here\nuse std::fs;\n#[cfg(test)]\nmod tests { use tokio; }\n";
    assert_eq!(named(text, &IMPURE), ["std::fs"]);
}
