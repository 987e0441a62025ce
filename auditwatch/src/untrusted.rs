//! Text that others choose: names of processes, files, control groups, rules, and lines of logs.
//!
//! In: any bytes. Out: the same text for scripts, and a form for eyes that cannot act on a terminal.
//! An unprivileged process can put an escape sequence, a newline or a right-to-left override into its
//! name, and a mounted disk can put them into its files. [`Untrusted`] therefore has no way to a
//! format string but the escaped one; [`Untrusted::as_raw`] is for comparing and storing.
//!
//! What is escaped: control characters (C0, DEL, C1), line and paragraph separators, and the code points
//! that show nothing or change the direction of text (Unicode's `Default_Ignorable_Code_Point` and the
//! bidirectional controls). The notation is that of Rust and C: `\n`, `\r`, `\t`, `\x1b` for other ASCII,
//! `\u{202e}` for all else. A byte that is not UTF-8 becomes `\xff`, in the stored text already. A
//! backslash stays as it is, so text that was escaped once does not change when it is escaped again.
//!
//! Words of shell commands are quoted here and not by shlex, which leaves control characters in them.
//!
//! Pure: it prints nothing.

#![forbid(unsafe_code)]

use std::{
    borrow::Cow,
    ffi::OsStr,
    fmt::{self, Display, Formatter, Write as _},
};

use serde::{Deserialize, Serialize};
use unicode_width::UnicodeWidthStr as _;

/// Columns of a long name that is shown in a table or a sentence.
pub const NAME_COLUMNS: usize = 80;
/// What stands for the part that was cut out.
const CUT: &str = "..";

/// A text that somebody else chose. It is compared, hashed and serialized as it is, and shown escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Untrusted(String);

impl Untrusted {
    /// The text of these bytes. A byte that is not UTF-8 becomes `\xff`.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            for byte in chunk.invalid() {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
        Self(text)
    }

    /// The text of a file name or a path.
    #[must_use]
    pub fn from_os(text: impl AsRef<OsStr>) -> Self {
        Self::from_bytes(text.as_ref().as_encoded_bytes())
    }

    /// The text as it is. It must not reach a terminal.
    #[must_use]
    pub fn as_raw(&self) -> &str {
        &self.0
    }

    /// The same, without a copy.
    #[must_use]
    pub fn into_raw(self) -> String {
        self.0
    }

    /// The keys of an audit rule. Several are kept with a byte between them that no terminal shows
    /// (`AUDIT_KEY_SEPARATOR`, libaudit).
    #[must_use]
    pub fn keys(&self) -> Self {
        Self(self.0.replace('\u{1}', ", "))
    }

    /// The first `longest` characters, with a mark where that is not all.
    #[must_use]
    pub fn cut(mut self, longest: usize, mark: &str) -> Self {
        if let Some((at, _)) = self.0.char_indices().nth(longest) {
            self.0.truncate(at);
            self.0.push_str(mark);
        }
        self
    }

    /// Bytes of the text.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no text.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Columns that the shown form takes on a terminal.
    #[must_use]
    pub fn width(&self) -> usize {
        escaped(&self.0).width()
    }

    /// The shown form in that many columns at most: of a longer one, beginning and end.
    #[must_use]
    pub fn clipped(&self, columns: usize) -> String {
        clipped(&self.0, columns)
    }
}

impl Display for Untrusted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        shown(&self.0).fmt(f)
    }
}

impl From<String> for Untrusted {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Untrusted {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl PartialEq<str> for Untrusted {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Untrusted {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

/// A text that is shown escaped, and padded by columns.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(&'a str);

/// The form for eyes of a text that may hold what others chose.
#[must_use]
pub const fn shown(text: &str) -> Shown<'_> {
    Shown(text)
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = escaped(self.0);
        let room = f.width().unwrap_or(0).saturating_sub(text.width());
        let before = match f.align() {
            None | Some(fmt::Alignment::Left) => 0,
            Some(fmt::Alignment::Right) => room,
            Some(fmt::Alignment::Center) => room / 2,
        };
        let fill = f.fill();
        (0..before).try_for_each(|_| f.write_char(fill))?;
        f.write_str(&text)?;
        (before..room).try_for_each(|_| f.write_char(fill))
    }
}

/// A text in that many columns at most, escaped: of a longer one, beginning and end.
#[must_use]
pub fn clipped(text: &str, columns: usize) -> String {
    let whole = escaped(text);
    if whole.width() <= columns {
        return whole.into_owned();
    }
    let room = columns.saturating_sub(CUT.len());
    let take = |signs: &mut dyn Iterator<Item = char>, mut room: usize| -> Vec<String> {
        signs
            .map(|sign| escaped(sign.encode_utf8(&mut [0; 4])).into_owned())
            .take_while(|piece| {
                let fits = piece.width() <= room;
                room = room.saturating_sub(piece.width());
                fits
            })
            .collect()
    };
    let mut end = take(&mut text.chars().rev(), room / 2);
    end.reverse();
    let begin = take(&mut text.chars(), room - room / 2);
    format!("{}{CUT}{}", begin.concat(), end.concat())
}

/// A message of several lines, escaped. Lines after the first are indented, so that none of them can be
/// taken for a message of its own.
#[must_use]
pub fn message(text: &str) -> String {
    let lines: Vec<Cow<'_, str>> = text.split('\n').map(escaped).collect();
    lines.join("\n    ")
}

/// A word of a shell command. What the shell would read otherwise is quoted; what cannot be shown stands
/// in `$'...'`, as bash, ksh and zsh read it.
#[must_use]
pub fn shell_word(word: impl AsRef<OsStr>) -> String {
    let bytes = word.as_ref().as_encoded_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(byte);
    let text = str::from_utf8(bytes).ok();
    match text.filter(|text| !text.contains(is_hidden)) {
        Some(text) if !text.is_empty() && bytes.iter().all(is_plain) => return text.to_owned(),
        Some(text) => return format!("'{}'", text.replace('\'', r"'\''")),
        None => {}
    }
    let mut quoted = "$'".to_owned();
    let octal = |quoted: &mut String, bytes: &[u8]| {
        for byte in bytes {
            let _ = write!(quoted, "\\{byte:03o}");
        }
    };
    for chunk in bytes.utf8_chunks() {
        for sign in chunk.valid().chars() {
            match sign {
                '\'' | '\\' => quoted.extend(['\\', sign]),
                sign if is_hidden(sign) => {
                    octal(&mut quoted, sign.encode_utf8(&mut [0; 4]).as_bytes());
                }
                sign => quoted.push(sign),
            }
        }
        octal(&mut quoted, chunk.invalid());
    }
    quoted + "'"
}

fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for sign in text.chars() {
        match sign {
            '\n' | '\r' | '\t' => out.extend(sign.escape_default()),
            sign if !is_hidden(sign) => out.push(sign),
            sign if sign.is_ascii() => {
                let _ = write!(out, "\\x{:02x}", u32::from(sign));
            }
            sign => out.extend(sign.escape_unicode()),
        }
    }
    Cow::Owned(out)
}

/// Whether a character acts on the terminal, shows nothing, or changes the order of what is shown.
#[must_use]
pub const fn is_hidden(sign: char) -> bool {
    matches!(
        sign,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_shown_escaped() {
        for (raw, shows) in [
            ("gcc", "gcc"),
            ("größe 大", "größe 大"),
            ("\u{1b}]0;P\u{7}", r"\x1b]0;P\x07"),
            ("a\nb\rc\td", r"a\nb\rc\td"),
            ("\u{9b}2J\u{7f}", r"\u{9b}2J\x7f"),
            ("\u{202e}txt\u{2069}", r"\u{202e}txt\u{2069}"),
            ("a\u{200b}b\u{ad}\u{feff}", r"a\u{200b}b\u{ad}\u{feff}"),
            ("\u{2028}\u{e0041}", r"\u{2028}\u{e0041}"),
            (r"C:\x1b", r"C:\x1b"),
        ] {
            let name = Untrusted::from(raw);
            assert_eq!(name.to_string(), shows);
            assert_eq!(name.as_raw(), raw);
            assert_eq!(shown(&name.to_string()).to_string(), shows, "twice");
            let json = serde_json::to_string(&name).expect("text");
            assert_eq!(serde_json::from_str::<String>(&json).expect("text"), raw);
        }
    }

    #[test]
    fn bytes_outside_utf8_are_shown_as_numbers() {
        assert_eq!(Untrusted::from_bytes(b"a\xff\xc3b"), r"a\xff\xc3b");
        assert_eq!(
            Untrusted::from_os(OsStr::from_bytes(b"/\x80")).as_raw(),
            r"/\x80"
        );
    }

    #[test]
    fn names_are_padded_and_cut_by_the_columns_that_they_take() {
        assert_eq!(format!("{:<7}|", Untrusted::from("\u{1b}")), r"\x1b   |");
        assert_eq!(format!("{:>5}|", Untrusted::from("大大")), " 大大|");
        assert_eq!(Untrusted::from("大\u{1b}").width(), 6);
        let long = Untrusted::from("/usr/lib/postgresql/15/bin/postgres");
        assert_eq!(long.clipped(20), "/usr/lib/../postgres");
        assert_eq!(
            Untrusted::from("\u{1b}\u{1b}\u{1b}").clipped(10),
            r"\x1b..\x1b"
        );
        assert_eq!(clipped("short", 5), "short");
    }

    #[test]
    fn lines_of_a_message_cannot_be_taken_for_messages() {
        assert_eq!(
            message("cannot open /a\nlost 0\u{1b}[2K"),
            "cannot open /a\n    lost 0\\x1b[2K"
        );
    }

    #[test]
    fn shells_read_a_word_as_it_was() {
        for (word, quoted) in [
            (&b"/mnt"[..], "/mnt"),
            (b"", "''"),
            (b"/my disk", "'/my disk'"),
            (b"a'b", r"'a'\''b'"),
            (b"$(reboot)", "'$(reboot)'"),
            (b"\x1b]0;a'\\\xff", r"$'\033]0;a\'\\\377'"),
        ] {
            let word = OsStr::from_bytes(word);
            assert_eq!(shell_word(word), quoted);
            let shell = std::process::Command::new("bash")
                .args(["-c", &format!("printf %s {quoted}")])
                .output()
                .expect("bash");
            assert_eq!(OsStr::from_bytes(&shell.stdout), word);
        }
    }

    proptest! {
        #[test]
        fn no_text_shows_a_hidden_character_and_none_is_longer_than_its_room(
            text in any::<String>(),
            columns in 2_usize..60,
        ) {
            let cut = clipped(&text, columns);
            prop_assert!(!cut.contains(is_hidden) && cut.width() <= columns, "{cut:?}");
            let all = shown(&text).to_string();
            prop_assert!(!all.contains(is_hidden), "{all:?}");
            prop_assert!(!shell_word(&text).contains(is_hidden));
            prop_assert_eq!(shown(&all).to_string(), all);
        }
    }
}
