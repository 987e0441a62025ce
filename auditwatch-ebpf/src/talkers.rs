//! Wire types of talkers: who causes records, and what befell them.

/// Map from a [`TalkerKey`] to [`TalkerCounts`].
pub const TALKERS_MAP: &str = "TALKERS";
/// The same for processes that found no place there, all as process 0.
pub const CROWD_MAP: &str = "CROWD";
/// Map from the address of a record that `kauditd` may lose to its [`TalkerKey`].
pub const OWNERS_MAP: &str = "OWNERS";
/// Most talkers told apart, by process and without.
pub const TALKER_SLOTS: u32 = 8192;
/// Most queued records whose talker is known, should `kauditd` lose them.
pub const OWNER_SLOTS: u32 = 16_384;
/// Ticks of the kernel's clock that `kauditd` sends one record for when auditd's socket is full:
/// records that come from then on may be lost later.
pub const LONG_SEND_TICKS: u64 = 2;
/// [`TalkerKey::syscall`]: the record is of no system call.
pub const NO_SYSCALL: u32 = u32::MAX;

/// Who causes records, and why.
#[repr(C)]
#[cfg_attr(not(target_arch = "bpf"), derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TalkerKey {
    /// Id of the control group (v2); 0 for no task.
    pub cgroup: u64,
    /// Process id in the initial namespace; 0 for no task.
    pub process: u32,
    /// Number of the system call, or [`NO_SYSCALL`].
    pub syscall: u32,
    /// Type of the event's first record.
    pub record_type: u32,
    /// Explicit padding.
    pub reserved: u32,
    /// Command name, as the kernel has it, NUL-padded.
    pub comm: [u64; 2],
    /// The rule's key (`auditctl -k`) as the kernel has it, NUL-padded; cut after 31 bytes.
    pub rule: [u64; 4],
}

/// What a talker did, and what it cost it.
#[repr(C)]
#[cfg_attr(not(target_arch = "bpf"), derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TalkerCounts {
    /// Record attempts.
    pub records: u64,
    /// Of these: refused, or dropped before they were queued.
    pub refused: u64,
    /// Of these: queued, and lost by `kauditd`.
    pub lost: u64,
    /// Of these: that slept for room.
    pub stalls: u64,
    /// Time that they slept, ns.
    pub stalled_ns: u64,
    /// The longest, ns.
    pub longest_ns: u64,
}

/// Attempts of one talker in a row on one CPU, not yet filed.
#[repr(C)]
#[cfg_attr(not(target_arch = "bpf"), derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TalkerRun {
    /// Attempts.
    pub records: u64,
    /// The talker.
    pub key: TalkerKey,
}
