//! How many BPF programs and links the kernel holds: what is left behind shows here.

use std::io;

use anyhow::{Context, Result};

const PROG_GET_NEXT_ID: libc::c_long = 11;
const LINK_GET_NEXT_ID: libc::c_long = 31;

/// The counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BpfObjects {
    /// Loaded programs.
    pub programs: usize,
    /// Links that attach them.
    pub links: usize,
}

impl BpfObjects {
    /// Asks the kernel.
    pub fn count() -> Result<Self> {
        Ok(Self {
            programs: walk(PROG_GET_NEXT_ID).context("listing BPF programs")?,
            links: walk(LINK_GET_NEXT_ID).context("listing BPF links")?,
        })
    }
}

fn walk(command: libc::c_long) -> io::Result<usize> {
    // union bpf_attr: { u32 start_id; u32 next_id; u32 open_flags; }
    let mut attr = [0u32; 4];
    let mut count = 0;
    loop {
        // SAFETY: the attribute lives over the call and has the size passed; unused words are 0.
        let rc = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                attr.as_mut_ptr(),
                size_of_val(&attr),
            )
        };
        if rc == 0 {
            count += 1;
            attr = [attr[1], 0, 0, 0];
            continue;
        }
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ENOENT) => Ok(count),
            _ => Err(error),
        };
    }
}
