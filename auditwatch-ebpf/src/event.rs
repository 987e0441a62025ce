//! Events: which records belong together, and how many each kind of event has.
//!
//! The first record of an event that is refused takes the others with it, and nobody counts
//! those: what such an event has otherwise is what it would have had. Events are told apart by
//! their system call, or by the type of a record that comes before SYSCALL and causes it.

use auditwatch_ebpf::{AttemptRow, EVENT_CLASSES, EVENT_SYSCALLS, EventClass};
use aya_ebpf::{
    helpers::{bpf_get_current_task, bpf_ktime_get_ns},
    macros::map,
    maps::PerCpuArray,
};

use crate::{
    globals::{off_audit_context, off_major},
    memory::read_field,
};

#[map]
static CLASSES: PerCpuArray<EventClass> = PerCpuArray::with_max_entries(EVENT_CLASSES, 0);

/// `AUDIT_SYSCALL` (uapi), the first record type of events.
pub const SYSCALL: u32 = 1300;
/// `AUDIT_EOE` (uapi): the last record of an event.
const EOE: u32 = 1320;
/// `AUDIT_URINGOP` (uapi): in place of SYSCALL.
pub const URINGOP: u32 = 1336;
/// From here on up to [`BEYOND_CAUSES`] are the records of events, but for user messages.
const EVENTS: u32 = SYSCALL;
/// Types of records that make an event of a system call which no rule asks for: AVC, ANOM and
/// the like (`audit_log_start` marks the context when it is granted, kernel/audit.c).
const CAUSES: u32 = 1400;
const BEYOND_CAUSES: u32 = 1900;
/// Records of an event of which nothing is known: SYSCALL, PROCTITLE and EOE.
const USUAL_RECORDS: u32 = 3;
/// The class of events whose system call is not known, or which have none.
const OTHERS: u32 = EVENT_SYSCALLS - 1;
/// Not a class.
const NONE: u32 = u32::MAX;

/// Follows an attempt for a record of this type.
#[inline(always)]
pub fn follow(row: *mut AttemptRow, ids: u64, record_type: u32) {
    // SAFETY: a map value is alive for the program's run; no other program writes these fields.
    let row = unsafe { &mut *row };
    let goes_on = row.event_ids == ids && row.event_class != NONE;
    let begins = if record_type == SYSCALL || record_type == URINGOP {
        // After its cause it is one of the records that follow.
        !(goes_on && row.event_class >= EVENT_SYSCALLS)
    } else {
        (CAUSES..BEYOND_CAUSES).contains(&record_type) && !goes_on
    };
    if begins {
        row.event_ids = ids;
        row.event_class = class(record_type);
        // SAFETY: the helper has no precondition.
        row.event_ns = unsafe { bpf_ktime_get_ns() };
    } else if !(EVENTS..BEYOND_CAUSES).contains(&record_type) {
        return;
    } else if !goes_on {
        // Another thread ran in between: this one's event goes on.
        row.event_ids = ids;
        row.event_class = class(SYSCALL);
        row.event_ns = 0;
    }
    let Some(class) = CLASSES.get_ptr_mut(row.event_class) else {
        return;
    };
    // SAFETY: as above.
    let class = unsafe { &mut *class };
    if !begins {
        class.followers += 1;
    }
    if record_type == EOE {
        class.ends += 1;
        if row.event_ns != 0 {
            // SAFETY: the helper has no precondition.
            let took = unsafe { bpf_ktime_get_ns() }.wrapping_sub(row.event_ns);
            if class.least_ns == 0 || took < class.least_ns {
                if class.usual_ns > took * 2 * class.usual {
                    // What was taken for usual was not.
                    class.usual = 0;
                    class.usual_ns = 0;
                }
                class.least_ns = took;
            }
            if took < class.least_ns * 2 {
                class.usual += 1;
                class.usual_ns += took;
            }
        }
        row.event_class = NONE;
    }
}

/// The events of the kind whose first record has just been refused; none where the record that
/// was refused is not the first one.
#[inline(always)]
pub fn refused(row: *mut AttemptRow, ids: u64, record_type: u32) -> Option<*mut EventClass> {
    let is_first = record_type == SYSCALL
        || record_type == URINGOP
        || (CAUSES..BEYOND_CAUSES).contains(&record_type);
    if !is_first {
        return None;
    }
    // SAFETY: a map value is alive for the program's run; no other program writes these fields.
    let row = unsafe { &mut *row };
    let number = if row.event_ids == ids && row.event_class != NONE {
        row.event_class
    } else {
        class(record_type)
    };
    row.event_class = NONE;
    CLASSES.get_ptr_mut(number)
}

/// Time that an event of a kind usually takes, ns; 0 where none was seen from its beginning to its end.
#[inline(always)]
pub fn usual_ns(class: *const EventClass) -> u64 {
    // SAFETY: a map value is alive for the program's run.
    let (events, took_ns) = unsafe { ((*class).usual, (*class).usual_ns) };
    took_ns.checked_div(events).unwrap_or(0)
}

/// Records that follow the first one in an event of a kind, sixteenths.
#[inline(always)]
pub fn followers(class: *const EventClass) -> u32 {
    // SAFETY: a map value is alive for the program's run.
    let (followers, ends) = unsafe { ((*class).followers, (*class).ends) };
    if ends == 0 {
        return (USUAL_RECORDS - 1) * 16;
    }
    (followers * 16 / ends) as u32
}

/// The class of an event that begins with a record of this type.
#[inline(always)]
fn class(record_type: u32) -> u32 {
    if record_type >= CAUSES {
        return EVENT_SYSCALLS + (record_type - CAUSES);
    }
    // What the context says is left over from a system call.
    if record_type == URINGOP {
        return OTHERS;
    }
    // SAFETY: the helper has no precondition.
    let task = unsafe { bpf_get_current_task() };
    let number = read_field::<u64>(task, off_audit_context())
        .and_then(|context| read_field::<u32>(context, off_major()))
        .unwrap_or(OTHERS);
    if number < OTHERS { number } else { OTHERS }
}
