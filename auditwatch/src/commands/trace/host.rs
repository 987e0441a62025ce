//! What a trace needs to know of the host before it begins.

use crate::{kernel::facts::Facts, memory, timeline::Host};

/// What of them the report needs.
pub(in crate::commands) fn host(facts: &Facts) -> Host {
    Host {
        release: facts.release.as_deref().unwrap_or("unknown").into(),
        hz: facts.hz,
        cpus: facts.cpus,
        record_overhead_bytes: facts.types.as_ref().and_then(memory::record_overhead_bytes),
    }
}
