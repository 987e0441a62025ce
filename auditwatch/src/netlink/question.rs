//! Whether audit netlink can be asked now without leaving a task asleep. In: the kernel's memory, `/proc`. Out: a reason
//! against it, or none. It must not ask.
//!
//! Since Linux 5.17 a message's sender sleeps while the queue is over its limit (`audit_receive`). It then takes the
//! wake-up of a task that waits for room, and gives none on.

use crate::{kernel::core_memory::KernelMemory, rescue::tasks};

/// Why netlink is not asked now; `None` if it can be.
///
/// Without the kernel's memory nothing tells the queue's length beforehand, and only tasks that sleep already speak
/// against the question.
#[must_use]
pub fn why_not(memory: Option<&KernelMemory>) -> Option<&'static str> {
    let state = memory.and_then(|memory| memory.state().ok());
    if let Some(why) = state.and_then(|state| state.why_not_ask()) {
        return Some(why);
    }
    let somebody_waits = memory
        .and_then(KernelMemory::has_waiters)
        .unwrap_or_else(|| !tasks::audit_sleepers().is_empty());
    somebody_waits.then_some("tasks wait for room in the queue, and a request could strand them")
}
