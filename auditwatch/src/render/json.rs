//! JSON Lines: one object a line, the summary last.

use std::io::{self, Write};

use serde::Serialize;

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
