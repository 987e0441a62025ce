//! The conservation laws, held against a small model of the kernel's queues that
//! takes random steps: whatever happens in a window, the ledger's counts are the
//! model's, and the laws leave nothing over. A single miscount shows.

use std::collections::BTreeMap;

use auditwatch::{
    kernel::audit_state::KernelState,
    sample::{
        Attempts, Delivery, Drain, Event, EventKind, Kept, Sample, Shortfalls, Source, Stalls,
        loss::message,
    },
    trace::ledger::Ledger,
};
use proptest::{collection::vec, prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

/// The choices that the model still has to make; none left means 0.
struct Choices(std::vec::IntoIter<u32>);

impl Choices {
    fn below(&mut self, bound: u32) -> u32 {
        self.0.next().map_or(0, |number| number % bound)
    }

    fn are_left(&self) -> bool {
        self.0.len() > 0
    }
}

/// The kernel's queues, and what the probe would have counted.
#[derive(Clone, Debug, Default)]
struct Kernel {
    main: u32,
    retry: u32,
    hold: u32,
    in_hand: u32,
    waiting: u32,
    lost: u32,
    keeps_held: bool,
    attempted: u64,
    own: u64,
    filtered: u64,
    own_filtered: u64,
    own_losses: BTreeMap<String, u64>,
    admitted: u64,
    rate_limited: u64,
    auxiliary: u64,
    drained: u64,
    delivered: u64,
    retried: u64,
    held: u64,
    losses: BTreeMap<String, u64>,
}

impl Kernel {
    fn lose(&mut self, why: &str) {
        *self.losses.entry(why.to_owned()).or_insert(0) += 1;
        self.lost = self.lost.wrapping_add(1);
    }

    /// What lies before the zero point is not counted; the queues stay as they are.
    fn forget_counts(&mut self) {
        *self = Self {
            main: self.main,
            retry: self.retry,
            hold: self.hold,
            in_hand: self.in_hand,
            waiting: self.waiting,
            lost: self.lost,
            keeps_held: self.keeps_held,
            ..Self::default()
        };
    }

    fn step(&mut self, choices: &mut Choices) {
        match choices.below(14) {
            0..=4 => self.attempt(choices),
            5 if self.waiting > 0 => {
                self.waiting -= 1;
                self.admitted += 1;
                self.main += 1;
            }
            6..=9 => self.drain(choices),
            10 if self.retry > 0 => self.flush_retry(choices),
            11 if self.hold > 0 => {
                self.hold -= 1;
                self.delivered += 1;
            }
            12 => self.lose("out of memory in audit_expand"),
            _ => {}
        }
    }

    fn attempt(&mut self, choices: &mut Choices) {
        if choices.below(20) == 0 {
            self.own_attempt(choices);
            return;
        }
        self.attempted += 1;
        match choices.below(12) {
            0 => self.filtered += 1,
            1 => self.lose(message::BACKLOG_LIMIT),
            2 => self.lose(message::OUT_OF_MEMORY),
            3 => {
                self.admitted += 1;
                self.rate_limited += 1;
                self.lose(message::RATE_LIMIT);
            }
            4 => self.waiting += 1,
            5 => {
                self.admitted += 1;
                self.auxiliary += 1;
                self.main += 2;
            }
            _ => {
                self.admitted += 1;
                self.main += 1;
            }
        }
    }

    /// An attempt of auditwatch itself, which never waits while it reads.
    fn own_attempt(&mut self, choices: &mut Choices) {
        self.own += 1;
        let why = match choices.below(6) {
            0 => {
                self.own_filtered += 1;
                return;
            }
            1 => message::BACKLOG_LIMIT,
            2 => message::OUT_OF_MEMORY,
            3 => message::RATE_LIMIT,
            _ => {
                self.main += 1;
                return;
            }
        };
        *self.own_losses.entry(why.to_owned()).or_insert(0) += 1;
        self.lose(why);
    }

    fn drain(&mut self, choices: &mut Choices) {
        if self.in_hand == 1 {
            self.in_hand = 0;
            self.put(choices);
        } else if self.main > 0 {
            self.main -= 1;
            self.drained += 1;
            self.in_hand = 1;
        }
    }

    fn put(&mut self, choices: &mut Choices) {
        match choices.below(5) {
            0 => {
                self.retried += 1;
                self.retry += 1;
            }
            1 => {
                self.retried += 1;
                self.lose(message::RETRY_OVERFLOW);
            }
            2 => self.hold(choices),
            _ => self.delivered += 1,
        }
    }

    fn flush_retry(&mut self, choices: &mut Choices) {
        self.retry -= 1;
        if choices.below(2) == 0 {
            self.delivered += 1;
        } else {
            self.hold(choices);
        }
    }

    fn hold(&mut self, choices: &mut Choices) {
        self.held += 1;
        if self.keeps_held {
            if choices.below(3) == 0 {
                self.lose(message::HOLD_OVERFLOW);
            } else {
                self.hold += 1;
            }
        }
    }

    fn sample(&self) -> Sample {
        Sample {
            at_ns: 0,
            source: Source::Bpf,
            state: KernelState {
                depth: Some(self.main),
                retry_depth: Some(self.retry),
                hold_depth: Some(self.hold),
                lost: Some(self.lost),
                in_hand: Some(self.in_hand),
                waiters: Some(self.waiting),
                booted_with_audit: Some(self.keeps_held),
                ..KernelState::default()
            },
            attempts: Some(Attempts {
                attempted: self.attempted,
                own: self.own,
                filtered: self.filtered,
                own_filtered: self.own_filtered,
                ..Attempts::default()
            }),
            losses: Some(self.losses.clone()),
            own_losses: Some(self.own_losses.clone()),
            drain: Some(Drain {
                drained: self.drained,
                ..Drain::default()
            }),
            delivery: Some(Delivery {
                delivered: self.delivered,
                refused: 0,
            }),
            demand: None,
            consumer: None,
            retry: Some(Kept {
                calls: self.retried,
                depth_max: None,
            }),
            hold: Some(Kept {
                calls: self.held,
                depth_max: None,
            }),
            reheld: Some(0),
            resets: Some(0),
            passes: Some(0),
            auxiliary: Some(self.auxiliary),
            talkers: None,
            stalls: Some(Stalls::default()),
            command: None,
            shortfalls: Shortfalls::default(),
            events: Vec::new(),
        }
    }
}

/// The first and the last sample of a window, and the kernel at its end.
type Window = (Sample, Sample, Kernel);

fn window(keeps_held: bool, before: Vec<u32>, within: Vec<u32>) -> Window {
    let mut kernel = Kernel {
        keeps_held,
        lost: u32::MAX - 3,
        ..Kernel::default()
    };
    // A window may begin in the middle of things.
    let mut choices = Choices(before.into_iter());
    while choices.are_left() {
        kernel.step(&mut choices);
    }
    kernel.forget_counts();
    let zero = kernel.sample();
    let mut choices = Choices(within.into_iter());
    while choices.are_left() {
        kernel.step(&mut choices);
    }
    (zero, kernel.sample(), kernel)
}

fn any_window() -> impl Strategy<Value = Window> {
    (
        any::<bool>(),
        vec(any::<u32>(), 0..100),
        vec(any::<u32>(), 0..1_000),
    )
        .prop_map(|(keeps_held, before, within)| window(keeps_held, before, within))
}

/// One window for tests that change a single thing in it.
fn some_window() -> Window {
    any_window()
        .new_tree(&mut TestRunner::deterministic())
        .expect("a window")
        .current()
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn lost(kernel: &Kernel, why: &str) -> u64 {
    kernel.losses.get(why).copied().unwrap_or(0)
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn conservation_laws_hold_and_counts_are_true_after_any_steps(
        (zero, last, kernel) in any_window(),
    ) {
        let ledger = Ledger::between(&zero, &last, []);
        assert_eq!(ledger.residual, Some(0), "{ledger:?}");
        assert_eq!(ledger.attempted, Some(kernel.attempted));
        assert_eq!(ledger.filtered, Some(kernel.filtered));
        assert_eq!(ledger.admitted, Some(kernel.admitted));
        assert_eq!(
            ledger.enqueued,
            Some(kernel.admitted + kernel.auxiliary - kernel.rate_limited)
        );
        assert_eq!(ledger.own, Some(kernel.own));
        assert_eq!(ledger.retried, Some(kernel.retried));
        assert_eq!(ledger.held, Some(kernel.held));
        assert_eq!(ledger.delivered, Some(kernel.delivered));
        assert_eq!(
            ledger.dropped.backlog_limit,
            Some(lost(&kernel, message::BACKLOG_LIMIT))
        );
        assert_eq!(
            ledger.dropped.hold_overflow,
            Some(lost(&kernel, message::HOLD_OVERFLOW))
        );
        let silent = if kernel.keeps_held { 0 } else { kernel.held };
        assert_eq!(ledger.dropped.silent, Some(silent));
        assert_eq!(
            ledger.lost_without_record.values().sum::<u64>(),
            lost(&kernel, "out of memory in audit_expand")
        );
    }
}

#[test]
fn a_single_miscount_is_seen() {
    type Spoil = fn(&mut Sample);
    let spoils: [(&str, Spoil); 6] = [
        ("attempt", |s| {
            s.attempts.as_mut().expect("hooked").attempted += 1;
        }),
        ("filtered", |s| {
            s.attempts.as_mut().expect("hooked").filtered += 1;
        }),
        ("drain", |s| {
            s.drain.as_mut().expect("hooked").drained += 1;
        }),
        ("delivery", |s| {
            s.delivery.as_mut().expect("hooked").delivered += 1;
        }),
        ("depth", |s| {
            s.state.depth = s.state.depth.map(|depth| depth + 1);
        }),
        ("lost", |s| {
            s.state.lost = s.state.lost.map(|lost| lost.wrapping_add(1));
        }),
    ];
    for (name, spoil) in spoils {
        let (zero, mut last, _) = some_window();
        spoil(&mut last);
        let residual = Ledger::between(&zero, &last, []).residual;
        assert!(residual.is_some_and(|left| left > 0), "{name}");
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn skipped_calls_are_added_to_the_counts_they_are_missing_from(
        (zero, mut last, kernel) in any_window(),
    ) {
        let attempts = last.attempts.as_mut().expect("hooked");
        let skipped = attempts.attempted.min(5);
        attempts.attempted -= skipped;
        // Some of the skipped calls were of the user filter, and are no attempts.
        last.shortfalls
            .missed
            .insert("audit_filter_exit".to_owned(), skipped + 3);
        let delivery = last.delivery.as_mut().expect("hooked");
        let unseen = delivery.delivered.min(2);
        delivery.delivered -= unseen;
        last.shortfalls
            .missed
            .insert("netlink_unicast".to_owned(), unseen + 4);
        let ledger = Ledger::between(&zero, &last, []);
        assert_eq!(ledger.attempted, Some(kernel.attempted));
        assert_eq!(ledger.delivered, Some(kernel.delivered));
        assert_eq!(ledger.residual, Some(0));
        assert_eq!(ledger.missed, skipped + unseen + 7);
    }
}

#[test]
fn the_gate_fell_between_two_looks_at_the_queue() {
    let (zero, mut last, _) = some_window();
    let depth = last.state.depth.expect("read");
    // Twenty records came and went into nobody's count before the gate shut.
    last.state.depth = Some(depth + 20);
    let ledger = Ledger::between(&zero, &last, []);
    assert_eq!(ledger.residuals.queue, Some(-20));
    last.state.depth_after = Some(depth - depth.min(1));
    let ledger = Ledger::between(&zero, &last, []);
    assert_eq!(ledger.residuals.queue, Some(0));
    // What the two looks do not span is left over.
    last.state.depth_after = Some(depth + 15);
    let ledger = Ledger::between(&zero, &last, []);
    assert_eq!(ledger.residuals.queue, Some(-15));
}

#[test]
fn reset_of_the_counter_by_another_program_is_not_a_miscount() {
    let (zero, mut last, kernel) = some_window();
    let before = kernel.lost;
    last.state.lost = Some(0);
    let reset = Event {
        at_ns: 1,
        pid: 1,
        comm: "auditctl".into(),
        what: EventKind::Change {
            field: "lost".to_owned(),
            old: Some(before),
            new: 0,
            result: 0,
        },
    };
    assert_eq!(Ledger::between(&zero, &last, [&reset]).residual, Some(0));
    // One that was not seen leaves nothing to check against.
    let mut zero = zero;
    zero.state.lost = Some(1_000);
    let unseen = Ledger::between(&zero, &last, []);
    assert_eq!((unseen.residuals.lost, unseen.residual), (None, None));
}

#[test]
fn a_counter_that_was_not_read_at_the_ends_is_nothing_to_check_against() {
    let (zero, mut last, kernel) = some_window();
    last.state.lost_is_apart = true;
    let ledger = Ledger::between(&zero, &last, []);
    assert_eq!((ledger.residuals.lost, ledger.residual), (None, None));
    assert_eq!(ledger.attempted, Some(kernel.attempted));
    // A rare event that is missing may have been a reset of the counter.
    let (zero, mut last, _) = some_window();
    last.shortfalls.rare_missed = 1;
    assert_eq!(Ledger::between(&zero, &last, []).residuals.lost, None);
}

#[test]
fn number_of_waiting_tasks_is_not_guessed() {
    let (zero, mut last, _) = some_window();
    last.stalls = None;
    last.state.waiters = None;
    last.state.limit = Some(64);
    last.state.depth = Some(65);
    last.state.wait_time_jiffies = Some(15_000);
    let full = Ledger::between(&zero, &last, []);
    assert_eq!((full.waiting, full.admitted), (None, None));
    assert_eq!(full.residuals.queue, None);
    last.state.wait_time_jiffies = Some(0);
    assert_eq!(Ledger::between(&zero, &last, []).waiting, Some(0));
    last.state.wait_time_jiffies = Some(15_000);
    last.state.depth = Some(64);
    assert_eq!(Ledger::between(&zero, &last, []).waiting, Some(0));
}

#[test]
fn figures_without_a_hook_are_absent() {
    let (mut zero, mut last, _) = some_window();
    for sample in [&mut zero, &mut last] {
        sample.losses = None;
        sample.hold = None;
        sample.delivery = None;
    }
    let ledger = Ledger::between(&zero, &last, []);
    assert_eq!(ledger.dropped.backlog_limit, None);
    assert_eq!(
        ledger.dropped.silent,
        (zero.state.booted_with_audit == Some(true)).then_some(0)
    );
    assert_eq!(ledger.delivered, None);
    assert_eq!(ledger.enqueued, None);
    assert_eq!(ledger.residual, None);
}
