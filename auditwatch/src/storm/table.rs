//! The tables of a storm file as they are written, before anything is checked.
//!
//! In: TOML. Out: tables with nothing unknown in them. What they mean is `format`'s.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{ConsumerKind, Kind, Pace, Pause};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) about: String,
    #[serde(default)]
    pub(super) host: Option<Spanned<HostTable>>,
    #[serde(default)]
    pub(super) producer: Vec<Spanned<ProducerTable>>,
    #[serde(default)]
    pub(super) consumer: Option<Spanned<ConsumerTable>>,
    #[serde(default)]
    pub(super) phase: Vec<Spanned<PhaseTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostTable {
    pub(super) limit: Option<u32>,
    pub(super) wait_time_ms: Option<u64>,
    pub(super) rate_limit: Option<u32>,
    pub(super) failure: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PhaseTable {
    pub(super) name: String,
    #[serde(default)]
    pub(super) rest_ms: u64,
    #[serde(default)]
    pub(super) producer: Vec<Spanned<ProducerTable>>,
    #[serde(default)]
    pub(super) consumer: Pace,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProducerTable {
    pub(super) kind: Kind,
    pub(super) name: Option<String>,
    #[serde(default = "one")]
    pub(super) threads: u32,
    pub(super) events: Option<u64>,
    pub(super) for_ms: Option<u64>,
    pub(super) rate_per_s: Option<f64>,
    pub(super) burst: Option<BurstTable>,
    pub(super) ramp: Option<RampTable>,
    pub(super) on_off: Option<OnOffTable>,
    pub(super) poisson: Option<PoissonTable>,
    #[serde(default)]
    pub(super) start_ms: u64,
    #[serde(default = "yes")]
    pub(super) catch_up: bool,
    pub(super) key: Option<String>,
    pub(super) argv_bytes: Option<u64>,
    pub(super) message_bytes: Option<u64>,
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BurstTable {
    pub(super) events: u64,
    pub(super) every_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RampTable {
    pub(super) from_per_s: f64,
    pub(super) to_per_s: f64,
    pub(super) over_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OnOffTable {
    pub(super) on_ms: u64,
    pub(super) off_ms: u64,
    pub(super) rate_per_s: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PoissonTable {
    pub(super) rate_per_s: f64,
    pub(super) seed: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsumerTable {
    #[serde(default = "sink")]
    pub(super) kind: ConsumerKind,
    #[serde(default)]
    pub(super) per_record_us: u64,
    pub(super) pause: Option<Pause>,
    pub(super) rcvbuf: Option<u32>,
    #[serde(default)]
    pub(super) fsync: bool,
    #[serde(default)]
    pub(super) conf: BTreeMap<Spanned<String>, ConfValue>,
}

const fn sink() -> ConsumerKind {
    ConsumerKind::Sink
}

/// A value of auditd.conf.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a string or a whole number")]
pub(super) enum ConfValue {
    Word(String),
    Number(i64),
}
