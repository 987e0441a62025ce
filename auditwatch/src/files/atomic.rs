//! Files that are replaced whole: at every moment the old one or the new one is there.
//!
//! In: a root, a path, bytes. Out: the file with these bytes, with the mode, owner, security label and
//! ACL of the one before. A replacement is staged first, all of it on disk beside the file; what can
//! go wrong goes wrong then. It must not follow a link in the file's place: what a link points to
//! belongs to somebody else.

use std::{
    ffi::{OsStr, OsString},
    fs::{File, Metadata},
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, Access, AtFlags, Gid, Mode, OFlags, RenameFlags, Uid, XattrFlags},
    io::Errno,
};
use thiserror::Error;

use crate::files::root::{Root, reopen};

/// Mode of a file that is new: as augenrules gives it.
const NEW_MODE: u32 = 0o640;
/// Attributes that are about the bytes, and would be wrong with others.
const ABOUT_THE_BYTES: [&[u8]; 2] = [b"security.ima", b"security.evm"];

/// What can go wrong.
#[derive(Debug, Error)]
pub enum FileError {
    /// A system call failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file, as seen from outside of the root.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// There is a link in the file's place.
    #[error(
        "{} is a symbolic link to {}, a file that other software may manage; replace the link with a regular \
         file, or edit the target yourself",
        path.display(), target.display()
    )]
    Link {
        /// The link.
        path: PathBuf,
        /// What it says.
        target: PathBuf,
    },
    /// There is something else in the file's place.
    #[error("{} is {what}, not a regular file; move it away", path.display())]
    NotAFile {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// It has other names.
    #[error(
        "{} has {links} hard links, and replacing it would break them; remove the other links",
        path.display()
    )]
    HardLinks {
        /// The file.
        path: PathBuf,
        /// Its names.
        links: u64,
    },
    /// Somebody else wrote it meanwhile.
    #[error(
        "another program changed {} meanwhile, so it is not written; check it, then try again",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

/// A file's place: its directory, and its name there.
struct Place {
    directory: File,
    name: OsString,
    /// As seen from outside of the root, for messages.
    shown: PathBuf,
}

impl Place {
    fn open(root: &Root, path: &Path) -> Result<Self, FileError> {
        let parent = path.parent().unwrap_or_else(|| Path::new("/"));
        let directory = root
            .open_to_change(parent)
            .map_err(|source| FileError::Io {
                action: "open the directory",
                path: root.outside(parent),
                source,
            })?;
        Ok(Self {
            directory,
            name: path.file_name().unwrap_or_default().to_owned(),
            shown: root.outside(path),
        })
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(Errno) -> FileError {
        let path = self.shown.clone();
        move |error| FileError::Io {
            action,
            path,
            source: error.into(),
        }
    }

    /// The name of a replacement: one that no rules loader takes for rules, and that a later run finds.
    fn beside(&self) -> OsString {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(".auditwatch-new");
        name
    }

    /// The file that is there, opened to be read; `None` where there is none.
    fn existing(&self) -> Result<Option<File>, FileError> {
        self.open_name(&self.name)
    }

    /// The file of a name in the directory. Nothing but a regular file is opened to be read.
    fn open_name(&self, name: &OsStr) -> Result<Option<File>, FileError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file: File = match fs::openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => file.into(),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.failed("open")(error)),
        };
        let found = self.metadata(&file)?;
        let what = if found.is_symlink() {
            let target = fs::readlinkat(&file, "", Vec::new())
                .map(|target| PathBuf::from(OsString::from(target.to_string_lossy().into_owned())))
                .unwrap_or_default();
            return Err(FileError::Link {
                path: self.shown.clone(),
                target,
            });
        } else if found.is_dir() {
            "a directory"
        } else if found.is_file() {
            if found.nlink() > 1 {
                return Err(FileError::HardLinks {
                    path: self.shown.clone(),
                    links: found.nlink(),
                });
            }
            return match reopen(&file) {
                Ok(file) => Ok(Some(file)),
                Err(source) => Err(FileError::Io {
                    action: "open",
                    path: self.shown.clone(),
                    source,
                }),
            };
        } else {
            "a device, pipe or socket"
        };
        Err(FileError::NotAFile {
            path: self.shown.clone(),
            what,
        })
    }

    /// Whether a name is that of a file with these bytes, or of none.
    fn has(&self, name: &OsStr, bytes: Option<&[u8]>) -> bool {
        match (self.open_name(name), bytes) {
            (Ok(None), None) => true,
            (Ok(Some(file)), Some(bytes)) => {
                let mut found = Vec::new();
                let most = bytes.len() as u64 + 1;
                file.take(most).read_to_end(&mut found).is_ok() && found == bytes
            }
            _ => false,
        }
    }

    fn changed(&self) -> FileError {
        FileError::Changed {
            path: self.shown.clone(),
        }
    }

    fn metadata(&self, file: &File) -> Result<Metadata, FileError> {
        file.metadata().map_err(|source| FileError::Io {
            action: "look at",
            path: self.shown.clone(),
            source,
        })
    }

    /// Takes away a replacement that an earlier run has left.
    fn clear(&self) -> Result<(), FileError> {
        match fs::unlinkat(&self.directory, self.beside(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed("clear the way for")(error)),
        }
    }

    fn sync(&self) -> Result<(), FileError> {
        self.directory.sync_all().map_err(|source| FileError::Io {
            action: "write the directory of",
            path: self.shown.clone(),
            source,
        })
    }
}

/// Looks whether a file could be replaced or made, as far as that shows before it is tried.
///
/// # Errors
/// When it cannot: what is in its place is no regular file, there is no directory, or nothing can be
/// written there.
pub fn check(root: &Root, path: &Path) -> Result<(), FileError> {
    let place = Place::open(root, path)?;
    if place.existing()?.is_some() {
        // Root passes all but a file that was made immutable, or is on a read-only file system.
        fs::accessat(
            &place.directory,
            &place.name,
            Access::WRITE_OK,
            AtFlags::empty(),
        )
        .map_err(place.failed("change"))?;
    }
    fs::accessat(&place.directory, ".", Access::WRITE_OK, AtFlags::empty())
        .map_err(place.failed("make a new version of"))
}

/// A replacement that is on disk, and not yet in its place. Dropped, it is taken away.
pub struct Staged {
    place: Place,
    beside: OsString,
    /// What the file is expected to hold until it is replaced; `None` where there is none.
    before: Option<Vec<u8>>,
    /// Which file it is: device and inode.
    made: (u64, u64),
    is_placed: bool,
}

/// Puts a file's replacement on disk, beside it. `before` is what the file is known to hold, `None` where there is none:
/// it is replaced only if it still does then.
///
/// # Errors
/// When that cannot be, or what is in the file's place is no regular file: nothing has changed then.
pub fn stage(
    root: &Root,
    path: &Path,
    bytes: &[u8],
    before: Option<&[u8]>,
) -> Result<Staged, FileError> {
    check(root, path)?;
    let place = Place::open(root, path)?;
    let existing = place.existing()?;
    place.clear()?;
    let beside = place.beside();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Nobody else reads it before it has the mode of the one that it replaces.
    let mode = Mode::from_raw_mode(0o600);
    let file = fs::openat(&place.directory, &beside, flags, mode)
        .map_err(place.failed("make a new version of"))?;
    let its = fs::fstat(&file).map_err(place.failed("look at"))?;
    let staged = Staged {
        made: (its.st_dev, its.st_ino),
        place,
        beside,
        before: before.map(<[u8]>::to_vec),
        is_placed: false,
    };
    let mut file = File::from(file);
    let failed = |source| FileError::Io {
        action: "write a new version of",
        path: staged.place.shown.clone(),
        source,
    };
    file.write_all(bytes).map_err(failed)?;
    match &existing {
        Some(existing) => take_after(&file, existing, &staged.place)?,
        None => fs::fchmod(&file, Mode::from_raw_mode(NEW_MODE))
            .map_err(staged.place.failed("set the mode of"))?,
    }
    file.sync_all().map_err(failed)?;
    Ok(staged)
}

/// Gives a new file the owner, mode and attributes of the one that it replaces.
fn take_after(file: &File, existing: &File, place: &Place) -> Result<(), FileError> {
    let found = place.metadata(existing)?;
    let made = place.metadata(file)?;
    if (made.uid(), made.gid()) != (found.uid(), found.gid()) {
        let (user, group) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
        fs::fchown(file, Some(user), Some(group)).map_err(place.failed("keep the owner of"))?;
    }
    fs::fchmod(file, Mode::from_raw_mode(found.mode()))
        .map_err(place.failed("keep the mode of"))?;
    for name in attribute_names(existing).map_err(place.failed("read the attributes of"))? {
        if ABOUT_THE_BYTES.contains(&name.as_slice()) {
            continue;
        }
        let value = attribute(existing, &name).map_err(place.failed("read the attributes of"))?;
        if attribute(file, &name).is_ok_and(|has| has == value) {
            continue;
        }
        fs::fsetxattr(file, name.as_slice(), &value, XattrFlags::empty())
            .map_err(place.failed("keep the attributes (SELinux label, ACL) of"))?;
    }
    Ok(())
}

/// Names of a file's extended attributes; none where the file system has no such.
fn attribute_names(file: &File) -> Result<Vec<Vec<u8>>, Errno> {
    let mut list = vec![0; 64 << 10];
    let length = match fs::flistxattr(file, list.as_mut_slice()) {
        Err(Errno::NOTSUP) => 0,
        length => length?,
    };
    list.truncate(length);
    let names = list.split(|&byte| byte == 0);
    Ok(names
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect())
}

fn attribute(file: &File, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; 64 << 10];
    let length = fs::fgetxattr(file, name, value.as_mut_slice())?;
    value.truncate(length);
    Ok(value)
}

impl Staged {
    /// Puts it in its place, unless somebody else has changed the file since it was looked at: what they wrote is never
    /// lost. The two change places, and what came out is compared, so that nothing fits in between.
    ///
    /// # Errors
    /// When it cannot be, or they have: then the old one is there as before, or theirs.
    pub fn place(self) -> Result<(), FileError> {
        let careful = if self.before.is_some() {
            RenameFlags::EXCHANGE
        } else {
            RenameFlags::NOREPLACE
        };
        match self.rename(careful) {
            Ok(()) if self.before.is_some() => self.settle(),
            Ok(()) => self.finish(),
            Err(error) if is_beyond_the_file_system(error) => self.place_plainly(),
            // It is gone, or somebody has made one.
            Err(Errno::NOENT | Errno::EXIST) => Err(self.place.changed()),
            Err(error) => Err(self.place.failed("replace")(error)),
        }
    }

    /// Where the file system cannot let them change places: what is there is compared right before.
    fn place_plainly(self) -> Result<(), FileError> {
        if !self.place.has(&self.place.name, self.before.as_deref()) {
            return Err(self.place.changed());
        }
        self.rename(RenameFlags::empty())
            .map_err(self.place.failed("replace"))?;
        self.finish()
    }

    /// After the two have changed places: what came out is what was expected, or they change again.
    fn settle(mut self) -> Result<(), FileError> {
        if self.place.has(&self.beside, self.before.as_deref()) {
            fs::unlinkat(&self.place.directory, &self.beside, AtFlags::empty())
                .map_err(self.place.failed("remove the old version of"))?;
            return self.finish();
        }
        // What is beside it now is theirs, and stays where it cannot go back.
        self.is_placed = true;
        self.rename(RenameFlags::EXCHANGE)
            .map_err(self.place.failed("put back"))?;
        self.is_placed = false;
        Err(self.place.changed())
    }

    fn finish(mut self) -> Result<(), FileError> {
        self.is_placed = true;
        self.place.sync()
    }

    fn rename(&self, flags: RenameFlags) -> Result<(), Errno> {
        let directory = &self.place.directory;
        fs::renameat_with(directory, &self.beside, directory, &self.place.name, flags)
    }
}

/// Whether a file system (or a kernel) has no such renaming.
const fn is_beyond_the_file_system(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::NOTSUP)
}

impl Drop for Staged {
    fn drop(&mut self) {
        let beside = fs::statat(
            &self.place.directory,
            &self.beside,
            AtFlags::SYMLINK_NOFOLLOW,
        );
        let is_ours = beside.is_ok_and(|found| (found.st_dev, found.st_ino) == self.made);
        if !self.is_placed && is_ours {
            // It is beside the point that it could not be: no loader reads it, and the next run
            // clears it away.
            let _ = fs::unlinkat(&self.place.directory, &self.beside, AtFlags::empty());
        }
    }
}

/// Takes a file away that is known to hold these bytes, and no other.
///
/// # Errors
/// When it cannot be, is no regular file, or somebody else has changed it.
pub fn remove(root: &Root, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let place = Place::open(root, path)?;
    place.clear()?;
    if place.existing()?.is_none() {
        return Ok(());
    }
    let (directory, beside) = (&place.directory, place.beside());
    let rename = |from: &OsStr, to: &OsStr| {
        fs::renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE)
    };
    // Out of the way first: what has come out cannot change its name any more.
    let name = match rename(&place.name, &beside) {
        Ok(()) => &beside,
        Err(error) if is_beyond_the_file_system(error) => &place.name,
        Err(error) => return Err(place.failed("remove")(error)),
    };
    if !place.has(name, Some(bytes)) {
        if name == &beside {
            rename(&beside, &place.name).map_err(place.failed("put back"))?;
        }
        return Err(place.changed());
    }
    fs::unlinkat(directory, name, AtFlags::empty()).map_err(place.failed("remove"))?;
    place.sync()
}

/// The bytes of a file; `None` where there is none.
///
/// # Errors
/// When it cannot be read, or is no regular file.
pub fn read(root: &Root, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match Place::open(root, path) {
        Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        place => {
            if place?.existing()?.is_none() {
                return Ok(None);
            }
        }
    }
    root.read(path).map(Some).map_err(|source| FileError::Io {
        action: "read",
        path: root.outside(path),
        source,
    })
}

/// Takes away what an interrupted replacement has left beside a file.
///
/// # Errors
/// When that cannot be.
pub fn clear(root: &Root, path: &Path) -> Result<(), FileError> {
    match Place::open(root, path) {
        Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        place => place?.clear(),
    }
}

/// Whether a name is that of a replacement in the making.
#[must_use]
pub fn is_leftover(name: &OsStr) -> bool {
    name.as_encoded_bytes().ends_with(b".auditwatch-new")
}

#[cfg(test)]
mod tests;
