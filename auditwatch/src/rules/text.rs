//! How a report names a line of a rules file: its bytes or its number come in, a short text or a place goes out.

use super::Place;
use crate::untrusted::Untrusted;

/// The text of a line, cut to a length that fits one.
#[must_use]
pub fn text(line: &[u8]) -> Untrusted {
    Untrusted::from_bytes(line).cut(120, "\u{2026}")
}

/// The place of a line of audit.rules itself.
#[must_use]
pub fn line_of(file: &str, number: usize) -> Place {
    Place {
        file: file.to_owned(),
        line: u32::try_from(number + 1).unwrap_or(u32::MAX),
    }
}
