//! The [`Timeline`]: samples in order, and what lies between them.
//!
//! In: samples. Out: an [`Interval`] for each step and a [`Summary`] of the
//! whole. Pure: live runs, replays and tests call the same functions, and time
//! comes with the samples.

use std::collections::BTreeMap;

use moments::Moments;
use rare::RareFacts;
use serde::{Deserialize, Serialize};
use stranded::Stranded;

use crate::{
    hooks::{
        health::{HookReport, Verdict},
        plan::Role,
    },
    kernel::jiffies::jiffies_to_ns,
    recommend::model::demand::DemandBins,
    sample::{
        CommandCounts, EventKind, Kept, Sample, histogram,
        loss::{lost_records, message},
        record_type,
    },
    trace::{
        ledger::{Ledger, Residuals, counter_growth, stalls_missed},
        report::{
            Change, Depth, Interval, IntervalDepth, IntervalKind, IntervalStalls, KernelFacts,
            Memory, SUMMARY_SCHEMA, StallSummary, Status, Summary, SummaryKind,
        },
        talkers::{Talkers, Totals},
    },
    untrusted::Untrusted,
};

mod evidence;
mod moments;
mod notes;
mod peak;
mod rare;
mod stranded;

/// Bytes that a queued record takes beside its data area, before rounding: the
/// shared info behind it and the `sk_buff` (kernel.md: 320 and 256 on 5.10 to 7.2,
/// amd64 and arm64). Replaced by the running kernel's own sizes where BTF has them.
const DEFAULT_RECORD_OVERHEAD_BYTES: u64 = 576;

/// What is known of the host beside the samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Kernel release.
    pub release: Untrusted,
    /// Ticks a second; `None` when not known.
    pub hz: Option<u32>,
    /// CPUs that the kernel may use.
    pub cpus: Option<u32>,
    /// Bytes of a queued record beside its data area; `None` when not known.
    pub record_overhead_bytes: Option<u64>,
}

/// Samples in order.
#[derive(Clone, Debug)]
pub struct Timeline {
    host: Host,
    zero: Sample,
    last: Sample,
    rare: RareFacts,
    stranded: Stranded,
    kernel_lost: KernelLost,
    demand: DemandBins,
    moments: Moments,
    talkers: Talkers,
    /// Time of the last sample before which records were asked for, ns of `CLOCK_MONOTONIC`.
    last_attempt_ns: u64,
}

/// The kernel's own count of losses, added up step by step: it may be reset.
#[derive(Clone, Copy, Debug, Default)]
struct KernelLost {
    total: Option<u64>,
    was_reset: bool,
}

impl KernelLost {
    /// Adds a step; returns its growth. After a reset all that is there is new.
    fn add(&mut self, before: Option<u32>, after: Option<u32>) -> Option<u64> {
        let (before, after) = (before?, after?);
        let grown = counter_growth(before, after).unwrap_or_else(|| {
            self.was_reset = true;
            u64::from(after)
        });
        self.total = Some(self.total.unwrap_or(0) + grown);
        Some(grown)
    }
}

impl Timeline {
    /// A timeline that begins with the zero sample.
    #[must_use]
    pub fn new(host: Host, zero: Sample) -> Self {
        let mut rare = RareFacts::default();
        rare.add(&zero.events);
        Self {
            host,
            last: zero.clone(),
            rare,
            stranded: Stranded::default(),
            demand: DemandBins::default(),
            moments: Moments::default(),
            talkers: Talkers::default(),
            last_attempt_ns: zero.at_ns,
            kernel_lost: KernelLost::default(),
            zero,
        }
    }

    /// Time of the last sample, ns of `CLOCK_MONOTONIC`.
    #[must_use]
    pub const fn now_ns(&self) -> u64 {
        self.last.at_ns
    }

    /// The registered auditd at the last sample; 0 for none.
    #[must_use]
    pub const fn auditd_pid(&self) -> Option<u32> {
        self.last.state.auditd_pid
    }

    /// Adds a sample; returns the interval since the one before.
    pub fn push(&mut self, sample: Sample) -> Interval {
        self.stranded.note(&self.last, &sample);
        let before = std::mem::replace(&mut self.last, sample);
        let sample = &self.last;
        self.rare.add(&sample.events);
        if let Some(demand) = &sample.demand {
            self.demand.add(demand);
        }
        if let Some(changed) = &sample.talkers {
            self.talkers.add(changed);
        }
        let refused = sample
            .losses
            .as_ref()
            .and_then(|losses| losses.get(message::BACKLOG_LIMIT));
        self.moments.add(
            sample.at_ns,
            sample.consumer.as_ref(),
            refused.copied().unwrap_or(0),
        );
        let duration_ns = sample.at_ns.saturating_sub(before.at_ns);
        let mut ledger = Ledger::between(&before, sample, &sample.events);
        // Counting goes on while it is read: the laws hold at the end.
        ledger.residual = None;
        ledger.residuals = Residuals::default();
        if ledger.attempted.is_some_and(|attempted| attempted > 0) {
            self.last_attempt_ns = sample.at_ns;
        }
        let per_s = |count: u64| rate(count, duration_ns);
        let counted = self.kernel_lost.add(before.state.lost, sample.state.lost);
        let lost = lost_records(&ledger.dropped, counted);
        let (interval_max, interval_max_by) =
            peak::of_interval(&before, sample, ledger.dropped.backlog_limit).unzip();
        Interval {
            kind: IntervalKind::Interval,
            at_ns: sample.at_ns.saturating_sub(self.zero.at_ns),
            duration_ns,
            attempted_per_s: ledger.attempted.map(per_s),
            drained_per_s: ledger.drained.map(per_s),
            dropped_per_s: lost.map(per_s),
            delivered_per_s: ledger.delivered.map(per_s),
            lost,
            ledger,
            depth: IntervalDepth {
                main: sample.state.depth,
                retry: sample.state.retry_depth,
                hold: sample.state.hold_depth,
                max_so_far: peak::so_far(sample),
                interval_max,
                interval_max_by,
            },
            limit: sample.state.limit,
            stalls: sample.stalls.as_ref().map(|stalls| {
                let earlier = before.stalls.as_ref();
                IntervalStalls {
                    count: stalls
                        .count
                        .saturating_sub(earlier.map_or(0, |stalls| stalls.count)),
                    total_ns: stalls
                        .total_ns
                        .saturating_sub(earlier.map_or(0, |stalls| stalls.total_ns)),
                    waiting: stalls.waiters.len() as u64,
                }
            }),
        }
    }

    /// The kernel's HZ: as configured, else as its clock ran in the window.
    #[must_use]
    pub fn hz(&self) -> Option<u32> {
        self.host.hz.or_else(|| measured_hz(&self.zero, &self.last))
    }

    /// The summary of everything so far. `notes` are what is known of the source
    /// beside the samples.
    #[must_use]
    pub fn summary(
        &self,
        hooks: Vec<HookReport>,
        source_reason: Option<String>,
        mut notes: Vec<String>,
    ) -> Summary {
        let (zero, last) = (&self.zero, &self.last);
        let hooks_changes = hooks.iter().any(|hook| {
            hook.role == Role::Changes && matches!(hook.verdict, Verdict::Ok | Verdict::Degraded)
        });
        let ledger = self.ledger();
        let depth = self.depth();
        let memory = self.memory(depth.max);
        notes.extend(self.notes(&ledger));
        let known_lost = lost_records(&ledger.dropped, self.kernel_lost.total);
        let record_bytes = memory.as_ref().map(|memory| memory.record_mean_bytes);
        let (talkers, talkers_other, talkers_by) = self
            .talkers
            .report(self.totals(&ledger), record_bytes)
            .map_or((None, None, None), |report| {
                (Some(report.rows), Some(report.other), Some(report.by))
            });
        Summary {
            kind: SummaryKind::Summary,
            schema: SUMMARY_SCHEMA,
            kernel: KernelFacts {
                release: self.host.release.clone(),
                hz: self.hz(),
                cpus: self.host.cpus,
            },
            source: last.source,
            source_reason,
            hooks,
            startup_ns: None,
            duration_ns: last.at_ns.saturating_sub(zero.at_ns),
            status: self.status(),
            lost: known_lost,
            ledger,
            depth,
            stalls: self.stalls(),
            command: None,
            talkers,
            talkers_other,
            talkers_by,
            recommendation: None,
            memory,
            types: self.types(),
            limit_changes: hooks_changes.then(|| self.changes()),
            auditd_resets: last.resets,
            own: None,
            notes,
        }
    }

    /// The ledger of the whole.
    fn ledger(&self) -> Ledger {
        let changes = self.rare.changes();
        match self.rare.changes_left_out() {
            0 => Ledger::between(&self.zero, &self.last, changes),
            // One of them may have reset the kernel's own count: it is as if it had been missed.
            left_out => {
                let mut last = self.last.clone();
                last.shortfalls.rare_missed = last.shortfalls.rare_missed.saturating_add(left_out);
                Ledger::between(&self.zero, &last, changes)
            }
        }
    }

    /// What all talkers come to.
    fn totals(&self, ledger: &Ledger) -> Totals {
        let stalls = self.last.stalls.as_ref();
        Totals {
            attempted: ledger.attempted.unwrap_or(0),
            dropped: ledger
                .dropped
                .by_reason()
                .into_iter()
                .filter_map(|(_, dropped)| dropped)
                .sum(),
            stalls: stalls.map_or(0, |stalls| stalls.count),
            stalled_ns: stalls.map_or(0, |stalls| stalls.total_ns),
        }
    }

    fn status(&self) -> Status {
        let (zero, last) = (&self.zero.state, &self.last.state);
        Status {
            limit_start: zero.limit,
            limit_end: last.limit,
            enabled: last.enabled,
            failure: last.failure,
            auditd_pid: last.auditd_pid,
            rate_limit: last.rate_limit,
            wait_time_ns: self.wait_time_ns(),
            lost_start: zero.lost,
            lost_end: last.lost,
            booted_with_audit: last.booted_with_audit,
        }
    }

    fn depth(&self) -> Depth {
        let (zero, last) = (&self.zero, &self.last);
        let max = peak::so_far(last);
        let hist = last.drain.as_ref().and_then(|drain| drain.depths.as_ref());
        let longest = |kept: Option<&Kept>, ends: [Option<u32>; 2]| {
            ends.into_iter()
                .flatten()
                .map(u64::from)
                .chain([kept?.depth_max?])
                .max()
        };
        let quantile = |per_mille| {
            let value = histogram::quantile(&hist?.hist, per_mille, histogram::depth_bucket_max)?;
            Some(value.min(max.unwrap_or(value)))
        };
        Depth {
            max,
            p50: quantile(500),
            p99: quantile(990),
            retry_max: longest(
                last.retry.as_ref(),
                [zero.state.retry_depth, last.state.retry_depth],
            ),
            hold_max: longest(
                last.hold.as_ref(),
                [zero.state.hold_depth, last.state.hold_depth],
            ),
            start: zero.state.depth,
            end: last.state.depth,
            retry_start: zero.state.retry_depth,
            retry_end: last.state.retry_depth,
            hold_start: zero.state.hold_depth,
            hold_end: last.state.hold_depth,
        }
    }

    /// What the tasks of the traced command did so far, where one is followed: it began
    /// after the zero point.
    #[must_use]
    pub const fn command(&self) -> Option<&CommandCounts> {
        self.last.command.as_ref()
    }

    fn stalls(&self) -> Option<StallSummary> {
        let stalls = self.last.stalls.as_ref()?;
        let quantile = |per_mille| {
            histogram::quantile(&stalls.hist, per_mille, histogram::stall_bucket_max)
                .map(|value| value.min(stalls.max_ns))
        };
        let mut hist = stalls.hist.clone();
        while hist.last() == Some(&0) {
            hist.pop();
        }
        Some(StallSummary {
            count: stalls.count,
            total_ns: stalls.total_ns,
            max_ns: stalls.max_ns,
            p50_ns: quantile(500),
            p99_ns: quantile(990),
            refused: stalls.refused,
            stranded: self.stranded.count(),
            waiting: self.last.state.waiters.map_or(0, u64::from),
            untracked: stalls.untracked,
            missed: stalls_missed(&self.zero, &self.last),
            kernel_total_ns: self.kernel_waited_ns(),
            hist,
        })
    }

    /// `audit_backlog_wait_time_actual` (5.9), which wraps and which others may
    /// reset: then it is not known.
    fn kernel_waited_ns(&self) -> Option<u64> {
        let was_reset = self
            .changes()
            .iter()
            .any(|change| change.field == "backlog_wait_time_actual" && change.result == 0);
        if was_reset || self.rare.changes_left_out() > 0 {
            return None;
        }
        let waited = counter_growth(
            self.zero.state.waited_jiffies?,
            self.last.state.waited_jiffies?,
        )?;
        Some(jiffies_to_ns(waited, self.hz()?))
    }

    fn memory(&self, depth_max: Option<u64>) -> Option<Memory> {
        let drain = self.last.drain.as_ref()?;
        let areas = drain.areas.as_ref().filter(|areas| areas.total_bytes > 0)?;
        let overhead = self
            .host
            .record_overhead_bytes
            .unwrap_or(DEFAULT_RECORD_OVERHEAD_BYTES);
        let mean = areas.total_bytes.checked_div(drain.drained)? + overhead;
        Some(Memory {
            record_mean_bytes: mean,
            record_max_bytes: areas.max_bytes + overhead,
            queue_peak_bytes: depth_max.map(|depth| depth.saturating_mul(mean)),
        })
    }

    fn types(&self) -> Option<BTreeMap<String, u64>> {
        let drain = self.last.drain.as_ref()?;
        Some(
            drain
                .types
                .as_ref()?
                .iter()
                .map(|(&number, &count)| (record_type::name(number), count))
                .collect(),
        )
    }

    fn changes(&self) -> Vec<Change> {
        self.rare
            .changes()
            .iter()
            .filter_map(|event| match &event.what {
                EventKind::Change {
                    field,
                    old,
                    new,
                    result,
                } => Some(Change {
                    at_ns: event.at_ns.saturating_sub(self.zero.at_ns),
                    field: field.clone(),
                    old: *old,
                    new: *new,
                    pid: event.pid,
                    comm: event.comm.clone(),
                    result: *result,
                }),
                EventKind::AuditdReset | EventKind::FirstLoss | EventKind::Pause { .. } => None,
            })
            .collect()
    }
}

/// HZ from the ticks between two samples, where they lie far enough apart to
/// tell the values that the kernel can be built with from each other.
fn measured_hz(zero: &Sample, last: &Sample) -> Option<u32> {
    let ticks = last.state.jiffies?.checked_sub(zero.state.jiffies?)?;
    let ns = last.at_ns.checked_sub(zero.at_ns)?;
    if ticks < 25 || ns == 0 {
        return None;
    }
    let per_s = u128::from(ticks) * 1_000_000_000 / u128::from(ns);
    [100_u32, 250, 300, 1000]
        .into_iter()
        .find(|&hz| per_s.abs_diff(u128::from(hz)) * 20 < u128::from(hz))
}

fn rate(count: u64, duration_ns: u64) -> u64 {
    if duration_ns == 0 {
        return 0;
    }
    let per_s = u128::from(count) * 1_000_000_000 / u128::from(duration_ns);
    u64::try_from(per_s).unwrap_or(u64::MAX)
}
