//! Traces, records and queues in logs, each with its right answer.

use std::fmt::Write as _;

use auditwatch::{
    diagnosis::{Cause, Diagnosis, Origin, Reading, Verdict, diagnose},
    render::{self, style::Style},
};

fn of(log: &str) -> Diagnosis {
    let mut reading = Reading::new("log");
    reading.push(log.as_bytes());
    diagnose(vec![reading.end()], Vec::new(), &Origin::default())
}

#[track_caller]
fn has(text: &str, words: &[&str]) {
    for words in words {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
}

#[test]
fn records_in_the_log_name_the_talkers() {
    let mut log = String::new();
    for serial in 0..9 {
        writeln!(
            log,
            "[  100.{serial}00000] audit: type=1300 audit(1709272800.1:{serial}): arch=c000003e syscall=87 auid=1000 \
             comm=\"cp\" exe=\"/usr/bin/cp\" key=\"tmp\""
        )
        .expect("text");
    }
    log += "[  101.2] audit: audit_backlog=321 > audit_backlog_limit=320\n";
    let found = of(&log);
    has(
        &render::diagnosis::report(&found, Style::plain()),
        &["9 of 9 SYSCALL records: /usr/bin/cp, auid 1000, key tmp"],
    );
    // An audit.log, in which events are missing.
    let log: String = [1, 2, 3, 4, 5, 8, 9, 10]
        .iter()
        .map(|serial| format!("type=SYSCALL msg=audit(1709272800.123:{serial}): arch=c000003e comm=\"cp\" exe=\"/usr/bin/cp\" key=(null)\n"))
        .collect::<Vec<String>>()
        .concat();
    let found = of(&log);
    assert_eq!(
        (found.verdict, found.causes.as_slice()),
        (Verdict::LossesInAuditd, &[Cause::MissingEvents][..])
    );
    has(&found.headline, &["2 events are missing from audit.log"]);
    assert_eq!(found.sources[0].boots[0].talkers[0].records, 8);
}

#[test]
fn a_trace_within_audit_is_a_finding() {
    let recursion =
        "[   27.603420]  kauditd_hold_skb+0x79/0xb0\n[   27.603420]  auditd_reset+0x2f/0x70\n";
    let found = of(recursion);
    assert_eq!(found.causes, [Cause::KernelFault]);
    assert!(found.advice[0].what.contains("kernel"), "{found:#?}");
    let found = of(
        "May 17 20:12:56 h kernel: schedule_timeout: wrong timeout value ffffffffffffe9e0\n\
         May 17 20:12:56 h kernel:Pid:3560, comm: udevd Not tainted 2.6.32-220.13.1.el6.x86_64 #1\n\
         May 17 20:12:56 h kernel:[<ffffffff810cc0c9>] ? audit_log_start+0x259/0x490\n",
    );
    assert_eq!(found.causes, [Cause::KernelFault]);
    assert!(found.advice[0].why.contains("RHSA-2013:1173"), "{found:#?}");
    // The same trace without audit.
    assert!(
        of("[    1.0] schedule_timeout: wrong timeout value fff\n")
            .causes
            .is_empty()
    );
}

#[test]
fn a_queue_that_is_long_already_needs_a_faster_consumer() {
    let found = of(
        "kernel: audit: audit_backlog=65537 > audit_backlog_limit=65536\n\
         kernel: audit: audit_lost=126533574 audit_rate_limit=0 audit_backlog_limit=65536\n",
    );
    assert!(
        found.advice[0].what.contains("consumer faster"),
        "{found:#?}"
    );
    assert!(
        found
            .advice
            .iter()
            .all(|advice| !advice.what.contains("raise"))
    );
}

#[test]
fn losses_are_counted_by_day() {
    let mut log = String::new();
    for (day, lost) in [(1, 900), (1, 905), (2, 1000), (4, 1001)] {
        writeln!(
            log,
            "Mar  {day} 05:00:00 h kernel: audit: audit_lost={lost} audit_rate_limit=0 audit_backlog_limit=320"
        )
        .expect("text");
    }
    let text = render::diagnosis::by_day(&of(&log), Style::plain());
    has(
        &text,
        &[
            "03-01  at least 6 records lost",
            "03-02  at least 95 records lost",
            "03-04  at least 1 record lost",
        ],
    );
}
