//! Shell quoting: argument vectors come in, a line for a POSIX shell goes out. Must not depend on the locale.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

/// One line that makes a POSIX shell run exactly `argv`, byte for byte.
pub(crate) fn shell_line<S: AsRef<OsStr>>(argv: &[S]) -> Vec<u8> {
    let mut line = Vec::new();
    for argument in argv {
        if !line.is_empty() {
            line.push(b' ');
        }
        quote(argument.as_ref().as_bytes(), &mut line);
    }
    line
}

fn quote(argument: &[u8], line: &mut Vec<u8>) {
    line.push(b'\'');
    for &byte in argument {
        if byte == b'\'' {
            // Within single quotes nothing is special but their end: close, an escaped quote, open again.
            line.extend_from_slice(b"'\\''");
        } else {
            line.push(byte);
        }
    }
    line.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_shell_gets_back_every_byte() {
        let argv = [
            "",
            "a b",
            "it's",
            "$HOME `id` \"x\"",
            "new\nline",
            "*",
            "\\",
            "ümlaut",
            "-n",
        ];
        let mut script = b"printf '%s\\0' ".to_vec();
        script.extend(shell_line(&argv));
        let output = Command::new("sh")
            .arg("-c")
            .arg(OsStr::from_bytes(&script))
            .output()
            .expect("a shell");
        let mut expected = argv.join("\0").into_bytes();
        expected.push(0);
        assert_eq!(output.stdout, expected);
    }
}
