//! The rules files edited: what has to stand where so that the next boot brings a limit.
//!
//! In: a host's rules files, what is wanted, why in words. Out: [`Edited`]: each file before and
//! after, and the boot that the simulator makes of it. Pure. Comments, order and all other lines
//! stay as they are. An edit that does not win, or that changes another setting or the number of rules, is not made.

use thiserror::Error;

use crate::{
    rules::{
        AUDIT_RULES, AuditRules, Boot, Host, Place, RULES_D, Tree, boot, file_names,
        outcome::{Layout, Stop},
        placement,
    },
    units::counted,
};

/// Our own file. Letters come after digits in the order of loading, and `audit.rules` after
/// `99-anything`: a name that begins with a number would lose.
const DROP_IN: &str = "zz-auditwatch.rules";
/// Longest comment line, bytes; auditctl cuts lines of more than 6143 and runs what is left.
const MOST_COMMENT_BYTES: usize = 200;
/// How a comment of ours begins: the next edit of that line replaces it.
const MARK: &str = "# auditwatch: ";

/// What the next boot is to bring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Backlog limit, records.
    pub limit: Option<u32>,
    /// Backlog wait time, jiffies.
    pub wait_time: Option<u32>,
    /// Why, when, by whom.
    pub comment: Vec<String>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Its path.
    pub file: String,
    /// What it is; `None` where there is none.
    pub before: Option<Vec<u8>>,
    /// What it is to be.
    pub after: Vec<u8>,
}

/// The edits, and what they come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The files; none where the next boot brings it already.
    pub edits: Vec<Edit>,
    /// The boot without them.
    pub before: Boot,
    /// The boot with them.
    pub after: Boot,
}

/// Why nothing is edited.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum EditError {
    /// Something stops the load before any line of ours.
    #[error(
        "cannot set it in the rules files: the load stops at {file}:{line} ({why}), and no line after it is \
         run; mend that line first"
    )]
    Stops {
        /// Where.
        file: String,
        /// The line, from 1.
        line: u32,
        /// Why.
        why: String,
    },
    /// What wins is not a plain line.
    #[error(
        "cannot set it in the rules files: {by} wins against every line that could be added; change it manually"
    )]
    Loses {
        /// What does.
        by: String,
    },
    /// The next boot would bring it, and other changes as well.
    #[error("cannot set it alone: with each edit {}{}", changes.join("; "), now(stop.as_deref()))]
    ChangesMore {
        /// The other changes, in words.
        changes: Vec<String>,
        /// Where the load stops now.
        stop: Option<Box<Stop>>,
    },
}

/// The line that such an edit would repair.
fn now(stop: Option<&Stop>) -> String {
    stop.map_or_else(String::new, |stop| {
        format!(
            ", because the load no longer stops at {}:{} ({}); mend that line first",
            stop.place.file, stop.place.line, stop.why
        )
    })
}

/// Finds the least edit that wins.
///
/// # Errors
/// When none does.
pub fn edit(tree: &Tree, host: &Host<'_>, wanted: &Wanted) -> Result<Edited, EditError> {
    let before = boot(tree, host);
    if brings(&before, wanted) && is_decided(&before, wanted) {
        return Ok(Edited {
            edits: Vec::new(),
            after: before.clone(),
            before,
        });
    }
    let candidates = match before.layout {
        Layout::RulesD => {
            let own = drop_in(tree, wanted);
            let in_place = replaced(tree, &before, wanted);
            let both = in_place.as_ref().map(|in_place| drop_in(in_place, wanted));
            [Some(own), in_place, both]
        }
        Layout::HandKept => [
            Some(in_order(tree, &before, wanted)),
            Some(at_the_top(tree, wanted)),
            Some(at_the_end(tree, wanted)),
        ],
    };
    let mut last = None;
    let mut more = None;
    for candidate in candidates.into_iter().flatten() {
        let after = boot(&candidate, host);
        if brings(&after, wanted) {
            let changes = other_changes(&before, &after, wanted);
            if changes.is_empty() {
                return Ok(Edited {
                    edits: edits(tree, &candidate),
                    before,
                    after,
                });
            }
            more.get_or_insert(changes);
        }
        last = Some(after);
    }
    if let Some(changes) = more {
        let stop = before.stopped_at.map(Box::new);
        return Err(EditError::ChangesMore { changes, stop });
    }
    let stop = last.as_ref().and_then(|after| after.stopped_at.as_ref());
    Err(
        // The line as it stands in the file, and not in a candidate.
        match (before.stopped_at.as_ref().or(stop), &before.decided_by) {
            (Some(stop), _) => EditError::Stops {
                file: stop.place.file.clone(),
                line: stop.place.line,
                why: stop.why.clone(),
            },
            (None, Some(place)) => EditError::Loses {
                by: format!("{}:{}", place.file, place.line),
            },
            (None, None) => EditError::Loses {
                by: "what the kernel starts with".to_owned(),
            },
        },
    )
}

/// Whether the boot leaves what is wanted.
fn brings(boot: &Boot, wanted: &Wanted) -> bool {
    wanted
        .limit
        .is_none_or(|limit| boot.settings.backlog_limit == limit)
        && wanted
            .wait_time
            .is_none_or(|wait| boot.settings.backlog_wait_time == wait)
}

/// Whether lines of the files decide it: what the kernel starts with may be another tomorrow.
fn is_decided(boot: &Boot, wanted: &Wanted) -> bool {
    (wanted.limit.is_none() || boot.decided_by.is_some())
        && (wanted.wait_time.is_none() || boot.wait_decided_by.is_some())
}

/// All else that the next boot would do otherwise, in words: other settings, the number of rules, an earlier stop.
fn other_changes(before: &Boot, after: &Boot, wanted: &Wanted) -> Vec<String> {
    let (was, is) = (before.settings, after.settings);
    let settings = [
        (
            "the limit",
            was.backlog_limit,
            is.backlog_limit,
            wanted.limit.is_none(),
        ),
        (
            "the wait time",
            was.backlog_wait_time,
            is.backlog_wait_time,
            wanted.wait_time.is_none(),
        ),
        ("enabled", was.enabled, is.enabled, true),
        ("the failure mode", was.failure, is.failure, true),
        ("the rate limit", was.rate_limit, is.rate_limit, true),
    ];
    let mut changes: Vec<String> = settings
        .into_iter()
        .filter(|(_, was, is, matters)| *matters && was != is)
        .map(|(name, was, is, _)| format!("{name} becomes {is} instead of {was}"))
        .collect();
    if after.rules != before.rules {
        changes.push(format!(
            "the kernel has {} instead of {}",
            counted(after.rules as u64, "rule"),
            before.rules
        ));
    }
    let stop = |boot: &Boot| {
        let stop = boot.stopped_at.as_ref()?;
        Some((stop.text.clone(), stop.why.clone()))
    };
    if let Some(stopped) = &after.stopped_at
        && stop(before) != stop(after)
    {
        changes.push(format!(
            "the load stops at {}:{} ({})",
            stopped.place.file, stopped.place.line, stopped.why
        ));
    }
    changes
}

/// The lines that set it.
fn lines(wanted: &Wanted) -> Vec<String> {
    let limit = wanted.limit.map(|limit| format!("-b {limit}"));
    let wait = wanted
        .wait_time
        .map(|jiffies| format!("--backlog_wait_time {jiffies}"));
    limit.into_iter().chain(wait).collect()
}

/// A comment that no loader trips over: one line, printable, short.
fn comment(text: &str) -> String {
    let mut line = MARK.to_owned();
    for character in text.chars() {
        if line.len() + character.len_utf8() > MOST_COMMENT_BYTES {
            break;
        }
        line.push(if character.is_control() {
            ' '
        } else {
            character
        });
    }
    line
}

/// The tree with a file of our own behind all others. It begins with an empty line, since a file
/// without a line break at its end would swallow its first one.
fn drop_in(tree: &Tree, wanted: &Wanted) -> Tree {
    let others: Vec<&[u8]> = tree
        .rules_d
        .iter()
        .flatten()
        .map(|entry| entry.name.as_slice())
        .filter(|name| *name != DROP_IN.as_bytes())
        .collect();
    let last = file_names::in_order(&others).pop();
    let mut name = DROP_IN.to_owned();
    // Each z more sorts further behind.
    while name.len() < MOST_COMMENT_BYTES
        && last
            .as_deref()
            .is_some_and(|last| file_names::by_version(last, name.as_bytes()).is_ge())
    {
        name.insert(0, 'z');
    }
    let file = format!("{RULES_D}/{name}");
    let mut text = b"\n".to_vec();
    text.extend(block(wanted));
    text.extend(kept(content(tree, &file).unwrap_or_default(), wanted));
    placement::with(tree, &file, &text)
}

/// Of our own file's lines: what sets that which is left as it is.
fn kept(content: &[u8], wanted: &Wanted) -> Vec<u8> {
    let is_kept = |line: &&[u8]| {
        (wanted.limit.is_none() && line.starts_with(b"-b "))
            || (wanted.wait_time.is_none() && line.starts_with(b"--backlog_wait_time "))
    };
    let lines = content.split_inclusive(|&byte| byte == b'\n');
    lines.filter(is_kept).flatten().copied().collect()
}

/// The tree with the lines that decide now replaced in their places; `None` where one is no plain line.
fn replaced(tree: &Tree, now: &Boot, wanted: &Wanted) -> Option<Tree> {
    let mut edited = tree.clone();
    // From behind, so that the other's number holds when a comment comes before it.
    let mut orders = Vec::new();
    if let Some(limit) = wanted.limit {
        let place = now.decided_by.as_ref()?;
        orders.push((place, "-b", format!("-b {limit}")));
    }
    if let Some(jiffies) = wanted.wait_time {
        let place = now.wait_decided_by.as_ref()?;
        let option = "--backlog_wait_time";
        orders.push((place, option, format!("{option} {jiffies}")));
    }
    orders.sort_by_key(|(place, ..)| std::cmp::Reverse(place.line));
    for (place, option, line) in orders {
        let content = content(&edited, &place.file)?;
        let new = with_line(content, place, option, &line, &wanted.comment)?;
        edited = placement::with(&edited, &place.file, &new);
    }
    Some(edited)
}

/// A hand-kept file with each line replaced where it decides now, and put in behind `-D` where none does.
fn in_order(tree: &Tree, now: &Boot, wanted: &Wanted) -> Tree {
    let mut edited = tree.clone();
    let parts = [
        wanted.wait_time.map(|_| Wanted {
            limit: None,
            ..wanted.clone()
        }),
        wanted.limit.map(|_| Wanted {
            wait_time: None,
            ..wanted.clone()
        }),
    ];
    // A line that is put in shifts all behind it: what is replaced comes first, from behind.
    let (mut in_place, mut put_in): (Vec<Wanted>, Vec<Wanted>) = parts
        .into_iter()
        .flatten()
        .partition(|part| replaced(tree, now, part).is_some());
    let line_of = |part: &Wanted| {
        let place = if part.limit.is_some() {
            now.decided_by.as_ref()
        } else {
            now.wait_decided_by.as_ref()
        };
        std::cmp::Reverse(place.map_or(0, |place| place.line))
    };
    in_place.sort_by_key(line_of);
    for part in &in_place {
        if let Some(next) = replaced(&edited, now, part) {
            edited = next;
        }
    }
    for part in put_in.drain(..) {
        let bytes = content(&edited, AUDIT_RULES).unwrap_or_default().to_vec();
        let new = behind_deletion(&bytes, &part);
        edited = placement::with(&edited, AUDIT_RULES, &new);
    }
    edited
}

/// A hand-kept file with the lines at its very top, where nothing can stop the load before them.
fn at_the_top(tree: &Tree, wanted: &Wanted) -> Tree {
    let mut new = block(wanted);
    new.extend(content(tree, AUDIT_RULES).unwrap_or_default());
    placement::with(tree, AUDIT_RULES, &new)
}

/// A hand-kept file with the lines at its end, where they win against all before them.
fn at_the_end(tree: &Tree, wanted: &Wanted) -> Tree {
    let mut new = content(tree, AUDIT_RULES).unwrap_or_default().to_vec();
    if new.last().is_some_and(|&byte| byte != b'\n') {
        new.push(b'\n');
    }
    new.extend(block(wanted));
    placement::with(tree, AUDIT_RULES, &new)
}

/// The comments and lines, as they are put in.
fn block(wanted: &Wanted) -> Vec<u8> {
    let mut text = Vec::new();
    for line in wanted
        .comment
        .iter()
        .map(|line| comment(line))
        .chain(lines(wanted))
    {
        text.extend(line.into_bytes());
        text.push(b'\n');
    }
    text
}

/// The lines put in behind the last `-D`, or at the top where there is none.
fn behind_deletion(content: &[u8], wanted: &Wanted) -> Vec<u8> {
    let mut at = 0;
    let mut end = 0;
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        end += line.len();
        if line.trim_ascii() == b"-D" {
            at = end;
        }
    }
    let mut new = content.get(..at).unwrap_or_default().to_vec();
    if new.last().is_some_and(|&byte| byte != b'\n') {
        new.push(b'\n');
    }
    new.extend(block(wanted));
    new.extend(content.get(at..).unwrap_or_default());
    new
}

/// A file with one line replaced, a comment of ours before it; `None` where that line is no plain one of
/// this option.
fn with_line(
    content: &[u8],
    place: &Place,
    option: &str,
    new_line: &str,
    comments: &[String],
) -> Option<Vec<u8>> {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut found = false;
    for (number, line) in (1_u32..).zip(content.split_inclusive(|&byte| byte == b'\n')) {
        if number != place.line {
            kept.push(line.to_vec());
            continue;
        }
        let words = line.trim_ascii().strip_prefix(option.as_bytes())?;
        let is_plain = words.first().is_some_and(u8::is_ascii_whitespace)
            && !words.trim_ascii().is_empty()
            && words
                .trim_ascii()
                .iter()
                .all(|byte| !byte.is_ascii_whitespace());
        if !is_plain {
            return None;
        }
        while kept
            .last()
            .is_some_and(|line| line.starts_with(MARK.as_bytes()))
        {
            kept.pop();
        }
        let indent = line.len() - line.trim_ascii_start().len();
        let ending = line.len() - line.trim_ascii_end().len();
        for text in comments {
            kept.push(format!("{}\n", comment(text)).into_bytes());
        }
        let mut new = line.get(..indent).unwrap_or_default().to_vec();
        new.extend(new_line.bytes());
        new.extend(line.get(line.len() - ending..).unwrap_or_default());
        kept.push(new);
        found = true;
    }
    found.then(|| kept.concat())
}

fn content<'a>(tree: &'a Tree, file: &str) -> Option<&'a [u8]> {
    let name = file
        .strip_prefix(RULES_D)
        .and_then(|rest| rest.strip_prefix('/'));
    match (name, &tree.audit_rules) {
        (Some(name), _) => {
            let entries = tree.rules_d.as_deref()?;
            let entry = entries.iter().find(|entry| entry.name == name.as_bytes())?;
            entry.content.as_deref()
        }
        (None, AuditRules::File { content, .. }) => Some(content),
        (None, AuditRules::Missing | AuditRules::NoFile) => None,
    }
}

/// What differs between two trees, file by file.
fn edits(before: &Tree, after: &Tree) -> Vec<Edit> {
    let names = after
        .rules_d
        .iter()
        .flatten()
        .map(|entry| format!("{RULES_D}/{}", String::from_utf8_lossy(&entry.name)));
    names
        .chain([AUDIT_RULES.to_owned()])
        .filter_map(|file| {
            let (was, is) = (content(before, &file), content(after, &file)?);
            (was != Some(is)).then(|| Edit {
                before: was.map(<[u8]>::to_vec),
                after: is.to_vec(),
                file,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
