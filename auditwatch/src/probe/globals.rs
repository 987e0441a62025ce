//! The programs' globals: addresses and offsets of the running kernel.
//!
//! In: symbols and types. Out: a value for each global, 0 or `u32::MAX` where the
//! kernel does not tell. It must not guess: no offset is written down here.

use auditwatch_ebpf::{CROWD_MAP, OWNERS_MAP, STACK_COUNTS_MAP, STACKS_MAP, TALKERS_MAP};

use super::ProbeOptions;
use crate::kernel::{symbols::Symbols, types::KernelTypes};

/// Values for the programs' globals, kept alive until the object is loaded.
pub(super) struct Globals {
    margin: u32,
    follows_command: u32,
    counts_talkers: u32,
    talker_slots: u32,
    has_typed_task: u32,
    bins: Bins,
    receive_msg_params: u32,
    addresses: Vec<(&'static str, u64)>,
    offsets: Vec<(&'static str, u32)>,
}

/// What the programs can see of records and tasks, by the offsets that are known.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact by itself, and none excludes another"
)]
pub(super) struct Capabilities {
    /// A full queue, and whether a task has slept.
    pub stalls: bool,
    /// The size of a record.
    pub areas: bool,
    /// The type of a record.
    pub types: bool,
    /// How full a socket is.
    pub sockets: bool,
    /// Who descends from whom; only where a command is followed.
    pub command: bool,
    /// Who causes records.
    pub talkers: bool,
}

const ADDRESSES: &[(&str, &str)] = &[
    ("ADDR_QUEUE", "audit_queue"),
    ("ADDR_RETRY", "audit_retry_queue"),
    ("ADDR_HOLD", "audit_hold_queue"),
    ("ADDR_LIMIT", "audit_backlog_limit"),
    ("ADDR_WAIT_TIME", "audit_backlog_wait_time"),
    ("ADDR_WAITED", "audit_backlog_wait_time_actual"),
    ("ADDR_LOST", "audit_lost"),
    ("ADDR_RATE_LIMIT", "audit_rate_limit"),
    ("ADDR_FAILURE", "audit_failure"),
    ("ADDR_ENABLED", "audit_enabled"),
    ("ADDR_DEFAULT", "audit_default"),
    ("ADDR_AUDITD", "auditd_conn"),
    ("CODE_REHOLD", "kauditd_rehold_skb"),
    ("CODE_HOLD", "kauditd_hold_skb"),
];

const OFFSETS: &[(&str, &str, &str)] = &[
    ("OFF_QLEN", "sk_buff_head", "qlen"),
    ("OFF_SKB_END", "sk_buff", "end"),
    ("OFF_SKB_DATA", "sk_buff", "data"),
    ("OFF_SWITCHES", "task_struct", "nvcsw"),
    ("OFF_PARENT", "task_struct", "real_parent"),
    ("OFF_TGID", "task_struct", "tgid"),
    ("OFF_PID", "task_struct", "pid"),
    ("OFF_COMM", "task_struct", "comm"),
    ("OFF_AUDIT_CONTEXT", "task_struct", "audit_context"),
    ("OFF_MAJOR", "audit_context", "major"),
    ("OFF_FILTER_KEY", "audit_context", "filterkey"),
    ("OFF_CONTEXT_KIND", "audit_context", "context"),
    ("OFF_BUFFER_SKB", "audit_buffer", "skb"),
    ("OFF_SK", "socket", "sk"),
    ("OFF_RMEM", "sock", "sk_backlog.rmem_alloc"),
    ("OFF_RCVBUF", "sock", "sk_rcvbuf"),
    ("OFF_AUDITD_PID", "auditd_connection", "pid"),
    ("OFF_PID_NUMBERS", "pid", "numbers"),
];

/// Bins of demand: whole ticks of the kernel's clock, 3 to 10 ms of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bins {
    /// Ticks in a bin, as a power of two.
    shift: u32,
    ns: u32,
    tick_ns: u32,
}

impl Bins {
    const fn of(hz: u32) -> Self {
        let shift = if hz >= 1000 { 2 } else { 0 };
        let tick_ns = 1_000_000_000 / if hz == 0 { USUAL_HZ } else { hz };
        Self {
            shift,
            ns: tick_ns << shift,
            tick_ns,
        }
    }
}

/// The helper that gives a typed pointer to the current task: where the kernel has it, it is this function.
const TYPED_TASK: &str = "bpf_get_current_task_btf";
/// The clock of most distributions' kernels. Where the configuration cannot be read, only how far
/// a task's own clock lags rests on it.
const USUAL_HZ: u32 = 250;

impl Globals {
    /// Looks every value up.
    pub(super) fn new(
        symbols: &Symbols,
        types: Option<&KernelTypes>,
        extent: ProbeOptions,
        hz: Option<u32>,
    ) -> Self {
        Self {
            follows_command: extent.follows_command.into(),
            counts_talkers: (extent.talker_slots > 0).into(),
            talker_slots: extent.talker_slots.max(1),
            has_typed_task: symbols.address(TYPED_TASK).is_some().into(),
            bins: Bins::of(hz.unwrap_or(USUAL_HZ)),
            // Each CPU may be past its own look, with another task pre-empted there.
            margin: aya::util::nr_cpus()
                .ok()
                .and_then(|cpus| u32::try_from(cpus * 2).ok())
                .unwrap_or(64),
            receive_msg_params: types
                .and_then(|types| types.function("audit_receive_msg")?.params)
                .unwrap_or(2),
            addresses: ADDRESSES
                .iter()
                .map(|&(global, symbol)| (global, symbols.address(symbol).unwrap_or(0)))
                .collect(),
            offsets: OFFSETS
                .iter()
                .map(|&(global, strukt, member)| {
                    let offset = types.and_then(|types| types.member_offset(strukt, member));
                    (global, offset.unwrap_or(u32::MAX))
                })
                .collect(),
        }
    }

    /// What the programs can see by these offsets.
    pub(super) fn capabilities(&self) -> Capabilities {
        let known = |needed: &str| {
            self.offsets
                .iter()
                .any(|&(global, offset)| global == needed && offset != u32::MAX)
        };
        Capabilities {
            stalls: known("OFF_QLEN") && known("OFF_SWITCHES"),
            areas: known("OFF_SKB_END"),
            types: known("OFF_SKB_DATA"),
            sockets: known("OFF_SK")
                && known("OFF_RMEM")
                && known("OFF_AUDITD_PID")
                && known("OFF_PID_NUMBERS")
                && self.auditd_is_known(),
            talkers: self.counts_talkers != 0,
            command: self.follows_command != 0 && known("OFF_PARENT") && known("OFF_TGID"),
        }
    }

    /// Whether the programs can tell which process auditd is.
    fn auditd_is_known(&self) -> bool {
        self.addresses
            .iter()
            .any(|&(global, address)| global == "ADDR_AUDITD" && address != 0)
    }

    /// Ticks of the kernel's clock in a bin.
    pub(super) const fn ticks_per_bin(&self) -> u32 {
        1 << self.bins.shift
    }

    /// The values, by the globals' names, in this machine's byte order.
    pub(super) fn values(&self) -> Vec<(&'static str, Vec<u8>)> {
        let words = [
            ("MARGIN", self.margin),
            ("BIN_SHIFT", self.bins.shift),
            ("TICK_NS", self.bins.tick_ns),
            ("BIN_NS", self.bins.ns),
            ("HAS_TYPED_TASK", self.has_typed_task),
            ("FOLLOWS_COMMAND", self.follows_command),
            ("COUNTS_TALKERS", self.counts_talkers),
            ("RECEIVE_MSG_PARAMS", self.receive_msg_params),
        ];
        words
            .iter()
            .chain(&self.offsets)
            .map(|&(global, value)| (global, value.to_ne_bytes().to_vec()))
            .chain(
                self.addresses
                    .iter()
                    .map(|&(global, address)| (global, address.to_ne_bytes().to_vec())),
            )
            .collect()
    }

    /// Maps whose number of entries is not the object's own.
    pub(super) fn map_sizes(&self) -> Vec<(&'static str, u32)> {
        let mut sizes = vec![(TALKERS_MAP, self.talker_slots)];
        if self.counts_talkers == 0 {
            sizes.extend([(CROWD_MAP, 1), (OWNERS_MAP, 1)]);
        }
        if self.follows_command == 0 {
            sizes.extend([(STACKS_MAP, 1), (STACK_COUNTS_MAP, 1)]);
        }
        sizes
    }
}

#[cfg(test)]
mod tests {
    use super::{ADDRESSES, OFFSETS};
    use crate::kernel::{symbols::Symbols, types::MEMBERS};

    #[test]
    fn every_symbol_that_programs_need_is_kept() {
        for &(global, strukt, member) in OFFSETS {
            assert!(MEMBERS.contains(&(strukt, member)), "{global}");
        }
        for &(global, symbol) in ADDRESSES {
            let symbols = Symbols::parse(format!("ffffffff81000040 d {symbol}\n").as_bytes());
            assert!(symbols.address(symbol).is_some(), "{global}");
        }
    }
}
