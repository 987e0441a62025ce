//! Wire types of record attempts.

use crate::TalkerRun;

/// Record attempts on one CPU. Programs that write it run one after the other there: plain additions
/// are exact. (5.10 does not keep a soft interrupt's record out of a program: one may go astray.)
///
/// Most attempts are like the one before on their CPU: by the same thread, in the same tick of the
/// kernel's clock, with nothing changed that matters. What was found out then holds for them.
#[repr(C)]
#[cfg_attr(not(target_arch = "bpf"), derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttemptRow {
    /// Calls of `audit_log_start` that reached the exclude filter, by others.
    pub attempted: u64,
    /// As long as `attempted` is less, the main queue is far from its limit, if that is `far_limit`.
    pub depth_check_at: u64,
    /// Ids of the thread that made the last one, process in the upper half.
    pub ids: u64,
    /// Tick of the kernel's clock in which it was found out what holds for the next ones. A thread
    /// that went to another CPU and came back may have begun an event there.
    pub ticks: u64,
    /// [`LiveState::epoch`](crate::LiveState::epoch) then; 0 where nothing holds.
    pub epoch: u64,
    /// Number of the bin that its attempts are filed in.
    pub bin: u32,
    /// 1 where they are the traced command's, else 0.
    pub by_command: u32,
    /// Of `attempted`: by the traced command.
    pub command: u64,
    /// Attempts by auditwatch itself.
    pub own: u64,
    /// Of `attempted`: ended by an exclude rule.
    pub filtered: u64,
    /// Of `own`: the same.
    pub own_filtered: u64,
    /// USER messages that a user filter rule ended before any attempt.
    pub user_filtered: u64,
    /// Greatest length of the main queue seen at an attempt that looked at it, records.
    pub depth_max: u64,
    /// Of `filtered`: by the traced command.
    pub command_filtered: u64,
    /// The last attempt at a full queue: its thread in the upper half, the record's type in the lower.
    pub over_limit_by: u64,
    /// Refused attempts of which it is known what went with them.
    pub understood: u64,
    /// Ids of the thread whose event is under way, process in the upper half.
    pub event_ids: u64,
    /// When it began, ns of `CLOCK_MONOTONIC`; 0 where it is not timed.
    pub event_ns: u64,
    /// Its class; `u32::MAX` when it is over.
    pub event_class: u32,
    /// The limit that `depth_check_at` is about, records.
    pub far_limit: u32,
    /// Who makes them.
    pub run: TalkerRun,
}
