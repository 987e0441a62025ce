//! What queued records cost in kernel memory. Pure.
//!
//! `audit_buffer_alloc` (kernel/audit.c) asks for 1024 bytes of text; netlink puts
//! its header before that, `__alloc_skb` (net/core/skbuff.c) the shared info behind
//! it, `kmalloc` rounds the sum up to its next size, and the `sk_buff` comes on top.

use crate::kernel::types::KernelTypes;

/// `AUDIT_BUFSIZ` and the netlink header, bytes.
const TEXT_BYTES: u64 = 1024 + 16;
/// `SMP_CACHE_BYTES` on amd64 and arm64.
const CACHE_LINE_BYTES: u64 = 64;
/// `MAX_AUDIT_MESSAGE_LENGTH` of libaudit, a buffer of its own, which runbooks
/// multiply the limit by.
pub const FOLKLORE_RECORD_BYTES: u64 = 8970;
/// Memory of a queued record in nearly all cases (`sk_buff` and data), for where the kernel's types do not tell, bytes.
pub const USUAL_RECORD_BYTES: u64 = 2304;

/// Bytes of a queued record beside its data area; `None` without the kernel's types.
#[must_use]
pub fn record_overhead_bytes(types: &KernelTypes) -> Option<u64> {
    Some(shared_info_bytes(types)? + sk_buff_bytes(types)?)
}

/// Bytes of a queued record of usual length.
#[must_use]
pub fn usual_record_bytes(types: &KernelTypes) -> Option<u64> {
    Some(usual(shared_info_bytes(types)?, sk_buff_bytes(types)?))
}

fn usual(shared_info_bytes: u64, sk_buff_bytes: u64) -> u64 {
    let area = TEXT_BYTES.next_multiple_of(CACHE_LINE_BYTES) + shared_info_bytes;
    area.next_power_of_two() + sk_buff_bytes
}

fn shared_info_bytes(types: &KernelTypes) -> Option<u64> {
    aligned(types, "skb_shared_info")
}

/// Its slab is aligned to cache lines (`SLAB_HWCACHE_ALIGN`).
fn sk_buff_bytes(types: &KernelTypes) -> Option<u64> {
    aligned(types, "sk_buff")
}

fn aligned(types: &KernelTypes, name: &str) -> Option<u64> {
    let size = u64::from(types.struct_size(name)?);
    Some(size.next_multiple_of(CACHE_LINE_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_record_takes_the_measured_bytes() {
        // 5.10 to 7.2, amd64: 320 and 232 or 224 rounded to 256.
        assert_eq!(usual(320, 256), USUAL_RECORD_BYTES);
    }
}
