//! Diagnoses of logs. Each log in fixtures/logs has its expected diagnosis beside it, which a person has checked.
//! A mismatch is shown as a diff. `AUDITWATCH_WRITE_GOLDEN=1` writes the expected files again, to be checked again.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use auditwatch::{
    diagnosis::{Diagnosis, Origin, Reading, Verdict, diagnose},
    render::{self, style::Style},
};
use flate2::{Compression, write::GzEncoder};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use similar_asserts::SimpleDiff;

fn logs() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/logs");
    let mut found: Vec<PathBuf> = fs::read_dir(&directory)
        .expect("the directory of logs")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    found.sort();
    found
}

/// The diagnosis of a log that comes in pieces.
fn of(pieces: &[&[u8]]) -> Diagnosis {
    let mut reading = Reading::new("log");
    for piece in pieces {
        reading.push(piece);
    }
    diagnose(vec![reading.end()], Vec::new(), &Origin::default())
}

#[test]
fn each_log_has_its_expected_diagnosis() {
    let logs = logs();
    let mut wrong = Vec::new();
    for path in &logs {
        let log = fs::read(path).expect("a log");
        let found = of(&[&log]);
        let json = serde_json::to_string_pretty(&found).expect("JSON") + "\n";
        let golden = path.with_extension("json");
        if env::var_os("AUDITWATCH_WRITE_GOLDEN").is_some() {
            fs::write(&golden, &json).expect("a golden file can be written");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if json != expected {
            let difference = SimpleDiff::from_str(&expected, &json, "expected", "found");
            wrong.push(format!("{}:\n{difference}", golden.display()));
        }
        assert!(!render::diagnosis::report(&found, Style::plain()).is_empty());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(logs.len() >= 30, "{} logs", logs.len());
}

/// A log that is endless and in one line, with a message behind it.
#[test]
fn endless_line_does_not_hide_later_lines() {
    let mut log = b"[  100.000001] ".to_vec();
    log.resize(3 << 20, b'x');
    log.extend(b" audit: audit_lost=9 audit_rate_limit=0 audit_backlog_limit=320\n");
    log.extend(b"[  100.1] audit: backlog limit exceeded\n");
    let found = of(&[&log]);
    assert_eq!((found.lost_at_least, found.sources[0].lines), (9, 2));
}

/// What happens to logs on their way.
#[derive(Clone, Debug)]
enum Damage {
    /// A byte is another one.
    Byte(Index, u8),
    /// The end of a line is missing.
    Cut(Index),
    /// A line end is missing.
    Join,
    /// A line is missing.
    Drop,
    /// A line is there twice.
    Double,
    /// Two lines change places.
    Swap(Index),
    /// A digit is missing, or another one.
    Digit(Index, Option<u8>),
    /// Bytes from anywhere.
    Noise(Vec<u8>),
}

fn damage() -> impl Strategy<Value = (Index, Damage)> {
    let index = any::<Index>;
    let damage = prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        index().prop_map(Damage::Cut),
        Just(Damage::Join),
        Just(Damage::Drop),
        Just(Damage::Double),
        index().prop_map(Damage::Swap),
        (index(), prop::option::of(b'0'..=b'9')).prop_map(|(at, digit)| Damage::Digit(at, digit)),
        vec(any::<u8>(), 0..40).prop_map(Damage::Noise),
    ];
    (index(), damage)
}

/// A log with the damage done.
fn damaged(log: &[u8], damages: &[(Index, Damage)]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = log
        .split_inclusive(|&byte| byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    for (which, damage) in damages {
        if lines.is_empty() {
            break;
        }
        let which = which.index(lines.len());
        let length = lines[which].len();
        match damage {
            Damage::Byte(at, byte) => {
                let at = at.index(length.max(1));
                if let Some(place) = lines[which].get_mut(at) {
                    *place = *byte;
                }
            }
            Damage::Cut(at) => lines[which].truncate(at.index(length + 1)),
            Damage::Join => drop(lines[which].pop()),
            Damage::Drop => drop(lines.remove(which)),
            Damage::Double => {
                let twice = lines[which].clone();
                lines.insert(which, twice);
            }
            Damage::Swap(with) => {
                let with = with.index(lines.len());
                lines.swap(which, with);
            }
            Damage::Digit(at, digit) => {
                let digits: Vec<usize> = (0..length)
                    .filter(|&at| lines[which][at].is_ascii_digit())
                    .collect();
                if !digits.is_empty() {
                    let at = digits[at.index(digits.len())];
                    match digit {
                        Some(digit) => lines[which][at] = *digit,
                        None => drop(lines[which].remove(at)),
                    }
                }
            }
            Damage::Noise(noise) => lines.insert(which, noise.clone()),
        }
    }
    lines.concat()
}

fn corpus() -> Vec<Vec<u8>> {
    let logs = logs().into_iter();
    logs.map(|path| fs::read(path).expect("a log")).collect()
}

/// How many logs are made up: `AUDITWATCH_CASES`, else a few seconds' worth.
fn cases(few: u32) -> u32 {
    env::var("AUDITWATCH_CASES").map_or(few, |cases| cases.parse().expect("a number of cases"))
}

fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// The report without the name of the log: all of it, to be compared.
fn shown(found: &Diagnosis) -> String {
    serde_json::to_string(found).expect("JSON")
}

/// Whether each limit that a command sets is above the one in force.
fn lowers_nothing(found: &Diagnosis) -> bool {
    let commands = found.advice.iter().flat_map(|advice| &advice.commands);
    let limits = commands.filter_map(|command| {
        let words = command
            .strip_prefix("auditwatch apply ")
            .or_else(|| command.strip_prefix("auditctl -b "))?;
        words.split(' ').next()?.parse::<u32>().ok()
    });
    let now = found.limit_at_end.unwrap_or(0);
    limits
        .into_iter()
        .all(|limit| limit > now && now != 0 || found.limit_at_end.is_none())
}

/// A log as it is, in two or three pieces, and line by line: the same comes out.
fn holds_together(log: &[u8], cuts: [Index; 2]) -> Result<(), TestCaseError> {
    let whole = of(&[log]);
    // Advice without a finding, or a limit that is lowered, misleads whoever acts on it.
    prop_assert!(whole.advice.is_empty() || whole.verdict != Verdict::NothingFound);
    prop_assert!(lowers_nothing(&whole), "{:?}", whole.advice);
    prop_assert!(!render::diagnosis::report(&whole, Style::plain()).is_empty());
    let mut at = cuts.map(|cut| cut.index(log.len() + 1));
    at.sort_unstable();
    let (a, b, c) = (&log[..at[0]], &log[at[0]..at[1]], &log[at[1]..]);
    prop_assert_eq!(shown(&of(&[a, b, c])), shown(&whole));
    let lost = whole.sources[0].boots.iter().map(|boot| boot.lost_at_least);
    prop_assert_eq!(lost.sum::<u64>(), whole.lost_at_least);
    Ok(())
}

#[test]
fn damaged_logs_do_not_panic_or_mislead() {
    let corpus = corpus();
    let which = (any::<Index>(), any::<[Index; 2]>(), vec(damage(), 1..8));
    runner(cases(1_000))
        .run(&which, |(log, cuts, damages)| {
            let log: &Vec<u8> = log.get(&corpus);
            holds_together(&damaged(log, &damages), cuts)
        })
        .expect("no harm");
}

/// Pieces of messages, in any order.
const WORDS: [&[u8]; 32] = [
    b"audit: ",
    b"audit_lost=",
    b"audit_backlog=",
    b" > audit_backlog_limit=",
    b" audit_rate_limit=0",
    b" audit_backlog_limit=320",
    b"backlog limit exceeded",
    b"[   12.345678] ",
    b"[",
    b"] ",
    b"<4>",
    b"\n",
    b"\r\n",
    b"\r",
    b"\0",
    b"\x1b[0m",
    b"type=1305 audit(",
    b"op=set lost=0 old=7",
    b"44393",
    b"-1",
    b"4294967295",
    b"99999999999999999999",
    b"INFO: task ",
    b"x:1 blocked for more than 120 seconds",
    b" audit_log_start+0x1/0x2",
    b"Linux version 6.1",
    b"Kernel panic - not syncing: ",
    b"audit_log_start: 5 callbacks suppressed",
    b"__CURSOR=x\n",
    b"MESSAGE\n",
    b"\x05\0\0\0\0\0\0\0",
    b"6,1,2000000,-;",
];

#[test]
fn arbitrary_bytes_do_not_panic() {
    let piece = prop_oneof![
        4 => select(&WORDS[..]).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..12),
    ];
    let log = vec(piece, 0..60).prop_map(|pieces| pieces.concat());
    runner(cases(1_000))
        .run(&(log, any::<[Index; 2]>()), |(log, cuts)| {
            holds_together(&log, cuts)
        })
        .expect("no harm");
}

/// Lines of one boot, as a kernel prints them and as it does not.
fn line() -> impl Strategy<Value = String> {
    let value = prop_oneof![0_u32..50, 0_u32..5_000, any::<u32>()];
    prop_oneof![
        value.clone().prop_map(|lost| format!(
            "audit: audit_lost={lost} audit_rate_limit=0 audit_backlog_limit=64"
        )),
        value
            .clone()
            .prop_map(|lost| format!("audit: audit_lost={lost}")),
        (65_u32..70)
            .prop_map(|depth| format!("audit: audit_backlog={depth} > audit_backlog_limit=64")),
        Just("audit: backlog limit exceeded".to_owned()),
        Just("audit: kauditd retry queue overflow".to_owned()),
        Just("audit_log_start: 5 callbacks suppressed".to_owned()),
        value.prop_map(|old| format!(
            "audit: type=1305 audit(1.1:1): op=set lost=0 old={old} auid=0 ses=1 res=1"
        )),
        Just("audit: type=1300 audit(1.1:1): arch=c000003e".to_owned()),
    ]
}

/// What is certain stays certain, whatever the same boot says next.
#[test]
fn losses_never_become_fewer() {
    let lines = vec((line(), 0_u64..3_000), 1..25);
    runner(cases(1_000))
        .run(&(lines, any::<bool>()), |(lines, has_clock)| {
            let (mut log, mut clock_ms, mut before) = (String::new(), 0, 0);
            for (line, later_ms) in lines {
                clock_ms += later_ms;
                if has_clock {
                    let (seconds, ms) = (clock_ms / 1000, clock_ms % 1000);
                    write!(log, "[{seconds:>5}.{ms:03}000] ").expect("text");
                }
                log.push_str(&line);
                log.push('\n');
                let now = of(&[log.as_bytes()]).lost_at_least;
                prop_assert!(now >= before, "{} after {}:\n{}", now, before, log);
                before = now;
            }
            Ok(())
        })
        .expect("never fewer");
}

/// The same of logs as they are.
#[test]
fn prefix_of_a_log_never_has_more_losses() {
    for (path, log) in logs().iter().zip(corpus()) {
        let (mut before, mut boots) = (0, 0);
        for end in (0..log.len()).filter(|&at| log[at] == b'\n') {
            let found = of(&[&log[..=end]]);
            let now = (found.lost_at_least, found.sources[0].boots.len());
            // A new boot may be known as an old one by its second line.
            assert!(
                now.0 >= before || now.1 != boots,
                "{}: {now:?} after {before}",
                path.display()
            );
            (before, boots) = now;
        }
    }
}

/// How lines end makes no difference, except within binary fields.
#[test]
fn line_ends_make_no_difference() {
    for (path, log) in logs().iter().zip(corpus()) {
        if log.contains(&b'\r') || log.starts_with(b"__CURSOR") {
            continue;
        }
        let dos = log
            .iter()
            .flat_map(|&byte| {
                if byte == b'\n' {
                    vec![b'\r', b'\n']
                } else {
                    vec![byte]
                }
            })
            .collect::<Vec<u8>>();
        let (mut found, unix) = (of(&[&dos]), of(&[&log]));
        found.sources[0].bytes = unix.sources[0].bytes;
        similar_asserts::assert_eq!(shown(&found), shown(&unix), "{}", path.display());
    }
}

fn run(args: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_auditwatch"))
        .arg("diagnose")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut stdin = child.stdin.take().expect("its input");
    // It may end without reading it.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("its output");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

const LOSS: &str = "[  100.1] audit: audit_lost=7 audit_rate_limit=0 audit_backlog_limit=320\n";

#[test]
fn exit_status_shows_the_result() {
    let (code, out, _) = run(&["-"], LOSS.as_bytes());
    assert_eq!(code, Some(3));
    assert!(
        out.starts_with("verdict    at least 7 records lost at a limit of 320 ([  100.100000])\n")
    );
    let (code, out, _) = run(&["--json", "-"], b"[  100.1] all is well\n");
    assert_eq!(code, Some(0));
    let found: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(found["verdict"], "nothing_found");
    assert_eq!(run(&["-"], b"").0, Some(1));
    for (args, code, words) in [
        (&["/no/such/log"][..], 1, "cannot read /no/such/log"),
        (&["/"], 1, "diagnose --root /"),
        (&["--root", "/no/such/disk"], 1, "/no/such/disk"),
        (&["--root", "/", "log"], 2, "cannot be used with"),
        (&["--format", "xml", "-"], 2, "xml"),
    ] {
        let (got, _, errors) = run(args, b"");
        assert_eq!(got, Some(code), "{args:?}: {errors}");
        assert!(errors.contains(words), "{args:?}: {errors}");
    }
}

#[test]
fn a_disk_is_read_and_no_link_leads_out_of_it() {
    let host = tempfile::tempdir().expect("a directory");
    let log = host.path().join("disk/var/log");
    fs::create_dir_all(log.join("journal/0123")).expect("directories");
    fs::write(host.path().join("messages"), LOSS.replace("=7", "=999")).expect("a log outside");
    symlink("../../../messages", log.join("messages")).expect("a link");
    symlink(host.path().join("messages"), log.join("syslog")).expect("a link");
    fs::write(log.join("kern.log"), LOSS.replace("=7", "=9")).expect("a log");
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(LOSS.as_bytes()).expect("packed");
    let packed = packed.finish().expect("packed");
    fs::write(log.join("kern.log.2.gz"), &packed).expect("a log");
    fs::write(log.join("kern.log.1.xz"), b"\xfd7zXZ\0...").expect("a log");
    fs::create_dir(log.join("dmesg")).expect("a directory");
    let disk = host.path().join("disk");
    let disk = disk.to_str().expect("a name");
    let (code, out, errors) = run(&["--json", "--root", disk], b"");
    assert_eq!(code, Some(3), "{errors}");
    let found: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(found["lost_at_least"], 9);
    assert_eq!(found["sources"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["sources"][0]["name"], "kern.log");
    let notes = found["notes"].to_string();
    for words in [
        "xz -dc",
        "journalctl --directory",
        "messages",
        "syslog",
        "dmesg",
    ] {
        assert!(notes.contains(words), "{words}: {notes}");
    }
    // Half of a packed log.
    let half = host.path().join("half.gz");
    fs::write(&half, &packed[..packed.len() - 9]).expect("a log");
    let (code, out, _) = run(&[half.to_str().expect("a name")], b"");
    assert_eq!(code, Some(3));
    assert!(
        out.contains("in the middle of its compressed data"),
        "{out}"
    );
}

/// A log of more losses than are remembered one by one, twice in a file.
#[test]
fn a_long_log_that_is_there_twice_counts_once() {
    let mut log = String::new();
    for loss in 1..=60_000 {
        let (second, us) = (100 + loss / 1000, loss % 1000 * 1000);
        for (later, words) in [
            (
                0,
                "audit: audit_backlog=321 > audit_backlog_limit=320".to_owned(),
            ),
            (
                1,
                format!("audit: audit_lost={loss} audit_rate_limit=0 audit_backlog_limit=320"),
            ),
        ] {
            writeln!(log, "[{second:>5}.{:06}] {words}", us + later).expect("text");
        }
    }
    let found = of(&[log.as_bytes(), log.as_bytes()]);
    assert_eq!(
        (found.lost_at_least, found.sources[0].boots.len()),
        (60_000, 1)
    );
}
