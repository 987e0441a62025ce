//! The cause: what makes the consumer slow, by its set-up and by what it was seen to do.
//!
//! In: evidence, in which the consumer is the bottleneck. Out: a [`Cause`] and the words for it, or
//! nothing where the evidence names none. A setting alone is no cause: what it would explain must
//! have been seen. Pure.

use serde::{Deserialize, Serialize};

use crate::{
    auditd::conf::Flush,
    recommend::model::{
        demand::{float, whole},
        evidence::Evidence,
        replay,
        service::Service,
    },
    units::{count, duration},
    untrusted::NAME_COLUMNS,
};

/// Fewest records that the CPU time of one is told from.
const FEWEST_READS: u64 = 20;

/// What makes the consumer slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A signal stopped it, or its control group is frozen.
    Stopped,
    /// It is not auditd.
    OtherConsumer,
    /// auditd is CPU-bound.
    Cpu,
    /// auditd may not have more CPU time.
    Quota,
    /// auditd could run and has no CPU for most of its time.
    CpuWait,
    /// auditd syncs its log with each record.
    FlushEachRecord,
    /// auditd syncs its log after some records, and waits for it.
    FlushEveryFew,
    /// auditd pauses, and rotates its logs.
    Rotation,
    /// It pauses, and its set-up does not say why.
    Pauses,
}

impl Cause {
    /// The cause in a few words.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Stopped => "the consumer is stopped",
            Self::OtherConsumer => "the consumer is not auditd",
            Self::Cpu => "auditd's own work takes most of its time",
            Self::Quota => "auditd's CPU time is limited by its control group",
            Self::CpuWait => "auditd is starved of CPU",
            Self::FlushEachRecord => "auditd syncs its log with each record",
            Self::FlushEveryFew => "auditd waits for its log to be synced every few records",
            Self::Rotation => "auditd pauses to rotate its logs",
            Self::Pauses => "the consumer pauses",
        }
    }
}

/// The cause, and a sentence of evidence for it.
pub(super) fn cause(evidence: &Evidence, service: &Service) -> Option<(Cause, String)> {
    let setup = evidence.setup.as_ref()?;
    if setup.is_stopped == Some(true) {
        return Some((
            Cause::Stopped,
            format!(
                "{} (pid {}) is stopped: it reads nothing until it is continued",
                setup.name().unwrap_or_else(|| "the consumer".to_owned()),
                setup.pid
            ),
        ));
    }
    if setup.is_auditd() == Some(false) {
        return Some((
            Cause::OtherConsumer,
            format!(
                "the consumer is {} (pid {}), not auditd: auditd.conf does not apply",
                setup.name().unwrap_or_else(|| "?".to_owned()),
                setup.pid
            ),
        ));
    }
    let pauses = format!(
        "it paused {} times ({} in total)",
        count(service.pauses.len() as u64),
        duration(service.paused_ns())
    );
    let Some((conf, path)) = setup.configuration() else {
        return pauses_matter(evidence, service).then_some((Cause::Pauses, pauses));
    };
    // What stands still is not slow: pauses, and a quota, come before the CPU time of a record.
    if let Some(found) = by_quota(evidence) {
        return Some(found);
    }
    let pauses_come_first = pauses_matter(evidence, service);
    if !pauses_come_first && let Some(found) = by_cpu(evidence, service) {
        return Some(found);
    }
    let flush = conf.cite("flush", conf.flush.name(), path);
    if conf.writes_logs && conf.flush.waits_for_each() {
        return Some((
            Cause::FlushEachRecord,
            format!(
                "auditd syncs its log with each record ({flush}), which takes {} a record",
                duration(whole(service.record_ns))
            ),
        ));
    }
    let syncs = conf.writes_logs && conf.flush == Flush::Incremental;
    if pauses_come_first || (syncs && few_are_slow(evidence, service)) {
        return Some(if syncs {
            (
                Cause::FlushEveryFew,
                format!(
                    "auditd waits for the disk every freq = {} records ({flush}): the median record took {}, the mean is {}, and {pauses}",
                    conf.freq,
                    service.usual_ns.map_or_else(|| "?".to_owned(), duration),
                    duration(whole(service.record_ns))
                ),
            )
        } else if conf.rotates() {
            (
                Cause::Rotation,
                format!(
                    "{pauses}, to rotate its logs ({})",
                    conf.cite("max_log_file", conf.max_log_file_mib, path)
                ),
            )
        } else {
            (Cause::Pauses, pauses)
        });
    }
    None
}

/// CPU time of the consumer for a record, ns, and the same by what its control group lets it have.
pub(super) fn quota_pace(evidence: &Evidence) -> Option<(f64, f64)> {
    let quota = evidence.setup.as_ref()?.cpu_quota.as_ref()?;
    let reads = evidence.reads.filter(|&reads| reads >= FEWEST_READS)?;
    let ran_ns = float(evidence.consumer_times?.ran_ns) / float(reads);
    Some((ran_ns, ran_ns / quota.cpus()))
}

/// The quota, where the consumer cannot be faster for it.
fn by_quota(evidence: &Evidence) -> Option<(Cause, String)> {
    let (ran_ns, record_ns) = quota_pace(evidence)?;
    let quota = evidence.setup.as_ref()?.cpu_quota.as_ref()?;
    let had_ns = float(evidence.consumer_times?.ran_ns);
    // It had most of what it may have.
    (had_ns * 2.0 >= float(evidence.duration_ns) * quota.cpus()).then(|| {
        (
            Cause::Quota,
            format!(
                "auditd may have {:.1} % of a CPU ({} us of {} us in {}): a record takes {} of CPU time, so it reads at most {} records/s",
                quota.cpus() * 100.0,
                count(quota.quota_us),
                count(quota.period_us),
                quota.group.clipped(NAME_COLUMNS),
                duration(whole(ran_ns)),
                count(whole(1e9 / record_ns)),
            ),
        )
    })
}

/// The consumer by its quota, where that is slower than it was measured between its pauses: these are the quota's.
pub(super) fn under_quota(evidence: &Evidence, service: &Service) -> Option<Service> {
    by_quota(evidence)?;
    let (_, record_ns) = quota_pace(evidence)?;
    (record_ns > service.record_ns).then(|| Service {
        record_ns,
        is_by_part: false,
        paces: Vec::new(),
        ..without_pauses(service)
    })
}

/// The cause by what auditd had of the CPUs, for each record that it took.
fn by_cpu(evidence: &Evidence, service: &Service) -> Option<(Cause, String)> {
    let times = evidence.consumer_times?;
    let reads = evidence.reads.filter(|&reads| reads > 0)?;
    let (ran_ns, waited_ns) = (times.ran_ns / reads, times.waited_ns / reads);
    let most = |ns: u64| float(ns) * 2.0 >= service.record_ns;
    let taken = duration(whole(service.record_ns));
    if most(ran_ns) {
        return Some((
            Cause::Cpu,
            format!(
                "auditd runs for {} of the {taken} that a record takes: it is CPU-bound and does not wait for the disk",
                // Its account is of the whole trace, the pace of records behind each other.
                duration(ran_ns.min(whole(service.record_ns)))
            ),
        ));
    }
    most(waited_ns).then(|| {
        (
            Cause::CpuWait,
            format!(
                "auditd waits for a CPU for {} of the {taken} that a record takes",
                duration(waited_ns.min(whole(service.record_ns)))
            ),
        )
    })
}

/// Whether without the pauses half the limit would do.
pub(super) fn pauses_matter(evidence: &Evidence, service: &Service) -> bool {
    !service.pauses.is_empty() && halves(evidence, service, &without_pauses(service))
}

/// Whether half the limit would do if all records took as long as most do.
fn few_are_slow(evidence: &Evidence, service: &Service) -> bool {
    at_usual_pace(service).is_some_and(|usual| halves(evidence, service, &usual))
}

/// The consumer without its pauses.
pub(super) fn without_pauses(service: &Service) -> Service {
    Service {
        pauses: Vec::new(),
        ..service.clone()
    }
}

/// The consumer if all records took as long as most do, where that is less than the mean.
#[expect(
    clippy::cast_precision_loss,
    reason = "times of one record stay far below 2^52 ns"
)]
pub(super) fn at_usual_pace(service: &Service) -> Option<Service> {
    let usual_ns = service.usual_ns? as f64;
    (usual_ns < service.record_ns).then(|| Service {
        record_ns: usual_ns,
        is_by_part: false,
        ..without_pauses(service)
    })
}

fn halves(evidence: &Evidence, service: &Service, other: &Service) -> bool {
    let need = |service: &Service| replay::unlimited(&evidence.arrivals, service).met;
    let now = need(service);
    now > 0 && need(other).saturating_mul(2) <= now
}
