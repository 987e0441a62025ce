//! Loading the object: maps and programs, nothing attached yet.

use std::io;

use aya::{Ebpf, EbpfLoader};

use super::{
    error::{ProbeError, refusal},
    globals::Globals,
};

/// The object with all programs, built by `build.rs`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/auditwatch-ebpf"));

/// Creates the maps and relocates the programs.
pub(super) fn load(globals: &Globals) -> Result<Ebpf, ProbeError> {
    if OBJECT.is_empty() {
        return Err(ProbeError::NoPrograms);
    }
    let mut loader = loader_without_kernel_types();
    globals.set(&mut loader);
    loader
        .load(OBJECT)
        .map_err(|error| refusal(&error).unwrap_or_else(|| ProbeError::Load(Box::new(error))))
}

/// A loader that has not parsed the kernel's BTF.
///
/// The library's loader parses it whenever the file can be opened: 25 MiB and,
/// in a guest, half a second, for relocations that this object has none of
/// (offsets come as globals). The library offers no other constructor, but does
/// without the types where the file cannot be opened, so for the time of that
/// call this process may open no file. Its one other thread (`patience`) waits
/// meanwhile, and writes to what is open.
fn loader_without_kernel_types() -> EbpfLoader<'static> {
    let Ok(limit) = open_files() else {
        return EbpfLoader::new();
    };
    let none = libc::rlimit {
        rlim_cur: 0,
        ..limit
    };
    if set_open_files(&none).is_err() {
        return EbpfLoader::new();
    }
    let loader = EbpfLoader::new();
    // The hard limit was not touched, so that going back to the soft one cannot
    // be refused.
    let _ = set_open_files(&limit);
    loader
}

fn open_files() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes to `limit`, which lives beyond the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0 {
        Ok(limit)
    } else {
        Err(io::Error::last_os_error())
    }
}

fn set_open_files(limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: the kernel reads `limit` during the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const *limit) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
