//! The storm format: mistakes are named with their line, nothing panics, and a
//! schedule is what its pacing says.

use auditwatch::storm::{
    Amount, Kind, Pacing, Producer, Storm, library,
    schedule::{Due, Schedule},
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

const SMALLEST: &str = "name = \"x\"\n[[producer]]\nkind = \"syscall\"\nevents = 3\n";

#[test]
fn smallest_storm_gets_the_defaults() {
    let storm = Storm::parse(SMALLEST).expect("a storm");
    assert_eq!(storm.events(), Some(3));
    assert_eq!(storm.phases.len(), 1);
    let producer = &storm.phases[0].producers[0];
    assert_eq!((producer.threads, producer.pacing), (1, Pacing::FlatOut));
    assert!(producer.catch_up);
    assert_eq!(storm.host.limit, None);
    assert_eq!(storm.with_limit(64).host.limit, Some(64));
}

/// Mistakes, the line that each is on, and words that the error must have.
const MISTAKES: [(&str, usize, &[&str]); 26] = [
    ("", 1, &["name"]),
    ("name = \"x\"\n", 1, &["producer"]),
    (
        "name = \"a b\"\n[[producer]]\nkind=\"open\"\nevents=1\n",
        1,
        &["a b"],
    ),
    ("name = x\n", 1, &[]),
    ("nam = \"x\"\n", 1, &["nam", "name"]),
    ("[host]\nlimt = 3\n", 3, &["limt", "limit"]),
    ("[host]\nlimit = -3\n", 3, &["-3"]),
    ("[host]\nlimit = \"64\"\n", 3, &["string"]),
    ("[host]\nfailure = 2\n", 3, &["panic"]),
    ("[host]\nwait_time_ms = 700000\n", 3, &["700000", "600000"]),
    (
        "[[producer]]\nkind = \"opn\"\nevents = 1\n",
        3,
        &["opn", "open"],
    ),
    ("[[producer]]\nkind = \"open\"\n", 2, &["events", "for_ms"]),
    (
        "[[producer]]\nkind = \"open\"\nevents = 0\n",
        4,
        &["events = 0"],
    ),
    (
        "[[producer]]\nkind = \"open\"\nevents = 1\nfor_ms = 1\n",
        2,
        &["both"],
    ),
    (
        "[[producer]]\nkind = \"open\"\nevents = 99999999999\n",
        4,
        &["99999999999"],
    ),
    (
        "[[producer]]\nkind = \"open\"\nevents = 1\nrat_per_s = 5\n",
        5,
        &["rat_per_s", "rate_per_s"],
    ),
    (
        "[[producer]]\nkind = \"open\"\nevents = 1\nrate_per_s = nan\n",
        5,
        &["rate_per_s"],
    ),
    (
        "[[producer]]\nkind = \"open\"\nevents = 1\nrate_per_s = -1\n",
        5,
        &["-1"],
    ),
    (
        "[[producer]]\nkind = \"open\"\nevents = 1\nrate_per_s = 1\nburst = { events = 1, every_ms = 1 }\n",
        2,
        &["rate_per_s", "burst"],
    ),
    (
        "[[producer]]\nkind = \"open\"\nevents = 1\nburst = { events = 1 }\n",
        5,
        &["every_ms"],
    ),
    (
        "[[producer]]\nkind = \"open\"\nevents = 1\nargv_bytes = 1\n",
        5,
        &["argv_bytes", "exec"],
    ),
    (
        "[[producer]]\nkind = \"user\"\nevents = 1\nmessage_bytes = 8001\n",
        5,
        &["8001", "8000"],
    ),
    (
        "[[producer]]\nkind = \"open\"\nburst = { events = 0, every_ms = 1 }\nevents = 1\n",
        4,
        &["burst.events = 0"],
    ),
    (
        "[[producer]]\nkind = \"open\"\nevents = 1\nthreads = 1000\n",
        5,
        &["1000", "256"],
    ),
    (
        "[[producer]]\nkind = \"open\"\nevents = 1\n[consumer]\nkind = \"auditd\"\nfsync = true\n",
        5,
        &["fsync", "sink"],
    ),
    (
        "[[producer]]\nkind = \"open\"\nevents = 1\n[[phase]]\nname = \"p\"\n[[phase.producer]]\nkind = \"open\"\nevents = 1\n",
        5,
        &["phase.producer"],
    ),
];

#[test]
fn mistakes_are_named_with_their_line() {
    let head = "name = \"x\"\n";
    for (text, line, words) in MISTAKES {
        let text = if text.starts_with("nam") || text.is_empty() {
            text.to_owned()
        } else {
            format!("{head}{text}")
        };
        let error = Storm::parse(&text).expect_err(&text);
        assert_eq!(error.line, line, "{text}: {error}");
        for word in words {
            assert!(error.to_string().contains(word), "{text}: {error}");
        }
    }
    let long = "#".repeat((1 << 20) + 1);
    assert!(Storm::parse(&long).is_err_and(|error| error.message.contains("bytes")));
}

/// auditd runs as root: a storm from elsewhere must not have it run or write anything.
#[test]
fn auditd_gets_only_harmless_settings_from_a_storm() {
    let head =
        "name = \"x\"\n[[producer]]\nkind = \"open\"\nevents = 1\n[consumer]\nkind = \"auditd\"\n";
    let refused = [
        ("plugin_dir", "\"/tmp/x\""),
        ("log_file", "\"/etc/passwd\""),
        ("space_left_action", "\"exec /tmp/x\""),
        ("space_left_action", "\"EXEC\""),
        ("disk_full_action", "\"halt\""),
        ("overflow_action", "\"single\""),
        ("max_log_file_action", "\"ignore\\nplugin_dir = /tmp\""),
        ("flush", "\"none\\nplugin_dir = /tmp\""),
        ("q_depth", "-1"),
        ("q_depth", "\"1 #\""),
        ("tcp_listen_port", "60"),
        ("dispatcher", "\"/tmp/x\""),
        ("Plugin_Dir", "\"/tmp/x\""),
        ("no_such_key", "1"),
        ("\"flush = none\\nlog_file\"", "\"x\""),
    ];
    for (key, value) in refused {
        for (text, line) in [
            (format!("{head}conf = {{ freq = 1, {key} = {value} }}\n"), 7),
            (
                format!("{head}[consumer.conf]\nfreq = 1\n{key} = {value}\n"),
                9,
            ),
        ] {
            let error = Storm::parse(&text).expect_err(&text);
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(error.message.contains("allowed"), "{error}");
        }
    }
    let unknown = Storm::parse(&format!("{head}conf = {{ plugin_dir = \"x\" }}\n"))
        .expect_err("it is not allowed")
        .to_string();
    for word in ["plugin_dir", "flush", "q_depth"] {
        assert!(unknown.contains(word), "{unknown}");
    }
    let taken = format!(
        "{head}conf = {{ flush = \"SYNC\", freq = 50, space_left_action = \"syslog\", q_depth = \"400\" }}\n"
    );
    let storm = Storm::parse(&taken).expect("harmless");
    assert_eq!(storm.consumer.conf["freq"], "50");
    assert_eq!(storm.consumer.conf.len(), 4);
}

/// Whatever it is given, the parser takes it or says where and why not.
fn is_taken_or_explained(text: &str) -> Result<(), TestCaseError> {
    if let Err(error) = Storm::parse(text) {
        prop_assert!(!error.message.is_empty() && !error.message.contains('\n'));
        prop_assert!(error.line >= 1 && error.line <= text.lines().count().max(1) + 1);
    }
    Ok(())
}

/// The same inputs each time: whoever changes something is to answer for that only.
fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn arbitrary_text_is_accepted_or_refused_with_a_cause() {
    runner(30_000)
        .run(&"(?s).{0,200}", |text| is_taken_or_explained(&text))
        .expect("explained");
}

/// What a hand or a disk does to a storm.
#[derive(Clone, Debug)]
enum Mutation {
    Byte(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Drop(prop::sample::Index),
    Double(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Number(prop::sample::Index, &'static str),
    Misspell(prop::sample::Index),
}

const NUMBERS: [&str; 10] = [
    "0",
    "-1",
    "18446744073709551615",
    "9223372036854775807",
    "99999999999999999999999",
    "1e308",
    "nan",
    "inf",
    "\"\"",
    "[]",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        index().prop_map(Mutation::Cut),
        index().prop_map(Mutation::Drop),
        index().prop_map(Mutation::Double),
        (index(), index()).prop_map(|(a, b)| Mutation::Swap(a, b)),
        (index(), prop::sample::select(&NUMBERS[..])).prop_map(|(at, n)| Mutation::Number(at, n)),
        index().prop_map(Mutation::Misspell),
    ]
}

fn mutate(text: &str, mutation: &Mutation) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return text.to_owned();
    }
    match mutation {
        Mutation::Byte(at, byte) => {
            let mut bytes = text.as_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = *byte;
            return String::from_utf8_lossy(&bytes).into_owned();
        }
        Mutation::Cut(at) => {
            let at = at.index(text.len());
            return String::from_utf8_lossy(&text.as_bytes()[..at]).into_owned();
        }
        Mutation::Drop(at) => {
            lines.remove(at.index(lines.len()));
        }
        Mutation::Double(at) => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at].clone());
        }
        Mutation::Swap(a, b) => {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
        }
        Mutation::Number(at, number) => {
            let with: Vec<usize> = (0..lines.len())
                .filter(|&line| lines[line].contains(" = "))
                .collect();
            if !with.is_empty() {
                let line = &mut lines[with[at.index(with.len())]];
                let key = line.split(" = ").next().unwrap_or_default().to_owned();
                *line = format!("{key} = {number}");
            }
        }
        Mutation::Misspell(at) => {
            let line = at.index(lines.len());
            let middle = lines[line].len() / 2;
            if lines[line].is_char_boundary(middle) {
                lines[line].insert(middle, 'q');
            }
        }
    }
    lines.join("\n")
}

#[test]
fn storms_with_mistakes_are_refused_with_a_cause() {
    let storms: Vec<&str> = library::all().iter().map(|&(_, text)| text).collect();
    let strategy = (prop::sample::select(storms), vec(mutation(), 1..5));
    runner(70_000)
        .run(&strategy, |(text, mutations)| {
            let text = mutations
                .iter()
                .fold(text.to_owned(), |text, mutation| mutate(&text, mutation));
            is_taken_or_explained(&text)?;
            // What is taken can be scheduled.
            if let Ok(storm) = Storm::parse(&text) {
                for producer in storm.phases.iter().flat_map(|phase| &phase.producers) {
                    let mut last = 0;
                    for due in Schedule::new(producer, 0).take(50) {
                        let at = due.at_ns.unwrap_or(last);
                        prop_assert!(at >= last);
                        last = at;
                    }
                }
            }
            Ok(())
        })
        .expect("explained");
}

fn producer(amount: Amount, pacing: Pacing) -> Producer {
    Producer {
        name: "p".to_owned(),
        kind: Kind::Syscall,
        threads: 1,
        amount,
        pacing,
        start_ms: 0,
        catch_up: true,
        key: None,
        argv_bytes: 0,
        message_bytes: 0,
    }
}

fn moments(pacing: Pacing, events: u64, thread: u32) -> Vec<u64> {
    Schedule::new(&producer(Amount::Events(events), pacing), thread)
        .map(|due| due.at_ns.expect("a paced event"))
        .collect()
}

fn pacing() -> impl Strategy<Value = Pacing> {
    let rate = 0.001..1e7_f64;
    prop_oneof![
        rate.clone().prop_map(|per_s| Pacing::Rate { per_s }),
        (1..1_000_u64, 1..100_000_u64)
            .prop_map(|(events, every_ms)| Pacing::Burst { events, every_ms }),
        (0.0..1e6_f64, rate.clone(), 1..3_600_000_u64).prop_map(
            |(from_per_s, to_per_s, over_ms)| Pacing::Ramp {
                from_per_s,
                to_per_s,
                over_ms
            }
        ),
        (1..10_000_u64, 1..10_000_u64, rate.clone()).prop_map(|(on_ms, off_ms, per_s)| {
            Pacing::OnOff {
                on_ms,
                off_ms,
                per_s,
            }
        }),
        (rate, any::<u64>()).prop_map(|(per_s, seed)| Pacing::Poisson { per_s, seed }),
    ]
}

#[test]
fn moments_never_go_back_and_none_is_missing() {
    runner(2_000)
        .run(
            &(pacing(), 1..400_u64, 0..256_u32),
            |(pacing, events, thread)| {
                let moments = moments(pacing, events, thread);
                prop_assert_eq!(moments.len() as u64, events);
                prop_assert!(moments.windows(2).all(|pair| pair[0] <= pair[1]));
                // A thread that ends by time makes the same events until then.
                let until_ms = 50;
                let by_time = producer(Amount::Millis(until_ms), pacing);
                let early: Vec<Due> = Schedule::new(&by_time, thread).take(400).collect();
                let expected = moments
                    .iter()
                    .take_while(|&&at| at < until_ms * 1_000_000)
                    .count();
                prop_assert_eq!(early.len().min(moments.len()), expected);
                Ok(())
            },
        )
        .expect("holds");
}

#[test]
fn bursts_come_together() {
    let pacing = Pacing::Burst {
        events: 3,
        every_ms: 20,
    };
    let ms: Vec<u64> = moments(pacing, 8, 0)
        .iter()
        .map(|at| at / 1_000_000)
        .collect();
    assert_eq!(ms, [0, 0, 0, 20, 20, 20, 40, 40]);
}

#[test]
fn on_and_off_take_turns() {
    let pacing = Pacing::OnOff {
        on_ms: 100,
        off_ms: 400,
        per_s: 30.0,
    };
    let ms: Vec<u64> = moments(pacing, 7, 0)
        .iter()
        .map(|at| at / 1_000_000)
        .collect();
    assert_eq!(ms, [0, 33, 66, 500, 533, 566, 1000]);
}

#[test]
fn a_poisson_process_has_its_rate_and_is_the_same_for_ever() {
    let pacing = Pacing::Poisson {
        per_s: 200.0,
        seed: 7,
    };
    let moments_of = |thread| moments(pacing, 20_000, thread);
    let first = moments_of(0);
    let ms = first[first.len() - 1] / 1_000_000;
    // The standard deviation of the mean gap is 0.7 % of it.
    assert!(ms.abs_diff(100_000) < 3_000, "{ms} ms for 100 s");
    assert_eq!(first, moments_of(0));
    let second = moments_of(1);
    assert_ne!(first, second);
    // Independent of each other: as many events of both in the same ms as by chance.
    let in_ms = |all: &[u64]| -> std::collections::BTreeSet<u64> {
        all.iter().map(|at| at / 1_000_000).collect()
    };
    let both = in_ms(&first).intersection(&in_ms(&second)).count();
    assert!((2_000..4_500).contains(&both), "{both}");
    // These numbers must never change: recorded benchmarks rest on them.
    assert_eq!(first[..3], [4_710_225, 25_145_592, 25_668_171]);
}
