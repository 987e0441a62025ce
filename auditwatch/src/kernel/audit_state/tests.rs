//! When netlink can be asked.

use super::*;

fn state(depth: u32) -> KernelState {
    KernelState {
        depth: Some(depth),
        limit: Some(64),
        wait_time_jiffies: Some(15_000),
        failure: Some(1),
        ..KernelState::default()
    }
}

#[test]
fn netlink_is_asked_only_while_half_of_the_queue_is_free() {
    assert_eq!(state(32).why_not_ask(), None);
    assert!(
        state(33)
            .why_not_ask()
            .is_some_and(|why| why.contains("half full"))
    );
    let unknown = |depth| KernelState {
        limit: None,
        ..state(depth)
    };
    assert!(unknown(32).why_not_ask().is_none() && unknown(33).why_not_ask().is_some());
}

#[test]
fn netlink_is_not_asked_on_a_host_that_a_loss_panics() {
    let panics = KernelState {
        failure: Some(2),
        ..state(0)
    };
    assert!(
        panics
            .why_not_ask()
            .is_some_and(|why| why.contains("panics"))
    );
}

#[test]
fn netlink_is_asked_if_no_task_can_wait() {
    for (limit, wait_time_jiffies) in [(0, 15_000), (64, 0)] {
        let state = KernelState {
            limit: Some(limit),
            wait_time_jiffies: Some(wait_time_jiffies),
            failure: Some(2),
            ..state(1_000)
        };
        assert_eq!(state.why_not_ask(), None);
    }
}

#[test]
fn another_reading_fills_gaps_only() {
    let own = KernelState {
        lost: None,
        ..state(7)
    };
    let other = KernelState {
        lost: Some(3),
        enabled: Some(1),
        ..state(9)
    };
    let both = own.or(&other);
    assert_eq!(
        (both.depth, both.lost, both.enabled),
        (Some(7), Some(3), Some(1))
    );
    assert!(both.lost_is_apart);
    let whole = KernelState {
        lost: Some(1),
        ..state(7)
    };
    assert!(!whole.or(&other).lost_is_apart);
}
