//! Reasons: the answer in words. Every figure in them is one of the trace's.

use super::{
    Advice, Bottleneck, Need, Options, Overload,
    advice::{UNDO, apply, ranked},
    consumer::made_before,
    wait_time,
};
use crate::{
    kernel::audit_state::BOOT_LIMIT,
    recommend::model::{demand::whole, evidence::Evidence, fit::Fit, service::Service},
    units::{bytes, count, counted, duration, plural, was},
};

/// What is told, in order.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    reasons: Vec<String>,
    advice: Vec<Advice>,
}

impl Reasons {
    pub(super) fn say(&mut self, sentence: String) {
        self.reasons.push(sentence);
    }

    pub(super) fn advise(&mut self, advice: impl IntoIterator<Item = Advice>) {
        self.advice.extend(advice);
    }

    pub(super) fn told(self) -> (Vec<String>, Vec<Advice>) {
        (self.reasons, ranked(self.advice))
    }
}

/// Why nothing can be said, where that is so from the outset.
pub(super) fn not_measured(evidence: &Evidence) -> Option<String> {
    if !evidence.by_programs {
        return Some(
            "polling measures neither arrival rate nor service rate: no recommendation".to_owned(),
        );
    }
    if evidence.attempted.is_none() || evidence.limit.is_none() {
        return Some("record attempts or the limit could not be read on this host".to_owned());
    }
    None
}

/// What would make a trace tell where this one could not.
pub(super) fn measure_with_programs() -> String {
    "run `auditwatch doctor`: it names the cause".to_owned()
}

/// The same where the load outlasted the trace.
pub(super) fn trace_longer() -> String {
    "trace again for longer, until the load has ended".to_owned()
}

/// What is wrong with the settings, whatever the load.
pub(super) fn settings(evidence: &Evidence, why: &mut Reasons) {
    if evidence.hurt() && evidence.limit == Some(u64::from(BOOT_LIMIT)) {
        why.say("the limit is 64, the kernel's default at boot".to_owned());
    }
    if let Some(suspicion) = wait_time::suspicion(evidence) {
        why.say(suspicion);
        if evidence.panics() {
            why.say(
                "the wait time stays: a lost record panics this host (-f 2), and a shorter wait loses more records"
                    .to_owned(),
            );
        }
    }
}

/// Losses that no limit prevents.
pub(super) fn other_cause(
    evidence: &Evidence,
    bottleneck: Bottleneck,
    records: u64,
    why: &mut Reasons,
) {
    let number = count(records);
    match bottleneck {
        Bottleneck::RateLimit => {
            let rate = evidence.rate_limit.unwrap_or(0);
            let because = format!(
                "{number} records exceeded the rate limit of {rate} records a second and never reached the queue"
            );
            why.say(because.clone());
            why.advise([Advice::new(
                "switch off the rate limit, or raise it",
                "these records reach the queue, which may then need a higher limit",
                because,
            )
            .by("auditctl -r 0")
            .undone_by(Some(format!("auditctl -r {rate}")))
            .sparing(records)]);
        }
        Bottleneck::Memory => {
            let because =
                format!("{number} records were lost because the kernel was out of memory");
            why.say(because.clone());
            why.advise([Advice::new(
                "free memory",
                "the kernel can allocate records again; a longer queue would take more memory",
                because,
            )
            .sparing(records)]);
        }
        Bottleneck::NoAuditd => {
            let because = format!(
                "no auditd is registered: {number} records were lost, except for a few a second in the kernel log"
            );
            why.say(because.clone());
            why.advise([Advice::new(
                "start auditd, or switch off auditing (auditctl -e 0)",
                "a consumer reads the records, or the kernel makes none",
                because,
            )
            .sparing(records)]);
            silent(evidence, why);
        }
        Bottleneck::Socket => {
            why.say(format!(
                "{number} records left the queue and were lost because auditd did not read them: its socket was full for too long, or auditd was gone{}",
                evidence.socket_bytes.map_or_else(String::new, |now| format!(
                    " (it holds {}{})",
                    bytes(now),
                    made_before(evidence.setup.as_ref(), now)
                ))
            ));
            why.advise([Advice::new(
                "find out why auditd does not read its socket",
                "auditd receives every record that it reads in time",
                format!("kauditd gave up {number} records after the socket was full for 100 ms several times"),
            )
            .sparing(records)]);
            silent(evidence, why);
        }
        Bottleneck::Consumer | Bottleneck::Kauditd => {}
    }
}

/// Losses that no counter of the kernel's shows.
fn silent(evidence: &Evidence, why: &mut Reasons) {
    let silent = evidence.other_losses.silent;
    if silent == 0 {
        return;
    }
    let because = format!(
        "{} of them are silent losses, which no counter of the kernel shows: it was not booted with audit=1",
        count(silent)
    );
    why.say(because.clone());
    why.advise([Advice::new(
        "boot with audit=1 on the kernel command line",
        "the kernel holds undelivered records for auditd, up to the limit, and counts every loss",
        because,
    )
    .sparing(silent)]);
}

pub(super) fn unhurt(evidence: &Evidence, depth: u64, why: &mut Reasons) {
    why.say(format!(
        "no record was dropped and no task stalled in {}; the peak depth was {} of {}",
        duration(evidence.duration_ns),
        count(depth),
        count(evidence.limit.unwrap_or(0))
    ));
    why.say("this is the need of this load; a heavier load may need more".to_owned());
}

/// Why it cannot be said that nobody was hurt, where that is so.
pub(super) fn may_have_hurt(evidence: &Evidence, depth: u64, limit: u64) -> Option<String> {
    (limit > 0 && depth >= limit && !evidence.doubts.hooks.is_empty()).then(|| {
        format!(
            "the queue was at its limit of {}, but drops and stalls were not measured, because these functions are not hooked: {}",
            count(limit),
            evidence.doubts.hooks.join(", ")
        )
    })
}

/// Why no number comes of what hurt, where something that it rests on was not measured.
pub(super) fn cannot_tell(evidence: &Evidence) -> Option<String> {
    (!evidence.doubts.hooks.is_empty()).then(|| {
        format!(
            "the demand is known only in part, because these functions are not hooked: {}",
            evidence.doubts.hooks.join(", ")
        )
    })
}

/// Why nothing is recommended, where a trace saw next to no records.
pub(super) fn too_few(evidence: &Evidence, few: u64) -> Option<String> {
    let attempted = evidence.attempted.filter(|&attempted| attempted < few)?;
    let seen = match attempted {
        0 => "no records were seen".to_owned(),
        some => format!("only {} {} seen", counted(some, "record"), was(some)),
    };
    Some(format!(
        "{seen} in {}: no recommendation",
        duration(evidence.duration_ns)
    ))
}

pub(super) fn no_pace(evidence: &Evidence) -> String {
    if evidence.auditd_pid == Some(0) {
        return "no auditd is registered, so its service rate is unknown".to_owned();
    }
    if evidence.doubts.hooks.is_empty() {
        "auditd's service rate is unknown: its socket hardly ever held a second record, so the queue did not wait for auditd"
            .to_owned()
    } else {
        format!(
            "auditd's service rate is unknown, because these functions are not hooked: {}",
            evidence.doubts.hooks.join(", ")
        )
    }
}

/// What hurt, and how much was undone to know the demand.
pub(super) fn what_happened(evidence: &Evidence, why: &mut Reasons) {
    if evidence.refused > 0 {
        why.say(format!(
            "{} {} dropped at limit {}. Another {} {} never created: when an event's first record is dropped, the kernel skips the rest. No counter shows these",
            counted(evidence.refused, "record"),
            was(evidence.refused),
            count(evidence.lowest_limit.unwrap_or(0)),
            count(whole(evidence.suppressed)),
            was(whole(evidence.suppressed))
        ));
    }
    if evidence.stalls > 0 {
        why.say(format!(
            "{} ({} in total, {} at most); demand is estimated with stall time removed",
            counted(evidence.stalls, "stall"),
            duration(evidence.stalled_ns),
            duration(evidence.longest_stall_ns)
        ));
    }
}

pub(super) fn pace(evidence: &Evidence, service: &Service, why: &mut Reasons) {
    let idle_ns = service.paused_ns();
    let pauses = if idle_ns > 0 {
        format!(
            ", plus {} {} ({} in total)",
            service.pauses.len(),
            plural(service.pauses.len() as u64, "pause"),
            duration(idle_ns)
        )
    } else {
        String::new()
    };
    let assumed = if service.socket_is_measured {
        ""
    } else {
        " (assumed)"
    };
    why.say(format!(
        "{} reads at most {} records/s ({} each){pauses}; its socket buffer holds {} records{assumed}",
        evidence
            .setup
            .as_ref()
            .and_then(crate::auditd::ConsumerSetup::name)
            .unwrap_or_else(|| "auditd".to_owned()),
        count(whole(1e9 / service.record_ns)),
        duration(whole(service.record_ns)),
        count(whole(service.socket_records)),
    ));
    let demand: f64 = evidence
        .arrivals
        .iter()
        .map(|arrival| arrival.records)
        .sum();
    why.say(format!(
        "total demand: {}, including dropped and suppressed records",
        counted(whole(demand), "record")
    ));
}

/// The pace by which the replay loses what was lost.
pub(super) fn corrected(evidence: &Evidence, fit: &Fit, why: &mut Reasons) {
    let limit = count(evidence.limit.unwrap_or(0));
    let (by_replay, lost) = (count(whole(fit.lost_by_replay)), count(whole(fit.lost)));
    why.say(if fit.is_within() {
        format!(
            "at limit {limit} the model loses {by_replay} records, and the trace {lost}: a consumer {:.2} times as slow agrees with it, and the need is told by that",
            fit.slower
        )
    } else {
        format!(
            "at limit {limit} the model loses {by_replay} records, and the trace {lost}: no pace of the consumer explains it"
        )
    });
}

/// A larger limit would hide the loss.
pub(super) fn only_silent(need: &Need, given_up: u64, why: &mut Reasons) {
    why.say(format!(
        "a limit of {} would drop no record, but kauditd would give up {} records after the socket was full for too long: a silent loss, which no counter of the kernel shows",
        count(need.records),
        count(given_up)
    ));
}

/// What an overload that ended has needed.
pub(super) fn as_long_as_this(need: &Need, why: &mut Reasons) {
    why.say(format!(
        "this load ended: if the next one lasts no longer, a limit of {} suffices for it",
        count(need.records)
    ));
}

pub(super) fn starved(need: &Need, why: &mut Reasons) {
    why.say(format!(
        "the queue was full while auditd's socket had room: kauditd was starved of CPU. The need depends on the scheduler: between {} and {} records in this trace",
        count(need.low),
        count(need.high)
    ));
}

pub(super) fn overload(service: &Service, overload: Overload, need: &Need, why: &mut Reasons) {
    why.say(format!(
        "the arrival rate exceeds the service rate: {} records/s over {}, but the consumer reads at most {} records/s",
        count(overload.per_s),
        duration(overload.over_ns),
        count(whole(1e9 / service.record_ns))
    ));
    why.say(format!(
        "the load needed {} records so far, and needs more with every second that it lasts",
        count(need.records)
    ));
}

pub(super) fn cut_short(evidence: &Evidence) -> String {
    format!(
        "the load had not ended after {}: the need so far is a lower bound",
        duration(evidence.duration_ns)
    )
}

pub(super) fn need(evidence: &Evidence, need: &Need, wishes: &Options, why: &mut Reasons) {
    why.say(format!(
        "a limit of {} would have prevented every drop and stall; {:.0} % headroom is added",
        count(need.records),
        wishes.headroom * 100.0
    ));
    if need.is_open_or_closed {
        why.say(format!(
            "the need is {} if stalled tasks keep to their own deadlines, and {} if each continues where it stopped; the trace cannot distinguish these",
            count(need.low),
            count(need.high)
        ));
    }
    if evidence.doubts.missed > 0 {
        why.say(format!(
            "the kernel skipped the BPF programs {}",
            counted(evidence.doubts.missed, "time")
        ));
    }
}

pub(super) fn floor(limit: u64, floor: u64, wishes: &Options, why: &mut Reasons) {
    why.say(format!(
        "{} would suffice, but {} requires at least {}",
        count(limit),
        wishes.floor_reason.as_deref().unwrap_or("--floor"),
        count(floor)
    ));
}

pub(super) fn over_budget(evidence: &Evidence, limit: u64, wishes: &Options, why: &mut Reasons) {
    let worst = limit
        .saturating_mul(evidence.record_max_bytes.unwrap_or(0))
        .saturating_mul(3);
    why.say(format!(
        "{} records may take {} of kernel memory if all three queues are full: more than the budget of {}",
        count(limit),
        bytes(worst),
        bytes(wishes.memory_budget_bytes)
    ));
}

/// What the budget makes of a limit, and how to lift it. `most`: the limit that is named instead; `None`
/// where none is.
pub(super) fn capped(evidence: &Evidence, wanted: u64, most: Option<u64>, why: &mut Reasons) {
    let worst = wanted
        .saturating_mul(evidence.record_max_bytes.unwrap_or(0))
        .saturating_mul(3);
    let instead = match most {
        Some(most) => format!(
            "the memory budget caps the limit at {}, below the need",
            count(most)
        ),
        None => "no limit is recommended".to_owned(),
    };
    why.say(format!(
        "{instead}: `--memory-budget {}MiB` or `apply --force` allows {}",
        worst.div_ceil(1 << 20),
        count(wanted)
    ));
}

/// The limit that was named, as advice.
///
/// `capped`: the memory budget allows no more.
pub(super) fn set_limit(evidence: &Evidence, limit: u64, need: u64, capped: bool) -> Advice {
    let hurt = evidence.refused + evidence.stalls;
    let advice = Advice::new(
        format!(
            "set the limit to {}, in the rules (-b {limit}) and on the kernel command line (audit_backlog_limit={limit}), which applies until the rules are loaded",
            count(limit)
        ),
        if capped {
            "fewer losses than now, but not zero: the memory budget allows no more".to_owned()
        } else if hurt > 0 {
            format!(
                "would have prevented all {} drops and stalls of this trace",
                count(hurt)
            )
        } else {
            "this load fits, with headroom".to_owned()
        },
        format!(
            "the peak depth without a limit is {}, and the limit is {}{}",
            count(need),
            evidence.limit.map_or_else(|| "?".to_owned(), count),
            if evidence.limit == Some(u64::from(BOOT_LIMIT)) {
                ", the kernel's default at boot"
            } else {
                ""
            }
        ),
    )
    .by(apply(limit))
    .undone_by(Some(UNDO.to_owned()))
    .needing(need);
    if hurt > 0 && !capped {
        advice.sparing(hurt)
    } else {
        advice
    }
}
