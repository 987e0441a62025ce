//! The bottleneck by its evidence, and what to do about it in the order of what it does.

#[path = "fixtures/loads.rs"]
mod loads;

use auditwatch::{
    auditd::{ConsumerSetup, CpuTimes, conf::AuditdConf, state::AuditdState},
    recommend::{
        Advice, Bottleneck, Cause, Confidence, Options, Recommendation, Verdict,
        model::evidence::Evidence, policy, recommend,
    },
};
use loads::{MS, bins, burst, evidence, service};

const CONF: &str = "/etc/audit/auditd.conf";

/// auditd with this configuration.
fn auditd(conf: &str) -> ConsumerSetup {
    ConsumerSetup {
        pid: 7,
        comm: Some("auditd".into()),
        nice: Some(-4),
        conf_path: Some(CONF.to_owned()),
        conf: Some(AuditdConf::parse(conf)),
        plugins: Some(Vec::new()),
        rmem_default_bytes: Some(212_992),
        ..ConsumerSetup::default()
    }
}

/// 100 records a second, of which the consumer takes 45, for two seconds.
fn slow_disk() -> Evidence {
    let mut load = evidence(bins(0, &[4.0; 500]), service(22_000.0, 20.0));
    load.last_attempt_ns = 2_000 * MS;
    load
}

fn answer(mut load: Evidence, setup: ConsumerSetup) -> Recommendation {
    load.setup = Some(setup);
    recommend(&load, &Options::default())
}

fn says(answer: &Recommendation, words: &str) -> bool {
    answer.reasons.iter().any(|reason| reason.contains(words))
}

fn advice<'a>(answer: &'a Recommendation, words: &str) -> &'a Advice {
    answer
        .advice
        .iter()
        .find(|advice| advice.action.contains(words))
        .unwrap_or_else(|| panic!("no advice on {words}: {answer:#?}"))
}

#[test]
fn an_auditd_that_syncs_each_record_is_named_with_its_file_and_pace() {
    for flush in ["sync", "DATA"] {
        let conf = format!("flush = {flush}\nlog_format = RAW\n");
        let answer = answer(slow_disk(), auditd(&conf));
        assert_eq!(answer.verdict, Verdict::LimitWillNotHelp);
        assert_eq!(answer.bottleneck, Some(Bottleneck::Consumer));
        assert_eq!(answer.cause, Some(Cause::FlushEachRecord));
        let flush = flush.to_lowercase();
        assert!(
            says(&answer, &format!("flush = {flush} in {CONF}")),
            "{answer:#?}"
        );
        assert!(says(&answer, "22 ms a record"), "{answer:#?}");
        let first = &answer.advice[0];
        assert!(first.action.contains("incremental_async and freq = 50"));
        // 1,000 a second must be taken.
        assert!(first.effect.contains("takes 1 ms at most"), "{first:?}");
        assert!(first.spares.is_some_and(|lost| lost >= 100), "{first:?}");
        assert_eq!(answer.limit, None);
    }
}

#[test]
fn setting_without_effect_is_not_a_cause() {
    // Nothing is written, so that there is nothing to sync.
    let quiet = answer(slow_disk(), auditd("flush = sync\nwrite_logs = no\n"));
    assert_eq!(quiet.cause, None, "{quiet:#?}");
    // It syncs now and then, but no record took longer than others.
    let even = answer(slow_disk(), auditd("flush = incremental\nfreq = 20\n"));
    assert_eq!(even.cause, None, "{even:#?}");
    // auditd kept up, and kauditd did not get the CPU.
    let mut starved = burst();
    starved.depth_max_with_room = Some(65);
    starved.service = Some(service(1.0, 200.0));
    let starved = answer(starved, auditd("flush = sync\n"));
    assert_eq!(starved.verdict, Verdict::Raise);
    assert_eq!(starved.confidence, Confidence::Low);
    assert_eq!(starved.bottleneck, Some(Bottleneck::Kauditd));
    assert_eq!(starved.cause, None);
    // Nobody was hurt.
    let mut calm = burst();
    (calm.refused, calm.suppressed, calm.depth_max) = (0, 0.0, Some(10));
    let calm = answer(calm, auditd("flush = sync\n"));
    assert_eq!((calm.verdict, calm.cause), (Verdict::Keep, None));
    assert_eq!(calm.advice, Vec::new());
}

#[test]
fn missing_cpu_time_of_auditd_precedes_its_settings() {
    let with = |ran_ms: u64, waited_ms: u64| {
        let mut load = slow_disk();
        load.reads = Some(100);
        load.consumer_times = Some(CpuTimes {
            pid: 7,
            ran_ns: ran_ms * MS,
            waited_ns: waited_ms * MS,
        });
        answer(load, auditd("flush = sync\n"))
    };
    // Of 22 ms for each of 100 records.
    let busy = with(1_500, 100);
    assert_eq!(busy.cause, Some(Cause::Cpu), "{busy:#?}");
    assert!(says(&busy, "runs for 15 ms"), "{busy:#?}");
    assert!(
        busy.advice[0].action.contains("reduce auditd's work"),
        "{busy:#?}"
    );
    let starved = with(100, 1_500);
    assert_eq!(starved.cause, Some(Cause::CpuWait), "{starved:#?}");
    assert_eq!(with(100, 100).cause, Some(Cause::FlushEachRecord));
}

#[test]
fn pauses_are_laid_to_the_setting_that_makes_them() {
    let mut load = evidence(bins(0, &[10.0; 200]), service(200.0, 100.0));
    let service = load.service.as_mut().expect("given");
    service.pauses = vec![(100 * MS, 300 * MS), (500 * MS, 700 * MS)];
    let cases = [
        (
            "flush = incremental\nfreq = 20\n",
            Cause::FlushEveryFew,
            "freq = 20",
        ),
        ("max_log_file = 8\n", Cause::Rotation, "max_log_file = 8 in"),
        (
            "max_log_file_action = ignore\n",
            Cause::Pauses,
            "paused 2 times (400 ms in total)",
        ),
        (
            "write_logs = no\nflush = incremental\n",
            Cause::Pauses,
            "paused 2 times",
        ),
    ];
    for (conf, cause, words) in cases {
        let answer = answer(load.clone(), auditd(conf));
        assert_eq!(answer.cause, Some(cause), "{conf}: {answer:#?}");
        assert!(says(&answer, words), "{conf}: {answer:#?}");
        // Without them nobody is in the way: the present limit holds the load.
        let first = &answer.advice[0];
        assert!(
            first.needed.is_some_and(|need| need < 64),
            "{conf}: {first:?}"
        );
        assert!(
            first.spares.is_some_and(|lost| lost >= 1),
            "{conf}: {first:?}"
        );
    }
}

#[test]
fn slow_records_among_fast_ones_are_the_syncs_between() {
    let mut load = evidence(bins(0, &[9.6; 500]), service(1_000.0, 100.0));
    load.service.as_mut().expect("given").usual_ns = Some(30_000);
    let incremental = answer(load.clone(), auditd("flush = incremental\nfreq = 20\n"));
    assert_eq!(incremental.cause, Some(Cause::FlushEveryFew));
    assert!(
        says(&incremental, "every freq = 20 records"),
        "{incremental:#?}"
    );
    // In a thread of its own it keeps nobody waiting.
    assert_eq!(answer(load, auditd("")).cause, None);
}

#[test]
fn a_consumer_that_is_not_auditd_is_named() {
    let other = ConsumerSetup {
        pid: 99,
        comm: Some("osqueryd".into()),
        ..ConsumerSetup::default()
    };
    let answer = answer(slow_disk(), other);
    assert_eq!(answer.cause, Some(Cause::OtherConsumer));
    assert!(
        says(&answer, "the consumer is osqueryd (pid 99), not auditd"),
        "{answer:#?}"
    );
    assert!(
        says(&answer, "osqueryd reads at most 46 records/s (22 ms each)"),
        "{answer:#?}"
    );
}

#[test]
fn settings_that_take_time_are_advised_on_last() {
    let mut setup = auditd("priority_boost = 0\n");
    setup.plugins = Some(vec!["af_unix".to_owned()]);
    setup.nice = Some(0);
    let answer = answer(burst(), setup);
    assert_eq!(answer.verdict, Verdict::Raise);
    assert_eq!(answer.cause, None);
    assert!(
        answer.advice[0].action.contains("set the limit"),
        "{answer:#?}"
    );
    assert!(advice(&answer, "plugins").evidence.contains("af_unix"));
    assert!(
        advice(&answer, "log_format = raw")
            .evidence
            .contains("looks up names for each record")
    );
    assert!(
        advice(&answer, "priority_boost = 4")
            .evidence
            .contains("nice value 0")
    );
}

#[test]
fn records_that_auditd_throws_away_come_first_while_the_report_is_fresh() {
    let mut setup = auditd("disk_full_action = SUSPEND\n");
    setup.state = Some(AuditdState {
        logging_suspended: Some(true),
        plugin_overflow: Some(true),
        plugin_queue: Some(2000),
        plugin_depth_max: Some(2000),
        ..AuditdState::default()
    });
    setup.state_path = Some("/run/auditd.state".to_owned());
    setup.state_age_ns = Some(3_000 * MS);
    let mut load = burst();
    (load.refused, load.suppressed, load.attempted) = (100, 200.0, Some(1_500));
    let fresh = answer(load, setup.clone());
    assert!(says(&fresh, "auditd has suspended logging"), "{fresh:#?}");
    assert!(says(&fresh, "/run/auditd.state, 3 s old"), "{fresh:#?}");
    assert!(fresh.advice[0].action.contains("free space"), "{fresh:#?}");
    assert_eq!(fresh.advice[0].command.as_deref(), Some("kill -USR2 7"));
    assert!(
        advice(&fresh, "q_depth")
            .evidence
            .contains("peak was 2,000 of 2,000")
    );
    // What an old one says may no longer be so.
    setup.state_age_ns = Some(7_200_000 * MS);
    let old = answer(burst(), setup);
    assert!(says(&old, "2 h 00 min old"), "{old:#?}");
    assert!(old.advice[0].action.contains("set the limit"), "{old:#?}");
}

#[test]
fn a_larger_socket_is_weighed_by_a_replay() {
    let mut load = evidence(bins(0, &[50.0; 25]), service(200.0, 200.0));
    load.socket_bytes = Some(212_992);
    let answer = answer(load.clone(), auditd(""));
    let socket = advice(&answer, "net.core.rmem_default");
    assert_eq!(
        socket.command.as_deref(),
        Some("sysctl -w net.core.rmem_default=851968")
    );
    assert_eq!(
        socket.undo.as_deref(),
        Some("sysctl -w net.core.rmem_default=212992")
    );
    // 600 more fit in than were in the way.
    assert!(socket.needed.is_some_and(|need| need < 64), "{socket:?}");
    assert!(socket.spares.is_some_and(|lost| lost >= 100), "{socket:?}");
    // Where its room was not measured nothing is promised.
    load.service.as_mut().expect("given").socket_is_measured = false;
    let unsure = recommend(&load, &Options::default());
    assert!(
        unsure
            .advice
            .iter()
            .all(|advice| !advice.action.contains("rmem"))
    );
}

#[test]
fn losses_that_no_limit_touches_have_their_commands() {
    let mut limited = burst();
    limited.rate_limit = Some(300);
    limited.other_losses.rate_limit = 1000;
    let answer = recommend(&limited, &Options::default());
    let first = &answer.advice[0];
    assert_eq!(first.command.as_deref(), Some("auditctl -r 0"));
    assert_eq!(first.undo.as_deref(), Some("auditctl -r 300"));
    assert_eq!(first.spares, Some(1000));
    let mut silent = burst();
    silent.other_losses.silent = 1000;
    let answer = recommend(&silent, &Options::default());
    assert!(advice(&answer, "audit=1").evidence.contains("no counter"));
    assert_eq!(advice(&answer, "audit=1").spares, Some(1000));
}

#[test]
fn wait_time_is_advised_only_if_it_should_change() {
    let with = |ticks, failure| {
        let mut load = burst();
        load.wait_time_ticks = Some(ticks);
        load.wait_time_ns = Some(ticks * 4 * MS);
        load.failure = Some(failure);
        recommend(&load, &Options::default())
    };
    assert_eq!(with(15_000, 1).wait_time_ns, None);
    let mistaken = with(60_000, 1);
    assert_eq!(mistaken.wait_time_ns, Some(60_000 * MS));
    assert!(says(&mistaken, "4 min 00 s on this host"), "{mistaken:#?}");
    let panics = with(60_000, 2);
    assert_eq!(panics.wait_time_ns, None);
    assert!(says(&panics, "panics this host (-f 2)"), "{panics:#?}");
    assert_eq!(with(0, 1).wait_time_ns, None);
    assert_eq!(with(0, 2).wait_time_ns, Some(60_000 * MS));
}

#[test]
fn if_no_limit_helps_loss_and_stall_are_compared() {
    let waits = |failure| {
        let mut load = slow_disk();
        (load.refused, load.suppressed, load.stalls) = (0, 0.0, 400);
        load.wait_time_ticks = Some(15_000);
        load.wait_time_ns = Some(60_000 * MS);
        load.failure = Some(failure);
        recommend(&load, &Options::default())
    };
    let trade = waits(1);
    assert_eq!(trade.verdict, Verdict::LimitWillNotHelp, "{trade:#?}");
    assert_eq!(trade.wait_time_ns, None);
    let switch = advice(&trade, "set the wait time to 0");
    assert_eq!(
        switch.command.as_deref(),
        Some("auditctl --backlog_wait_time 0")
    );
    assert!(switch.effect.contains("of 2,000 records"), "{switch:?}");
    // A loss would be a panic.
    let panics = waits(2);
    let commands = panics
        .advice
        .iter()
        .filter_map(|advice| advice.command.as_deref());
    assert!(
        commands
            .into_iter()
            .all(|command| !command.ends_with("wait_time 0"))
    );
    let lost = recommend(&slow_disk(), &Options::default());
    let wait = advice(&lost, "let tasks wait");
    assert_eq!(
        wait.command.as_deref(),
        Some("auditctl --backlog_wait_time 15000")
    );
}

#[test]
fn a_longer_queue_is_said_to_stall_longer() {
    let mut load = burst();
    load.wait_time_ticks = Some(15_000);
    load.wait_time_ns = Some(60_000 * MS);
    load.stalls = 20;
    let answer = recommend(&load, &Options::default());
    assert!(says(&answer, "rarer, not shorter"), "{answer:#?}");
    assert!(!says(
        &recommend(&burst(), &Options::default()),
        "rarer, not shorter"
    ));
}

#[test]
fn the_rule_that_a_limit_breaks_is_named() {
    let answer = recommend(&burst(), &Options::default());
    assert!(
        answer
            .limit
            .is_some_and(|limit| limit < policy::LEAST_LIMIT)
    );
    assert_eq!(answer.breaks_rules, policy::broken_by(1));
    let stig = Options {
        floor: Some(policy::LEAST_LIMIT),
        floor_reason: Some(format!("the policy stig ({})", policy::STIG)),
        ..Options::default()
    };
    let answer = recommend(&burst(), &stig);
    assert_eq!(answer.limit, Some(8192));
    assert_eq!(answer.breaks_rules, Vec::<String>::new());
    assert!(
        says(&answer, "V-230469") && says(&answer, "at least 8,192"),
        "{answer:#?}"
    );
}

#[test]
fn boot_default_is_named() {
    let answer = recommend(&burst(), &Options::default());
    let set = advice(&answer, "set the limit");
    assert!(
        set.evidence.contains("the kernel's default at boot"),
        "{set:?}"
    );
    assert!(set.action.contains("audit_backlog_limit="), "{set:?}");
    assert_eq!(set.undo.as_deref(), Some("auditwatch undo"));
}

#[test]
fn advice_has_all_its_keys_in_json() {
    let answer = serde_json::to_value(recommend(&burst(), &Options::default())).expect("written");
    let advice = answer["advice"][0].as_object().expect("an object");
    for key in [
        "action", "effect", "evidence", "command", "undo", "spares", "needed",
    ] {
        assert!(advice.contains_key(key), "{key}: {advice:?}");
    }
    for key in [
        "confidence_reasons",
        "cause",
        "wait_time_ns",
        "breaks_rules",
    ] {
        assert!(answer.get(key).is_some(), "{key}: {answer}");
    }
}
