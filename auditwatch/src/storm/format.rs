//! The form of a storm file: TOML in, a checked [`Storm`] out.

use std::{collections::BTreeMap, ops::Range};

use toml::Spanned;

use super::{
    Amount, ConsumerKind, ConsumerPlan, Host, Kind, MAX_BYTES, MAX_EVENTS, MAX_MS, MAX_PER_S,
    MAX_PRODUCERS, MAX_TEXT_BYTES, MAX_THREADS, Pace, Pacing, Pause, Phase, Producer, Storm,
    StormError,
    table::{ConfValue, ConsumerTable, File, HostTable, ProducerTable},
};

/// `AUDIT_MAX_KEY_LEN` (uapi), bytes.
const MAX_KEY_BYTES: usize = 256;
/// Longest name, bytes.
const MAX_NAME_BYTES: usize = 64;

/// What is wrong with one table, without its line. One that is about a key begins with it, which tells the line.
type Check<T> = Result<T, String>;

pub(super) fn parse(text: &str) -> Result<Storm, StormError> {
    if text.len() > MAX_BYTES {
        return Err(StormError {
            line: 1,
            message: format!(
                "a storm file of {} bytes; {MAX_BYTES} are the most",
                text.len()
            ),
        });
    }
    let at = |span: &Range<usize>, message: String| StormError {
        line: line_in(text, span.start, &message),
        message,
    };
    let file: File = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        at(&span, one_line(error.message()))
    })?;
    let name_span = file.name.span();
    let name = file.name.into_inner();
    name_is_sane(&name).map_err(|message| at(&name_span, message))?;
    let host = match file.host {
        None => Host::default(),
        Some(table) => {
            let span = table.span();
            host(&table.into_inner()).map_err(|message| at(&span, message))?
        }
    };
    let consumer = match file.consumer {
        None => ConsumerPlan::default(),
        Some(table) => {
            let span = table.span();
            let mut table = table.into_inner();
            let conf = conf(text, std::mem::take(&mut table.conf))?;
            consumer(&table, conf).map_err(|message| at(&span, message))?
        }
    };
    let producers = |tables: Vec<Spanned<ProducerTable>>| {
        tables
            .into_iter()
            .map(|table| {
                let span = table.span();
                producer(table.into_inner()).map_err(|message| at(&span, message))
            })
            .collect::<Result<Vec<_>, _>>()
    };
    let top = producers(file.producer)?;
    let mut phases = Vec::new();
    if !top.is_empty() {
        phases.push((
            name_span.clone(),
            Phase {
                name: "storm".to_owned(),
                rest_ms: 0,
                producers: top,
                consumer: Pace::default(),
            },
        ));
    }
    for table in file.phase {
        let span = table.span();
        if phases.first().is_some_and(|(first, _)| *first == name_span) {
            return Err(at(
                &span,
                "[[phase]] beside [[producer]]: put the producers into a phase, as [[phase.producer]]"
                    .to_owned(),
            ));
        }
        let table = table.into_inner();
        let phase = Phase {
            producers: producers(table.producer)?,
            name: table.name,
            rest_ms: table.rest_ms,
            consumer: table.consumer,
        };
        phases.push((span, phase));
    }
    for (span, phase) in &phases {
        check_phase(phase, consumer.kind).map_err(|message| at(span, message))?;
    }
    let phases: Vec<Phase> = phases.into_iter().map(|(_, phase)| phase).collect();
    let count: usize = phases.iter().map(|phase| phase.producers.len()).sum();
    if count == 0 || count > MAX_PRODUCERS {
        return Err(at(
            &name_span,
            format!(
                "{count} producers; a storm has at least one [[producer]] and at most {MAX_PRODUCERS}"
            ),
        ));
    }
    Ok(Storm {
        name,
        about: file.about,
        host,
        phases,
        consumer,
    })
}

/// The line, from 1, that a message is about, of a table that begins at a byte: that of the key which the
/// message begins with, else its first.
fn line_in(text: &str, begin: usize, message: &str) -> usize {
    let key = message.split([' ', '.']).next().unwrap_or_default();
    let is_of_key = |line: &str| {
        let rest = line.trim_start().strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let table = text.get(begin..).unwrap_or_default();
    let within = (1..)
        .zip(table.lines().skip(1))
        .take_while(|(_, line)| !line.trim_start().starts_with('['))
        .find(|(_, line)| !key.is_empty() && is_of_key(line))
        .map_or(0, |(number, _)| number);
    line_of(text, begin) + within
}

/// The line of a byte, from 1.
fn line_of(text: &str, byte: usize) -> usize {
    1 + text
        .bytes()
        .take(byte)
        .filter(|&byte| byte == b'\n')
        .count()
}

/// A message of the TOML parser in one line.
fn one_line(message: &str) -> String {
    let words: Vec<&str> = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    if words.is_empty() {
        "not valid TOML".to_owned()
    } else {
        words.join(", ")
    }
}

fn name_is_sane(name: &str) -> Check<()> {
    let sane = !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if sane {
        Ok(())
    } else {
        Err(format!(
            "name {name:?}: a name has 1 to {MAX_NAME_BYTES} letters, digits, `-`, `_` or `.`"
        ))
    }
}

fn at_most(what: &str, value: u64, most: u64) -> Check<()> {
    if value <= most {
        Ok(())
    } else {
        Err(format!("{what} = {value}: {most} is the most"))
    }
}

fn positive(what: &str, value: u64, most: u64) -> Check<()> {
    if value == 0 {
        return Err(format!("{what} = 0: it must be at least 1"));
    }
    at_most(what, value, most)
}

/// A rate of one thread.
fn rate(what: &str, value: f64, least_is_zero: bool) -> Check<f64> {
    let enough = if least_is_zero {
        value >= 0.0
    } else {
        value >= 0.001
    };
    if enough && value <= MAX_PER_S {
        Ok(value)
    } else {
        Err(format!(
            "{what} = {value}: a rate is from 0.001 to {MAX_PER_S} events a second"
        ))
    }
}

fn host(table: &HostTable) -> Check<Host> {
    match table.failure {
        None | Some(0 | 1) => {}
        Some(2) => {
            return Err(
                "failure = 2: storms lose records, and a lost record would panic the host; use 0 or 1"
                    .to_owned(),
            );
        }
        Some(other) => return Err(format!("failure = {other}: it is 0 or 1")),
    }
    if let Some(wait) = table.wait_time_ms {
        // The kernel takes ten times its default (`audit_receive_msg`).
        at_most("wait_time_ms", wait, 600_000)?;
    }
    Ok(Host {
        limit: table.limit,
        wait_time_ms: table.wait_time_ms,
        rate_limit: table.rate_limit,
        failure: table.failure,
    })
}

fn pause_is_sane(pause: Option<Pause>) -> Check<()> {
    let Some(pause) = pause else { return Ok(()) };
    positive("pause.every_ms", pause.every_ms, MAX_MS)?;
    positive("pause.for_ms", pause.for_ms, MAX_MS)
}

/// Lines of auditd.conf. An error is on the line of its key, which may be in a table of its own.
fn conf(
    text: &str,
    table: BTreeMap<Spanned<String>, ConfValue>,
) -> Result<BTreeMap<String, String>, StormError> {
    let checked = table.into_iter().map(|(key, value)| {
        let value = match value {
            ConfValue::Word(word) => word,
            ConfValue::Number(number) => number.to_string(),
        };
        super::conf::check(key.as_ref(), &value).map_err(|message| StormError {
            line: line_of(text, key.span().start),
            message,
        })?;
        Ok((key.into_inner(), value))
    });
    checked.collect()
}

fn consumer(table: &ConsumerTable, conf: BTreeMap<String, String>) -> Check<ConsumerPlan> {
    let kind = table.kind;
    at_most("per_record_us", table.per_record_us, 10_000_000)?;
    pause_is_sane(table.pause)?;
    if let Some(bytes) = table.rcvbuf {
        positive("rcvbuf", u64::from(bytes), 1 << 30)?;
    }
    let of_sink =
        table.per_record_us > 0 || table.pause.is_some() || table.rcvbuf.is_some() || table.fsync;
    if of_sink && !matches!(kind, ConsumerKind::Sink | ConsumerKind::Stopped) {
        return Err(format!(
            "per_record_us, pause, rcvbuf and fsync are of kind \"sink\", not of {:?}",
            kind.name()
        ));
    }
    if !conf.is_empty() && kind != ConsumerKind::Auditd {
        return Err(format!(
            "conf is of kind \"auditd\", not of {:?}",
            kind.name()
        ));
    }
    Ok(ConsumerPlan {
        kind,
        per_record_us: table.per_record_us,
        pause: table.pause,
        rcvbuf: table.rcvbuf,
        fsync: table.fsync,
        conf,
    })
}

fn producer(table: ProducerTable) -> Check<Producer> {
    let kind = table.kind;
    let name = table.name.clone().unwrap_or_else(|| kind.name().to_owned());
    name_is_sane(&name)?;
    positive("threads", u64::from(table.threads), u64::from(MAX_THREADS))?;
    at_most("start_ms", table.start_ms, MAX_MS)?;
    let amount = match (table.events, table.for_ms) {
        (Some(events), None) => {
            positive("events", events, MAX_EVENTS)?;
            Amount::Events(events)
        }
        (None, Some(ms)) => {
            positive("for_ms", ms, MAX_MS)?;
            Amount::Millis(ms)
        }
        (None, None) => {
            return Err(format!(
                "producer {name} has no end: give it events or for_ms"
            ));
        }
        (Some(_), Some(_)) => {
            return Err(format!(
                "producer {name} has two ends: give it events or for_ms, not both"
            ));
        }
    };
    let pacing = pacing(&name, &table)?;
    if let Some(key) = &table.key
        && (key.is_empty()
            || key.len() > MAX_KEY_BYTES
            || key.chars().any(|c| c.is_control() || c == '"'))
    {
        return Err(format!(
            "key {key:?}: an audit key has 1 to {MAX_KEY_BYTES} bytes, without quotes or control characters"
        ));
    }
    let only = |what: &str, value: Option<u64>, of: Kind, most: u64| match value {
        Some(_) if kind != of => Err(format!(
            "{what} is of kind {:?}, not of {:?}",
            of.name(),
            kind.name()
        )),
        value => at_most(what, value.unwrap_or(0), most).map(|()| value.unwrap_or(0)),
    };
    Ok(Producer {
        argv_bytes: only("argv_bytes", table.argv_bytes, Kind::Exec, MAX_TEXT_BYTES)?,
        message_bytes: only(
            "message_bytes",
            table.message_bytes,
            Kind::User,
            MAX_MESSAGE_BYTES,
        )?,
        name,
        kind,
        threads: table.threads,
        amount,
        pacing,
        start_ms: table.start_ms,
        catch_up: table.catch_up,
        key: table.key,
    })
}

/// `MAX_AUDIT_MESSAGE_LENGTH` (uapi) less what the kernel puts before it, bytes.
const MAX_MESSAGE_BYTES: u64 = 8_000;

fn pacing(name: &str, table: &ProducerTable) -> Check<Pacing> {
    let mut given = Vec::new();
    match table.rate_per_s {
        None | Some(0.0) => {}
        Some(per_s) => given.push(Pacing::Rate {
            per_s: rate("rate_per_s", per_s, false)?,
        }),
    }
    if let Some(burst) = &table.burst {
        positive("burst.events", burst.events, MAX_EVENTS)?;
        positive("burst.every_ms", burst.every_ms, MAX_MS)?;
        given.push(Pacing::Burst {
            events: burst.events,
            every_ms: burst.every_ms,
        });
    }
    if let Some(ramp) = &table.ramp {
        positive("ramp.over_ms", ramp.over_ms, MAX_MS)?;
        given.push(Pacing::Ramp {
            from_per_s: rate("ramp.from_per_s", ramp.from_per_s, true)?,
            to_per_s: rate("ramp.to_per_s", ramp.to_per_s, false)?,
            over_ms: ramp.over_ms,
        });
    }
    if let Some(on_off) = &table.on_off {
        positive("on_off.on_ms", on_off.on_ms, MAX_MS)?;
        positive("on_off.off_ms", on_off.off_ms, MAX_MS)?;
        let per_s = rate("on_off.rate_per_s", on_off.rate_per_s, false)?;
        given.push(Pacing::OnOff {
            on_ms: on_off.on_ms,
            off_ms: on_off.off_ms,
            per_s,
        });
    }
    if let Some(poisson) = &table.poisson {
        given.push(Pacing::Poisson {
            per_s: rate("poisson.rate_per_s", poisson.rate_per_s, false)?,
            seed: poisson.seed,
        });
    }
    match given.as_slice() {
        [] => Ok(Pacing::FlatOut),
        [pacing] => Ok(*pacing),
        _ => Err(format!(
            "producer {name} has more than one of rate_per_s, burst, ramp, on_off and poisson: keep one"
        )),
    }
}

fn check_phase(phase: &Phase, kind: ConsumerKind) -> Check<()> {
    name_is_sane(&phase.name)?;
    at_most("rest_ms", phase.rest_ms, MAX_MS)?;
    pause_is_sane(phase.consumer.pause)?;
    at_most(
        "per_record_us",
        phase.consumer.per_record_us.unwrap_or(0),
        10_000_000,
    )?;
    if phase.consumer != Pace::default() && kind != ConsumerKind::Sink {
        return Err(format!(
            "a phase changes the pace of a consumer of kind \"sink\", not of {:?}",
            kind.name()
        ));
    }
    let threads: u64 = phase
        .producers
        .iter()
        .map(|producer| u64::from(producer.threads))
        .sum();
    at_most("threads of a phase", threads, u64::from(MAX_THREADS))
}
