//! A directory that is taken for the root of a file system: `/` itself, or where the disk of a stopped
//! instance is mounted. In comes the directory, out come its files by the paths they have when it is the
//! root: an absolute link leads to a place below it, and `..` goes no higher.
//!
//! It knows nothing of audit, and never goes around the kernel's own resolution: paths are not joined and
//! checked here, since a link may change between the check and the use.

use std::{
    ffi::OsString,
    fs::{File, Metadata},
    io::{self, Read as _},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, CWD, Dir, Mode, OFlags, ResolveFlags},
    io::Errno,
};

/// The most that is read of one file, bytes. Rules, boot configuration and command lines are far smaller.
const MOST_BYTES: u64 = 64 << 20;
/// The most names that a directory may have. Those that are read here have some hundreds.
const MOST_NAMES: usize = 65_536;
/// Directories of this host whose file systems no mounted disk has.
const OF_THIS_HOST: [&str; 3] = ["/", "/etc", "/var"];

/// A directory that is taken for `/`.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    path: PathBuf,
    /// Whether it is this process's own `/`: then nothing has to be held back, and kernels before 5.6,
    /// which have no `openat2`, serve as well.
    is_own: bool,
}

impl Root {
    /// Opens the directory.
    ///
    /// # Errors
    /// When it is no directory, or cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = fs::openat(CWD, path, flags, Mode::empty())?;
        let (its, own) = (fs::fstat(&directory)?, fs::stat("/")?);
        Ok(Self {
            directory,
            path: path.to_path_buf(),
            is_own: (its.st_dev, its.st_ino) == (own.st_dev, own.st_ino),
        })
    }

    /// As it was named to [`Root::open`].
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is this process's own `/`.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        self.is_own
    }

    /// A path as it is seen from outside, for messages: the root's own path before it.
    #[must_use]
    pub fn outside(&self, path: &Path) -> PathBuf {
        self.path.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Opens a file or a directory, flags and mode as in open(2); `CLOEXEC` is added. Links are followed,
    /// unless the flags say otherwise, and never out of the root.
    ///
    /// # Errors
    /// What the kernel says; on kernels before 5.6 that a root other than `/` cannot be had.
    pub fn open_file(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC;
        if self.is_own {
            return Ok(fs::openat(&self.directory, Path::new("/").join(path), flags, mode)?.into());
        }
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match fs::openat2(&self.directory, path, flags, mode, resolve) {
            Ok(file) => Ok(file.into()),
            Err(Errno::NOSYS) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "this kernel has no openat2 (5.6 has), without which links could lead out of {}; \
                     mount the disk on a newer host",
                    self.path.display()
                ),
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a regular file to be read, and nothing else: opening a device or a pipe would already act on it.
    ///
    /// # Errors
    /// When it cannot be opened, or is no regular file.
    pub fn open_regular(&self, path: &Path) -> io::Result<File> {
        let found = self.open_file(path, OFlags::PATH, Mode::empty())?;
        let kind = found.metadata()?.file_type();
        if kind.is_dir() {
            return Err(Errno::ISDIR.into());
        }
        if !kind.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        reopen(&found)
    }

    /// Opens a directory in which something is to be written. Below a mounted disk it may be on another file system,
    /// as /var often is, and not on one that this host itself runs on: a directory of the host that was bound into the
    /// disk's tree is not the disk's.
    ///
    /// # Errors
    /// When it cannot be opened, or is this host's own.
    pub fn open_to_change(&self, directory: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if !self.is_own {
            let resolve =
                ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
            match fs::openat2(&self.directory, directory, flags, Mode::empty(), resolve) {
                Err(Errno::XDEV) => {}
                // The other way says what is wrong, also on a kernel without this call.
                Err(_) => return self.open_file(directory, flags, Mode::empty()),
                Ok(open) => return Ok(open.into()),
            }
        }
        let open = self.open_file(directory, flags, Mode::empty())?;
        if !self.is_own {
            let device = fs::fstat(&open)?.st_dev;
            let is_hosts = |path: &&&str| fs::stat(**path).is_ok_and(|own| own.st_dev == device);
            if let Some(own) = OF_THIS_HOST.iter().find(is_hosts) {
                return Err(io::Error::other(format!(
                    "it is mounted from the file system of this host's own {own}, and no part of the disk: unmount it \
                     there"
                )));
            }
        }
        Ok(open)
    }

    /// All of a regular file.
    ///
    /// # Errors
    /// When it cannot be read, is no regular file, or has more than 64 MiB.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.read_at_most(path, MOST_BYTES)
    }

    /// All of a regular file of no more bytes than that; of a longer one nothing is read.
    ///
    /// # Errors
    /// When it cannot be read, is no regular file, or is longer.
    pub fn read_at_most(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let too_large = || {
            let words = if most >= 1 << 20 {
                format!("it has more than {} MiB", most >> 20)
            } else {
                format!("it has more than {most} bytes")
            };
            io::Error::new(io::ErrorKind::FileTooLarge, words)
        };
        let file = self.open_regular(path)?;
        // A sparse file takes no room on the disk, and would take it here.
        if file.metadata()?.len() > most {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        // Files of /proc have no length, and others may grow.
        file.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(too_large());
        }
        Ok(bytes)
    }

    /// The names in a directory, sorted as bytes, without `.` and `..`.
    ///
    /// # Errors
    /// When it is no directory, cannot be read, or has more than 65,536 names.
    pub fn names(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let open = self.open_file(directory, flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::new(open)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                if names.len() == MOST_NAMES {
                    return Err(io::Error::other(format!(
                        "it has more than {MOST_NAMES} names"
                    )));
                }
                names.push(OsString::from_vec(name));
            }
        }
        names.sort();
        Ok(names)
    }

    /// What kind of file a path leads to, and its owner and mode.
    ///
    /// # Errors
    /// When nothing is there, or a directory on the way cannot be searched.
    pub fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.open_file(path, OFlags::PATH, Mode::empty())?
            .metadata()
    }

    /// The same of a link itself, where the path's last part is one.
    ///
    /// # Errors
    /// As [`Root::metadata`].
    pub fn symlink_metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.open_file(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?
            .metadata()
    }

    /// What a link says, as written.
    ///
    /// # Errors
    /// When it is no link, or cannot be read.
    pub fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        let link = self.open_file(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?;
        let target = fs::readlinkat(&link, "", Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()).into())
    }
}

/// Opens what was opened by `O_PATH` once more, to be read: the very file that was looked at.
///
/// # Errors
/// When it cannot be opened.
pub fn reopen(found: &File) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let place = format!("/proc/self/fd/{}", found.as_raw_fd());
    Ok(fs::open(place, flags, Mode::empty())?.into())
}

/// The directory itself. What is opened below it by this is no longer held within the root: for names
/// without a slash and without following links only.
impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use tempfile::TempDir;

    use super::*;

    /// A disk with one file in etc, beside a file that is not on it.
    fn disk() -> (TempDir, Root) {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = directory.path().join("disk");
        fs::create_dir_all(disk.join("etc/audit")).expect("directories");
        fs::write(disk.join("etc/passwd"), "inside").expect("a file");
        fs::write(directory.path().join("passwd"), "outside").expect("a file");
        let root = Root::open(&disk).expect("the disk");
        assert!(!root.is_own());
        (directory, root)
    }

    fn link(root: &Root, target: &str, path: &str) {
        symlink(target, root.outside(Path::new(path))).expect("a link");
    }

    fn read(root: &Root, path: &str) -> Result<String, io::ErrorKind> {
        match root.read(Path::new(path)) {
            Ok(bytes) => Ok(String::from_utf8(bytes).expect("text")),
            Err(error) => Err(error.kind()),
        }
    }

    #[test]
    fn an_absolute_link_stays_inside() {
        let (_directory, root) = disk();
        link(&root, "/etc/passwd", "/etc/audit/audit.rules");
        assert_eq!(read(&root, "/etc/audit/audit.rules"), Ok("inside".into()));
        link(&root, "/etc/hostname-of-no-disk", "/etc/dangling");
        assert_eq!(read(&root, "/etc/dangling"), Err(io::ErrorKind::NotFound));
    }

    #[test]
    fn dots_go_no_higher_than_the_root() {
        let (_directory, root) = disk();
        link(&root, "../../../../etc/passwd", "/etc/audit/up");
        assert_eq!(read(&root, "/etc/audit/up"), Ok("inside".into()));
        link(&root, "../../../passwd", "/etc/audit/beside");
        assert_eq!(
            read(&root, "/etc/audit/beside"),
            Err(io::ErrorKind::NotFound)
        );
        assert_eq!(read(&root, "/../passwd"), Err(io::ErrorKind::NotFound));
        assert_eq!(read(&root, "../etc/passwd"), Ok("inside".into()));
    }

    #[test]
    fn a_linked_directory_is_followed_inside_only() {
        let (directory, root) = disk();
        link(&root, "../audit", "/etc/audit/rules.d");
        assert_eq!(
            root.names(Path::new("/etc/audit/rules.d")).expect("names"),
            ["rules.d"]
        );
        let outside = directory.path().to_str().expect("text");
        link(&root, outside, "/etc/away");
        assert_eq!(
            root.names(Path::new("/etc/away"))
                .map_err(|error| error.kind()),
            Err(io::ErrorKind::NotFound)
        );
    }

    #[test]
    fn links_are_read_and_distinguished_from_files() {
        let (_directory, root) = disk();
        link(&root, "/usr/bin/mawk", "/etc/awk");
        let path = Path::new("/etc/awk");
        assert_eq!(
            root.read_link(path).expect("a link"),
            Path::new("/usr/bin/mawk")
        );
        assert!(
            root.symlink_metadata(path)
                .expect("a link")
                .file_type()
                .is_symlink()
        );
        assert!(root.metadata(path).is_err());
        assert!(root.read_link(Path::new("/etc/passwd")).is_err());
    }

    #[test]
    fn only_regular_files_are_read() {
        let (_directory, root) = disk();
        assert_eq!(read(&root, "/etc"), Err(io::ErrorKind::IsADirectory));
        assert_eq!(
            root.names(Path::new("/etc/passwd"))
                .map_err(|error| error.kind()),
            Err(io::ErrorKind::NotADirectory)
        );
        // A pipe without a writer must not keep anybody waiting.
        let pipe = root.outside(Path::new("/etc/pipe"));
        rustix::fs::mknodat(
            CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .expect("a pipe");
        assert_eq!(read(&root, "/etc/pipe"), Err(io::ErrorKind::InvalidInput));
        let file = root.outside(Path::new("/etc/passwd"));
        assert!(Root::open(&file).is_err());
    }

    /// `st_atim` and the queue of a pipe would not show an open: a writer that waits for a reader does.
    #[test]
    fn a_pipe_is_not_even_opened() {
        let (_directory, root) = disk();
        let pipe = root.outside(Path::new("/etc/pipe"));
        let (kind, mode) = (rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600));
        rustix::fs::mknodat(CWD, &pipe, kind, mode, 0).expect("a pipe");
        let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let looks = {
            let ended = std::sync::Arc::clone(&ended);
            let root = Root::open(root.path()).expect("the disk");
            std::thread::spawn(move || {
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    assert_eq!(read(&root, "/etc/pipe"), Err(io::ErrorKind::InvalidInput));
                }
            })
        };
        let flags = OFlags::WRONLY | OFlags::NONBLOCK;
        for _ in 0..20_000 {
            // ENXIO: nobody has it open to be read.
            let writer = rustix::fs::open(&pipe, flags, Mode::empty());
            assert_eq!(writer.err(), Some(Errno::NXIO));
        }
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        looks.join().expect("the other thread");
    }

    #[test]
    fn too_large_file_is_not_read() {
        let (_directory, root) = disk();
        let path = Path::new("/etc/sparse");
        let file = File::create(root.outside(path)).expect("a file");
        file.set_len(1 << 40).expect("a length");
        let error = root.read(path).expect_err("too large");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "it has more than 64 MiB");
        file.set_len(5).expect("a length");
        assert_eq!(root.read_at_most(path, 5).expect("a file"), [0; 5]);
        let error = root.read_at_most(path, 4).expect_err("too large");
        assert_eq!(error.to_string(), "it has more than 4 bytes");
    }

    #[test]
    fn files_are_made_within_the_root() {
        let (directory, root) = disk();
        link(&root, "/../../new", "/etc/new");
        let flags = OFlags::WRONLY | OFlags::CREATE;
        root.open_file(Path::new("/etc/new"), flags, Mode::from_raw_mode(0o640))
            .expect("a file");
        assert!(root.outside(Path::new("/new")).exists());
        assert!(!directory.path().join("new").exists());
    }

    #[test]
    fn the_hosts_own_root_is_known() {
        let root = Root::open(Path::new("/")).expect("the root");
        assert!(root.is_own());
        let tasks = root.names(Path::new("/proc/self/task")).expect("names");
        assert!(!tasks.is_empty());
        assert!(
            !root
                .read(Path::new("proc/self/status"))
                .expect("a file")
                .is_empty()
        );
    }
}
