//! What a log can say about audit. Plain data.

use crate::{kernel::cmdline::AuditBoot, untrusted::Untrusted};

/// Why the kernel counted a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The queue was over its limit.
    BacklogLimit,
    /// More records than the rate limit lets pass.
    RateLimit,
    /// No memory for the record.
    OutOfMemory,
    /// The retry queue was full: auditd did not read.
    RetryOverflow,
    /// The hold queue was full: no auditd, on a host booted with `audit=1`.
    HoldOverflow,
    /// Up to 4.9: no auditd, and the record was not even printed.
    PrintkLimit,
    /// Up to 4.9: auditd was gone when the record was sent.
    AuditdGone,
    /// Counted as lost, while a record was only cut short or none was due.
    NoRecord,
}

impl Reason {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BacklogLimit => "backlog_limit",
            Self::RateLimit => "rate_limit",
            Self::OutOfMemory => "out_of_memory",
            Self::RetryOverflow => "retry_overflow",
            Self::HoldOverflow => "hold_overflow",
            Self::PrintkLimit => "printk_limit",
            Self::AuditdGone => "auditd_gone",
            Self::NoRecord => "no_record",
        }
    }
}

/// A setting of audit, by the name that `CONFIG_CHANGE` records have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `audit_backlog_limit`, records.
    BacklogLimit,
    /// `audit_failure`: 0 silent, 1 printk, 2 panic.
    Failure,
    /// `audit_enabled`: 2 is immutable.
    Enabled,
    /// `audit_rate_limit`, records a second.
    RateLimit,
    /// `audit_backlog_wait_time`, jiffies.
    WaitTime,
    /// `audit_pid`: who reads the records.
    Pid,
    /// `lost`: the counter was reset.
    Lost,
}

/// Something that a log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A kernel starts.
    KernelStart {
        /// Its release.
        release: Untrusted,
    },
    /// The kernel's release, as a trace names it.
    Release(Untrusted),
    /// A SYSCALL record.
    Talker(super::talkers::Who),
    /// A record of an audit.log, by the number of its event.
    Serial(u64),
    /// A trace in which `auditd_reset` calls itself.
    ResetFrame,
    /// `schedule_timeout` was called with a negative time.
    WrongTimeout,
    /// A line of any trace that names `audit_log_start`.
    AnyFrame,
    /// A trace within netlink's sending.
    NetlinkFrame,
    /// The program that read the records is gone: the kernel does not try again.
    ReaderGone,
    /// The kernel's command line.
    CommandLine(AuditBoot),
    /// `audit_lost=`, which is printed when a record has been lost.
    Lost {
        /// The counter; `None` where the line is cut within it.
        lost: Option<u32>,
        /// Records a second.
        rate_limit: Option<u32>,
        /// Records.
        limit: Option<u32>,
    },
    /// `audit_backlog=`, which is printed just before a record is lost.
    Depth {
        /// Records in the queue.
        depth: Option<u32>,
        /// Records.
        limit: Option<u32>,
    },
    /// Why a record was lost.
    Loss(Reason),
    /// An error of audit without a loss.
    Error(Untrusted),
    /// `N callbacks suppressed`: lines that were not printed.
    Suppressed {
        /// The function that says so.
        function: Untrusted,
        /// Lines of all that share the kernel's one printk limit, not records.
        lines: u64,
    },
    /// A record was printed, since no auditd took it.
    Printed {
        /// Its type.
        record_type: u32,
        /// The number of its event.
        serial: Option<u64>,
        /// Whether a rule with a key made it: somebody wants such records.
        has_key: bool,
    },
    /// A setting was changed, or the change was refused.
    Change {
        /// Which.
        setting: Setting,
        /// What it is now.
        new: u32,
        /// What it was.
        old: Option<u32>,
        /// Whether it was done.
        done: bool,
    },
    /// `audit_backlog_limit=` of the command line, as the kernel took it.
    BootLimit(u32),
    /// Audit is there.
    Initialized {
        /// Whether it was booted with `audit=1`.
        enabled: bool,
    },
    /// Audit is off until reboot.
    Off,
    /// The kernel panicked for audit.
    Panic {
        /// Its words.
        message: Untrusted,
        /// The loss that it panicked for; `None` for another error.
        reason: Option<Reason>,
    },
    /// The kernel panicked since tasks hung.
    HungTaskPanic,
    /// A task has been asleep for long. Where, its trace says.
    Blocked {
        /// Its name.
        comm: Untrusted,
        /// Its process id.
        pid: u32,
        /// How long, at least, seconds; `None` where the kernel was only asked for the state of tasks.
        seconds: Option<u64>,
    },
    /// A line of a trace: within `audit_log_start`, or `audit_receive` where senders of messages wait.
    Frame {
        /// Whether the latter.
        is_receive: bool,
    },
    /// A CPU is stuck in a task.
    SoftLockup {
        /// The task's name.
        comm: Untrusted,
        /// Its process id.
        pid: u32,
        /// How long, seconds.
        seconds: u64,
    },
    /// A process was killed for want of memory.
    OomKilled {
        /// Its name.
        comm: Untrusted,
    },
    /// Up to 4.9: auditd did not take a record.
    NoDaemon {
        /// Whether the record is lost by that. Otherwise the kernel tries again.
        is_loss: bool,
    },
    /// The log itself misses lines.
    Gap {
        /// How many, where it says so.
        lines: Option<u64>,
    },
}
