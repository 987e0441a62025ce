//! Kinds of trouble that people met, each with a small log and its right answer.

use std::fmt::Write as _;

use auditwatch::{
    diagnosis::{Cause, Diagnosis, Origin, Reading, Verdict, diagnose},
    render::{self, style::Style},
};

fn from(log: &str, origin: &Origin) -> Diagnosis {
    let mut reading = Reading::new("log");
    reading.push(log.as_bytes());
    let found = diagnose(vec![reading.end()], Vec::new(), origin);
    // A verdict and an advice that contradict each other are worse than either.
    assert!(
        found.advice.is_empty() || found.verdict != Verdict::NothingFound,
        "{found:#?}"
    );
    found
}

fn of(log: &str) -> Diagnosis {
    from(log, &Origin::default())
}

/// The advice with its reasons and commands, in a text.
fn advice(found: &Diagnosis) -> String {
    serde_json::to_string_pretty(&found.advice).expect("JSON")
}

#[track_caller]
fn has(text: &str, words: &[&str]) {
    for words in words {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
}

#[track_caller]
fn lacks(text: &str, words: &[&str]) {
    for words in words {
        assert!(!text.contains(words), "{words:?} in {text}");
    }
}

const LOST: &str = "Mar  1 05:00:00 h kernel: audit: audit_backlog=8193 > audit_backlog_limit=8192\n\
    Mar  1 05:00:00 h kernel: audit: audit_lost=9 audit_rate_limit=0 audit_backlog_limit=8192\n";

#[test]
fn a_limit_that_was_raised_since_is_not_raised_again() {
    let found = of(&format!(
        "{LOST}Mar  1 06:00:00 h kernel: audit: type=1305 audit(1709272800.1:9): op=set \
         audit_backlog_limit=32768 old=8192 auid=0 ses=1 res=1\n"
    ));
    assert_eq!(
        (found.verdict, found.lost_at_least, found.limit_at_end),
        (Verdict::Losses, 9, Some(32_768))
    );
    lacks(
        &advice(&found),
        &["raise the limit", "16384", "8192", "-b "],
    );
    has(
        &found.notes.join("\n"),
        &["raised to 32,768", "no loss is seen since"],
    );
    // `auditctl -s` says so.
    let found = of(
        "[  100.1] audit: audit_backlog=321 > audit_backlog_limit=320\n\
         [  100.2] audit: audit_lost=7 audit_rate_limit=0 audit_backlog_limit=320\n\
         enabled 1\nfailure 1\npid 1\nrate_limit 0\nbacklog_limit 8192\nlost 7\nbacklog 0\n",
    );
    lacks(&advice(&found), &["raise the limit"]);
}

#[test]
fn a_suppressed_line_is_of_the_loss_that_follows() {
    let found = of("[  469.011800] audit_log_start: 120 callbacks suppressed\n\
        [  469.011805] audit: audit_backlog=513 > audit_backlog_limit=512\n\
        [  469.013154] audit: audit_lost=1 audit_rate_limit=0 audit_backlog_limit=512\n\
        [  469.013967] audit: backlog limit exceeded\n");
    assert_eq!(found.lost_at_least, 1);
}

#[test]
fn each_host_has_its_own_counter() {
    let mut log = String::new();
    for (second, host, lost) in [
        (0, "web1", 900),
        (1, "web2", 50),
        (2, "web2", 60),
        (3, "web1", 905),
        (4, "web2", 61),
        (5, "web2", 62),
        (6, "web1", 910),
    ] {
        writeln!(
            log,
            "Mar  1 05:00:0{second} {host} kernel: audit: audit_lost={lost} audit_rate_limit=0 \
             audit_backlog_limit=320"
        )
        .expect("text");
    }
    let found = of(&log);
    assert_eq!(
        (found.lost_at_least, found.sources[0].boots.len()),
        (972, 2)
    );
    has(
        &found.headline,
        &[
            "at least 972 records lost on 2 hosts",
            "Mar  1 05:00:00",
            "Mar  1 05:00:06",
        ],
    );
    let other = of(&log.replace(
        "web1 kernel: audit: audit_lost=910 audit_rate_limit=0 audit_backlog_limit=320",
        "web1 kernel: audit: audit_lost=910 audit_rate_limit=0 audit_backlog_limit=8192",
    ));
    lacks(
        &render::diagnosis::report(&other, Style::plain()),
        &["was 8,192"],
    );
    // A domain, and the name before the name is known, are no other hosts.
    let one = log
        .replace("web2", "web1.example.com")
        .replace("05:00:00 web1", "05:00:00 localhost");
    assert_eq!(
        of(&one).sources[0]
            .boots
            .iter()
            .filter(|boot| boot.host.is_some())
            .map(|boot| boot.host.as_ref().expect("a host").as_raw().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        1
    );
}

#[test]
fn troubles_of_the_consumer_are_findings() {
    for (line, cause, words) in [
        (
            "h auditd[821]: The audit daemon is now halting the system due to no space left on logging partition",
            Cause::Halted,
            "disk_full_action",
        ),
        (
            "h auditd[821]: write: Audit daemon detected an error writing an event to disk (Input/output error)",
            Cause::WriteError,
            "df -h",
        ),
        (
            "h auditd[821]: Audit daemon has no space left on logging partition",
            Cause::DiskFull,
            "make room",
        ),
        (
            "h kernel: Out of memory: Killed process 821 (auditd) total-vm:93000kB, anon-rss:400kB",
            Cause::ConsumerKilled,
            "OOM killer",
        ),
        (
            "h systemd[1]: auditd.service: start operation timed out. Terminating.",
            Cause::NotStarted,
            "start auditd",
        ),
        (
            "h auditd[5643]: plugin /sbin/audisp-af_unix terminated unexpectedly",
            Cause::PluginEnded,
            "plugin",
        ),
        (
            "h systemd[1]: auditd.service: Failed with result 'exit-code'.",
            Cause::ConsumerGone,
            "start auditd",
        ),
    ] {
        for date in ["Mar  1 05:00:00 ", "2024-03-01T05:00:00.123456+00:00 "] {
            let found = of(&format!("{date}{line}\n"));
            assert_ne!(found.verdict, Verdict::NothingFound, "{line}");
            assert_eq!(found.causes, [cause], "{line}");
            has(&advice(&found), &[words]);
            lacks(&advice(&found), &["raise the limit", "recommend"]);
        }
    }
    let found =
        of("[ 8811.737225] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [kauditd:28]\n");
    assert_eq!(
        (found.verdict, found.causes[0]),
        (Verdict::ConsumerFailed, Cause::KauditdStuck)
    );
    has(&found.headline, &["stuck for 26 s"]);
}

#[test]
fn lines_without_a_date_are_recognised() {
    for (log, verdict) in [
        (
            "kernel: audit: kauditd hold queue overflow\n",
            Verdict::Losses,
        ),
        ("kernel: audit: backlog limit exceeded\n", Verdict::Losses),
        (
            "auditd: Error receiving audit netlink packet (No buffer space available)\n",
            Verdict::Suspected,
        ),
        (
            "err 2023-12-04T19:47:21.371608+00:00 c21 auditd[3899]: Unable to set audit pid, exiting\n",
            Verdict::ConsumerFailed,
        ),
    ] {
        let found = of(log);
        assert_eq!(found.verdict, verdict, "{log}");
        lacks(&found.notes.join("\n"), &["no line of this log"]);
    }
    let found = of("Nov 18 11:30:23 host1 kernel: usb 1-1: new high-speed USB device\n");
    lacks(&found.notes.join("\n"), &["looks like"]);
}

#[test]
fn a_stuck_kauditd_needs_another_kernel() {
    let found = of(
        "[  460.056244] watchdog: BUG: soft lockup - CPU#1 stuck for 52s! [kauditd:32]\n\
        [  460.056302]  netlink_attachskb+0xb7/0x2f0\n\
        [  460.056315]  kauditd_send_queue+0xaf/0x170\n\
        [  469.011805] audit: audit_backlog=513 > audit_backlog_limit=512\n\
        [  469.013154] audit: audit_lost=1 audit_rate_limit=0 audit_backlog_limit=512\n",
    );
    assert_eq!(found.causes, [Cause::KauditdStuck]);
    has(&found.headline, &["kauditd", "52 s"]);
    has(
        &advice(&found),
        &["another kernel", "6.17", "no limit helps"],
    );
    lacks(&advice(&found), &["raise the limit", "apply", "recommend"]);
    // Without the trace no known fault is named.
    let other = of("[  460.0] watchdog: BUG: soft lockup - CPU#1 stuck for 52s! [kauditd:32]\n");
    lacks(&advice(&other), &["6.17"]);
}

#[test]
fn the_queue_of_audispd_is_heard_on_any_host() {
    for line in [
        "Oct  5 02:13:05 host01 audispd: queue is full - dropping event",
        "Oct  5 02:13:05 host01 audispd[99]: queue is full - dropping event",
    ] {
        let found = of(&format!("{line}\n"));
        assert_eq!(
            (found.verdict, found.causes.as_slice()),
            (Verdict::LossesInAuditd, &[Cause::DispatcherQueue][..])
        );
        has(&advice(&found), &["/etc/audisp/audispd.conf"]);
    }
    let found = of("Oct  5 02:13:05 host01 audisp-remote: queue is full - dropping event\n");
    assert_eq!(found.causes, [Cause::RemoteQueue]);
}

#[test]
fn the_rate_limit_is_named_and_no_limit_is_raised() {
    for (log, rate) in [
        (
            "11-03 04:10:34.747 W/audit   (    0): audit_lost=70627 audit_rate_limit=5 audit_backlog_limit=64\n\
             11-03 04:10:34.747 E/audit   (    0): rate limit exceeded\n",
            "5 records a second",
        ),
        (
            "[  112.628275] audit: audit_lost=306 audit_rate_limit=20 audit_backlog_limit=64\n",
            "20 records a second",
        ),
    ] {
        let found = of(log);
        assert_eq!(
            (found.causes.as_slice(), found.need),
            (&[Cause::RateLimit][..], None)
        );
        has(&found.headline, &["rate limit", rate]);
        lacks(&found.headline, &["a limit of 64"]);
        has(&advice(&found), &["auditctl -r 0", rate]);
        lacks(&advice(&found), &["raise", "recommend"]);
    }
}

#[test]
fn a_quiet_console_shows_the_reason_only() {
    let line = "[ 1275.475605] audit: backlog limit exceeded\n";
    let found = of(&format!(
        "{line}{}{}",
        line.replace("605]", "606]"),
        line.replace("605]", "607]")
    ));
    assert_eq!(found.lost_at_least, 3);
    has(
        &advice(&found),
        &[
            "raise the limit",
            "auditctl -s",
            "64 if nobody set it",
            "audit_backlog_limit=",
        ],
    );
}

#[test]
fn a_depth_far_above_the_limit_is_not_answered_by_a_limit() {
    let found = of(
        "Apr 30 12:20:42 fedora kernel: audit: audit_backlog=2152694 > audit_backlog_limit=64\n\
         Apr 30 12:20:42 fedora kernel: audit: audit_lost=6878426 audit_rate_limit=0 audit_backlog_limit=64\n\
         Apr 30 12:20:45 fedora kernel: oci-seccomp-bpf invoked oom-killer: gfp_mask=0x100cca, order=0\n",
    );
    assert_eq!(found.causes, [Cause::QueueFarAbove]);
    has(&found.headline, &["2,152,694"]);
    has(&advice(&found), &["4.6 GiB", "auditing auditd", "5.13"]);
    lacks(&advice(&found), &["raise the limit", "apply", "8,192"]);
}

#[test]
fn a_loss_days_after_boot_is_not_early() {
    let found = of(
        "Apr 28 12:00:00 h kernel: Linux version 6.1.0-18-amd64 (debian) #1 SMP\n\
        Apr 28 12:00:03 h systemd[1]: Started auditd.service - Security Auditing Service.\n\
        Apr 30 12:20:42 h kernel: audit: audit_backlog=65 > audit_backlog_limit=64\n\
        Apr 30 12:20:42 h kernel: audit: audit_lost=1 audit_rate_limit=0 audit_backlog_limit=64\n",
    );
    lacks(
        &advice(&found),
        &["before the rules", "kernel command line"],
    );
    has(&advice(&found), &["auditwatch apply 8192"]);
    let early = of(
        "Apr 28 12:00:00 h kernel: Linux version 6.1.0-18-amd64 (debian) #1 SMP\n\
        Apr 28 12:00:02 h kernel: audit: audit_backlog=65 > audit_backlog_limit=64\n\
        Apr 28 12:00:02 h kernel: audit: audit_lost=1 audit_rate_limit=0 audit_backlog_limit=64\n",
    );
    has(&advice(&early), &["before the rules", "update-grub"]);
    lacks(&advice(&early), &["grubby"]);
}

/// Losses at these seconds of a day, with a date or with the kernel's clock.
fn overflow(seconds: impl Iterator<Item = u64>, limit: u32, has_clock: bool) -> String {
    let mut log = String::new();
    for (number, second) in (1..).zip(seconds) {
        let before = if has_clock {
            format!("[{second:>5}.000000] ")
        } else {
            format!(
                "Mar  1 {:02}:{:02}:{:02} h kernel: ",
                second / 3600,
                second / 60 % 60,
                second % 60
            )
        };
        write!(
            log,
            "{before}audit: audit_backlog={} > audit_backlog_limit={limit}\n\
             {before}audit: audit_lost={} audit_rate_limit=0 audit_backlog_limit={limit}\n",
            limit + 1,
            number * 10
        )
        .expect("text");
    }
    log
}

#[test]
fn dates_are_a_clock() {
    let found = of(
        "Mar  1 05:00:00 h kernel: audit: audit_backlog=321 > audit_backlog_limit=320\n\
        Mar  1 05:00:00 h kernel: audit: audit_lost=1 audit_rate_limit=0 audit_backlog_limit=320\n\
        Mar  7 06:00:00 h kernel: audit: audit_backlog=321 > audit_backlog_limit=320\n\
        Mar  7 06:00:00 h kernel: audit: audit_lost=5000 audit_rate_limit=0 audit_backlog_limit=320\n",
    );
    assert_eq!(found.sources[0].boots[0].incidents, 2);
    has(
        &found.headline,
        &["2 times", "Mar  1 05:00:00 to Mar  7 06:00:00"],
    );
    assert_eq!(found.need.expect("a need").if_one_burst, None);
    for has_clock in [false, true] {
        // 30 minutes of losses each five seconds.
        let found = of(&overflow((0..1800).step_by(5), 8192, has_clock));
        assert_eq!(found.sources[0].boots[0].incidents, 1);
        assert_eq!(found.causes[0], Cause::SlowConsumer, "{has_clock}");
        has(&found.advice[0].what, &["make the consumer faster"]);
        // A burst each 50 s.
        let found = of(&overflow((0..86_400).step_by(50), 8192, has_clock));
        assert_eq!(found.sources[0].boots[0].incidents, 1728);
        lacks(&advice(&found), &["make the consumer faster"]);
    }
    let found = of("[  100.0] audit: audit_lost=1 audit_rate_limit=0 audit_backlog_limit=102400\n");
    lacks(
        &advice(&found),
        &["for more than a minute", "make the consumer faster"],
    );
}

#[test]
fn full_log_file_is_not_reported_as_full_disk() {
    let found = of(
        "Mar  1 05:00:00 h auditd[1716]: Audit daemon is suspending logging due to logfile size.\n\
        Mar  1 05:00:09 h auditd[1716]: Audit daemon is attempting to resume logging.\n",
    );
    assert_eq!(found.causes, [Cause::LogFileFull]);
    has(
        &advice(&found),
        &["max_log_file_action = ROTATE", "KEEP_LOGS"],
    );
    lacks(&advice(&found), &["df -h", "signal resume"]);
    let text = render::diagnosis::report(&found, Style::plain());
    lacks(&text, &["auditd resumed"]);
    let found = of("Mar  1 05:00:09 h auditd[1716]: Could not reopen a log after resume logging\n");
    assert_eq!(found.causes, [Cause::WriteError]);
}

#[test]
fn the_plugin_queue_is_configured_by_era() {
    let found = of("Mar  1 05:00:09 h auditd[812]: dispatch err (pipe full) event lost\n");
    assert_eq!(found.causes, [Cause::DispatcherQueue]);
    has(&advice(&found), &["/etc/audisp/audispd.conf", "disp_qos"]);
    let found = of("Mar  1 05:00:09 h auditd[812]: queue to plugins is full - dropping event\n");
    assert_eq!(found.causes, [Cause::PluginQueue]);
    has(&advice(&found), &["q_depth in /etc/audit/auditd.conf"]);
}

#[test]
fn a_reader_that_is_gone_is_final() {
    let found = of(
        "[173.399485] audit: netlink_unicast sending to audit_pid=5074 returned error: -111\n\
        [173.399490] Kernel panic - not syncing: audit: audit_pid=5074 reset\n",
    );
    assert_eq!(found.verdict, Verdict::Panic);
    has(
        &advice(&found),
        &[
            "no limit prevents this panic",
            "program that reads audit ended",
        ],
    );
    let text = render::diagnosis::report(&found, Style::plain());
    lacks(&text, &["tries again", "recommend", "was measured"]);
}

#[test]
fn repeated_messages_are_counted() {
    let first = "Mar  1 05:00:00 h kernel: audit: backlog limit exceeded\n";
    let repeated =
        "Mar  1 05:00:01 h kernel: message repeated 4 times: [ audit: backlog limit exceeded]\n";
    assert_eq!(of(&format!("{first}{repeated}")).lost_at_least, 5);
    let last = "Mar  1 05:00:02 h last message repeated 7 times\n";
    assert_eq!(of(&format!("{first}{last}")).lost_at_least, 8);
    // Of another line.
    let usb = "Mar  1 05:00:01 h kernel: usb 1-1: new high-speed USB device\n";
    assert_eq!(of(&format!("{first}{usb}{last}")).lost_at_least, 1);
}

#[test]
fn commands_fit_the_kernel_and_the_disk() {
    let loss = "[  469.1] audit: audit_backlog=321 > audit_backlog_limit=320\n\
        [  469.2] audit: audit_lost=1 audit_rate_limit=0 audit_backlog_limit=320\n";
    for kernel in [
        "2.6.32-754.el6.x86_64",
        "3.10.0-1160.el7.x86_64",
        "3.13.0-170-generic",
        "4.14.1",
        "4.18.0-553.el8_10.x86_64",
    ] {
        let log = format!(
            "[    0.0] Linux version {kernel} (x@y) #1\n{loss}\
            [  500.0] INFO: task rsync:188 blocked for more than 120 seconds.\n\
            [  500.1]  [<ffffffff810d1d9d>] audit_log_start+0x2cd/0x450\n"
        );
        let found = of(&log);
        lacks(&advice(&found), &["auditwatch"]);
        has(&advice(&found), &["auditctl -b 8192"]);
        let disk = Origin {
            root: Some("/mnt/disk".to_owned()),
            os_release: None,
        };
        let found = from(&log, &disk);
        has(&advice(&found), &["auditwatch apply 8192 --root /mnt/disk"]);
        lacks(
            &advice(&found),
            &[
                "auditctl -b",
                "service ",
                "rescue",
                "DIR",
                "systemctl",
                "recommend",
            ],
        );
    }
    let el6 = of(&format!(
        "[    0.0] Linux version 2.6.32-754.el6.x86_64 (x@y) #1\n{loss}\
        [  900.0] audit: *NO* daemon at audit_pid=1216\n"
    ));
    has(&advice(&el6), &["service auditd start"]);
    lacks(&advice(&el6), &["journalctl", "systemctl"]);
}
