//! Reads of kernel memory and atomic additions: the only places that touch
//! memory outside of the maps. They return values and count nothing.

use auditwatch_ebpf::UNKNOWN;
use aya_ebpf::{EbpfContext, helpers::bpf_probe_read_kernel};

/// Adds to a counter that several programs or CPUs may write.
#[inline(always)]
pub fn add(counter: *mut u64, value: u64) {
    // SAFETY: every caller passes the address of a field of a map value that is
    // alive for the program's run. The BPF target offers no core atomics, hence
    // the instruction itself.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({counter} + 0) += {value}",
            counter = in(reg) counter,
            value = in(reg) value,
        );
    }
}

/// Words of zeroes, as the compiler does not know: to write many it would call a function that goes
/// byte by byte, which the verifier follows in each round.
#[inline(always)]
pub fn zeroes<const N: usize>() -> [u64; N] {
    let zero: u64;
    // SAFETY: the instruction writes its own register and nothing else.
    unsafe {
        core::arch::asm!("{zero} = 0", zero = out(reg) zero, options(pure, nomem, nostack));
    }
    [zero; N]
}

/// Raises a maximum. Two CPUs that race may lose the smaller update, which the
/// next larger value mends: the programs that write a maximum run one at a time
/// on all but `auditd_reset`'s path.
#[inline(always)]
pub fn raise(maximum: *mut u64, value: u64) {
    // SAFETY: as in `add`.
    unsafe {
        if value > *maximum {
            *maximum = value;
        }
    }
}

/// Reads a word of a trampoline's context, where the verifier allows no plain
/// access: an argument that is a function pointer, or a place that depends on
/// the kernel.
#[inline(always)]
pub fn context_word(ctx: &impl EbpfContext, index: u32) -> Option<u64> {
    read_field(ctx.as_ptr() as u64, index * 8)
}

/// Reads a value at a kernel address.
#[inline(always)]
pub fn read<T: Copy>(address: u64) -> Option<T> {
    if address == 0 {
        return None;
    }
    // SAFETY: the helper checks the address itself and fails cleanly.
    unsafe { bpf_probe_read_kernel(address as *const T) }.ok()
}

/// Reads a `u32` variable; [`UNKNOWN`] where its address is not known.
#[inline(always)]
pub fn read_u32(address: u64) -> u32 {
    read(address).unwrap_or(UNKNOWN)
}

/// Loads a field of the structure at `base` without a helper, which costs a tenth.
///
/// # Safety
/// `base` is an argument of a trampoline or a task that the kernel's BTF says is a pointer to that
/// structure, or comes from one by such a load: the verifier checks that, and the offset by the
/// running kernel's types. The kernel guards the load: a bad pointer reads as 0.
#[inline(always)]
pub unsafe fn load<T: Copy>(base: u64, offset: u32) -> Option<T> {
    if offset == u32::MAX {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { ((base + u64::from(offset)) as *const T).read_volatile() })
}

/// Reads a field of the structure at `base`.
#[inline(always)]
pub fn read_field<T: Copy>(base: u64, offset: u32) -> Option<T> {
    if base == 0 || offset == u32::MAX {
        return None;
    }
    read(base + u64::from(offset))
}
