//! The journal: what a bench has changed, on a disk that ends with the boot.
//!
//! In: changes, each before it is made. Out: the changes of a bench that was killed together with its keeper.
//! A journal that another user than root could have written is refused: it names programs and directories.

use std::io::{Read as _, Write as _};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{
    changes::Changes,
    child::ChildId,
    directory::{self, Directory},
    programs,
};

/// Its name in `/run/auditwatch`, and that of one in the making.
const NAME: &str = "bench.json";
const NEW: &str = "bench.json.new";
/// Its path, for messages.
const PATH: &str = "/run/auditwatch/bench.json";
/// Longest that is read, bytes.
const MAX_BYTES: u64 = 1 << 20;

/// What stands on disk.
#[derive(Debug, Serialize, Deserialize)]
pub struct Journal {
    /// Who is to restore it.
    pub keeper: Option<ChildId>,
    /// What.
    pub changes: Changes,
}

/// Writes the journal, all of it or nothing.
///
/// # Errors
/// If it cannot be written, or others than root can write to its directory.
pub fn write(changes: &Changes) -> Result<()> {
    write_in(&Directory::run()?, changes)
}

fn write_in(directory: &Directory, changes: &Changes) -> Result<()> {
    let cannot = || format!("cannot write {PATH}");
    let text = serde_json::to_vec(&Journal {
        keeper: ChildId::of(std::process::id()),
        changes: changes.clone(),
    })?;
    directory.remove(NEW).with_context(cannot)?;
    let mut file = directory.create(NEW)?;
    file.write_all(&text)
        .and_then(|()| file.sync_all())
        .with_context(cannot)?;
    directory.rename(NEW, NAME).with_context(cannot)
}

/// Removes the journal.
///
/// # Errors
/// If it cannot be removed.
pub fn remove() -> Result<()> {
    Directory::run()?
        .remove(NAME)
        .with_context(|| format!("cannot remove {PATH}"))
}

/// Reads the journal; `None` if there is none.
///
/// # Errors
/// If it cannot be read, others than root could have written it, or it names a program or a directory that no
/// bench uses.
pub fn read() -> Result<Option<Journal>> {
    read_in(&Directory::run()?)
}

fn read_in(directory: &Directory) -> Result<Option<Journal>> {
    let Some(file) = directory.find(NAME)? else {
        return Ok(None);
    };
    let way_out = || {
        format!(
            "{PATH} is not a bench's journal and is not followed; check the audit settings (auditwatch status), \
             then remove it: rm {PATH}"
        )
    };
    let mut text = Vec::new();
    file.take(MAX_BYTES)
        .read_to_end(&mut text)
        .with_context(|| format!("cannot read {PATH}"))?;
    let journal: Journal = serde_json::from_slice(&text).with_context(way_out)?;
    check(&journal.changes).with_context(way_out)?;
    Ok(Some(journal))
}

/// Whether a bench could have made these changes.
fn check(changes: &Changes) -> Result<()> {
    for path in &changes.directories {
        ensure!(
            directory::is_working(path),
            "{} is not a working directory of a bench",
            path.display()
        );
    }
    changes.auditd.as_ref().map_or(Ok(()), programs::check)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::bench::{changes::Auditd, directory::tests::opened};

    #[test]
    fn journal_that_others_can_write_is_refused() {
        let (_scratch, directory) = opened();
        assert!(read_in(&directory).expect("none").is_none());
        write_in(&directory, &Changes::default()).expect("written");
        write_in(&directory, &Changes::default()).expect("written again");
        assert!(read_in(&directory).expect("trusted").is_some());
        let path = directory.path();
        let file = path.join(NAME);
        let mode = |bits| {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(bits)).expect("set");
        };
        for bits in [0o666, 0o620, 0o602] {
            mode(bits);
            let words = format!("{:#}", read_in(&directory).expect_err("others can write"));
            for word in [NAME, &format!("{bits:04o}"), "rm "] {
                assert!(words.contains(word), "{words}");
            }
        }
        mode(0o600);
        // Another name of it may be where others can write.
        std::fs::hard_link(&file, path.join("other")).expect("linked");
        read_in(&directory).expect_err("two names");
        std::fs::remove_file(&file).expect("removed");
        std::os::unix::fs::symlink(path.join("other"), &file).expect("linked");
        read_in(&directory).expect_err("a link");
    }

    #[test]
    fn journal_that_names_foreign_programs_or_directories_is_refused() {
        let (_scratch, directory) = opened();
        let of = |words: &[&str], unit: Option<&str>| Changes {
            auditd: Some(Auditd {
                command: words.iter().map(|&word| word.to_owned()).collect(),
                unit: unit.map(str::to_owned),
            }),
            ..Changes::default()
        };
        let foreign = [
            of(&["/tmp/x"], None),
            of(&["auditd"], None),
            of(&["/tmp/../sbin/auditd"], None),
            of(&[], None),
            of(&["/sbin/auditd"], Some("--root=/tmp/x.service")),
            of(&["/sbin/auditd"], Some("../x.service")),
            of(&["/sbin/auditd"], Some("x.timer")),
            Changes {
                directories: vec!["/etc".into()],
                ..Changes::default()
            },
        ];
        for changes in &foreign {
            write_in(&directory, changes).expect("written");
            let words = format!("{:#}", read_in(&directory).expect_err("foreign"));
            assert!(words.contains("rm "), "{words}");
        }
        for changes in [
            of(&["/sbin/auditd", "-n"], None),
            of(&["/usr/sbin/auditd"], Some("auditd.service")),
        ] {
            write_in(&directory, &changes).expect("written");
            read_in(&directory).expect("a bench's own");
        }
    }
}
