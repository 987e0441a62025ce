//! Whether audit netlink can be asked now without leaving a task asleep. In: the kernel's memory, `/proc`. Out: yes, or
//! the reason against it. It must not ask.
//!
//! Since Linux 5.17 a message's sender sleeps while the queue is over its limit (`audit_receive`). It then takes the
//! wake-up of a task that waits for room, and gives none on.

use thiserror::Error;

use crate::{kernel::core_memory::KernelMemory, rescue::tasks};

/// Netlink is not asked at this moment, for this reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("netlink was not used: {0}")]
pub struct NotNow(&'static str);

/// Whether netlink can be asked now.
///
/// Without the kernel's memory the queue's length is unknown. Only tasks that sleep already speak against the question
/// then.
///
/// # Errors
/// When the question could leave a task asleep.
pub fn allow(memory: Option<&KernelMemory>) -> Result<(), NotNow> {
    let state = memory.and_then(|memory| memory.state().ok());
    if let Some(why) = state.and_then(|state| state.why_not_ask()) {
        return Err(NotNow(why));
    }
    let somebody_waits = memory
        .and_then(KernelMemory::has_waiters)
        .unwrap_or_else(|| !tasks::audit_sleepers().is_empty());
    if somebody_waits {
        return Err(NotNow(
            "tasks wait for room in the queue, and a request could strand them",
        ));
    }
    Ok(())
}
