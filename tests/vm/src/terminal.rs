//! A program on a terminal of its own, and all that it writes there.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Runs a command to its end on a terminal of so many columns, which understands colour and UTF-8.
pub fn run(columns: u16, mut command: Command) -> Result<String> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).context("opening a terminal")?;
    grantpt(&master).context("granting the terminal")?;
    unlockpt(&master).context("unlocking the terminal")?;
    let name = ptsname(&master, Vec::new()).context("naming the terminal")?;
    let slave = open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())
        .context("opening the terminal's other end")?;
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&slave, size).context("sizing the terminal")?;
    command
        .stdin(Stdio::from(slave.try_clone()?))
        .stdout(Stdio::from(slave.try_clone()?))
        .stderr(Stdio::from(slave))
        .env_remove("COLUMNS")
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8");
    let mut child = command.spawn().context("starting it on a terminal")?;
    // Or the terminal would have its other end open for ever.
    drop(command);
    let reader = thread::spawn(move || read_all(master));
    child.wait().context("waiting for it")?;
    let bytes = reader
        .join()
        .map_err(|_| anyhow!("reading the terminal failed"))?;
    String::from_utf8(bytes).context("it wrote no UTF-8")
}

/// A terminal whose other end nobody has open reads as an error.
fn read_all(master: OwnedFd) -> Vec<u8> {
    let mut file = File::from(master);
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    while let Ok(length @ 1..) = file.read(&mut part) {
        bytes.extend(&part[..length]);
    }
    bytes
}

/// The lines as a reader sees them, without escape sequences.
pub fn lines(text: &str) -> Vec<String> {
    let mut shown = String::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' => {
                rest.by_ref().find(char::is_ascii_alphabetic);
            }
            '\r' => {}
            other => shown.push(other),
        }
    }
    shown.lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn escapes_take_no_columns() {
        assert_eq!(
            lines("\u{1b}[31;1mred\u{1b}[0m 1\r\ntwo\r\n"),
            ["red 1", "two"]
        );
    }
}
