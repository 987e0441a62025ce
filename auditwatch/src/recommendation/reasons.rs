//! Reasons: the answer in words. Every figure in them is one of the trace's.

use super::{Bottleneck, Need, Wishes};
use crate::{
    model::{
        demand::{float, whole},
        evidence::Evidence,
        service::Service,
    },
    number::{bytes, count, duration},
};

/// Wait time in ticks that was probably meant as milliseconds: the default is 60 s.
const SUSPECT_WAIT_TICKS: [u64; 4] = [60_000, 30_000, 10_000, 5_000];
/// The kernel's default limit, where neither a rule nor the command line says otherwise.
const BOOT_LIMIT: u64 = 64;

/// What is told, in order.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    reasons: Vec<String>,
    advice: Vec<String>,
}

impl Reasons {
    pub(super) fn say(&mut self, sentence: String) {
        self.reasons.push(sentence);
    }

    pub(super) fn advise(&mut self, sentence: String) {
        self.advice.push(sentence);
    }

    pub(super) fn told(self) -> (Vec<String>, Vec<String>) {
        (self.reasons, self.advice)
    }
}

/// Why nothing can be said, where that is so from the outset.
pub(super) fn not_measured(evidence: &Evidence) -> Option<String> {
    if !evidence.by_programs {
        return Some(
            "netlink tells neither when records come nor how fast they go: nothing can be \
             recommended from it"
                .to_owned(),
        );
    }
    if evidence.attempted.is_none() || evidence.limit.is_none() {
        return Some("record attempts or the limit could not be read here".to_owned());
    }
    None
}

pub(super) fn measure_with_programs() -> String {
    "run `auditwatch doctor`: it says what keeps the programs from measuring here".to_owned()
}

pub(super) fn trace_longer() -> String {
    "trace again for longer, so that the load's end is within the trace".to_owned()
}

/// What is wrong with the settings, whatever the load.
pub(super) fn settings(evidence: &Evidence, why: &mut Reasons) {
    if evidence.hurt() && evidence.limit == Some(BOOT_LIMIT) {
        why.say(
            "the limit is 64, the kernel's default at boot: no rule and no command line has raised it"
                .to_owned(),
        );
    }
    if let (Some(ticks), Some(wait_ns)) = (evidence.wait_time_ticks, evidence.wait_time_ns)
        && SUSPECT_WAIT_TICKS.contains(&ticks)
        && evidence.hz != Some(1000)
    {
        why.say(format!(
            "backlog_wait_time is {} ticks, which is {} here: it is not in milliseconds",
            count(ticks),
            duration(wait_ns)
        ));
    }
}

/// Losses that no limit prevents.
pub(super) fn other_cause(
    evidence: &Evidence,
    bottleneck: Bottleneck,
    records: u64,
    why: &mut Reasons,
) {
    let records = count(records);
    match bottleneck {
        Bottleneck::RateLimit => {
            why.say(format!(
                "{records} records were lost to the rate limit of {} records a second, before they \
                 came to the queue",
                evidence.rate_limit.unwrap_or(0)
            ));
            why.advise("raise the rate limit, or switch it off: auditctl -r 0".to_owned());
        }
        Bottleneck::Memory => {
            why.say(format!(
                "{records} records were lost because the kernel had no memory for them"
            ));
            why.advise("free memory: a longer queue would take more of it".to_owned());
        }
        Bottleneck::NoAuditd => {
            why.say(format!(
                "no auditd is registered: {records} records went nowhere, whatever the limit"
            ));
            why.advise("start auditd, or switch auditing off: auditctl -e 0".to_owned());
        }
        Bottleneck::Socket => {
            why.say(format!(
                "{records} records left the queue and were lost since auditd did not take them: \
                 its socket was full for too long, or it was gone"
            ));
            if evidence.other_losses.silent > 0 {
                why.say(format!(
                    "{} of them are in no counter of the kernel's: it was not booted with audit=1",
                    count(evidence.other_losses.silent)
                ));
                why.advise(
                    "boot with audit=1, so that what auditd does not take is held".to_owned(),
                );
            }
            why.advise("find out what keeps auditd from reading".to_owned());
        }
        Bottleneck::Consumer | Bottleneck::Kauditd => {}
    }
}

pub(super) fn unhurt(evidence: &Evidence, depth: u64, why: &mut Reasons) {
    why.say(format!(
        "nobody lost a record to the limit and nobody waited in {}; the queue was never longer than {} \
         of {}",
        duration(evidence.duration_ns),
        count(depth),
        count(evidence.limit.unwrap_or(0))
    ));
    why.say(
        "that is what this load needed: a heavier one may need more, which this trace does not tell"
            .to_owned(),
    );
}

pub(super) fn no_pace(evidence: &Evidence) -> String {
    if evidence.auditd_pid == Some(0) {
        return "no auditd is registered, so that its pace is not known".to_owned();
    }
    if evidence.doubts.hooks.is_empty() {
        "auditd was hardly ever seen with a second record to read, so that its pace is not known: \
         the queue did not wait for auditd"
            .to_owned()
    } else {
        format!(
            "auditd's pace is not known, since these functions are not hooked: {}",
            evidence.doubts.hooks.join(", ")
        )
    }
}

/// What hurt, and how much was undone to know the demand.
pub(super) fn what_happened(evidence: &Evidence, why: &mut Reasons) {
    if evidence.refused > 0 {
        why.say(format!(
            "{} records found no room at a limit of {}, and {} more were not made for it, which no \
             counter shows: an event whose first record is refused has no others",
            count(evidence.refused),
            count(evidence.lowest_limit.unwrap_or(0)),
            count(whole(evidence.suppressed))
        ));
    }
    if evidence.stalls > 0 {
        why.say(format!(
            "tasks waited {} times for room, {} in all and {} at most; their demand is reckoned as if \
             they had not",
            count(evidence.stalls),
            duration(evidence.stalled_ns),
            duration(evidence.longest_stall_ns)
        ));
    }
}

pub(super) fn pace(evidence: &Evidence, service: &Service, why: &mut Reasons) {
    let idle_ns: u64 = service.pauses.iter().map(|&(from, to)| to - from).sum();
    let pauses = if idle_ns > 0 {
        format!(
            ", but for {} pauses of {} together",
            service.pauses.len(),
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
        "auditd takes {} for a record, {} a second at most{pauses}; its socket holds {} \
         records{assumed}",
        duration(whole(service.record_ns)),
        count(whole(1e9 / service.record_ns)),
        count(whole(service.socket_records)),
    ));
    let demand: f64 = evidence
        .arrivals
        .iter()
        .map(|arrival| arrival.records)
        .sum();
    why.say(format!(
        "{} records were asked for, refused and suppressed ones included",
        count(whole(demand))
    ));
}

pub(super) fn starved(evidence: &Evidence, need: &Need, why: &mut Reasons) {
    why.say(format!(
        "the queue was full while auditd's socket had room: kauditd did not get the CPU, and what a \
         limit must bridge then is the scheduler's doing, between {} and {} records by this trace",
        count(need.low),
        count(need.high)
    ));
    if evidence.stalls > 0 {
        why.say("a trace in which tasks wait does not hold that information".to_owned());
    }
    why.advise(format!(
        "trace at a limit of {}, where the queue's greatest length is the need",
        count(need.high)
    ));
}

pub(super) fn overload(evidence: &Evidence, service: &Service, need: &Need, why: &mut Reasons) {
    let arrivals = &evidence.arrivals;
    let span = match (arrivals.first(), arrivals.last()) {
        (Some(first), Some(last)) => (last.at_ns - first.at_ns + evidence.bin_ns).max(1),
        _ => evidence.duration_ns.max(1),
    };
    let demand: f64 = arrivals.iter().map(|arrival| arrival.records).sum();
    why.say(format!(
        "more comes than goes: {} records a second were asked for over {}, and auditd takes {} at most",
        count(whole(demand * 1e9 / float(span))),
        duration(span),
        count(whole(1e9 / service.record_ns))
    ));
    why.say(format!(
        "the load seen so far would have needed {} records, and needs more with every second that it \
         lasts",
        count(need.records)
    ));
    why.advise(
        "make auditd faster (flush = INCREMENTAL_ASYNC, a faster disk, fewer plugins), or ask for \
         fewer records: exclude rules for what causes most of them"
            .to_owned(),
    );
}

pub(super) fn cut_short(evidence: &Evidence) -> String {
    format!(
        "the load had not ended after {}: the need is known only so far",
        duration(evidence.duration_ns)
    )
}

pub(super) fn need(evidence: &Evidence, need: &Need, wishes: &Wishes, why: &mut Reasons) {
    why.say(format!(
        "with a limit of {} nobody would have lost a record or waited; {:.0} % are added to it",
        count(need.records),
        wishes.headroom * 100.0
    ));
    if need.is_open_or_closed {
        why.say(format!(
            "whether tasks that waited would have made up for it later cannot be told: {} if they keep \
             to deadlines of their own, {} if each goes on from where it was",
            count(need.low),
            count(need.high)
        ));
        why.advise(format!(
            "trace once more at {}, where nobody waits: then it is known",
            count(need.high)
        ));
    }
    if evidence.doubts.missed > 0 {
        why.say(format!(
            "the kernel skipped the programs {} times",
            count(evidence.doubts.missed)
        ));
    }
}

pub(super) fn floor(limit: u64, floor: u64, wishes: &Wishes, why: &mut Reasons) {
    why.say(format!(
        "{} would do, but {} asks for at least {}",
        count(limit),
        wishes.floor_reason.as_deref().unwrap_or("--floor"),
        count(floor)
    ));
}

pub(super) fn over_budget(evidence: &Evidence, limit: u64, wishes: &Wishes, why: &mut Reasons) {
    let worst = limit
        .saturating_mul(evidence.record_max_bytes.unwrap_or(0))
        .saturating_mul(3);
    why.say(format!(
        "{} records may take {} of kernel memory, all three queues full of the largest: more than the \
         budget of {}",
        count(limit),
        bytes(worst),
        bytes(wishes.memory_budget_bytes)
    ));
}
