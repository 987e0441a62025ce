//! What is known of an output: whether it is a terminal, how wide, and what the environment says of it. It must not
//! decide what follows from that; `render::style` does.

use std::{
    env,
    io::{IsTerminal, stderr},
    os::fd::AsFd,
};

use clap::ColorChoice;

use crate::render::style::{Style, Surroundings};

/// How text there is to look, now: a terminal may be given another width at any time.
pub(super) fn style(choice: ColorChoice, output: &(impl IsTerminal + AsFd)) -> Style {
    Style::new(choice, &around(output))
}

/// Whether a line on stderr can be written over.
pub(super) fn stderr_takes_escapes() -> bool {
    around(&stderr()).takes_escapes()
}

fn around(output: &(impl IsTerminal + AsFd)) -> Surroundings {
    let variable = |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let is_terminal = output.is_terminal();
    Surroundings {
        is_terminal,
        terminal_columns: if is_terminal {
            rustix::termios::tcgetwinsize(output)
                .ok()
                .map(|size| size.ws_col)
        } else {
            None
        },
        columns: variable("COLUMNS"),
        term: variable("TERM"),
        no_color: variable("NO_COLOR"),
        locale: ["LC_ALL", "LC_CTYPE", "LANG"].map(variable),
    }
}
