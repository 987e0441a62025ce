//! What augenrules makes of rules.d: the files come in, audit.rules goes out, each line with the place that it
//! comes from. Without rules.d it is the file kept by hand.

use std::collections::HashMap;

use super::{
    AUDIT_RULES, AuditRules, Awk, Place, RULES_D, Tree, file_names,
    outcome::{Layout, Stop},
    text::line_of,
};
use crate::untrusted::Untrusted;

/// What is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// How it comes about.
    pub layout: Layout,
    /// audit.rules when it is loaded; `None` when there is none.
    pub content: Option<Vec<u8>>,
    /// Why auditctl does not read it at all.
    pub refused: Option<Stop>,
    /// Where each of its lines comes from; shorter than it is where the lines are its own.
    places: Vec<Option<Place>>,
}

impl Source {
    /// Where a line comes from, by its number from 0.
    #[must_use]
    pub fn place(&self, number: usize) -> Place {
        match self.places.get(number) {
            Some(Some(place)) => place.clone(),
            _ => line_of(AUDIT_RULES, number),
        }
    }
}

/// A line of rules.d after `cat`, and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// Without the line break.
    pub bytes: Vec<u8>,
    /// Where it begins.
    pub place: Place,
    /// Files that are glued to its end since those before have no line break at their end.
    pub glued: Vec<String>,
}

/// What is loaded of a tree.
#[must_use]
pub fn source(tree: &Tree, awk: Awk, utf8: bool) -> Source {
    let Some(raw) = concatenated(tree) else {
        let content = match &tree.audit_rules {
            AuditRules::File { content, .. } => Some(content.clone()),
            AuditRules::Missing | AuditRules::NoFile => None,
        };
        return Source {
            layout: Layout::HandKept,
            content,
            refused: refusal(&tree.audit_rules),
            places: Vec::new(),
        };
    };
    let compiled = Compiled::of(&raw, awk, utf8);
    let (content, places) = compiled.text();
    Source {
        layout: Layout::RulesD,
        refused: refusal(&written(&tree.audit_rules, &content)),
        content: Some(content),
        places,
    }
}

/// The tree as an augenrules reads it that takes carriage returns off the ends of lines. audit.rules is auditctl's alone.
#[must_use]
pub fn without_cr(tree: &Tree) -> Tree {
    let mut tree = tree.clone();
    for entry in tree.rules_d.iter_mut().flatten() {
        let Some(content) = &mut entry.content else {
            continue;
        };
        let lines = content.split_inclusive(|&byte| byte == b'\n');
        let stripped = lines.flat_map(|line| match line {
            [line @ .., b'\r', b'\n'] => [line, b"\n"].concat(),
            [line @ .., b'\r'] | line => line.to_vec(),
        });
        *content = stripped.collect();
    }
    tree
}

/// audit.rules after augenrules has been there: an existing file keeps its owner, and gets mode 0640 when its
/// content changes.
fn written(before: &AuditRules, compiled: &[u8]) -> AuditRules {
    match before {
        AuditRules::NoFile => AuditRules::NoFile,
        AuditRules::Missing => AuditRules::File {
            content: compiled.to_vec(),
            mode: 0o640,
            owner: 0,
        },
        AuditRules::File {
            content,
            mode,
            owner,
        } => AuditRules::File {
            content: compiled.to_vec(),
            mode: if content == compiled { *mode } else { 0o640 },
            owner: *owner,
        },
    }
}

/// Why auditctl refuses a file as a whole.
fn refusal(file: &AuditRules) -> Option<Stop> {
    let why = match file {
        AuditRules::Missing => "there is no such file".to_owned(),
        AuditRules::NoFile => "it is not a regular file".to_owned(),
        AuditRules::File { owner, .. } if *owner != 0 => {
            format!("it belongs to uid {owner}; auditctl wants root's: chown root {AUDIT_RULES}")
        }
        AuditRules::File { mode, .. } if mode & 0o002 != 0 => {
            format!("anybody may write it (mode {mode:04o}): chmod 0640 {AUDIT_RULES}")
        }
        AuditRules::File { .. } => return None,
    };
    Some(Stop {
        place: line_of(AUDIT_RULES, 0),
        why,
        text: Untrusted::default(),
    })
}

/// All lines of rules.d one after the other, as `cat` prints the files; `None` without rules.d.
#[must_use]
pub fn concatenated(tree: &Tree) -> Option<Vec<Raw>> {
    let entries = tree.rules_d.as_deref()?;
    let contents: HashMap<&[u8], Option<&[u8]>> = entries
        .iter()
        .map(|entry| (entry.name.as_slice(), entry.content.as_deref()))
        .collect();
    let names: Vec<&[u8]> = entries.iter().map(|entry| entry.name.as_slice()).collect();
    let mut lines: Vec<Raw> = Vec::new();
    let mut is_open = false;
    for name in file_names::in_order(&names) {
        let file = format!("{RULES_D}/{}", String::from_utf8_lossy(&name));
        let Some(&Some(content)) = contents.get(name.as_slice()) else {
            continue;
        };
        for (number, line) in content.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let bytes = line.strip_suffix(b"\n").unwrap_or(line);
            match lines.last_mut() {
                Some(last) if is_open => {
                    last.bytes.extend(bytes);
                    last.glued.push(file.clone());
                }
                _ => lines.push(Raw {
                    bytes: bytes.to_vec(),
                    place: line_of(&file, number),
                    glued: Vec::new(),
                }),
            }
            is_open = !line.ends_with(b"\n");
        }
    }
    Some(lines)
}

/// What augenrules' awk program takes a line for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Empty or a comment: left out.
    Nothing,
    /// `-e`: goes to the end; the last one only.
    Enable,
    /// `-D` alone: goes to the start; the last one only.
    DeleteAll,
    /// `-f`: goes near the start; the last one only.
    Failure,
    /// `-b`: goes near the start; the last one only.
    Backlog,
    /// All others: stay in their order.
    Rule,
}

impl Kind {
    /// What a line is to an awk.
    #[must_use]
    pub fn of(line: &[u8], awk: Awk, utf8: bool) -> Self {
        if line.is_empty() {
            return Self::Nothing;
        }
        let blank = |text| blank(text, awk, utf8);
        let mut rest = line;
        while let Some(length) = blank(rest) {
            rest = &rest[length..];
        }
        match rest {
            [b'#', ..] => Self::Nothing,
            [b'-', b'e', ..] => Self::Enable,
            [b'-', b'D', tail @ ..] => {
                let mut tail = tail;
                while let Some(length) = blank(tail) {
                    tail = &tail[length..];
                }
                if tail.is_empty() {
                    Self::DeleteAll
                } else {
                    Self::Rule
                }
            }
            [b'-', b'f', ..] => Self::Failure,
            [b'-', b'b', ..] => Self::Backlog,
            _ => Self::Rule,
        }
    }
}

/// How many bytes of what `\s` matches a text begins with. mawk reads the letter s; gawk reads blanks, in a locale of
/// UTF-8 also those of Unicode that iswspace(3) of glibc knows, which no-break spaces are not.
fn blank(text: &[u8], awk: Awk, utf8: bool) -> Option<usize> {
    match (awk, text) {
        (Awk::Mawk, [b's', ..]) | (Awk::Gawk, [b' ' | b'\t' | 0x0b..=0x0d, ..]) => Some(1),
        (
            Awk::Gawk,
            [0xe1, 0x9a, 0x80, ..]
            | [0xe2, 0x80, 0x80..=0x86 | 0x88..=0x8a | 0xa8 | 0xa9, ..]
            | [0xe2, 0x81, 0x9f, ..]
            | [0xe3, 0x80, 0x80, ..],
        ) if utf8 => Some(3),
        _ => None,
    }
}

/// The lines by where they go.
#[derive(Clone, Debug, Default)]
struct Compiled<'a> {
    delete_all: Option<&'a Raw>,
    backlog: Option<&'a Raw>,
    failure: Option<&'a Raw>,
    rules: Vec<&'a Raw>,
    enable: Option<&'a Raw>,
}

impl<'a> Compiled<'a> {
    fn of(raw: &'a [Raw], awk: Awk, utf8: bool) -> Self {
        let mut compiled = Self::default();
        for line in raw {
            match Kind::of(&line.bytes, awk, utf8) {
                Kind::Nothing => {}
                Kind::Enable => compiled.enable = Some(line),
                Kind::DeleteAll => compiled.delete_all = Some(line),
                Kind::Failure => compiled.failure = Some(line),
                Kind::Backlog => compiled.backlog = Some(line),
                Kind::Rule => compiled.rules.push(line),
            }
        }
        compiled
    }

    /// The text, and where each line comes from.
    fn text(&self) -> (Vec<u8>, Vec<Option<Place>>) {
        let mut text =
            format!("## This file is automatically generated from {RULES_D}\n").into_bytes();
        let mut places = vec![None];
        let rules = self.rules.iter().map(|&rule| Some(rule));
        let lines = [self.delete_all, self.backlog, self.failure]
            .into_iter()
            .chain(rules)
            .chain([self.enable]);
        for line in lines {
            if let Some(line) = line {
                text.extend(&line.bytes);
            }
            text.push(b'\n');
            places.push(line.map(|line| line.place.clone()));
        }
        (text, places)
    }
}
