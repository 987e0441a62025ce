//! What else on the host matters to a change of the limit, read from `/proc`: programs that set it too, and free memory.
//!
//! In: `/proc`. Out: values. It must not send a signal or a message.

use std::{fs, path::Path};

use crate::{
    change::preflight::Writer,
    rescue::{
        sleepers,
        tasks::{number, numbered, text},
    },
};

/// Programs that set audit's limit by their own configuration when they start, by command name
/// (15 bytes of it are kept).
const WRITERS: [&str; 3] = ["auditbeat", "osqueryd", "go-audit"];

/// Programs of the host that set audit's limit too.
#[must_use]
pub fn other_writers() -> Vec<Writer> {
    numbered(Path::new("/proc"))
        .iter()
        .filter_map(|process| {
            let comm = text(process, "comm")?.trim().to_owned();
            let pid = number(process)?;
            WRITERS
                .contains(&comm.as_str())
                .then_some(Writer { pid, comm })
        })
        .collect()
}

/// Memory that can be had without swapping, bytes; `None` where the kernel does not tell.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    sleepers::status_number(&text, "MemAvailable:")?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_more_than_nothing() {
        assert!(available_bytes().is_some_and(|bytes| bytes > 0));
    }
}
