//! What could panic a host with `-f 2`, now or after its next boot. Pure.

use super::{Facts, Found};
use crate::change::journal::Target;

/// What could panic a host with `-f 2`: it is never sent, and never left for the next boot.
pub(super) fn dangerous(target: &Target, facts: &Facts, found: &mut Found) {
    let now = facts
        .state
        .as_ref()
        .filter(|_| target.runtime)
        .map(|state| {
            let panics = state.failure == Some(2);
            ("this host", panics, state.limit, state.wait_time_jiffies)
        });
    let boot = facts.next_boot.filter(|_| target.persist).map(|boot| {
        let panics = boot.failure == 2;
        let who = "this host after its next boot";
        (who, panics, Some(boot.limit), Some(boot.wait_time_jiffies))
    });
    let mut panics_at_all = false;
    for (host, panics, limit, wait_time) in [now, boot].into_iter().flatten() {
        panics_at_all |= panics;
        if panics {
            could_lose(target, host, limit, wait_time, found);
        }
    }
    if panics_at_all && found.0.iter().all(|finding| finding.code != "panic") {
        found.warn(
            "panic",
            "a lost record panics this host (-f 2): this change is safe, but is not reverted automatically"
                .to_owned(),
        );
    }
    if !panics_at_all && target.backlog_wait_time == Some(0) {
        found.warn(
            "wait_time",
            "with a wait time of 0 tasks never stall, but records are dropped at once if the queue is full"
                .to_owned(),
        );
    }
}

/// Refuses what makes a loss more likely than it is.
fn could_lose(
    target: &Target,
    host: &str,
    limit: Option<u32>,
    wait_time: Option<u32>,
    found: &mut Found,
) {
    let lowered = match (target.backlog_limit, limit) {
        (Some(new), Some(0)) if new != 0 => Some((new, "none".to_owned())),
        (Some(new), Some(old)) if new < old => Some((new, old.to_string())),
        _ => None,
    };
    if let Some((new, old)) = lowered {
        found.refuse(
            "panic",
            format!(
                "a lost record panics {host} (-f 2), and limit {new} is lower than the present limit ({old}); only \
                 a higher limit is safe"
            ),
        );
    }
    if let (Some(new), Some(old)) = (target.backlog_wait_time, wait_time)
        && (new == 0 || new < old)
    {
        found.refuse(
            "panic",
            format!(
                "a lost record panics {host} (-f 2), and a shorter wait time ({new} jiffies, now {old}) makes a \
                 loss more likely; omit --wait-time"
            ),
        );
    }
}
