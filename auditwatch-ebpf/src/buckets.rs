//! Buckets of the programs' histograms: which one a value goes to, and how far it reaches. Pure.

/// Place of the highest bit that is set; 0 for 0. The BPF target has no
/// instruction that counts leading zeros.
#[must_use]
#[expect(
    clippy::inline_always,
    reason = "older kernels do not allow a call from every kind of program"
)]
#[inline(always)]
pub fn log2(value: u64) -> u32 {
    // Without a branch: the verifier would walk each of the 64 ways through them, and all that
    // follows on each.
    let top = value >> 63;
    below_half(value >> top, 32, top)
}

/// Place of the highest bit of a value below 2^63, and `exponent` more; `width` is a power of two, and the
/// value below 2^(2 width).
#[expect(
    clippy::inline_always,
    clippy::cast_possible_truncation,
    reason = "as for `log2`; an exponent is below 64"
)]
#[inline(always)]
fn below_half(value: u64, mut width: u32, mut exponent: u64) -> u32 {
    let mut rest = value;
    while width > 0 {
        // 1 where the upper part is not empty.
        let above = sign(((1_u64 << width) - 1).wrapping_sub(rest));
        let shift = above * u64::from(width);
        rest >>= shift;
        exponent += shift;
        width /= 2;
    }
    exponent as u32
}

/// The highest bit. The compiler for BPF would make a branch of the shift, if it knew of it.
#[expect(
    clippy::inline_always,
    reason = "older kernels do not allow a call from every kind of program"
)]
#[inline(always)]
fn sign(value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value;
        // SAFETY: the instruction shifts its own register and does nothing else.
        unsafe {
            core::arch::asm!("{0} >>= 63", inout(reg) value, options(pure, nomem, nostack));
        }
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        value >> 63
    }
}

/// Bucket of a queue depth: exact below 4, then four buckets for each power of
/// two, so that a bucket is at most a quarter of its lower bound wide.
#[must_use]
#[expect(
    clippy::inline_always,
    clippy::cast_possible_truncation,
    reason = "older kernels do not allow a call from every kind of program; a bucket is below 128"
)]
#[inline(always)]
pub fn depth_bucket(depth: u32) -> u32 {
    let mut rest = u64::from(depth);
    let mut bucket = 0;
    // A shift leaves the highest three bits, which the bucket is made of, and takes four buckets a bit.
    for (bits, shift) in [(20, 12), (SMALL_BITS, 9)] {
        // The shift where it does not fit into the bits, else 0.
        let beyond = sign(((1_u64 << bits) - 1).wrapping_sub(rest)) * shift;
        rest >>= beyond;
        bucket += beyond * 4;
    }
    u32::from(SMALL[rest as usize & (SMALL.len() - 1)]) + bucket as u32
}

/// Bits of the depths that [`SMALL`] has.
const SMALL_BITS: u32 = 11;

/// Buckets of small depths.
static SMALL: [u8; 1 << SMALL_BITS] = small();

#[expect(
    clippy::cast_possible_truncation,
    reason = "the last of these buckets is 39"
)]
const fn small() -> [u8; 1 << SMALL_BITS] {
    let mut buckets = [0; 1 << SMALL_BITS];
    let mut depth = 0;
    while depth < buckets.len() {
        buckets[depth] = if depth < 4 {
            depth as u8
        } else {
            let exponent = depth.ilog2();
            ((exponent - 1) * 4) as u8 + (depth >> (exponent - 2) & 3) as u8
        };
        depth += 1;
    }
    buckets
}

/// Highest depth that [`depth_bucket`] files under `bucket`.
#[must_use]
pub const fn depth_bucket_max(bucket: u32) -> u32 {
    if bucket < 4 {
        return bucket;
    }
    let exponent = bucket / 4 + 1;
    let quarter = bucket % 4;
    // The next bucket begins at `(5 + quarter) << (exponent - 2)`, which for the
    // last one is 2^32.
    match (5 + quarter).checked_shl(exponent - 2) {
        Some(next) if next >> (exponent - 2) == 5 + quarter => next - 1,
        _ => u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::{depth_bucket, depth_bucket_max, log2};
    use crate::DEPTH_BUCKETS;

    #[test]
    fn the_highest_bit_is_found() {
        assert_eq!(log2(0), 0);
        for bit in 0..64 {
            let value = 1_u64 << bit;
            for value in [value, value | 1, value | (value - 1)] {
                assert_eq!(log2(value), 63 - value.leading_zeros(), "{value:#x}");
            }
        }
    }

    #[test]
    fn every_depth_lies_within_its_bucket() {
        let mut last = 0;
        for depth in (0..70_000).chain((0..32).flat_map(|e| {
            let p = 1_u32 << e;
            [p.saturating_sub(1), p, p + p / 4, p + p / 2, p | (p - 1)]
        })) {
            let bucket = depth_bucket(depth);
            assert!((bucket as usize) < DEPTH_BUCKETS, "depth {depth}");
            assert!(depth <= depth_bucket_max(bucket), "depth {depth}");
            if bucket > 0 {
                assert!(depth > depth_bucket_max(bucket - 1), "depth {depth}");
            }
            last = last.max(bucket);
        }
        assert_eq!(depth_bucket_max(depth_bucket(u32::MAX)), u32::MAX);
        assert!(last < 128);
    }

    #[test]
    fn a_bucket_is_at_most_a_quarter_wide() {
        for bucket in 5..120 {
            let low = depth_bucket_max(bucket - 1) + 1;
            let high = depth_bucket_max(bucket);
            assert!(f64::from(high - low) <= f64::from(low) / 4.0, "{bucket}");
        }
    }
}
