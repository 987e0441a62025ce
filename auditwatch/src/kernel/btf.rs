//! The kernel's own types, from `/sys/kernel/btf/vmlinux`.
//!
//! In: the bytes of a BTF blob. Out: offsets and sizes of structures, functions
//! and their parameters. Pure, and safe on any input: what cannot be made sense of
//! is an error or `None`, never a panic.

use std::{collections::HashMap, ops::Range};

use bytes::Buf as _;
use thiserror::Error;

/// A blob that is no BTF.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BtfError {
    /// The blob ends before its header says.
    #[error("BTF is cut short: {needed} bytes needed, {found} there")]
    Truncated {
        /// Bytes needed.
        needed: usize,
        /// Bytes there.
        found: usize,
    },
    /// The first bytes are not BTF's.
    #[error("no BTF: the magic number is {0:#06x}")]
    Magic(u16),
    /// A type of a kind that this parser does not know, so that its length is unknown too.
    #[error("BTF type {id} is of the unknown kind {kind}")]
    UnknownKind {
        /// Number of the type.
        id: u32,
        /// Its kind.
        kind: u32,
    },
}

const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: usize = 24;
/// Length of a header that tells of a layout section too.
const LAYOUT_HEADER_BYTES: usize = 32;
const TYPE_BYTES: usize = 12;

const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_TYPE_TAG: u32 = 18;

/// Most structures or modifiers that a path may lead through.
const MAX_STEPS: u32 = 32;
/// Most members that a look-up compares. The largest structure has some hundreds;
/// a blob whose anonymous members contain each other would have no end of them.
const MAX_MEMBERS: u32 = 100_000;

/// Beginnings of the names that are kept; a kernel has some 100,000.
const KEPT: [&[u8]; 9] = [
    b"audit",
    b"kauditd",
    b"netlink_recvmsg",
    b"netlink_unicast",
    b"pid",
    b"sk_buff",
    b"skb_shared_info",
    b"sock",
    b"task_struct",
];

/// A parsed BTF blob.
#[derive(Debug)]
pub struct Btf {
    blob: Vec<u8>,
    /// Where the types lie in the blob.
    types: Range<usize>,
    /// Where the names lie in the blob.
    strings: Range<usize>,
    /// Where the lengths of kinds lie in the blob; empty where it does not tell them.
    layout: Range<usize>,
    /// Place of each type within the types; type 0 is `void` and has none.
    places: Vec<u32>,
    structs: HashMap<Vec<u8>, u32>,
    functions: HashMap<Vec<u8>, u32>,
}

#[derive(Clone, Copy)]
struct Head {
    name: u32,
    info: u32,
    /// Size in bytes, or the type referred to.
    size_or_type: u32,
}

impl Head {
    /// Seven bits since the layout section came, five before: the other two were 0.
    const fn kind(self) -> u32 {
        (self.info >> 24) & 0x7f
    }

    /// Likewise 24 bits, and 16 before.
    const fn vlen(self) -> u32 {
        self.info & 0x00ff_ffff
    }

    const fn kind_flag(self) -> bool {
        self.info >> 31 == 1
    }
}

impl Btf {
    /// Parses a blob in the machine's own byte order.
    ///
    /// # Errors
    /// When it is no BTF, cut short, or of a kind newer than this parser.
    pub fn parse(blob: Vec<u8>) -> Result<Self, BtfError> {
        Self::index(blob, |kind, name| {
            matches!(kind, KIND_STRUCT | KIND_UNION | KIND_FUNC)
                && KEPT.iter().any(|kept| name.starts_with(kept))
        })
    }

    /// The same with structures alone, which is faster: no function is kept.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_structures(blob: Vec<u8>) -> Result<Self, BtfError> {
        Self::index(blob, |kind, name| {
            kind == KIND_STRUCT && KEPT.iter().any(|kept| name.starts_with(kept))
        })
    }

    fn index(blob: Vec<u8>, is_kept: impl Fn(u32, &[u8]) -> bool) -> Result<Self, BtfError> {
        let found = blob.len();
        let truncated = |needed: usize| BtfError::Truncated { needed, found };
        let mut header = blob
            .get(..HEADER_BYTES)
            .ok_or_else(|| truncated(HEADER_BYTES))?;
        let magic = header.get_u16_ne();
        if magic != MAGIC {
            return Err(BtfError::Magic(magic));
        }
        header.advance(2);
        let start = header.get_u32_ne() as usize;
        let (type_offset, type_length) = (header.get_u32_ne(), header.get_u32_ne());
        let (string_offset, string_length) = (header.get_u32_ne(), header.get_u32_ne());
        let section = |offset: u32, length: u32| {
            let from = start.saturating_add(offset as usize);
            let to = from.saturating_add(length as usize);
            if to > found {
                return Err(truncated(to));
            }
            Ok(from..to)
        };
        let layout = match blob.get(HEADER_BYTES..LAYOUT_HEADER_BYTES) {
            Some(mut more) if start >= LAYOUT_HEADER_BYTES => {
                section(more.get_u32_ne(), more.get_u32_ne())?
            }
            _ => 0..0,
        };
        let mut btf = Self {
            types: section(type_offset, type_length)?,
            strings: section(string_offset, string_length)?,
            layout,
            blob,
            places: vec![0],
            structs: HashMap::new(),
            functions: HashMap::new(),
        };
        btf.walk(is_kept)?;
        Ok(btf)
    }

    fn types(&self) -> &[u8] {
        self.blob.get(self.types.clone()).unwrap_or_default()
    }

    fn strings(&self) -> &[u8] {
        self.blob.get(self.strings.clone()).unwrap_or_default()
    }

    fn walk(&mut self, is_kept: impl Fn(u32, &[u8]) -> bool) -> Result<(), BtfError> {
        let section = |range: &Range<usize>| self.blob.get(range.clone()).unwrap_or_default();
        let types = section(&self.types);
        let strings = section(&self.strings);
        let layout = section(&self.layout);
        let truncated = |needed| BtfError::Truncated {
            needed,
            found: types.len(),
        };
        // A type takes 12 bytes at least.
        self.places.reserve(types.len() / TYPE_BYTES / 2);
        let mut place = 0;
        while place < types.len() {
            let head = head_at(types, place).ok_or_else(|| truncated(place + TYPE_BYTES))?;
            let id = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
            let trailing = trailing_bytes(head)
                .or_else(|| trailing_bytes_by_layout(layout, head))
                .ok_or(BtfError::UnknownKind {
                    id,
                    kind: head.kind(),
                })?;
            let end = place + TYPE_BYTES + trailing;
            if end > types.len() {
                return Err(truncated(end));
            }
            self.places.push(u32::try_from(place).unwrap_or(u32::MAX));
            let name = strings.get(head.name as usize..).unwrap_or_default();
            if is_kept(head.kind(), name) {
                let index = if head.kind() == KIND_FUNC {
                    &mut self.functions
                } else {
                    &mut self.structs
                };
                index.entry(before_nul(name).to_vec()).or_insert(id);
            }
            place = end;
        }
        Ok(())
    }

    /// Functions that are kept, with the numbers of their types.
    pub fn functions(&self) -> impl Iterator<Item = (&str, u32)> {
        self.functions
            .iter()
            .filter_map(|(name, &id)| Some((std::str::from_utf8(name).ok()?, id)))
    }

    /// Bytes from the start of a structure to a member. `path` leads through
    /// members by dots (`stamp.serial`); anonymous members need no name. `None`
    /// for what does not exist, and for bit fields.
    #[must_use]
    pub fn member_offset(&self, strukt: &str, path: &str) -> Option<u32> {
        let mut current = *self.structs.get(strukt.as_bytes())?;
        let mut bits = 0_u32;
        let mut members_left = MAX_MEMBERS;
        for name in path.split('.').map(str::as_bytes) {
            // No name would mean the first anonymous member.
            if name.is_empty() {
                return None;
            }
            let (offset, next) = self.member(current, name, MAX_STEPS, &mut members_left)?;
            bits = bits.checked_add(offset)?;
            current = next;
        }
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// Size of a structure, bytes.
    #[must_use]
    pub fn struct_size(&self, name: &str) -> Option<u32> {
        let id = *self.structs.get(name.as_bytes())?;
        Some(self.head(id)?.size_or_type)
    }

    /// Number of a function's parameters.
    #[must_use]
    pub fn function_params(&self, name: &str) -> Option<u32> {
        let function = self.head(*self.functions.get(name.as_bytes())?)?;
        let prototype = self.head(function.size_or_type)?;
        (prototype.kind() == KIND_FUNC_PROTO).then(|| prototype.vlen())
    }

    /// Offset in bits and type of a member.
    fn member(
        &self,
        id: u32,
        name: &[u8],
        steps: u32,
        members_left: &mut u32,
    ) -> Option<(u32, u32)> {
        let steps = steps.checked_sub(1)?;
        let id = self.resolve(id)?;
        let head = self.head(id)?;
        if !matches!(head.kind(), KIND_STRUCT | KIND_UNION) {
            return None;
        }
        let mut members = self.trailing(id)?;
        for _ in 0..head.vlen() {
            if members.remaining() < TYPE_BYTES {
                return None;
            }
            *members_left = members_left.checked_sub(1)?;
            let (name_offset, member_type, offset) = (
                members.get_u32_ne(),
                members.get_u32_ne(),
                members.get_u32_ne(),
            );
            let (offset, bit_field) = if head.kind_flag() {
                (offset & 0x00ff_ffff, offset >> 24 != 0)
            } else {
                (offset, false)
            };
            if self.is_named(name_offset, name) {
                return (!bit_field).then_some((offset, member_type));
            }
            if self.is_named(name_offset, b"")
                && let Some((inner, found)) = self.member(member_type, name, steps, members_left)
            {
                return Some((offset.checked_add(inner)?, found));
            }
        }
        None
    }

    /// Follows typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<u32> {
        for _ in 0..MAX_STEPS {
            let head = self.head(id)?;
            match head.kind() {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    id = head.size_or_type;
                }
                _ => return Some(id),
            }
        }
        None
    }

    fn head(&self, id: u32) -> Option<Head> {
        if id == 0 {
            return None;
        }
        head_at(self.types(), *self.places.get(id as usize)? as usize)
    }

    fn trailing(&self, id: u32) -> Option<&[u8]> {
        self.types()
            .get(*self.places.get(id as usize)? as usize + TYPE_BYTES..)
    }

    fn is_named(&self, offset: u32, name: &[u8]) -> bool {
        let text = self.strings().get(offset as usize..).unwrap_or_default();
        text.strip_prefix(name)
            .is_some_and(|rest| rest.first() == Some(&0))
    }
}

fn head_at(types: &[u8], place: usize) -> Option<Head> {
    let mut bytes = types.get(place..place.checked_add(TYPE_BYTES)?)?;
    Some(Head {
        name: bytes.get_u32_ne(),
        info: bytes.get_u32_ne(),
        size_or_type: bytes.get_u32_ne(),
    })
}

fn before_nul(text: &[u8]) -> &[u8] {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// Bytes that follow the head of a kind that only the blob itself knows: `struct
/// btf_layout` (uapi linux/btf.h), the size of what comes once and of each element.
fn trailing_bytes_by_layout(layout: &[u8], head: Head) -> Option<usize> {
    const ENTRY_BYTES: usize = 4;
    let at = head.kind() as usize * ENTRY_BYTES;
    let &[once, each, ..] = layout.get(at..at + ENTRY_BYTES)? else {
        return None;
    };
    Some(usize::from(once) + head.vlen() as usize * usize::from(each))
}

/// Bytes that follow a type's head (include/uapi/linux/btf.h); `None` for a kind
/// that is not known.
const fn trailing_bytes(head: Head) -> Option<usize> {
    let vlen = head.vlen() as usize;
    Some(match head.kind() {
        // INT, VAR and DECL_TAG: one word.
        1 | 14 | 17 => 4,
        // ARRAY; members of STRUCT, UNION and DATASEC, and 64-bit enumerators.
        3 => 12,
        KIND_STRUCT | KIND_UNION | 15 | 19 => vlen * 12,
        // Enumerators, and parameters of a prototype.
        6 | KIND_FUNC_PROTO => vlen * 8,
        // PTR, FWD, qualifiers, FUNC, FLOAT and TYPE_TAG: nothing.
        2 | 7..=KIND_FUNC | 16 | KIND_TYPE_TAG => 0,
        _ => return None,
    })
}

#[cfg(test)]
pub(crate) mod builder;
#[cfg(test)]
mod tests;
