//! What the timeline tells the model.

use super::Timeline;
use crate::kernel::jiffies::jiffies_to_ns;
use auditwatch_ebpf::{FILLING, LONG_PAUSE_NS};

use crate::{
    hooks::{
        health::{HookReport, Verdict},
        plan::Role,
    },
    recommend::model::{
        demand::{ClockPoint, Seen, float},
        evidence::{Doubts, Evidence, OtherLosses, Talker, TalkerShare},
        service::Service,
    },
    sample::{Consumer, Source},
    trace::{
        ledger::Ledger,
        report::{Share, Summary},
    },
    untrusted::Untrusted,
};

/// What the answer cannot do without.
const NEEDED_HOOKS: [Role; 4] = [Role::Attempts, Role::Losses, Role::Consumer, Role::Stalls];

impl Timeline {
    /// What bears on the limit that the load would have needed. `summary` is this timeline's;
    /// `load_has_ended`: it was a command's, which came to its end.
    #[must_use]
    pub fn evidence(&self, summary: &Summary, load_has_ended: bool) -> Evidence {
        let ledger = &summary.ledger;
        let stalls = summary.stalls.as_ref();
        let hz = self.hz();
        let refused = ledger.dropped.backlog_limit.unwrap_or(0);
        let consumer = self.last.consumer.as_ref();
        // Skipped calls are missing from the bins, and counted again by the laws.
        let seen = Seen {
            arrivals: self.demand.share_seen(attempted(ledger)),
            suppressed: self.share_understood(refused),
        };
        let clock = self
            .last
            .state
            .jiffies
            .zip(hz)
            .map(|(ticks, hz)| ClockPoint {
                at_ns: self.last.at_ns,
                ticks,
                hz,
            });
        let arrivals = clock
            .map(|clock| self.demand.arrivals(clock, seen))
            .unwrap_or_default();
        let service = consumer.and_then(|consumer| {
            // A task whose record is refused is ahead of the host's clock, and meets the pause as well.
            let last_ns = arrivals.last().map_or(0, |arrival| arrival.at_ns);
            let open = self
                .open_pause(consumer, hz)
                .map(|(since_ns, now_ns)| (since_ns, now_ns.max(last_ns)));
            Service::of(consumer, self.rare.pauses(), open, self.moments.in_order())
        });
        let half = service
            .as_ref()
            .map_or(100.0, |service| service.socket_records / 2.0);
        let last = &self.last.state;
        Evidence {
            duration_ns: summary.duration_ns,
            by_programs: self.last.source == Source::Bpf,
            limit: last.limit.map(u64::from),
            lowest_limit: self.lowest_limit(summary),
            wait_time_ns: summary.status.wait_time_ns,
            wait_time_ticks: last.wait_time_jiffies.map(u64::from),
            hz,
            auditd_pid: last.auditd_pid,
            failure: last.failure,
            booted_with_audit: last.booted_with_audit,
            setup: None,
            consumer_times: None,
            reads: consumer.map(|consumer| consumer.reads),
            socket_bytes: consumer
                .map(|consumer| consumer.buffer_bytes)
                .filter(|&bytes| bytes > 0),
            talkers: talkers(summary),
            rate_limit: last.rate_limit,
            attempted: attempted(ledger),
            refused,
            suppressed: self.demand.suppressed() / seen.suppressed,
            other_losses: OtherLosses {
                rate_limit: ledger.dropped.rate_limit.unwrap_or(0),
                out_of_memory: ledger.dropped.out_of_memory.unwrap_or(0),
                overflow: ledger.dropped.retry_overflow.unwrap_or(0)
                    + ledger.dropped.hold_overflow.unwrap_or(0),
                silent: ledger.dropped.silent.unwrap_or(0),
            },
            retried: ledger.retried.unwrap_or(0),
            stalls: stalls.map_or(0, |stalls| stalls.count),
            stalled_ns: stalls.map_or(0, |stalls| stalls.total_ns),
            longest_stall_ns: stalls.map_or(0, |stalls| stalls.max_ns),
            met_full: self
                .last
                .stalls
                .as_ref()
                .map_or(0, |stalls| stalls.met_full),
            depth_max: summary.depth.max,
            depth_max_with_room: consumer.map(|consumer| depth_with_room(consumer, half)),
            depth_end: last.depth.map(u64::from),
            waiting_end: last.waiters.map_or(0, u64::from),
            load_has_ended,
            arrivals,
            bin_ns: hz.map_or(0, |hz| self.demand.bin_ns(hz)),
            moments: self.moments.in_order().to_vec(),
            begin_ns: self.zero.at_ns,
            last_attempt_ns: self.last_attempt_ns,
            service,
            record_bytes: summary
                .memory
                .as_ref()
                .map(|memory| memory.record_mean_bytes),
            record_max_bytes: summary
                .memory
                .as_ref()
                .map(|memory| memory.record_max_bytes),
            doubts: Doubts {
                missed: ledger.missed,
                untracked: stalls.map_or(0, |stalls| stalls.untracked),
                forgotten: self.demand.forgotten(),
                hooks: missing_hooks(&summary.hooks),
                breaks_off: false,
            },
        }
    }

    /// The pause that is not over at the last sample: since when, and when that was, ns of `CLOCK_MONOTONIC`.
    fn open_pause(&self, consumer: &Consumer, hz: Option<u32>) -> Option<(u64, u64)> {
        let now_ns = self.last.at_ns;
        let by_ticks = || {
            let ticks = self
                .last
                .state
                .jiffies?
                .checked_sub(consumer.unread_since_ticks?)?;
            Some(jiffies_to_ns(ticks, hz?))
        };
        let lasts_ns = consumer
            .unread_since_ns
            .map(|since_ns| now_ns.saturating_sub(since_ns))
            .or_else(by_ticks)?;
        // One that took nothing in all of a short trace may have been slow before, or be slow from now on.
        (lasts_ns >= LONG_PAUSE_NS || consumer.reads == 0)
            .then(|| (now_ns.saturating_sub(lasts_ns), now_ns))
    }

    /// The share of refused attempts of which it is known what went with them.
    fn share_understood(&self, refused: u64) -> f64 {
        let understood = self.last.attempts.as_ref().and_then(|a| a.understood);
        match understood {
            Some(understood @ 1..) => {
                (float(understood) / float(refused.max(understood))).max(0.01)
            }
            _ => 1.0,
        }
    }

    /// The lowest limit in force within the window.
    fn lowest_limit(&self, summary: &Summary) -> Option<u64> {
        let changed = summary
            .limit_changes
            .iter()
            .flatten()
            .filter(|change| change.field == "backlog_limit" && change.result == 0)
            .map(|change| change.new);
        [self.zero.state.limit, self.last.state.limit]
            .into_iter()
            .flatten()
            .chain(changed)
            .filter(|&limit| limit > 0)
            .min()
            .map(u64::from)
    }

    /// Wait time, ns.
    pub(super) fn wait_time_ns(&self) -> Option<u64> {
        Some(jiffies_to_ns(
            self.last.state.wait_time_jiffies?,
            self.hz()?,
        ))
    }
}

/// Who causes the records: the rules by their keys, and the programs.
fn talkers(summary: &Summary) -> Vec<TalkerShare> {
    let (Some(by), Some(of)) = (&summary.talkers_by, summary.ledger.attempted) else {
        return Vec::new();
    };
    let shares = |list: &[Share], what: fn(Untrusted) -> Talker| {
        list.iter()
            .filter_map(|share| {
                Some(TalkerShare {
                    what: what(share.name.clone()?),
                    records: share.sums.records,
                    of,
                })
            })
            .collect::<Vec<_>>()
    };
    let mut all = shares(&by.key, Talker::Key);
    all.extend(shares(&by.comm, Talker::Comm));
    all
}

fn attempted(ledger: &Ledger) -> Option<u64> {
    Some(ledger.attempted?.saturating_sub(ledger.filtered?))
}

/// Greatest length of the main queue while the socket held fewer records than that.
fn depth_with_room(consumer: &Consumer, records: f64) -> u64 {
    let fillings = (0_u64..).map(|place| float((place + 1) * FILLING));
    consumer
        .depth_max
        .iter()
        .zip(fillings)
        .take_while(|&(_, most)| most <= records)
        .map(|(&depth, _)| depth)
        .max()
        .unwrap_or(0)
}

fn missing_hooks(hooks: &[HookReport]) -> Vec<String> {
    hooks
        .iter()
        .filter(|hook| {
            NEEDED_HOOKS.contains(&hook.role)
                && matches!(hook.verdict, Verdict::Failed | Verdict::Unsupported)
        })
        .map(|hook| hook.name.clone())
        .collect()
}
