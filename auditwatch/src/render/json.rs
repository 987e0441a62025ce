//! JSON Lines: one object a line, the summary last.

use std::io::{self, Write};

use serde::Serialize;

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

/// Writes one line, as [`line`] does, with `kind` and `schema` before the report's own keys.
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
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")?;
    out.flush()
}
