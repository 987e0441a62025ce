//! Calls that the kernel skipped a program for: `recursion_misses` of
//! `struct bpf_prog_info` (5.12), which aya reads but does not hand out.

use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::Ebpf;
use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_prog_info};

use super::error::ProbeError;

/// Calls that a loaded program was skipped for since it was loaded. Before 5.12
/// the kernel skips no trampoline and so has no counter: 0. Skipped probes are
/// counted from 6.7 on; before, only the laws of the ledger show them.
pub(super) fn recursion_misses(ebpf: &Ebpf, name: &'static str) -> Result<u64, ProbeError> {
    let program = ebpf.program(name).ok_or(ProbeError::Missing {
        kind: "program",
        name,
    })?;
    let fd = program.fd().map_err(|source| ProbeError::Run {
        name,
        source: Box::new(source),
    })?;
    // SAFETY: both structures are plain integers, for which zeroes are valid.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
    attr.info.bpf_fd = fd.as_fd().as_raw_fd().cast_unsigned();
    attr.info.info_len = u32::try_from(size_of::<bpf_prog_info>()).unwrap_or(u32::MAX);
    // Exposed: the kernel writes through it, and the compiler is to know that somebody may.
    attr.info.info = (&raw mut info).expose_provenance() as u64;
    // SAFETY: the kernel writes at most `info_len` bytes to `info`, which lives
    // beyond the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            bpf_cmd::BPF_OBJ_GET_INFO_BY_FD as libc::c_long,
            &raw mut attr,
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        return Err(ProbeError::Info(std::io::Error::last_os_error()));
    }
    Ok(info.recursion_misses)
}
