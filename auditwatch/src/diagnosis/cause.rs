//! What went wrong, by cause. In: a [`Boot`]. Out: its [`Cause`]s and its [`Verdict`].
//!
//! The advice is made from causes only, so that there is no advice without a finding.

use serde::Serialize;

use super::report::{Boot, Verdict, What};
use crate::kernel::audit_state::BOOT_LIMIT;

/// Overflows that begin earlier than this after boot come before the rules, seconds.
const EARLY_S: u64 = 60;
/// An overflow that lasts longer is no burst, seconds.
const LONG_S: u64 = 60;
/// A queue that is longer than its limit by more has records that the limit does not hold, records.
const FAR_ABOVE: u32 = 1024;

/// Why records were lost, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The kernel panicked for audit.
    Panic,
    /// Tasks slept in `audit_log_start`.
    TasksHang,
    /// `kauditd` kept a CPU to itself and did not empty the queue.
    KauditdStuck,
    /// A trace shows a fault of the kernel in audit.
    KernelFault,
    /// The queue was far above its limit: it held records that the limit does not hold.
    QueueFarAbove,
    /// The consumer ended.
    ConsumerGone,
    /// The kernel killed the consumer to free memory.
    ConsumerKilled,
    /// auditd took the system down.
    Halted,
    /// The disk of the log is full.
    DiskFull,
    /// auditd's log file has its greatest size, and auditd does not rotate it.
    LogFileFull,
    /// auditd could not write.
    WriteError,
    /// auditd discards what it reads.
    LoggingSuspended,
    /// auditd could not start.
    NotStarted,
    /// More records than the rate limit lets pass.
    RateLimit,
    /// The consumer took fewer records than came, for long.
    SlowConsumer,
    /// The queue was over its limit.
    Overflow,
    /// The same before the rules set the limit.
    BeforeRules,
    /// No consumer, and more records than the hold queue keeps.
    HoldQueue,
    /// No memory for records.
    OutOfMemory,
    /// The queue to auditd's plugins was full.
    PluginQueue,
    /// The same up to auditd 2.8.
    DispatcherQueue,
    /// The queue to a remote host was full.
    RemoteQueue,
    /// A plugin of auditd ended.
    PluginEnded,
    /// A consumer other than auditd lost events.
    OtherConsumer,
    /// Events are missing from an audit.log.
    MissingEvents,
    /// The consumer's socket was full; the kernel tries again.
    SocketFull,
    /// Records that somebody wanted were printed only.
    SilentLoss,
    /// Lines of audit were not printed.
    Suppressed,
    /// auditd's disk is nearly full.
    LowDisk,
    /// Records were lost, and the log does not say why.
    Unexplained,
}

/// The causes of a boot, each once, in the order of [`Cause`].
#[must_use]
pub fn causes(boot: &Boot) -> Vec<Cause> {
    let auditd = |what: &str| boot.auditd.contains_key(what);
    let reason = |name: &str| boot.reasons.contains_key(name);
    let is_stuck = boot.kauditd_stuck_seconds.is_some();
    let is_far = is_far_above(boot);
    let is_over = boot.overflow_limit.is_some() || reason("backlog_limit");
    // Without a limit, none was too small.
    let has_no_limit = boot.limits.last().is_some_and(|seen| seen.limit == 0);
    // A line of the kernel shows that it was in force at a loss; settings alone do not.
    let is_rate =
        reason("rate_limit") || boot.lost_at_least > 0 && boot.lost_at_rate_limit && !is_over;
    let is_gone = auditd("died") || reason("auditd_gone");
    let is_hung = !boot.hung_tasks.is_empty();
    let mut found = Vec::new();
    let mut put = |is: bool, cause| {
        if is {
            found.push(cause);
        }
    };
    put(!boot.panics.is_empty(), Cause::Panic);
    put(is_hung, Cause::TasksHang);
    put(is_stuck, Cause::KauditdStuck);
    put(!boot.kernel_faults.is_empty(), Cause::KernelFault);
    put(is_far, Cause::QueueFarAbove);
    put(is_gone && !auditd("killed"), Cause::ConsumerGone);
    put(auditd("killed"), Cause::ConsumerKilled);
    put(auditd("halted_system"), Cause::Halted);
    put(auditd("disk_full"), Cause::DiskFull);
    put(auditd("suspended_by_size"), Cause::LogFileFull);
    put(auditd("write_error"), Cause::WriteError);
    let suspended = |what: &str| boot.auditd.get(what).copied().unwrap_or(0);
    put(
        suspended("suspended") > suspended("suspended_by_size"),
        Cause::LoggingSuspended,
    );
    put(auditd("not_started"), Cause::NotStarted);
    put(is_rate, Cause::RateLimit);
    let is_plain = !is_stuck && !is_far;
    put(
        is_plain && (reason("retry_overflow") || is_over && is_long(boot)),
        Cause::SlowConsumer,
    );
    // Without a reason (`-f 0`, or lines that were not printed) it is most likely this one.
    let is_likely = boot.lost_at_least > 0
        && boot.reasons.is_empty()
        && boot.counter.is_some()
        && !has_no_limit
        && !is_rate
        && !is_gone;
    put(is_plain && (is_over || is_likely), Cause::Overflow);
    put(is_plain && is_early(boot), Cause::BeforeRules);
    put(reason("hold_overflow"), Cause::HoldQueue);
    put(reason("out_of_memory"), Cause::OutOfMemory);
    put(
        suspended("plugin_dropped") > suspended("dispatcher_full")
            || auditd("plugins_suspended")
            || auditd("plugin_reports_end") && !auditd("dispatcher_full"),
        Cause::PluginQueue,
    );
    put(auditd("dispatcher_full"), Cause::DispatcherQueue);
    put(auditd("remote_full"), Cause::RemoteQueue);
    put(auditd("plugin_ended"), Cause::PluginEnded);
    put(auditd("other_lost"), Cause::OtherConsumer);
    put(boot.serial_gaps > 0, Cause::MissingEvents);
    put(auditd("no_buffers") || auditd("refused"), Cause::SocketFull);
    put(is_silent(boot), Cause::SilentLoss);
    put(is_suppressed(boot), Cause::Suppressed);
    let says_more = ["disk_full", "suspended", "halted_system"]
        .iter()
        .any(|what| auditd(what));
    put(auditd("low_disk") && !says_more, Cause::LowDisk);
    if found.is_empty() && boot.lost_at_least > 0 {
        found.push(Cause::Unexplained);
    }
    found
}

/// The worst of a boot.
#[must_use]
pub fn verdict(boot: &Boot) -> Verdict {
    if boot.lost_at_least > 0 && boot.panics.is_empty() {
        return Verdict::Losses;
    }
    let of = |cause| match cause {
        Cause::Panic => Verdict::Panic,
        Cause::TasksHang => Verdict::Hang,
        Cause::LoggingSuspended
        | Cause::LogFileFull
        | Cause::PluginQueue
        | Cause::DispatcherQueue
        | Cause::RemoteQueue
        | Cause::OtherConsumer
        | Cause::MissingEvents => Verdict::LossesInAuditd,
        Cause::SocketFull | Cause::SilentLoss | Cause::Suppressed | Cause::LowDisk => {
            Verdict::Suspected
        }
        Cause::KauditdStuck
        | Cause::KernelFault
        | Cause::ConsumerGone
        | Cause::ConsumerKilled
        | Cause::Halted
        | Cause::DiskFull
        | Cause::WriteError
        | Cause::NotStarted
        | Cause::PluginEnded => Verdict::ConsumerFailed,
        Cause::QueueFarAbove
        | Cause::RateLimit
        | Cause::SlowConsumer
        | Cause::Overflow
        | Cause::BeforeRules
        | Cause::HoldQueue
        | Cause::OutOfMemory
        | Cause::Unexplained => Verdict::Losses,
    };
    causes(boot)
        .into_iter()
        .map(of)
        .max()
        .unwrap_or(Verdict::NothingFound)
}

/// Whether the queue held records that no limit of this boot holds.
fn is_far_above(boot: &Boot) -> bool {
    let highest = boot.limits.iter().map(|seen| seen.limit).max();
    let over = boot.overflow_limit.max(highest).unwrap_or(BOOT_LIMIT);
    let far = over.saturating_mul(2).max(over.saturating_add(FAR_ABOVE));
    boot.depth_max.is_some_and(|depth| depth > far)
}

/// Whether records were lost for so long that it was no burst.
fn is_long(boot: &Boot) -> bool {
    boot.timeline.iter().any(|event| {
        matches!(event.what, What::Losses { seconds: Some(seconds), .. } if seconds > LONG_S)
    })
}

/// Whether records were lost before the rules were loaded, which only the kernel's command line can prevent.
fn is_early(boot: &Boot) -> bool {
    boot.timeline.iter().any(|event| {
        let What::Losses { limit, .. } = event.what else {
            return false;
        };
        let is_first = limit.is_some_and(|limit| limit == boot.boot_limit.unwrap_or(BOOT_LIMIT));
        let seconds = event.at.kernel_ns.map(|ns| ns / 1_000_000_000).or_else(|| {
            let begin = boot.begin.as_ref()?;
            super::moment::seconds_between(begin, &event.at)
        });
        is_first && seconds.is_some_and(|seconds| seconds < EARLY_S)
    })
}

/// Whether records that somebody wanted were printed, and the kernel kept no copy.
fn is_silent(boot: &Boot) -> bool {
    boot.printed_wanted > 0 && boot.audit_at_boot != Some(true)
}

/// Up to 4.9 a record that could not be printed was counted as lost. `audit_panic` tells of losses and of other
/// errors.
fn is_suppressed(boot: &Boot) -> bool {
    boot.timeline.iter().any(|event| {
        matches!(&event.what, What::Suppressed { function, .. }
            if matches!(function.as_raw(), "audit_printk_skb" | "audit_panic"))
    })
}
