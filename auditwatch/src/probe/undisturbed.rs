//! Reading undisturbed: without being pre-empted by ordinary tasks.
//!
//! While a process reads a map, the kernel skips every probe program on its CPU
//! (`bpf_disable_instrumentation`, include/linux/bpf.h); one that is pre-empted in
//! the middle leaves them out for a whole time slice, which kernels before 6.7 do
//! not even count. Trampolines are not concerned.

/// Runs this thread before ordinary ones until it is dropped.
pub(super) struct Undisturbed {
    raised: bool,
}

impl Undisturbed {
    /// Raises the thread, where that is allowed.
    pub(super) fn begin() -> Self {
        Self {
            raised: schedule(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, 1),
        }
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        if self.raised {
            schedule(libc::SCHED_OTHER, 0);
        }
    }
}

fn schedule(policy: libc::c_int, priority: libc::c_int) -> bool {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the kernel reads `parameters` during the call; 0 is this thread.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) == 0 }
}
