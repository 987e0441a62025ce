//! Rotated files. In: names of files. Out: the logs that they belong to, oldest file first.

use std::ffi::OsString;

/// A log and what it was rotated to, oldest first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Family {
    /// The name of the newest file.
    pub name: String,
    /// The files, oldest first.
    pub files: Vec<OsString>,
}

/// Puts rotated files behind each other: `messages-20210801`, `messages`; `kern.log.2.gz`, `kern.log.1`,
/// `kern.log`.
pub(super) fn families(names: &[OsString]) -> Vec<Family> {
    let mut found: Vec<(String, Age, &OsString)> = names
        .iter()
        .map(|name| {
            let text = name.to_string_lossy();
            let (family, age) = rotated(&text);
            (family.to_owned(), age, name)
        })
        .collect();
    found.sort();
    let mut families: Vec<Family> = Vec::new();
    for (name, _, file) in found {
        match families.last_mut() {
            Some(family) if family.name == name => family.files.push(file.clone()),
            _ => families.push(Family {
                name,
                files: vec![file.clone()],
            }),
        }
    }
    families
}

/// How old a rotated file is; the oldest first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    Dated(u64),
    Numbered(std::cmp::Reverse<u64>),
    Current,
}

/// The log that a file belongs to, and its age.
fn rotated(name: &str) -> (&str, Age) {
    let plain = ["gz", "xz", "bz2", "zst"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending)?.strip_suffix('.'))
        .unwrap_or(name);
    if let Some((log, date)) = plain.rsplit_once('-')
        && date.len() >= 8
        && let Ok(date) = date.parse()
    {
        return (log, Age::Dated(date));
    }
    if let Some((log, number)) = plain.rsplit_once('.')
        && let Ok(number) = number.parse()
    {
        return (log, Age::Numbered(std::cmp::Reverse(number)));
    }
    (plain, Age::Current)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn rotated_files_follow_each_other() {
        let names: Vec<OsString> = [
            "kern.log",
            "kern.log.1",
            "kern.log.10.gz",
            "kern.log.2.gz",
            "messages",
            "messages-20210801.gz",
            "messages-20210808",
            "syslog.1",
        ]
        .map(OsString::from)
        .to_vec();
        let found: Vec<(String, Vec<String>)> = families(&names)
            .into_iter()
            .map(|family| {
                let files = family.files.iter();
                let files = files.map(|file| String::from_utf8_lossy(file.as_bytes()).into_owned());
                (family.name, files.collect())
            })
            .collect();
        let strings = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(
            found,
            [
                (
                    "kern.log".to_owned(),
                    strings(&["kern.log.10.gz", "kern.log.2.gz", "kern.log.1", "kern.log"])
                ),
                (
                    "messages".to_owned(),
                    strings(&["messages-20210801.gz", "messages-20210808", "messages"])
                ),
                ("syslog".to_owned(), strings(&["syslog.1"])),
            ]
        );
    }
}
