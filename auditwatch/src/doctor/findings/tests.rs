//! Findings, each by the host that it is about.

use super::*;
use crate::{
    auditd::registered::Registered,
    doctor::diagnose,
    kernel::{cmdline::AuditBoot, privileges::Privileges},
    netlink::status::AuditStatus,
};

fn healthy() -> Inputs {
    Inputs {
        privileges: Privileges::parse(
            "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n",
            Some("user:[4026531837]"),
            Some("pid:[4026531836]"),
        ),
        lockdown: Some("none".to_owned()),
        lsm: Some(vec!["capability".to_owned()]),
        boot: Some(AuditBoot::parse("audit=1")),
        btf: Some(Ok(())),
        symbols: SymbolView::Full,
        kprobes: Some(true),
        hz: Some(250),
        hooks: Some(Ok(Vec::new())),
        netlink: Some(Ok(AuditStatus {
            enabled: 1,
            ..AuditStatus::default()
        })),
        ..Inputs::default()
    }
}

fn severity(inputs: Inputs, topic: &str) -> Option<Severity> {
    diagnose(inputs)
        .findings
        .into_iter()
        .find(|finding| finding.topic == topic)
        .map(|finding| finding.severity)
}

#[test]
fn a_healthy_host_has_nothing_but_ok() {
    let diagnosis = diagnose(healthy());
    assert!(diagnosis.usable && diagnosis.pollable);
    for finding in &diagnosis.findings {
        assert_eq!(finding.severity, Severity::Ok, "{finding:?}");
    }
    assert!(diagnosis.verdict.starts_with("usable"));
}

#[test]
fn a_refusal_blocks_and_names_the_way_out() {
    let diagnosis = diagnose(Inputs {
        hooks: Some(Err("EPERM".to_owned())),
        ..healthy()
    });
    assert!(!diagnosis.usable);
    assert!(diagnosis.verdict.contains("--source poll"));
    let first = diagnosis.findings.first().expect("a finding");
    assert_eq!(first.severity, Severity::Blocker);
    assert!(first.remedy.is_some());
}

#[test]
fn missing_feature_blocks_only_if_tracing_is_impossible() {
    let confidential = |hooks| Inputs {
        lockdown: Some("confidentiality".to_owned()),
        hooks: Some(hooks),
        ..healthy()
    };
    assert_eq!(
        severity(confidential(Err("EPERM".to_owned())), "lockdown"),
        Some(Severity::Blocker)
    );
    assert_eq!(
        severity(confidential(Ok(Vec::new())), "lockdown"),
        Some(Severity::Note)
    );
}

#[test]
fn kprobes_that_are_for_root_only_are_named() {
    let bpf_only = Privileges::parse(
        "Uid:\t65534\t65534\t65534\t65534\nCapEff:\t000000c440000000\n",
        Some("user:[4026531837]"),
        Some("pid:[4026531836]"),
    );
    let inputs = |level| Inputs {
        privileges: bpf_only.clone(),
        perf_event_paranoid: Some(level),
        ..healthy()
    };
    assert_eq!(severity(inputs(3), "kprobes"), Some(Severity::Note));
    assert_eq!(severity(inputs(2), "kprobes"), Some(Severity::Ok));
}

#[test]
fn dangers_of_the_settings_are_named() {
    let status = AuditStatus {
        enabled: 2,
        failure: 2,
        ..AuditStatus::default()
    };
    let inputs = || Inputs {
        netlink: Some(Ok(status.clone())),
        boot: Some(AuditBoot::default()),
        ..healthy()
    };
    assert_eq!(severity(inputs(), "-e 2"), Some(Severity::Note));
    assert_eq!(severity(inputs(), "-f 2"), Some(Severity::Warning));
    assert_eq!(severity(inputs(), "audit=1"), Some(Severity::Note));
}

#[test]
fn a_host_that_writes_no_records_is_warned_of() {
    let auditd = |pid, state| {
        Some(Registered {
            pid,
            comm: Some("auditd".into()),
            state,
            ..Registered::default()
        })
    };
    let works = diagnose(Inputs {
        auditd: auditd(77, Some('S')),
        ..healthy()
    });
    assert!(works.verdict.ends_with("; 0 warnings"), "{}", works.verdict);
    let stopped = diagnose(Inputs {
        auditd: auditd(77, Some('T')),
        ..healthy()
    });
    assert!(
        stopped.verdict.ends_with("; 1 warning"),
        "{}",
        stopped.verdict
    );
    let first = stopped.findings.first().expect("a finding");
    assert_eq!(first.text, "auditd (pid 77) is stopped (T)");
    assert_eq!(first.remedy.as_deref(), Some("kill -CONT 77"));
    let off = diagnose(Inputs {
        auditd: auditd(0, None),
        enabled: Some(0),
        ..healthy()
    });
    assert!(off.verdict.ends_with("; 2 warnings"), "{}", off.verdict);
}

#[test]
fn audit_off_blocks() {
    let inputs = Inputs {
        boot: Some(AuditBoot::parse("audit=0")),
        ..healthy()
    };
    let diagnosis = diagnose(inputs);
    assert!(!diagnosis.usable);
    assert!(diagnosis.verdict.contains("audit=0"));
}

#[test]
fn capabilities_that_admin_implies_are_not_missed() {
    let privileges = Privileges::parse("CapEff:\t0000002040200000\n", None, None);
    let inputs = Inputs {
        privileges,
        ..healthy()
    };
    let lacking = diagnose(inputs)
        .findings
        .into_iter()
        .find(|finding| finding.topic == "capabilities")
        .expect("a finding");
    assert_eq!(lacking.text, "this process lacks CAP_SYSLOG");
}

#[test]
fn unknown_facts_are_not_reported() {
    let diagnosis = diagnose(Inputs::default());
    assert!(!diagnosis.usable);
    assert!(
        diagnosis
            .findings
            .iter()
            .all(|finding| finding.topic == "kallsyms" || finding.topic == "hz")
    );
}
