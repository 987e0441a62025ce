//! The real program on a terminal of 80 columns: no line is wider, and what it cannot show it does not send.

use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    os::fd::OwnedFd,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use auditwatch::trace::recording::{End, Line};
use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

#[expect(dead_code, reason = "others need more of it")]
#[path = "fixtures/traces.rs"]
mod traces;

/// What a program writes to a terminal of so many columns.
fn on_terminal(columns: u16, program: &mut Command) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).expect("it is ours");
    unlockpt(&master).expect("it can be opened");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let slave = open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("it opens");
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&slave, size).expect("it has a size");
    let end = || Stdio::from(slave.try_clone().expect("another descriptor"));
    program.stdin(end()).stdout(end()).stderr(end());
    let mut child = program.spawn().expect("the program starts");
    drop(slave);
    // The command keeps what it was given.
    program
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let reader = thread::spawn(move || read_all(master));
    let status = child.wait().expect("it ends");
    assert!(matches!(status.code(), Some(0 | 3)), "{status}");
    let bytes = reader.join().expect("all is read");
    String::from_utf8(bytes).expect("text")
}

/// The master's end says EIO once nobody has the other end.
fn read_all(master: OwnedFd) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut file = File::from(master);
    let mut part = [0; 4096];
    loop {
        match file.read(&mut part) {
            Ok(0) => return bytes,
            Ok(length) => bytes.extend(&part[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return bytes,
        }
    }
}

/// A recording of a storm, and of a calm after it.
fn record(path: &Path) {
    let storm = traces::Second {
        attempted: 22_671,
        lost: 16_187,
        stalls: 3,
        depth: 0,
    };
    let seconds = [[storm; 4], [traces::CALM; 4]].concat();
    let mut lines = traces::lines(&seconds);
    lines.pop();
    let end = Line::End(End {
        notes: vec!["a note that is longer than a terminal is wide, as many are, ".repeat(4)],
        command: None,
        consumer: None,
        own: None,
        load_has_ended: false,
    });
    lines.push(serde_json::to_vec(&end).expect("a line"));
    let text = [lines.join(&b"\n"[..]), b"\n".to_vec()].concat();
    let bytes = zstd::encode_all(&text[..], 3).expect("it compresses");
    std::fs::write(path, bytes).expect("it is written");
}

/// A replay, in this environment and no other.
fn replay(path: &Path, environment: &[(&str, &str)], options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auditwatch"));
    command.arg("replay").args(options).arg(path).env_clear();
    command.envs(environment.iter().copied());
    command
}

/// Text without its escapes.
fn shown(text: &str) -> String {
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
    shown
}

const ABLE: [(&str, &str); 2] = [("TERM", "xterm-256color"), ("LANG", "C.UTF-8")];

#[test]
fn no_line_is_wider_than_the_terminal() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("storm.zst");
    record(&path);
    for columns in [80, 100, 120] {
        let text = on_terminal(columns, &mut replay(&path, &ABLE, &[]));
        assert!(text.contains("\u{1b}[1m\u{1b}[31m"), "{text}");
        let shown = shown(&text);
        for line in shown.lines() {
            assert!(line.chars().count() <= usize::from(columns), "{line}");
        }
        let rows: Vec<&str> = shown.lines().filter(|line| line.contains('[')).collect();
        assert_eq!(rows.len(), 8, "{shown}");
        assert_eq!(rows.iter().filter(|row| row.contains("FULL")).count(), 4);
    }
}

#[test]
fn columns_of_the_environment_go_before_the_terminals() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("storm.zst");
    record(&path);
    let environment = [ABLE[0], ABLE[1], ("COLUMNS", "60")];
    let text = shown(&on_terminal(120, &mut replay(&path, &environment, &[])));
    for line in text.lines() {
        assert!(line.chars().count() <= 60, "{line}");
    }
}

#[test]
fn a_terminal_that_can_less_gets_less() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("storm.zst");
    record(&path);
    for (environment, options, escapes, unicode) in [
        (&ABLE[..], &[][..], true, true),
        (
            &[("TERM", "xterm"), ("LANG", "C")][..],
            &[][..],
            true,
            false,
        ),
        (&[("TERM", "xterm")][..], &[][..], true, false),
        (&[("TERM", "dumb"), ABLE[1]][..], &[][..], false, false),
        (&[ABLE[1]][..], &[][..], false, false),
        (
            &[ABLE[0], ABLE[1], ("NO_COLOR", "1")][..],
            &[][..],
            false,
            true,
        ),
        (
            &[("TERM", "dumb"), ABLE[1]][..],
            &["--color", "always"][..],
            true,
            false,
        ),
    ] {
        let text = on_terminal(80, &mut replay(&path, environment, options));
        assert_eq!(text.contains('\u{1b}'), escapes, "{environment:?}: {text}");
        assert!(unicode || text.is_ascii(), "{environment:?}: {text}");
    }
}

#[test]
fn a_pipe_gets_each_sentence_on_a_line_of_its_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("storm.zst");
    record(&path);
    let output = replay(&path, &ABLE, &[]).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(!text.contains('\u{1b}'), "{text}");
    let note = text
        .lines()
        .find(|line| line.starts_with("note       a note"));
    assert!(note.is_some_and(|note| note.len() > 200), "{text}");
}
