//! The answer: its laws, and its verdicts on evidence of known kinds.

#[path = "fixtures/loads.rs"]
mod loads;

use auditwatch::recommend::{
    Bottleneck, Confidence, Options, Recommendation, Verdict,
    model::{
        evidence::{Evidence, OtherLosses},
        replay,
    },
    recommend,
};
use loads::{MS, bins, burst, evidence, service};
use proptest::prelude::*;

#[test]
fn pauses_without_a_time_are_a_doubt() {
    let mut load = burst();
    load.service.as_mut().expect("given").pauses_without_time = 3;
    let answer = recommend(&load, &Options::default());
    assert_eq!(answer.confidence, Confidence::Medium);
    assert!(
        answer
            .confidence_reasons
            .iter()
            .any(|reason| reason.contains("paused 3 times more")),
        "{answer:?}"
    );
}

#[test]
fn burst_needs_arrivals_minus_departures() {
    let answer = recommend(&burst(), &Options::default());
    assert_eq!(answer.verdict, Verdict::Raise);
    let needed = answer.needed.expect("told");
    // 3,000 came; 200 are in the socket, and 20 a bin were taken, but for the last one.
    assert!((2_600..=2_640).contains(&needed), "{needed}");
    assert_eq!(answer.limit, Some((needed * 12).div_ceil(10)));
    assert_eq!(answer.confidence, Confidence::High);
    assert_eq!(
        answer.undo.as_deref(),
        Some("auditwatch undo"),
        "{answer:?}"
    );
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
    paused.pauses = vec![(100 * MS, 230 * MS)];
    // 325 records come in 130 ms, of which the socket holds 100.
    let met = replay::unlimited(&steady, &paused).met;
    assert!(calm < 20, "{calm}");
    assert!((220..250).contains(&met), "{met}");
}

#[test]
fn waiting_load_is_delayed_by_the_records_beyond_the_limit() {
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
fn overload_is_not_blamed_on_the_limit() {
    let load = evidence(bins(0, &[40.0; 500]), service(200.0, 200.0));
    let answer = recommend(&load, &Options::default());
    assert_eq!(answer.verdict, Verdict::LimitWillNotHelp);
    assert_eq!(answer.bottleneck, Some(Bottleneck::Consumer));
    assert_eq!(answer.limit, None);
    assert_eq!(answer.apply, None);
}

#[test]
fn endless_load_has_no_recommended_limit() {
    let mut load = burst();
    load.depth_end = Some(65);
    let answer = recommend(&load, &Options::default());
    assert_eq!(answer.verdict, Verdict::Unknown);
    assert_eq!((answer.needed, answer.limit), (None, None));
    // For long it is no burst.
    load.last_attempt_ns = 1_300 * MS;
    let answer = recommend(&load, &Options::default());
    assert_eq!(answer.verdict, Verdict::LimitWillNotHelp);
    // A command's load ends with it, full though the queue is.
    load.load_has_ended = true;
    let answer = recommend(&load, &Options::default());
    assert_eq!(answer.verdict, Verdict::Raise);
}

#[test]
fn unmeasured_load_has_no_recommended_limit() {
    let unknown = |change: fn(&mut Evidence)| {
        let mut load = burst();
        change(&mut load);
        let answer = recommend(&load, &Options::default());
        assert_eq!(answer.verdict, Verdict::Unknown, "{answer:?}");
        assert_eq!((answer.needed, answer.limit), (None, None), "{answer:?}");
        assert!(!answer.reasons.is_empty());
    };
    unknown(|load| load.by_programs = false);
    unknown(|load| load.attempted = None);
    unknown(|load| load.limit = None);
    unknown(|load| load.service = None);
}

#[test]
fn a_kauditd_without_a_cpu_asks_for_what_it_may_need_at_most() {
    let mut load = evidence(burst().arrivals, service(1.0, 200.0));
    load.depth_max_with_room = Some(65);
    let answer = recommend(&load, &Options::default());
    assert_eq!(answer.verdict, Verdict::Raise, "{answer:?}");
    assert_eq!(answer.confidence, Confidence::Low);
    assert_eq!(answer.bottleneck, Some(Bottleneck::Kauditd));
    let high = answer.needed_high.expect("told");
    assert_eq!(answer.limit, Some((high * 12).div_ceil(10)));
    // It may start late, and while tasks wait nobody sees more than the limit lets in.
    assert!(high >= 1_200, "{high}");
}

/// The answer to a load, which names no limit to set.
fn nameless(load: &Evidence, verdict: Verdict) -> Recommendation {
    let answer = recommend(load, &Options::default());
    assert_eq!(answer.verdict, verdict, "{answer:?}");
    assert_eq!(answer.needed, None, "{answer:?}");
    assert_eq!(answer.apply, None, "{answer:?}");
    assert!(!answer.reasons.is_empty(), "{answer:?}");
    assert!(!answer.confidence_reasons.is_empty(), "{answer:?}");
    assert_eq!(answer.confidence, Confidence::Low, "{answer:?}");
    answer
}

#[test]
fn trace_without_records_has_no_recommended_limit() {
    let nothing = Evidence {
        duration_ns: 100 * MS,
        by_programs: true,
        limit: Some(64),
        lowest_limit: Some(64),
        attempted: Some(0),
        depth_max: Some(0),
        ..Evidence::default()
    };
    let answer = nameless(&nothing, Verdict::Unknown);
    assert_eq!(answer.limit, None);
    assert_eq!(
        answer.reasons,
        ["no records were seen in 100 ms: no recommendation"]
    );
    assert!(answer.advice.is_empty() && answer.breaks_rules.is_empty());
    // A wait time that looks wrong is no reason for advice on a load that was not there.
    let idle = Evidence {
        attempted: Some(1),
        wait_time_ticks: Some(60_000),
        wait_time_ns: Some(240_000 * MS),
        hz: Some(250),
        ..nothing.clone()
    };
    let answer = nameless(&idle, Verdict::Unknown);
    assert_eq!(
        answer.reasons,
        ["only 1 record was seen in 100 ms: no recommendation"]
    );
    assert!(answer.advice.is_empty());
    // Nor is what netlink tells, however much came.
    let polled = Evidence {
        by_programs: false,
        attempted: None,
        ..nothing
    };
    nameless(&polled, Verdict::Unknown);
    nameless(&Evidence::default(), Verdict::Unknown);
}

#[test]
fn too_short_trace_has_no_recommended_limit() {
    // It hurt, and records came until the end of a tenth of a second.
    let mut load = evidence(bins(0, &[300.0; 25]), service(200.0, 200.0));
    load.duration_ns = 100 * MS;
    let answer = nameless(&load, Verdict::Unknown);
    assert!(answer.needed_low.is_some_and(|low| low > 64), "{answer:?}");
    // What ended with a command is all of it.
    load.load_has_ended = true;
    assert_eq!(
        recommend(&load, &Options::default()).verdict,
        Verdict::Raise
    );
    load.load_has_ended = false;
    load.duration_ns = 2_000 * MS;
    assert_eq!(
        recommend(&load, &Options::default()).verdict,
        Verdict::Raise
    );
    // Nobody was hurt in so short a time: it is as good as that.
    let mut calm = burst();
    (calm.refused, calm.suppressed, calm.duration_ns) = (0, 0.0, 100 * MS);
    calm.depth_max = Some(20);
    let answer = recommend(&calm, &Options::default());
    assert_eq!(answer.verdict, Verdict::Keep);
    assert_eq!(answer.confidence, Confidence::Medium);
    assert!(
        answer.confidence_reasons[0].contains("100 ms"),
        "{answer:?}"
    );
}

#[test]
fn missing_hook_for_loss_or_stall_prevents_a_recommendation() {
    let mut load = burst();
    load.doubts.hooks = vec!["audit_log_start".to_owned()];
    let answer = nameless(&load, Verdict::Unknown);
    assert!(answer.needed_low.is_some());
    assert!(
        answer
            .reasons
            .iter()
            .any(|reason| reason.contains("audit_log_start"))
    );
    // Nobody is known to be hurt, but the queue was full.
    let mut calm = load.clone();
    (calm.refused, calm.suppressed) = (0, 0.0);
    nameless(&calm, Verdict::Unknown);
    // It never was: nobody can have been hurt.
    calm.depth_max = Some(20);
    let answer = recommend(&calm, &Options::default());
    assert_eq!((answer.verdict, answer.limit), (Verdict::Keep, Some(64)));
    assert_eq!(answer.confidence, Confidence::Low);
}

#[test]
fn reduced_confidence_names_a_way_to_raise_it() {
    let mut load = burst();
    let answer = recommend(&load, &Options::default());
    assert_eq!(answer.confidence, Confidence::High);
    assert_eq!(answer.confidence_reasons, Vec::<String>::new());
    (load.refused, load.suppressed, load.stalls) = (0, 0.0, 50);
    let answer = recommend(&load, &Options::default());
    assert!(answer.confidence < Confidence::High);
    assert!(
        answer.confidence_reasons[0].contains("at which no task stalls"),
        "{answer:?}"
    );
}

#[test]
fn without_pressure_the_greatest_length_is_the_need() {
    let mut load = burst();
    (load.refused, load.suppressed) = (0, 0.0);
    load.depth_max = Some(40);
    let answer = recommend(&load, &Options::default());
    assert_eq!((answer.verdict, answer.limit), (Verdict::Keep, Some(64)));
    assert_eq!(answer.needed, Some(40));
    load.depth_max = Some(60);
    let answer = recommend(&load, &Options::default());
    assert_eq!((answer.verdict, answer.limit), (Verdict::Raise, Some(72)));
    let floor = Options {
        floor: Some(8192),
        ..Options::default()
    };
    let answer = recommend(&load, &floor);
    assert_eq!((answer.verdict, answer.limit), (Verdict::Raise, Some(8192)));
    load.limit = Some(100_000);
    let answer = recommend(&load, &floor);
    // Another run may need more: all that the budget allows.
    assert_eq!((answer.verdict, answer.limit), (Verdict::Lower, Some(9709)));
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
        let answer = recommend(&load, &Options::default());
        assert_eq!(answer.verdict, Verdict::LimitWillNotHelp);
        assert_eq!(answer.bottleneck, Some(bottleneck));
        assert!(!answer.advice.is_empty(), "{bottleneck:?}");
    }
}

#[test]
fn the_memory_budget_is_a_cap() {
    let wishes = |mebibytes: u64| Options {
        memory_budget_bytes: mebibytes << 20,
        ..Options::default()
    };
    let says = |answer: &Recommendation, words: &str| {
        answer.reasons.iter().any(|reason| reason.contains(words))
    };
    let free = recommend(&burst(), &Options::default());
    let (needed, wanted) = (free.needed.expect("told"), free.limit.expect("named"));
    assert!(!free.capped_by_budget && !says(&free, "budget"));
    // 1 MiB for three queues of records of 2,304 bytes.
    let capped = recommend(&burst(), &wishes(1));
    assert!(capped.capped_by_budget);
    assert_eq!((capped.verdict, capped.limit), (Verdict::Raise, Some(151)));
    assert_eq!(capped.needed, Some(needed));
    assert!(
        capped
            .memory_worst_bytes
            .is_some_and(|bytes| bytes <= 1 << 20)
    );
    assert!(says(&capped, "caps the limit at 151") && says(&capped, "--memory-budget"));
    assert!(capped.advice.iter().all(|advice| advice.spares.is_none()));
    // Whoever lifts it gets the whole.
    let forced = Options {
        over_budget: true,
        ..wishes(1)
    };
    assert_eq!(recommend(&burst(), &forced).limit, Some(wanted));
    // It allows less than what is in force, or than a floor that was asked for.
    for wishes in [
        Options {
            memory_budget_bytes: 64 * 3 * 2304,
            ..Options::default()
        },
        Options {
            floor: Some(8192),
            ..wishes(1)
        },
    ] {
        let answer = recommend(&burst(), &wishes);
        assert_eq!((answer.verdict, answer.limit), (Verdict::Unknown, None));
        assert!(says(&answer, "no limit is recommended"), "{answer:?}");
        assert_eq!(answer.apply, None);
    }
    // A host at ease whose need is over the budget is not told to lower it below that.
    let mut calm = burst();
    (calm.refused, calm.suppressed) = (0, 0.0);
    (calm.depth_max, calm.limit) = (Some(400), Some(5000));
    let answer = recommend(&calm, &wishes(1));
    assert_eq!((answer.verdict, answer.limit), (Verdict::Unknown, None));
    calm.depth_max = Some(40);
    let answer = recommend(&calm, &wishes(1));
    assert_eq!((answer.verdict, answer.limit), (Verdict::Lower, Some(151)));
}

#[test]
fn waiting_tasks_leave_two_ends() {
    let mut load = burst();
    (load.refused, load.suppressed, load.stalls) = (0, 0.0, 50);
    load.stalled_ns = 2_000 * MS;
    load.last_attempt_ns = 400 * MS;
    let answer = recommend(&load, &Options::default());
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
        let answer = recommend(&load, &Options::default());
        for pair in answer.curve.windows(2) {
            prop_assert!(pair[0].limit < pair[1].limit);
            prop_assert!(pair[0].lost >= pair[1].lost, "{:?}", pair);
            prop_assert!(pair[0].stall_ns >= pair[1].stall_ns, "{:?}", pair);
        }
    }

    #[test]
    fn own_losses_never_raise_confidence(
        (records, pace, socket) in loads(),
        lost in (0..10_000_u64, 0..10_000_u64, 0..10_000_u64, 0..2_usize),
        hurt: bool,
        waited: bool,
    ) {
        let mut load = evidence(bins(0, &records), service(pace, socket));
        load.refused = if hurt { 100 } else { 0 };
        load.stalls = if waited { 100 } else { 0 };
        let mut doubtful = load.clone();
        (doubtful.doubts.missed, doubtful.doubts.untracked) = (lost.0, lost.1);
        doubtful.doubts.forgotten = lost.2;
        doubtful.doubts.hooks = vec!["a_function".to_owned(); lost.3];
        let wishes = Options::default();
        let (with, without) = (recommend(&doubtful, &wishes), recommend(&load, &wishes));
        prop_assert!(with.confidence <= without.confidence, "{with:?}");
        prop_assert!(with.confidence_reasons.len() >= without.confidence_reasons.len());
    }

    #[test]
    fn more_demand_never_lowers_the_recommended_limit(
        (records, pace, socket) in loads(),
        extra in 1.0..3.0_f64,
        waited: bool,
    ) {
        let of = |records: &[f64]| {
            let mut load = evidence(bins(0, records), service(pace, socket));
            load.stalls = if waited { 100 } else { 0 };
            recommend(&load, &Options::default())
        };
        let more: Vec<f64> = records.iter().map(|records| records * extra).collect();
        let (less, more) = (of(&records), of(&more));
        // One that no limit holds any more needs more than any.
        if let (Verdict::Raise, Verdict::Raise) = (less.verdict, more.verdict) {
            prop_assert!(more.needed.map(|need| need + 1) >= less.needed, "{less:?} {more:?}");
            prop_assert!(more.limit.map(|limit| limit + 2) >= less.limit, "{less:?} {more:?}");
        }
    }

    #[test]
    fn no_limit_is_0_and_none_is_named_without_a_verdict(
        (records, pace, socket) in loads(),
        refused in 0..200_u64,
        stalls in 0..200_u64,
        limit in 0..200_u64,
        goes_on: bool,
    ) {
        let mut load = evidence(bins(0, &records), service(pace, socket));
        (load.refused, load.stalls, load.limit) = (refused, stalls, Some(limit));
        load.depth_end = Some(if goes_on { limit } else { 0 });
        let answer = recommend(&load, &Options::default());
        prop_assert_ne!(answer.limit, Some(0));
        let sets = matches!(answer.verdict, Verdict::Raise | Verdict::Lower);
        prop_assert_eq!(answer.apply.is_some(), sets, "{:?}", answer);
        prop_assert!(!answer.reasons.is_empty());
        let spared: Vec<Option<u64>> = answer.advice.iter().map(|advice| advice.spares).collect();
        prop_assert!(spared.is_sorted_by(|a, b| a >= b), "{spared:?}");
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
