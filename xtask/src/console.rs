//! What a guest says: bytes of its serial ports come in, live copies and a verdict on the console's text go out.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
};

/// How many of the console's last lines are shown when a guest did not end well.
const LAST_LINES: usize = 40;

/// Copies `reader` to `writer` as it comes, until the end.
///
/// Where `writer` fails the rest is read all the same: a port that nobody reads would stop the guest.
pub(crate) fn stream(mut reader: impl Read, writer: &mut (dyn Write + Send)) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    let mut result = Ok(());
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return result,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if result.is_ok() {
            let text = buffer.get(..count).unwrap_or_default();
            result = writer.write_all(text).and_then(|()| writer.flush());
        }
    }
}

/// The last lines of a console's text.
pub(crate) fn last_lines(text: &str) -> String {
    let mut lines = VecDeque::with_capacity(LAST_LINES);
    for line in text.lines() {
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(line.trim_end());
    }
    Vec::from(lines).join("\n")
}

/// The reason of a kernel panic, if the console tells of one.
pub(crate) fn panic_reason(text: &str) -> Option<&str> {
    let (_, reason) = text.split_once("Kernel panic - not syncing: ")?;
    Some(reason.lines().next().unwrap_or_default().trim_end())
}

/// Lines in which the kernel complains of itself.
pub(crate) fn complaints(text: &str) -> Vec<&str> {
    let marks = [
        "WARNING: ",
        "BUG: ",
        "Oops: ",
        "soft lockup",
        "rcu_sched detected",
        "blocked for more than",
    ];
    text.lines()
        .filter(|line| marks.iter().any(|mark| line.contains(mark)))
        .map(str::trim_end)
        .collect()
}

/// Writes whole lines only, each behind a prefix, so that several guests can share a terminal.
pub(crate) struct Prefixed<W> {
    prefix: String,
    // A torn last line of a killed guest is never written: it would pass for a whole one.
    line: Vec<u8>,
    writer: W,
}

impl<W: Write> Prefixed<W> {
    /// Puts `prefix` before each line that goes to `writer`.
    pub(crate) fn new(prefix: impl Into<String>, writer: W) -> Self {
        Self {
            prefix: prefix.into(),
            line: Vec::new(),
            writer,
        }
    }

    fn put_line(&mut self) -> io::Result<()> {
        let mut line = self.prefix.clone().into_bytes();
        line.append(&mut self.line);
        line.push(b'\n');
        // One write per line: lines of two guests do not mix.
        self.writer.write_all(&line)?;
        self.writer.flush()
    }
}

impl<W: Write> Write for Prefixed<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        for &byte in buffer {
            if byte == b'\n' {
                self.put_line()?;
            } else {
                self.line.push(byte);
            }
        }
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_to_its_end_though_nobody_takes_it() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut text = io::Cursor::new(vec![b'x'; 100_000]);
        let error = stream(&mut text, &mut Gone).expect_err("nobody takes it");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(text.position(), 100_000);
    }

    #[test]
    fn the_last_lines_are_the_last() {
        let text = (0..100)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
            .join("\r\n");
        let last = last_lines(&text);
        assert!(last.starts_with("60\n"), "{last}");
        assert!(last.ends_with("\n99"));
    }

    #[test]
    fn a_panic_is_told_from_other_text() {
        let text = "[ 1.0] x\r\n[ 2.0] Kernel panic - not syncing: audit: backlog\r\nmore";
        assert_eq!(panic_reason(text), Some("audit: backlog"));
        assert_eq!(panic_reason("all is well"), None);
        assert_eq!(
            complaints("a\n[1] WARNING: CPU: 0 x\n"),
            ["[1] WARNING: CPU: 0 x"]
        );
    }

    #[test]
    fn lines_are_prefixed_however_they_are_cut() {
        let mut out = Vec::new();
        let mut prefixed = Prefixed::new("6.1| ", &mut out);
        for piece in ["ab", "c\nd", "\n"] {
            prefixed
                .write_all(piece.as_bytes())
                .expect("a Vec takes everything");
        }
        assert_eq!(String::from_utf8_lossy(&out), "6.1| abc\n6.1| d\n");
    }
}
