//! The answer in a word, and the need. In: [`Source`]s. Out: [`Verdict`], [`Need`].

use super::{
    boots,
    cause::{self, Cause},
    report::{Event, Need, Source, Verdict, What},
};

/// The worst that was found.
#[must_use]
pub fn verdict(sources: &[Source]) -> Verdict {
    boots(sources)
        .map(cause::verdict)
        .max()
        .unwrap_or(Verdict::NothingFound)
}

/// The causes of all boots, each once, the most important first.
#[must_use]
pub fn causes(sources: &[Source]) -> Vec<Cause> {
    let mut causes: Vec<Cause> = boots(sources).flat_map(cause::causes).collect();
    causes.sort_unstable();
    causes.dedup();
    causes
}

/// Losses, in order.
pub fn losses(sources: &[Source]) -> impl DoubleEndedIterator<Item = &Event> {
    boots(sources)
        .flat_map(|boot| &boot.timeline)
        .filter(|event| matches!(event.what, What::Losses { .. }))
}

/// The limit when a loss was seen last, else the last one of all.
#[must_use]
pub fn limit(sources: &[Source]) -> Option<u32> {
    let of_losses = losses(sources)
        .filter_map(|event| match event.what {
            What::Losses { limit, .. } => limit,
            _ => None,
        })
        .next_back();
    let seen = || {
        boots(sources)
            .flat_map(|boot| &boot.limits)
            .map(|seen| seen.limit)
            .next_back()
    };
    of_losses.or_else(seen)
}

/// What the log tells of the limit that would have sufficed.
#[must_use]
pub fn need(sources: &[Source]) -> Option<Need> {
    let mut need: Option<Need> = None;
    for event in losses(sources) {
        let What::Losses {
            counter_first,
            counter_last,
            depth_max,
            limit: Some(limit),
            reasons,
            ..
        } = &event.what
        else {
            continue;
        };
        // Without a reason (`-f 0`) it is most likely this one, but a depth proves it.
        let is_overflow = depth_max.is_some() || reasons.contains_key("backlog_limit");
        if !is_overflow || *limit == 0 {
            continue;
        }
        let burst = match (counter_first, counter_last) {
            (Some(first), Some(last)) if last > first && !reasons.contains_key("rate_limit") => {
                Some(u64::from(*limit) + u64::from(last - first) + 1)
            }
            _ => None,
        };
        let so_far = need.get_or_insert(Need {
            more_than: *limit,
            if_one_burst: None,
        });
        so_far.more_than = so_far.more_than.max(*limit);
        so_far.if_one_burst = so_far.if_one_burst.max(burst);
    }
    need
}
