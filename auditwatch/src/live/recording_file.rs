//! A recording's file: what it holds, interval by interval.
//!
//! In: a path. Out: intervals as they come, and the summary. One that breaks off is
//! whole up to there.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, ErrorKind, Read},
    path::Path,
};

use anyhow::{Result, anyhow, ensure};

use crate::{
    recommend::model::evidence::Evidence,
    trace::{
        recording::{MAX_LINE_BYTES, Replay},
        report::{Interval, Summary},
    },
};

/// The first bytes of a zstd frame.
pub(crate) const ZSTD_MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// Greatest window of a compressed recording, as a power of two, bytes: that of `zstd -19`, and twice that of the
/// recorder. The window is memory that the file asks for.
const MAX_WINDOW_LOG: u32 = 23;

/// Reads a recording; `-` is standard input.
pub(crate) fn read(path: &Path, take: impl FnMut(Interval) -> Result<()>) -> Result<Summary> {
    read_all(path, take).map(|(summary, _)| summary)
}

/// The same, with the evidence behind the recommendation.
pub(crate) fn read_all(
    path: &Path,
    mut take: impl FnMut(Interval) -> Result<()>,
) -> Result<(Summary, Evidence)> {
    let mut lines = open(path)?;
    let mut replay = Replay::default();
    let mut text = Vec::new();
    loop {
        text.clear();
        // Whatever this is, it may be one line without an end.
        let mut line = lines.by_ref().take(MAX_LINE_BYTES + 1);
        match line.read_until(b'\n', &mut text) {
            Ok(0) => break,
            // A recorder that was killed leaves a frame without its end.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(explain(error, &replay)),
            Ok(read) => {
                ensure!(
                    read as u64 <= MAX_LINE_BYTES,
                    "line {} is longer than {} MiB: not a recording of auditwatch",
                    replay.lines() + 1,
                    MAX_LINE_BYTES >> 20
                );
            }
        }
        if text.last() != Some(&b'\n') {
            break;
        }
        if let Some(interval) = replay.line(&text)? {
            take(interval)?;
        }
    }
    Ok(replay.result()?)
}

/// Why no more can be read: the file's own error, or what the decompressor found.
fn explain(error: io::Error, replay: &Replay) -> anyhow::Error {
    if error.raw_os_error().is_some() {
        return error.into();
    }
    // The decompressor's only word for it.
    if error.to_string().contains("too much memory") {
        return anyhow!(
            "decompression needs more than {} MiB of memory, as after zstd --ultra or --long; if you trust the \
             file: zstd -dc --long=31 FILE | auditwatch replay -",
            (1_u32 << MAX_WINDOW_LOG) >> 20
        );
    }
    let lines = replay.lines();
    // `begin` and the zero point.
    if lines < 2 {
        return anyhow!(
            "the recording is damaged before its first sample ({error}); it has no data"
        );
    }
    let what = if replay.is_whole() {
        "the recording has all its lines, but the file is damaged"
    } else {
        "the recording is damaged"
    };
    anyhow!(
        "{what}: line {lines} is the last readable line ({error}); to replay up to there: \
         zstd -dc FILE | head -n {lines} | auditwatch replay -"
    )
}

/// Opens a recording, compressed or not.
fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path)?)
    };
    let mut source = BufReader::new(source);
    if !source.fill_buf()?.starts_with(&ZSTD_MAGIC) {
        return Ok(Box::new(source));
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
    decoder.window_log_max(MAX_WINDOW_LOG)?;
    Ok(Box::new(BufReader::new(decoder)))
}
