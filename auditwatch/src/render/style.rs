//! Colour, where it is wanted: on terminals, and never under `NO_COLOR`.

use std::io::IsTerminal;

use crate::cli::ColorChoice;

/// Whether and how to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    colored: bool,
}

impl Style {
    /// Decides for an output. `no_color` is the value of `NO_COLOR`, which counts
    /// when it is not empty (no-color.org).
    #[must_use]
    pub fn new(choice: ColorChoice, no_color: Option<&str>, terminal: &impl IsTerminal) -> Self {
        let colored = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => no_color.is_none_or(str::is_empty) && terminal.is_terminal(),
        };
        Self { colored }
    }

    /// Text without colour.
    #[must_use]
    pub const fn plain() -> Self {
        Self { colored: false }
    }

    /// Text with colour.
    #[must_use]
    pub const fn colored() -> Self {
        Self { colored: true }
    }

    /// Something bad.
    #[must_use]
    pub fn red(self, text: &str) -> String {
        self.paint("31;1", text)
    }

    /// Something to watch.
    #[must_use]
    pub fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Something good.
    #[must_use]
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Something that leads the eye.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Something of less weight.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colored && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}
