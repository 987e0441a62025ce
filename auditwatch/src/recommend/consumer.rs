//! What would make the consumer faster, or have more room.
//!
//! In: evidence, in which the consumer is the bottleneck. Out: advice, each with the setting or the
//! measurement that it rests on, and with the need by a replay where that tells. Pure.

use super::{
    Advice, Cause, Need,
    cause::{at_usual_pace, pauses_matter, without_pauses},
};
use crate::{
    auditd::ConsumerSetup,
    recommend::model::{
        demand::{float, whole},
        evidence::Evidence,
        replay,
        service::Service,
    },
    units::{bytes, count, duration},
};

/// How much larger a socket buffer is tried.
const BUFFER_TIMES: u64 = 4;
/// Most memory of a socket that is advised, bytes.
const MOST_BUFFER_BYTES: u64 = 16 << 20;

/// Advice on the consumer.
pub(super) fn advice(
    evidence: &Evidence,
    service: &Service,
    need: &Need,
    cause: Option<&(Cause, String)>,
) -> Vec<Advice> {
    let mut advice = Vec::new();
    advice.extend(cause.map(|(cause, why)| of_cause(evidence, service, need, *cause, why)));
    if let Some(setup) = &evidence.setup {
        advice.extend(of_settings(setup, service));
    }
    if need.overload.is_none() {
        advice.extend(larger_socket(evidence, service, need));
    } else if cause.is_none() {
        advice.push(
            Advice::new(
                "make the consumer faster, or narrow the rules",
                pace_needed(need, service),
                "its configuration does not explain why it is slow: look at its CPU time and its disk",
            )
            .sparing(evidence.refused + evidence.stalls),
        );
    }
    advice
}

/// The pace that would carry the load.
fn pace_needed(need: &Need, service: &Service) -> String {
    need.overload.map_or_else(
        || "a faster consumer needs a shorter queue".to_owned(),
        |overload| {
            format!(
                "sufficient if a record then takes {} at most (now {})",
                duration(1_000_000_000 / overload.per_s.max(1)),
                duration(whole(service.record_ns))
            )
        },
    )
}

fn of_cause(
    evidence: &Evidence,
    service: &Service,
    need: &Need,
    cause: Cause,
    why: &str,
) -> Advice {
    let path = evidence
        .setup
        .as_ref()
        .and_then(|setup| setup.conf_path.clone())
        .unwrap_or_else(|| "/etc/audit/auditd.conf".to_owned());
    let (action, other) = match cause {
        Cause::Stopped => (
            "continue the consumer, and find the cause of the stop".to_owned(),
            None,
        ),
        Cause::OtherConsumer => (
            format!(
                "make {} faster, or give it fewer records",
                evidence
                    .setup
                    .as_ref()
                    .and_then(ConsumerSetup::name)
                    .unwrap_or_else(|| "that program".to_owned())
            ),
            pauses_matter(evidence, service).then(|| without_pauses(service)),
        ),
        Cause::Cpu => (less_for_each(evidence.setup.as_ref(), &path), None),
        Cause::Quota => (
            "raise the limit on auditd's CPU time (CPUQuota= of its unit)".to_owned(),
            None,
        ),
        Cause::CpuWait => (
            format!("raise priority_boost in {path}, or reserve a CPU for auditd"),
            None,
        ),
        Cause::FlushEachRecord => (
            format!(
                "set flush = incremental_async and freq = 50 in {path}, then send auditd SIGHUP; a crash may then lose up to 50 records of the log"
            ),
            None,
        ),
        Cause::FlushEveryFew => (
            format!(
                "set flush = incremental_async in {path}: another thread then waits for the disk"
            ),
            Some(at_usual_pace(service).unwrap_or_else(|| without_pauses(service))),
        ),
        Cause::Rotation => (
            format!("rotate less often (raise max_log_file in {path}), or use a faster disk"),
            Some(without_pauses(service)),
        ),
        Cause::Pauses => (
            "find the cause of the consumer's pauses".to_owned(),
            Some(without_pauses(service)),
        ),
    };
    // What a consumer like that would have made of the same load.
    let then = other.map(|other| {
        let without_hurt = Evidence {
            lowest_limit: None,
            ..evidence.clone()
        };
        Need::by_replay(&without_hurt, &other)
    });
    let hurt = evidence.refused + evidence.stalls;
    if cause == Cause::Stopped
        && let Some(setup) = &evidence.setup
    {
        return Advice::new(action, "the queue drains again", why)
            .by(format!("kill -CONT {}", setup.pid))
            .sparing(hurt);
    }
    match then.filter(|then| then.overload.is_none()) {
        Some(then) => {
            let advice = Advice::new(
                action,
                format!(
                    "reduces the need from {1} to {0}",
                    count(then.records),
                    count(need.records)
                ),
                why,
            )
            .needing(then.records);
            if evidence.limit.is_some_and(|limit| limit >= then.records) {
                advice.sparing(hurt)
            } else {
                advice
            }
        }
        None if need.overload.is_some() => {
            Advice::new(action, pace_needed(need, service), why).sparing(hurt)
        }
        None => Advice::new(action, pace_needed(need, service), why),
    }
}

/// Settings that take time for each record; by how much, no trace tells.
fn of_settings(setup: &ConsumerSetup, service: &Service) -> Vec<Advice> {
    let mut advice = Vec::new();
    let Some((conf, path)) = setup.configuration() else {
        return advice;
    };
    if let Some(plugins) = setup.plugins.as_deref().filter(|names| !names.is_empty()) {
        advice.push(Advice::new(
            format!(
                "switch off unused plugins (active = no in {})",
                conf.plugin_dir
            ),
            "plugins take CPU time for each record",
            format!("active: {}", plugins.join(", ")),
        ));
    }
    if conf.is_enriched {
        advice.push(Advice::new(
            format!("try log_format = raw in {path}"),
            "auditd no longer looks up names; compare a trace with each setting to see the gain",
            format!(
                "auditd looks up names for each record ({}), which takes {} in total",
                conf.cite("log_format", "enriched", path),
                duration(whole(service.record_ns))
            ),
        ));
    }
    if setup.nice.is_some_and(|nice| nice >= 0) {
        advice.push(Advice::new(
            format!("set priority_boost = 4 in {path}"),
            "auditd gets the CPU before the tasks that cause records",
            format!(
                "auditd runs at nice value {} ({})",
                setup.nice.unwrap_or(0),
                conf.cite("priority_boost", conf.priority_boost, path)
            ),
        ));
    }
    advice
}

/// A socket with more room, which takes what the queue need not hold then.
fn larger_socket(evidence: &Evidence, service: &Service, need: &Need) -> Option<Advice> {
    let now = evidence
        .socket_bytes
        .filter(|_| service.socket_is_measured)?;
    let then = now
        .saturating_mul(BUFFER_TIMES)
        .min(MOST_BUFFER_BYTES)
        .max(now);
    let roomy = Service {
        socket_records: (service.socket_records * float(then) / float(now)).floor(),
        ..service.clone()
    };
    let needed = replay::unlimited(&evidence.arrivals, &roomy).met;
    // Less than a tenth is not worth a change.
    if needed.saturating_mul(10) > need.records.saturating_mul(9) {
        return None;
    }
    let advice = Advice::new(
        format!(
            "enlarge the consumer's socket buffer: set net.core.rmem_default = {then}, then restart the consumer; this applies to all new sockets"
        ),
        format!(
            "{} more records fit into the socket buffer: the need is {} instead of {}",
            count(whole(roomy.socket_records - service.socket_records)),
            count(needed),
            count(need.records)
        ),
        format!(
            "the socket buffer holds {} records in {}{}",
            count(whole(service.socket_records)),
            bytes(now),
            made_before(evidence.setup.as_ref(), now)
        ),
    )
    .by(format!("sysctl -w net.core.rmem_default={then}"))
    .undone_by(
        evidence
            .setup
            .as_ref()
            .and_then(|setup| setup.rmem_default_bytes)
            .map(|bytes| format!("sysctl -w net.core.rmem_default={bytes}")),
    )
    .needing(needed);
    Some(if evidence.limit.is_some_and(|limit| limit >= needed) {
        advice.sparing(evidence.refused + evidence.stalls)
    } else {
        advice
    })
}

/// Says so where a socket made now would have another size.
pub(super) fn made_before(setup: Option<&ConsumerSetup>, now: u64) -> String {
    match setup.and_then(|setup| setup.rmem_default_bytes) {
        Some(default) if default != now => format!(
            "; a new one would hold {} (net.core.rmem_default)",
            bytes(default)
        ),
        _ => String::new(),
    }
}

/// What auditd's own report says of records that it took and nobody got.
pub(super) fn lost_behind(evidence: &Evidence) -> Option<(String, Vec<Advice>)> {
    let setup = evidence.setup.as_ref()?;
    let state = setup.state.as_ref()?;
    let path = setup.state_path.as_deref().unwrap_or("its report");
    let age = setup
        .state_age_ns
        .map_or_else(String::new, |ns| format!(", {} old", duration(ns)));
    let source = format!("{path}{age}");
    let mut advice = Vec::new();
    let mut said = Vec::new();
    if state.logging_suspended == Some(true) {
        said.push("auditd has suspended logging: it reads records and discards them".to_owned());
        let actions = setup.conf.as_ref().map_or_else(String::new, |conf| {
            format!(
                "; space_left_action = {}, admin_space_left_action = {}, disk_full_action = {}",
                conf.space_left_action, conf.admin_space_left_action, conf.disk_full_action
            )
        });
        advice.push(
            Advice::new(
                "free space on the log's disk, then let auditd resume logging",
                "auditd writes records to the log again; no limit changes that",
                format!("logging suspended = yes in {source}{actions}"),
            )
            .by(format!("kill -USR2 {}", setup.pid)),
        );
        // By a report of this very time nothing that auditd took was kept.
        if setup
            .state_age_ns
            .is_some_and(|ns| ns <= evidence.duration_ns)
            && let (Some(advice), Some(attempted)) = (advice.last_mut(), evidence.attempted)
        {
            advice.spares = Some(attempted.saturating_sub(evidence.refused));
        }
    }
    if state.disk_error == Some(true) {
        said.push("auditd could not write its log".to_owned());
        advice.push(Advice::new(
            "look after the log's disk",
            "records that auditd takes are kept",
            format!("disk error detected = yes in {source}"),
        ));
    }
    if state.plugin_overflow == Some(true) || state.plugins_suspended == Some(true) {
        let size = state.plugin_queue.map_or_else(|| "?".to_owned(), count);
        said.push(format!(
            "auditd's plugin queue (q_depth = {size}) overflowed: plugins missed records that the kernel delivered"
        ));
        let names = setup
            .plugins
            .as_deref()
            .filter(|names| !names.is_empty())
            .map_or_else(String::new, |names| {
                format!("; active: {}", names.join(", "))
            });
        advice.push(Advice::new(
            "raise q_depth in auditd.conf, or make the plugins faster",
            "plugins receive every record that the log receives; no limit changes that",
            format!(
                "its peak was {} of {size}, and it overflowed, according to {source}{names}",
                state.plugin_depth_max.map_or_else(|| "?".to_owned(), count)
            ),
        ));
    }
    (!said.is_empty()).then(|| (format!("{} ({source})", said.join("; ")), advice))
}

/// How an auditd that is busy all the time comes to have less to do, by what it is set up to do now.
fn less_for_each(setup: Option<&ConsumerSetup>, path: &str) -> String {
    let conf = setup.and_then(|setup| setup.conf.as_ref());
    let plugins = setup.and_then(|setup| setup.plugins.as_ref());
    let mut ways = Vec::new();
    if conf.is_none_or(|conf| conf.is_enriched) {
        ways.push(format!("log_format = raw in {path}"));
    }
    if plugins.is_none_or(|plugins| !plugins.is_empty()) {
        ways.push("fewer plugins".to_owned());
    }
    if ways.is_empty() {
        return "narrow the rules; auditd is already at its fastest (log_format = raw, no plugins)"
            .to_owned();
    }
    format!(
        "reduce auditd's work for each record ({}), or narrow the rules",
        ways.join(", ")
    )
}
