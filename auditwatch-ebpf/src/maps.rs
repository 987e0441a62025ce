//! The maps, and accessors that spare each program the look-up's boilerplate.

use auditwatch_ebpf::{
    AttemptRow, ChangeScratch, ConsumerLedger, DrainLedger, GATE_OPEN, KernelState, LOSS_SLOTS,
    LiveState, LossCount, RARE_BYTES, StallLedger, StallStart, TYPE_BASE, TYPE_SLOTS, TypeCounts,
    WAITER_SLOTS,
};
use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};

use crate::memory::add;

#[map]
static ATTEMPTS: PerCpuArray<AttemptRow> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub static LOSSES: HashMap<u64, LossCount> = HashMap::with_max_entries(LOSS_SLOTS, 0);
#[map]
pub static WAITERS: HashMap<u32, StallStart> = HashMap::with_max_entries(WAITER_SLOTS, 0);
#[map]
static STATE: Array<KernelState> = Array::with_max_entries(1, 0);
#[map]
static CHANGE: Array<ChangeScratch> = Array::with_max_entries(1, 0);
#[map]
pub static RARE: RingBuf = RingBuf::with_byte_size(RARE_BYTES, 0);

/// Maps of one value that is a variable: each is a section of its own, whose place the
/// kernel writes into the programs. Nothing is looked up, which saves a dozen instructions
/// each time.
macro_rules! variables {
    ($($(#[$doc:meta])* $name:ident in $section:literal: $ty:ty, $get:ident;)*) => {$(
        #[unsafe(no_mangle)]
        #[unsafe(link_section = $section)]
        // SAFETY: the type is integers only, for which zeroes are valid.
        static mut $name: $ty = unsafe { core::mem::zeroed() };

        $(#[$doc])*
        #[inline(always)]
        pub const fn $get() -> *mut $ty {
            &raw mut $name
        }
    )*};
}

variables! {
    /// The drain ledger.
    DRAIN in ".bss.drain": DrainLedger, drain;
    /// The stall ledger.
    STALLS in ".bss.stalls": StallLedger, stalls;
    /// The consumer's ledger.
    CONSUMER in ".bss.consumer": ConsumerLedger, consumer;
    /// What the programs keep for each other.
    LIVE in ".bss.live": LiveState, live;
    /// Drained records by type.
    TYPES in ".bss.types": TypeCounts, types;
}

/// This CPU's attempts.
#[inline(always)]
pub fn attempts() -> Option<*mut AttemptRow> {
    ATTEMPTS.get_ptr_mut(0)
}

/// The place for a reading of the kernel's variables.
#[inline(always)]
pub fn state() -> Option<*mut KernelState> {
    STATE.get_ptr_mut(0)
}

/// The change of a setting that is under way.
#[inline(always)]
pub fn change() -> Option<*mut ChangeScratch> {
    CHANGE.get_ptr_mut(0)
}

/// The count of drained records of a type.
#[inline(always)]
pub fn drained_of_type(record_type: u32) -> *mut u64 {
    let mut slot = record_type.wrapping_sub(TYPE_BASE) as usize;
    if slot >= TYPE_SLOTS {
        slot = TYPE_SLOTS - 1;
    }
    // SAFETY: a map value is alive for the program's run; the slot is within it.
    unsafe { types().cast::<u64>().add(slot) }
}

/// Whether counting has begun. All programs are attached before it does, so
/// that they begin together.
#[inline(always)]
pub fn gate_is_open() -> bool {
    // SAFETY: a map value is alive for the program's run.
    unsafe { (*live()).gate == GATE_OPEN }
}

/// Ends what attempts have found out for those that are like them: something has changed.
#[inline(always)]
pub fn next_epoch() {
    // SAFETY: a map value is alive for the program's run.
    add(unsafe { &raw mut (*live()).epoch }, 1);
}

/// Process id of auditwatch in the initial namespace.
#[inline(always)]
pub fn own() -> u32 {
    // SAFETY: a map value is alive for the program's run.
    unsafe { (*live()).own }
}
