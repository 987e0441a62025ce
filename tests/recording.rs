//! Recordings: what is replayed is what was live, a recording that breaks off is
//! whole up to there, and whatever else it holds is named and does no harm.

use std::cell::Cell;

use auditwatch::{
    auditd::{ConsumerSetup, conf::AuditdConf, state::AuditdState},
    kernel::audit_state::KernelState,
    recommend::Confidence,
    sample::{
        Attempts, Consumer, Demand, Drain, Sample, Shortfalls, Source, Stalls, Waiter,
        footprint::Footprint,
    },
    trace::{
        recording::{Begin, End, Line, RecordingError, Replay, SCHEMA, result},
        report::{Interval, Summary},
        timeline::{Host, Timeline},
    },
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

fn begin() -> Begin {
    Begin {
        schema: SCHEMA,
        version: "0.1.0".to_owned(),
        host: Host {
            release: "6.1.0".into(),
            hz: Some(250),
            cpus: Some(2),
            record_overhead_bytes: None,
        },
        hooks: Vec::new(),
        source_reason: None,
        notes: vec!["known from the start".to_owned()],
        startup_ns: 7,
        consumer_times: None,
    }
}

fn sample(seconds: u64) -> Sample {
    Sample {
        at_ns: 9_000_000_000 + seconds * 1_000_000_000,
        source: Source::Bpf,
        state: KernelState {
            depth: Some(3),
            limit: Some(64),
            lost: Some(0),
            ..KernelState::default()
        },
        attempts: Some(Attempts {
            attempted: seconds * 1_000,
            depth_max: Some(3),
            ..Attempts::default()
        }),
        losses: None,
        own_losses: None,
        drain: Some(Drain {
            drained: seconds * 100,
            types: Some([(1300, seconds * 100)].into()),
            ..Drain::default()
        }),
        delivery: None,
        demand: Some(Demand {
            ticks_per_bin: 1,
            bins: vec![(1000 + seconds, 100, 32)],
        }),
        consumer: Some(Consumer {
            reads: seconds,
            ..Consumer::default()
        }),
        retry: None,
        hold: None,
        reheld: None,
        resets: None,
        passes: Some(seconds),
        auxiliary: Some(0),
        talkers: None,
        stalls: Some(Stalls {
            waiters: vec![Waiter {
                thread: 3,
                since_ns: 9_000_000_001,
                asleep: None,
            }],
            ..Stalls::default()
        }),
        command: None,
        shortfalls: Shortfalls::default(),
        events: Vec::new(),
    }
}

const NOTES: [&str; 2] = ["known from the start", "known at the end"];

fn end() -> End {
    End {
        notes: NOTES.map(str::to_owned).to_vec(),
        command: None,
        consumer: Some(ConsumerSetup {
            pid: 7,
            comm: Some("auditd".into()),
            nice: Some(-4),
            conf_path: Some("/etc/audit/auditd.conf".to_owned()),
            conf: Some(AuditdConf::parse("flush = sync\n")),
            plugins: Some(vec!["af_unix".to_owned()]),
            state: Some(AuditdState {
                logging_suspended: Some(true),
                ..AuditdState::default()
            }),
            state_path: Some("/run/auditd.state".to_owned()),
            state_age_ns: Some(3_000_000_000),
            times: None,
            cpu_quota: None,
            is_stopped: Some(false),
            rmem_default_bytes: Some(212_992),
        }),
        own: Some(Footprint {
            programs: 15,
            records: Some(75),
            records_most: Some(120),
            lost: Some(2),
            lost_exact: false,
        }),
        load_has_ended: true,
    }
}

/// What a live trace of five seconds prints.
fn live() -> (Vec<Interval>, Summary) {
    let begin = begin();
    let mut timeline = Timeline::new(begin.host.clone(), sample(0));
    let intervals = (1..=5)
        .map(|second| timeline.push(sample(second)))
        .collect();
    (intervals, result(&timeline, &begin, end()).0)
}

/// The lines that its recording has.
fn recorded() -> Vec<Vec<u8>> {
    let mut lines = vec![Line::Begin(begin())];
    lines.extend((0..=5).map(|second| Line::Sample(sample(second))));
    lines.push(Line::End(end()));
    lines
        .iter()
        .map(|line| serde_json::to_vec(line).expect("a line can be written"))
        .collect()
}

fn replay(lines: &[Vec<u8>]) -> Result<(Vec<Interval>, Summary), RecordingError> {
    let mut replay = Replay::default();
    let mut intervals = Vec::new();
    for line in lines {
        intervals.extend(replay.line(line)?);
    }
    Ok((intervals, replay.summary()?))
}

#[test]
fn a_replay_is_the_live_trace() {
    let (intervals, summary) = replay(&recorded()).expect("it is whole");
    assert_eq!((intervals, &summary), (live().0, &live().1));
    // Byte for byte, what was read of the host at its end included.
    let words = |summary: &Summary| serde_json::to_string(summary).expect("written");
    assert_eq!(words(&summary), words(&live().1));
    assert!(words(&summary).contains("auditd has suspended logging"));
}

#[test]
fn recordings_from_before_the_consumer_was_looked_at_are_replayed() {
    let mut lines = recorded();
    let last = lines.pop().expect("its end");
    let mut old: serde_json::Value = serde_json::from_slice(&last).expect("a line");
    let end = old["end"].as_object_mut().expect("an end");
    assert!(end.remove("consumer").is_some());
    lines.push(serde_json::to_vec(&old).expect("a line can be written"));
    let (intervals, summary) = replay(&lines).expect("it is whole");
    assert_eq!(intervals, live().0);
    assert_eq!(summary.ledger, live().1.ledger);
    let answer = summary.recommendation.expect("an answer");
    assert!(
        answer
            .reasons
            .iter()
            .all(|reason| !reason.contains("suspended"))
    );
}

#[test]
fn truncated_recording_is_complete_up_to_its_end() {
    let doubts_end = |summary: &Summary| {
        let answer = summary.recommendation.as_ref().expect("an answer");
        let mut reasons = answer.confidence_reasons.iter();
        answer.confidence < Confidence::High && reasons.any(|reason| reason.contains("cut off"))
    };
    assert!(!doubts_end(&live().1));
    let lines = recorded();
    for kept in 2..lines.len() {
        let (intervals, summary) = replay(&lines[..kept]).expect("whole up to there");
        assert_eq!(intervals, live().0[..kept - 2]);
        assert!(summary.notes.iter().any(|note| note.contains("cut off")));
        assert!(doubts_end(&summary), "{summary:?}");
    }
    assert!(matches!(replay(&lines[..1]), Err(RecordingError::NoSample)));
    assert!(matches!(replay(&[]), Err(RecordingError::NoBegin)));
}

#[test]
fn invalid_line_is_named() {
    let lines = recorded();
    let words = |lines: &[Vec<u8>]| {
        replay(lines)
            .map(drop)
            .expect_err("it is no recording")
            .to_string()
    };
    let with = |place: usize, line: &[u8]| {
        let mut lines = lines.clone();
        lines.insert(place, line.to_vec());
        lines
    };
    assert!(words(&with(0, b"{\"summary\":{}}")).contains("not a recording"));
    assert!(words(&with(0, &lines[1])).contains("not a recording"));
    assert!(words(&with(3, b"{}")).contains("line 4"));
    assert!(words(&with(3, &lines[0])).contains("begins twice"));
    assert!(words(&with(4, &lines[1])).contains("line 5"));
    assert!(words(&with(8, &lines[6])).contains("after its end"));
    let newer = Line::Begin(Begin {
        schema: SCHEMA + 1,
        ..begin()
    });
    let newer = serde_json::to_vec(&newer).expect("a line can be written");
    assert!(words(&[newer]).contains("later version"));
}

/// What may happen to a line of a recording on a disk.
#[derive(Clone, Debug)]
enum Damage {
    Cut(Index),
    Byte(Index, u8),
    ByteGone(Index),
    LineGone,
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        let byte = select(&b" 09-.eE\"{}[],:tfn"[..]);
        prop_oneof![
            any::<Index>().prop_map(Self::Cut),
            (any::<Index>(), byte).prop_map(|(at, byte)| Self::Byte(at, byte)),
            any::<Index>().prop_map(Self::ByteGone),
            Just(Self::LineGone),
        ]
    }

    fn apply(&self, lines: &mut Vec<Vec<u8>>, which: usize) {
        let line = &mut lines[which];
        match self {
            Self::Cut(at) => line.truncate(at.index(line.len() + 1)),
            Self::Byte(at, byte) if !line.is_empty() => {
                let at = at.index(line.len());
                line[at] = *byte;
            }
            Self::ByteGone(at) if !line.is_empty() => {
                line.remove(at.index(line.len()));
            }
            _ => {
                lines.remove(which);
            }
        }
    }
}

#[test]
fn damaged_recording_does_not_panic() {
    let whole = recorded();
    let refused = Cell::new(0);
    let config = Config {
        cases: 5_000,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
        .run(&vec((any::<Index>(), Damage::any()), 1..4), |damages| {
            let mut lines = whole.clone();
            for (which, damage) in damages {
                if !lines.is_empty() {
                    let which = which.index(lines.len());
                    damage.apply(&mut lines, which);
                }
            }
            refused.set(refused.get() + u32::from(replay(&lines).is_err()));
            Ok(())
        })
        .expect("no panic");
    assert!(refused.get() > 1_000, "{}", refused.get());
}
