//! The decision: from evidence to a verdict.

use super::{
    Bottleneck, Confidence, Need, Options, Recommendation, Verdict,
    advice::{UNDO, apply},
    cause::{Cause, cause, under_quota},
    confidence::{self, SHORT_NS, Trust},
    consumer,
    curve::curve,
    policy,
    reasons::{self, Reasons},
    talkers, wait_time,
};
use crate::{
    kernel::{
        audit_state::{BOOT_LIMIT, QUEUES},
        record_size::FOLKLORE_RECORD_BYTES,
    },
    recommend::model::{
        demand::{float, whole},
        evidence::{Evidence, OtherLosses},
        fit::Fit,
        replay,
        service::Service,
    },
};

/// A load of which records came within this time of a short trace's end goes on, ns.
const AT_THE_END_NS: u64 = 20_000_000;

/// The answer to one trace.
pub(super) fn decide(evidence: &Evidence, wishes: &Options) -> Recommendation {
    let mut answer = blank(evidence, wishes);
    let mut why = Reasons::default();
    if let Some(missing) = reasons::not_measured(evidence) {
        why.say(missing);
        answer.trust(Trust::none(reasons::measure_with_programs()));
        return finish(answer, why, evidence, wishes);
    }
    let is_quiet = !evidence.hurt() && evidence.other_losses == OtherLosses::default();
    if is_quiet && let Some(what) = reasons::too_few(evidence, confidence::FEW_ATTEMPTS) {
        why.say(what);
        answer.trust(confidence::unhurt(evidence));
        return finish(answer, why, evidence, wishes);
    }
    reasons::settings(evidence, &mut why);
    if let Some((said, advice)) = consumer::lost_behind(evidence) {
        why.say(said);
        why.advise(advice);
    }
    if let Some((wait, advice)) = wait_time::wanted(evidence) {
        answer.wait_time_ns = Some(wait.ns);
        why.advise([advice]);
    }
    if let Some(bottleneck) = other_cause(evidence, &mut why) {
        answer.verdict = Verdict::LimitWillNotHelp;
        answer.bottleneck = Some(bottleneck);
        answer.trust(confidence::counted(evidence));
        if let Some(service) = &evidence.service
            && bottleneck == Bottleneck::Socket
            && let Some((cause, sentence)) = cause(evidence, service)
        {
            answer.cause = Some(cause);
            why.say(sentence);
        }
        return finish(answer, why, evidence, wishes);
    }
    if evidence.hurt() {
        hurt(&mut answer, evidence, wishes, &mut why);
    } else {
        unhurt(&mut answer, evidence, wishes, &mut why);
    }
    finish(answer, why, evidence, wishes)
}

/// Somebody lost a record to the limit, or waited: the need is told by a replay.
fn hurt(answer: &mut Recommendation, evidence: &Evidence, wishes: &Options, why: &mut Reasons) {
    reasons::what_happened(evidence, why);
    let Some(service) = &evidence.service else {
        why.say(reasons::no_pace(evidence));
        answer.trust(Trust::none(reasons::trace_longer()));
        answer.needed_low = evidence.lowest_limit.map(|limit| limit + 1);
        return;
    };
    let limited = under_quota(evidence, service);
    let service = limited.as_ref().unwrap_or(service);
    reasons::pace(evidence, service, why);
    let fit = Fit::of(evidence, service);
    if let Some(fit) = fit.as_ref().filter(|fit| fit.is_corrected()) {
        reasons::corrected(evidence, fit, why);
    }
    let service = fit.as_ref().map_or(service, |fit| &fit.service);
    let need = Need::by_replay(evidence, service);
    answer.needed_low = Some(need.low);
    answer.needed_high = Some(need.high);
    answer.trust(confidence::replayed(evidence, service, &need, fit.as_ref()));
    if need.is_starved {
        reasons::starved(&need, why);
        answer.bottleneck = Some(Bottleneck::Kauditd);
        if evidence.goes_on() || !evidence.doubts.hooks.is_empty() {
            answer.curve = curve(evidence, service, need.high, None);
            return;
        }
        // The upper end is what a late `kauditd` can ask for at most.
        raise(answer, &need, service, evidence, wishes, why);
        return;
    }
    if let Some(what) = reasons::cannot_tell(evidence) {
        why.say(what);
        at_least(
            answer,
            evidence,
            service,
            &need,
            reasons::measure_with_programs(),
        );
        return;
    }
    let cause = cause(evidence, service);
    answer.cause = cause.as_ref().map(|(cause, _)| *cause);
    why.advise(consumer::advice(evidence, service, &need, cause.as_ref()));
    why.advise(talkers::talker_advice(evidence, &evidence.talkers));
    if let Some((_, sentence)) = &cause {
        why.say(sentence.clone());
    }
    if answer.cause == Some(Cause::Stopped) {
        answer.needed = Some(need.records);
        answer.verdict = Verdict::LimitWillNotHelp;
        answer.bottleneck = Some(Bottleneck::Consumer);
        if evidence.load_has_ended {
            reasons::as_long_as_this(&need, why);
        }
        answer.curve = curve(evidence, service, need.records, None);
        return;
    }
    if let Some(overload) = need.overload {
        answer.needed = Some(need.records);
        answer.verdict = Verdict::LimitWillNotHelp;
        answer.bottleneck = Some(Bottleneck::Consumer);
        reasons::overload(service, overload, &need, why);
        if evidence.has_drained() {
            reasons::as_long_as_this(&need, why);
        }
        why.advise(wait_time::trade(evidence, service, &need));
        answer.curve = curve(evidence, service, need.records, None);
        return;
    }
    if evidence.goes_on() || is_cut_short(evidence) {
        why.say(reasons::cut_short(evidence));
        at_least(answer, evidence, service, &need, reasons::trace_longer());
        return;
    }
    answer.needed = Some(need.records);
    if let Some(given_up) = silently_lost(evidence, service, &need) {
        // The limit only decides which counter does not show the loss.
        answer.verdict = Verdict::LimitWillNotHelp;
        answer.bottleneck = Some(Bottleneck::Socket);
        reasons::only_silent(&need, given_up, why);
        answer.curve = curve(evidence, service, need.records, None);
        return;
    }
    reasons::need(evidence, &need, wishes, why);
    raise(answer, &need, service, evidence, wishes, why);
}

/// Names the limit that the upper end of the need asks for.
fn raise(
    answer: &mut Recommendation,
    need: &Need,
    service: &Service,
    evidence: &Evidence,
    wishes: &Options,
    why: &mut Reasons,
) {
    answer.verdict = Verdict::Raise;
    let limit = whole(float(need.high) * (1.0 + wishes.headroom)).max(evidence.limit.unwrap_or(0));
    name_limit(answer, limit, evidence, wishes, why);
    if let Some(limit) = answer.limit.filter(|_| answer.verdict == Verdict::Raise) {
        let capped = answer.capped_by_budget;
        why.advise([reasons::set_limit(evidence, limit, need.high, capped)]);
        if let Some(sentence) = wait_time::longer_stalls(evidence, service, limit) {
            why.say(sentence);
        }
    }
    answer.curve = curve(evidence, service, need.high, answer.limit);
}

/// Records that nobody gets and no counter shows at a limit that loses none, if they are more than a tenth of what is
/// lost now. With `audit=1` the kernel keeps them.
fn silently_lost(evidence: &Evidence, service: &Service, need: &Need) -> Option<u64> {
    if evidence.booted_with_audit == Some(true) {
        return None;
    }
    let given_up = replay::unlimited(&need.steady_arrivals(evidence), service).given_up;
    let lost = float(evidence.refused) + evidence.suppressed;
    (given_up > 0.0 && given_up * 10.0 > lost).then(|| whole(given_up))
}

/// Leaves it at the least that the need can be: the trace does not tell more.
fn at_least(
    answer: &mut Recommendation,
    evidence: &Evidence,
    service: &Service,
    need: &Need,
    remedy: String,
) {
    answer.needed_low = Some(need.low);
    answer.needed_high = None;
    answer.confidence = Confidence::Low;
    answer.confidence_reasons.insert(0, remedy);
    answer.curve = curve(evidence, service, need.records, None);
}

/// Whether a short trace saw records come until its end: what comes after them is not in it.
fn is_cut_short(evidence: &Evidence) -> bool {
    let end_ns = evidence.begin_ns + evidence.duration_ns;
    !evidence.load_has_ended
        && evidence.duration_ns < SHORT_NS
        && evidence
            .arrivals
            .last()
            .is_some_and(|last| last.at_ns + AT_THE_END_NS >= end_ns)
}

fn blank(evidence: &Evidence, wishes: &Options) -> Recommendation {
    Recommendation {
        verdict: Verdict::Unknown,
        limit: None,
        current: evidence.limit,
        needed: None,
        needed_low: None,
        needed_high: None,
        headroom: wishes.headroom,
        confidence: Confidence::Low,
        confidence_reasons: Vec::new(),
        bottleneck: None,
        cause: None,
        wait_time_ns: None,
        memory_bytes: None,
        memory_worst_bytes: None,
        memory_folklore_bytes: None,
        capped_by_budget: false,
        curve: Vec::new(),
        reasons: Vec::new(),
        advice: Vec::new(),
        breaks_rules: Vec::new(),
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
fn unhurt(answer: &mut Recommendation, evidence: &Evidence, wishes: &Options, why: &mut Reasons) {
    let (Some(depth), Some(current)) = (evidence.depth_max, evidence.limit) else {
        why.say("the depth of the queue is unknown".to_owned());
        return;
    };
    answer.trust(confidence::unhurt(evidence));
    if let Some(what) = reasons::may_have_hurt(evidence, depth, current) {
        why.say(what);
        answer.confidence = Confidence::Low;
        return;
    }
    answer.needed = Some(depth.max(1));
    answer.needed_low = answer.needed;
    answer.needed_high = answer.needed;
    // A peak of the scheduler's making is another one in the next run.
    let times = if evidence.peak_is_the_schedulers() {
        2.0
    } else {
        1.0
    };
    let wanted = whole(float(depth.max(1)) * (1.0 + wishes.headroom * times));
    reasons::unhurt(evidence, depth, why);
    if current == 0 {
        answer.verdict = Verdict::Keep;
        why.say("no limit is set (0): the queue may use all of the kernel's memory".to_owned());
    } else if wanted > current || wishes.floor.is_some_and(|floor| floor > current) {
        answer.verdict = Verdict::Raise;
        name_limit(answer, wanted.max(current), evidence, wishes, why);
        let limit = answer.limit.filter(|_| answer.verdict == Verdict::Raise);
        let capped = answer.capped_by_budget;
        why.advise(limit.map(|limit| reasons::set_limit(evidence, limit, depth, capped)));
    } else if let Some(most) =
        largest_within_budget(evidence, wishes).filter(|&most| current > most)
    {
        reasons::over_budget(evidence, current, wishes, why);
        answer.verdict = Verdict::Lower;
        // What another run needs, one trace does not tell: all that the budget allows.
        name_limit(
            answer,
            most.max(wanted).max(u64::from(BOOT_LIMIT)),
            evidence,
            wishes,
            why,
        );
    } else {
        answer.verdict = Verdict::Keep;
        answer.limit = Some(current);
    }
}

/// Names a limit: not below the floor, and never above the memory budget. The budget wins over need and
/// floor, and the answer says so.
fn name_limit(
    answer: &mut Recommendation,
    wanted: u64,
    evidence: &Evidence,
    wishes: &Options,
    why: &mut Reasons,
) {
    let mut limit = wanted.max(1);
    if let Some(floor) = wishes.floor.filter(|&floor| floor > limit) {
        reasons::floor(limit, floor, wishes, why);
        limit = floor;
    }
    if let Some(most) = largest_within_budget(evidence, wishes).filter(|&most| limit > most) {
        reasons::over_budget(evidence, limit, wishes, why);
        answer.capped_by_budget = true;
        let is_below_floor = wishes.floor.is_some_and(|floor| most < floor);
        let raises = answer.verdict == Verdict::Raise
            && most > evidence.limit.unwrap_or(0)
            && !is_below_floor;
        reasons::capped(evidence, limit, raises.then_some(most), why);
        if !raises {
            // Nothing better than the limit in force keeps to the budget.
            answer.verdict = Verdict::Unknown;
            answer.confidence = Confidence::Low;
            return;
        }
        limit = most;
    }
    answer.limit = Some(limit);
    if evidence.limit == Some(limit) && answer.verdict == Verdict::Raise {
        answer.verdict = Verdict::Keep;
    }
}

/// The largest limit whose full queues take no more than the memory budget; `None` where there is no
/// budget to keep to, or the size of a record is not known.
fn largest_within_budget(evidence: &Evidence, wishes: &Options) -> Option<u64> {
    let one = memory_worst(evidence, 1).filter(|&bytes| bytes > 0)?;
    (!wishes.over_budget).then_some(wishes.memory_budget_bytes / one)
}

/// Bytes of main, retry and hold queue full of the largest record.
fn memory_worst(evidence: &Evidence, limit: u64) -> Option<u64> {
    Some(
        limit
            .saturating_mul(evidence.record_max_bytes?)
            .saturating_mul(QUEUES),
    )
}

/// Fills in what follows from the rest.
fn finish(
    mut answer: Recommendation,
    why: Reasons,
    evidence: &Evidence,
    wishes: &Options,
) -> Recommendation {
    if matches!(answer.verdict, Verdict::LimitWillNotHelp | Verdict::Unknown) {
        answer.limit = None;
    }
    let shown = answer.limit.or(answer.needed);
    answer.memory_bytes = shown
        .zip(evidence.record_bytes)
        .map(|(limit, bytes)| limit.saturating_mul(bytes));
    answer.memory_worst_bytes = shown.and_then(|limit| memory_worst(evidence, limit));
    answer.memory_folklore_bytes = shown.map(|limit| limit.saturating_mul(FOLKLORE_RECORD_BYTES));
    let sets = matches!(answer.verdict, Verdict::Raise | Verdict::Lower);
    if let Some(limit) = answer.limit.filter(|_| sets) {
        answer.apply = Some(apply(limit));
        answer.undo = Some(UNDO.to_owned());
    }
    if wishes.headroom <= 0.0 && sets {
        answer.confidence = answer.confidence.min(Confidence::Medium);
        answer.confidence_reasons.push(
            "no headroom was added: two runs of one load differ by a few per cent".to_owned(),
        );
    }
    answer.breaks_rules = answer.limit.map(policy::broken_by).unwrap_or_default();
    (answer.reasons, answer.advice) = why.told();
    answer
}

impl Recommendation {
    fn trust(&mut self, trust: Trust) {
        self.confidence = trust.grade;
        self.confidence_reasons = trust.reasons;
    }
}
