//! A replay: demand against service, through the main queue and the socket behind it.
//!
//! In: arrivals, a [`Service`] and a limit or none. Out: what the queue would have done. Pure.

use super::{
    demand::{Arrival, whole},
    service::Service,
};

/// What a limit would have done to the load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Greatest length of the main queue that an arrival would have met, records.
    pub met: u64,
    /// Records that would have found no room.
    pub refused_records: f64,
    /// Time by which the load would have been held up, had it waited for room, ns.
    pub held_up_ns: f64,
    /// Records in the main and the retry queue after the last arrival.
    pub left: f64,
    /// Records that `kauditd` would have given up, since the socket stayed full: unless the kernel was booted with
    /// `audit=1`, nobody gets them, and no counter shows it.
    pub given_up: f64,
    /// Since when the main queue was never empty until then, ns of `CLOCK_MONOTONIC`.
    pub busy_since_ns: u64,
}

/// Longest step of a replay while records wait, ns: some of `kauditd`'s patience.
const LONGEST_STEP_NS: u64 = 20_000_000;
/// How long `kauditd` waits for room in the socket, ns (`sk_sndtimeo` of the kernel's audit socket, `HZ / 10`:
/// `audit_net_init`, kernel/audit.c).
pub const PATIENCE_NS: u64 = 100_000_000;
/// How often it tries so with the retry queue (`UNICAST_RETRIES`, kernel/audit.c).
const TRIES: u64 = 5;

/// The main queue, the retry queue and the socket.
struct Queues<'a> {
    service: &'a Service,
    at_ns: Option<u64>,
    main: f64,
    retry: f64,
    socket: f64,
    /// Records that the consumer has had time for and not taken yet.
    credit: f64,
    /// For how long `kauditd` has waited for room, ns.
    blocked_ns: u64,
    /// Passes of the queues that gave up, one after another.
    passes: u32,
    /// Records that were in the main queue when this pass began.
    of_this_pass: f64,
    /// The socket was full for so long that it takes nothing until it is empty (`NETLINK_S_CONGESTED`).
    is_congested: bool,
    /// Records that `kauditd` gave up.
    given_up: f64,
}

impl<'a> Queues<'a> {
    const fn new(service: &'a Service) -> Self {
        Self {
            service,
            at_ns: None,
            main: 0.0,
            retry: 0.0,
            socket: 0.0,
            credit: 0.0,
            blocked_ns: 0,
            passes: 0,
            of_this_pass: 0.0,
            is_congested: false,
            given_up: 0.0,
        }
    }

    /// Lets time pass until the given moment.
    fn pass(&mut self, until_ns: u64) {
        let Some(mut from_ns) = self.at_ns.replace(until_ns) else {
            return;
        };
        while from_ns < until_ns {
            let end_ns = if self.main + self.retry < 1.0 {
                until_ns
            } else {
                until_ns.min(from_ns.saturating_add(LONGEST_STEP_NS))
            };
            self.step(from_ns, end_ns);
            from_ns = end_ns;
        }
    }

    fn step(&mut self, from_ns: u64, to_ns: u64) {
        let service = self.service;
        let waiting = self.main + self.retry;
        let movable = if self.is_congested {
            0.0
        } else {
            waiting.min(float(to_ns - from_ns) / service.kauditd_ns)
        };
        self.credit += service.capacity(from_ns, to_ns);
        let served = self.credit.floor().min(self.socket + movable);
        let room = service.socket_records - self.socket + served;
        let moved = movable.min(room.max(0.0));
        // What was tried before goes first.
        let again = moved.min(self.retry);
        self.retry -= again;
        self.main -= moved - again;
        self.socket = (self.socket + moved - served).max(0.0);
        self.credit -= served;
        if self.socket < 1.0 {
            // It waits for records: its time is not saved up for later.
            self.credit = self.credit.min(1.0);
            self.is_congested = false;
        }
        if moved > 0.0 || waiting < 1.0 {
            (self.blocked_ns, self.passes) = (0, 0);
        } else {
            self.lose_patience(to_ns - from_ns);
        }
    }

    /// `kauditd` has waited for room: once with a record of the main queue, and then all that was in it when this pass
    /// began goes to the retry queue; and five times with one of those, and then all of them are given up
    /// (`kauditd_send_queue`, kernel/audit.c). The next pass begins with what has come to the main queue by then.
    fn lose_patience(&mut self, waited_ns: u64) {
        let before_ns = self.blocked_ns;
        if before_ns == 0 && self.passes == 0 {
            // Until now it kept up: hardly more than the record in its hand.
            self.of_this_pass = self.main.min(1.0);
        }
        self.blocked_ns += waited_ns;
        let reached = |ns: u64| before_ns < ns && self.blocked_ns >= ns;
        if reached(PATIENCE_NS) {
            self.is_congested = true;
            let tried = self.of_this_pass.min(self.main);
            self.main -= tried;
            self.retry += tried;
        } else if reached(PATIENCE_NS * (1 + TRIES)) {
            self.given_up += std::mem::take(&mut self.retry);
            self.blocked_ns = 0;
            self.passes += 1;
            self.of_this_pass = self.main;
        }
    }

    /// What has become of the records.
    const fn end(&self, outcome: &mut Outcome) {
        outcome.left = self.main + self.retry;
        outcome.given_up = self.given_up;
    }
}

/// The load without a limit.
#[must_use]
pub fn unlimited(arrivals: &[Arrival], service: &Service) -> Outcome {
    let mut queues = Queues::new(service);
    let mut outcome = Outcome::default();
    let mut met = 0.0_f64;
    for arrival in arrivals {
        queues.pass(arrival.at_ns);
        if queues.main + queues.retry < 1.0 {
            outcome.busy_since_ns = arrival.at_ns;
        }
        queues.main += arrival.records;
        met = met.max(queues.main - 1.0);
    }
    outcome.met = whole(met);
    queues.end(&mut outcome);
    outcome
}

/// A stretch of a load in which neither queue runs empty, as places among its arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filling {
    /// The first one of it.
    pub first: usize,
    /// The one with which the main queue outgrows the limit.
    pub full: usize,
    /// The last one of it.
    pub last: usize,
}

/// Of all stretches that would outgrow this limit, the one with most records.
#[must_use]
pub fn longest_filling(arrivals: &[Arrival], service: &Service, limit: u64) -> Option<Filling> {
    let mut queues = Queues::new(service);
    let (mut first, mut full, mut records) = (0, None, 0.0);
    let mut longest: Option<(f64, Filling)> = None;
    for (index, arrival) in arrivals.iter().enumerate() {
        queues.pass(arrival.at_ns);
        if queues.main + queues.retry + queues.socket < 1.0 {
            (first, full, records) = (index, None, 0.0);
        }
        queues.main += arrival.records;
        records += arrival.records;
        if full.is_none() && queues.main - 1.0 > float(limit) {
            full = Some(index);
        }
        if let Some(full) = full
            && longest.is_none_or(|(most, _)| records > most)
        {
            let last = index;
            longest = Some((records, Filling { first, full, last }));
        }
    }
    longest.map(|(_, filling)| filling)
}

/// The load at a limit, where what finds no room is refused.
#[must_use]
pub fn refusing(arrivals: &[Arrival], service: &Service, limit: u64) -> Outcome {
    refusing_in_time(arrivals, service, limit, |_, _| {})
}

/// The same; `on_refusal` learns when something was refused, ns of `CLOCK_MONOTONIC`, and how many records.
#[must_use]
pub fn refusing_in_time(
    arrivals: &[Arrival],
    service: &Service,
    limit: u64,
    mut on_refusal: impl FnMut(u64, f64),
) -> Outcome {
    let mut queues = Queues::new(service);
    let mut outcome = Outcome::default();
    let mut met = 0.0_f64;
    // A record is refused when more than `limit` are there, so that one more fits.
    let room = float(limit) + 1.0;
    for arrival in arrivals {
        queues.pass(arrival.at_ns);
        let length = queues.main + arrival.records;
        let refused = (length - room).max(0.0).min(arrival.records);
        outcome.refused_records += refused;
        if refused > 0.0 {
            on_refusal(arrival.at_ns, refused);
        }
        queues.main += arrival.records - refused;
        met = met.max((length - 1.0).min(float(limit) + 1.0));
    }
    outcome.met = whole(met);
    queues.end(&mut outcome);
    outcome
}

/// The load at a limit, where what finds no room waits, and all that follows comes later.
#[must_use]
pub fn waiting(arrivals: &[Arrival], service: &Service, limit: u64) -> Outcome {
    let mut queues = Queues::new(service);
    let mut outcome = Outcome::default();
    let mut met = 0.0_f64;
    let room = float(limit) + 1.0;
    // Time that the load is late by, ns.
    let mut late_ns = 0_u64;
    for arrival in arrivals {
        let mut now_ns = arrival.at_ns.saturating_add(late_ns);
        queues.pass(now_ns);
        let mut rest = arrival.records;
        loop {
            let fits = rest.min((room - queues.main).max(0.0));
            queues.main += fits;
            rest -= fits;
            met = met.max((queues.main - 1.0).max(0.0));
            if rest < 1e-6 {
                break;
            }
            met = met.max(float(limit) + 1.0);
            // Until there is room for the rest, or for as much as there can ever be.
            let wanted = rest.min(room);
            let step_ns = step(wanted, service);
            now_ns = now_ns.saturating_add(step_ns);
            late_ns = late_ns.saturating_add(step_ns);
            queues.pass(now_ns);
        }
    }
    outcome.met = whole(met);
    outcome.held_up_ns = float(late_ns);
    queues.end(&mut outcome);
    outcome
}

/// Shortest step in which a load that waits looks for room, ns.
const SHORTEST_STEP_NS: u64 = 100_000;

/// Time in which so many records are taken, ns; a pause makes it take several such steps.
fn step(records: f64, service: &Service) -> u64 {
    whole(records * service.record_ns.max(service.kauditd_ns)).max(SHORTEST_STEP_NS)
}

const fn float(value: u64) -> f64 {
    super::demand::float(value)
}
