//! What a trace needs to know of the host before it begins.

use crate::{
    kernel::{facts::Facts, record_size},
    trace::timeline::Host,
};

/// What of them the report needs.
pub(crate) fn host(facts: &Facts) -> Host {
    Host {
        release: facts.release.as_deref().unwrap_or("unknown").into(),
        hz: facts.hz,
        cpus: facts.cpus,
        record_overhead_bytes: facts
            .types
            .as_ref()
            .and_then(record_size::record_overhead_bytes),
    }
}
