//! The board: a file, mapped by the sink and by whoever reads it, where the sink's counts stand.
//!
//! Reading it asks neither the sink nor the kernel, so a harness may do so at any moment, also
//! while the queue is full. A new sink on the same file goes on counting where the last one ended.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};

const TYPES: usize = 2048;
const FIRST_TYPE: usize = 1000;
const HEAD: usize = 16;
const SLOTS: usize = HEAD + TYPES;
const BYTES: usize = SLOTS * size_of::<AtomicU64>();

/// What stands in the head of the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Process id of the sink.
    Pid = 0,
    /// Registrations that the kernel acknowledged.
    Registered = 1,
    /// Records received.
    Received = 2,
    /// Times the socket had overflown.
    Enobufs = 3,
    /// Times the sink found its socket empty. It stands still while the sink works or is stopped.
    Idle = 4,
    /// Bytes of the records' text.
    Bytes = 5,
    /// The highest serial seen.
    Serial = 6,
    /// The last refusal, an errno.
    Refused = 7,
}

/// The mapped file.
pub struct Board {
    slots: &'static [AtomicU64],
}

impl Board {
    /// Maps it, making it when it is not there.
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("opening {}", path.display()))?;
        file.set_len(u64::try_from(BYTES)?)
            .with_context(|| format!("sizing {}", path.display()))?;
        // SAFETY: a fresh mapping of a file that has this length; the kernel chooses the address.
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
            return Err(io::Error::last_os_error())
                .with_context(|| format!("mapping {}", path.display()));
        }
        // SAFETY: the mapping is page aligned, SLOTS words long, never unmapped, and only ever
        // accessed as atomics, by every process that has it.
        let slots = unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>(), SLOTS) };
        Ok(Self { slots })
    }

    /// Reads one number.
    pub fn read(&self, slot: Slot) -> u64 {
        self.slots[slot as usize].load(Ordering::SeqCst)
    }

    /// Writes one number.
    pub fn write(&self, slot: Slot, value: u64) {
        self.slots[slot as usize].store(value, Ordering::SeqCst);
    }

    /// Adds to one number.
    pub fn add(&self, slot: Slot, value: u64) {
        self.slots[slot as usize].fetch_add(value, Ordering::SeqCst);
    }

    /// Counts a record: by type first, so that the types never sum to less than the total.
    pub fn count(&self, kind: u16, bytes: usize) {
        let at = (usize::from(kind).saturating_sub(FIRST_TYPE)).min(TYPES - 1);
        self.slots[HEAD + at].fetch_add(1, Ordering::SeqCst);
        self.add(Slot::Bytes, bytes as u64);
        self.add(Slot::Received, 1);
    }

    /// The process id of the sink that counts here.
    pub fn sink(&self) -> Option<u32> {
        u32::try_from(self.read(Slot::Pid))
            .ok()
            .filter(|&pid| pid != 0)
    }

    /// Records by type, those that occurred.
    pub fn types(&self) -> BTreeMap<u16, u64> {
        (0u16..)
            .zip(&self.slots[HEAD..])
            .map(|(at, slot)| (at + 1000, slot.load(Ordering::SeqCst)))
            .filter(|&(_, count)| count > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_share_the_counts() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("board");
        let writer = Board::open(&path).expect("opens");
        let reader = Board::open(&path).expect("opens");
        writer.count(1300, 10);
        writer.count(1300, 10);
        writer.count(1320, 1);
        assert_eq!(reader.read(Slot::Received), 3);
        assert_eq!(reader.read(Slot::Bytes), 21);
        assert_eq!(reader.types(), BTreeMap::from([(1300, 2), (1320, 1)]));
    }
}
