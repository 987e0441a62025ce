//! Tests of files that are replaced whole.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn root() -> (TempDir, Root) {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(directory.path().join("etc")).expect("a directory");
    let root = Root::open(directory.path()).expect("the root");
    (directory, root)
}

/// Staged over what is there.
fn stage(root: &Root, path: &Path, bytes: &[u8]) -> Result<Staged, FileError> {
    let before = read(root, path).ok().flatten();
    super::stage(root, path, bytes, before.as_deref())
}

fn names(root: &Root) -> Vec<OsString> {
    root.names(Path::new("/etc")).expect("names")
}

#[test]
fn a_file_keeps_its_mode_and_attributes() {
    let (_directory, root) = root();
    let path = Path::new("/etc/audit.rules");
    let outside = root.outside(path);
    fs::write(&outside, "old").expect("a file");
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o604)).expect("a mode");
    let labelled = File::open(&outside).is_ok_and(|file| {
        rustix::fs::fsetxattr(&file, "user.label", b"kept", XattrFlags::empty()).is_ok()
    });
    stage(&root, path, b"new")
        .expect("staged")
        .place()
        .expect("placed");
    assert_eq!(fs::read(&outside).expect("a file"), b"new");
    let mode = fs::metadata(&outside).expect("a file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o604);
    if labelled {
        let file = File::open(&outside).expect("a file");
        assert_eq!(attribute(&file, b"user.label").expect("a label"), b"kept");
    }
    assert_eq!(names(&root), ["audit.rules"]);
}

#[test]
fn until_it_is_placed_nothing_has_changed() {
    let (_directory, root) = root();
    let path = Path::new("/etc/audit.rules");
    fs::write(root.outside(path), "old").expect("a file");
    let staged = stage(&root, path, b"new").expect("staged");
    assert_eq!(
        read(&root, path).expect("read").as_deref(),
        Some(b"old".as_slice())
    );
    assert!(names(&root).iter().any(|name| is_leftover(name)));
    drop(staged);
    assert_eq!(names(&root), ["audit.rules"]);
    // One that a crash has left is cleared away.
    fs::write(
        root.outside(Path::new("/etc/.audit.rules.auditwatch-new")),
        "torn",
    )
    .expect("a file");
    stage(&root, path, b"new")
        .expect("staged")
        .place()
        .expect("placed");
    assert_eq!(names(&root), ["audit.rules"]);
}

#[test]
fn a_new_file_is_roots_alone_and_can_be_removed() {
    let (_directory, root) = root();
    let path = Path::new("/etc/zz.rules");
    assert_eq!(read(&root, path).expect("none"), None);
    stage(&root, path, b"new")
        .expect("staged")
        .place()
        .expect("placed");
    let mode = fs::metadata(root.outside(path))
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, NEW_MODE);
    let error = remove(&root, path, b"other").expect_err("it holds other bytes");
    assert!(matches!(error, FileError::Changed { .. }), "{error}");
    assert_eq!(names(&root), ["zz.rules"]);
    remove(&root, path, b"new").expect("removed");
    remove(&root, path, b"new").expect("nothing to remove is fine");
    assert_eq!(names(&root), [""; 0]);
}

/// What an administrator does between the staging and the placing.
const EDITS: [fn(&Path); 4] = [
    |path| fs::write(path, "an edit").expect("a file"),
    |path| {
        let new = path.with_extension("tmp");
        fs::write(&new, "an edit").expect("a file");
        fs::rename(new, path).expect("renamed");
    },
    |path| fs::remove_file(path).expect("removed"),
    |path| {
        fs::remove_file(path).expect("removed");
        symlink("other", path).expect("a link");
    },
];

#[test]
fn concurrent_write_of_another_program_is_kept() {
    let ways: [fn(Staged) -> Result<(), FileError>; 2] = [Staged::place, Staged::place_plainly];
    for place in ways {
        for edit in EDITS {
            let (_directory, root) = root();
            let path = Path::new("/etc/audit.rules");
            let outside = root.outside(path);
            fs::write(&outside, "old").expect("a file");
            let staged = stage(&root, path, b"new").expect("staged");
            edit(&outside);
            let edited = (fs::read_link(&outside).ok(), fs::read(&outside).ok());
            let error = place(staged).expect_err("somebody has changed it");
            assert!(error.to_string().contains("another program changed"));
            assert_eq!(
                (fs::read_link(&outside).ok(), fs::read(&outside).ok()),
                edited
            );
            let left: Vec<OsString> = names(&root);
            assert!(!left.iter().any(|name| is_leftover(name)), "{left:?}");
        }
        let (_directory, root) = root();
        let path = Path::new("/etc/audit.rules");
        let staged = stage(&root, path, b"new").expect("staged");
        fs::write(root.outside(path), "made meanwhile").expect("a file");
        place(staged).expect_err("somebody has made it");
        assert_eq!(
            fs::read(root.outside(path)).expect("a file"),
            b"made meanwhile"
        );
        fs::remove_file(root.outside(path)).expect("removed");
        let staged = stage(&root, path, b"new").expect("staged");
        place(staged).expect("placed");
        let staged = stage(&root, path, b"newer").expect("staged");
        place(staged).expect("placed");
        assert_eq!(fs::read(root.outside(path)).expect("a file"), b"newer");
        assert_eq!(names(&root), ["audit.rules"]);
    }
}

#[test]
fn only_plain_files_are_replaced() {
    let (_directory, root) = root();
    fs::create_dir(root.outside(Path::new("/etc/directory"))).expect("a directory");
    fs::write(root.outside(Path::new("/etc/file")), "old").expect("a file");
    symlink("file", root.outside(Path::new("/etc/link"))).expect("a link");
    let said = |path: &str| match stage(&root, Path::new(path), b"new") {
        Ok(_) => panic!("{path} was taken"),
        Err(error) => error.to_string(),
    };
    assert!(said("/etc/directory").contains("is a directory"));
    assert!(said("/etc/link").contains("symbolic link to file"));
    assert!(said("/missing/file").contains("cannot open the directory"));
    fs::hard_link(
        root.outside(Path::new("/etc/file")),
        root.outside(Path::new("/etc/other")),
    )
    .expect("a link");
    assert!(said("/etc/file").contains("2 hard links"));
    assert_eq!(
        fs::read(root.outside(Path::new("/etc/file"))).expect("a file"),
        b"old"
    );
}

proptest! {
    #[test]
    fn any_bytes_come_back(old in proptest::collection::vec(any::<u8>(), 0..300),
                           new in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (_directory, root) = root();
        let path = Path::new("/etc/file");
        fs::write(root.outside(path), &old).expect("a file");
        stage(&root, path, &new).expect("staged").place().expect("placed");
        prop_assert_eq!(read(&root, path).expect("read"), Some(new));
        stage(&root, path, &old).expect("staged").place().expect("placed");
        prop_assert_eq!(read(&root, path).expect("read"), Some(old));
    }
}
