//! Bytes to lines. In: a log in pieces of any size. Out: its lines, and the entries of a journal export
//! with their binary fields. Where the pieces end makes no difference.
//!
//! It must not understand what a line says.

use memchr::{memchr, memchr_iter};

/// The longest line that is looked at as one; a longer one is taken as several.
const LONGEST_LINE: usize = 64 << 10;
/// The longest binary field that is believed. What claims to be longer is a damaged log, not a field.
const LONGEST_FIELD: u64 = 64 << 20;
/// What an entry of a journal export begins with, or a log that was cut in the middle of one.
const FIRST_FIELDS: [&[u8]; 9] = [
    b"__CURSOR=",
    b"__REALTIME_TIMESTAMP=",
    b"__MONOTONIC_TIMESTAMP=",
    b"_BOOT_ID=",
    b"_TRANSPORT=",
    b"_SOURCE_MONOTONIC_TIMESTAMP=",
    b"MESSAGE=",
    b"PRIORITY=",
    b"SYSLOG_IDENTIFIER=",
];

/// What comes out.
#[derive(Debug)]
pub enum Piece<'a> {
    /// A line of text, without its end.
    Line(&'a [u8]),
    /// An entry of a journal export.
    Entry(&'a Entry),
}

/// An entry of a journal export, as far as it is of use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// `MESSAGE`, which may have several lines.
    pub message: Vec<u8>,
    /// `SYSLOG_IDENTIFIER`.
    pub identifier: Vec<u8>,
    /// `_TRANSPORT`: `kernel`, `audit`, `syslog`, `journal`, `stdout`.
    pub transport: Vec<u8>,
    /// `_BOOT_ID`.
    pub boot: Vec<u8>,
    /// `_HOSTNAME`.
    pub host: Vec<u8>,
    /// A date, as the envelope of a log store has it.
    pub wall: Vec<u8>,
    /// `__REALTIME_TIMESTAMP`, microseconds since 1970.
    pub realtime_us: Option<u64>,
    /// The kernel's clock at the message (`_SOURCE_MONOTONIC_TIMESTAMP`), else at its arrival, microseconds.
    pub monotonic_us: Option<u64>,
    /// Whether the former.
    pub is_source_time: bool,
}

impl Entry {
    /// All but the message.
    #[must_use]
    pub fn envelope(&self) -> Self {
        Self {
            message: Vec::new(),
            identifier: self.identifier.clone(),
            transport: self.transport.clone(),
            boot: self.boot.clone(),
            host: self.host.clone(),
            wall: self.wall.clone(),
            ..*self
        }
    }

    /// Takes from another what this one does not say.
    pub fn fill(&mut self, other: &Self) {
        for (mine, other) in [
            (&mut self.identifier, &other.identifier),
            (&mut self.transport, &other.transport),
            (&mut self.boot, &other.boot),
            (&mut self.host, &other.host),
            (&mut self.wall, &other.wall),
        ] {
            if mine.is_empty() {
                mine.clone_from(other);
            }
        }
        self.realtime_us = self.realtime_us.or(other.realtime_us);
        self.monotonic_us = self.monotonic_us.or(other.monotonic_us);
    }

    /// A field of the journal.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        let text = |field: &mut Vec<u8>| {
            field.clear();
            field.extend_from_slice(&value[..value.len().min(LONGEST_LINE)]);
        };
        match name {
            b"MESSAGE" => text(&mut self.message),
            b"SYSLOG_IDENTIFIER" => text(&mut self.identifier),
            b"_TRANSPORT" => text(&mut self.transport),
            b"_BOOT_ID" => text(&mut self.boot),
            b"_HOSTNAME" => text(&mut self.host),
            b"__REALTIME_TIMESTAMP" => self.realtime_us = number(value),
            b"_SOURCE_MONOTONIC_TIMESTAMP" => {
                self.monotonic_us = number(value);
                self.is_source_time = self.monotonic_us.is_some();
            }
            b"__MONOTONIC_TIMESTAMP" if !self.is_source_time => self.monotonic_us = number(value),
            _ => {}
        }
    }

    fn clear(&mut self) {
        for field in [
            &mut self.message,
            &mut self.identifier,
            &mut self.transport,
            &mut self.boot,
            &mut self.host,
            &mut self.wall,
        ] {
            field.clear();
        }
        self.realtime_us = None;
        self.monotonic_us = None;
        self.is_source_time = false;
    }
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

#[derive(Debug)]
enum State {
    /// Within a line.
    Line,
    /// Within the length of a binary field.
    Length { have: usize, bytes: [u8; 8] },
    /// Within a binary field.
    Field { left: u64 },
    /// At the line end behind a binary field.
    FieldEnd,
}

/// Takes a log apart.
#[derive(Debug)]
pub struct Feed {
    state: State,
    /// The line, or the binary field, so far.
    carry: Vec<u8>,
    /// The name of the binary field.
    field: Vec<u8>,
    /// Whether the carry goes on with a line of which a part is out already.
    goes_on: bool,
    in_export: bool,
    entry: Entry,
    entry_has_fields: bool,
    lines: u64,
    bytes: u64,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            state: State::Line,
            carry: Vec::new(),
            field: Vec::new(),
            goes_on: false,
            in_export: false,
            entry: Entry::default(),
            entry_has_fields: false,
            lines: 0,
            bytes: 0,
        }
    }
}

impl Feed {
    /// Ends of lines so far.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// Bytes so far.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next bytes. `take` gets the number of the line, from 1 on, and what is in it.
    pub fn push(&mut self, bytes: &[u8], take: &mut impl FnMut(u64, Piece<'_>)) {
        self.bytes += bytes.len() as u64;
        self.parts(bytes, take);
    }

    /// The log ends.
    pub fn end(&mut self, take: &mut impl FnMut(u64, Piece<'_>)) {
        if matches!(self.state, State::Line) && !self.carry.is_empty() {
            let line = std::mem::take(&mut self.carry);
            self.whole(&line, take);
            self.lines += 1;
        }
        self.close_entry(take);
    }

    fn parts(&mut self, mut bytes: &[u8], take: &mut impl FnMut(u64, Piece<'_>)) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Line => self.line(bytes, take),
                State::Length { have, bytes: got } => self.length(bytes, have, got, take),
                State::Field { left } => self.field(bytes, left),
                State::FieldEnd => {
                    self.state = State::Line;
                    if bytes[0] == b'\n' {
                        self.lines += 1;
                        &bytes[1..]
                    } else {
                        bytes
                    }
                }
            };
        }
    }

    /// Up to the end of the line; the rest comes back.
    fn line<'a>(&mut self, bytes: &'a [u8], take: &mut impl FnMut(u64, Piece<'_>)) -> &'a [u8] {
        let Some(end) = memchr(b'\n', bytes) else {
            self.carry.extend_from_slice(bytes);
            let mut carry = std::mem::take(&mut self.carry);
            let mut begin = 0;
            while carry.len() - begin > LONGEST_LINE {
                self.some(&carry[begin..begin + LONGEST_LINE], take);
                begin += LONGEST_LINE;
            }
            carry.drain(..begin);
            self.carry = carry;
            return &[];
        };
        if self.carry.is_empty() {
            self.whole(&bytes[..end], take);
        } else {
            let mut line = std::mem::take(&mut self.carry);
            line.extend_from_slice(&bytes[..end]);
            self.whole(&line, take);
            line.clear();
            self.carry = line;
        }
        self.lines += 1;
        &bytes[end + 1..]
    }

    /// A part of a line that is too long.
    fn some(&mut self, part: &[u8], take: &mut impl FnMut(u64, Piece<'_>)) {
        if !self.goes_on && self.in_export {
            // A field that long is none that is looked at.
            if split_field(part).is_none() {
                self.leave_export(take);
            }
        }
        if !self.in_export {
            text(self.lines + 1, part, take);
        }
        self.goes_on = true;
    }

    /// A line, or its last part.
    fn whole(&mut self, mut line: &[u8], take: &mut impl FnMut(u64, Piece<'_>)) {
        while line.len() > LONGEST_LINE {
            let (part, rest) = line.split_at(LONGEST_LINE);
            self.some(part, take);
            line = rest;
        }
        while let [rest @ .., b'\r'] = line {
            line = rest;
        }
        if std::mem::take(&mut self.goes_on) {
            if !self.in_export {
                text(self.lines + 1, line, take);
            }
            return;
        }
        if !self.in_export {
            let may_be_field = matches!(line.first(), Some(b'_' | b'M' | b'P' | b'S'));
            if !may_be_field || !FIRST_FIELDS.iter().any(|first| line.starts_with(first)) {
                text(self.lines + 1, line, take);
                return;
            }
            self.in_export = true;
        }
        if line.is_empty() {
            self.close_entry(take);
        } else if let Some((name, value)) = split_field(line) {
            if name == b"__CURSOR" {
                self.close_entry(take);
            }
            self.entry.set(name, value);
            self.entry_has_fields = true;
        } else if is_field_name(line) {
            self.field.clear();
            self.field.extend_from_slice(line);
            self.state = State::Length {
                have: 0,
                bytes: [0; 8],
            };
        } else {
            self.leave_export(take);
            text(self.lines + 1, line, take);
        }
    }

    fn length<'a>(
        &mut self,
        bytes: &'a [u8],
        have: usize,
        mut got: [u8; 8],
        take: &mut impl FnMut(u64, Piece<'_>),
    ) -> &'a [u8] {
        let more = bytes.len().min(got.len() - have);
        got[have..have + more].copy_from_slice(&bytes[..more]);
        let have = have + more;
        if have < got.len() {
            self.state = State::Length { have, bytes: got };
            return &[];
        }
        let left = u64::from_le_bytes(got);
        self.lines += memchr_iter(b'\n', &got).count() as u64;
        if left <= LONGEST_FIELD {
            self.carry.clear();
            self.state = State::Field { left };
        } else {
            // No field at all: it was a line of text, and so are these bytes.
            self.state = State::Line;
            self.leave_export(take);
            let name = std::mem::take(&mut self.field);
            self.lines -= memchr_iter(b'\n', &got).count() as u64;
            text(self.lines, &name, take);
            self.parts(&got, take);
        }
        &bytes[more..]
    }

    fn field<'a>(&mut self, bytes: &'a [u8], left: u64) -> &'a [u8] {
        let now = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (data, rest) = bytes.split_at(now);
        let room = LONGEST_LINE.saturating_sub(self.carry.len());
        self.carry.extend_from_slice(&data[..data.len().min(room)]);
        self.lines += memchr_iter(b'\n', data).count() as u64;
        let left = left - now as u64;
        if left == 0 {
            let (name, data) = (
                std::mem::take(&mut self.field),
                std::mem::take(&mut self.carry),
            );
            self.entry.set(&name, &data);
            self.entry_has_fields = true;
            self.state = State::FieldEnd;
        } else {
            self.state = State::Field { left };
        }
        rest
    }

    fn leave_export(&mut self, take: &mut impl FnMut(u64, Piece<'_>)) {
        self.close_entry(take);
        self.in_export = false;
    }

    fn close_entry(&mut self, take: &mut impl FnMut(u64, Piece<'_>)) {
        if std::mem::take(&mut self.entry_has_fields) {
            take(self.lines + 1, Piece::Entry(&self.entry));
            self.entry.clear();
        }
    }
}

/// A line of text: where a carriage return stands within it, a console went over it again.
fn text(number: u64, line: &[u8], take: &mut impl FnMut(u64, Piece<'_>)) {
    if line.is_empty() {
        return;
    }
    let mut begin = 0;
    for end in memchr_iter(b'\r', line).chain([line.len()]) {
        if end > begin {
            take(number, Piece::Line(&line[begin..end]));
        }
        begin = end + 1;
    }
}

fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = memchr(b'=', &line[..line.len().min(65)])?;
    let name = &line[..equals];
    is_field_name(name).then(|| (name, &line[equals + 1..]))
}

/// Field names are upper case, at most 64 bytes (`journal_field_valid` of systemd).
fn is_field_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name[0].is_ascii_digit()
        && name
            .iter()
            .all(|&byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(chunks: &[&[u8]]) -> Vec<String> {
        let mut found = Vec::new();
        let mut feed = Feed::default();
        let mut take = |number: u64, piece: Piece<'_>| {
            found.push(match piece {
                Piece::Line(line) => format!("{number}: {}", line.escape_ascii()),
                Piece::Entry(entry) => format!(
                    "{number}: {} by {} at {:?}",
                    entry.message.escape_ascii(),
                    entry.transport.escape_ascii(),
                    entry.monotonic_us
                ),
            });
        };
        for chunk in chunks {
            feed.push(chunk, &mut take);
        }
        feed.end(&mut take);
        found
    }

    #[test]
    fn lines_end_in_several_ways() {
        let all = ["1: one", "2: two", "2: three", "4: four"];
        assert_eq!(pieces(&[b"one\r\ntwo\rthree\n\nfour"]), all);
        assert_eq!(pieces(&[b"one\r", b"\ntwo\rth", b"ree\n", b"\nfour"]), all);
    }

    #[test]
    fn an_export_has_binary_fields() {
        let mut log = b"__CURSOR=s=1\n_TRANSPORT=kernel\nMESSAGE\n".to_vec();
        log.extend(9_u64.to_le_bytes());
        log.extend(
            b"a\nMESSAGE\n_SOURCE_MONOTONIC_TIMESTAMP=7\n__MONOTONIC_TIMESTAMP=9\n\nplain\n",
        );
        let all = ["8: a\\nMESSAGE by kernel at Some(7)", "9: plain"];
        assert_eq!(pieces(&[&log]), all);
        for cut in 0..log.len() {
            let (a, b) = log.split_at(cut);
            assert_eq!(pieces(&[a, b]), all, "cut at {cut}");
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_text() {
        let log = b"MESSAGE=one\nUPPER\nCASE IS TEXT\nas this\n";
        assert_eq!(
            pieces(&[log]),
            [
                "3: one by  at None",
                "2: UPPER",
                "3: CASE IS TEXT",
                "4: as this"
            ]
        );
    }

    #[test]
    fn endless_lines_are_taken_in_parts() {
        let long = vec![b'x'; 2 * LONGEST_LINE + 5];
        let sizes = |found: &[String]| found.iter().map(String::len).collect::<Vec<_>>();
        let at_once = pieces(&[&long, b"\nend\n"]);
        assert_eq!(at_once.last().map(String::as_str), Some("2: end"));
        assert_eq!(sizes(&at_once), [LONGEST_LINE + 3, LONGEST_LINE + 3, 8, 6]);
        let (a, b) = long.split_at(LONGEST_LINE + 1);
        assert_eq!(sizes(&pieces(&[a, b, b"\nend\n"])), sizes(&at_once));
    }
}
