//! Four markers of hard English: takes sentences, returns counts per 1,000 words and the findings. Pure.
//!
//! The limits are the highest that aya, below, rezolus, retis, hyperfine and ripgrep have.

use super::text::{Sentence, Word};

/// A marker: its name in the table, its limit per 1,000 words, and the advice.
struct Marker {
    name: &'static str,
    limit: f64,
    advice: &'static str,
}

const MARKERS: [Marker; 4] = [
    Marker {
        name: "what ...",
        limit: 0.23,
        advice: "name the thing with a noun",
    },
    Marker {
        name: "where",
        limit: 0.46,
        advice: "begin a condition with \"if\" or \"when\"",
    },
    Marker {
        name: "told/tells",
        limit: 0.07,
        advice: "write says, shows, identifies or distinguishes",
    },
    Marker {
        name: "is no X",
        limit: 0.28,
        advice: "write \"is not\" or \"has no\"",
    },
];

/// More words than this make a sentence long.
const LONG: usize = 25;
/// Behind these "where" names a place.
const PLACES: [&str; 10] = [
    "cell",
    "directory",
    "file",
    "function",
    "line",
    "page",
    "place",
    "places",
    "point",
    "position",
];
/// Behind "is no" these make another phrase, which is common English.
const OTHER_NO: [&str; 4] = ["longer", "more", "less", "fewer"];

/// Counts of some text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    words: usize,
    markers: [usize; 4],
    long: usize,
}

impl Counts {
    /// Adds those of another text.
    pub(super) fn add(&mut self, other: &Self) {
        self.words += other.words;
        self.long += other.long;
        for (sum, more) in self.markers.iter_mut().zip(other.markers) {
            *sum += more;
        }
    }

    fn per_thousand(&self, marker: usize) -> f64 {
        // No text has 2^32 words.
        let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        number(self.markers[marker]) * 1000.0 / number(self.words.max(1))
    }
}

/// Counts words, markers and long sentences.
pub(super) fn count(sentences: &[Sentence]) -> Counts {
    let mut counts = Counts::default();
    for sentence in sentences {
        counts.words += sentence.words.len();
        counts.long += usize::from(sentence.length() > LONG);
        for (marker, _) in marked(sentence) {
            counts.markers[marker] += 1;
        }
    }
    counts
}

/// File and line of each marker, by marker.
pub(super) fn places(name: &str, sentences: &[Sentence]) -> Vec<(usize, String)> {
    sentences
        .iter()
        .flat_map(marked)
        .map(|(marker, word)| (marker, format!("{name}:{}", word.line)))
        .collect()
}

/// A finding for each sentence that is too long.
pub(super) fn long(name: &str, sentences: &[Sentence]) -> Vec<String> {
    let findings = sentences.iter().filter_map(|sentence| {
        let length = sentence.length();
        let first: Vec<&str> = sentence
            .words
            .iter()
            .map(|word| &*word.text)
            .take(6)
            .collect();
        (length > LONG).then(|| {
            format!(
                "{name}:{}: {length} words in a sentence, at most {LONG}: split \"{} ...\"",
                sentence.line(),
                first.join(" ")
            )
        })
    });
    findings.collect()
}

/// The markers of a sentence, each with its word. A question has no "what" and "where" that counts.
fn marked(sentence: &Sentence) -> Vec<(usize, &Word)> {
    let text = |at: usize| sentence.words.get(at).map_or("", |word| &*word.text);
    let mut found = Vec::new();
    for (at, word) in sentence.words.iter().enumerate() {
        let before = at.checked_sub(1).map_or("", text);
        let (next, after) = (text(at + 1), text(at + 2));
        let marker = match &*word.text {
            "what" if !sentence.asks => 0,
            "where" if !sentence.asks && !PLACES.contains(&before) => 1,
            "told" | "tells" => 2,
            "is" | "are" if next == "no" && !OTHER_NO.contains(&after) => 3,
            _ => continue,
        };
        found.push((marker, word));
    }
    found
}

/// The first line of the table.
pub(super) fn heading() -> String {
    let names = MARKERS
        .map(|marker| format!("{:>11}", marker.name))
        .concat();
    format!(
        "{:<36}{:>7}{names}{:>14}\n",
        "per 1,000 words", "words", "> 25 words"
    )
}

/// A text's line of the table.
pub(super) fn row(name: &str, counts: &Counts) -> String {
    let rates = [0, 1, 2, 3]
        .map(|marker| format!("{:>11.2}", counts.per_thousand(marker)))
        .concat();
    format!("{name:<36}{:>7}{rates}{:>14}", counts.words, counts.long)
}

/// The line of the limits.
pub(super) fn limits() -> String {
    let limits = MARKERS
        .map(|marker| format!("{:>11.2}", marker.limit))
        .concat();
    format!("{:<36}{:>7}{limits}", "at most", "")
}

/// A finding for each marker that is above its limit, with the places that have it.
pub(super) fn excess(counts: &Counts, places: &[(usize, String)]) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, marker) in MARKERS.iter().enumerate() {
        let rate = counts.per_thousand(at);
        if rate > marker.limit {
            let lines: Vec<&str> = places
                .iter()
                .filter(|(of, _)| *of == at)
                .map(|(_, place)| &**place)
                .collect();
            findings.push(format!(
                "\"{}\" {rate:.2} times in 1,000 words, at most {}: {}; in {}",
                marker.name,
                marker.limit,
                marker.advice,
                lines.join(" ")
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;

    fn counted(source: &str) -> [usize; 4] {
        count(&text::of_markdown(source)).markers
    }

    #[test]
    fn each_marker_is_counted() {
        assert_eq!(counted("It shows what the kernel does."), [1, 0, 0, 0]);
        assert_eq!(counted("Where it is full, records are lost."), [0, 1, 0, 0]);
        assert_eq!(counted("It tells them, and they are told."), [0, 0, 2, 0]);
        assert_eq!(
            counted("There is no room, and a poll is\nno trace."),
            [0, 0, 0, 2]
        );
    }

    #[test]
    fn questions_places_and_code_are_not_counted() {
        assert_eq!(counted("What does it cost? And where?"), [0; 4]);
        assert_eq!(
            counted("The line where it stops is no longer read."),
            [0; 4]
        );
        assert_eq!(counted("Run `what where told` and see."), [0; 4]);
    }

    #[test]
    fn a_rate_above_its_limit_names_the_places() {
        let sentences = text::of_markdown("One.\n\nWhat it prints is long.\n");
        let findings = excess(&count(&sentences), &places("page.md", &sentences));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].contains("166.67"), "{}", findings[0]);
        assert!(findings[0].ends_with("in page.md:3"), "{}", findings[0]);
    }

    #[test]
    fn a_long_text_may_have_some() {
        let page = format!(
            "{}Where it is full.\n",
            "Records are counted here.\n".repeat(1000)
        );
        let sentences = text::of_markdown(&page);
        assert_eq!(excess(&count(&sentences), &[]), [""; 0]);
        assert_eq!(count(&sentences).markers, [0, 1, 0, 0]);
    }

    #[test]
    fn long_sentences_are_counted_and_summed() {
        let long = format!("{}end.", "word ".repeat(25));
        let mut counts = count(&text::of_markdown(&long));
        assert_eq!((counts.words, counts.long), (26, 1));
        counts.add(&count(&text::of_markdown("Short.")));
        assert_eq!((counts.words, counts.long), (27, 1));
    }

    #[test]
    fn long_sentence_is_a_finding_that_names_its_line() {
        let page = |words| format!("Short.\n\n{}end.\n", "word ".repeat(words));
        assert_eq!(long("page.md", &text::of_markdown(&page(24))), [""; 0]);
        assert_eq!(
            long("page.md", &text::of_markdown(&page(25))),
            [
                "page.md:3: 26 words in a sentence, at most 25: split \"word word word word word word ...\""
            ]
        );
    }
}
