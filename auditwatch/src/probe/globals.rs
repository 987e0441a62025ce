//! The programs' globals: addresses and offsets of the running kernel.
//!
//! In: symbols and types. Out: a value for each global, 0 or `u32::MAX` where the
//! kernel does not tell. It must not guess: no offset is written down here.

use aya::EbpfLoader;

use crate::kernel::{symbols::Symbols, types::KernelTypes};

/// Values for the programs' globals, kept alive until the object is loaded.
pub(super) struct Globals {
    own_pid: u32,
    receive_msg_params: u32,
    addresses: Vec<(&'static str, u64)>,
    offsets: Vec<(&'static str, u32)>,
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
    ("ADDR_INITIALIZED", "audit_initialized"),
    ("ADDR_AUDITD", "auditd_conn"),
    ("ADDR_JIFFIES", "jiffies_64"),
    ("CODE_REHOLD", "kauditd_rehold_skb"),
    ("CODE_HOLD", "kauditd_hold_skb"),
];

const OFFSETS: &[(&str, &str, &str)] = &[
    ("OFF_QLEN", "sk_buff_head", "qlen"),
    ("OFF_SKB_END", "sk_buff", "end"),
    ("OFF_SKB_DATA", "sk_buff", "data"),
    ("OFF_SWITCHES", "task_struct", "nvcsw"),
    ("OFF_AUDITD_PID", "auditd_connection", "pid"),
    ("OFF_PID_NUMBERS", "pid", "numbers"),
];

impl Globals {
    /// Looks every value up.
    pub(super) fn new(symbols: &Symbols, types: Option<&KernelTypes>) -> Self {
        Self {
            own_pid: std::process::id(),
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

    /// Whether the programs can see a full queue, and whether a task has slept.
    pub(super) fn show_stalls(&self) -> bool {
        ["OFF_QLEN", "OFF_SWITCHES"].into_iter().all(|needed| {
            self.offsets
                .iter()
                .any(|&(global, offset)| global == needed && offset != u32::MAX)
        })
    }

    /// Hands the values to the loader.
    pub(super) fn set<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        loader.override_global("OWN_PID", &self.own_pid, true);
        loader.override_global("RECEIVE_MSG_PARAMS", &self.receive_msg_params, true);
        for (global, address) in &self.addresses {
            loader.override_global(global, address, true);
        }
        for (global, offset) in &self.offsets {
            loader.override_global(global, offset, true);
        }
    }
}
