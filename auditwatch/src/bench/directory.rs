//! Directories that only root can write to, and new files in them.
//!
//! In: paths and names. Out: open directories whose owner and mode were checked after they were opened, and
//! files that did not exist before. It must not follow a link below the system's own directories, and must not
//! take over a directory or file that another user could have made.

use std::{
    fs::File,
    hash::{BuildHasher as _, RandomState},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    fs::{self, AtFlags, CWD, Mode, OFlags},
    io::Errno,
    process::geteuid,
};

/// Where files of a bench go: on a disk if the host has one, since auditd's logs go there.
const STATE: &str = "/var/lib";
/// Where the journal and the lock are: they end with the boot, as the settings do.
const RUN: &str = "/run";
/// Our directory in each of the two.
const OWN: &str = "auditwatch";
/// Begin of the name of a bench's working directory.
const PREFIX: &str = "bench-";
/// Digits that follow.
const DIGITS: usize = 16;
/// Mode of a directory for root alone.
const PRIVATE: Mode = Mode::RWXU;
/// Write permission of group and others.
const WRITABLE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// An open directory, and its path without links.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// `/var/lib/auditwatch`, which is made if it is missing.
    ///
    /// # Errors
    /// If it cannot be made, or others than root can write to it.
    pub fn state() -> Result<Self> {
        Self::make_below(Path::new(STATE), OWN)
    }

    /// `/run/auditwatch`, which is made if it is missing.
    ///
    /// # Errors
    /// If it cannot be made, or others than root can write to it.
    pub fn run() -> Result<Self> {
        Self::make_below(Path::new(RUN), OWN)
    }

    fn make_below(base: &Path, own: &str) -> Result<Self> {
        // A link of the system's own (/var -> /data/var) is root's; each part of where it leads is checked.
        let mut directory = Self::open(&real(base)?)?;
        match directory.mkdir(own.as_ref(), PRIVATE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).with_context(|| directory.cannot("make", own)),
        }
        directory = directory.enter(own.as_ref())?;
        directory.ensure_root_alone_writes()?;
        Ok(directory)
    }

    /// Opens a directory by an absolute path without links. Root must own each part of it, and no other user
    /// may be able to replace one.
    ///
    /// # Errors
    /// If a part is a link, is not there, or belongs to another user.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut directory = Self {
            fd: fs::openat(CWD, "/", flags, Mode::empty()).context("cannot open /")?,
            path: PathBuf::from("/"),
        };
        for part in path.components() {
            match part {
                Component::RootDir => {}
                Component::Normal(name) => directory = directory.enter(name.as_ref())?,
                _ => bail!("{} is not an absolute path without dots", path.display()),
            }
        }
        Ok(directory)
    }

    /// Its path, without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn enter(self, name: &Path) -> Result<Self> {
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match fs::openat(&self.fd, name, flags, Mode::empty()) {
            Err(Errno::LOOP | Errno::NOTDIR) => bail!(
                "{} is a link or a file, not a directory; look at who made it, then remove it",
                path.display()
            ),
            opened => opened.with_context(|| format!("cannot open {}", path.display()))?,
        };
        let entered = Self { fd, path };
        let (owner, mode) = entered.owner_and_mode()?;
        // In a sticky directory nobody can replace what root owns.
        ensure!(
            is_trusted(owner) && (mode & WRITABLE == 0 || mode & STICKY != 0),
            entered.distrust(owner, mode)
        );
        Ok(entered)
    }

    fn owner_and_mode(&self) -> Result<(u32, u32)> {
        let found = fs::fstat(&self.fd).with_context(|| self.cannot("look at", ""))?;
        Ok((found.st_uid, found.st_mode & 0o7777))
    }

    fn ensure_root_alone_writes(&self) -> Result<()> {
        let (owner, mode) = self.owner_and_mode()?;
        ensure!(
            is_trusted(owner) && mode & WRITABLE == 0,
            self.distrust(owner, mode)
        );
        Ok(())
    }

    fn distrust(&self, owner: u32, mode: u32) -> String {
        let path = self.path.display();
        format!(
            "{path} is not trusted: it belongs to user {owner} and has mode {mode:04o}, so other users than root \
             can change it; check its content, then remove it or run: chown root {path}; chmod go-w {path}"
        )
    }

    fn cannot(&self, what: &str, name: &str) -> String {
        format!("cannot {what} {}", self.path.join(name).display())
    }

    fn mkdir(&self, name: &Path, mode: Mode) -> Result<(), Errno> {
        fs::mkdirat(&self.fd, name, mode)
    }

    /// Makes a directory for root alone; `None` if the name is taken.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make(&self, name: &str) -> Result<Option<Self>> {
        match self.mkdir(name.as_ref(), PRIVATE) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(None),
            Err(error) => return Err(error).with_context(|| self.cannot("make", name)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(&self.fd, name, flags, Mode::empty())
            .with_context(|| self.cannot("open", name))?;
        let new = Self {
            fd,
            path: self.path.join(name),
        };
        // The umask can have taken permissions of the owner.
        fs::fchmod(&new.fd, PRIVATE).with_context(|| self.cannot("set the mode of", name))?;
        let (owner, mode) = new.owner_and_mode()?;
        ensure!(
            owner == geteuid().as_raw() && mode & 0o777 == PRIVATE.as_raw_mode(),
            new.distrust(owner, mode)
        );
        Ok(Some(new))
    }

    /// Makes a directory for root alone, of a name that begins as given.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make_unique(&self, begin: &str) -> Result<Self> {
        loop {
            if let Some(made) = self.make(&format!("{begin}{}", digits()))? {
                return Ok(made);
            }
        }
    }

    /// Makes a file that only root can write to.
    ///
    /// # Errors
    /// If it cannot be made, or the name is taken.
    pub fn create(&self, name: &str) -> Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)
            .with_context(|| self.cannot("make", name))?;
        Ok(file.into())
    }

    /// Opens a file to be read and written, and makes it if it is missing.
    ///
    /// # Errors
    /// If it cannot be opened, or others than root can write to it.
    pub fn open_or_create(&self, name: &str) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE;
        let file = self.open_file(name, flags)?;
        file.with_context(|| format!("{} is gone", self.path.join(name).display()))
    }

    /// Opens a file to be read; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be opened, or others than root can write to it.
    pub fn find(&self, name: &str) -> Result<Option<File>> {
        self.open_file(name, OFlags::RDONLY)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> Result<Option<File>> {
        let path = self.path.join(name);
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: File = match fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => file.into(),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => bail!(
                "{0} is a link and is not followed; look at who made it, then remove it: rm {0}",
                path.display()
            ),
            Err(error) => return Err(error).with_context(|| self.cannot("open", name)),
        };
        let found = file
            .metadata()
            .with_context(|| self.cannot("look at", name))?;
        let (owner, mode) = (found.uid(), found.mode() & 0o7777);
        ensure!(
            found.is_file() && is_trusted(owner) && mode & WRITABLE == 0 && found.nlink() == 1,
            "{0} is not trusted: it belongs to user {owner}, has mode {mode:04o} and {1} names{2}, so other \
             users than root can have written it; look at it, then remove it: rm {0}",
            path.display(),
            found.nlink(),
            if found.is_file() {
                ""
            } else {
                ", and is not a regular file"
            },
        );
        Ok(Some(file))
    }

    /// Gives a file another name here, in the place of what has it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        fs::renameat(&self.fd, from, &self.fd, to)
    }

    /// Changes the mode of a file here.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_mode(&self, name: &str, mode: Mode) -> Result<(), Errno> {
        fs::chmodat(&self.fd, name, mode, AtFlags::empty())
    }

    /// Removes a file; it is fine if there is none.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove(&self, name: &str) -> Result<(), Errno> {
        match fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            removed => removed,
        }
    }

    /// Removes this directory and all that is in it.
    ///
    /// # Errors
    /// If something of it cannot be removed.
    pub fn remove_all(self) -> Result<()> {
        remove_tree(&self.path)
    }
}

/// A name for a bench's working directory.
#[must_use]
pub fn working_name() -> String {
    format!("{PREFIX}{}", digits())
}

/// Whether a path is that of a bench's working directory.
#[must_use]
pub fn is_working(path: &Path) -> bool {
    let is_ours = |name: &str| {
        name.strip_prefix(PREFIX).is_some_and(|digits| {
            digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    };
    let parent = real(Path::new(STATE)).map(|base| base.join(OWN));
    parent.is_ok_and(|parent| path.parent() == Some(&parent))
        && path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(is_ours)
}

/// Removes a bench's working directory; it is fine if there is none.
///
/// # Errors
/// If it is another directory, or cannot be removed.
pub fn remove_working(path: &Path) -> Result<()> {
    ensure!(
        is_working(path),
        "{} is not a working directory of a bench and is left alone",
        path.display()
    );
    remove_tree(path)
}

/// Removes what benches that were killed have left, and returns it. No bench may be under way.
///
/// # Errors
/// If something cannot be removed.
pub fn remove_leftovers() -> Result<Vec<PathBuf>> {
    let state = Directory::state()?;
    let cannot = || state.cannot("read", "");
    let mut removed = Vec::new();
    for entry in std::fs::read_dir(&state.path).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if is_working(&path) {
            remove_tree(&path)?;
            removed.push(path);
        }
    }
    Ok(removed)
}

fn remove_tree(path: &Path) -> Result<()> {
    // It follows no link, not at the path's end either.
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Where a directory of the system is, without links; what is missing of it is made.
fn real(path: &Path) -> Result<PathBuf> {
    let cannot = || format!("cannot find {}", path.display());
    if !path.exists() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(path)
            .with_context(|| format!("cannot make {}", path.display()))?;
    }
    std::fs::canonicalize(path).with_context(cannot)
}

/// Root's, or this process's own, which is root in a bench.
fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == geteuid().as_raw()
}

/// Random digits: the standard library takes the seed of its hash tables from the kernel.
fn digits() -> String {
    let random = RandomState::new().hash_one(std::process::id());
    format!("{random:0DIGITS$x}")
}

#[cfg(test)]
pub(super) mod tests;
