//! How text is to look: colour, characters and width.
//!
//! In: what is known of the output and of the user's wishes. Out: a [`Style`], which every renderer takes. Pure: who
//! asks the terminal and the environment is `commands::terminal`. anstyle has the escape sequences. anstream, which
//! removes them again when it writes, is not used: renderers return text, and the decision is made before, once.

use anstyle::{AnsiColor, Style as Paint};
use clap::ColorChoice;

/// What is known of an output, and what the environment says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether the output is a terminal.
    pub is_terminal: bool,
    /// Columns of that terminal, where it tells.
    pub terminal_columns: Option<u16>,
    /// `COLUMNS`.
    pub columns: Option<String>,
    /// `TERM`.
    pub term: Option<String>,
    /// `NO_COLOR`.
    pub no_color: Option<String>,
    /// `LC_ALL`, `LC_CTYPE` and `LANG`: the first one that is not empty decides.
    pub locale: [Option<String>; 3],
}

impl Surroundings {
    /// Columns of the output: `COLUMNS`, else the terminal's, else 80 for a terminal. `None` for a file or a pipe:
    /// there a line may be as long as it is.
    #[must_use]
    pub fn width(&self) -> Option<usize> {
        let asked = self
            .columns
            .as_deref()
            .and_then(|columns| columns.trim().parse::<usize>().ok());
        let terminal = self
            .terminal_columns
            .filter(|_| self.is_terminal)
            .map(usize::from);
        let fallback = self.is_terminal.then_some(DEFAULT_WIDTH);
        let known = |columns: &usize| *columns > 0;
        asked
            .filter(known)
            .or(terminal.filter(known))
            .or(fallback)
            .map(|columns| columns.max(LEAST_WIDTH))
    }

    /// Whether the terminal understands escape sequences.
    #[must_use]
    pub fn takes_escapes(&self) -> bool {
        self.is_terminal && self.has_able_terminal()
    }

    /// Whether characters beyond ASCII can be shown.
    #[must_use]
    pub fn takes_unicode(&self) -> bool {
        let locale = self.locale.iter().flatten().find(|name| !name.is_empty());
        let utf8 = locale.is_some_and(|name| {
            let name = name.to_ascii_lowercase();
            name.contains("utf-8") || name.contains("utf8")
        });
        utf8 && self.has_able_terminal()
    }

    fn has_able_terminal(&self) -> bool {
        self.term
            .as_deref()
            .is_some_and(|term| !term.is_empty() && term != "dumb")
    }

    fn forbids_color(&self) -> bool {
        // It counts when it is not empty (no-color.org).
        self.no_color
            .as_deref()
            .is_some_and(|value| !value.is_empty())
    }
}

/// Columns of an output that does not tell.
pub const DEFAULT_WIDTH: usize = 80;
/// Narrower ones are written to as if they had this many columns.
const LEAST_WIDTH: usize = 20;

/// How much of a report is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// The finding, its evidence, and what to do.
    #[default]
    Brief,
    /// Everything.
    Full,
}

/// Whether and how to colour, with which characters, how wide, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    detail: Detail,
    colored: bool,
    unicode: bool,
    width: Option<usize>,
}

impl Style {
    /// Decides for an output. `--color always` wins over everything; colour of its own accord is for terminals that
    /// understand it, without `NO_COLOR`.
    #[must_use]
    pub fn new(choice: ColorChoice, around: &Surroundings) -> Self {
        let colored = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => around.takes_escapes() && !around.forbids_color(),
        };
        Self {
            detail: Detail::Brief,
            colored,
            unicode: around.takes_unicode(),
            width: around.width(),
        }
    }

    /// ASCII without colour, lines of any length.
    #[must_use]
    pub const fn plain() -> Self {
        Self {
            detail: Detail::Brief,
            colored: false,
            unicode: false,
            width: None,
        }
    }

    /// The same with so much detail.
    #[must_use]
    pub const fn with_detail(self, detail: Detail) -> Self {
        Self { detail, ..self }
    }

    /// Whether everything is shown.
    #[must_use]
    pub fn shows_all(self) -> bool {
        self.detail == Detail::Full
    }

    /// The same with colour.
    #[must_use]
    pub const fn colored() -> Self {
        Self {
            colored: true,
            ..Self::plain()
        }
    }

    /// The same for an output of so many columns.
    #[must_use]
    pub const fn with_width(self, columns: usize) -> Self {
        Self {
            width: Some(columns),
            ..self
        }
    }

    /// The same with characters beyond ASCII.
    #[must_use]
    pub const fn with_unicode(self) -> Self {
        Self {
            unicode: true,
            ..self
        }
    }

    /// Columns that sentences are wrapped at; `None`: they are not.
    #[must_use]
    pub const fn width(self) -> Option<usize> {
        self.width
    }

    /// Columns that tables have.
    #[must_use]
    pub fn table_width(self) -> usize {
        self.width.unwrap_or(DEFAULT_WIDTH)
    }

    /// A bar of so many cells.
    #[must_use]
    pub fn bar(self, cells: usize) -> String {
        if self.unicode { "\u{2588}" } else { "#" }.repeat(cells)
    }

    /// What stands before a possible error.
    #[must_use]
    pub const fn plus_minus(self) -> &'static str {
        if self.unicode { "\u{b1}" } else { "+-" }
    }

    /// Something bad.
    #[must_use]
    pub fn red(self, text: &str) -> String {
        self.paint(AnsiColor::Red.on_default().bold(), text)
    }

    /// Something to watch.
    #[must_use]
    pub fn yellow(self, text: &str) -> String {
        self.paint(AnsiColor::Yellow.on_default(), text)
    }

    /// Something good.
    #[must_use]
    pub fn green(self, text: &str) -> String {
        self.paint(AnsiColor::Green.on_default(), text)
    }

    /// Something that leads the eye.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.paint(Paint::new().bold(), text)
    }

    /// Something of less weight.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.paint(Paint::new().dimmed(), text)
    }

    fn paint(self, paint: Paint, text: &str) -> String {
        if self.colored && !text.is_empty() {
            format!("{paint}{text}{paint:#}")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ColorChoice, Style, Surroundings};

    fn terminal() -> Surroundings {
        Surroundings {
            is_terminal: true,
            terminal_columns: Some(132),
            term: Some("xterm".to_owned()),
            locale: [None, None, Some("C.UTF-8".to_owned())],
            ..Surroundings::default()
        }
    }

    #[test]
    fn colour_is_for_terminals_that_understand_it() {
        let is_colored = |choice, around: &Surroundings| Style::new(choice, around).colored;
        let around = |change: fn(&mut Surroundings)| {
            let mut around = terminal();
            change(&mut around);
            around
        };
        for (of, auto) in [
            (terminal(), true),
            (around(|around| around.is_terminal = false), false),
            (around(|around| around.term = None), false),
            (around(|around| around.term = Some(String::new())), false),
            (
                around(|around| around.term = Some("dumb".to_owned())),
                false,
            ),
            (
                around(|around| around.no_color = Some("1".to_owned())),
                false,
            ),
            (around(|around| around.no_color = Some(String::new())), true),
        ] {
            assert_eq!(is_colored(ColorChoice::Auto, &of), auto, "{of:?}");
            assert!(is_colored(ColorChoice::Always, &of), "{of:?}");
            assert!(!is_colored(ColorChoice::Never, &of), "{of:?}");
        }
    }

    #[test]
    fn the_first_locale_that_is_set_decides_on_characters() {
        for (locale, unicode) in [
            ([None, None, None], false),
            ([None, None, Some("en_US.UTF-8".to_owned())], true),
            ([None, None, Some("en_US.utf8".to_owned())], true),
            (
                [
                    None,
                    Some("POSIX".to_owned()),
                    Some("en_US.UTF-8".to_owned()),
                ],
                false,
            ),
            (
                [
                    Some("C".to_owned()),
                    Some("C.UTF-8".to_owned()),
                    Some("C.UTF-8".to_owned()),
                ],
                false,
            ),
            (
                [
                    Some("C.UTF-8".to_owned()),
                    Some("C".to_owned()),
                    Some("C".to_owned()),
                ],
                true,
            ),
            (
                [
                    Some(String::new()),
                    Some(String::new()),
                    Some("C.UTF-8".to_owned()),
                ],
                true,
            ),
            ([None, None, Some("de_DE@euro".to_owned())], false),
        ] {
            let mut around = terminal();
            around.locale = locale;
            assert_eq!(around.takes_unicode(), unicode, "{around:?}");
            around.term = Some("dumb".to_owned());
            assert!(!around.takes_unicode());
        }
        assert_eq!(Style::plain().bar(3), "###");
        assert_eq!(Style::plain().with_unicode().bar(1), "\u{2588}");
    }

    #[test]
    fn the_width_is_as_asked_for_or_the_terminals() {
        let mut around = terminal();
        assert_eq!(around.width(), Some(132));
        around.columns = Some("100".to_owned());
        assert_eq!(around.width(), Some(100));
        for senseless in ["0", "", "wide", "-3"] {
            around.columns = Some(senseless.to_owned());
            assert_eq!(around.width(), Some(132), "{senseless}");
        }
        around.terminal_columns = Some(0);
        assert_eq!(around.width(), Some(80));
        around.terminal_columns = Some(3);
        assert_eq!(around.width(), Some(20));
        around.is_terminal = false;
        assert_eq!(around.width(), None);
        around.columns = Some("72".to_owned());
        assert_eq!(around.width(), Some(72));
    }
}
