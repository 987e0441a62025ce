//! Excerpts as people posted them, in the shortest form of their kind, with their right answers.

use auditwatch::diagnosis::{Cause, Diagnosis, Origin, Reading, Verdict, diagnose};

fn of(log: &str) -> Diagnosis {
    let mut reading = Reading::new("log");
    reading.push(log.as_bytes());
    diagnose(vec![reading.end()], Vec::new(), &Origin::default())
}

#[track_caller]
fn is_not_started(log: &str) {
    let found = of(log);
    assert!(found.causes.contains(&Cause::NotStarted), "{found:#?}");
    assert!(!found.advice.is_empty(), "{found:#?}");
}

#[test]
fn a_unit_that_failed_is_read_from_systemctl_status() {
    is_not_started(
        "● auditd.service - Security Auditing Service\n   Loaded: loaded (/lib/systemd/system/auditd.service; enabled)\n   \
         Active: failed (Result: exit-code) since Fri 2016-10-28 19:31:48 UTC; 4s ago\n",
    );
    is_not_started(
        "× auditd.service - Security Auditing Service\n     Active: failed (Result: exit-code) since Mon 2022-06-13\n    \
         Process: 3641097 ExecStart=/sbin/auditd (code=exited, status=6)\n        CPU: 129ms\n",
    );
    // Pasted as one line.
    is_not_started(
        "systemctl status auditd× auditd.service - Security Auditing Service Loaded: loaded; enabled) Active: failed \
         (Result: exit-code) since Thu 2025-12-11 Process: 1398 ExecStart=/sbin/auditd (code=exited, status=6) CPU: 8ms\n",
    );
    // It runs, and another one failed.
    let found = of(
        "● auditd.service - Security Auditing Service\n   Active: active (running) since Fri 2016-10-28\n\
         ● trail.service - Something else\n   Active: failed (Result: exit-code)\n",
    );
    assert_eq!(found.verdict, Verdict::NothingFound, "{found:#?}");
}

#[test]
fn a_configuration_that_auditd_refuses_is_why_it_does_not_start() {
    is_not_started(
        "# /sbin/auditd -f\nConfig file /etc/audit/auditd.conf opened for parsing\n\
         Error - space_left(0) must be larger than admin_space_left(0)\n",
    );
    is_not_started(
        "Dec 11 18:23:57 h systemd[1]: auditd.service: Control process exited, code=exited, status=6/NOTCONFIGURED\n",
    );
}

#[test]
fn a_mail_that_quotes_a_log_is_read_like_the_log() {
    is_not_started(
        "> \n> Feb 19 10:27:06 h auditd[1190]: Could not open dir /var/log/audit (>\n\
         > Feb 19 10:27:06 h systemd[1]: Failed to start auditd.service - Secu>\n",
    );
    let found =
        of("> > [  100.2] audit: audit_lost=7 audit_rate_limit=0 audit_backlog_limit=320\n");
    assert_eq!(found.lost_at_least, 7);
}

#[test]
fn a_message_without_its_blank_is_a_loss() {
    let found = of("audit:backlog limit exceeded\naudit:backlog limit exceeded\n");
    assert_eq!(found.verdict, Verdict::Losses, "{found:#?}");
}

#[test]
fn no_limit_is_never_too_small() {
    let found =
        of("enabled 0\nfailure 1\npid 0\nrate_limit 0\nbacklog_limit 0\nlost 37863\nbacklog 0\n");
    assert_eq!(found.lost_at_least, 37_863);
    assert!(!found.causes.contains(&Cause::Overflow), "{found:#?}");
    let text = serde_json::to_string(&found.advice).expect("JSON");
    assert!(!text.contains("too small"), "{text}");
}

#[test]
fn a_rate_limit_that_is_only_set_is_not_blamed() {
    let settings =
        "enabled 1\nfailure 1\npid 700\nrate_limit 100\nbacklog_limit 8192\nlost 10\nbacklog 0\n";
    let found = of(settings);
    assert!(!found.causes.contains(&Cause::RateLimit), "{found:#?}");
    let found = of("[  100.2] audit: audit_lost=7 audit_rate_limit=100 audit_backlog_limit=320\n");
    assert!(found.causes.contains(&Cause::RateLimit), "{found:#?}");
}

#[test]
fn a_damaged_name_is_not_another_host() {
    let found = of(
        "Mar  1 05:00:00 web1 kernel: audit: audit_lost=900 audit_rate_limit=0 audit_backlog_limit=320\n\
         Mar  1 05:00:01 we?1 kernel: audit: audit_lost=905 audit_rate_limit=0 audit_backlog_limit=320\n\
         Mar  1 05:00:02 web1 kernel: audit: audit_lost=910 audit_rate_limit=0 audit_backlog_limit=320\n",
    );
    assert_eq!(found.lost_at_least, 910, "{found:#?}");
}
