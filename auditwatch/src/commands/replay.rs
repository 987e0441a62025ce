//! `auditwatch replay`: a recording goes in, what its trace printed comes out.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, ErrorKind, Read},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result};

use super::output::Output;
use crate::{cli::ReplayArgs, recording::Replay, report::Summary};

/// The first bytes of a zstd frame.
const ZSTD_MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// Runs the command.
///
/// # Errors
/// When the file cannot be read, is no recording, or the output cannot be written.
pub fn run(args: &ReplayArgs) -> Result<ExitCode> {
    let mut output = Output::new(args.format(), args.color);
    let summary = replay(&args.file, &mut output)
        .with_context(|| format!("cannot replay {}", args.file.display()))?;
    output.summary(&summary)?;
    Ok(super::lost_status(&summary))
}

fn replay(path: &Path, output: &mut Output) -> Result<Summary> {
    let mut lines = open(path)?;
    let mut replay = Replay::default();
    let mut text = Vec::new();
    loop {
        text.clear();
        match lines.read_until(b'\n', &mut text) {
            Ok(0) => break,
            // A recorder that was killed leaves a frame without its end.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error.into()),
            Ok(_) if text.last() != Some(&b'\n') => break,
            Ok(_) => {
                if let Some(interval) = replay.line(&text)? {
                    output.interval(&interval)?;
                }
            }
        }
    }
    Ok(replay.summary()?)
}

/// Opens a recording, compressed or not; `-` is standard input.
fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path)?)
    };
    let mut source = BufReader::new(source);
    let compressed = source.fill_buf()?.starts_with(&ZSTD_MAGIC);
    Ok(if compressed {
        Box::new(BufReader::new(zstd::stream::read::Decoder::with_buffer(
            source,
        )?))
    } else {
        Box::new(source)
    })
}
