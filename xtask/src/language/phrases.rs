//! Phrases that are never right: takes sentences, returns a finding for each. Pure; the list is `phrases.txt`.

use anyhow::{Context as _, Result, ensure};

use super::text::Sentence;

const LIST: &str = include_str!("phrases.txt");

/// A phrase: its words, its replacement, and the reason.
#[derive(Debug)]
struct Phrase {
    /// In lower case; `*` at the end stands for any ending.
    words: Vec<String>,
    instead: String,
    reason: String,
}

/// The list.
#[derive(Debug)]
pub(super) struct Phrases(Vec<Phrase>);

impl Phrases {
    /// The list that is part of the program.
    ///
    /// # Errors
    /// When a line is not `PHRASE | REPLACEMENT | REASON`.
    pub(super) fn listed() -> Result<Self> {
        Self::parse(LIST)
    }

    fn parse(list: &str) -> Result<Self> {
        let mut phrases = Vec::new();
        for (at, line) in (1..).zip(list.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut parts = line.split('|').map(str::trim);
            let mut part = || {
                parts
                    .next()
                    .filter(|part| !part.is_empty())
                    .with_context(|| {
                        format!("phrases.txt, line {at}: expected PHRASE | REPLACEMENT | REASON")
                    })
            };
            let (phrase, instead, reason) = (part()?, part()?, part()?);
            ensure!(
                phrase == phrase.to_lowercase(),
                "phrases.txt, line {at}: the phrase must be in lower case"
            );
            phrases.push(Phrase {
                words: phrase.split_whitespace().map(str::to_owned).collect(),
                instead: instead.to_owned(),
                reason: reason.to_owned(),
            });
        }
        Ok(Self(phrases))
    }

    /// A finding for each phrase in a file of this name.
    pub(super) fn findings(&self, name: &str, sentences: &[Sentence]) -> Vec<String> {
        let mut findings = Vec::new();
        for sentence in sentences {
            for at in 0..sentence.words.len() {
                let rest = &sentence.words[at..];
                for phrase in &self.0 {
                    let stands_here = rest.len() >= phrase.words.len()
                        && rest.iter().zip(&phrase.words).all(|(word, wanted)| {
                            match wanted.strip_suffix('*') {
                                Some(begin) => word.text.starts_with(begin),
                                None => word.text == *wanted,
                            }
                        });
                    if stands_here {
                        // The finding points to the end, which is on the later line if the phrase is broken.
                        let line = rest[phrase.words.len() - 1].line;
                        findings.push(format!(
                            "{name}:{line}: \"{}\": write \"{}\" ({})",
                            phrase.words.join(" "),
                            phrase.instead,
                            phrase.reason
                        ));
                    }
                }
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;

    fn found(list: &str, page: &str) -> Vec<String> {
        let phrases = Phrases::parse(list).expect("a list");
        phrases.findings("page.md", &text::of_markdown(page))
    }

    #[test]
    fn a_phrase_is_found_in_any_case_and_across_lines() {
        let list = "told apart | tracked individually | unclear\n";
        assert_eq!(
            found(list, "Fine.\n\nThey are Told\napart, always.\n"),
            ["page.md:4: \"told apart\": write \"tracked individually\" (unclear)"]
        );
        assert_eq!(found(list, "They are told. Apart from that.\n"), [""; 0]);
        assert_eq!(found(list, "They print `told apart`.\n"), [""; 0]);
    }

    #[test]
    fn a_star_stands_for_any_ending() {
        let list = "reckon* | estimate | archaic\n";
        assert_eq!(found(list, "It is reckoned, not guessed.\n").len(), 1);
        assert_eq!(found(list, "I beckon.\n"), [""; 0]);
    }

    #[test]
    fn a_line_without_three_parts_is_an_error_that_names_it() {
        for list in ["# note\nfolklore\n", "a | b |\n\n", "Upper | b | c\n"] {
            let error = Phrases::parse(list).expect_err("no list").to_string();
            assert!(error.contains("line"), "{error}");
        }
    }

    #[test]
    fn the_list_finds_the_worst_phrases() {
        let phrases = Phrases::listed().expect("the list");
        for text in [
            "Later losses are nobody's.",
            "By the folklore of 8,970 B a record.",
            "They are told apart by their process.",
            "Hold the trace against the truth.",
            "The two ends below lie apart.",
            "None would be a wonder of 1 in 1,000.",
        ] {
            let findings = phrases.findings("page.md", &text::of_markdown(text));
            assert!(!findings.is_empty(), "{text}");
        }
    }
}
