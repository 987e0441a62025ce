//! The documents against the sources: a file that a page names exists, and a table of files is complete.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Files below `directory` whose names end with `.extension`, by their paths in the repository.
fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![repository().join(directory)];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of the repository") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let path = path.strip_prefix(repository()).expect("below it");
                found.push(path.to_owned());
            }
        }
    }
    found
}

fn sources() -> Vec<PathBuf> {
    ["auditwatch", "auditwatch-ebpf", "xtask", "tests"]
        .iter()
        .flat_map(|directory| files(directory, "rs"))
        .collect()
}

/// The pages that describe the sources of today; the change log is about those of its time.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths = files("docs", "md");
    paths.extend(
        [
            "ARCHITECTURE.md",
            "CONTRIBUTING.md",
            "README.md",
            "SECURITY.md",
        ]
        .map(PathBuf::from),
    );
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(repository().join(&path)).expect("a page");
            (path, text)
        })
        .collect()
}

/// Names of Rust files that stand in `text` between backticks.
fn named(text: &str) -> Vec<&str> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            let is_rust = Path::new(word)
                .extension()
                .is_some_and(|extension| extension == "rs");
            is_rust && !word.contains(char::is_whitespace)
        })
        .collect()
}

fn exists(sources: &[PathBuf], name: &str) -> bool {
    sources.iter().any(|source| source.ends_with(name))
}

#[test]
fn pages_name_only_files_that_exist() {
    let sources = sources();
    let mut stale = Vec::new();
    let mut seen = 0;
    for (page, text) in pages() {
        for line in text.lines() {
            for name in named(line) {
                seen += 1;
                if !exists(&sources, name) {
                    stale.push(format!("{}: {name}", page.display()));
                }
            }
        }
    }
    assert!(stale.is_empty(), "no such file: {stale:#?}");
    assert!(seen > 50, "only {seen} names of files were seen");
}

#[test]
fn stale_names_are_seen() {
    let sources = [PathBuf::from("auditwatch/src/sample/loss.rs")];
    assert_eq!(
        named("`sample/loss.rs`, loss.rs, `a b.rs` and `hand.rs`"),
        ["sample/loss.rs", "hand.rs"]
    );
    assert!(exists(&sources, "loss.rs") && exists(&sources, "sample/loss.rs"));
    assert!(!exists(&sources, "hand.rs") && !exists(&sources, "oss.rs"));
}

/// Each file directly in `directory` has to be named on `page`.
#[track_caller]
fn assert_complete(page: &str, directory: &str) {
    let text = fs::read_to_string(repository().join(page)).expect("a page");
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let missing: Vec<PathBuf> = files(directory, "rs")
        .into_iter()
        .filter(|path| path.parent() == Some(Path::new(directory)))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name != Some("mod.rs")
                && !rows
                    .iter()
                    .any(|row| named(row).into_iter().any(|named| Some(named) == name))
        })
        .collect();
    assert!(missing.is_empty(), "{page} has no row for {missing:#?}");
}

#[test]
fn tables_of_files_are_complete() {
    assert_complete("docs/probe.md", "auditwatch-ebpf/src");
    assert_complete("docs/testing.md", "tests");
    assert_complete("docs/testing.md", "tests/vm/src/scenarios");
}
