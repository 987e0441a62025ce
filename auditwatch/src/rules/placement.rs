//! Where a line that sets the backlog limit wins. A tree and a limit come in; the tree with that limit in it goes out,
//! and what changed, once the simulated boot says that it does win. Nothing is written here.

use super::{
    AUDIT_RULES, AuditRules, Boot, Entry, Host, Place, RULES_D, Tree, boot, compile, file_names,
};

/// Where a limit is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The file to write, its path.
    pub file: String,
    /// Its new content.
    pub content: Vec<u8>,
    /// The line that is replaced, where one is; otherwise the file is new, or the line is added.
    pub replaced: Option<Place>,
    /// The boot with it.
    pub boot: Boot,
}

/// Names of a drop-in, the first of which that comes behind all others is taken: `-` sorts behind every letter, and `_` behind
/// that.
const DROP_INS: [&str; 6] = [
    "zz-auditwatch.rules",
    "zz-zz-auditwatch.rules",
    "zz_auditwatch.rules",
    "_auditwatch.rules",
    "_zz-auditwatch.rules",
    "__auditwatch.rules",
];

/// Where a limit wins: the line that decides now, replaced in its place; or else a drop-in of its own behind all files
/// of rules.d, or a new line at the end of a hand-kept file. `None` when neither brings the limit about, since the load
/// stops before it: [`Boot::stopped_at`] says where.
#[must_use]
pub fn of(tree: &Tree, host: &Host, limit: u32) -> Option<Placement> {
    let now = boot(tree, host);
    let candidates = [
        now.decided_by
            .as_ref()
            .and_then(|place| replaced(tree, place, limit)),
        drop_in(tree, limit),
        appended(tree, limit),
        first(tree, limit),
    ];
    candidates.into_iter().flatten().find_map(|candidate| {
        let boot = boot(&candidate.tree, host);
        let wins = boot.settings.backlog_limit == limit && boot.decided_by.is_some();
        let stops_no_earlier = boot.lost.len() <= now.lost.len();
        let is_no_worse = boot.stopped_at.is_none() || now.stopped_at.is_some() && stops_no_earlier;
        (wins && is_no_worse).then_some(Placement {
            file: candidate.file,
            content: candidate.content,
            replaced: candidate.replaced,
            boot,
        })
    })
}

/// A tree with one file changed.
struct Candidate {
    tree: Tree,
    file: String,
    content: Vec<u8>,
    replaced: Option<Place>,
}

/// The tree with other content in one file.
#[must_use]
pub fn with(tree: &Tree, file: &str, content: &[u8]) -> Tree {
    let mut tree = tree.clone();
    if let Some(name) = file
        .strip_prefix(RULES_D)
        .and_then(|rest| rest.strip_prefix('/'))
    {
        let entries = tree.rules_d.get_or_insert_default();
        match entries
            .iter_mut()
            .find(|entry| entry.name == name.as_bytes())
        {
            Some(entry) => entry.content = Some(content.to_vec()),
            None => entries.push(Entry {
                name: name.as_bytes().to_vec(),
                content: Some(content.to_vec()),
            }),
        }
    } else {
        let (mode, owner) = match tree.audit_rules {
            AuditRules::File { mode, owner, .. } => (mode, owner),
            AuditRules::Missing | AuditRules::NoFile => (0o640, 0),
        };
        tree.audit_rules = AuditRules::File {
            content: content.to_vec(),
            mode,
            owner,
        };
    }
    tree
}

fn content_of<'a>(tree: &'a Tree, file: &str) -> Option<&'a [u8]> {
    match file
        .strip_prefix(RULES_D)
        .and_then(|rest| rest.strip_prefix('/'))
    {
        Some(name) => {
            let entries = tree.rules_d.as_deref()?;
            let entry = entries.iter().find(|entry| entry.name == name.as_bytes())?;
            entry.content.as_deref()
        }
        None => match &tree.audit_rules {
            AuditRules::File { content, .. } => Some(content),
            AuditRules::Missing | AuditRules::NoFile => None,
        },
    }
}

fn candidate(tree: &Tree, file: &str, content: Vec<u8>, replaced: Option<Place>) -> Candidate {
    Candidate {
        tree: with(tree, file, &content),
        file: file.to_owned(),
        content,
        replaced,
    }
}

/// The number of a plain `-b N` line replaced, all else kept.
fn replaced(tree: &Tree, place: &Place, limit: u32) -> Option<Candidate> {
    let content = content_of(tree, &place.file)?;
    let mut new = Vec::with_capacity(content.len() + 16);
    let mut found = false;
    for (number, line) in content.split_inclusive(|&byte| byte == b'\n').enumerate() {
        if u32::try_from(number + 1) == Ok(place.line) {
            let blanks = line.iter().take_while(|&&byte| byte == b' ').count();
            let rest = line[blanks..].strip_prefix(b"-b")?;
            let gap = rest.iter().take_while(|&&byte| byte == b' ').count();
            let digits = rest[gap..]
                .iter()
                .take_while(|byte| !byte.is_ascii_whitespace())
                .count();
            new.extend(&line[..blanks + 2 + gap]);
            new.extend(limit.to_string().into_bytes());
            new.extend(&rest[gap + digits..]);
            found = true;
        } else {
            new.extend(line);
        }
    }
    found.then(|| candidate(tree, &place.file, new, Some(place.clone())))
}

/// A file of its own behind all others. It begins with an empty line, for a predecessor without a line break at its
/// end would swallow its first line.
fn drop_in(tree: &Tree, limit: u32) -> Option<Candidate> {
    let entries = tree.rules_d.as_deref()?;
    let names: Vec<&[u8]> = entries.iter().map(|entry| entry.name.as_slice()).collect();
    let name = DROP_INS.into_iter().find(|name| {
        let name = name.as_bytes();
        let others: Vec<&[u8]> = names
            .iter()
            .copied()
            .filter(|other| *other != name)
            .collect();
        file_names::in_order(&others)
            .last()
            .is_none_or(|last| file_names::by_version(last, name).is_lt())
    })?;
    let content = format!("\n-b {limit}\n").into_bytes();
    Some(candidate(tree, &format!("{RULES_D}/{name}"), content, None))
}

/// A line at the end of a hand-kept file.
fn appended(tree: &Tree, limit: u32) -> Option<Candidate> {
    if compile::concatenated(tree).is_some() {
        return None;
    }
    let mut content = content_of(tree, AUDIT_RULES).unwrap_or_default().to_vec();
    if content.last().is_some_and(|&byte| byte != b'\n') {
        content.push(b'\n');
    }
    content.extend(format!("-b {limit}\n").into_bytes());
    Some(candidate(tree, AUDIT_RULES, content, None))
}

/// A line at the start of a hand-kept file, where nothing can stop the load before it.
fn first(tree: &Tree, limit: u32) -> Option<Candidate> {
    if compile::concatenated(tree).is_some() {
        return None;
    }
    let mut content = format!("-b {limit}\n").into_bytes();
    content.extend(content_of(tree, AUDIT_RULES).unwrap_or_default());
    Some(candidate(tree, AUDIT_RULES, content, None))
}
