//! Events of auditd, of its dispatcher and of other consumers. Plain data: a name for JSON and words for people.

/// An event of the consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Daemon {
    /// It reads records.
    Started,
    /// It ended as it was told to.
    Stopped,
    /// It ended otherwise.
    Died,
    /// The kernel killed it for want of memory.
    Killed,
    /// systemd reports that its unit failed.
    Failed,
    /// It could not start.
    NotStarted,
    /// It discards records instead of writing them.
    Suspended,
    /// The same, because its log file has the greatest size.
    SuspendedBySize,
    /// It was told to write again.
    Resumed,
    /// Its disk is nearly full.
    LowDisk,
    /// Its disk is full.
    DiskFull,
    /// It could not write.
    WriteError,
    /// It stopped the system, as it was configured to.
    HaltedSystem,
    /// An event did not reach the plugins.
    PluginDropped,
    /// The same up to auditd 2.8, where audispd had the queue.
    DispatcherFull,
    /// The queue to a remote host was full.
    RemoteFull,
    /// A plugin ended.
    PluginEnded,
    /// It tells of no more of them.
    PluginReportsEnd,
    /// No event reaches the plugins any more.
    PluginsSuspended,
    /// Its socket was full: the kernel tries again.
    NoBuffers,
    /// It did not take a record when it was sent: the kernel tries again.
    Refused,
    /// Another consumer than auditd reports that it lost events.
    OtherLost,
}

/// All of them.
pub const ALL: [Daemon; 22] = [
    Daemon::Started,
    Daemon::Stopped,
    Daemon::Died,
    Daemon::Killed,
    Daemon::Failed,
    Daemon::NotStarted,
    Daemon::Suspended,
    Daemon::SuspendedBySize,
    Daemon::Resumed,
    Daemon::LowDisk,
    Daemon::DiskFull,
    Daemon::WriteError,
    Daemon::HaltedSystem,
    Daemon::PluginDropped,
    Daemon::DispatcherFull,
    Daemon::RemoteFull,
    Daemon::PluginEnded,
    Daemon::PluginReportsEnd,
    Daemon::PluginsSuspended,
    Daemon::NoBuffers,
    Daemon::Refused,
    Daemon::OtherLost,
];

impl Daemon {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Died => "died",
            Self::Killed => "killed",
            Self::Failed => "failed",
            Self::NotStarted => "not_started",
            Self::Suspended => "suspended",
            Self::SuspendedBySize => "suspended_by_size",
            Self::Resumed => "resumed",
            Self::LowDisk => "low_disk",
            Self::DiskFull => "disk_full",
            Self::WriteError => "write_error",
            Self::HaltedSystem => "halted_system",
            Self::PluginDropped => "plugin_dropped",
            Self::DispatcherFull => "dispatcher_full",
            Self::RemoteFull => "remote_full",
            Self::PluginEnded => "plugin_ended",
            Self::PluginReportsEnd => "plugin_reports_end",
            Self::PluginsSuspended => "plugins_suspended",
            Self::NoBuffers => "no_buffers",
            Self::Refused => "refused",
            Self::OtherLost => "other_lost",
        }
    }

    /// The more general event that is counted as well.
    #[must_use]
    pub const fn is_also(self) -> Option<Self> {
        match self {
            Self::Killed | Self::Failed => Some(Self::Died),
            Self::SuspendedBySize => Some(Self::Suspended),
            Self::DispatcherFull => Some(Self::PluginDropped),
            _ => None,
        }
    }

    /// In words.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Started => "auditd started",
            Self::Stopped => "auditd stopped",
            Self::Died => "auditd ended unexpectedly",
            Self::Killed => "the kernel killed auditd to free memory",
            Self::Failed => "systemd reports that auditd failed",
            Self::NotStarted => "auditd could not start",
            Self::Suspended => "auditd suspended logging: it reads records and discards them",
            Self::SuspendedBySize => {
                "auditd suspended logging because its log file is full: it reads records and discards them"
            }
            Self::Resumed => "auditd was asked to resume logging",
            Self::LowDisk => "auditd is low on disk space",
            Self::DiskFull => "auditd's disk is full",
            Self::WriteError => "auditd could not write to its log",
            Self::HaltedSystem => "auditd took the system down, as its configuration says",
            Self::PluginDropped => "auditd dropped events: the queue to its plugins was full",
            Self::DispatcherFull => "the queue of audispd was full and events were dropped",
            Self::RemoteFull => "audisp-remote dropped events: its queue was full",
            Self::PluginEnded => "a plugin of auditd ended unexpectedly",
            Self::PluginReportsEnd => "auditd no longer reports the events that it drops",
            Self::PluginsSuspended => "auditd suspended passing events to its plugins",
            Self::Refused => {
                "auditd did not take a record when it was sent; the kernel tries again"
            }
            Self::NoBuffers => {
                "auditd's socket was full (ENOBUFS); the kernel tries again, so this is no loss yet"
            }
            Self::OtherLost => "a consumer reports that it lost events",
        }
    }
}
