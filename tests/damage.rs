//! No recording, however damaged, makes replay or comparison panic.

#[path = "fixtures/traces.rs"]
mod traces;

use std::sync::atomic::{AtomicU32, Ordering};

use auditwatch::{
    comparison::{Comparison, compare},
    render,
};
use proptest::{collection::vec, prelude::*};
use serde_json::Value;
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

const VALUES: [&str; 14] = [
    "0",
    "1",
    "-1",
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

/// Recordings end in a report, comparisons of them as well, or in words about what is
/// wrong. Returns how many ended in a report.
fn survive(cases: u32, damages: std::ops::Range<usize>) -> u32 {
    let storm = Second {
        lost: 20,
        stalls: 4,
        ..CALM
    };
    let whole = lines(&[CALM, storm]);
    let sound = trace(&about(storm, 3));
    let plain = render::style::Style::plain();
    let read_well = AtomicU32::new(0);
    runner(cases)
        .run(&vec(damage(), damages), |damages| {
            match read(&damaged(&whole, &damages)) {
                Err(words) => prop_assert!(!words.is_empty()),
                Ok(trace) => {
                    read_well.fetch_add(1, Ordering::Relaxed);
                    let text = render::table::summary(&trace.summary, render::table::TOP, plain);
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
fn damaged_recordings_do_no_harm() {
    // Not all are refused at the door.
    let read_well = survive(50_000, 1..2);
    assert!(read_well > 10_000, "{read_well}");
}

#[test]
fn badly_damaged_recordings_do_no_harm() {
    let read_well = survive(50_000, 2..5);
    assert!(read_well > 2_000, "{read_well}");
}
