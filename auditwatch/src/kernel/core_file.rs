//! `/proc/kcore`: the kernel's memory as an ELF core file.
//!
//! In: the file. Out: bytes at a kernel address, and the text of its VMCOREINFO note. Reading it
//! makes no audit record and sends no message. It must not guess an address.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
};

/// As much of the file as holds its table of headers, bytes.
const HEAD_BYTES: u64 = 64 << 10;
/// Most bytes of notes that are read.
const MAX_NOTE_BYTES: u64 = 1 << 20;
const LOADABLE: u64 = 1;
const NOTE: u64 = 4;

/// The file, opened.
#[derive(Debug)]
pub struct CoreFile {
    file: File,
    headers: Vec<Header>,
}

impl CoreFile {
    /// Opens it.
    ///
    /// # Errors
    /// When this process may not read it, or it is no ELF core of this machine.
    pub fn open() -> io::Result<Self> {
        let file = File::open("/proc/kcore")?;
        let mut head = Vec::new();
        (&file).take(HEAD_BYTES).read_to_end(&mut head)?;
        let headers = headers(&head).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::Unsupported,
                "/proc/kcore has no usable header",
            )
        })?;
        Ok(Self { file, headers })
    }

    /// Whether it has the memory at this address.
    #[must_use]
    pub fn has(&self, address: u64) -> bool {
        self.place(address, 1).is_some()
    }

    /// Reads memory from a kernel address on.
    ///
    /// # Errors
    /// When the file does not have all of it, or the kernel refuses it.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> io::Result<()> {
        let place = self.place(address, bytes.len() as u64).ok_or_else(|| {
            let why = format!("/proc/kcore does not have address {address:#x}");
            io::Error::new(io::ErrorKind::NotFound, why)
        })?;
        self.file.read_exact_at(bytes, place)
    }

    /// That many bytes from a kernel address on.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn bytes(&self, address: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    /// A 32-bit word.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn word(&self, address: u64) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    /// A pointer.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn pointer(&self, address: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// The text of the VMCOREINFO note (since Linux 4.19); `None` where there is none.
    #[must_use]
    pub fn vmcoreinfo(&self) -> Option<String> {
        let header = self.headers.iter().find(|header| header.kind == NOTE)?;
        let length = usize::try_from(header.file_bytes.min(MAX_NOTE_BYTES)).ok()?;
        let mut notes = vec![0; length];
        self.file.read_exact_at(&mut notes, header.offset).ok()?;
        let text = note(&notes, b"VMCOREINFO\0")?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn place(&self, address: u64, length: u64) -> Option<u64> {
        let header = self
            .headers
            .iter()
            .find(|header| header.kind == LOADABLE && header.holds(address, length))?;
        header.offset.checked_add(address - header.start)
    }
}

/// A stretch of the file.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    kind: u64,
    offset: u64,
    /// Kernel address of its first byte.
    start: u64,
    file_bytes: u64,
    memory_bytes: u64,
}

impl Header {
    fn holds(&self, address: u64, length: u64) -> bool {
        address
            .checked_sub(self.start)
            .and_then(|from| from.checked_add(length))
            .is_some_and(|end| end <= self.memory_bytes)
    }
}

/// A number of 2, 4 or 8 bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(match length {
        2 => u16::from_ne_bytes(bytes.try_into().ok()?).into(),
        4 => u32::from_ne_bytes(bytes.try_into().ok()?).into(),
        _ => u64::from_ne_bytes(bytes.try_into().ok()?),
    })
}

/// The program headers of a 64-bit ELF core in this machine's byte order; `None` for any other file.
fn headers(head: &[u8]) -> Option<Vec<Header>> {
    const CLASS_64: u8 = 2;
    if !head.starts_with(b"\x7fELF") || head.get(4) != Some(&CLASS_64) {
        return None;
    }
    let table = usize::try_from(number(head, 32, 8)?).ok()?;
    let size = usize::try_from(number(head, 54, 2)?).ok()?;
    let count = usize::try_from(number(head, 56, 2)?).ok()?;
    (0..count)
        .map(|index| {
            let at = table.checked_add(index.checked_mul(size)?)?;
            Some(Header {
                kind: number(head, at, 4)?,
                offset: number(head, at.checked_add(8)?, 8)?,
                start: number(head, at.checked_add(16)?, 8)?,
                file_bytes: number(head, at.checked_add(32)?, 8)?,
                memory_bytes: number(head, at.checked_add(40)?, 8)?,
            })
        })
        .collect()
}

/// The contents of the note of this name.
fn note<'a>(mut notes: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    const HEAD: usize = 12;
    loop {
        let name_bytes = usize::try_from(number(notes, 0, 4)?).ok()?;
        let bytes = usize::try_from(number(notes, 4, 4)?).ok()?;
        let begin = HEAD.checked_add(name_bytes.checked_next_multiple_of(4)?)?;
        let name = notes.get(HEAD..HEAD.checked_add(name_bytes)?)?;
        if name == wanted {
            return notes.get(begin..begin.checked_add(bytes)?);
        }
        notes = notes.get(begin.checked_add(bytes.checked_next_multiple_of(4)?)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_and_damage_does_not_panic() {
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
        let found = headers(&head).expect("a core");
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].kind, found[1].kind), (NOTE, LOADABLE));
        assert!(found[1].holds(0xffff_8000_0000_01ff, 1));
        assert!(!found[1].holds(0xffff_8000_0000_01ff, 2));
        assert!(!found[1].holds(0xffff_8000_0000_0200, 1));
        assert!(!found[1].holds(u64::MAX, 4));
        for cut in 0..load + 48 {
            assert_eq!(headers(&head[..cut]), None, "{cut}");
        }
        head[32..40].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert_eq!(headers(&head), None);
    }

    #[test]
    fn a_note_is_found_behind_others() {
        let mut notes = Vec::new();
        for (name, text) in [(b"CORE\0".as_slice(), "12345"), (b"VMCOREINFO\0", "A=1\n")] {
            notes.extend(u32::try_from(name.len()).expect("short").to_ne_bytes());
            notes.extend(u32::try_from(text.len()).expect("short").to_ne_bytes());
            notes.extend(0_u32.to_ne_bytes());
            for part in [name, text.as_bytes()] {
                notes.extend(part);
                notes.resize(notes.len().next_multiple_of(4), 0);
            }
        }
        assert_eq!(note(&notes, b"VMCOREINFO\0"), Some(b"A=1\n".as_slice()));
        assert_eq!(note(&notes, b"ABSENT\0"), None);
        for cut in 0..notes.len() {
            assert_eq!(note(&notes[..cut], b"VMCOREINFO\0"), None, "{cut}");
        }
    }
}
