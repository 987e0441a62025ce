//! What a guest says: bytes of its serial ports come in, live copies, whole lines and a verdict on the console's text
//! go out.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
};

/// How many of the console's last lines are shown when a guest did not end well.
const LAST_LINES: usize = 40;

/// Copies `reader` to `writer` as it comes, until the end.
///
/// Where `writer` fails the rest is read all the same: a port that nobody reads would stop the guest.
pub(crate) fn stream(mut reader: impl Read, writer: &mut (dyn Write + Send)) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    let mut result = Ok(());
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return result,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if result.is_ok() {
            let text = buffer.get(..count).unwrap_or_default();
            result = writer.write_all(text).and_then(|()| writer.flush());
        }
    }
}

/// The last lines of a console's text.
pub(crate) fn last_lines(text: &str) -> String {
    let mut lines = VecDeque::with_capacity(LAST_LINES);
    for line in text.lines() {
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(line.trim_end());
    }
    Vec::from(lines).join("\n")
}

/// The reason of a kernel panic, if the console tells of one.
pub(crate) fn panic_reason(text: &str) -> Option<&str> {
    let (_, reason) = text.split_once("Kernel panic - not syncing: ")?;
    Some(reason.lines().next().unwrap_or_default().trim_end())
}

/// What the kernel complains of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Complaints {
    /// Lines that no healthy kernel writes.
    pub(crate) grave: Vec<String>,
    /// Lines on time that has passed, which an emulator on a busy machine causes.
    pub(crate) advisory: Vec<String>,
}

/// Lines in which the kernel complains of itself, each of them once: init.sh writes its messages to the console anew.
pub(crate) fn complaints(text: &str) -> Complaints {
    let mut complaints = Complaints::default();
    for line in text.lines() {
        // As `dmesg -r` has it: its priority comes first.
        let line = line.trim_end();
        let line = match line.split_once('>') {
            Some((priority, rest)) if priority.starts_with('<') => rest,
            _ => line,
        };
        let kind = if is_about_time(line) {
            &mut complaints.advisory
        } else if is_grave(line) {
            &mut complaints.grave
        } else {
            continue;
        };
        if !kind.iter().any(|known| known == line) {
            kind.push(line.to_owned());
        }
    }
    complaints
}

fn is_about_time(line: &str) -> bool {
    let rcu = line.contains("rcu") && (line.contains("stall") || line.contains("starved"));
    // The code that finds it may be wrong itself, and names its file then.
    !line.contains("WARNING: ")
        && (rcu || line.contains("soft lockup") || line.contains("clocksource: "))
}

fn is_grave(line: &str) -> bool {
    let marks = [
        "WARNING: ",
        "BUG: ",
        "kernel BUG at ",
        "Oops",
        "general protection fault",
        "blocked for more than",
    ];
    marks.iter().any(|mark| line.contains(mark))
}

/// Hands on whole lines, without their ends, to whoever takes them.
pub(crate) struct Lines<F> {
    // A torn last line of a killed guest is never handed on: it would pass for a whole one.
    line: Vec<u8>,
    take: F,
}

impl<F: FnMut(&[u8]) -> io::Result<()>> Lines<F> {
    /// Hands each line to `take`.
    pub(crate) fn new(take: F) -> Self {
        Self {
            line: Vec::new(),
            take,
        }
    }
}

impl<F: FnMut(&[u8]) -> io::Result<()>> Write for Lines<F> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        for &byte in buffer {
            if byte == b'\n' {
                (self.take)(&self.line)?;
                self.line.clear();
            } else {
                self.line.push(byte);
            }
        }
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes whole lines only, each behind `prefix`, so that several guests can share a terminal.
pub(crate) fn prefixed(prefix: String, mut writer: impl Write + Send) -> impl Write + Send {
    Lines::new(move |line: &[u8]| {
        // One write per line: lines of two guests do not mix.
        writer.write_all(&[prefix.as_bytes(), line, b"\n"].concat())?;
        writer.flush()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_without_a_reader_is_read_to_its_end() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut text = io::Cursor::new(vec![b'x'; 100_000]);
        let error = stream(&mut text, &mut Gone).expect_err("nobody takes it");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(text.position(), 100_000);
    }

    #[test]
    fn the_last_lines_are_the_last() {
        let text = (0..100)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
            .join("\r\n");
        let last = last_lines(&text);
        assert!(last.starts_with("60\n"), "{last}");
        assert!(last.ends_with("\n99"));
    }

    #[test]
    fn panic_is_distinguished_from_other_text() {
        let text = "[ 1.0] x\r\n[ 2.0] Kernel panic - not syncing: audit: backlog\r\nmore";
        assert_eq!(panic_reason(text), Some("audit: backlog"));
        assert_eq!(panic_reason("all is well"), None);
    }

    #[test]
    fn complaints_of_all_kernels_are_grave() {
        for line in [
            "[    1.0] WARNING: CPU: 0 PID: 1 at kernel/bpf/trampoline.c:500 bpf_trampoline_put+0x1/0x2",
            "[    1.0] WARNING: kernel/bpf/trampoline.c:500 at bpf_trampoline_put+0x1/0x2, CPU#0: x/1",
            "[    1.0] WARNING: possible circular locking dependency detected",
            "[    1.0] WARNING: CPU: 0 PID: 1 at kernel/rcu/tree_stall.h:5 rcu_x+0x1/0x2",
            "[    1.0] BUG: scheduling while atomic: kauditd/30/0x00000002",
            "[    1.0] BUG: unable to handle page fault for address: ffffffff00000000",
            "[    1.0] kernel BUG at kernel/audit.c:500!",
            "[    1.0] Oops: 0000 [#1] PREEMPT SMP",
            "[    1.0] general protection fault, probably for non-canonical address 0x1: 0000 [#1]",
            "[    1.0] INFO: task vmtest:99 blocked for more than 120 seconds.",
        ] {
            let found = complaints(&format!("a\r\n{line}\r\nb\r\n"));
            assert_eq!(found.grave, [line]);
            assert_eq!(found.advisory, [""; 0], "{line}");
        }
    }

    #[test]
    fn complaints_about_time_are_advisory() {
        for line in [
            "[    1.0] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [vmtest:99]",
            "[    1.0] rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
            "[    1.0] rcu: INFO: rcu_preempt self-detected stall on CPU",
            "[    1.0] rcu: rcu_sched kthread starved for 5000 jiffies! g1 f0x0",
            "[    1.0] clocksource: timekeeping watchdog on CPU0: Marking clocksource 'tsc' as unstable",
        ] {
            let found = complaints(line);
            assert_eq!(found.advisory, [line]);
            assert_eq!(found.grave, [""; 0], "{line}");
        }
    }

    #[test]
    fn a_complaint_counts_once_and_other_lines_do_not() {
        let text = "[1] WARNING: x at y\r\n<4>[1] WARNING: x at y\r\n<3>[2] WARNING: x at y\r\n";
        assert_eq!(
            complaints(text).grave,
            ["[1] WARNING: x at y", "[2] WARNING: x at y"]
        );
        for line in [
            "<4>[1] audit: audit_backlog=65 > audit_backlog_limit=64",
            "<3>[1] audit: backlog limit exceeded",
            "<4>[1] amd_pstate: the _CPC object is not present in SBIOS or ACPI disabled",
            "<4>[0] tsc: Unable to calibrate against PIT",
        ] {
            assert_eq!(complaints(line), Complaints::default(), "{line}");
        }
    }

    #[test]
    fn lines_are_prefixed_however_they_are_cut() {
        let mut out = Vec::new();
        let mut lines = prefixed("6.1| ".to_owned(), &mut out);
        for piece in ["ab", "c\nd", "\n", "torn"] {
            lines
                .write_all(piece.as_bytes())
                .expect("a Vec takes everything");
        }
        drop(lines);
        assert_eq!(String::from_utf8_lossy(&out), "6.1| abc\n6.1| d\n");
    }
}
