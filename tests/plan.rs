//! The hook plan on the kernels that it was made for, told apart by what their
//! symbol lists show, and the verdicts on what became of it.

use auditwatch::{
    hooks::{
        health::{Attempt, Verdict, judge, roll_up},
        plan::{Form, HookPlan, Inputs, Preference, Role, plan},
    },
    kernel::{symbols::Symbols, types::KernelTypes},
};

/// Functions that 5.10 to 7.2 have under one name.
const COMMON: [&str; 16] = [
    "audit_log",
    "audit_set_loginuid",
    "audit_log_path_denied",
    "audit_log_start",
    "audit_log_end",
    "audit_log_lost",
    "audit_filter",
    "audit_receive_msg",
    "auditd_reset",
    "kauditd_hold_skb",
    "kauditd_rehold_skb",
    "kauditd_retry_skb",
    "kauditd_send_multicast_skb",
    "kauditd_send_queue",
    "netlink_recvmsg",
    "netlink_unicast",
];

fn symbols(more: &[&str]) -> Symbols {
    let lines: Vec<String> = COMMON
        .iter()
        .chain(more)
        .map(|name| format!("ffffffff81000000 t {name}\n"))
        .collect();
    Symbols::parse(lines.concat().as_bytes())
}

fn planned(symbols: &Symbols, preference: Preference, kprobes: Option<bool>) -> Vec<HookPlan> {
    plan(&Inputs {
        symbols,
        types: None::<&KernelTypes>,
        kprobes,
        preference,
    })
}

fn hook(plan: &[HookPlan], role: Role) -> &HookPlan {
    plan.iter()
        .find(|hook| hook.role == role)
        .expect("every role has a hook")
}

fn functions(hook: &HookPlan) -> Vec<&str> {
    hook.alternatives
        .iter()
        .flat_map(|alternative| &alternative.attachments)
        .map(|attachment| attachment.function.as_str())
        .collect()
}

#[test]
fn without_types_every_hook_is_a_probe() {
    let symbols = symbols(&[]);
    for hook in planned(&symbols, Preference::Auto, Some(true)) {
        for attachment in hook.alternatives.iter().flat_map(|way| &way.attachments) {
            assert!(
                matches!(attachment.form, Form::Kprobe | Form::Kretprobe),
                "{hook:?}"
            );
        }
        if hook.role != Role::Auxiliary {
            assert!(!hook.alternatives.is_empty(), "{hook:?}");
            assert!(
                hook.reason
                    .as_deref()
                    .is_some_and(|why| why.contains("BTF")),
                "{hook:?}"
            );
        }
    }
}

#[test]
fn a_stall_ends_in_the_part_where_the_record_ends_there() {
    let whole = symbols(&[]);
    let plan = planned(&whole, Preference::Kprobe, None);
    assert_eq!(functions(hook(&plan, Role::Stalls)), ["audit_log_end"]);
    let split = symbols(&[
        "audit_log_end.part.0",
        "audit_log_start.part.0",
        "audit_log_end.cold",
    ]);
    let plan = planned(&split, Preference::Kprobe, None);
    assert_eq!(
        functions(hook(&plan, Role::Stalls)),
        ["audit_log_end.part.0"]
    );
}

#[test]
fn attempts_are_counted_in_a_function_that_is_not_split() {
    for more in [&[][..], &["audit_log_start.part.0", "audit_log_end.part.0"]] {
        let symbols = symbols(more);
        let plan = planned(&symbols, Preference::Kprobe, None);
        assert_eq!(
            functions(hook(&plan, Role::Attempts)),
            ["audit_filter", "audit_filter"]
        );
    }
}

#[test]
fn one_record_a_buffer_needs_no_hook_for_more() {
    let plan = planned(&symbols(&[]), Preference::Kprobe, None);
    let auxiliary = hook(&plan, Role::Auxiliary);
    assert!(auxiliary.not_applicable);
    assert_eq!(judge(auxiliary, &[]).verdict, Verdict::Unneeded);
    let newer = planned(
        &symbols(&["audit_buffer_aux_new"]),
        Preference::Kprobe,
        None,
    );
    assert!(!hook(&newer, Role::Auxiliary).not_applicable);
}

#[test]
fn a_kernel_without_either_form_is_said_to_be_so() {
    let plan = planned(&symbols(&[]), Preference::Auto, Some(false));
    let attempts = hook(&plan, Role::Attempts);
    assert!(attempts.alternatives.is_empty());
    let report = judge(attempts, &[]);
    assert_eq!(report.verdict, Verdict::Unsupported);
    assert!(report.reason.is_some_and(|why| why.contains("kprobes")));
}

#[test]
fn a_function_that_is_not_there_is_named() {
    let plan = planned(&Symbols::parse(b""), Preference::Auto, None);
    let report = judge(hook(&plan, Role::Drain), &[]);
    assert_eq!(report.verdict, Verdict::Unsupported);
    assert!(
        report
            .reason
            .is_some_and(|why| why.contains("kauditd_send_multicast_skb"))
    );
}

#[test]
fn verdicts_follow_what_was_tried() {
    let plan = planned(&symbols(&[]), Preference::Kprobe, None);
    let losses = hook(&plan, Role::Losses);
    assert_eq!(judge(losses, &[Attempt::Attached]).verdict, Verdict::Ok);
    let failed = judge(losses, &[Attempt::Refused("EPERM".to_owned())]);
    assert_eq!(failed.verdict, Verdict::Failed);
    assert_eq!(failed.form, None);
    assert_eq!(failed.reason.as_deref(), Some("EPERM"));
    let stalls = judge(hook(&plan, Role::Stalls), &[Attempt::Attached]);
    assert_eq!(stalls.verdict, Verdict::Degraded);
    assert!(stalls.caveat.is_some() && stalls.reason.is_none());
    let unneeded = judge(hook(&plan, Role::Auxiliary), &[]);
    let line = roll_up(&[
        judge(losses, &[Attempt::Attached]),
        stalls,
        failed,
        unneeded,
    ]);
    assert_eq!(
        line,
        "2 of 3 hooks in place; degraded: audit_log_start; missing: audit_log_lost"
    );
}
