//! The BPF programs: they count and time, they never decide.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        clippy::inline_always,
        reason = "a BPF function call costs more than these bodies, and older kernels do not allow it from every program"
    ),
    expect(
        clippy::needless_pass_by_value,
        reason = "the program macros hand the context over by value"
    ),
    expect(
        clippy::cast_possible_truncation,
        reason = "the kernel packs two 32-bit values into a word, and returns an int in one"
    ),
    expect(
        clippy::multiple_unsafe_ops_per_block,
        reason = "fields of one map value are read together under one reason"
    )
)]

#[cfg(target_arch = "bpf")]
mod attempt;
#[cfg(target_arch = "bpf")]
mod change;
#[cfg(target_arch = "bpf")]
mod command;
#[cfg(target_arch = "bpf")]
mod consumer;
#[cfg(target_arch = "bpf")]
mod delivery;
#[cfg(target_arch = "bpf")]
mod demand;
#[cfg(target_arch = "bpf")]
mod drain;
#[cfg(target_arch = "bpf")]
mod event;
#[cfg(target_arch = "bpf")]
mod globals;
#[cfg(target_arch = "bpf")]
mod loss;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod memory;
#[cfg(target_arch = "bpf")]
mod queue;
#[cfg(target_arch = "bpf")]
mod rare;
#[cfg(target_arch = "bpf")]
mod stall;
#[cfg(target_arch = "bpf")]
mod state;
#[cfg(target_arch = "bpf")]
mod talker;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses an endless loop, so that a panic that the compiler
    // did not remove is found when the programs are loaded.
    loop {}
}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

/// On the host there is nothing to run: the programs exist for the BPF target.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
