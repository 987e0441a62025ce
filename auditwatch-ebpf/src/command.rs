//! The tasks of the traced command: who belongs to it, and where they spend their
//! time in the kernel.
//!
//! All descendants of auditwatch itself are its command's. Nothing of this is there
//! when no command is traced: the verifier removes what a constant forbids.

use auditwatch_ebpf::{CpuRow, STACK_SLOTS};
use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_task},
    macros::{map, perf_event},
    maps::{HashMap, PerCpuArray, StackTrace},
    programs::{PerfEventContext, tracing::StackIdContext as _},
};

use crate::{
    globals::{follows_command, off_parent, off_tgid},
    maps::{gate_is_open, own},
    memory::{add, read_field},
};

/// Most generations between a task and auditwatch.
const GENERATIONS: u32 = 32;
/// `EFAULT`: the sample was taken outside of the kernel, where it has no stack.
const NO_STACK: i32 = -14;

/// The process that each CPU was asked of last, times two, and 1 if it belongs.
#[map]
static ASKED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
#[map]
static CPU: PerCpuArray<CpuRow> = PerCpuArray::with_max_entries(1, 0);
#[map]
static STACKS: StackTrace = StackTrace::with_max_entries(STACK_SLOTS, 0);
#[map]
static STACK_COUNTS: HashMap<u32, u64> = HashMap::with_max_entries(STACK_SLOTS, 0);

/// Whether the current task belongs to the traced command.
#[inline(always)]
pub fn has_current_task() -> bool {
    if follows_command() == 0 {
        return false;
    }
    let process = bpf_get_current_pid_tgid() >> 32;
    let Some(asked) = ASKED.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: a map value is alive for the program's run. It is one word, so that
    // whoever comes in between leaves a whole answer as well.
    let answer = unsafe { asked.read_volatile() };
    if answer >> 1 == process && answer != 0 {
        return answer & 1 != 0;
    }
    let belongs = descends_from(own(), process as u32);
    // SAFETY: as above.
    unsafe { asked.write_volatile(process << 1 | u64::from(belongs)) };
    belongs
}

/// Whether the current process has an ancestor of this id.
#[inline(always)]
fn descends_from(ancestor: u32, process: u32) -> bool {
    // auditwatch is not its own child, and 0 is nobody's id.
    if ancestor == 0 || process == ancestor {
        return false;
    }
    // SAFETY: the helper has no precondition.
    let mut task = unsafe { bpf_get_current_task() };
    for _ in 0..GENERATIONS {
        let Some(parent) = read_field::<u64>(task, off_parent()) else {
            return false;
        };
        match read_field::<u32>(parent, off_tgid()) {
            Some(id) if id == ancestor => return true,
            // The first process of all is its own parent.
            None | Some(0 | 1) => return false,
            Some(_) => task = parent,
        }
    }
    false
}

/// Takes a sample of what this CPU does, a few hundred times a second.
#[perf_event]
pub fn sample_cpu(ctx: PerfEventContext) -> u32 {
    if !gate_is_open() || !has_current_task() {
        return 0;
    }
    let Some(row) = CPU.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: a map value is alive for the program's run; no other program writes it,
    // and a timer does not interrupt itself.
    unsafe { (*row).taken += 1 };
    match ctx.get_stackid(&STACKS, 0) {
        Ok(stack) if u32::try_from(stack).is_ok_and(count) => {}
        Err(NO_STACK) => {
            // SAFETY: as above.
            unsafe { (*row).outside += 1 };
        }
        // SAFETY: as above.
        Ok(_) | Err(_) => unsafe { (*row).unplaced += 1 },
    }
    0
}

#[inline(always)]
fn count(stack: u32) -> bool {
    if let Some(place) = STACK_COUNTS.get_ptr_mut(stack) {
        add(place, 1);
        return true;
    }
    if STACK_COUNTS
        .insert(stack, 1, u64::from(BPF_NOEXIST))
        .is_ok()
    {
        return true;
    }
    // Another CPU may have been first.
    let Some(place) = STACK_COUNTS.get_ptr_mut(stack) else {
        return false;
    };
    add(place, 1);
    true
}
