//! The board: numbers in memory that the bench shares with its children.
//!
//! In: counts of the sink and of the producers, and the pace that the sink is to
//! keep. Out: the same, at any moment, asking neither the children nor the kernel's
//! audit. It must hold nothing but independent numbers.

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::AsRawFd as _,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

/// What stands on the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Records that the sink received.
    Received,
    /// Times that the kernel has acknowledged the sink as the consumer.
    Registered,
    /// Error number by which the kernel refused it.
    Refused,
    /// Times that the sink found its socket empty: it stands still while it works or
    /// is stopped.
    Idle,
    /// Times that the socket overflowed.
    Overflows,
    /// Bytes of the records received.
    Bytes,
    /// Events that the producers have made.
    Events,
    /// Time that the sink is to spend on each record, µs.
    PerRecordUs,
    /// Time between its pauses, ms; 0 for none.
    PauseEveryMs,
    /// Length of a pause, ms.
    PauseForMs,
}

/// Slots before those of the record types.
const HEAD: usize = 16;
/// Record types that have a slot; those beyond share the last.
const TYPES: usize = 2048;
/// The first of them.
const FIRST_TYPE: usize = 1000;
const SLOTS: usize = HEAD + TYPES;
const BYTES: usize = SLOTS * size_of::<AtomicU64>();
/// A page of the mapping that is no longer in the file would end whoever touches it.
const SEALS: SealFlags = SealFlags::SHRINK;

/// The shared memory.
#[derive(Debug)]
pub struct Board {
    slots: &'static [AtomicU64],
    /// Kept open for children to find.
    file: File,
}

impl Board {
    /// Makes a board of zeroes.
    ///
    /// # Errors
    /// When the kernel has no memory for it.
    pub fn create() -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(memfd_create("auditwatch-board", flags)?);
        file.set_len(u64::try_from(BYTES).unwrap_or(u64::MAX))?;
        fcntl_add_seals(&file, SEALS)?;
        Self::map(file)
    }

    /// Finds the board of the process that made it.
    ///
    /// # Errors
    /// When the path leads to no board.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let is_sealed = fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SEALS));
        if usize::try_from(file.metadata()?.len()) != Ok(BYTES) || !is_sealed {
            return Err(io::Error::other("it is not the counters of a bench"));
        }
        Self::map(file)
    }

    /// Where children find it, for as long as this process lives.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    fn map(file: File) -> io::Result<Self> {
        // SAFETY: a new mapping of a file of that length; the kernel finds the place.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a page-aligned mapping of SLOTS words of a file that cannot become shorter, which is never taken
        // away, and which every process uses by atomics alone.
        let slots = unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>(), SLOTS) };
        Ok(Self { slots, file })
    }

    /// Reads a number.
    #[must_use]
    pub fn get(&self, slot: Slot) -> u64 {
        self.at(slot as usize).load(Ordering::Acquire)
    }

    /// Writes a number.
    pub fn set(&self, slot: Slot, value: u64) {
        self.at(slot as usize).store(value, Ordering::Release);
    }

    /// Adds to a number.
    pub fn add(&self, slot: Slot, value: u64) {
        self.at(slot as usize).fetch_add(value, Ordering::AcqRel);
    }

    /// Counts a record that the sink received.
    pub fn record(&self, kind: u16, bytes: usize) {
        let index = usize::from(kind).saturating_sub(FIRST_TYPE).min(TYPES - 1);
        self.at(HEAD + index).fetch_add(1, Ordering::AcqRel);
        self.add(Slot::Bytes, u64::try_from(bytes).unwrap_or(u64::MAX));
        self.add(Slot::Received, 1);
    }

    /// Records received, by type number.
    #[must_use]
    pub fn types(&self) -> Vec<(u32, u64)> {
        (1000..)
            .zip(self.slots.iter().skip(HEAD))
            .map(|(kind, count)| (kind, count.load(Ordering::Acquire)))
            .filter(|&(_, count)| count > 0)
            .collect()
    }

    fn at(&self, index: usize) -> &AtomicU64 {
        self.slots.get(index).unwrap_or_else(|| {
            unreachable!("invariant: {index} is below the {SLOTS} slots of a board")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_see_the_same_numbers() {
        let board = Board::create().expect("memory");
        let other = Board::open(Path::new(&board.path())).expect("opens");
        other.record(1300, 10);
        other.record(1300, 11);
        other.record(u16::MAX, 1);
        board.set(Slot::PerRecordUs, 7);
        assert_eq!(board.get(Slot::Received), 3);
        assert_eq!(board.get(Slot::Bytes), 22);
        assert_eq!(board.types(), [(1300, 2), (3047, 1)]);
        assert_eq!(other.get(Slot::PerRecordUs), 7);
        assert!(Board::open(Path::new("/proc/self/exe")).is_err());
        board.file.set_len(0).expect_err("its length is sealed");
    }
}
