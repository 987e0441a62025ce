//! The kernel's audit variables, read through `/proc/kcore`.
//!
//! In: symbols, types, and `/proc/kcore`. Out: a [`KernelState`], of which each value is
//! of its own moment. Reading it makes no record and sends no message, which loading a
//! BPF program and asking netlink both do: so it serves while the queue is full. It must
//! not guess an address or an offset.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
};

use super::{symbols::Symbols, types::KernelTypes};
use crate::sample::KernelState;

/// As much of the file as holds its headers, bytes.
const HEAD_BYTES: u64 = 64 << 10;

/// The variables, found.
#[derive(Debug)]
pub struct KernelMemory {
    core: File,
    segments: Vec<Segment>,
    places: Places,
}

/// Where each is in the file.
#[derive(Debug, Default)]
struct Places {
    depth: Option<u64>,
    retry_depth: Option<u64>,
    hold_depth: Option<u64>,
    limit: Option<u64>,
    wait_time: Option<u64>,
    waited: Option<u64>,
    lost: Option<u64>,
    rate_limit: Option<u64>,
    failure: Option<u64>,
    enabled: Option<u64>,
}

impl KernelMemory {
    /// Finds them.
    ///
    /// # Errors
    /// When the file cannot be read, or the kernel does not tell where they are.
    pub fn open(symbols: &Symbols, types: Option<&KernelTypes>) -> io::Result<Self> {
        let core = File::open("/proc/kcore")?;
        let mut head = Vec::new();
        (&core).take(HEAD_BYTES).read_to_end(&mut head)?;
        let segments =
            segments(&head).ok_or_else(|| unusable("/proc/kcore has no usable header"))?;
        let place = |name: &str, offset: Option<u32>| {
            let address = symbols.address(name)?.checked_add(offset?.into())?;
            let segment = segments.iter().find(|segment| segment.contains(address))?;
            Some(segment.offset + (address - segment.start))
        };
        let length = types.and_then(|types| types.member_offset("sk_buff_head", "qlen"));
        let places = Places {
            depth: place("audit_queue", length),
            retry_depth: place("audit_retry_queue", length),
            hold_depth: place("audit_hold_queue", length),
            limit: place("audit_backlog_limit", Some(0)),
            wait_time: place("audit_backlog_wait_time", Some(0)),
            waited: place("audit_backlog_wait_time_actual", Some(0)),
            lost: place("audit_lost", Some(0)),
            rate_limit: place("audit_rate_limit", Some(0)),
            failure: place("audit_failure", Some(0)),
            enabled: place("audit_enabled", Some(0)),
        };
        if places.depth.is_none() || places.limit.is_none() {
            return Err(unusable(
                "the kernel does not tell where its audit queue is",
            ));
        }
        Ok(Self {
            core,
            segments,
            places,
        })
    }

    /// Reads from an address of the kernel's, such as one of a variable or of what it points to.
    ///
    /// # Errors
    /// When the file does not have it.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> io::Result<()> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let segment = self
            .segments
            .iter()
            .find(|segment| {
                segment.contains(address) && length <= segment.bytes - (address - segment.start)
            })
            .ok_or_else(|| unusable("/proc/kcore does not have this address"))?;
        self.core
            .read_exact_at(bytes, segment.offset + (address - segment.start))
    }

    /// A 32-bit word at an address.
    ///
    /// # Errors
    /// As [`KernelMemory::read`].
    pub fn word(&self, address: u64) -> io::Result<u32> {
        let mut word = [0; 4];
        self.read(address, &mut word)?;
        Ok(u32::from_ne_bytes(word))
    }

    /// A pointer at an address.
    ///
    /// # Errors
    /// As [`KernelMemory::read`].
    pub fn pointer(&self, address: u64) -> io::Result<u64> {
        let mut pointer = [0; 8];
        self.read(address, &mut pointer)?;
        Ok(u64::from_ne_bytes(pointer))
    }

    /// Reads them now.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn state(&self) -> io::Result<KernelState> {
        let word = |place: Option<u64>| {
            let Some(place) = place else { return Ok(None) };
            let mut word = [0; 4];
            self.core.read_exact_at(&mut word, place)?;
            Ok::<_, io::Error>(Some(u32::from_ne_bytes(word)))
        };
        let places = &self.places;
        Ok(KernelState {
            depth: word(places.depth)?,
            retry_depth: word(places.retry_depth)?,
            hold_depth: word(places.hold_depth)?,
            limit: word(places.limit)?,
            wait_time_jiffies: word(places.wait_time)?,
            waited_jiffies: word(places.waited)?,
            lost: word(places.lost)?,
            rate_limit: word(places.rate_limit)?,
            failure: word(places.failure)?,
            enabled: word(places.enabled)?,
            ..KernelState::default()
        })
    }
}

fn unusable(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}

/// A stretch of memory and where the file has it.
#[derive(Debug, PartialEq, Eq)]
struct Segment {
    start: u64,
    offset: u64,
    bytes: u64,
}

impl Segment {
    fn contains(&self, address: u64) -> bool {
        address >= self.start && address - self.start < self.bytes
    }
}

/// The loadable segments of a 64-bit ELF core of this machine's byte order; `None` where it is no such.
fn segments(head: &[u8]) -> Option<Vec<Segment>> {
    const CLASS_64: u8 = 2;
    const LOADABLE: u64 = 1;
    let number = |at: usize, length: usize| {
        let bytes = head.get(at..at.checked_add(length)?)?;
        Some(match length {
            2 => u16::from_ne_bytes(bytes.try_into().ok()?).into(),
            4 => u32::from_ne_bytes(bytes.try_into().ok()?).into(),
            _ => u64::from_ne_bytes(bytes.try_into().ok()?),
        })
    };
    if !head.starts_with(b"\x7fELF") || head.get(4) != Some(&CLASS_64) {
        return None;
    }
    let table = usize::try_from(number(32, 8)?).ok()?;
    let (size, count) = (usize::try_from(number(54, 2)?).ok()?, number(56, 2)?);
    let mut found = Vec::new();
    for index in 0..usize::try_from(count).ok()? {
        let at = table.checked_add(index.checked_mul(size)?)?;
        if number(at, 4)? == LOADABLE {
            found.push(Segment {
                offset: number(at + 8, 8)?,
                start: number(at + 16, 8)?,
                bytes: number(at + 40, 8)?,
            });
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_found_and_damage_is_no_panic() {
        let mut head = vec![0_u8; 64 + 2 * 56];
        head[..5].copy_from_slice(b"\x7fELF\x02");
        head[32..40].copy_from_slice(&64_u64.to_ne_bytes());
        head[54..56].copy_from_slice(&56_u16.to_ne_bytes());
        head[56..58].copy_from_slice(&2_u16.to_ne_bytes());
        head[64..68].copy_from_slice(&4_u32.to_ne_bytes());
        let load = 64 + 56;
        head[load..load + 4].copy_from_slice(&1_u32.to_ne_bytes());
        head[load + 8..load + 16].copy_from_slice(&0x1000_u64.to_ne_bytes());
        head[load + 16..load + 24].copy_from_slice(&0xffff_8000_0000_0000_u64.to_ne_bytes());
        head[load + 40..load + 48].copy_from_slice(&0x200_u64.to_ne_bytes());
        let found = segments(&head).expect("a core");
        assert_eq!(found.len(), 1);
        assert!(found[0].contains(0xffff_8000_0000_01ff));
        assert!(!found[0].contains(0xffff_8000_0000_0200));
        for cut in 0..load + 48 {
            assert_eq!(segments(&head[..cut]), None, "{cut}");
        }
        head[32..40].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert_eq!(segments(&head), None);
    }
}
