//! What the loader tells the programs before they are loaded: addresses and
//! offsets of the running kernel, from kallsyms and BTF. 0 means "not known"
//! for an address, `u32::MAX` for an offset.

use core::ptr::read_volatile;

macro_rules! globals {
    ($($(#[$doc:meta])* $name:ident / $get:ident: $ty:ty = $init:expr;)*) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        static $name: $ty = $init;

        $(#[$doc])*
        #[inline(always)]
        pub fn $get() -> $ty {
            // SAFETY: a static is always valid to read. The read is volatile
            // since the loader replaces the initial value.
            unsafe { read_volatile(&raw const $name) }
        }
    )*};
}

globals! {
    /// Parameters of `audit_receive_msg`, after which its return value comes.
    RECEIVE_MSG_PARAMS / receive_msg_params: u32 = 2;
    /// Ticks of the kernel's clock in a bin, as a power of two.
    BIN_SHIFT / bin_shift: u32 = 0;
    /// Length of a tick, ns.
    TICK_NS / tick_ns: u32 = 4_000_000;
    /// Length of a bin, ns.
    BIN_NS / bin_ns: u32 = 4_000_000;
    /// Not 0 where it is counted who causes records.
    COUNTS_TALKERS / counts_talkers: u32 = 1;
    /// Not 0 where the kernel gives the programs typed pointers to tasks (5.11 on).
    HAS_TYPED_TASK / has_typed_task: u32 = 0;
    /// Not 0 where auditwatch runs a command whose tasks are counted apart.
    FOLLOWS_COMMAND / follows_command: u32 = 0;
    /// Records that other CPUs may add between the look of a program and that of
    /// the kernel.
    MARGIN / margin: u32 = 8;
    /// `audit_queue`.
    ADDR_QUEUE / addr_queue: u64 = 0;
    /// `audit_retry_queue`.
    ADDR_RETRY / addr_retry: u64 = 0;
    /// `audit_hold_queue`.
    ADDR_HOLD / addr_hold: u64 = 0;
    /// `audit_backlog_limit`.
    ADDR_LIMIT / addr_limit: u64 = 0;
    /// `audit_backlog_wait_time`.
    ADDR_WAIT_TIME / addr_wait_time: u64 = 0;
    /// `audit_backlog_wait_time_actual`.
    ADDR_WAITED / addr_waited: u64 = 0;
    /// `audit_lost`.
    ADDR_LOST / addr_lost: u64 = 0;
    /// `audit_rate_limit`.
    ADDR_RATE_LIMIT / addr_rate_limit: u64 = 0;
    /// `audit_failure`.
    ADDR_FAILURE / addr_failure: u64 = 0;
    /// `audit_enabled`.
    ADDR_ENABLED / addr_enabled: u64 = 0;
    /// `audit_default`.
    ADDR_DEFAULT / addr_default: u64 = 0;
    /// `auditd_conn`.
    ADDR_AUDITD / addr_auditd: u64 = 0;
    /// Code of `kauditd_rehold_skb`, which tells the hold queue's flush apart.
    CODE_REHOLD / code_rehold: u64 = 0;
    /// Code of `kauditd_hold_skb`, which tells the retry queue's flush apart.
    CODE_HOLD / code_hold: u64 = 0;
    /// Offset of `sk_buff_head.qlen`.
    OFF_QLEN / off_qlen: u32 = u32::MAX;
    /// Offset of `sk_buff.end`.
    OFF_SKB_END / off_skb_end: u32 = u32::MAX;
    /// Offset of `sk_buff.data`.
    OFF_SKB_DATA / off_skb_data: u32 = u32::MAX;
    /// Offset of `task_struct.nvcsw`.
    OFF_SWITCHES / off_switches: u32 = u32::MAX;
    /// Offset of `task_struct.real_parent`.
    OFF_PARENT / off_parent: u32 = u32::MAX;
    /// Offset of `task_struct.pid`.
    OFF_PID / off_pid: u32 = u32::MAX;
    /// Offset of `task_struct.comm`.
    OFF_COMM / off_comm: u32 = u32::MAX;
    /// Offset of `task_struct.audit_context`.
    OFF_AUDIT_CONTEXT / off_audit_context: u32 = u32::MAX;
    /// Offset of `audit_context.filterkey`.
    OFF_FILTER_KEY / off_filter_key: u32 = u32::MAX;
    /// Offset of `audit_context.context`, which says what it is of (5.16 on).
    OFF_CONTEXT_KIND / off_context_kind: u32 = u32::MAX;
    /// Offset of `audit_buffer.skb`.
    OFF_BUFFER_SKB / off_buffer_skb: u32 = u32::MAX;
    /// Offset of `audit_context.major`.
    OFF_MAJOR / off_major: u32 = u32::MAX;
    /// Offset of `task_struct.tgid`.
    OFF_TGID / off_tgid: u32 = u32::MAX;
    /// Offset of `socket.sk`.
    OFF_SK / off_sk: u32 = u32::MAX;
    /// Offset of `sock.sk_backlog.rmem_alloc`.
    OFF_RMEM / off_rmem: u32 = u32::MAX;
    /// Offset of `sock.sk_rcvbuf`.
    OFF_RCVBUF / off_rcvbuf: u32 = u32::MAX;
    /// Offset of `auditd_connection.pid`.
    OFF_AUDITD_PID / off_auditd_pid: u32 = u32::MAX;
    /// Offset of `pid.numbers`.
    OFF_PID_NUMBERS / off_pid_numbers: u32 = u32::MAX;
}
