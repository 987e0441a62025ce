//! What a line of a recording may hold, so that a small file cannot take much memory.
//!
//! In: the bytes of a line, before anything is made of them. Out: what exceeds the bounds, if anything does. It looks
//! at keys that nobody knows as well, and keeps nothing of what it sees.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Longest line, bytes. The longest that can be recorded is that of a sample with all places of the talkers' maps
/// taken: 10 MB.
pub const MAX_LINE_BYTES: u64 = 16 << 20;
/// Greatest number in a recording: nine years in ns. Greater ones are damage, and their
/// sums could not be told from small ones.
const MAX_NUMBER: u64 = 1 << 58;
/// Most entries of a list or of an object; the talkers' maps have 16,384 places together.
const MAX_ENTRIES: usize = 32 << 10;
/// Longest text, bytes; the longest that is recorded is a path.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// What a line has too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// This number is too great.
    Number(u64),
    /// A list or an object has too many entries.
    Entries,
    /// A text is too long.
    Text,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "the number {number} is larger than in any trace"),
            Self::Entries => write!(
                f,
                "it has a list of more than {MAX_ENTRIES} entries, and no trace has one"
            ),
            Self::Text => write!(
                f,
                "it has a text of more than {MAX_TEXT_BYTES} bytes, and no trace has one"
            ),
        }
    }
}

/// Looks through a line, up to the first excess.
///
/// # Errors
/// When it is no JSON.
pub fn excess(line: &[u8]) -> Result<Option<Excess>, serde_json::Error> {
    let mut found = None;
    let mut values = serde_json::Deserializer::from_slice(line);
    let looked = Look(&mut found)
        .deserialize(&mut values)
        .and_then(|()| values.end());
    match found {
        Some(_) => Ok(found),
        None => looked.map(|()| None),
    }
}

/// Looks at a value, and drops it.
struct Look<'a>(&'a mut Option<Excess>);

impl Look<'_> {
    fn stop<E: serde::de::Error>(&mut self, excess: Excess) -> E {
        *self.0 = Some(excess);
        E::custom("too much")
    }
}

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(mut self, number: u64) -> Result<(), E> {
        if number > MAX_NUMBER {
            return Err(self.stop(Excess::Number(number)));
        }
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(mut self, text: &str) -> Result<(), E> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(self.stop(Excess::Text));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let mut count = 0;
        while entries.next_element_seed(Look(self.0))?.is_some() {
            count += 1;
            if count > MAX_ENTRIES {
                return Err(self.stop(Excess::Entries));
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let mut count = 0;
        while entries.next_key_seed(Look(self.0))?.is_some() {
            entries.next_value_seed(Look(self.0))?;
            count += 1;
            if count > MAX_ENTRIES {
                return Err(self.stop(Excess::Entries));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Excess, MAX_ENTRIES, MAX_NUMBER, MAX_TEXT_BYTES, excess};

    fn found(line: &str) -> Option<Excess> {
        excess(line.as_bytes()).expect("JSON")
    }

    #[test]
    fn values_at_the_bound_pass_and_values_beyond_it_are_found_at_any_depth() {
        let list = |entries: usize| format!("[{}0]", "0,".repeat(entries - 1));
        let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
        let cases = [
            (
                MAX_NUMBER.to_string(),
                (MAX_NUMBER + 1).to_string(),
                Excess::Number(MAX_NUMBER + 1),
            ),
            (list(MAX_ENTRIES), list(MAX_ENTRIES + 1), Excess::Entries),
            (text(MAX_TEXT_BYTES), text(MAX_TEXT_BYTES + 1), Excess::Text),
        ];
        for (fits, exceeds, excess) in cases {
            assert_eq!(found(&format!("{{\"x\":[null,-1,1.5,{fits}]}}")), None);
            assert_eq!(found(&format!("{{\"x\":[null,{exceeds}]}}")), Some(excess));
        }
        let keys = |count: usize| {
            let entries: Vec<String> = (0..count).map(|key| format!("\"{key}\":0")).collect();
            format!("{{{}}}", entries.join(","))
        };
        assert_eq!(found(&keys(MAX_ENTRIES)), None);
        assert_eq!(found(&keys(MAX_ENTRIES + 1)), Some(Excess::Entries));
    }

    #[test]
    fn invalid_json_is_an_error() {
        for line in ["", "{", "{} {}", "[1,]"] {
            assert!(excess(line.as_bytes()).is_err(), "{line}");
        }
    }
}
