//! What the simulator says of generated trees of rules files against what the real augenrules and auditctl left in a
//! kernel. The truth was written down by `vmtest rule-trees --truth` in a guest; docs/testing.md says how.

use std::{fs, path::Path};

use auditwatch::rules::{
    self, AuditRules, Awk, Entry, Era, Host, Leads, Lookup, Machine, Settings, Tree,
};
use serde::Deserialize;

/// Ticks a second of the guest's kernel.
const HZ: u32 = 250;

#[derive(Debug, Deserialize)]
struct Line {
    seed: u64,
    awk: String,
    tree: Written,
    truth: Truth,
}

#[derive(Debug, Deserialize)]
struct Written {
    number: u64,
    items: Vec<Item>,
}

/// Each character of a path and of a content is one byte.
#[derive(Debug, Deserialize)]
struct Item {
    path: String,
    kind: String,
    content: String,
    mode: u32,
    owner: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct Truth {
    backlog_limit: u32,
    backlog_wait_time: u32,
    enabled: u32,
    failure: u32,
}

fn bytes(latin: &str) -> Vec<u8> {
    latin
        .chars()
        .map(|c| u8::try_from(c).expect("a byte"))
        .collect()
}

impl Written {
    fn item(&self, path: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.path == path)
    }

    /// What a path below etc/audit leads to as a file, links followed.
    fn content(&self, path: &str) -> Option<Vec<u8>> {
        let mut path = path.to_owned();
        for _ in 0..8 {
            let item = self.item(&path)?;
            if item.kind != "link" {
                return (item.kind == "file").then(|| bytes(&item.content));
            }
            path = match item.content.strip_prefix("/etc/audit/") {
                Some(rest) => rest.to_owned(),
                None => match item.content.strip_prefix("../") {
                    Some(rest) => rest.to_owned(),
                    None => format!("rules.d/{}", item.content),
                },
            };
        }
        None
    }

    fn tree(&self) -> Tree {
        let is_directory = self
            .item("rules.d")
            .is_some_and(|item| item.kind == "directory");
        let entries = self.items.iter().filter_map(|item| {
            Some(Entry {
                name: bytes(item.path.strip_prefix("rules.d/")?),
                content: self.content(&item.path),
            })
        });
        Tree {
            rules_d: is_directory.then(|| entries.collect()),
            audit_rules: match self.item("audit.rules") {
                None => AuditRules::Missing,
                Some(item) if item.kind == "file" => AuditRules::File {
                    content: bytes(&item.content),
                    mode: item.mode,
                    owner: item.owner,
                },
                Some(_) => AuditRules::NoFile,
            },
        }
    }
}

/// The guest's files, as far as the generator's rules name them.
struct Guest;

impl Lookup for Guest {
    fn path(&self, path: &[u8]) -> Leads {
        let text = String::from_utf8_lossy(path);
        let mut parts: Vec<&str> = Vec::new();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                other => parts.push(other),
            }
        }
        match parts.join("/").as_str() {
            "" | "etc" | "etc/audit" | "tmp" | "usr" | "usr/bin" | "usr/sbin" | "bin" | "sbin"
            | "proc" | "sys" | "dev" | "run" | "root" | "var" | "var/log" | "mnt" | "lib" => {
                Leads::Directory
            }
            "etc/passwd" | "etc/group" | "usr/bin/bash" | "etc/audit/audit.rules" => Leads::File,
            _ => Leads::Nowhere,
        }
    }

    fn user(&self, name: &[u8]) -> Option<u32> {
        match name {
            b"root" => Some(0),
            b"user" => Some(1000),
            b"nobody" => Some(65534),
            _ => None,
        }
    }

    fn group(&self, name: &[u8]) -> Option<u32> {
        match name {
            b"root" => Some(0),
            b"adm" => Some(4),
            b"nogroup" => Some(65534),
            _ => None,
        }
    }

    fn is_label(&self, text: &[u8]) -> bool {
        text == b"unconfined"
    }
}

/// Compares the lines of a file; how many there are, and what differs.
fn compare(path: &Path) -> (usize, Vec<String>) {
    let text = fs::read_to_string(path).expect("the truth can be read");
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in text.lines() {
        let line: Line = serde_json::from_str(line).expect("a line of truth");
        let host = Host {
            awk: if line.awk == "mawk" {
                Awk::Mawk
            } else {
                Awk::Gawk
            },
            era: Era::default(),
            // The guest has no locales installed.
            utf8: false,
            hz: HZ,
            before: Settings::of_kernel(HZ),
            machine: Machine::X86_64,
            lookup: &Guest,
        };
        let tree = line.tree.tree();
        let boot = rules::boot(&tree, &host);
        let said = Truth {
            backlog_limit: boot.settings.backlog_limit,
            backlog_wait_time: boot.settings.backlog_wait_time,
            enabled: boot.settings.enabled,
            failure: boot.settings.failure,
        };
        count += 1;
        if said != line.truth {
            let items: Vec<String> = line
                .tree
                .items
                .iter()
                .map(|item| {
                    format!(
                        "    {} {:o} {} {:?}",
                        item.path, item.mode, item.owner, item.content
                    )
                })
                .collect();
            wrong.push(format!(
                "seed {} tree {} with {}:\n  is   {:?}\n  said {said:?}\n  compiled {:?}\n  stop {:?}\n{}",
                line.seed,
                line.tree.number,
                line.awk,
                line.truth,
                boot.compiled.as_deref().map(String::from_utf8_lossy),
                boot.stopped_at,
                items.join("\n")
            ));
        }
    }
    (count, wrong)
}

#[test]
fn simulator_agrees_with_the_real_loader() {
    let mut paths: Vec<_> = match std::env::var_os("AUDITWATCH_RULE_TRUTH") {
        Some(path) => vec![path.into()],
        None => fs::read_dir(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/rules"
        ))
        .expect("the truth")
        .map(|entry| entry.expect("an entry").path())
        .collect(),
    };
    paths.sort();
    let (mut count, mut wrong) = (0, Vec::new());
    for path in paths {
        let (more, differences) = compare(&path);
        count += more;
        wrong.extend(differences);
    }
    assert!(count >= 50, "only {count} trees");
    assert!(
        wrong.is_empty(),
        "{} of {count} differ:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}
