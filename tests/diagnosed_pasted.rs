//! Lines as people paste them into a report, with their dates cut off.

use auditwatch::diagnosis::{Diagnosis, Origin, Reading, Verdict, diagnose};

fn of(log: &str) -> Diagnosis {
    let mut reading = Reading::new("log");
    reading.push(log.as_bytes());
    diagnose(vec![reading.end()], Vec::new(), &Origin::default())
}

#[test]
fn a_line_without_its_date_is_heard() {
    for (line, verdict) in [
        (
            "h auditd[821]: The audit daemon is now halting the system due to no space left on logging partition",
            Verdict::ConsumerFailed,
        ),
        (
            "h auditd[821]: write: Audit daemon detected an error writing an event to disk (Input/output error)",
            Verdict::ConsumerFailed,
        ),
        (
            "h auditd[821]: Audit daemon has no space left on logging partition",
            Verdict::ConsumerFailed,
        ),
        (
            "h kernel: Out of memory: Killed process 821 (auditd) total-vm:93000kB, anon-rss:400kB",
            Verdict::ConsumerFailed,
        ),
        (
            "h systemd[1]: auditd.service: start operation timed out. Terminating.",
            Verdict::ConsumerFailed,
        ),
        (
            "h auditd[5643]: plugin /sbin/audisp-af_unix terminated unexpectedly",
            Verdict::ConsumerFailed,
        ),
        (
            "[ 8811.737225] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [kauditd:28]",
            Verdict::ConsumerFailed,
        ),
        (
            "kernel: audit: kauditd hold queue overflow",
            Verdict::Losses,
        ),
        (
            "h sudo[7]: grep backlog limit exceeded",
            Verdict::NothingFound,
        ),
    ] {
        let found = of(&format!("{line}\n"));
        assert_eq!(found.verdict, verdict, "{line}");
        let is_finding = verdict != Verdict::NothingFound;
        assert_eq!(!found.advice.is_empty(), is_finding, "{line}");
    }
}

#[test]
fn records_printed_long_after_auditd_was_stopped_are_a_finding() {
    let log = |later: &str| {
        format!(
            "Mar  1 05:00:00 h systemd[1]: Stopped auditd.service - Security Auditing Service.\n\
             Mar  1 {later} h kernel: audit: type=1131 audit(1709272800.1:9): pid=1 uid=0 msg='unit=x'\n"
        )
    };
    assert_eq!(of(&log("05:10:00")).verdict, Verdict::Suspected);
    // A host that shuts down.
    assert_eq!(of(&log("05:00:04")).verdict, Verdict::NothingFound);
}
