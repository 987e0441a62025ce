//! The answer: its laws, and its verdicts on evidence of known kinds.

use auditwatch::{
    model::{
        demand::Arrival,
        evidence::{Evidence, OtherLosses},
        replay,
        service::Service,
    },
    recommendation::{Bottleneck, Confidence, Verdict, Wishes, recommend},
};
use proptest::prelude::*;

const MS: u64 = 1_000_000;
const BIN_NS: u64 = 4 * MS;

fn service(record_us: f64, socket: f64) -> Service {
    Service {
        record_ns: record_us * 1e3,
        usual_ns: None,
        socket_records: socket,
        socket_is_measured: true,
        kauditd_ns: 3_000.0,
        pauses: Vec::new(),
    }
}

/// Records in bins from `begin_ms` on.
fn bins(begin_ms: u64, records: &[f64]) -> Vec<Arrival> {
    (0_u64..)
        .zip(records)
        .map(|(number, &records)| Arrival {
            at_ns: begin_ms * MS + (number + 1) * BIN_NS,
            records,
        })
        .collect()
}

/// A trace at a limit of 64 without waiting, that lost records.
fn evidence(arrivals: Vec<Arrival>, service: Service) -> Evidence {
    Evidence {
        duration_ns: 10_000 * MS,
        by_programs: true,
        limit: Some(64),
        lowest_limit: Some(64),
        wait_time_ns: Some(0),
        wait_time_ticks: Some(0),
        hz: Some(250),
        auditd_pid: Some(7),
        rate_limit: Some(0),
        attempted: Some(1500),
        refused: 100,
        suppressed: 200.0,
        depth_max: Some(65),
        depth_max_with_room: Some(3),
        depth_end: Some(0),
        bin_ns: BIN_NS,
        last_attempt_ns: arrivals.last().map_or(0, |arrival| arrival.at_ns),
        arrivals,
        service: Some(service),
        record_bytes: Some(2304),
        record_max_bytes: Some(2304),
        ..Evidence::default()
    }
}

/// 300 records in each of ten bins, to a consumer that takes 20 a bin.
fn burst() -> Evidence {
    evidence(bins(0, &[300.0; 10]), service(200.0, 200.0))
}

#[test]
fn a_burst_needs_what_came_less_what_went() {
    let answer = recommend(&burst(), &Wishes::default());
    assert_eq!(answer.verdict, Verdict::Raise);
    let needed = answer.needed.expect("told");
    // 3,000 came; 200 are in the socket, and 20 a bin were taken, but for the last one.
    assert!((2_600..=2_640).contains(&needed), "{needed}");
    assert_eq!(answer.limit, Some((needed * 12).div_ceil(10)));
    assert_eq!(answer.confidence, Confidence::High);
    assert_eq!(answer.undo.as_deref(), Some("auditctl -b 64"), "{answer:?}");
    let at_need = answer.curve.iter().find(|point| point.limit == needed);
    assert_eq!(at_need.map(|point| point.lost), Some(0));
    let now = answer.curve.iter().find(|point| point.limit == 64);
    assert!(now.is_some_and(|point| point.lost > 500), "{now:?}");
}

#[test]
fn a_pause_of_the_consumer_is_kept_where_it_was() {
    let steady = bins(0, &[10.0; 200]);
    let mut paused = service(200.0, 100.0);
    let calm = replay::unlimited(&steady, &paused).met;
    paused.pauses = vec![(100 * MS, 300 * MS)];
    // 500 records come in 200 ms, of which the socket holds 100.
    let met = replay::unlimited(&steady, &paused).met;
    assert!(calm < 20, "{calm}");
    assert!((400..430).contains(&met), "{met}");
}

#[test]
fn a_load_that_waits_is_late_by_what_it_could_not_queue() {
    let arrivals = bins(0, &[300.0; 10]);
    let service = service(200.0, 200.0);
    let outcome = replay::waiting(&arrivals, &service, 64);
    // All 3,000 are taken one by one in the end, 200 us each, but for those queued.
    let late_ms = outcome.held_up_ns / 1e6;
    assert!((400.0..600.0).contains(&late_ms), "{late_ms}");
    let roomy = replay::waiting(&arrivals, &service, 3_000);
    assert!(roomy.held_up_ns < 1.0, "{roomy:?}");
}

#[test]
fn more_than_goes_from_beginning_to_end_is_no_matter_of_the_limit() {
    let load = evidence(bins(0, &[40.0; 500]), service(200.0, 200.0));
    let answer = recommend(&load, &Wishes::default());
    assert_eq!(answer.verdict, Verdict::LimitWillNotHelp);
    assert_eq!(answer.bottleneck, Some(Bottleneck::Consumer));
    assert_eq!(answer.limit, None);
    assert_eq!(answer.apply, None);
}

#[test]
fn a_load_that_goes_on_is_no_number() {
    let mut load = burst();
    load.depth_end = Some(65);
    let answer = recommend(&load, &Wishes::default());
    assert_eq!(answer.verdict, Verdict::Unknown);
    assert_eq!((answer.needed, answer.limit), (None, None));
    // For long it is no burst.
    load.last_attempt_ns = 1_300 * MS;
    let answer = recommend(&load, &Wishes::default());
    assert_eq!(answer.verdict, Verdict::LimitWillNotHelp);
    // A command's load ends with it, full though the queue is.
    load.load_has_ended = true;
    let answer = recommend(&load, &Wishes::default());
    assert_eq!(answer.verdict, Verdict::Raise);
}

#[test]
fn what_was_not_measured_is_no_number() {
    let unknown = |change: fn(&mut Evidence)| {
        let mut load = burst();
        change(&mut load);
        let answer = recommend(&load, &Wishes::default());
        assert_eq!(answer.verdict, Verdict::Unknown, "{answer:?}");
        assert_eq!((answer.needed, answer.limit), (None, None), "{answer:?}");
        assert!(!answer.reasons.is_empty());
    };
    unknown(|load| load.by_programs = false);
    unknown(|load| load.attempted = None);
    unknown(|load| load.limit = None);
    unknown(|load| load.service = None);
    // kauditd itself did not get the CPU.
    unknown(|load| {
        load.depth_max_with_room = Some(65);
        load.service = Some(service(1.0, 200.0));
    });
}

#[test]
fn without_pressure_the_greatest_length_is_the_need() {
    let mut load = burst();
    (load.refused, load.suppressed) = (0, 0.0);
    load.depth_max = Some(40);
    let answer = recommend(&load, &Wishes::default());
    assert_eq!((answer.verdict, answer.limit), (Verdict::Keep, Some(64)));
    assert_eq!(answer.needed, Some(40));
    load.depth_max = Some(60);
    let answer = recommend(&load, &Wishes::default());
    assert_eq!((answer.verdict, answer.limit), (Verdict::Raise, Some(72)));
    let floor = Wishes {
        floor: Some(8192),
        ..Wishes::default()
    };
    let answer = recommend(&load, &floor);
    assert_eq!((answer.verdict, answer.limit), (Verdict::Raise, Some(8192)));
    load.limit = Some(100_000);
    let answer = recommend(&load, &floor);
    assert_eq!((answer.verdict, answer.limit), (Verdict::Lower, Some(8192)));
}

#[test]
fn losses_with_another_cause_are_named() {
    type Change = fn(&mut Evidence);
    let causes: [(Bottleneck, Change); 4] = [
        (Bottleneck::RateLimit, |load| {
            load.other_losses.rate_limit = 1000;
        }),
        (Bottleneck::Memory, |load| {
            load.other_losses.out_of_memory = 1000;
        }),
        (Bottleneck::NoAuditd, |load| {
            load.auditd_pid = Some(0);
            load.other_losses.silent = 1000;
        }),
        (Bottleneck::Socket, |load| {
            load.other_losses = OtherLosses {
                overflow: 600,
                silent: 600,
                ..OtherLosses::default()
            };
        }),
    ];
    for (bottleneck, change) in causes {
        let mut load = burst();
        change(&mut load);
        let answer = recommend(&load, &Wishes::default());
        assert_eq!(answer.verdict, Verdict::LimitWillNotHelp);
        assert_eq!(answer.bottleneck, Some(bottleneck));
        assert!(!answer.advice.is_empty(), "{bottleneck:?}");
    }
}

#[test]
fn more_memory_than_the_budget_is_said() {
    let tight = Wishes {
        memory_budget_bytes: 1 << 20,
        ..Wishes::default()
    };
    let said = |wishes: &Wishes| {
        let answer = recommend(&burst(), wishes);
        answer
            .reasons
            .iter()
            .any(|reason| reason.contains("budget"))
    };
    assert!(said(&tight));
    assert!(!said(&Wishes::default()));
}

#[test]
fn waiting_tasks_leave_two_ends() {
    let mut load = burst();
    (load.refused, load.suppressed, load.stalls) = (0, 0.0, 50);
    load.stalled_ns = 2_000 * MS;
    load.last_attempt_ns = 400 * MS;
    let answer = recommend(&load, &Wishes::default());
    let (low, high) = (
        answer.needed_low.expect("told"),
        answer.needed_high.expect("told"),
    );
    assert!(low < high, "{answer:?}");
    assert_eq!(answer.needed, Some(high));
    assert!(answer.confidence < Confidence::High);
}

fn loads() -> impl Strategy<Value = (Vec<f64>, f64, f64)> {
    (
        prop::collection::vec(0.0..500.0_f64, 1..60),
        10.0..2_000.0_f64,
        1.0..400.0_f64,
    )
}

proptest! {
    #[test]
    fn more_demand_never_lowers_the_need((records, pace, socket) in loads(), extra in 1.0..3.0_f64) {
        let service = service(pace, socket);
        let more: Vec<f64> = records.iter().map(|records| records * extra).collect();
        let need = |records: &[f64]| replay::unlimited(&bins(0, records), &service).met;
        // The consumer takes whole records: half a one may be on either side.
        prop_assert!(need(&more) + 1 >= need(&records));
    }

    #[test]
    fn a_larger_limit_never_loses_or_delays_more((records, pace, socket) in loads(), waits: bool) {
        let mut load = evidence(bins(0, &records), service(pace, socket));
        load.wait_time_ns = Some(if waits { 60_000 * MS } else { 0 });
        let answer = recommend(&load, &Wishes::default());
        for pair in answer.curve.windows(2) {
            prop_assert!(pair[0].limit < pair[1].limit);
            prop_assert!(pair[0].lost >= pair[1].lost, "{:?}", pair);
            prop_assert!(pair[0].stall_ns >= pair[1].stall_ns, "{:?}", pair);
        }
    }

    #[test]
    fn own_misses_never_raise_confidence((records, pace, socket) in loads(), missed in 1..10_000_u64) {
        let load = evidence(bins(0, &records), service(pace, socket));
        let mut doubtful = load.clone();
        doubtful.doubts.missed = missed;
        let wishes = Wishes::default();
        prop_assert!(recommend(&doubtful, &wishes).confidence <= recommend(&load, &wishes).confidence);
    }

    #[test]
    fn the_need_is_enough_and_one_less_is_not((records, pace, socket) in loads()) {
        let arrivals = bins(0, &records);
        let service = service(pace, socket);
        let needed = replay::unlimited(&arrivals, &service).met;
        prop_assert!(replay::refusing(&arrivals, &service, needed).refused_records < 1e-6);
        if needed > 1 {
            prop_assert!(replay::refusing(&arrivals, &service, needed - 2).refused_records > 0.0);
        }
    }
}
