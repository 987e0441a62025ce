//! The lock: one bench at a time changes this host.
//!
//! In: the wish to begin. Out: the lock, or who holds it. It is taken before the first look at the settings.
//! The keeper shares it, so that it is held until the host is restored, also if the bench is killed.

use std::{
    fs::File,
    io::{self, Read as _},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, RawFd},
        unix::fs::FileExt as _,
    },
    process::Child,
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    fs::{FlockOperation, flock},
    io::{Errno, FdFlags, fcntl_setfd},
};

use super::{child::ChildId, directory::Directory};

const NAME: &str = "bench.lock";

/// The lock, held.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes it.
    ///
    /// # Errors
    /// If another bench holds it, which is named, or it cannot be trusted.
    pub fn take() -> Result<Self> {
        Self::take_in(&Directory::run()?)
    }

    fn take_in(directory: &Directory) -> Result<Self> {
        let mut file = directory.open_or_create(NAME)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => bail!("{}", busy(&mut file)),
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("cannot lock {}", directory.path().join(NAME).display())
                });
            }
        }
        let lock = Self(file);
        lock.note(ChildId::of(std::process::id()).as_slice())?;
        Ok(lock)
    }

    /// Writes down who holds it, for those who find it taken.
    fn note(&self, holders: &[ChildId]) -> Result<()> {
        let text = serde_json::to_vec(holders)?;
        self.0
            .set_len(0)
            .and_then(|()| self.0.write_all_at(&text, 0))
            .context("cannot write down who holds the lock of the bench")
    }

    /// Starts a process that holds the lock as well, by a descriptor that it is given.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn share(&self, start: impl FnOnce(RawFd) -> io::Result<Child>) -> Result<Child> {
        // This process has one thread, so that no other child can get it meanwhile.
        fcntl_setfd(&self.0, FdFlags::empty())?;
        let child = start(self.0.as_raw_fd());
        fcntl_setfd(&self.0, FdFlags::CLOEXEC)?;
        let child = child?;
        let holders: Vec<ChildId> = [std::process::id(), child.id()]
            .into_iter()
            .filter_map(ChildId::of)
            .collect();
        self.note(&holders)?;
        Ok(child)
    }

    /// The lock as the process has it that [`Lock::share`] has started. Programs which that one starts do not
    /// get it: an auditd that is started again would hold it for ever.
    ///
    /// # Errors
    /// If there is no such descriptor.
    pub fn inherited(fd: RawFd) -> Result<Self> {
        let from_nobody = "this is run by `auditwatch bench` alone";
        let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).context(from_nobody)?;
        if !link.ends_with(NAME) {
            bail!(from_nobody);
        }
        // SAFETY: it is open, and this process, which has just begun, was given it for this purpose.
        let lock = Self(unsafe { File::from_raw_fd(fd) });
        fcntl_setfd(&lock.0, FdFlags::CLOEXEC)?;
        Ok(lock)
    }
}

/// Who holds it, in words.
fn busy(file: &mut File) -> String {
    let mut text = Vec::new();
    let holders: Vec<ChildId> = file
        .take(4096)
        .read_to_end(&mut text)
        .ok()
        .and_then(|_| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    match holders.iter().position(ChildId::runs) {
        Some(0) => format!(
            "another bench (pid {}) is running; wait until it ends",
            holders[0].pid
        ),
        Some(keeper) => format!(
            "another bench (pid {}) is still restoring this host; wait until it ends",
            holders[keeper].pid
        ),
        None => "another bench is starting or ending; try again".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::directory::tests::opened;

    #[test]
    fn second_bench_is_told_who_holds_the_lock() {
        let (_scratch, directory) = opened();
        let lock = Lock::take_in(&directory).expect("nobody has it");
        let words = Lock::take_in(&directory).expect_err("taken").to_string();
        let pid = std::process::id().to_string();
        assert!(words.contains(&pid) && !words.contains('\n'), "{words}");
        drop(lock);
        Lock::take_in(&directory).expect("nobody has it");
    }

    #[test]
    fn keeper_holds_the_lock_when_the_bench_is_gone() {
        let (_scratch, directory) = opened();
        let lock = Lock::take_in(&directory).expect("nobody has it");
        let mut keeper = lock
            .share(|fd| {
                std::process::Command::new("/bin/cat")
                    .arg(format!("/proc/self/fd/{fd}"))
                    .arg("-")
                    .stdin(std::process::Stdio::piped())
                    .stdout(std::process::Stdio::null())
                    .spawn()
            })
            .expect("started");
        drop(lock);
        Lock::take_in(&directory).expect_err("the keeper has it");
        drop(keeper.stdin.take());
        keeper.wait().expect("it ends");
        Lock::take_in(&directory).expect("nobody has it");
    }
}
