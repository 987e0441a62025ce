//! Demand in time: how many records were asked for in each few milliseconds, as if nobody
//! had ever waited and nothing had been refused.
//!
//! An attempt is filed under the time of its task's own clock, which stands while the task
//! sleeps in `audit_log_start`, and goes ahead by the time that records would have taken which
//! were refused. What was not made for want of an event's first record is filed besides.

use auditwatch_ebpf::{
    AttemptRow, BIN_CHUNK, BIN_CHUNKS, Bin, BinChunk, LAG_SLOTS, LiveState, MOST_LAG_BINS,
};
use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, generated::bpf_jiffies64},
    macros::map,
    maps::{Array, LruHashMap},
};

use crate::{
    event,
    globals::{bin_ns, bin_shift, off_parent, off_pid, off_tgid},
    maps::{live, next_epoch},
    memory::{add, read_field},
};

#[map]
static BINS: Array<BinChunk> = Array::with_max_entries(BIN_CHUNKS, 0);
/// How far each thread's own clock is behind the host's, ns.
#[map]
static LAGS: LruHashMap<u64, i64> = LruHashMap::with_max_entries(LAG_SLOTS, 0);

/// Ticks of the kernel's clock since boot.
#[inline(always)]
pub fn ticks() -> u64 {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_jiffies64() }
}

/// Files an attempt of the current thread, whose ids are given; returns the number of its bin.
#[inline(always)]
pub fn arrive(live: *mut LiveState, ids: u64) -> u32 {
    let number = current(live, ids);
    if let Some(bin) = bin(number) {
        // SAFETY: a map value is alive for the program's run.
        unsafe { count(&raw mut (*bin).arrivals, number, 1) };
    }
    number
}

/// Files an attempt in the bin that the last one on this CPU was filed in.
#[inline(always)]
pub fn arrive_at(number: u32) {
    if let Some(bin) = bin(number) {
        // SAFETY: a map value is alive for the program's run.
        unsafe { add(&raw mut (*bin).arrivals, 1) };
    }
}

/// Files what was not made since a record of this type was refused to the current thread.
#[inline(always)]
pub fn suppress(row: *mut AttemptRow, record_type: u32) {
    let ids = bpf_get_current_pid_tgid();
    let Some(class) = event::refused(row, ids, record_type) else {
        return;
    };
    let sixteenths = event::followers(class);
    // Timed from the first attempt to the last one: the last record is not in it yet.
    let usual_ns = event::usual_ns(class);
    let last_ns = (usual_ns * 16)
        .checked_div(u64::from(sixteenths))
        .unwrap_or(0);
    let spared_ns = usual_ns + last_ns;
    let number = current(live(), ids);
    if let Some(bin) = bin(number) {
        // SAFETY: a map value is alive for the program's run.
        unsafe { count(&raw mut (*bin).suppressed, number, sixteenths) };
    }
    set_back(ids, spared_ns.cast_signed().wrapping_neg());
    next_epoch();
}

/// Sets the current thread's own clock back by the time that it has slept, and that of its
/// parent, which may have waited for it.
#[inline(always)]
pub fn lag(slept_ns: u64) {
    let ids = bpf_get_current_pid_tgid();
    let own = set_back(ids, slept_ns.cast_signed());
    if let Some(parent) = parent() {
        wait_for_child(parent, own);
    }
    next_epoch();
}

/// Sets a thread's own clock back to where its child's is, if that is behind.
#[inline(always)]
fn wait_for_child(parent: u64, child_ns: i64) {
    if let Some(lag) = LAGS.get_ptr_mut(parent) {
        // SAFETY: a map value is alive for the program's run; of two children that race, the later one is as
        // good as the other.
        unsafe {
            if *lag < child_ns {
                *lag = child_ns;
            }
        }
    } else {
        let _ = LAGS.insert(parent, child_ns, 0);
    }
}

/// Adds to a thread's lag; returns what it is then. Its attempts take notice at the next turn.
#[inline(always)]
fn set_back(ids: u64, by_ns: i64) -> i64 {
    // SAFETY: as above.
    unsafe { (*live()).lagging = 1 };
    if let Some(lag) = LAGS.get_ptr_mut(ids) {
        // SAFETY: a map value is alive for the program's run; the thread alone adds to it.
        unsafe {
            *lag = (*lag).wrapping_add(by_ns);
            *lag
        }
    } else {
        // An insertion that fails leaves the thread on the host's clock.
        let _ = LAGS.insert(ids, by_ns, 0);
        by_ns
    }
}

/// Ids of the thread that started the current one.
#[inline(always)]
fn parent() -> Option<u64> {
    // SAFETY: the helper has no precondition.
    let task = unsafe { bpf_get_current_task() };
    let parent = read_field::<u64>(task, off_parent())?;
    let process = read_field::<u32>(parent, off_tgid())?;
    let thread = read_field::<u32>(parent, off_pid())?;
    // The first process starts what nobody waits for.
    (process > 1).then_some(u64::from(process) << 32 | u64::from(thread))
}

/// How far a thread's clock is behind. One that is new has its parent's.
#[inline(always)]
fn lag_of(ids: u64) -> i64 {
    if let Some(lag) = LAGS.get_ptr(ids) {
        // SAFETY: a map value is alive for the program's run.
        return unsafe { *lag };
    }
    let inherited = match parent().and_then(|parent| LAGS.get_ptr(parent)) {
        // SAFETY: as above.
        Some(lag) => unsafe { *lag },
        None => 0,
    };
    let _ = LAGS.insert(ids, inherited, 0);
    inherited
}

/// Number of the bin of the current thread's own time.
#[inline(always)]
fn current(live: *mut LiveState, ids: u64) -> u32 {
    let mut number = (ticks() >> bin_shift()) as u32;
    // SAFETY: a map value is alive for the program's run.
    if unsafe { (*live).lagging } != 0 {
        let lag = lag_of(ids);
        let bins = lag
            .unsigned_abs()
            .checked_div(u64::from(bin_ns()))
            .unwrap_or(0);
        let bins = if bins > MOST_LAG_BINS {
            MOST_LAG_BINS
        } else {
            bins
        } as u32;
        number = if lag < 0 {
            number.wrapping_add(bins)
        } else {
            number.wrapping_sub(bins)
        };
    }
    number
}

/// The place of a bin.
#[inline(always)]
fn bin(number: u32) -> Option<*mut Bin> {
    let chunk = BINS.get_ptr_mut((number / BIN_CHUNK) & (BIN_CHUNKS - 1))?;
    let index = (number & (BIN_CHUNK - 1)) as usize;
    // SAFETY: a map value is alive for the program's run; the index is within the chunk.
    Some(unsafe { (&raw mut (*chunk).bins).cast::<Bin>().add(index) })
}

/// Adds to a count that bears its bin's number in the upper half, so that what an earlier time
/// left there is told apart. Where two CPUs are the first in a bin, a count may go astray.
#[inline(always)]
fn count(word: *mut u64, number: u32, by: u32) {
    // SAFETY: the caller's address is within a map value.
    let seen = unsafe { word.read_volatile() };
    if (seen >> 32) as u32 == number {
        add(word, u64::from(by));
    } else {
        // SAFETY: as above.
        unsafe { word.write_volatile(u64::from(number) << 32 | u64::from(by)) };
    }
}
