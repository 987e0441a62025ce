//! The explanation: the evidence step by step, and which assumption moves the number most.

use crate::{
    auditd::ConsumerSetup,
    recommend::model::{
        demand::{Arrival, float, whole},
        evidence::Evidence,
        replay,
        service::Service,
    },
    units::{count, duration, plural},
};

use super::Recommendation;

const SECOND_NS: u64 = 1_000_000_000;

/// The walk through the evidence, a sentence a step.
#[must_use]
pub fn explain(evidence: &Evidence, answer: &Recommendation) -> Vec<String> {
    let mut steps = Vec::new();
    let mut step = |line: String| steps.push(line);
    step(format!(
        "1. measured: {} attempts in {}, {} dropped at the limit, {} stalls ({} in total), peak depth {} of {}",
        evidence.attempted.map_or_else(|| "?".to_owned(), count),
        duration(evidence.duration_ns),
        count(evidence.refused),
        count(evidence.stalls),
        duration(evidence.stalled_ns),
        evidence.depth_max.map_or_else(|| "?".to_owned(), count),
        evidence.limit.map_or_else(|| "?".to_owned(), count),
    ));
    if let Some((at_ns, records)) = busiest(&evidence.arrivals, SECOND_NS) {
        step(format!(
            "2. busiest second: {} records, from {} on",
            count(records),
            duration(at_ns.saturating_sub(evidence.begin_ns))
        ));
    }
    step(if evidence.attempted.is_none() {
        "3. hidden demand: unknown; polling sees neither attempts nor the queue between two looks"
            .to_owned()
    } else if evidence.hurt() {
        format!(
            "3. hidden demand: the queue stood at its limit of {}, so its depth does not show the need",
            evidence.lowest_limit.map_or_else(|| "?".to_owned(), count)
        )
    } else {
        "3. hidden demand: none; the queue never reached its limit".to_owned()
    });
    step(format!(
        "4. added to the demand: {} suppressed records; {} of stall time removed",
        count(whole(evidence.suppressed)),
        duration(evidence.stalled_ns)
    ));
    if let Some(setup) = &evidence.setup {
        step(consumer(setup));
    }
    let Some(service) = &evidence.service else {
        step("6. the consumer's service rate is unknown".to_owned());
        return steps;
    };
    step(format!(
        "6. service: {} a record, {} records/s; a socket buffer of {} records; {} {}",
        duration(whole(service.record_ns)),
        count(whole(1e9 / service.record_ns)),
        count(whole(service.socket_records)),
        service.pauses.len(),
        plural(service.pauses.len() as u64, "pause")
    ));
    step(format!(
        "7. replay without a limit: peak depth {}",
        answer.needed.map_or_else(|| "?".to_owned(), count)
    ));
    let base = replay::unlimited(&evidence.arrivals, service).met;
    let mut moved: Vec<(u64, &str)> = assumptions(evidence, service)
        .into_iter()
        .map(|(name, need)| (need.abs_diff(base), name))
        .collect();
    moved.sort_by_key(|&(by, _)| std::cmp::Reverse(by));
    for (by, name) in moved {
        step(format!("8. {name}: changes the need by {}", count(by)));
    }
    steps
}

/// Who takes the records, and how it is set up.
fn consumer(setup: &ConsumerSetup) -> String {
    let who = format!(
        "5. consumer: {} (pid {})",
        setup.name().unwrap_or_else(|| "?".to_owned()),
        setup.pid
    );
    let Some((conf, path)) = setup.configuration() else {
        return who;
    };
    let plugins = match setup.plugins.as_deref() {
        None => "not known".to_owned(),
        Some([]) => "none".to_owned(),
        Some(names) => names.join(", "),
    };
    let state = match (setup.state.as_ref(), setup.state_age_ns) {
        (Some(_), Some(ns)) => format!("its state report is {} old", duration(ns)),
        (Some(_), None) => "its state report has no date".to_owned(),
        (None, _) => {
            "no state report (`auditctl --signal state` makes auditd write one)".to_owned()
        }
    };
    format!(
        "{who} by {path}: flush = {}, freq = {}, log_format = {}, write_logs = {}, q_depth = {}, \
         name_format = {}; plugins: {plugins}; {state}",
        conf.flush.name(),
        conf.freq,
        if conf.is_enriched { "enriched" } else { "raw" },
        if conf.writes_logs { "yes" } else { "no" },
        conf.q_depth,
        conf.name_format
    )
}

/// The need under each assumption changed by itself.
fn assumptions(evidence: &Evidence, service: &Service) -> Vec<(&'static str, u64)> {
    let need = |service: &Service| replay::unlimited(&evidence.arrivals, service).met;
    vec![
        ("a consumer 10 % slower", need(&service.slower(1.1))),
        (
            "no socket buffer",
            need(&Service {
                socket_records: 1.0,
                ..service.clone()
            }),
        ),
        (
            "no pauses",
            need(&Service {
                pauses: Vec::new(),
                ..service.clone()
            }),
        ),
        (
            "10 % more demand",
            replay::unlimited(
                &evidence
                    .arrivals
                    .iter()
                    .map(|arrival| Arrival {
                        records: arrival.records * 1.1,
                        ..*arrival
                    })
                    .collect::<Vec<_>>(),
                service,
            )
            .met,
        ),
    ]
}

/// The stretch of that length in which most came: its start, and how many.
fn busiest(arrivals: &[Arrival], span_ns: u64) -> Option<(u64, u64)> {
    let mut first = 0;
    let mut sum = 0.0;
    let mut most: Option<(u64, f64)> = None;
    for arrival in arrivals {
        sum += arrival.records;
        while arrival.at_ns - arrivals[first].at_ns >= span_ns {
            sum -= arrivals[first].records;
            first += 1;
        }
        if most.is_none_or(|(_, records)| sum > records) {
            most = Some((arrivals[first].at_ns, sum));
        }
    }
    most.map(|(at_ns, records)| (at_ns, whole(records.max(float(0)))))
}
