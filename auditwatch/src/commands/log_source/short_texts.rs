//! JSON whose texts are of any size. In: its bytes. Out: the same bytes, but of each text that is too long only the
//! beginning, so that a small compressed file cannot take much memory.
//!
//! It must not read ahead: what stands behind a document belongs to the next one.

use std::io::{self, BufRead, Read};

/// The longest text, bytes as they are written; consoles that clouds keep have 1 MiB.
pub(super) const LONGEST: usize = 2 << 20;
/// Bytes by which a text may be longer, so that it does not end within a character: two escapes of six.
const OVERHANG: usize = 12;

/// Where in the document it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outside,
    Text,
    /// Behind a backslash.
    Escape,
    /// Within the number of a character: its digits so far, and how many come.
    Digits {
        number: u32,
        left: u8,
    },
    /// Within the part of a text that is left out.
    LeftOut {
        is_escaped: bool,
    },
}

/// A document with short texts.
#[derive(Debug)]
pub(super) struct ShortTexts<R> {
    log: R,
    longest: usize,
    place: Place,
    /// Bytes of the text so far.
    length: usize,
    /// Whether the last escape is the first half of a character (UTF-16).
    is_half: bool,
    cut: u64,
}

impl<R: BufRead> ShortTexts<R> {
    pub(super) const fn new(log: R) -> Self {
        Self::with_longest(log, LONGEST)
    }

    const fn with_longest(log: R, longest: usize) -> Self {
        Self {
            log,
            longest,
            place: Place::Outside,
            length: 0,
            is_half: false,
            cut: 0,
        }
    }

    /// Texts that were too long.
    pub(super) const fn cut(&self) -> u64 {
        self.cut
    }

    /// Whether the byte is handed on.
    fn passes(&mut self, byte: u8) -> bool {
        self.length += 1;
        self.place = match (self.place, byte) {
            (Place::Outside, b'"') => {
                self.length = 0;
                self.is_half = false;
                Place::Text
            }
            (Place::Outside, _) | (Place::Text | Place::LeftOut { is_escaped: false }, b'"') => {
                Place::Outside
            }
            (Place::Text, _) if self.may_end(byte) => {
                self.cut += 1;
                let is_escaped = byte == b'\\';
                self.place = Place::LeftOut { is_escaped };
                return false;
            }
            (Place::LeftOut { is_escaped }, _) => {
                let is_escaped = !is_escaped && byte == b'\\';
                self.place = Place::LeftOut { is_escaped };
                return false;
            }
            (Place::Text, b'\\') => Place::Escape,
            (Place::Escape, b'u') => Place::Digits { number: 0, left: 4 },
            (Place::Text | Place::Escape, _) => {
                self.is_half = false;
                Place::Text
            }
            (Place::Digits { number, left }, _) => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let number = number << 4 | digit;
                if left > 1 {
                    let left = left - 1;
                    Place::Digits { number, left }
                } else {
                    self.is_half = matches!(number, 0xd800..=0xdbff);
                    Place::Text
                }
            }
        };
        true
    }

    /// Whether a text may end before this byte: not within a character.
    const fn may_end(&self, byte: u8) -> bool {
        let is_within = byte & 0xc0 == 0x80 || self.is_half;
        self.length > self.longest && (!is_within || self.length > self.longest + OVERHANG)
    }
}

impl<R: BufRead> Read for ShortTexts<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(out) = out.first_mut() else {
            return Ok(0);
        };
        while let Some(&byte) = self.log.fill_buf()?.first() {
            self.log.consume(1);
            if self.passes(byte) {
                *out = byte;
                return Ok(1);
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const SHORT: usize = 64;

    /// The texts of a document.
    fn texts(document: &str) -> (Vec<String>, u64) {
        let mut short = ShortTexts::with_longest(document.as_bytes(), SHORT);
        let mut read = Vec::new();
        short.read_to_end(&mut read).expect("no error");
        let value: Value = serde_json::from_slice(&read).expect("JSON");
        let texts = value.as_array().expect("an array").iter();
        let texts = texts.map(|text| text.as_str().expect("a text").to_owned());
        (texts.collect(), short.cut())
    }

    #[test]
    fn texts_are_cut_between_characters_wherever_the_bound_falls() {
        for character in [
            "x",
            "\u{e9}",
            "\\n",
            "\\\\",
            "\\\"",
            "\\u00e9",
            "\\ud83d\\udE00",
            "\u{1f600}",
        ] {
            let one: String = serde_json::from_str(&format!("\"{character}\"")).expect("JSON");
            for before in 0..13 {
                let text = "a".repeat(before) + &character.repeat(SHORT / character.len() + 9);
                let (found, cut) = texts(&format!("[\"{text}\", \"\\\"end\"]"));
                assert_eq!((found.len(), cut), (2, 1), "{character}");
                assert_eq!(found[1], "\"end");
                let rest = found[0].trim_start_matches('a');
                assert!(rest.len() <= SHORT + OVERHANG, "{character}");
                assert_eq!(rest.replace(&one, ""), "", "{character}");
            }
        }
    }

    #[test]
    fn other_documents_are_as_they_were() {
        let text = format!("[\"\\\"{}\", \"\"]", "x".repeat(SHORT - 2));
        let mut short = ShortTexts::with_longest(text.as_bytes(), SHORT);
        let mut read = String::new();
        short.read_to_string(&mut read).expect("no error");
        assert_eq!((read == text, short.cut()), (true, 0));
    }
}
