//! audit.rules as `auditctl -R` reads it: what is loaded comes in, each line goes to auditctl as words, and what
//! became of the load goes out. It judges no option.

use super::{
    auditctl::{Auditctl, Verdict},
    compile::Source,
    outcome::{Lost, Stop},
    text::text,
};

/// A line with more bytes than this is cut, and what is left is the next line.
pub const MOST_BYTES: usize = 6143;

/// What became of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Where it stopped.
    pub stopped_at: Option<Stop>,
    /// Errors that it went on after.
    pub passed_over: Vec<Stop>,
    /// What was not run for that.
    pub lost: Vec<Lost>,
}

/// One line as auditctl gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its bytes, up to a NUL, without the line break.
    pub bytes: Vec<u8>,
    /// Which line of the file it is part of, from 0.
    pub number: usize,
}

/// Loads what there is to load.
pub fn run(source: &Source, auditctl: &mut Auditctl) -> Run {
    let mut run = Run::default();
    let lines = source.content.as_deref().map(split).unwrap_or_default();
    let mut lines = lines.into_iter();
    if let Some(refused) = &source.refused {
        run.stopped_at = Some(refused.clone());
    } else {
        for line in lines.by_ref() {
            let Some(words) = words(&line.bytes) else {
                continue;
            };
            let place = source.place(line.number);
            let why = match auditctl.run(words, &place) {
                Verdict::Fine => continue,
                Verdict::Refused(why) | Verdict::Crashed(why) => why,
            };
            let stop = Stop {
                place,
                why,
                text: text(&line.bytes),
            };
            if auditctl.ignores_errors() && !auditctl.has_crashed() {
                run.passed_over.push(stop);
            } else {
                run.stopped_at = Some(stop);
                break;
            }
        }
    }
    run.lost = lines
        .filter(|line| words(&line.bytes).is_some())
        .map(|line| Lost {
            place: source.place(line.number),
            text: text(&line.bytes),
        })
        .collect();
    run
}

/// The lines of a file as fgets(3) returns them with auditctl's buffer.
#[must_use]
pub fn split(content: &[u8]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (number, whole) in content.split_inclusive(|&byte| byte == b'\n').enumerate() {
        for piece in whole.chunks(MOST_BYTES) {
            let end = piece
                .iter()
                .position(|&byte| byte == b'\n' || byte == 0)
                .unwrap_or(piece.len());
            lines.push(Line {
                bytes: piece[..end].to_vec(),
                number,
            });
        }
    }
    lines
}

/// The words of a line; `None` for blank lines and comments. Spaces part words, and nothing else does; a backslash
/// before a space or a backslash makes it part of a word.
#[must_use]
pub fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let marked = mark_escapes(line);
    let mut all = marked
        .split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty());
    let first = all.next()?;
    if first[0] == b'#' {
        return None;
    }
    // auditctl makes room for a third as many words as there are bytes, and passes over those beyond.
    let mut words = vec![first.to_vec()];
    words.extend(all.map(unmark_escapes).take(line.len() / 3));
    Some(words)
}

const ESCAPED_SPACE: u8 = 0x07;
const ESCAPED_BACKSLASH: u8 = 0x04;

fn mark_escapes(line: &[u8]) -> Vec<u8> {
    let mut marked = line.to_vec();
    let mut is_escaped = false;
    for at in 0..marked.len() {
        if marked[at] == b'\\' && !is_escaped {
            is_escaped = true;
            continue;
        }
        if is_escaped {
            let mark = match marked[at] {
                b' ' => Some(ESCAPED_SPACE),
                b'\\' => Some(ESCAPED_BACKSLASH),
                _ => None,
            };
            if let Some(mark) = mark {
                marked[at - 1] = mark;
                marked[at] = mark;
            }
            is_escaped = false;
        }
    }
    marked
}

fn unmark_escapes(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut at = 0;
    while let Some(&byte) = word.get(at) {
        let (byte, taken) = match byte {
            ESCAPED_SPACE => (b' ', 2),
            ESCAPED_BACKSLASH => (b'\\', 2),
            other => (other, 1),
        };
        plain.push(byte);
        at += taken;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_words(line: &str) -> Option<Vec<String>> {
        words(line.as_bytes()).map(|words| {
            words
                .into_iter()
                .map(|word| String::from_utf8(word).expect("text"))
                .collect()
        })
    }

    #[test]
    fn only_spaces_part_words() {
        assert_eq!(split_words("  -b  5 "), Some(vec!["-b".into(), "5".into()]));
        assert_eq!(split_words("-b\t5"), Some(vec!["-b\t5".into()]));
        assert_eq!(split_words("   "), None);
        assert_eq!(split_words("  # x"), None);
        assert_eq!(split_words("\t# xy"), Some(vec!["\t#".into(), "xy".into()]));
    }

    #[test]
    fn a_backslash_keeps_a_space_but_for_the_first_word() {
        assert_eq!(
            split_words("-w /a\\ b -k c\\\\d"),
            Some(vec!["-w".into(), "/a b".into(), "-k".into(), "c\\d".into()])
        );
        assert_eq!(split_words("-b\\ 5"), Some(vec!["-b\x07\x075".into()]));
    }

    #[test]
    fn words_that_are_too_many_are_cut() {
        // "-b 5 -b 6 -b 7" has room for five words.
        let found = split_words("-b 5 -b 6 -b 7").expect("words");
        assert_eq!(found, ["-b", "5", "-b", "6", "-b"]);
    }

    #[test]
    fn long_lines_are_cut_into_lines() {
        let mut content = b"# ".to_vec();
        content.resize(MOST_BYTES, b'x');
        content.extend(b"-b 5\n-b 6\0 7\n");
        let lines = split(&content);
        let numbers: Vec<usize> = lines.iter().map(|line| line.number).collect();
        assert_eq!(numbers, [0, 0, 1]);
        assert_eq!(lines[1].bytes, b"-b 5");
        assert_eq!(lines[2].bytes, b"-b 6");
    }
}
