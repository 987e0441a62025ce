//! Beginnings of lines as they are found in logs.

use super::*;

fn shown(line: &str) -> String {
    let found = stamped(line.as_bytes());
    let speaker = match found.speaker {
        Speaker::Audit => "audit".to_owned(),
        Speaker::Kernel => "kernel".to_owned(),
        Speaker::Unknown => "?".to_owned(),
        Speaker::Program(name) => format!("by {}", name.escape_ascii()),
    };
    format!(
        "{} | {} | {speaker} | {}",
        found
            .kernel_us
            .map_or_else(|| "-".to_owned(), |us| us.to_string()),
        found.wall.map_or_else(
            || "-".to_owned(),
            |wall| String::from_utf8_lossy(wall).into_owned()
        ),
        found.message.escape_ascii()
    )
}

/// Lines, and what stands before their message: clock, date, speaker.
const FORMS: &[(&str, &str)] = &[
    ("audit: x", "- | - | ? | audit: x"),
    ("[   12.345678] audit: x", "12345678 | - | ? | audit: x"),
    (
        "<4>[   12.345678] audit: x",
        "12345678 | - | kernel | audit: x",
    ),
    (
        "[   12.345678][  T231] audit: x",
        "12345678 | - | ? | audit: x",
    ),
    (
        "[   12.345678 <    0.000010>] audit: x",
        "12345678 | - | ? | audit: x",
    ),
    (
        "kern  :err   : [   12.345678] audit: x",
        "12345678 | - | kernel | audit: x",
    ),
    (
        "6,339,5140900,-;audit: x",
        "5140900 | - | kernel | audit: x",
    ),
    (
        "30,340,5140901,-;systemd[1]: x",
        "5140901 | - | by systemd | x",
    ),
    (
        "4,341,5140902,-,caller=T1;audit: x",
        "5140902 | - | kernel | audit: x",
    ),
    (
        "[Wed Aug 14 10:00:01 2021] audit: x",
        "- | Wed Aug 14 10:00:01 2021 | ? | audit: x",
    ),
    (
        "Aug 14 10:00:01 host kernel: audit: x",
        "- | Aug 14 10:00:01 | kernel | audit: x",
    ),
    (
        "Aug  4 10:00:01 host kernel: [   12.345678] audit: x",
        "12345678 | Aug  4 10:00:01 | kernel | audit: x",
    ),
    (
        "Aug 14 10:00:01.123456 host kernel: audit: x",
        "- | Aug 14 10:00:01.123456 | kernel | audit: x",
    ),
    (
        "Oct 25 14:42:34 127.0.0.1 hostname_x kernel: [68883272.061562] audit: x",
        "68883272061562 | Oct 25 14:42:34 | kernel | audit: x",
    ),
    (
        "2021-08-14T10:00:01.123456+00:00 host kernel: [  1.5] audit: x",
        "1500000 | 2021-08-14T10:00:01.123456+00:00 | kernel | audit: x",
    ),
    (
        "2021-08-14T10:00:01+0000 host auditd[7]: x",
        "- | 2021-08-14T10:00:01+0000 | by auditd | x",
    ),
    (
        "2021-08-14T10:00:01,123456+00:00 audit: x",
        "- | 2021-08-14T10:00:01,123456+00:00 | ? | audit: x",
    ),
    (
        "Sat 2021-08-14 10:00:01 UTC host kernel: audit: x",
        "- | Sat 2021-08-14 10:00:01 UTC | kernel | audit: x",
    ),
    (
        "1628935201.123456 host kernel: audit: x",
        "- | 1628935201.123456 | kernel | audit: x",
    ),
    (
        "2025 Nov 18 11:33:27.171558 sonic INFO auditd[873]: x",
        "- | 2025 Nov 18 11:33:27.171558 | by auditd | x",
    ),
    (
        "2025 Nov 18 11:33:27.171558 sonic ERR kernel: [   14.369882] audit: x",
        "14369882 | 2025 Nov 18 11:33:27.171558 | kernel | audit: x",
    ),
    (
        "Aug 14 10:00:01 host kern.warn kernel: [   12.3] audit: x",
        "12300000 | Aug 14 10:00:01 | kernel | audit: x",
    ),
    (
        "[   12.345678] host kernel: audit: x",
        "12345678 | - | kernel | audit: x",
    ),
    (
        "[   12.345678] host auditd[7]: x",
        "12345678 | - | by auditd | x",
    ),
    (
        "[    2.345678] systemd[1]: x",
        "2345678 | - | by systemd | x",
    ),
    (
        "[    0.345678] pci 0000:00:01.0: x",
        "345678 | - | ? | pci 0000:00:01.0: x",
    ),
    (
        "<4>1 2021-08-14T10:00:01Z host kernel - - - [   12.3] audit: x",
        "12300000 | 2021-08-14T10:00:01Z | kernel | audit: x",
    ),
    (
        "<30>1 2021-08-14T10:00:01Z host auditd 7 - - x",
        "- | 2021-08-14T10:00:01Z | by auditd | x",
    ),
    (
        "Aug 14 10:00:01 host sudo: root : COMMAND=/bin/grep audit: x",
        "- | Aug 14 10:00:01 | by sudo | root : COMMAND=/bin/grep audit: x",
    ),
    (
        "Aug 14 10:00:01 host audit[1]: CONFIG_CHANGE x",
        "- | Aug 14 10:00:01 | by audit | CONFIG_CHANGE x",
    ),
    (
        "Aug 14 10:00:01 host audit: CONFIG_CHANGE x",
        "- | Aug 14 10:00:01 | by audit | CONFIG_CHANGE x",
    ),
    ("[  OK  ] Started x", "- | - | ? | [  OK  ] Started x"),
    ("", "- | - | ? | "),
    ("[", "- | - | ? | ["),
    (
        "[99999999999999999999.1] x",
        "- | - | ? | [99999999999999999999.1] x",
    ),
];

#[test]
fn all_forms_are_taken_apart() {
    for (line, expected) in FORMS {
        assert_eq!(shown(line), *expected, "{line}");
    }
}

#[test]
fn the_clock_alone_is_the_same() {
    for line in [
        "[   12.345678] a",
        "<4>[   12.345678] a",
        "6,3,12345678,-;a",
    ] {
        assert_eq!(clock(line.as_bytes()), Some(12_345_678), "{line}");
    }
    for line in ["", "[ x", "12", "Aug 14 10:00:01 host kernel: [ 1.0] a"] {
        assert_eq!(clock(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn escapes_and_nul_bytes_go() {
    let console = b"\x1b[0;32m[   1.5]\x1b[m au\0dit: x\x1b[";
    assert_eq!(clean(console), b"[   1.5] audit: x".as_slice());
    assert!(matches!(clean(b"plain"), Cow::Borrowed(_)));
}
