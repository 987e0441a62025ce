//! Talkers: who causes records, and at whose cost.
//!
//! Records mostly come in rows from one process for one reason. Each CPU adds up such a run and
//! files it when another one begins. Processes that find no place are filed without their ids:
//! their control groups and reasons are few.

use auditwatch_ebpf::{
    AttemptRow, DELIVERY_SENT, LONG_SEND_TICKS, NO_SYSCALL, OWNER_SLOTS, TALKER_SLOTS,
    TalkerCounts, TalkerKey, TalkerRun,
};
use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_current_task,
        generated::{
            bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_task_btf,
            bpf_probe_read_kernel_str,
        },
    },
    macros::map,
    maps::{HashMap, LruHashMap},
};

use crate::{
    demand::ticks,
    event::{SYSCALL, URINGOP},
    globals::{
        counts_talkers, has_typed_task, off_audit_context, off_buffer_skb, off_comm,
        off_context_kind, off_filter_key, off_major,
    },
    maps::{attempts, drain, live},
    memory::{add, load, raise, read_field, zeroes},
};

#[map]
static TALKERS: HashMap<TalkerKey, TalkerCounts> = HashMap::with_max_entries(TALKER_SLOTS, 0);
/// Those that found no place there, all as process 0.
#[map]
static CROWD: HashMap<TalkerKey, TalkerCounts> = HashMap::with_max_entries(TALKER_SLOTS, 0);
/// Talkers of queued records, by the record's address, noted while records may be lost.
#[map]
static OWNERS: LruHashMap<u64, TalkerKey> = LruHashMap::with_max_entries(OWNER_SLOTS, 0);

/// `AUDIT_NETFILTER_PKT` (uapi): of a packet, whichever task it interrupts.
const PACKET: u32 = 1324;
/// Number of types for events.
const EVENTS: u32 = 100;
/// Types that only ever follow SYSCALL or URINGOP in their event (`audit_log_exit`, 5.10 to 7.2), by
/// their distance from SYSCALL: PATH to SOCKETCALL, SOCKADDR, CWD, EXECVE, `IPC_SET_PERM` to
/// `MQ_GETSETATTR`, `FD_PAIR`, `OBJ_PID`, EOE, `BPRM_FCAPS` to MMAP, PROCTITLE, `KERN_MODULE`, OPENAT2.
const FOLLOWERS: u64 = 0x20_48f6_fadc;
/// `AUDIT_CTX_URING` (kernel/audit.h, 5.16 on).
const CONTEXT_OF_URING: u32 = 2;

/// Counts an attempt of the thread that the row names. `is_repeat` says that the one before on this CPU was
/// of the same thread, just now.
#[inline(always)]
pub fn count(row: &mut AttemptRow, record_type: u32, is_repeat: bool) {
    if counts_talkers() == 0 {
        return;
    }
    if !(is_repeat && follows(record_type)) {
        begin(row, record_type);
    }
    row.run.records += 1;
}

/// Whether an attempt after one of the same thread, just now, is the same talker's for sure.
#[inline(always)]
pub fn repeats(record_type: u32) -> bool {
    counts_talkers() == 0 || follows(record_type)
}

/// Files the run before, where it is another talker's.
#[inline(never)]
fn begin(row: &mut AttemptRow, record_type: u32) {
    let key = identify(row.ids, record_type);
    if same(&row.run.key, &key) {
        return;
    }
    file(&row.run);
    row.run.key = key;
    row.run.records = 0;
}

/// Whether a record that is queued now may be lost by `kauditd`.
#[inline(always)]
fn at_risk() -> bool {
    let live = live();
    // SAFETY: a map value is alive for the program's run.
    let (at_risk, in_delivery, since) =
        unsafe { ((*live).at_risk, (*live).in_delivery, (*live).sent_ticks) };
    // Without the hook on passes no hook says that the record's delivery has ended.
    // SAFETY: as above.
    let knows_the_end = || unsafe { (*drain()).passes } != 0;
    at_risk != 0
        || (in_delivery == DELIVERY_SENT
            && ticks().wrapping_sub(since) >= LONG_SEND_TICKS
            && knows_the_end())
}

/// The current thread got `buffer` for its attempt: notes whose its record is, where it may be lost.
#[inline(always)]
pub fn note_owner(buffer: u64) {
    if counts_talkers() != 0 && at_risk() && buffer != 0 {
        note(buffer);
    }
}

/// Notes whose the record in `buffer` is. A function of its own: what it saves of registers costs nothing
/// where it is not called.
#[inline(never)]
fn note(buffer: u64) {
    let Some(row) = attempts() else { return };
    // SAFETY: a map value is alive for the program's run.
    let row = unsafe { &*row };
    if row.ids == bpf_get_current_pid_tgid()
        && let Some(record) = read_field::<u64>(buffer, off_buffer_skb())
    {
        // What finds no place is lost by others, should it be lost.
        let _ = OWNERS.insert(record, row.run.key, 0);
    }
}

/// Nobody took a record: the current thread is to keep it or to lose it.
#[inline(always)]
pub fn mark_delivered(record: u64, thread: u32) {
    let live = live();
    // SAFETY: as above; there is one `kauditd`, and `auditd_reset` on another thread is rare.
    unsafe {
        (*live).at_risk = 1;
        (*live).given = record;
        (*live).given_by = thread;
    }
}

/// A thread loses the record that it was given; false where it was given none.
#[inline(always)]
pub fn count_loss(thread: u32) -> bool {
    let live = live();
    // SAFETY: as above.
    let record = unsafe {
        if (*live).given == 0 || (*live).given_by != thread {
            return false;
        }
        let record = (*live).given;
        (*live).given = 0;
        record
    };
    if counts_talkers() != 0
        && let Some(owner) = OWNERS.get_ptr(record)
    {
        let lost = TalkerCounts {
            lost: 1,
            ..nothing()
        };
        // SAFETY: as above.
        enter(unsafe { &*owner }, &lost);
        let _ = OWNERS.remove(record);
    }
    true
}

/// Whether a record belongs to the same event as the one that its thread made before.
#[inline(always)]
fn follows(record_type: u32) -> bool {
    let distance = record_type.wrapping_sub(SYSCALL);
    distance < 64 && FOLLOWERS >> distance & 1 != 0
}

/// Adds up what befell an attempt.
#[inline(always)]
pub fn charge(talker: &TalkerKey, charges: &TalkerCounts) {
    if counts_talkers() != 0 {
        enter(talker, charges);
    }
}

/// Whether two keys are equal. (The derived comparison goes byte by byte.)
#[inline(always)]
fn same(a: &TalkerKey, b: &TalkerKey) -> bool {
    let differences = (a.cgroup ^ b.cgroup)
        | u64::from(a.process ^ b.process)
        | u64::from(a.syscall ^ b.syscall)
        | u64::from(a.record_type ^ b.record_type)
        | (a.comm[0] ^ b.comm[0])
        | (a.comm[1] ^ b.comm[1])
        | (a.rule[0] ^ b.rule[0])
        | (a.rule[1] ^ b.rule[1])
        | (a.rule[2] ^ b.rule[2])
        | (a.rule[3] ^ b.rule[3]);
    differences == 0
}

/// Files a run.
#[inline(always)]
fn file(run: &TalkerRun) {
    if run.records == 0 {
        return;
    }
    let counts = TalkerCounts {
        records: run.records,
        ..nothing()
    };
    enter(&run.key, &counts);
}

/// Counts of zero.
#[inline(always)]
pub fn nothing() -> TalkerCounts {
    let [zero] = zeroes();
    TalkerCounts {
        records: zero,
        refused: zero,
        lost: zero,
        stalls: zero,
        stalled_ns: zero,
        longest_ns: zero,
    }
}

/// Adds to a talker's counts. What finds no place at all is what the rows lack of the ledger.
#[inline(never)]
fn enter(key: &TalkerKey, counts: &TalkerCounts) {
    if !merge(&TALKERS, key, counts) {
        let anybody = TalkerKey { process: 0, ..*key };
        merge(&CROWD, &anybody, counts);
    }
}

/// Adds to an entry; false where there is none and no room for one.
#[inline(always)]
fn merge(map: &HashMap<TalkerKey, TalkerCounts>, key: &TalkerKey, counts: &TalkerCounts) -> bool {
    if map.get_ptr(key).is_none() && map.insert(key, counts, u64::from(BPF_NOEXIST)).is_ok() {
        return true;
    }
    // Another CPU may have been first.
    let Some(entry) = map.get_ptr_mut(key) else {
        return false;
    };
    // SAFETY: a map value is alive for the program's run.
    unsafe {
        add(&raw mut (*entry).records, counts.records);
        add(&raw mut (*entry).refused, counts.refused);
        add(&raw mut (*entry).lost, counts.lost);
        add(&raw mut (*entry).stalls, counts.stalls);
        add(&raw mut (*entry).stalled_ns, counts.stalled_ns);
        raise(&raw mut (*entry).longest_ns, counts.longest_ns);
    }
    true
}

/// Who makes a record of this type, and why.
#[inline(always)]
fn identify(ids: u64, record_type: u32) -> TalkerKey {
    let mut key = TalkerKey {
        cgroup: 0,
        process: 0,
        syscall: NO_SYSCALL,
        record_type,
        reserved: 0,
        comm: zeroes(),
        rule: zeroes(),
    };
    if record_type == PACKET {
        return key;
    }
    let task = task();
    key.comm = comm(task);
    // SAFETY: the helper has no precondition.
    key.cgroup = unsafe { bpf_get_current_cgroup_id() };
    key.process = (ids >> 32) as u32;
    if record_type.wrapping_sub(SYSCALL) >= EVENTS {
        return key;
    }
    let context = context_of(task);
    if context == 0 {
        return key;
    }
    if record_type == URINGOP || (record_type != SYSCALL && kind(context) == CONTEXT_OF_URING) {
        // What `major` says is left over from a system call.
        key.record_type = URINGOP;
    } else {
        key.record_type = SYSCALL;
        key.syscall = major(context);
    }
    let rule = rule(context);
    if rule != 0 {
        // SAFETY: the helper writes no more than the array's size, and checks the address itself.
        unsafe {
            bpf_probe_read_kernel_str(
                (&raw mut key.rule).cast(),
                size_of::<[u64; 4]>() as u32,
                rule as *const _,
            )
        };
    }
    key
}

/// Defines readers of fields that need no helper where the kernel gives typed pointers to tasks.
macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $ty:ty = $offset:ident or $none:expr;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        fn $name(base: u64) -> $ty {
            let value = if has_typed_task() == 0 {
                read_field::<$ty>(base, $offset())
            } else {
                // SAFETY: the base is the current task, or comes from it by such a load.
                unsafe { load::<$ty>(base, $offset()) }
            };
            match value {
                Some(value) => value,
                None => $none,
            }
        }
    )*};
}

fields! {
    /// `task_struct.audit_context`; 0 for none.
    context_of: u64 = off_audit_context or 0;
    /// What an `audit_context` is of; 0 where it is not told.
    kind: u32 = off_context_kind or 0;
    /// Number of its system call.
    major: u32 = off_major or NO_SYSCALL;
    /// Address of the key of the rule that it met; 0 for none.
    rule: u64 = off_filter_key or 0;
}

/// The current task.
#[inline(always)]
fn task() -> u64 {
    // SAFETY: the helpers have no precondition.
    unsafe {
        if has_typed_task() == 0 {
            bpf_get_current_task()
        } else {
            bpf_get_current_task_btf() as u64
        }
    }
}

/// A task's command name, NUL-padded.
#[inline(always)]
fn comm(task: u64) -> [u64; 2] {
    let mut comm = zeroes();
    if has_typed_task() == 0 || off_comm() == u32::MAX {
        // SAFETY: the helper writes no more than the array's size.
        unsafe { bpf_get_current_comm((&raw mut comm).cast(), size_of::<[u64; 2]>() as u32) };
        return comm;
    }
    // SAFETY: the base is the current task.
    let (first, second) = unsafe {
        (
            load::<u64>(task, off_comm()).unwrap_or(0),
            load::<u64>(task, off_comm() + 8).unwrap_or(0),
        )
    };
    // What an earlier, longer name has left behind the first NUL is not part of it.
    let kept = before_nul(first);
    comm[0] = first & kept;
    if kept == u64::MAX {
        comm[1] = second & before_nul(second);
    }
    comm
}

/// The bytes of a word that come before its first NUL, in the order of memory.
#[inline(always)]
fn before_nul(word: u64) -> u64 {
    let word = word.to_le();
    let nul = word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080;
    if nul == 0 {
        return u64::MAX;
    }
    (((nul & nul.wrapping_neg()) >> 7) - 1).to_le()
}
