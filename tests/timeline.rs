//! The timeline: intervals that sum to the whole, tasks that nobody will wake, and
//! the verdict in plain words.

use std::collections::BTreeMap;

use auditwatch::{
    kernel::audit_state::KernelState,
    render::{style::Style, summary, verdict},
    sample::{
        Areas, Attempts, Consumer, Delivery, Depths, Drain, Event, EventKind, Kept, Sample,
        Shortfalls, Source, Stalls, Waiter, loss::message,
    },
    trace::{
        report::{PeakBy, Summary},
        timeline::{Host, Timeline},
    },
};

const SECOND: u64 = 1_000_000_000;

fn host() -> Host {
    Host {
        release: "6.1.0".into(),
        hz: None,
        cpus: Some(2),
        record_overhead_bytes: Some(576),
    }
}

/// A sample `seconds` after the start, with `records` attempted, drained and
/// delivered until then, and `lost` refused.
fn sample(seconds: u64, records: u64, lost: u64) -> Sample {
    let mut hist = vec![0; 128];
    hist[0] = records;
    Sample {
        at_ns: 5 * SECOND + seconds * SECOND,
        source: Source::Bpf,
        state: KernelState {
            jiffies: Some(4_000_000_000 + seconds * 250),
            depth: Some(0),
            retry_depth: Some(0),
            hold_depth: Some(0),
            limit: Some(320),
            wait_time_jiffies: Some(15_000),
            lost: u32::try_from(lost).ok(),
            enabled: Some(1),
            booted_with_audit: Some(false),
            auditd_pid: Some(7),
            in_hand: Some(0),
            ..KernelState::default()
        },
        attempts: Some(Attempts {
            attempted: records + lost,
            depth_max: Some(if lost > 0 { 321 } else { 12 }),
            ..Attempts::default()
        }),
        losses: Some(
            (lost > 0)
                .then(|| (message::BACKLOG_LIMIT.to_owned(), lost))
                .into_iter()
                .collect(),
        ),
        own_losses: Some(BTreeMap::new()),
        drain: Some(Drain {
            drained: records,
            areas: Some(Areas {
                total_bytes: records * 1728,
                max_bytes: 1728,
            }),
            depths: Some(Depths { max: 11, hist }),
            types: Some(BTreeMap::from([(1300, records)])),
        }),
        delivery: Some(Delivery {
            delivered: records,
            refused: 0,
        }),
        demand: None,
        consumer: None,
        retry: Some(Kept::default()),
        hold: Some(Kept::default()),
        reheld: Some(0),
        talkers: None,
        resets: Some(0),
        passes: Some(records),
        auxiliary: Some(0),
        stalls: Some(Stalls::default()),
        command: None,
        shortfalls: Shortfalls::default(),
        events: Vec::new(),
    }
}

fn summary(samples: &[Sample]) -> Summary {
    let (zero, rest) = samples.split_first().expect("a zero sample");
    let mut timeline = Timeline::new(host(), zero.clone());
    for sample in rest {
        timeline.push(sample.clone());
    }
    timeline.summary(Vec::new(), None, Vec::new())
}

#[test]
fn intervals_sum_to_the_whole() {
    let mut timeline = Timeline::new(host(), sample(0, 0, 0));
    let intervals: Vec<_> = [(1, 500, 0), (3, 4_500, 9), (4, 4_600, 9)]
        .into_iter()
        .map(|(seconds, records, lost)| timeline.push(sample(seconds, records, lost)))
        .collect();
    let summary = timeline.summary(Vec::new(), None, Vec::new());
    let total: u64 = intervals
        .iter()
        .filter_map(|step| step.ledger.drained)
        .sum();
    assert_eq!(summary.ledger.drained, Some(total));
    assert_eq!(
        intervals.iter().map(|step| step.lost).sum::<Option<u64>>(),
        summary.lost
    );
    assert_eq!(
        summary.duration_ns,
        intervals.iter().map(|step| step.duration_ns).sum::<u64>()
    );
    assert_eq!(intervals[1].drained_per_s, Some(2_000));
    assert_eq!(intervals[1].dropped_per_s, Some(4));
    assert_eq!(summary.ledger.residual, Some(0));
}

#[test]
fn clock_rate_is_measured_if_no_configuration_has_it() {
    let summary = summary(&[sample(0, 0, 0), sample(2, 10, 0)]);
    assert_eq!(summary.kernel.hz, Some(250));
    assert_eq!(summary.status.wait_time_ns, Some(60 * SECOND));
}

#[test]
fn the_verdict_is_plain() {
    let line = |samples: &[Sample]| verdict::line(&summary(samples));
    assert_eq!(
        line(&[sample(0, 0, 0), sample(30, 60_000, 1_204)]),
        "LOST 1,204 of 61,204 records (2.0 %) in 30 s: backlog limit exceeded"
    );
    assert_eq!(
        line(&[sample(0, 0, 0), sample(30, 60_000, 1)]),
        "LOST 1 of 60,001 records (< 0.1 %) in 30 s: backlog limit exceeded"
    );
    assert_eq!(
        line(&[sample(0, 0, 0), sample(1, 10, 0)]),
        "no record lost in 1 s; peak depth 12 of 320"
    );
    let mut silent = sample(2, 10, 0);
    silent.hold.as_mut().expect("hooked").calls = 10;
    silent.delivery.as_mut().expect("hooked").delivered = 0;
    let line = line(&[sample(0, 0, 0), silent]);
    assert!(
        line.starts_with("LOST 10 of 10 records (100.0 %) in 2 s: silent loss"),
        "{line}"
    );
}

#[test]
fn summary_has_colour_only_if_requested() {
    let summary = summary(&[sample(0, 0, 0), sample(30, 60_000, 1_204)]);
    let plain = summary::summary(&summary, summary::TOP, Style::plain());
    assert!(!plain.contains('\u{1b}'));
    assert!(plain.starts_with("LOST 1,204 of 61,204 records"), "{plain}");
    assert!(
        plain.contains("check      every record is accounted for"),
        "{plain}"
    );
    assert!(
        summary::summary(&summary, summary::TOP, Style::colored()).contains("\u{1b}[1m\u{1b}[31m")
    );
}

#[test]
fn unmeasured_figures_are_not_zero() {
    let without = |spoil: fn(&mut Sample)| {
        let mut samples = [sample(0, 0, 0), sample(1, 10, 0)];
        samples.iter_mut().for_each(spoil);
        let mut timeline = Timeline::new(host(), samples[0].clone());
        let interval = timeline.push(samples[1].clone());
        let summary = timeline.summary(Vec::new(), None, Vec::new());
        (interval.lost, summary.lost, verdict::line(&summary))
    };
    let (interval, whole, line) = without(|sample| {
        sample.losses = None;
        sample.hold = None;
        sample.state.lost = None;
    });
    assert_eq!((interval, whole), (None, None));
    assert!(
        line.starts_with("losses were not measured in 1 s"),
        "{line}"
    );
    let (interval, whole, line) = without(|sample| sample.hold = None);
    assert_eq!((interval, whole), (Some(0), Some(0)));
    assert!(
        line.starts_with("no loss seen in 1 s (silent loss was not measured)"),
        "{line}"
    );
}

#[test]
fn a_poll_keeps_what_it_saw_across_a_reset_of_the_counter() {
    let polled = |seconds, lost: u32| {
        let mut polled = sample(seconds, 0, 0);
        polled.source = Source::Poll;
        polled.state.lost = Some(lost);
        (polled.losses, polled.own_losses, polled.attempts) = (None, None, None);
        (polled.drain, polled.delivery, polled.hold) = (None, None, None);
        polled
    };
    let reset = summary(&[polled(0, 100), polled(1, 150), polled(2, 20)]);
    assert_eq!(reset.lost, Some(70));
    assert!(reset.notes.iter().any(|note| note.contains("reset")));
    let wrapped = summary(&[polled(0, u32::MAX - 1), polled(1, 3)]);
    assert_eq!(wrapped.lost, Some(5));
}

/// A waiter since shortly after the start, seen at 1, 3 and 5 s.
fn with_waiter(depth: u32, passes: [u64; 3], asleep: Option<bool>) -> u64 {
    let mut samples = vec![sample(0, 0, 0)];
    for (seconds, pass) in [1, 3, 5].into_iter().zip(passes) {
        let mut sample = sample(seconds, 0, 0);
        sample.state.depth = Some(depth);
        sample.passes = Some(pass);
        sample.stalls.as_mut().expect("hooked").waiters = vec![Waiter {
            thread: 9,
            since_ns: 5 * SECOND + 500,
            asleep,
        }];
        samples.push(sample);
    }
    summary(&samples).stalls.expect("hooked").stranded
}

#[test]
fn task_is_stranded_if_it_sleeps_on_although_there_is_room() {
    assert_eq!(with_waiter(5, [7, 7, 7], None), 1);
    assert_eq!(with_waiter(5, [7, 7, 7], Some(true)), 1);
    // The end of its attempt was missed: it does something else.
    assert_eq!(with_waiter(5, [7, 7, 7], Some(false)), 0);
    // kauditd passes, and wakes one task each time.
    assert_eq!(with_waiter(5, [7, 8, 9], None), 0);
    // There is no room.
    assert_eq!(with_waiter(321, [7, 7, 7], None), 0);
}

fn event(at_ns: u64, what: EventKind) -> Event {
    Event {
        at_ns,
        pid: 7,
        comm: "auditd".into(),
        what,
    }
}

/// A trace whose consumer pauses so many times, ten thousand a second at most; how many are known by time, how many
/// are not, and what is said of them.
fn pauses(pauses: u64) -> (u64, u64, Vec<String>) {
    let mut timeline = Timeline::new(host(), sample(0, 0, 0));
    for first in (0..pauses).step_by(10_000) {
        let mut next = sample(1 + first / 10_000, first, 0);
        let last = (first + 10_000).min(pauses);
        next.events = (first..last)
            .map(|pause| {
                let duration_ns = 20_000_000;
                event(
                    next.at_ns + pause * 2 * duration_ns,
                    EventKind::Pause { duration_ns },
                )
            })
            .collect();
        next.consumer = Some(Consumer {
            served: 1_000,
            served_ns: 1_000_000,
            pauses: last,
            service_hist: vec![0, 0, 1_000],
            ..Consumer::default()
        });
        timeline.push(next);
    }
    let summary = timeline.summary(Vec::new(), None, Vec::new());
    let service = timeline.evidence(&summary, false).service.expect("a pace");
    let notes = summary.notes.iter().filter(|note| note.contains("paused"));
    (
        service.pauses.len() as u64,
        service.pauses_without_time,
        notes.cloned().collect(),
    )
}

#[test]
fn a_trace_of_any_length_keeps_the_last_pauses_and_says_how_many_it_does_not() {
    assert_eq!(pauses(180_000), (180_000, 0, Vec::new()));
    let (known, unknown, notes) = pauses(10_000_000);
    assert_eq!((known, unknown), (180_000, 9_820_000));
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("9820000 more times"), "{notes:?}");
}

#[test]
fn changes_that_are_not_kept_are_counted_and_their_resets_are_not_guessed() {
    let lost = |old, new| EventKind::Change {
        field: "lost".to_owned(),
        old: Some(old),
        new,
        result: 0,
    };
    let with = |changes: u32| {
        let mut timeline = Timeline::new(host(), sample(0, 0, 0));
        let mut next = sample(1, 100, 0);
        next.events = (0..changes).map(|_| event(1, lost(0, 0))).collect();
        timeline.push(next);
        timeline.summary(Vec::new(), None, Vec::new())
    };
    let few = with(10);
    assert_eq!(few.ledger.residuals.lost, Some(0));
    assert!(!few.notes.iter().any(|note| note.contains("not listed")));
    let many = with(1_000_000);
    assert_eq!(many.ledger.residuals.lost, None);
    let note = many.notes.iter().find(|note| note.contains("not listed"));
    assert!(note.is_some_and(|note| note.contains("changes of settings")));
}

#[test]
fn the_peak_of_an_interval_is_not_the_depth_at_its_end() {
    let at = |seconds, buckets: [u64; 2], max, lost| {
        let mut sample = sample(seconds, buckets.iter().sum(), lost);
        let drain = sample.drain.as_mut().expect("hooked");
        let depths = drain.depths.as_mut().expect("readable");
        // 5 records left behind, and 40 to 47.
        let bucket = |depth| auditwatch_ebpf::depth_bucket(depth) as usize;
        depths.hist = vec![0; 128];
        depths.hist[bucket(5)] = buckets[0];
        depths.hist[bucket(40)] = buckets[1];
        depths.max = max;
        sample.attempts.as_mut().expect("hooked").depth_max = Some(max);
        sample.state.limit = Some(64);
        sample
    };
    let mut timeline = Timeline::new(host(), at(0, [0, 0], 0, 0));
    let mut peak = |sample| {
        let depth = timeline.push(sample).depth;
        assert_eq!(depth.main, Some(0));
        (depth.interval_max, depth.interval_max_by)
    };
    // It rises, which is measured.
    assert_eq!(
        peak(at(1, [10, 10], 63, 0)),
        (Some(63), Some(PeakBy::Measured))
    );
    // By the lengths that drains left behind, and the drained record.
    assert_eq!(
        peak(at(2, [20, 10], 63, 0)),
        (Some(6), Some(PeakBy::Drains))
    );
    assert_eq!(
        peak(at(3, [20, 20], 63, 0)),
        (Some(48), Some(PeakBy::Drains))
    );
    assert_eq!(
        peak(at(4, [20, 20], 63, 0)),
        (Some(0), Some(PeakBy::Drains))
    );
    // What was dropped for the limit met a queue beyond it, though no drain tells.
    assert_eq!(
        peak(at(5, [20, 20], 66, 9)),
        (Some(66), Some(PeakBy::Measured))
    );
    assert_eq!(
        peak(at(6, [20, 20], 66, 18)),
        (Some(65), Some(PeakBy::Drains))
    );
    // Polling knows single readings only.
    let mut polled = at(7, [20, 20], 66, 18);
    (polled.attempts, polled.drain) = (None, None);
    polled.state.depth = Some(12);
    let depth = timeline.push(polled).depth;
    assert_eq!(depth.interval_max, Some(12));
    assert_eq!(depth.interval_max_by, Some(PeakBy::AtLeast));
}
