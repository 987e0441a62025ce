//! A line's words as `getopt_long(3)` of glibc reads them: words come in, options with their arguments go out one
//! by one. Options may follow what is none, long ones may be shortened, and where it stands between two calls
//! is visible, since auditctl looks.

/// Options of one letter, those that take an argument with a colon.
const SHORT: &[u8] = b"hicslDvtC:e:f:r:b:a:A:d:S:F:m:R:w:W:k:p:q:";

/// Long options, and whether they take an argument.
const LONG: [(&str, bool, Opt); 5] = [
    ("loginuid-immutable", false, Opt::LoginuidImmutable),
    ("backlog_wait_time", true, Opt::BacklogWaitTime),
    ("reset-lost", false, Opt::ResetLost),
    (
        "reset_backlog_wait_time_actual",
        false,
        Opt::ResetWaitTimeActual,
    ),
    ("signal", true, Opt::Signal),
];

/// An option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of auditctl's long options")]
pub enum Opt {
    /// One letter.
    Letter(u8),
    LoginuidImmutable,
    BacklogWaitTime,
    ResetLost,
    ResetWaitTimeActual,
    Signal,
    /// What is no option, or has no argument where one belongs, or one too many.
    Unknown,
}

/// An option and its argument.
pub type Found = (Opt, Option<Vec<u8>>);

/// Reads the options of one line.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program's name and the line's words; what is no option moves to the end.
    words: Vec<Vec<u8>>,
    /// How many of the words count; auditctl lowers it when it has read one itself.
    pub count: usize,
    /// `optind`: the word that is next.
    index: usize,
    /// Where within a word of several letters the next one is.
    letter: Option<(usize, usize)>,
    /// Words that are no options, and were passed over: `[first, last)`.
    others: (usize, usize),
}

impl Options {
    /// Starts at the first word.
    #[must_use]
    pub fn new(words: Vec<Vec<u8>>) -> Self {
        let count = words.len() + 1;
        let words = std::iter::once(b"auditctl".to_vec()).chain(words).collect();
        Self {
            words,
            count,
            index: 1,
            letter: None,
            others: (1, 1),
        }
    }

    /// `optind` as it is now.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// A word by its number; 0 is the program's name.
    #[must_use]
    pub fn word(&self, number: usize) -> Option<&[u8]> {
        self.words.get(number).map(Vec::as_slice)
    }

    /// The next option, or `None` at the end.
    pub fn next_option(&mut self) -> Option<Found> {
        if let Some((word, at)) = self.letter.take() {
            return Some(self.short(word, at));
        }
        self.skip_others()?;
        let word = &self.words[self.index];
        if word.starts_with(b"--") {
            return Some(self.long());
        }
        Some(self.short(self.index, 1))
    }

    /// Goes to the next word that is an option, moving what is none behind it. `None` at the end, where `optind`
    /// is then at the first of those others.
    fn skip_others(&mut self) -> Option<()> {
        let (first, last) = self.others;
        self.others = (first.min(self.index), last.min(self.index));
        self.gather_others();
        while self.index < self.count && !is_option(&self.words[self.index]) {
            self.index += 1;
        }
        self.others.1 = self.index;
        if self.index < self.count && self.words[self.index] == b"--" {
            self.index += 1;
            self.gather_others_at_the_end();
            self.index = self.count;
        }
        if self.index >= self.count {
            if self.others.0 != self.others.1 {
                self.index = self.others.0;
            }
            return None;
        }
        Some(())
    }

    fn gather_others(&mut self) {
        let (first, last) = self.others;
        if first != last && last != self.index {
            self.exchange();
        } else if last != self.index {
            self.others.0 = self.index;
        }
    }

    fn gather_others_at_the_end(&mut self) {
        let (first, last) = self.others;
        if first != last && last != self.index {
            self.exchange();
        } else if first == last {
            self.others.0 = self.index;
        }
        self.others.1 = self.count;
    }

    /// Moves the options that came after the others before them.
    fn exchange(&mut self) {
        let (first, last) = self.others;
        self.words[first..self.index].rotate_left(last - first);
        let moved = self.index - last;
        self.others = (first + moved, self.index);
    }

    fn short(&mut self, word: usize, at: usize) -> Found {
        let text = self.words[word].clone();
        let letter = text[at];
        let is_last = at + 1 == text.len();
        if is_last {
            self.index += 1;
        }
        let known = SHORT
            .iter()
            .position(|&known| known == letter && letter != b':');
        let Some(known) = known else {
            self.letter = (!is_last).then_some((word, at + 1));
            return (Opt::Unknown, None);
        };
        if SHORT.get(known + 1) != Some(&b':') {
            self.letter = (!is_last).then_some((word, at + 1));
            return (Opt::Letter(letter), None);
        }
        if !is_last {
            self.index += 1;
            return (Opt::Letter(letter), Some(text[at + 1..].to_vec()));
        }
        match self.take_word() {
            Some(argument) => (Opt::Letter(letter), Some(argument)),
            None => (Opt::Unknown, None),
        }
    }

    fn long(&mut self) -> Found {
        let text = self.words[self.index][2..].to_vec();
        self.index += 1;
        let mut halves = text.splitn(2, |&byte| byte == b'=');
        let name = halves.next().unwrap_or_default();
        let attached = halves.next().map(<[u8]>::to_vec);
        let exact = LONG.iter().find(|(long, ..)| long.as_bytes() == name);
        let mut begun = LONG
            .iter()
            .filter(|(long, ..)| long.as_bytes().starts_with(name));
        let only = match (begun.next(), begun.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        };
        let Some(&(_, takes_argument, opt)) = exact.or(only) else {
            return (Opt::Unknown, None);
        };
        match (takes_argument, attached) {
            (true, Some(argument)) => (opt, Some(argument)),
            (true, None) => match self.take_word() {
                Some(argument) => (opt, Some(argument)),
                None => (Opt::Unknown, None),
            },
            (false, None) => (opt, None),
            (false, Some(_)) => (Opt::Unknown, None),
        }
    }

    fn take_word(&mut self) -> Option<Vec<u8>> {
        if self.index >= self.count {
            return None;
        }
        self.index += 1;
        self.word(self.index - 1).map(<[u8]>::to_vec)
    }
}

fn is_option(word: &[u8]) -> bool {
    word.len() > 1 && word[0] == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All options of a line, and how many words are left over; `optind` of the end.
    fn read(line: &str) -> (Vec<(Opt, String)>, usize) {
        let words = line
            .split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect();
        let mut options = Options::new(words);
        let mut found = Vec::new();
        while let Some((opt, argument)) = options.next_option() {
            let argument = argument.unwrap_or_default();
            found.push((opt, String::from_utf8(argument).expect("text")));
        }
        (found, options.count - options.index())
    }

    fn letter(letter: char, argument: &str) -> (Opt, String) {
        (Opt::Letter(letter as u8), argument.to_owned())
    }

    #[test]
    fn options_are_found_after_other_words() {
        assert_eq!(
            read("-b 712 # -f 1 x -e2"),
            (
                vec![letter('b', "712"), letter('f', "1"), letter('e', "2")],
                2
            )
        );
        assert_eq!(read("foo"), (vec![], 1));
        assert_eq!(read("-b 5 -"), (vec![letter('b', "5")], 1));
    }

    #[test]
    fn two_dashes_end_them() {
        assert_eq!(read("-b 5 -- -b 6"), (vec![letter('b', "5")], 2));
        assert_eq!(read("x -b 5 -- y"), (vec![letter('b', "5")], 2));
        assert_eq!(read("--"), (vec![], 0));
    }

    #[test]
    fn long_options_may_be_shortened() {
        for line in [
            "--backlog_wait_time 5",
            "--b 5",
            "--backlog_wait_time=5",
            "--back=5",
        ] {
            assert_eq!(
                read(line),
                (vec![(Opt::BacklogWaitTime, "5".into())], 0),
                "{line}"
            );
        }
        for line in [
            "--r",
            "--reset",
            "--reset-lost=1",
            "--nonsense",
            "--b",
            "--=5",
        ] {
            assert_eq!(read(line).0, [(Opt::Unknown, String::new())], "{line}");
        }
        assert_eq!(read("--reset_").0[0].0, Opt::ResetWaitTimeActual);
        assert_eq!(
            read("-backlog_wait_time 5"),
            (vec![letter('b', "acklog_wait_time")], 1)
        );
    }

    #[test]
    fn letters_may_share_a_word() {
        assert_eq!(
            read("-icb5"),
            (vec![letter('i', ""), letter('c', ""), letter('b', "5")], 0)
        );
        assert_eq!(
            read("-xi").0,
            [(Opt::Unknown, String::new()), letter('i', "")]
        );
        assert_eq!(read("-b").0, [(Opt::Unknown, String::new())]);
    }

    #[test]
    fn the_index_stays_within_a_word_of_letters() {
        let mut options = Options::new(vec![b"-ic".to_vec()]);
        assert_eq!(options.next_option(), Some((Opt::Letter(b'i'), None)));
        assert_eq!(options.index(), 1);
        assert_eq!(options.next_option(), Some((Opt::Letter(b'c'), None)));
        assert_eq!(options.index(), 2);
    }
}
