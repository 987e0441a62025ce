//! JSON Lines: one object a line, the summary last.
//!
//! In: reports, such as those of `trace::report`, whose fields are the keys. Out: bytes. It must not name a key
//! besides `kind` and `schema`.
//!
//! Strings that others chose are in it as they are. Those of their characters that would act on a
//! terminal, or hide, are written as `\u001b`; a parser gives back the same string.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::Formatter;

use crate::untrusted::is_hidden;

/// Version of the reports that [`tagged_line`] writes; keys are only ever added to it.
const SCHEMA: u32 = 1;

/// A report with its kind before it.
#[derive(Serialize)]
struct Tagged<'a, T> {
    kind: &'a str,
    schema: u32,
    #[serde(flatten)]
    report: &'a T,
}

/// Writes one line, as [`line()`] does, with `kind` and `schema` before the report's own keys.
///
/// # Errors
/// When the output cannot be written.
pub fn tagged_line(out: &mut impl Write, kind: &str, report: &impl Serialize) -> io::Result<()> {
    line(
        out,
        &Tagged {
            kind,
            schema: SCHEMA,
            report,
        },
    )
}

/// Writes one line and hands it on at once, so that a reader sees it while the
/// trace goes on.
///
/// # Errors
/// When the output cannot be written.
pub fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut *out, Escaping,
    ))?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Compact JSON; `serde_json` itself escapes only the control characters of ASCII below the space.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_hidden) {
            let (plain, hidden) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut signs = hidden.chars();
            if let Some(sign) = signs.next() {
                for unit in sign.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = signs.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_escaped_and_parsed_to_the_same() {
        let text = "a\u{1b}\u{7f}\u{9b}\u{2028}\u{202e}\u{200b}\u{e0041}\n\u{e4}\"";
        let mut out = Vec::new();
        line(&mut out, &text).expect("memory");
        let json = String::from_utf8(out).expect("text");
        assert_eq!(
            json,
            "\"a\\u001b\\u007f\\u009b\\u2028\\u202e\\u200b\\udb40\\udc41\\n\u{e4}\\\"\"\n"
        );
        assert_eq!(serde_json::from_str::<String>(&json).expect("json"), text);
    }
}
