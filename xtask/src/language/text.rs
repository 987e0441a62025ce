//! The prose of a file: takes Markdown or Rust source, returns its sentences with line numbers. Pure.
//!
//! Must leave code out: fenced and indented blocks, text between backquotes, link targets, comments of HTML.

/// A word in lower case, without the punctuation around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) text: String,
}

/// A sentence, a heading, or a cell of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sentence {
    pub(super) words: Vec<Word>,
    /// It ends with a question mark.
    pub(super) asks: bool,
}

impl Sentence {
    /// The number of its words. A list of names in code, which is looked up and not read, counts as one.
    pub(super) fn length(&self) -> usize {
        self.words
            .chunk_by(|one, next| one.text == CODE && next.text == CODE)
            .count()
    }

    /// The line on which it begins.
    pub(super) fn line(&self) -> usize {
        self.words.first().map_or(0, |word| word.line)
    }
}

/// Stands for a piece of code, so that the words around it do not seem to be neighbours.
const CODE: &str = "\u{fffc}";

/// The sentences of a Markdown document.
pub(super) fn of_markdown(source: &str) -> Vec<Sentence> {
    let mut prose = Prose::default();
    let mut fenced = false;
    let mut after_blank = true;
    for (at, line) in (1..).zip(source.lines()) {
        let trimmed = line.trim();
        if trimmed.starts_with("```") {
            fenced = !fenced;
            prose.end_block();
            continue;
        }
        // A block of code is indented by four spaces behind an empty line; below an item of a list it is the item's text.
        let code = after_blank && line.starts_with("    ");
        if fenced || code {
            prose.end_block();
            continue;
        }
        after_blank = trimmed.is_empty();
        // The target of a link, which is not shown.
        if trimmed.starts_with('[') && trimmed.contains("]: ") {
            prose.end_block();
            continue;
        }
        let item = trimmed.starts_with("- ") || trimmed.starts_with('#') || numbered(trimmed);
        if trimmed.is_empty() || trimmed.starts_with('|') || item || trimmed.starts_with("<!--") {
            prose.end_block();
        }
        if trimmed.starts_with('|') {
            for cell in without_code(trimmed).split('|') {
                prose.add(at, cell);
                prose.end_block();
            }
        } else if !trimmed.starts_with("<!--") {
            prose.add_open(at, trimmed);
        }
    }
    prose.finish()
}

/// Which text of a Rust source is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// String literals: what a user may see.
    Literals,
    /// Literals and documentation comments, which clap prints as help.
    LiteralsAndComments,
}

/// The sentences of this part of a Rust source, without its tests.
pub(super) fn of_rust(source: &str, part: Part) -> Vec<Sentence> {
    let mut prose = Prose::default();
    // A literal that an earlier line began is still open.
    let mut inside = false;
    for (at, line) in (1..).zip(source.lines()) {
        let trimmed = line.trim();
        if !inside {
            if trimmed == "#[cfg(test)]" {
                break;
            }
            let documented = trimmed
                .strip_prefix("///")
                .or_else(|| trimmed.strip_prefix("//!"));
            if let Some(text) = documented.filter(|_| part == Part::LiteralsAndComments) {
                if text.trim().is_empty() {
                    prose.end_block();
                }
                prose.add(at, &without_code(text));
                continue;
            }
            prose.end_block();
            if trimmed.starts_with("//") {
                continue;
            }
        }
        inside = literals(at, trimmed, inside, &mut prose);
    }
    prose.finish()
}

/// Adds the literals of a line. `inside` and the result: a literal is open at the begin and at the end of the line.
fn literals(at: usize, line: &str, mut inside: bool, prose: &mut Prose) -> bool {
    let mut text = String::new();
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if inside => match characters.next() {
                Some('n') | None => text.push(' '),
                Some(other) => text.push(other),
            },
            '"' if inside => {
                prose.add(at, &without_code(&text));
                prose.end_block();
                text.clear();
                inside = false;
            }
            '"' => inside = true,
            // A character that is a quotation mark opens nothing.
            '\'' if !inside && characters.peek() == Some(&'"') => {
                characters.next();
            }
            '/' if !inside && characters.peek() == Some(&'/') => break,
            // The name of a value between braces is code.
            '{' if inside && characters.peek() != Some(&'{') => {
                for _ in characters.by_ref().take_while(|&end| end != '}') {}
                text.push_str(CODE);
            }
            _ if inside => text.push(character),
            _ => {}
        }
    }
    if inside {
        prose.add(at, &without_code(&text));
    }
    inside
}

fn numbered(line: &str) -> bool {
    let rest = line.trim_start_matches(|digit: char| digit.is_ascii_digit());
    rest.len() < line.len() && rest.starts_with(". ")
}

/// The line with [`CODE`] in place of text between backquotes.
fn without_code(line: &str) -> String {
    let mut kept = String::new();
    for (at, part) in line.split('`').enumerate() {
        kept.push_str(if at % 2 == 0 { part } else { CODE });
    }
    kept
}

/// Collects words into sentences.
#[derive(Default)]
struct Prose {
    done: Vec<Sentence>,
    current: Sentence,
    /// A backquote was opened on an earlier line of this block.
    in_code: bool,
}

impl Prose {
    /// Adds a line in which a piece of code may begin or end that other lines have the rest of.
    fn add_open(&mut self, at: usize, line: &str) {
        let mut kept = String::new();
        for (index, part) in line.split('`').enumerate() {
            if index > 0 {
                self.in_code = !self.in_code;
            }
            kept.push_str(if self.in_code { CODE } else { part });
        }
        self.add(at, &kept);
    }

    fn add(&mut self, at: usize, line: &str) {
        for raw in without_targets(line).split_whitespace() {
            let text = raw
                .trim_matches(|c: char| !c.is_alphanumeric() && c != '\u{fffc}')
                .to_lowercase();
            if !text.is_empty() {
                self.current.words.push(Word { line: at, text });
            }
            let end = raw.trim_end_matches(['"', ')', '*', '_']);
            if end.ends_with(['.', '?', '!']) {
                self.current.asks = end.ends_with('?');
                self.end_sentence();
            }
        }
    }

    fn end_sentence(&mut self) {
        let sentence = std::mem::take(&mut self.current);
        if !sentence.words.is_empty() {
            self.done.push(sentence);
        }
    }

    fn end_block(&mut self) {
        self.in_code = false;
        self.end_sentence();
    }

    fn finish(mut self) -> Vec<Sentence> {
        self.end_block();
        self.done
    }
}

/// The line without the targets of its links.
fn without_targets(line: &str) -> String {
    let mut parts = line.split("](");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.split_once(')').map_or("", |(_, rest)| rest);
        kept.push(']');
        kept.push_str(rest);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sentences: &[Sentence]) -> Vec<String> {
        let words = |sentence: &Sentence| {
            let words: Vec<&str> = sentence.words.iter().map(|word| &*word.text).collect();
            words.join(" ")
        };
        sentences.iter().map(words).collect()
    }

    #[test]
    fn markdown_gives_its_sentences_without_code_and_targets() {
        let source = "# Title\n\nOne [page](where.md) of\nthem. Two `what\nit` is?\n\n    what code\n\n\
                      ```\ntold\n```\n- item\n- (Other.)\n\n| cell | `x|y` |\n";
        let sentences = of_markdown(source);
        let expected = [
            "title",
            "one page of them",
            "two \u{fffc} \u{fffc} is",
            "item",
            "other",
            "cell",
            "\u{fffc}",
        ];
        assert_eq!(texts(&sentences), expected);
        let asking: Vec<bool> = sentences.iter().map(|sentence| sentence.asks).collect();
        assert_eq!(asking, [false, false, true, false, false, false, false]);
        assert_eq!(sentences[1].words[2].line, 3);
        assert_eq!(sentences[1].words[3].line, 4);
    }

    #[test]
    fn list_of_names_in_code_has_the_length_of_one_word() {
        let lengths =
            |source| -> Vec<usize> { of_markdown(source).iter().map(Sentence::length).collect() };
        assert_eq!(lengths("It has `a`, `b` and `c`, `d`, `e`.\n"), [5]);
        assert_eq!(lengths("One.\n[page]: docs/page.md\nTwo words.\n"), [1, 2]);
    }

    #[test]
    fn a_value_between_braces_is_code() {
        let source = "let text = \"{what}: {number:>3} records\";\n";
        assert_eq!(
            texts(&of_rust(source, Part::Literals)),
            ["\u{fffc} \u{fffc} records"]
        );
    }

    #[test]
    fn rust_gives_its_documentation_and_literals() {
        let source = "//! Module.\n\n/// Item of\n/// two lines.\nfn f() { // told\n    g(\"one \\\n       \
                      text\", '\"', \"two\");\n}\n// where\n#[cfg(test)]\nmod tests { \"what\" }\n";
        assert_eq!(
            texts(&of_rust(source, Part::LiteralsAndComments)),
            ["module", "item of two lines", "one text", "two"]
        );
        assert_eq!(texts(&of_rust(source, Part::Literals)), ["one text", "two"]);
    }

    #[test]
    fn indented_item_of_a_list_is_prose() {
        assert_eq!(
            texts(&of_markdown(
                "1. One\n   and more.\n10. Two\n    and more.\n"
            )),
            ["1", "one and more", "10", "two and more"]
        );
    }
}
