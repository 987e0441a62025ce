//! Reading undisturbed: without being pre-empted by ordinary tasks.
//!
//! While a process reads a map, the kernel skips every probe program on its CPU
//! (`bpf_disable_instrumentation`, include/linux/bpf.h); one that is pre-empted in
//! the middle leaves them out for a whole time slice, which kernels before 6.7 do
//! not even count. Trampolines are not concerned, but for the ends of the window:
//! what they miss is to be read in the same moment as the gate moves.

/// Runs this thread before ordinary ones until it is dropped.
pub(super) struct Undisturbed {
    ordinary: bool,
}

impl Undisturbed {
    /// Raises the thread, where that is allowed, unless it is not an ordinary one
    /// already: by another of these, or because the user wants it so.
    pub(super) fn begin() -> Self {
        // SAFETY: takes a number, 0 is this thread.
        let policy = unsafe { libc::sched_getscheduler(0) };
        Self {
            ordinary: policy == libc::SCHED_OTHER
                && schedule(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, 1),
        }
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        if self.ordinary {
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
