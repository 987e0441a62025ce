//! What a trace needs to know of the host before it begins.

use anyhow::{Context as _, Result};

use crate::{kernel::facts::Facts, timeline::Host};

/// Reads the kernel's facts.
pub(super) fn gather() -> Result<Facts> {
    Facts::gather().context("cannot read the facts of this kernel")
}

/// What of them the report needs.
pub(super) fn host(facts: &Facts) -> Host {
    Host {
        release: facts.release.clone(),
        hz: facts.hz,
        cpus: facts.cpus,
        record_overhead_bytes: record_overhead(facts),
    }
}

/// Bytes of a queued record beside its data area: `skb_shared_info`, which lies
/// behind it and is aligned to a cache line, and the `sk_buff`, whose slab is
/// aligned likewise (`SKB_DATA_ALIGN` and `SLAB_HWCACHE_ALIGN`, net/core/skbuff.c).
fn record_overhead(facts: &Facts) -> Option<u64> {
    const CACHE_LINE_BYTES: u64 = 64;
    let btf = facts.btf.as_ref()?;
    let aligned = |name: &str| {
        btf.struct_size(name)
            .map(|size| u64::from(size).next_multiple_of(CACHE_LINE_BYTES))
    };
    Some(aligned("skb_shared_info")? + aligned("sk_buff")?)
}
