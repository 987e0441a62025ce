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
    /// Records in the main queue after the last arrival.
    pub left: f64,
    /// Since when the main queue was never empty until then, ns of `CLOCK_MONOTONIC`.
    pub busy_since_ns: u64,
}

/// The two queues.
struct Queues<'a> {
    service: &'a Service,
    at_ns: Option<u64>,
    main: f64,
    socket: f64,
    /// Time of the consumer not yet used up, ns.
    credit_ns: f64,
}

impl<'a> Queues<'a> {
    const fn new(service: &'a Service) -> Self {
        Self {
            service,
            at_ns: None,
            main: 0.0,
            socket: 0.0,
            credit_ns: 0.0,
        }
    }

    /// Lets time pass until the given moment.
    fn pass(&mut self, until_ns: u64) {
        let Some(from_ns) = self.at_ns.replace(until_ns) else {
            return;
        };
        let service = self.service;
        let step_ns = float(until_ns.saturating_sub(from_ns));
        let working_ns = float(service.working_ns(from_ns, until_ns));
        let movable = self.main.min(step_ns / service.kauditd_ns);
        self.credit_ns += working_ns;
        let served = (self.credit_ns / service.record_ns)
            .floor()
            .min(self.socket + movable);
        let room = service.socket_records - self.socket + served;
        let moved = movable.min(room.max(0.0));
        self.main -= moved;
        self.socket = (self.socket + moved - served).max(0.0);
        self.credit_ns -= served * service.record_ns;
        if self.socket < 1.0 {
            // It waits for records: its time is not saved up for later.
            self.credit_ns = self.credit_ns.min(service.record_ns);
        }
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
        if queues.main < 1.0 {
            outcome.busy_since_ns = arrival.at_ns;
        }
        queues.main += arrival.records;
        met = met.max(queues.main - 1.0);
    }
    outcome.met = whole(met);
    outcome.left = queues.main;
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
        if queues.main + queues.socket < 1.0 {
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
        queues.main += arrival.records - refused;
        met = met.max((length - 1.0).min(float(limit) + 1.0));
    }
    outcome.met = whole(met);
    outcome.left = queues.main;
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
    outcome.left = queues.main;
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
