//! Tests of the preflight: what is refused, and that nothing dangerous passes.

use proptest::prelude::*;

use super::*;

fn host() -> Facts {
    Facts {
        state: Some(KernelState {
            depth: Some(3),
            limit: Some(320),
            enabled: Some(1),
            failure: Some(1),
            wait_time_jiffies: Some(15_000),
            ..KernelState::default()
        }),
        hz: Some(250),
        available_bytes: Some(1 << 30),
        ..Facts::default()
    }
}

fn with(change: impl FnOnce(&mut KernelState)) -> Facts {
    let mut facts = host();
    let mut state = facts.state.take().unwrap_or_default();
    change(&mut state);
    facts.state = Some(state);
    facts
}

fn to(limit: u32) -> Target {
    Target {
        backlog_limit: Some(limit),
        backlog_wait_time: None,
        runtime: true,
        persist: true,
    }
}

fn refused(target: &Target, facts: &Facts) -> Option<String> {
    check(target, facts)
        .refusal()
        .map(|finding| finding.code.clone())
}

#[test]
fn a_plain_raise_is_fine() {
    let outcome = check(&to(8192), &host());
    assert_eq!(outcome.refusal(), None);
    assert_eq!(outcome.runtime, Runtime::Set);
    assert_eq!(check(&to(320), &host()).runtime, Runtime::AlreadySo);
}

#[test]
fn no_limit_at_all_is_refused() {
    assert_eq!(refused(&to(0), &host()).as_deref(), Some("unlimited"));
}

#[test]
fn a_locked_kernel_is_left_alone() {
    let locked = with(|state| state.enabled = Some(2));
    let outcome = check(&to(8192), &locked);
    assert_eq!(outcome.runtime, Runtime::PendingReboot);
    assert_eq!(outcome.refusal(), None);
    assert!(outcome.findings[0].message.contains("pending reboot"));
    let runtime_only = Target {
        persist: false,
        ..to(8192)
    };
    assert_eq!(
        refused(&runtime_only, &locked).as_deref(),
        Some("immutable")
    );
}

#[test]
fn a_queue_over_its_limit_takes_a_raise_above_it_and_nothing_else() {
    let full = with(|state| state.depth = Some(400));
    assert_eq!(refused(&to(8192), &full), None);
    for limit in [64, 300, 399, 400] {
        assert_eq!(
            refused(&to(limit), &full).as_deref(),
            Some("below_depth"),
            "{limit}"
        );
    }
    let wait = Target {
        backlog_limit: None,
        backlog_wait_time: Some(250),
        ..to(1)
    };
    assert_eq!(refused(&wait, &full).as_deref(), Some("over_limit"));
    assert_eq!(refused(&wait, &host()), None);
}

#[test]
fn policy_minimum_names_its_source() {
    let mut facts = host();
    facts.floors.push(Floor {
        limit: 8192,
        asked_by: "the policy cis".to_owned(),
    });
    let outcome = check(&to(1000), &facts);
    let refusal = outcome.refusal().expect("a refusal");
    assert!(
        refusal.message.contains("the policy cis"),
        "{}",
        refusal.message
    );
    assert_eq!(refused(&to(8192), &facts), None);
    assert!(
        check(&to(1000), &host())
            .findings
            .iter()
            .any(|f| f.code == "baseline")
    );
}

#[test]
fn container_is_recognised() {
    let mut facts = host();
    facts.privileges.initial_pid_namespace = Some(false);
    let outcome = check(&to(8192), &facts);
    let refusal = outcome.refusal().expect("a refusal");
    assert!(refusal.message.contains("hostPID"), "{}", refusal.message);
    facts.privileges.initial_user_namespace = Some(false);
    assert_eq!(
        refused(&to(8192), &facts).as_deref(),
        Some("user_namespace")
    );
    // Files can be changed all the same.
    let files = Target {
        runtime: false,
        ..to(8192)
    };
    assert_eq!(refused(&files, &facts), None);
}

#[test]
fn memory_that_is_not_there_is_not_promised() {
    let mut facts = host();
    facts.available_bytes = Some(10 << 20);
    assert_eq!(refused(&to(8192), &facts).as_deref(), Some("memory"));
    facts.available_bytes = Some(60 << 20);
    let outcome = check(&to(8192), &facts);
    assert_eq!(outcome.refusal(), None);
    assert!(
        outcome
            .findings
            .iter()
            .any(|f| f.code == "memory" && f.severity == Severity::Warning)
    );
}

#[test]
fn change_that_could_not_be_reverted_is_refused() {
    let blind = Facts {
        state: None,
        ..host()
    };
    assert_eq!(refused(&to(8192), &blind).as_deref(), Some("state"));
    let long = Target {
        backlog_wait_time: Some(250 * 601),
        ..to(8192)
    };
    assert_eq!(refused(&long, &host()).as_deref(), Some("wait_time"));
}

proptest! {
    /// Whatever the host: with `-f 2` nothing passes that could lose a record, and nowhere a limit
    /// that the queue is already beyond.
    #[test]
    fn nothing_that_could_panic_passes(
        limit in proptest::option::of(0_u32..10_000),
        wait in proptest::option::of(0_u32..20_000),
        old in 0_u32..10_000,
        depth in 0_u32..10_000,
        runtime: bool,
        persist: bool,
    ) {
        let mut facts = with(|state| {
            state.failure = Some(2);
            state.limit = Some(old);
            state.depth = Some(depth);
        });
        facts.next_boot = Some(NextBoot {
            limit: old,
            wait_time_jiffies: 15_000,
            failure: 2,
            enabled: 1,
        });
        let target = Target { backlog_limit: limit, backlog_wait_time: wait, runtime, persist };
        let outcome = check(&target, &facts);
        if outcome.refusal().is_none() {
            if let Some(limit) = limit.filter(|_| runtime || persist) {
                prop_assert!(limit != 0);
                prop_assert!(old != 0 && limit >= old);
                prop_assert!(!runtime || outcome.runtime == Runtime::AlreadySo || limit > depth || depth <= old);
            }
            prop_assert!(wait.is_none_or(|wait| wait >= 15_000) || !(runtime || persist));
        }
    }
}

#[test]
fn a_limit_over_the_memory_budget_needs_force() {
    let facts = |memory_budget_bytes, in_force| Facts {
        memory_budget_bytes,
        record_bytes: Some(2304),
        state: Some(KernelState {
            limit: Some(in_force),
            enabled: Some(1),
            depth: Some(0),
            ..KernelState::default()
        }),
        ..Facts::default()
    };
    let refused = |limit, facts: &Facts| {
        let target = Target {
            backlog_limit: Some(limit),
            backlog_wait_time: None,
            runtime: true,
            persist: true,
        };
        let refusal = check(&target, facts).refusal()?.clone();
        Some((refusal.code, refusal.message))
    };
    let budget = Some(64 << 20);
    let (code, message) = refused(18_594, &facts(budget, 64)).expect("a refusal");
    assert_eq!(code, "memory_budget");
    for part in ["122 MiB", "64 MiB", "apply 9709 or less", "--force"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(refused(9709, &facts(budget, 64)), None);
    assert_eq!(refused(18_594, &facts(None, 64)), None);
    // It is in force: to write it into the files takes no more memory.
    assert_eq!(refused(18_594, &facts(budget, 18_594)), None);
}
