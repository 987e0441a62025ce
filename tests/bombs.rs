//! No small file takes much memory or time, whatever it was made to hold: recordings that unpack to gigabytes are
//! refused or summed up within bounds.

#[path = "fixtures/traces.rs"]
#[expect(dead_code, reason = "others use the rest")]
mod traces;

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use auditwatch::sample::{
    Demand, Event, EventKind, Sample, Talker, TalkerCounts, TalkerId, Waiter,
};
use auditwatch::trace::recording::Line;
use tempfile::NamedTempFile;
use traces::{CALM, lines, sample};

/// Most memory that a reader may ask for, KiB: the program itself, its libraries and its stack included.
const MOST_KIB: u32 = 100 << 10;
/// The same for a recording that has as much of everything as is kept, KiB; an hour of demand takes half of it.
const MOST_KIB_FULL: u32 = 200 << 10;

/// Runs the program within that memory. It ends by a signal where it needs more.
fn run(arguments: &[&str], most_kib: u32) -> Output {
    Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -v {most_kib} && exec \"$0\" \"$@\""))
        .arg(env!("CARGO_BIN_EXE_auditwatch"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .expect("the program starts")
}

/// A recording of these lines, compressed.
fn recording(lines: impl IntoIterator<Item = Vec<u8>>) -> NamedTempFile {
    let file = NamedTempFile::new().expect("a file");
    let mut encoder = zstd::Encoder::new(file, 3).expect("an encoder");
    for line in lines {
        encoder.write_all(&line).expect("written");
        encoder.write_all(b"\n").expect("written");
    }
    encoder.finish().expect("compressed")
}

/// Every reader of recordings ends as it should, in little memory and time.
fn read(file: &NamedTempFile, status: i32, words: &str) {
    read_within(MOST_KIB, file, status, words);
}

fn read_within(most_kib: u32, file: &NamedTempFile, status: i32, words: &str) {
    let path = file.path().to_str().expect("text");
    for arguments in [
        vec!["replay", path],
        vec!["recommend", path],
        vec!["compare", path, path],
    ] {
        let began = Instant::now();
        let output = run(&arguments, most_kib);
        let stderr = String::from_utf8(output.stderr).expect("text");
        let shown = format!("{arguments:?}: {:?}, {stderr}", began.elapsed());
        assert_eq!(output.status.code(), Some(status), "{shown}");
        assert!(stderr.contains(words), "{shown}");
        assert!(began.elapsed() < Duration::from_mins(1), "{shown}");
    }
}

/// A sound recording whose last line has this under a key that nobody knows.
fn with_unknown_key(value: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = lines(&[CALM, CALM]);
    let at = lines.len() - 2;
    let line = &mut lines[at];
    let end = line.len() - 2;
    let tail = line.split_off(end);
    line.extend(b",\"x\":");
    line.extend(value);
    line.extend(tail);
    lines
}

fn list(entry: &str, entries: usize) -> Vec<u8> {
    let mut list = b"[".to_vec();
    for _ in 1..entries {
        list.extend(entry.as_bytes());
        list.push(b',');
    }
    list.extend(entry.as_bytes());
    list.push(b']');
    list
}

#[test]
fn unknown_key_has_a_size_limit() {
    let small = with_unknown_key(&list("{\"a\":0}", 1_000));
    read(&recording(small), 0, "");
}

#[test]
fn list_of_millions_is_refused() {
    let long = with_unknown_key(&list("{\"a\":0}", 2_000_000));
    let file = recording(long);
    let bytes = file.as_file().metadata().expect("a file").len();
    assert!(bytes < 8_000, "{bytes}");
    read(&file, 1, "more than 32768 entries");
    let nested = list(&String::from_utf8(list("0", 8)).expect("text"), 800_000);
    read(
        &recording(with_unknown_key(&nested)),
        1,
        "more than 32768 entries",
    );
}

#[test]
fn a_line_that_does_not_end_is_refused_with_its_number() {
    let text = [b"\"".to_vec(), vec![b'x'; 63 << 20], b"\"".to_vec()].concat();
    read(
        &recording(with_unknown_key(&text)),
        1,
        "line 4 is longer than 16 MiB",
    );
    let text = [b"\"".to_vec(), vec![b'x'; 1 << 20], b"\"".to_vec()].concat();
    read(
        &recording(with_unknown_key(&text)),
        1,
        "a text of more than",
    );
}

#[test]
fn a_window_of_more_memory_than_a_recording_needs_is_refused() {
    let file = NamedTempFile::new().expect("a file");
    let mut encoder = zstd::Encoder::new(file, 3).expect("an encoder");
    encoder.window_log(27).expect("a window");
    for line in lines(&[CALM, CALM]) {
        encoder.write_all(&line).expect("written");
        encoder.write_all(b"\n").expect("written");
    }
    read(
        &encoder.finish().expect("compressed"),
        1,
        "needs more than 8 MiB",
    );
}

/// A recording of so many samples, each of which has what this adds to it.
fn many(samples: u64, add: impl Fn(u64, &mut Sample)) -> NamedTempFile {
    let sound = lines(&[CALM]);
    let samples = (1..=samples).map(|number| {
        let mut sample = sample(&[CALM]);
        sample.at_ns += number * 1_000_000;
        add(number, &mut sample);
        serde_json::to_vec(&Line::Sample(sample)).expect("a line")
    });
    let (end, begin) = sound.split_last().expect("lines");
    recording(begin.iter().cloned().chain(samples).chain([end.clone()]))
}

#[test]
fn samples_add_up_within_bounds() {
    let texts = |number: u64| format!("{number}{}", "x".repeat(500));
    // More than is kept of each: 45,000 talkers, changes and waits, 195,000 pauses, 960,000 bins, texts of 67 MB.
    let file = many(30, |number, sample| {
        let first = number * 1_500;
        let each = || first..first + 1_500;
        let talkers = each().map(|talker| Talker {
            id: TalkerId {
                pid: u32::try_from(talker).ok(),
                comm: texts(talker).into(),
                ..TalkerId::default()
            },
            counts: TalkerCounts {
                records: 1,
                ..TalkerCounts::default()
            },
            exe: Some(texts(talker).into()),
            ..Talker::default()
        });
        sample.talkers = Some(talkers.collect());
        let event = |at_ns, comm, what| Event {
            at_ns,
            pid: 1,
            comm,
            what,
        };
        let changes = each().map(|at_ns| {
            let what = EventKind::Change {
                field: "backlog_limit".to_owned(),
                old: Some(1),
                new: 2,
                result: 0,
            };
            event(at_ns, texts(at_ns).into(), what)
        });
        let pauses = (0..6_500).map(|pause| {
            let what = EventKind::Pause {
                duration_ns: 20_000_000,
            };
            event(sample.at_ns + pause, "auditd".into(), what)
        });
        sample.events = changes.chain(pauses).collect();
        sample.demand = Some(Demand {
            ticks_per_bin: 1,
            bins: (number * 32_000..(number + 1) * 32_000)
                .map(|bin| (bin, 1, 1))
                .collect(),
        });
        if let Some(stalls) = &mut sample.stalls {
            stalls.waiters = each()
                .map(|thread| Waiter {
                    thread: u32::try_from(thread).expect("a thread"),
                    since_ns: 1,
                    asleep: None,
                })
                .collect();
        }
    });
    read_within(MOST_KIB_FULL, &file, 0, "");
}

/// A log store's answer, compressed by gzip: 1 KiB of it unpacks to 1 MiB.
fn answer(parts: impl IntoIterator<Item = Vec<u8>>) -> NamedTempFile {
    let file = NamedTempFile::new().expect("a file");
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::default());
    for part in parts {
        encoder.write_all(&part).expect("written");
    }
    encoder.finish().expect("compressed")
}

/// So many times 1 MiB of a text, with what stands before and behind.
fn long(before: &str, mebibytes: usize, behind: &str) -> impl Iterator<Item = Vec<u8>> {
    let text = std::iter::repeat_n(vec![b'x'; 1 << 20], mebibytes);
    [before.into()]
        .into_iter()
        .chain(text)
        .chain([behind.into()])
}

#[test]
fn documents_of_log_stores_take_little_memory_and_time() {
    let loss = r#""message":"audit: audit_lost=7 audit_rate_limit=0 audit_backlog_limit=64"}"#;
    let many = |part: &str, times: usize| part.repeat(times).into_bytes();
    let documents: [(&str, NamedTempFile); 7] = [
        (
            "a text",
            answer(long("{\n\"a\":\"", 40, &format!("\",{loss}"))),
        ),
        ("a key", answer(long("{\n\"", 40, &format!("\":1,{loss}")))),
        (
            "messages",
            answer(
                (0..70)
                    .flat_map(|_| long("[{\"message\":\"", 1, "\"}]\n"))
                    .chain([loss_of(loss)]),
            ),
        ),
        (
            "messages of one document",
            answer(
                [b"[".to_vec()]
                    .into_iter()
                    .chain((0..70).flat_map(|_| long("{\"message\":\"", 1, "\"},")))
                    .chain([[loss_of(loss), b"]".to_vec()].concat()]),
            ),
        ),
        (
            "keys beside a long name and a long message",
            answer(
                long("{\n\"host\":\"", 2, "\",\"log\":\"")
                    .chain(long("", 1, "\""))
                    .chain([many(",\"a\":1", 200_000), format!(",{loss}").into_bytes()]),
            ),
        ),
        (
            "maps in maps",
            answer(
                [loss_of(loss), b"{\n".to_vec()]
                    .into_iter()
                    .chain((0..120).flat_map(|_| long("\"host\":\"", 1, "\",\"a\":{")))
                    .chain([b"\"b\":1".to_vec(), many("}", 121)]),
            ),
        ),
        (
            "a text of bytes that are none",
            answer(
                [loss_of(loss)]
                    .into_iter()
                    .chain(long("{\n\"a\":\"", 1, ""))
                    .chain((0..40).map(|_| vec![0x80; 1 << 20])),
            ),
        ),
    ];
    for (what, file) in documents {
        let path = file.path().to_str().expect("text");
        let began = Instant::now();
        let output = run(&["diagnose", path], MOST_KIB);
        let shown = format!(
            "{what}: {:?}, {}",
            began.elapsed(),
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(3), "{shown}");
        assert!(began.elapsed() < Duration::from_mins(1), "{shown}");
    }
}

fn loss_of(loss: &str) -> Vec<u8> {
    format!("{{{loss}\n").into_bytes()
}

/// Messages of a document that were handed out already, for want of room, are not looked for again.
#[test]
fn messages_are_handed_out_within_a_document_of_any_form() {
    let loss = r#"{"message":"audit: audit_lost=7 audit_rate_limit=0 audit_backlog_limit=64"}"#;
    for before in [1, 3_000, 4_096] {
        for within in [1_000, 1_098, 4_097, 9_000] {
            let parts = [
                "[".to_owned(),
                format!("{loss},").repeat(before),
                "{\"a\":[".to_owned(),
                format!("{loss},").repeat(within),
                format!("{loss}]}},1709272800,\"tag\"]\n"),
            ];
            let file = answer(parts.map(String::into_bytes));
            let output = run(&["diagnose", file.path().to_str().expect("text")], MOST_KIB);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(3),
                "{before}, {within}: {stderr}"
            );
        }
    }
}

/// A directory of more names than are listed is named: what is in it may be what was looked for.
#[test]
fn a_directory_with_too_many_names_is_named() {
    let disk = tempfile::tempdir().expect("a directory");
    let logs = disk.path().join("var/log");
    std::fs::create_dir_all(&logs).expect("a directory");
    std::fs::write(logs.join("messages"), "a line\n").expect("a file");
    for number in 0..65_536 {
        std::fs::hard_link(logs.join("messages"), logs.join(number.to_string()))
            .or_else(|_| std::fs::write(logs.join(number.to_string()), ""))
            .expect("a file");
    }
    let root = disk.path().to_str().expect("text");
    let output = run(&["diagnose", "--root", root], MOST_KIB);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("not read: ") && stderr.contains("var/log: "),
        "{stderr}"
    );
}
