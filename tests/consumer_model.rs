//! The model of the consumer, and of `kauditd` that waits for it: compared with the trace, and with what is known of both.

#[path = "fixtures/loads.rs"]
mod loads;

use auditwatch::{
    auditd::{ConsumerSetup, CpuQuota, CpuTimes, conf::AuditdConf},
    recommend::{
        Bottleneck, Cause, Confidence, Options, Verdict, model::replay, recommend, recommend_runs,
    },
};
use loads::{MS, bins, burst, evidence, service};

#[test]
fn kauditd_loses_patience_with_a_socket_that_stays_full() {
    let steady = bins(0, &[10.0; 400]);
    let mut paused = service(200.0, 100.0);
    // The socket is full 40 ms into the pause. 100 ms later the record in hand goes to the retry queue, and the socket
    // takes nothing until it is empty, 20 ms after the pause.
    paused.pauses = vec![(100 * MS, 400 * MS)];
    let outcome = replay::unlimited(&steady, &paused);
    assert!((650..750).contains(&outcome.met), "{outcome:?}");
    assert!(outcome.given_up < 1.0, "{outcome:?}");
    // 600 ms later that record is given up. The next pass has all 1,500 that came by then, and gives up as well.
    paused.pauses = vec![(100 * MS, 1_000 * MS)];
    let outcome = replay::unlimited(&steady, &paused);
    assert!(outcome.given_up < 2.0, "{outcome:?}");
    paused.pauses = vec![(100 * MS, 1_500 * MS)];
    let outcome = replay::unlimited(&steady, &paused);
    assert!(
        (1_450.0..1_560.0).contains(&outcome.given_up),
        "{outcome:?}"
    );
    assert!((1_700..1_800).contains(&outcome.met), "{outcome:?}");

    // A larger limit would hide the loss: it is not advised, unless the kernel keeps what was given up.
    let mut load = evidence(steady, paused);
    load.booted_with_audit = Some(false);
    let answer = recommend(&load, &Options::default());
    assert_eq!(answer.verdict, Verdict::LimitWillNotHelp, "{answer:?}");
    assert_eq!(answer.bottleneck, Some(Bottleneck::Socket));
    assert!(
        answer
            .reasons
            .iter()
            .any(|reason| reason.contains("a silent loss")),
        "{answer:?}"
    );
    load.booted_with_audit = Some(true);
    let answer = recommend(&load, &Options::default());
    assert_eq!(answer.verdict, Verdict::Raise, "{answer:?}");
}

#[test]
fn the_model_is_compared_with_the_trace_and_its_pace_is_corrected() {
    let by_replay = recommend(&burst(), &Options::default());
    // Half as fast as it was measured between two records that waited, since it had other things to do.
    let slow = evidence(burst().arrivals, service(400.0, 200.0));
    let truth = recommend(&slow, &Options::default());
    let mut load = slow.clone();
    load.service = Some(service(330.0, 200.0));
    load.arrivals = bins(0, &[30.0; 100]);
    let lost = replay::refusing(&load.arrivals, &service(500.0, 200.0), 64).refused_records;
    (load.refused, load.suppressed) = (1, lost - 1.0);
    let answer = recommend(&load, &Options::default());
    let right = replay::unlimited(&load.arrivals, &service(500.0, 200.0)).met;
    let needed = answer.needed.expect("told");
    assert!(
        needed.abs_diff(right) <= right / 20,
        "{needed}, not {right}"
    );
    assert_eq!(answer.confidence, Confidence::Medium);
    assert!(
        answer
            .reasons
            .iter()
            .any(|reason| reason.contains("times as slow agrees with it")),
        "{answer:?}"
    );
    // No pace explains ten times the loss: the number stays, and nobody trusts it.
    let mut load = burst();
    load.refused *= 10;
    load.suppressed *= 10.0;
    let answer = recommend(&load, &Options::default());
    assert_eq!(answer.needed, by_replay.needed);
    assert_eq!(answer.confidence, Confidence::Low);
    assert!(truth.needed >= by_replay.needed);
}

#[test]
fn a_quota_on_the_consumers_cpu_time_is_its_pace_in_the_long_run() {
    let mut load = burst();
    load.service.as_mut().expect("given").pauses = vec![(10 * MS, 100 * MS)];
    load.reads = Some(1_000);
    load.consumer_times = Some(CpuTimes {
        pid: 7,
        ran_ns: 1_000 * 40_000,
        waited_ns: 0,
    });
    load.duration_ns = 1_000 * MS;
    load.setup = Some(ConsumerSetup {
        pid: 7,
        comm: Some("auditd".into()),
        conf: Some(AuditdConf::default()),
        conf_path: Some("/etc/audit/auditd.conf".to_owned()),
        cpu_quota: Some(CpuQuota {
            quota_us: 4_000,
            period_us: 100_000,
            group: "/system.slice/auditd.service".into(),
        }),
        ..ConsumerSetup::default()
    });
    let answer = recommend(&load, &Options::default());
    assert_eq!(answer.cause, Some(Cause::Quota), "{answer:?}");
    // 40 us of CPU time a record, of which it may have 4 %: 1 ms a record.
    assert!(
        answer
            .reasons
            .iter()
            .any(|reason| reason.contains("at most 1,000 records/s")),
        "{answer:?}"
    );
    load.setup.as_mut().expect("given").is_stopped = Some(true);
    let answer = recommend(&load, &Options::default());
    assert_eq!(answer.verdict, Verdict::LimitWillNotHelp);
    assert_eq!(answer.cause, Some(Cause::Stopped));
    assert_eq!(answer.advice[0].command.as_deref(), Some("kill -CONT 7"));
}

#[test]
fn several_runs_of_a_load_are_answered_by_the_one_that_needs_most() {
    let alone = recommend(&burst(), &Options::default());
    let heavier = evidence(bins(0, &[400.0; 10]), service(200.0, 200.0));
    let most = recommend(&heavier, &Options::default());
    let runs = [burst(), heavier, burst()];
    let (place, answer) = recommend_runs(&runs, &Options::default()).expect("runs");
    assert_eq!(place, 1);
    assert_eq!(answer.limit, most.limit);
    assert_eq!(
        (answer.needed_low, answer.needed_high),
        (alone.needed_low, most.needed_high)
    );
    assert!(
        answer.reasons[0].starts_with("3 runs of this load need"),
        "{:?}",
        answer.reasons
    );
    // They differ by a quarter: the next one may differ as well.
    assert_eq!(answer.confidence, Confidence::Medium);
    let (_, one) = recommend_runs(&runs[..1], &Options::default()).expect("a run");
    assert_eq!(one, alone);
    assert_eq!(recommend_runs(&[], &Options::default()), None);
}
