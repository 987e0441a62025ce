//! A tree of rules files: a seed and a number come in, files go out, and onto the guest's disk.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::rule_trees::lines;
use crate::rule_trees::random::Random;

/// What is at one path below etc/audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its path there; each character is one byte, as in Latin-1.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// A file's bytes, or a link's target; each character is one byte.
    pub content: String,
    /// A file's permissions.
    pub mode: u32,
    /// A file's owner.
    pub owner: u32,
}

/// What may be at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A link.
    Link,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tree {
    /// Which of its seed.
    pub number: u64,
    /// What it consists of, directories before what is in them.
    pub items: Vec<Item>,
}

const NAMES: &[&str] = &[
    "10-base-config.rules",
    "10-base-config.rules",
    "99-auditwatch.rules",
    "audit.rules",
    "audit.rules",
    "zz-auditwatch.rules",
    "99-finalize.rules",
    "100-late.rules",
    "9-early.rules",
    "09-early.rules",
    "009.rules",
    "30-stig.rules",
    "A.rules",
    "a.rules",
    "a.b.rules",
    "a.rules.rules",
    "a-b.rules",
    "a_b.rules",
    "a~.rules",
    "a1.rules",
    "a01.rules",
    "a1b.rules",
    "1.2.rules",
    "1.10.rules",
    "+x.rules",
    "-x.rules",
    "~.rules",
    "..rules",
    ".hidden.rules",
    "audit.rules~",
    "audit.rules.bak",
    "x.RULES",
    "readme",
    "rules",
    "two words.rules",
    "tab\tname.rules",
    "line\nbreak.rules",
    "\u{e9}.rules",
    "10.rules",
    "10a.rules",
    "1a0.rules",
    "50-Ω.rules",
    "z.rules",
    "zz.rules",
    "zzz.rules",
    "a.1.rules",
    "a.b1.rules",
    "99999999999999999999.rules",
];

fn latin(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn bytes(latin: &str) -> Vec<u8> {
    latin.chars().filter_map(|c| u8::try_from(c).ok()).collect()
}

impl Tree {
    /// The tree of a seed and a number.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut random = Random::new(seed, number);
        let random = &mut random;
        let is_sound = random.percent(35);
        let mut items = Vec::new();
        if random.percent(78) {
            items.push(directory("rules.d"));
            let most = if random.percent(6) { 1 } else { 6 };
            for _ in 0..random.below(most) {
                let item = rules_file(random, is_sound);
                if items.iter().all(|other: &Item| other.path != item.path) {
                    items.push(item);
                }
            }
        } else if random.percent(5) {
            items.push(file("rules.d", b"not a directory\n"));
        }
        if random.percent(if items.is_empty() { 96 } else { 40 }) {
            items.push(audit_rules(random, is_sound));
        }
        Self { number, items }
    }

    /// Whether it may lock the kernel until reboot, by its text alone.
    pub fn may_lock(&self) -> bool {
        self.items
            .iter()
            .any(|item| item.content.contains("-e") && item.content.contains('2'))
    }

    /// Puts it to a place where nothing is yet.
    pub fn write(&self, audit: &Path) -> Result<()> {
        for name in ["rules.d", "audit.rules", "audit.rules.prev"] {
            let path = audit.join(name);
            let removed = match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&path),
                Ok(_) => fs::remove_file(&path),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            };
            removed.with_context(|| format!("removing {}", path.display()))?;
        }
        fs::create_dir_all(audit)?;
        for item in &self.items {
            let name = bytes(&item.path);
            let path = audit.join(std::ffi::OsStr::from_bytes(&name));
            let content = bytes(&item.content);
            match item.kind {
                Kind::Directory => fs::create_dir(&path),
                Kind::Link => symlink(std::ffi::OsStr::from_bytes(&content), &path),
                Kind::File => fs::write(&path, &content)
                    .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(item.mode)))
                    .and_then(|()| std::os::unix::fs::chown(&path, Some(item.owner), None)),
            }
            .with_context(|| format!("making {}", path.display()))?;
        }
        Ok(())
    }
}

fn directory(path: &str) -> Item {
    Item {
        path: latin(path.as_bytes()),
        kind: Kind::Directory,
        content: String::new(),
        mode: 0o750,
        owner: 0,
    }
}

fn file(path: &str, content: &[u8]) -> Item {
    Item {
        path: latin(path.as_bytes()),
        kind: Kind::File,
        content: latin(content),
        mode: 0o640,
        owner: 0,
    }
}

fn rules_file(random: &mut Random, is_sound: bool) -> Item {
    let name = if is_sound {
        random.of(&NAMES[..14])
    } else {
        random.of(NAMES)
    };
    let path = format!("rules.d/{name}");
    if !is_sound && random.percent(4) {
        return directory(&path);
    }
    if !is_sound && random.percent(4) {
        let target = random.of(&[
            "audit.rules",
            "../audit.rules",
            "/etc/audit/rules.d/a.rules",
            "/no/such",
        ]);
        return Item {
            kind: Kind::Link,
            content: target.to_owned(),
            ..directory(&path)
        };
    }
    file(&path, &text(random, is_sound))
}

fn text(random: &mut Random, is_sound: bool) -> Vec<u8> {
    let ends_lines_with = if !is_sound && random.percent(6) {
        "\r\n"
    } else {
        "\n"
    };
    let mut text = Vec::new();
    let count = random.below(9);
    for number in 0..count {
        text.extend(lines::line(random, is_sound));
        let is_last = number + 1 == count;
        if !(is_last && random.percent(15)) {
            text.extend(ends_lines_with.bytes());
        }
    }
    text
}

/// The file that is loaded, kept by hand or as augenrules leaves it.
fn audit_rules(random: &mut Random, is_sound: bool) -> Item {
    let mut content = text(random, is_sound);
    if random.percent(25) {
        let header = b"## This file is automatically generated from /etc/audit/rules.d\n";
        content.splice(0..0, header.iter().copied());
    }
    if random.percent(20) {
        // What augenrules makes of nothing: it then leaves the file as it is, mode and all.
        content =
            b"## This file is automatically generated from /etc/audit/rules.d\n\n\n\n\n".to_vec();
    }
    let mut item = file("audit.rules", &content);
    if random.percent(12) {
        item.mode = random.of(&[0o600, 0o644, 0o666, 0o602, 0o642, 0o777, 0o000]);
    }
    if random.percent(5) {
        item.owner = 1000;
    }
    if !is_sound && random.percent(3) {
        return directory("audit.rules");
    }
    item
}
