//! The few system calls that the standard library does not offer, each behind a safe function.

use std::ffi::CString;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// One audited event: a system call that does nothing else. Not through libc, which could cache.
pub fn getppid() {
    // SAFETY: getppid takes no arguments and cannot fail.
    unsafe { libc::syscall(libc::SYS_getppid) };
}

/// Nanoseconds of a clock.
fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure lives over the call.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Nanoseconds since boot, suspend excluded.
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds since 1970, as strace's `-ttt` shows them.
pub fn realtime_ns() -> u64 {
    clock_ns(libc::CLOCK_REALTIME)
}

/// Sleeps until a moment of the monotonic clock, so that paces do not drift.
pub fn sleep_until(ns: u64) {
    let now = monotonic_ns();
    if ns > now {
        std::thread::sleep(Duration::from_nanos(ns - now));
    }
}

/// Names the current thread, as `comm` shows it.
pub fn set_comm(name: &str) {
    let mut bytes = [0u8; 16];
    for (slot, byte) in bytes.iter_mut().take(15).zip(name.bytes()) {
        *slot = byte;
    }
    // SAFETY: a NUL-terminated buffer of 16 bytes, as PR_SET_NAME wants it.
    unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr()) };
}

/// Makes the calling thread, not its process, run as `uid` and its group.
pub fn set_thread_uid(uid: u32) -> Result<()> {
    // SAFETY: integers only; the raw call leaves the other threads alone.
    let gid = unsafe { libc::syscall(libc::SYS_setresgid, uid, uid, uid) };
    if gid != 0 {
        return Err(io::Error::last_os_error()).context("changing the thread's group");
    }
    // SAFETY: as above.
    let rc = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
    if rc != 0 {
        return Err(io::Error::last_os_error()).context("changing the thread's user");
    }
    Ok(())
}

/// Sends a signal to one process.
pub fn kill(pid: u32, signal: i32) -> Result<()> {
    let target = libc::pid_t::try_from(pid).context("process id")?;
    // SAFETY: integers only.
    if unsafe { libc::kill(target, signal) } != 0 {
        return Err(io::Error::last_os_error())
            .with_context(|| format!("sending signal {signal} to process {pid}"));
    }
    Ok(())
}

/// Keeps the kernel's messages off the (slow, emulated) console.
pub fn quiet_console() {
    const SET_LEVEL: i32 = 8;
    // SAFETY: this action takes no buffer.
    unsafe { libc::klogctl(SET_LEVEL, std::ptr::null_mut(), 1) };
}

/// Installs `handler` for `signal`, without restarting system calls.
pub fn on_signal(signal: i32, handler: extern "C" fn(i32)) -> Result<()> {
    // SAFETY: an all-zero sigaction is valid: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    // SAFETY: the structure lives over the call, and the handler only stores to an atomic.
    if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error()).context("installing a signal handler");
    }
    Ok(())
}

/// Leaves the parent's namespaces named by `flags` (`CLONE_NEW*`).
pub fn unshare(flags: i32) -> Result<()> {
    // SAFETY: integers only.
    if unsafe { libc::unshare(flags) } != 0 {
        return Err(io::Error::last_os_error()).context("unsharing a namespace");
    }
    Ok(())
}

/// `mount(2)`.
pub fn mount(source: &Path, target: &Path, kind: &str, flags: u64, data: &str) -> Result<()> {
    let text = |path: &Path| CString::new(path.as_os_str().as_encoded_bytes());
    let from = text(source)?;
    let to = text(target)?;
    let fs = CString::new(kind)?;
    let options = CString::new(data)?;
    // SAFETY: all strings are NUL-terminated and live over the call.
    let rc = unsafe {
        libc::mount(
            from.as_ptr(),
            to.as_ptr(),
            fs.as_ptr(),
            flags as libc::c_ulong,
            options.as_ptr().cast(),
        )
    };
    if rc != 0 {
        return Err(io::Error::last_os_error())
            .with_context(|| format!("mounting {} on {}", source.display(), target.display()));
    }
    Ok(())
}

/// Detaches a mount.
pub fn unmount(target: &Path) -> Result<()> {
    let to = CString::new(target.as_os_str().as_encoded_bytes())?;
    // SAFETY: a NUL-terminated string that lives over the call.
    if unsafe { libc::umount2(to.as_ptr(), libc::MNT_DETACH) } != 0 {
        return Err(io::Error::last_os_error())
            .with_context(|| format!("unmounting {}", target.display()));
    }
    Ok(())
}

/// Takes a capability out of the bounding set, so that no program run from here has it.
pub fn drop_bounding_capability(number: u32) -> Result<()> {
    // SAFETY: integers only.
    if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error())
            .with_context(|| format!("dropping capability {number}"));
    }
    Ok(())
}
