//! The decision: from evidence to a verdict.

use super::{
    Bottleneck, Confidence, Need, Recommendation, Verdict, Wishes,
    curve::curve,
    reasons::{self, Reasons},
};
use crate::model::{
    demand::{float, whole},
    evidence::Evidence,
    service::Service,
};

/// The kernel's figure of folklore: what a record is said to take, bytes.
const FOLKLORE_BYTES: u64 = 8970;
/// The queues that may be full at once: main, retry and hold.
const QUEUES: u64 = 3;
/// Fewest records of which a pace can be told well.
const MANY_SERVED: u64 = 200;

/// The answer to one trace.
pub(super) fn decide(evidence: &Evidence, wishes: &Wishes) -> Recommendation {
    let mut answer = blank(evidence, wishes);
    let mut why = Reasons::default();
    if let Some(missing) = reasons::not_measured(evidence) {
        why.say(missing);
        why.advise(reasons::measure_with_programs());
        return finish(answer, why, evidence, wishes);
    }
    reasons::settings(evidence, &mut why);
    if let Some(bottleneck) = other_cause(evidence, &mut why) {
        answer.verdict = Verdict::LimitWillNotHelp;
        answer.bottleneck = Some(bottleneck);
        answer.confidence = Confidence::High;
        return finish(answer, why, evidence, wishes);
    }
    if !evidence.hurt() {
        unhurt(&mut answer, evidence, wishes, &mut why);
        return finish(answer, why, evidence, wishes);
    }
    let Some(service) = &evidence.service else {
        why.say(reasons::no_pace(evidence));
        why.advise(reasons::trace_longer());
        answer.needed_low = evidence.lowest_limit.map(|limit| limit + 1);
        return finish(answer, why, evidence, wishes);
    };
    let need = Need::by_replay(evidence, service);
    answer.needed_low = Some(need.low);
    answer.needed_high = Some(need.high);
    reasons::what_happened(evidence, &mut why);
    reasons::pace(evidence, service, &mut why);
    answer.confidence = confidence(evidence, service, &need);
    if need.is_starved {
        reasons::starved(evidence, &need, &mut why);
        answer.bottleneck = Some(Bottleneck::Kauditd);
        answer.confidence = Confidence::Low;
        answer.curve = curve(evidence, service, need.high, None);
        return finish(answer, why, evidence, wishes);
    }
    answer.needed = Some(need.records);
    let limit = whole(float(need.records) * (1.0 + wishes.headroom))
        .max(evidence.limit.filter(|_| !need.is_overload).unwrap_or(0));
    if need.is_overload {
        answer.verdict = Verdict::LimitWillNotHelp;
        answer.bottleneck = Some(Bottleneck::Consumer);
        reasons::overload(evidence, service, &need, &mut why);
        answer.curve = curve(evidence, service, need.records, None);
        return finish(answer, why, evidence, wishes);
    }
    if evidence.goes_on() {
        why.say(reasons::cut_short(evidence));
        why.advise(reasons::trace_longer());
        answer.needed = None;
        answer.needed_low = Some(need.records);
        answer.needed_high = None;
        answer.confidence = Confidence::Low;
        answer.curve = curve(evidence, service, need.records, None);
        return finish(answer, why, evidence, wishes);
    }
    reasons::need(evidence, &need, wishes, &mut why);
    answer.verdict = Verdict::Raise;
    name_limit(&mut answer, limit, evidence, wishes, &mut why);
    answer.curve = curve(evidence, service, need.records, answer.limit);
    finish(answer, why, evidence, wishes)
}

fn blank(evidence: &Evidence, wishes: &Wishes) -> Recommendation {
    Recommendation {
        verdict: Verdict::Unknown,
        limit: None,
        current: evidence.limit,
        needed: None,
        needed_low: None,
        needed_high: None,
        headroom: wishes.headroom,
        confidence: Confidence::Low,
        bottleneck: None,
        wait_time_ns: None,
        memory_bytes: None,
        memory_worst_bytes: None,
        memory_folklore_bytes: None,
        curve: Vec::new(),
        reasons: Vec::new(),
        advice: Vec::new(),
        apply: None,
        undo: None,
    }
}

/// A cause of loss that no limit touches, where it is the greater part of all loss.
fn other_cause(evidence: &Evidence, why: &mut Reasons) -> Option<Bottleneck> {
    let other = &evidence.other_losses;
    let by_limit = evidence.refused + evidence.stalls;
    let causes = [
        (other.rate_limit, Bottleneck::RateLimit),
        (other.out_of_memory, Bottleneck::Memory),
        (
            other.overflow + other.silent,
            if evidence.auditd_pid == Some(0) {
                Bottleneck::NoAuditd
            } else {
                Bottleneck::Socket
            },
        ),
    ];
    let (records, bottleneck) = causes
        .into_iter()
        .max_by_key(|&(records, _)| records)
        .filter(|&(records, _)| records > 0)?;
    reasons::other_cause(evidence, bottleneck, records, why);
    (records > by_limit).then_some(bottleneck)
}

/// Nobody lost a record to the limit, and nobody waited: the queue's greatest length is the need.
fn unhurt(answer: &mut Recommendation, evidence: &Evidence, wishes: &Wishes, why: &mut Reasons) {
    let (Some(depth), Some(current)) = (evidence.depth_max, evidence.limit) else {
        why.say("how long the queue was is not known".to_owned());
        return;
    };
    answer.needed = Some(depth.max(1));
    answer.needed_low = answer.needed;
    answer.needed_high = answer.needed;
    answer.confidence = if evidence.doubts.missed == 0 && evidence.doubts.hooks.is_empty() {
        Confidence::High
    } else {
        Confidence::Medium
    };
    let wanted = whole(float(depth.max(1)) * (1.0 + wishes.headroom));
    reasons::unhurt(evidence, depth, why);
    if current == 0 {
        answer.verdict = Verdict::Keep;
        why.say("there is no limit (0): the queue may take all of the kernel's memory".to_owned());
    } else if wanted > current || wishes.floor.is_some_and(|floor| floor > current) {
        answer.verdict = Verdict::Raise;
        name_limit(answer, wanted.max(current), evidence, wishes, why);
    } else if memory_worst(evidence, current)
        .is_some_and(|bytes| bytes > wishes.memory_budget_bytes)
    {
        reasons::over_budget(evidence, current, wishes, why);
        answer.verdict = Verdict::Lower;
        name_limit(answer, wanted, evidence, wishes, why);
    } else {
        answer.verdict = Verdict::Keep;
        answer.limit = Some(current);
    }
}

/// Names a limit: not below the floor, and not above the memory budget without saying so.
fn name_limit(
    answer: &mut Recommendation,
    wanted: u64,
    evidence: &Evidence,
    wishes: &Wishes,
    why: &mut Reasons,
) {
    let mut limit = wanted.max(1);
    if let Some(floor) = wishes.floor.filter(|&floor| floor > limit) {
        reasons::floor(limit, floor, wishes, why);
        limit = floor;
    }
    if memory_worst(evidence, limit).is_some_and(|bytes| bytes > wishes.memory_budget_bytes) {
        reasons::over_budget(evidence, limit, wishes, why);
    }
    answer.limit = Some(limit);
    if evidence.limit == Some(limit) && answer.verdict == Verdict::Raise {
        answer.verdict = Verdict::Keep;
    }
}

/// Bytes of main, retry and hold queue full of the largest record.
fn memory_worst(evidence: &Evidence, limit: u64) -> Option<u64> {
    Some(
        limit
            .saturating_mul(evidence.record_max_bytes?)
            .saturating_mul(QUEUES),
    )
}

fn confidence(evidence: &Evidence, service: &Service, need: &Need) -> Confidence {
    let doubts = &evidence.doubts;
    if need.is_open_or_closed || !doubts.hooks.is_empty() || doubts.forgotten > 0 {
        return Confidence::Low;
    }
    let attempted = evidence.attempted.unwrap_or(0);
    let many_missed = doubts.missed * 100 > attempted || doubts.untracked * 100 > attempted;
    if evidence.stalls > 0
        || many_missed
        || !service.socket_is_measured
        || attempted < MANY_SERVED
        || need.is_overload
    {
        return Confidence::Medium;
    }
    Confidence::High
}

/// Fills in what follows from the rest.
fn finish(
    mut answer: Recommendation,
    why: Reasons,
    evidence: &Evidence,
    wishes: &Wishes,
) -> Recommendation {
    let shown = answer.limit.or(answer.needed);
    answer.memory_bytes = shown
        .zip(evidence.record_bytes)
        .map(|(limit, bytes)| limit.saturating_mul(bytes));
    answer.memory_worst_bytes = shown.and_then(|limit| memory_worst(evidence, limit));
    answer.memory_folklore_bytes = shown.map(|limit| limit.saturating_mul(FOLKLORE_BYTES));
    let sets = matches!(answer.verdict, Verdict::Raise | Verdict::Lower);
    if let Some(limit) = answer.limit.filter(|_| sets) {
        answer.apply = Some(format!("auditctl -b {limit}"));
        answer.undo = evidence.limit.map(|old| format!("auditctl -b {old}"));
    }
    if wishes.headroom <= 0.0 && sets {
        answer.confidence = answer.confidence.min(Confidence::Medium);
    }
    (answer.reasons, answer.advice) = why.told();
    answer
}
