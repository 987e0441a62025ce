//! Messages of kernels from 2.6.32 on.

use super::*;

fn facts(message: &str) -> Vec<Fact> {
    let mut found = Vec::new();
    Finder::default().facts(message.as_bytes(), &mut found);
    found
}

#[test]
fn losses_are_found() {
    assert_eq!(
        facts("audit: audit_lost=44393 audit_rate_limit=0 audit_backlog_limit=320"),
        [Fact::Lost {
            lost: Some(44_393),
            rate_limit: Some(0),
            limit: Some(320)
        }]
    );
    assert_eq!(
        facts("audit: audit_backlog=321 > audit_backlog_limit=320"),
        [Fact::Depth {
            depth: Some(321),
            limit: Some(320)
        }]
    );
    for (words, reason) in REASONS {
        let words = String::from_utf8_lossy(words);
        let tail = if words == "audit_pid=" { "7 reset" } else { "" };
        assert_eq!(
            facts(&format!("audit: {words}{tail}")),
            [Fact::Loss(reason)],
            "{words}"
        );
    }
    assert_eq!(
        facts("audit_log_start: 2470 callbacks suppressed"),
        [Fact::Suppressed {
            function: "audit_log_start".into(),
            lines: 2470
        }]
    );
}

#[test]
fn figures_of_a_cut_line_are_not_used() {
    for cut in [
        "audit: audit_lost=44",
        "audit: audit_lost=",
        "audit: audit_lost=44x",
    ] {
        assert_eq!(
            facts(cut),
            [Fact::Lost {
                lost: None,
                rate_limit: None,
                limit: None
            }],
            "{cut}"
        );
    }
    assert_eq!(
        facts("audit: audit_backlog=321 > audit_backl"),
        [Fact::Depth {
            depth: Some(321),
            limit: None
        }]
    );
    assert_eq!(facts("udit: backlog limit exc"), []);
}

#[test]
fn joined_lines_are_separated() {
    let found = facts(
        "audit: audit_lost=5 audit_rate_limit=0 audit_backlog_limit=64[   12.3] audit: backlog limit \
         exceeded<4>audit: audit_backlog=65 > audit_backlog_limit=64",
    );
    assert_eq!(found.len(), 3);
    assert_eq!(
        found[0],
        Fact::Lost {
            lost: Some(5),
            rate_limit: Some(0),
            limit: Some(64)
        }
    );
    assert_eq!(found[1], Fact::Loss(Reason::BacklogLimit));
}

#[test]
fn quoted_message_is_not_a_report() {
    for line in [
        "+ grep 'audit: backlog limit exceeded' /var/log/messages",
        "{\"message\":\"audit: audit_lost=5 audit_rate_limit=0\"}",
        "net_ratelimit: 5 callbacks suppressed",
        "my_type=1300 audited",
        "audit_log_start+0x1 is where the kernel is patched?",
    ] {
        let found = facts(line);
        let is_frame = |fact: &Fact| matches!(fact, Fact::Frame { .. });
        assert!(found.iter().all(is_frame), "{line}: {found:?}");
    }
}

#[test]
fn records_are_found_where_they_are_printed() {
    let printed = |record_type, serial| Fact::Printed {
        record_type,
        serial: Some(serial),
        has_key: false,
    };
    assert_eq!(
        facts("type=1400 audit(1342647550.445:19): apparmor=\"STATUS\""),
        [printed(1400, 19)]
    );
    assert_eq!(
        facts(
            "audit: type=1305 audit(1628935201.123:4): op=set audit_backlog_limit=8192 old=64 auid=4294967295 ses=4294967295 res=1"
        ),
        [
            printed(1305, 4),
            Fact::Change {
                setting: Setting::BacklogLimit,
                new: 8192,
                old: Some(64),
                done: true
            }
        ]
    );
    assert_eq!(
        facts(
            "type=CONFIG_CHANGE msg=audit(1628935201.123:4): op=set lost=0 old=900 auid=0 ses=1 res=0"
        ),
        [
            Fact::Serial(4),
            Fact::Change {
                setting: Setting::Lost,
                new: 0,
                old: Some(900),
                done: false
            }
        ]
    );
    assert_eq!(
        facts("audit: type=1300 audit(1628935201.123:4): arch=c000003e key=\"exec\"")[0],
        Fact::Printed {
            record_type: 1300,
            serial: Some(4),
            has_key: true
        }
    );
}

#[test]
fn tasks_and_panics_are_found() {
    assert_eq!(
        facts("INFO: task kworker/u32:2:113 blocked for more than 122 seconds."),
        [Fact::Blocked {
            comm: "kworker/u32:2".into(),
            pid: 113,
            seconds: Some(122)
        }]
    );
    assert_eq!(
        facts("task:rsync           state:D stack:    0 pid:188152 ppid:     1 flags:0x00004000"),
        [Fact::Blocked {
            comm: "rsync".into(),
            pid: 188_152,
            seconds: None
        }]
    );
    let frame = [Fact::Frame { is_receive: false }];
    assert_eq!(
        facts(" [<ffffffff810d1d9d>] audit_log_start+0x2cd/0x450"),
        frame
    );
    assert_eq!(facts(" audit_log_start.part.0+0x23a/0x480"), frame);
    assert_eq!(facts(" ? audit_log_start+0x23a/0x480"), [Fact::AnyFrame]);
    assert_eq!(
        facts("Kernel panic - not syncing: audit: backlog limit exceeded"),
        [Fact::Panic {
            message: "backlog limit exceeded".into(),
            reason: Some(Reason::BacklogLimit)
        }]
    );
    assert_eq!(facts("Kernel panic - not syncing: VFS: no root"), []);
    assert_eq!(
        facts("watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [kauditd:28]"),
        [Fact::SoftLockup {
            comm: "kauditd".into(),
            pid: 28,
            seconds: 22
        }]
    );
}

#[test]
fn the_boot_is_found() {
    assert_eq!(
        facts("Linux version 6.1.0-9-cloud-amd64 (debian-kernel@lists.debian.org) (gcc-12)"),
        [Fact::KernelStart {
            release: "6.1.0-9-cloud-amd64".into()
        }]
    );
    assert_eq!(
        facts("Kernel command line: ro audit=1 audit_backlog_limit=256"),
        [Fact::CommandLine(AuditBoot {
            on: true,
            off: false,
            backlog_limit: Some(256)
        })]
    );
    assert_eq!(
        facts("audit: audit_backlog_limit: 8192"),
        [Fact::BootLimit(8192)]
    );
    for (words, enabled) in [("socket (disabled)", false), ("subsys (enabled)", true)] {
        assert_eq!(
            facts(&format!("audit: initializing netlink {words}")),
            [Fact::Initialized { enabled }]
        );
    }
}
