//! No recording, however damaged, makes replay or comparison panic, and whoever replays its file is told what is wrong.

#[path = "fixtures/traces.rs"]
mod traces;

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use auditwatch::{
    render,
    trace::comparison::{Comparison, compare},
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};
use traces::{CALM, Second, about, lines, read, runner, trace};

/// What a disk, a hand or another program does to a recording.
#[derive(Clone, Debug)]
enum Damage {
    Byte(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Drop,
    Double,
    Value(prop::sample::Index, usize),
}

const VALUES: [&str; 15] = [
    "0",
    "1",
    "-1",
    "-2147483648",
    "4294967295",
    "72057594037927936",
    "9223372036854775807",
    "18446744073709551615",
    "1e300",
    "null",
    "\"\"",
    "\"64\"",
    "[]",
    "{}",
    "true",
];

fn damage() -> impl Strategy<Value = (prop::sample::Index, Damage)> {
    let index = any::<prop::sample::Index>;
    let damage = prop_oneof![
        2 => (index(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        1 => index().prop_map(Damage::Cut),
        1 => Just(Damage::Drop),
        1 => Just(Damage::Double),
        8 => (index(), 0..VALUES.len()).prop_map(|(at, value)| Damage::Value(at, value)),
    ];
    (index(), damage)
}

/// All places of a value that are no object.
fn leaves(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Object(fields) => fields.values_mut().flat_map(leaves).collect(),
        Value::Array(items) => items.iter_mut().flat_map(leaves).collect(),
        other => vec![other],
    }
}

fn damaged(whole: &[Vec<u8>], damages: &[(prop::sample::Index, Damage)]) -> Vec<Vec<u8>> {
    let mut lines = whole.to_vec();
    for (which, damage) in damages {
        if lines.is_empty() {
            break;
        }
        let which = which.index(lines.len());
        let line = &mut lines[which];
        match damage {
            Damage::Byte(at, byte) if !line.is_empty() => {
                let at = at.index(line.len());
                line[at] = *byte;
            }
            Damage::Cut(at) => line.truncate(at.index(line.len() + 1)),
            Damage::Drop => drop(lines.remove(which)),
            Damage::Double => {
                let twice = line.clone();
                lines.insert(which, twice);
            }
            Damage::Value(at, value) => {
                let Ok(mut parsed) = serde_json::from_slice::<Value>(line) else {
                    continue;
                };
                let mut leaves = leaves(&mut parsed);
                if leaves.is_empty() {
                    continue;
                }
                let at = at.index(leaves.len());
                *leaves[at] = serde_json::from_str(VALUES[*value]).expect("a value");
                *line = serde_json::to_vec(&parsed).expect("a line can be written");
            }
            Damage::Byte(..) => {}
        }
    }
    lines
}

/// A recording of a host with a hook for changes of settings, so that its summary has them.
fn with_changes(seconds: &[Second]) -> Vec<Vec<u8>> {
    let mut lines = lines(seconds);
    let mut begin: Value = serde_json::from_slice(&lines[0]).expect("the first line");
    begin["begin"]["hooks"] = json!([{
        "role": "changes",
        "name": "audit_receive_msg",
        "form": "kprobe",
        "verdict": "ok",
        "reason": null,
        "caveat": null,
    }]);
    lines[0] = serde_json::to_vec(&begin).expect("a line can be written");
    lines
}

/// Recordings end in a report, comparisons of them as well, or in words about what is
/// wrong. Returns how many ended in a report.
fn survive(cases: u32, damages: std::ops::Range<usize>) -> u32 {
    let storm = Second {
        lost: 20,
        stalls: 4,
        ..CALM
    };
    let whole = with_changes(&[CALM, storm]);
    let sound = trace(&about(storm, 3));
    let plain = render::style::Style::plain();
    let read_well = AtomicU32::new(0);
    runner(cases)
        .run(&vec(damage(), damages), |damages| {
            match read(&damaged(&whole, &damages)) {
                Err(words) => prop_assert!(!words.is_empty()),
                Ok(trace) => {
                    read_well.fetch_add(1, Ordering::Relaxed);
                    let text =
                        render::summary::summary(&trace.summary, render::summary::TOP, plain);
                    prop_assert!(!text.is_empty());
                    for pair in [(&trace, &sound), (&sound, &trace)] {
                        let comparison = compare(pair.0, pair.1);
                        prop_assert!(!render::comparison::table(&comparison, plain).is_empty());
                        let json = serde_json::to_string(&comparison).expect("JSON");
                        serde_json::from_str::<Comparison>(&json).expect("the same again");
                    }
                }
            }
            Ok(())
        })
        .expect("no harm");
    read_well.into_inner()
}

#[test]
fn damaged_recordings_do_not_panic() {
    // Not all are refused at the door.
    let read_well = survive(50_000, 1..2);
    assert!(read_well > 10_000, "{read_well}");
}

#[test]
fn badly_damaged_recordings_do_not_panic() {
    let read_well = survive(50_000, 2..5);
    assert!(read_well > 1_500, "{read_well}");
}

/// Chance may miss the one value that harms in the one place: each is tried in each.
#[test]
fn no_value_in_any_place_does_harm() {
    let whole = with_changes(&[CALM]);
    let mut read_well = 0;
    for which in 0..whole.len() {
        let line: Value = serde_json::from_slice(&whole[which]).expect("a line");
        for place in 0..leaves(&mut line.clone()).len() {
            for value in VALUES {
                let mut damaged = line.clone();
                *leaves(&mut damaged)[place] = serde_json::from_str(value).expect("a value");
                let mut lines = whole.clone();
                lines[which] = serde_json::to_vec(&damaged).expect("a line can be written");
                if let Ok(trace) = read(&lines) {
                    read_well += 1;
                    let plain = render::style::Style::plain();
                    let text =
                        render::summary::summary(&trace.summary, render::summary::TOP, plain);
                    assert!(!text.is_empty(), "{value} in {damaged}");
                }
            }
        }
    }
    assert!(read_well > 500, "{read_well}");
}

/// A recording of some minutes as its recorder writes it, a block a line; and where each line's block begins,
/// bytes.
fn recording() -> (Vec<u8>, Vec<usize>) {
    let seconds: Vec<Second> = about(CALM, 3).into_iter().cycle().take(300).collect();
    let mut encoder = zstd::Encoder::new(Vec::new(), 0).expect("an encoder");
    encoder.include_checksum(true).expect("a checksum");
    let mut begins = Vec::new();
    for line in lines(&seconds) {
        begins.push(encoder.get_ref().len());
        encoder.write_all(&line).expect("written");
        encoder.write_all(b"\n").expect("written");
        encoder.flush().expect("written");
    }
    (encoder.finish().expect("compressed"), begins)
}

fn replayed(bytes: &[u8]) -> Output {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("written");
    Command::new(env!("CARGO_BIN_EXE_auditwatch"))
        .arg("replay")
        .arg(file.path())
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

/// What it says of a file that it refuses.
fn words(bytes: &[u8]) -> String {
    let output = replayed(bytes);
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

#[test]
fn data_after_the_end_is_named() {
    let (mut bytes, begins) = recording();
    assert_eq!(replayed(&bytes).status.code(), Some(0));
    bytes.extend(b"x\n");
    let words = words(&bytes);
    let place = format!("line {} is the last readable line", begins.len());
    assert!(words.contains(&place), "{words}");
}

/// Frame after frame is one file, as zstd has it; recording after recording is not one recording.
#[test]
fn two_recordings_in_one_file_are_named() {
    let (bytes, _) = recording();
    let words = words(&[bytes.clone(), bytes].concat());
    assert!(words.contains("after its end"), "{words}");
}

/// What makes sense still may not be what was written.
#[test]
fn another_content_is_noticed() {
    let (mut bytes, _) = recording();
    *bytes.last_mut().expect("a checksum") ^= 1;
    let words = words(&bytes);
    assert!(
        words.contains("damaged") && words.contains("checksum"),
        "{words}"
    );
}

#[test]
fn damage_is_reported_with_its_line() {
    let (mut bytes, begins) = recording();
    let damaged = 280;
    // Both bits of the block's type: no block has that one.
    bytes[begins[damaged]] |= 0b110;
    let words = words(&bytes);
    let readable = words
        .split_once("line ")
        .and_then(|(_, rest)| rest.split_once(' '))
        .and_then(|(number, _)| number.parse::<usize>().ok())
        .unwrap_or_else(|| panic!("no line in {words}"));
    // What was decompressed together with the damage is gone.
    assert!((damaged / 2..=damaged).contains(&readable), "{words}");
}

#[test]
fn reader_that_closes_early_ends_a_replay_without_a_word() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&recording().0).expect("written");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_auditwatch"))
        .args(["replay", "--json"])
        .arg(file.path())
        .stdout(writer)
        .output()
        .expect("the program starts");
    let words = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(0), "{words}");
    assert_eq!(words, "");
}
