//! Quantiles of the probe's histograms. Pure.

/// The value below which `per_mille` of a thousand entries lie, as the highest
/// value of its bucket; `None` when the histogram is empty.
#[must_use]
pub fn quantile(hist: &[u64], per_mille: u64, bucket_max: impl Fn(usize) -> u64) -> Option<u64> {
    let total: u64 = hist.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = (u128::from(total) * u128::from(per_mille))
        .div_ceil(1000)
        .max(1);
    let mut seen = 0_u128;
    for (bucket, &count) in hist.iter().enumerate() {
        seen += u128::from(count);
        if seen >= rank {
            return Some(bucket_max(bucket));
        }
    }
    None
}

/// Highest depth of a bucket of the depth histogram, records.
#[must_use]
pub fn depth_bucket_max(bucket: usize) -> u64 {
    u64::from(auditwatch_ebpf::depth_bucket_max(
        u32::try_from(bucket).unwrap_or(u32::MAX),
    ))
}

/// Longest duration of a bucket of the stall histogram, ns.
#[must_use]
pub fn stall_bucket_max(bucket: usize) -> u64 {
    u32::try_from(bucket)
        .ok()
        .and_then(|bucket| 2_u64.checked_shl(bucket))
        .filter(|&above| above != 0)
        .map_or(u64::MAX, |above| above - 1)
}

/// Difference of two totals, bucket by bucket.
#[must_use]
pub fn between(zero: &[u64], last: &[u64]) -> Vec<u64> {
    last.iter()
        .enumerate()
        .map(|(bucket, &count)| count.saturating_sub(zero.get(bucket).copied().unwrap_or(0)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{between, depth_bucket_max, quantile, stall_bucket_max};

    #[test]
    fn quantiles_name_the_bucket_that_holds_the_rank() {
        let mut hist = [0_u64; 8];
        hist[1] = 50;
        hist[3] = 49;
        hist[7] = 1;
        assert_eq!(quantile(&hist, 500, |bucket| bucket as u64), Some(1));
        assert_eq!(quantile(&hist, 501, |bucket| bucket as u64), Some(3));
        assert_eq!(quantile(&hist, 990, |bucket| bucket as u64), Some(3));
        assert_eq!(quantile(&hist, 1000, |bucket| bucket as u64), Some(7));
        assert_eq!(quantile(&[0; 4], 500, |bucket| bucket as u64), None);
    }

    #[test]
    fn bucket_bounds_do_not_overflow() {
        assert_eq!(stall_bucket_max(0), 1);
        assert_eq!(stall_bucket_max(10), 2047);
        assert_eq!(stall_bucket_max(63), u64::MAX);
        assert_eq!(depth_bucket_max(3), 3);
        assert_eq!(depth_bucket_max(4), 4);
    }

    #[test]
    fn a_difference_leaves_out_what_came_before() {
        assert_eq!(between(&[1, 2], &[4, 2, 7]), [3, 0, 7]);
    }
}
