//! The content of a log: compressed, UTF-16, JSON or text. In: its bytes. Out: what a [`Reading`] takes.
//!
//! The kind is found by content, never by name. What cannot be read is an error that names the command which makes it
//! readable.

use std::io::{BufRead, BufReader, Cursor, ErrorKind, Read};

use anyhow::{Result, bail};
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::bufread::MultiGzDecoder;

use super::{
    PIECE,
    short_texts::{LONGEST, ShortTexts},
};
use crate::{
    diagnosis::Reading,
    live::recording_file,
    units::{counted, was},
};

/// The part of a log by which its kind is found, bytes.
const BEGINNING: usize = 64 << 10;
/// Damaged places of a JSON log that are skipped; then it is read as text.
const MOST_DAMAGES: u32 = 10_000;

/// Beginnings of files that are not read, their names, and the commands that read them.
const UNREADABLE: [(&[u8], &str, &str); 11] = [
    (b"\xfd7zXZ\0", "compressed by xz", "xz -dc"),
    (b"BZh", "compressed by bzip2", "bzip2 -dc"),
    (b"PK\x03\x04", "a zip archive", "unzip -p"),
    (b"\x04\x22\x4d\x18", "compressed by lz4", "lz4 -dc"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z x -so"),
    (b"\x1f\x9d", "compressed by compress", "zcat"),
    (b"\x89LZO", "compressed by lzop", "lzop -dc"),
    (b"]\0\0", "compressed by lzma", "xz --format=lzma -dc"),
    (b"LPKSHHRH", "a journal file", "journalctl -o export --file"),
    (b"KDUMP   ", "a crash dump", "vmcore-dmesg"),
    (b"\x7fELF", "a crash dump or a program", "vmcore-dmesg"),
];

/// What of a log was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Whether it ends too early.
    pub is_cut: bool,
    /// Texts of which only the beginning was read.
    pub long_texts: u64,
}

impl Extent {
    /// What a reader should know of it.
    pub(super) fn notes(self, name: &str) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_cut {
            notes.push(format!(
                "{name} ends in the middle of its compressed data; everything before that was read"
            ));
        }
        if self.long_texts > 0 {
            notes.push(format!(
                "{name} has {} of more than {} MiB; only the first {} MiB {} read",
                counted(self.long_texts, "JSON string"),
                LONGEST >> 20,
                LONGEST >> 20,
                was(self.long_texts)
            ));
        }
        notes
    }

    const fn whole(is_whole: bool) -> Self {
        Self {
            is_cut: !is_whole,
            long_texts: 0,
        }
    }
}

/// Reads a log to its end. `file` is its name as a word of a shell.
pub(super) fn read(mut log: impl BufRead, file: &str, reading: &mut Reading) -> Result<Extent> {
    let begin = beginning(&mut log, 16)?;
    let log = BufReader::with_capacity(PIECE, Cursor::new(begin.clone()).chain(log));
    if begin.starts_with(&[0x1f, 0x8b]) {
        return decoded(MultiGzDecoder::new(log), file, reading);
    }
    if begin.starts_with(&recording_file::ZSTD_MAGIC) {
        return decoded(
            zstd::stream::read::Decoder::with_buffer(log)?,
            file,
            reading,
        );
    }
    decoded(log, file, reading)
}

/// Up to so many bytes.
fn beginning(log: &mut impl Read, most: usize) -> std::io::Result<Vec<u8>> {
    let mut begin = Vec::new();
    match log.take(most as u64).read_to_end(&mut begin) {
        // Compressed data that is cut off; the rest of the reading says so.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    Ok(begin)
}

/// Reads a log that is no longer compressed.
fn decoded(mut log: impl Read, file: &str, reading: &mut Reading) -> Result<Extent> {
    let begin = beginning(&mut log, BEGINNING)?;
    if begin.is_empty() {
        // Of compressed data it may be the cut.
        if !text(log, reading)? {
            return Ok(Extent::whole(false));
        }
        bail!("it is empty: there is nothing to diagnose");
    }
    for (magic, kind, command) in UNREADABLE {
        if begin.starts_with(magic) {
            bail!("it is {kind}; make it readable: {command} {file} | auditwatch diagnose -");
        }
    }
    if begin.get(257..262) == Some(b"ustar") {
        bail!("it is a tar archive; make it readable: tar -xOf {file} | auditwatch diagnose -");
    }
    let encoding = utf16(&begin);
    if encoding.is_none() && is_binary(&begin) {
        bail!(
            "it is binary data and no log; if it is text within, make it readable: strings {file} | auditwatch \
             diagnose -"
        );
    }
    let log = Cursor::new(begin.clone()).chain(log);
    if let Some(encoding) = encoding {
        let log = DecodeReaderBytesBuilder::new()
            .encoding(Some(encoding))
            .build(log);
        let mut log = BufReader::with_capacity(PIECE, log);
        let begin = beginning(&mut log, BEGINNING)?;
        let is_document = is_document(&begin);
        let log = BufReader::with_capacity(PIECE, Cursor::new(begin).chain(log));
        return if is_document {
            json(log, reading)
        } else {
            text(log, reading).map(Extent::whole)
        };
    }
    if is_document(&begin) {
        return json(BufReader::with_capacity(PIECE, log), reading);
    }
    text(log, reading).map(Extent::whole)
}

/// The byte order of UTF-16: by its mark, or by the zero bytes of its first characters.
fn utf16(begin: &[u8]) -> Option<&'static Encoding> {
    match begin {
        [0xff, 0xfe, ..] => return Some(UTF_16LE),
        [0xfe, 0xff, ..] => return Some(UTF_16BE),
        _ => {}
    }
    let begin = &begin[..begin.len().min(256) & !1];
    let pairs = begin.len() / 2;
    let zeros = |odd: usize| {
        begin
            .iter()
            .skip(odd)
            .step_by(2)
            .filter(|&&byte| byte == 0)
            .count()
    };
    let (first, second) = (zeros(0), zeros(1));
    if pairs < 8 {
        None
    } else if second * 10 >= pairs * 9 && first == 0 {
        Some(UTF_16LE)
    } else if first * 10 >= pairs * 9 && second == 0 {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// Whether so much of it is no text that it is no log. Zero bytes do not count: a crash leaves them in logs.
fn is_binary(begin: &[u8]) -> bool {
    let begin = &begin[..begin.len().min(4096)];
    // Journal exports have lengths and fields of bytes.
    if begin.starts_with(b"__") || memchr::memmem::find(begin, b"\n__CURSOR=").is_some() {
        return false;
    }
    let some = begin.iter().filter(|&&byte| byte != 0).count();
    let is_control =
        |byte: u8| (byte < 0x20 && !b"\t\n\r\x1b\x1e\x08\x0c".contains(&byte)) || byte == 0x7f;
    let control = begin
        .iter()
        .filter(|&&byte| byte != 0 && is_control(byte))
        .count();
    let high = begin.iter().filter(|&&byte| byte >= 0x80).count();
    let no_text =
        high > some / 3 && std::str::from_utf8(&begin[..begin.len().saturating_sub(4)]).is_err();
    some == 0 || control > some / 10 || no_text
}

/// Whether it is JSON over several lines, or one long line: a line that is a whole document is read as a line.
fn is_document(begin: &[u8]) -> bool {
    let text = begin.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begin);
    let text = text.trim_ascii_start();
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let after = |sign: u8| {
        let inner = text.strip_prefix(&[sign])?.trim_ascii_start();
        inner.first().copied()
    };
    match text.first() {
        Some(b'{') => {
            matches!(after(b'{'), Some(b'"' | b'}'))
                && serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err()
        }
        // `[   12.3] text` and `[  OK  ]` are no arrays.
        Some(b'[') => matches!(after(b'['), Some(b'{' | b'[' | b'"')),
        _ => false,
    }
}

/// Documents behind each other, and lines of text between them.
fn json(mut log: impl BufRead, reading: &mut Reading) -> Result<Extent> {
    let mut damages = 0;
    let mut extent = Extent::default();
    loop {
        let Some(next) = next_sign(&mut log)? else {
            return Ok(extent);
        };
        if matches!(next, b'{' | b'[') && damages < MOST_DAMAGES {
            let mut document = ShortTexts::new(&mut log);
            let read = reading.document(&mut document);
            extent.long_texts += document.cut();
            match read {
                Ok(()) => continue,
                Err(error) if error.is_eof() => {
                    extent.is_cut = true;
                    return Ok(extent);
                }
                Err(error) if error.is_io() => return Err(error.into()),
                Err(_) => damages += 1,
            }
        }
        // The rest of a damaged line, or a line of text.
        let mut line = Vec::new();
        if log
            .by_ref()
            .take(PIECE as u64)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(extent);
        }
        reading.push(&line);
    }
}

/// The next byte that is no space and no separator of documents; it stays unread.
fn next_sign(log: &mut impl BufRead) -> std::io::Result<Option<u8>> {
    loop {
        let buffer = log.fill_buf()?;
        let Some(&first) = buffer.first() else {
            return Ok(None);
        };
        let skipped = buffer
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace() || b",\x1e\xef\xbb\xbf".contains(byte))
            .count();
        if skipped == 0 {
            return Ok(Some(first));
        }
        log.consume(skipped);
    }
}

fn text(mut log: impl Read, reading: &mut Reading) -> Result<bool> {
    let mut piece = vec![0; PIECE];
    loop {
        match log.read(&mut piece) {
            Ok(0) => return Ok(true),
            Ok(length) => reading.push(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}
