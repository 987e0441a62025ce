//! The kernel's own audit variables, read through `/proc/kcore`: no request, no effect.
//!
//! Truth about the three queues that `AUDIT_GET` does not tell, at any moment, also while the
//! queue is above its limit. Absent where the kernel hides it (lockdown, no kcore).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// `sk_buff_head.qlen` follows two pointers.
const QLEN: u64 = 16;
/// Symbols that must be there, with the offset of the word in them.
const NEEDED: [(&str, u64); 5] = [
    ("audit_queue", QLEN),
    ("audit_retry_queue", QLEN),
    ("audit_hold_queue", QLEN),
    ("audit_lost", 0),
    ("audit_backlog_limit", 0),
];
const WAITED: &str = "audit_backlog_wait_time_actual";

/// One reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelWords {
    /// Depth of the main queue.
    pub main: u64,
    /// Depth of the retry queue.
    pub retry: u64,
    /// Depth of the hold queue.
    pub hold: u64,
    /// Losses that the kernel counted.
    pub lost: u64,
    /// The limit of the main queue.
    pub limit: u64,
    /// Jiffies waited in all, from 5.9 on.
    pub waited: Option<u64>,
}

impl KernelWords {
    /// All records that stand in a queue.
    pub fn depths(&self) -> u64 {
        self.main + self.retry + self.hold
    }
}

/// Where the words are in `/proc/kcore`: found once, handed to helpers in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordMap {
    offsets: BTreeMap<String, u64>,
}

impl WordMap {
    /// Finds them.
    pub fn find() -> Result<Self> {
        let addresses = addresses(BufReader::new(
            File::open("/proc/kallsyms").context("opening /proc/kallsyms")?,
        ))?;
        let mut head = vec![0; 64 * 1024];
        let core = File::open("/proc/kcore").context("opening /proc/kcore")?;
        let n = (&core)
            .read(&mut head)
            .context("reading the headers of /proc/kcore")?;
        let segments = segments(&head[..n])?;
        let mut offsets = BTreeMap::new();
        for (name, at) in NEEDED.iter().copied().chain([(WAITED, 0)]) {
            let Some(&address) = addresses.get(name) else {
                ensure!(name == WAITED, "/proc/kallsyms does not show {name}");
                continue;
            };
            let address = address + at;
            let Some(segment) = segments.iter().find(|s| s.contains(address)) else {
                bail!("/proc/kcore does not cover {name} at {address:#x}");
            };
            offsets.insert(name.to_owned(), segment.offset + (address - segment.start));
        }
        Ok(Self { offsets })
    }

    /// Reads what another process wrote down.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("parsing {}", path.display()))
    }

    /// Writes it down.
    pub fn save(&self, path: &Path) -> Result<()> {
        std::fs::write(path, serde_json::to_vec(self)?)
            .with_context(|| format!("writing {}", path.display()))
    }
}

/// An open `/proc/kcore`.
pub struct KernelMemory {
    core: File,
    map: WordMap,
}

impl KernelMemory {
    /// Opens it.
    pub fn open(map: WordMap) -> Result<Self> {
        let core = File::open("/proc/kcore").context("opening /proc/kcore")?;
        Ok(Self { core, map })
    }

    fn word(&self, name: &str) -> Result<Option<u64>> {
        let Some(&offset) = self.map.offsets.get(name) else {
            return Ok(None);
        };
        let mut bytes = [0; 4];
        self.core
            .read_exact_at(&mut bytes, offset)
            .with_context(|| format!("reading {name} from /proc/kcore"))?;
        Ok(Some(u64::from(u32::from_ne_bytes(bytes))))
    }

    /// Reads all words; they are not from one instant unless the kernel is quiet.
    pub fn read(&self) -> Result<KernelWords> {
        let needed = |name: &str| self.word(name)?.with_context(|| format!("no {name}"));
        Ok(KernelWords {
            main: needed("audit_queue")?,
            retry: needed("audit_retry_queue")?,
            hold: needed("audit_hold_queue")?,
            lost: needed("audit_lost")?,
            limit: needed("audit_backlog_limit")?,
            waited: self.word(WAITED)?,
        })
    }
}

fn addresses(kallsyms: impl BufRead) -> Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    for line in kallsyms.lines() {
        let line = line.context("reading /proc/kallsyms")?;
        let mut parts = line.split_ascii_whitespace();
        let (Some(address), Some(_), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if name == WAITED || NEEDED.iter().any(|n| n.0 == name) {
            let address = u64::from_str_radix(address, 16)
                .with_context(|| format!("address of {name} in /proc/kallsyms"))?;
            ensure!(address != 0, "/proc/kallsyms hides addresses");
            found.insert(name.to_owned(), address);
        }
    }
    Ok(found)
}

#[derive(Debug, PartialEq, Eq)]
struct Segment {
    start: u64,
    offset: u64,
    length: u64,
}

impl Segment {
    fn contains(&self, address: u64) -> bool {
        address >= self.start && address - self.start < self.length
    }
}

/// The `PT_LOAD` headers of a 64-bit ELF core.
fn segments(head: &[u8]) -> Result<Vec<Segment>> {
    const PT_LOAD: u64 = 1;
    let number = |at: usize, len: usize| -> Result<u64> {
        let bytes = head
            .get(at..at + len)
            .context("/proc/kcore has a short header")?;
        let mut word = [0; 8];
        word[..len].copy_from_slice(bytes);
        Ok(u64::from_le_bytes(word))
    };
    ensure!(head.starts_with(b"\x7fELF"), "/proc/kcore is no ELF file");
    let table = usize::try_from(number(32, 8)?)?;
    let size = usize::try_from(number(54, 2)?)?;
    let count = usize::try_from(number(56, 2)?)?;
    let mut out = Vec::new();
    for at in (0..count).map(|i| table + i * size) {
        if number(at, 4)? == PT_LOAD {
            out.push(Segment {
                offset: number(at + 8, 8)?,
                start: number(at + 16, 8)?,
                length: number(at + 40, 8)?,
            });
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_the_kernel_only() {
        let text = "ffffffff82000010 b audit_queue\nffffffff82000040 B audit_lost\n\
                    ffffffffc0000000 t audit_queue [module]\n0000000000000000 A other\n";
        let found = addresses(text.as_bytes()).expect("parses");
        assert_eq!(found.len(), 2);
        assert_eq!(found["audit_queue"], 0xffff_ffff_8200_0010);
        assert!(addresses("0000000000000000 b audit_queue\n".as_bytes()).is_err());
    }

    #[test]
    fn segments_of_a_core() {
        let mut head = vec![0u8; 64 + 2 * 56];
        head[..4].copy_from_slice(b"\x7fELF");
        head[32] = 64;
        head[54] = 56;
        head[56] = 2;
        head[64] = 4; // PT_NOTE
        let load = 64 + 56;
        head[load] = 1;
        head[load + 8..load + 16].copy_from_slice(&0x1000u64.to_le_bytes());
        head[load + 16..load + 24].copy_from_slice(&0xffff_8000_0000_0000u64.to_le_bytes());
        head[load + 40..load + 48].copy_from_slice(&0x200u64.to_le_bytes());
        let found = segments(&head).expect("parses");
        assert_eq!(
            found,
            [Segment {
                start: 0xffff_8000_0000_0000,
                offset: 0x1000,
                length: 0x200
            }]
        );
        assert!(found[0].contains(0xffff_8000_0000_01ff));
        assert!(!found[0].contains(0xffff_8000_0000_0200));
        assert!(segments(b"no").is_err());
    }
}
