//! Tests of the bench's directory: what somebody else may have put in its place.

use std::{
    fs::{Permissions, read_link, set_permissions},
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use tempfile::TempDir;

use super::*;

/// A directory of this user's, and its path without links.
fn scratch() -> (TempDir, PathBuf) {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = std::fs::canonicalize(scratch.path()).expect("a path");
    (scratch, path)
}

/// The same, opened.
pub(in crate::bench) fn opened() -> (TempDir, Directory) {
    let (scratch, path) = scratch();
    (scratch, Directory::open(&path).expect("trusted"))
}

fn mode(path: &Path) -> u32 {
    let found = std::fs::metadata(path).expect("it is there");
    found.permissions().mode() & 0o7777
}

#[test]
fn new_directories_and_files_are_for_root_alone() {
    let (_scratch, path) = scratch();
    let directory = Directory::open(&path).expect("trusted");
    let made = directory.make("new").expect("made").expect("free");
    assert_eq!(mode(made.path()), 0o700);
    let mut file = made.create("file").expect("made");
    file.write_all(b"text").expect("written");
    assert_eq!(mode(&made.path().join("file")), 0o600);
    let (one, other) = (made.make_unique("x-"), made.make_unique("x-"));
    assert_ne!(one.expect("made").path(), other.expect("made").path());
    made.remove_all().expect("removed");
    assert!(!path.join("new").exists());
}

#[test]
fn nothing_that_is_there_already_is_taken_over() {
    let (_scratch, path) = scratch();
    let victim = path.join("victim");
    std::fs::write(&victim, "precious").expect("written");
    set_permissions(&victim, Permissions::from_mode(0o640)).expect("set");
    std::fs::create_dir(path.join("elsewhere")).expect("made");
    symlink(&victim, path.join("link")).expect("linked");
    symlink(path.join("elsewhere"), path.join("link-to-directory")).expect("linked");
    symlink(path.join("nothing"), path.join("dangling")).expect("linked");
    let directory = Directory::open(&path).expect("trusted");
    for name in ["link", "link-to-directory", "dangling", "elsewhere"] {
        assert!(directory.make(name).expect("looked").is_none(), "{name}");
        directory.create(name).expect_err(name);
    }
    for name in ["link", "link-to-directory", "dangling"] {
        directory.open_or_create(name).expect_err(name);
        directory.find(name).expect_err(name);
        Directory::open(&path.join(name)).expect_err(name);
    }
    assert_eq!(std::fs::read(&victim).expect("read"), b"precious");
    assert_eq!(mode(&victim), 0o640);
    assert!(!path.join("nothing").exists());
    assert!(read_link(path.join("dangling")).is_ok());
}

#[test]
fn directory_that_others_can_write_is_refused_with_its_mode() {
    let (_scratch, path) = scratch();
    let open = path.join("open");
    std::fs::create_dir(&open).expect("made");
    std::fs::create_dir(open.join("below")).expect("made");
    for bits in [0o777, 0o770, 0o702] {
        set_permissions(&open, Permissions::from_mode(bits)).expect("set");
        for path in [open.clone(), open.join("below")] {
            let words = Directory::open(&path).expect_err("not trusted").to_string();
            assert!(words.contains(&format!("{} is not trusted", open.display())));
            assert!(words.contains(&format!("{bits:04o}")), "{words}");
        }
        Directory::make_below(&path, "open").expect_err("not trusted");
    }
    // As /tmp is: what is in it cannot be replaced, but it is not a place for a journal.
    set_permissions(&open, Permissions::from_mode(0o1777)).expect("set");
    Directory::open(&open.join("below")).expect("trusted");
    Directory::make_below(&path, "open").expect_err("others can write to it");
    Directory::make_below(&open, "below").expect("trusted");
}

#[test]
fn links_above_our_own_directory_are_the_systems() {
    let (_scratch, path) = scratch();
    std::fs::create_dir(path.join("data")).expect("made");
    symlink(path.join("data"), path.join("lib")).expect("linked");
    let directory = Directory::make_below(&path.join("lib"), "own").expect("made");
    assert_eq!(directory.path(), path.join("data/own"));
    symlink(path.join("data"), path.join("lib/link")).expect("linked");
    Directory::make_below(&path.join("lib"), "link").expect_err("a link");
}

#[test]
fn only_working_directories_of_a_bench_are_removed() {
    let parent = std::fs::canonicalize(STATE).map_or_else(|_| STATE.into(), |base| base.join(OWN));
    assert!(is_working(&parent.join(working_name())));
    let foreign = [
        PathBuf::from("/etc"),
        parent.join("journal.jsonl"),
        parent.join("bench-0123456789abcdeg"),
        parent.join("bench-0123456789abcde"),
        parent.join("bench-0123456789abcdef/.."),
        parent.join("bench-0123456789abcdef/below"),
        parent.join(format!("../auditwatch/{}", working_name())),
        PathBuf::from("/var/tmp").join(working_name()),
    ];
    for path in foreign {
        assert!(!is_working(&path), "{}", path.display());
        remove_working(&path).expect_err("left alone");
    }
}
