//! Prototypes of functions: the kernel's type information (BTF) comes in, C declarations go out. Pure.
//!
//! Apart from auditwatch's own reader, which looks up offsets and must start fast: this one spells types.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail, ensure};

const MAGIC: u32 = 0xeb9f;
const TYPE_BYTES: usize = 12;
/// Types that refer to each other in a circle end here.
const MOST_STEPS: u32 = 32;

/// Kinds of types, by number.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const POINTER: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const FORWARD: u32 = 7;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const FLOAT: u32 = 16;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// Type information of a kernel.
pub(super) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Place of each type within `types`; type 0 is `void`.
    places: Vec<usize>,
    functions: HashMap<&'a str, u32>,
}

impl<'a> Btf<'a> {
    /// Parses a little-endian blob.
    ///
    /// # Errors
    /// When it is not BTF, cut short, or has a kind of types that is not known.
    pub(super) fn parse(blob: &'a [u8]) -> Result<Self> {
        ensure!(word(blob, 0)? & 0xffff == MAGIC, "not BTF");
        let header = size(word(blob, 4)?);
        let part = |at| -> Result<&'a [u8]> {
            let start = header + size(word(blob, at)?);
            let end = start + size(word(blob, at + 4)?);
            blob.get(start..end).context("BTF is cut short")
        };
        let mut btf = Self {
            types: part(8)?,
            strings: part(16)?,
            places: vec![0],
            functions: HashMap::new(),
        };
        let mut at = 0;
        while at < btf.types.len() {
            let id = u32::try_from(btf.places.len())?;
            btf.places.push(at);
            if btf.kind(id)? == kind::FUNC {
                btf.functions.insert(btf.name(word(btf.types, at)?)?, id);
            }
            at += TYPE_BYTES + btf.more_bytes(id)?;
        }
        Ok(btf)
    }

    /// The declaration of a function, without `static`; `None` if the kernel has no such function.
    ///
    /// # Errors
    /// When its types are damaged.
    pub(super) fn prototype(&self, function: &str) -> Result<Option<String>> {
        let Some(&id) = self.functions.get(function) else {
            return Ok(None);
        };
        self.declare(self.target(id)?, function.to_owned(), 0)
            .map(Some)
    }

    /// `declarator` declared as the type `id`, as C writes it.
    fn declare(&self, id: u32, declarator: String, step: u32) -> Result<String> {
        ensure!(step < MOST_STEPS, "types refer to each other in a circle");
        if id == 0 {
            return Ok(joined("void", &declarator));
        }
        let step = step + 1;
        let name = self.name(self.word(id, 0)?)?;
        let target = self.target(id)?;
        Ok(match self.kind(id)? {
            kind::POINTER => {
                let is_outside =
                    target != 0 && matches!(self.kind(target)?, kind::ARRAY | kind::FUNC_PROTO);
                let declarator = if is_outside {
                    format!("(*{declarator})")
                } else {
                    format!("*{declarator}")
                };
                self.declare(target, declarator, step)?
            }
            kind::ARRAY => {
                let (element, length) = (self.word(id, 12)?, self.word(id, 20)?);
                self.declare(element, format!("{declarator}[{length}]"), step)?
            }
            kind::FUNC_PROTO => {
                let parameters = (0..self.members(id)?)
                    .map(|number| {
                        let at = TYPE_BYTES + number * 8;
                        let name = self.name(self.word(id, at)?)?;
                        self.declare(self.word(id, at + 4)?, name.to_owned(), step)
                    })
                    .collect::<Result<Vec<_>>>()?;
                let declarator = format!("{declarator}({})", parameters.join(", "));
                self.declare(target, declarator, step)?
            }
            kind::CONST => joined("const", &self.declare(target, declarator, step)?),
            kind::VOLATILE => joined("volatile", &self.declare(target, declarator, step)?),
            kind::RESTRICT | kind::TYPE_TAG => self.declare(target, declarator, step)?,
            kind::STRUCT | kind::FORWARD => joined(&format!("struct {name}"), &declarator),
            kind::UNION => joined(&format!("union {name}"), &declarator),
            kind::ENUM | kind::ENUM64 => joined(&format!("enum {name}"), &declarator),
            _ => joined(name, &declarator),
        })
    }

    fn word(&self, id: u32, at: usize) -> Result<u32> {
        let place = self.places.get(size(id)).context("a type is missing")?;
        word(self.types, place + at)
    }

    fn kind(&self, id: u32) -> Result<u32> {
        Ok(self.word(id, 4)? >> 24 & 0x7f)
    }

    fn members(&self, id: u32) -> Result<usize> {
        Ok(size(self.word(id, 4)? & 0x00ff_ffff))
    }

    fn target(&self, id: u32) -> Result<u32> {
        self.word(id, 8)
    }

    /// Bytes of a type behind its head.
    fn more_bytes(&self, id: u32) -> Result<usize> {
        let members = self.members(id)?;
        Ok(match self.kind(id)? {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => members * 12,
            kind::ENUM | kind::FUNC_PROTO => members * 8,
            kind::POINTER
            | kind::FORWARD
            | kind::TYPEDEF
            | kind::VOLATILE
            | kind::CONST
            | kind::RESTRICT
            | kind::FUNC
            | kind::FLOAT
            | kind::TYPE_TAG => 0,
            other => bail!("type {id} is of kind {other}, which is not known"),
        })
    }

    fn name(&self, at: u32) -> Result<&'a str> {
        let rest = self.strings.get(size(at)..).context("a name is missing")?;
        let end = rest.iter().position(|&byte| byte == 0);
        let name = rest.get(..end.context("a name has no end")?);
        Ok(str::from_utf8(name.unwrap_or_default())?)
    }
}

fn joined(left: &str, right: &str) -> String {
    format!("{left} {right}").trim_end().to_owned()
}

fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let word = bytes.get(at..at + 4).context("BTF is cut short")?;
    Ok(u32::from_le_bytes(word.try_into()?))
}

fn size(word: u32) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Types as words behind their strings: `int f(const char *text, void (*hook)(int))`.
    fn blob() -> Vec<u8> {
        let strings = b"\0int\0char\0f\0text\0hook\0";
        let head = |kind: u32, members: u32| kind << 24 | members;
        let types: &[&[u32]] = &[
            &[1, head(kind::INT, 0), 4, 32],
            &[5, head(kind::INT, 0), 1, 8],
            &[0, head(kind::CONST, 0), 2],
            &[0, head(kind::POINTER, 0), 3],
            &[0, head(kind::FUNC_PROTO, 1), 0, 0, 1],
            &[0, head(kind::POINTER, 0), 5],
            &[0, head(kind::FUNC_PROTO, 2), 1, 12, 4, 17, 6],
            &[10, head(kind::FUNC, 0), 7],
        ];
        let types: Vec<u8> = types
            .concat()
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("short");
        let words = [
            MAGIC | 1 << 16,
            24,
            0,
            length(&types),
            length(&types),
            length(strings),
        ];
        let header = words.iter().flat_map(|word| word.to_le_bytes());
        header
            .chain(types.iter().copied())
            .chain(*strings)
            .collect()
    }

    #[test]
    fn function_is_declared_as_in_c() {
        let blob = blob();
        let btf = Btf::parse(&blob).expect("BTF");
        assert_eq!(
            btf.prototype("f").expect("whole").as_deref(),
            Some("int f(const char *text, void (*hook)(int))")
        );
        assert_eq!(btf.prototype("g").expect("whole"), None);
    }

    #[test]
    fn blob_that_is_cut_short_is_an_error() {
        let blob = blob();
        for length in 0..blob.len() {
            assert!(Btf::parse(&blob[..length]).is_err(), "{length}");
        }
    }
}
