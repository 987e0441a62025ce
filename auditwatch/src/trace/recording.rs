//! Recordings: a trace as it was sampled, to be summed up again later.
//!
//! In: lines of JSON, the first a [`Begin`], then [`Sample`]s, then perhaps an
//! [`End`]. Out: the same as values, or what is wrong with which line. Pure: the
//! file and its compression are `recorder`'s. A recording that breaks off in the
//! middle, as one does whose recorder was killed, is whole up to there.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    auditd::{ConsumerSetup, CpuTimes},
    hooks::health::HookReport,
    recommend::{Options, model::evidence::Evidence, recommend},
    sample::{Sample, footprint::Footprint},
    trace::{
        command_cost::{self, CommandTimes},
        report::{Interval, Summary},
        timeline::{Host, Timeline},
    },
};

mod bounds;

pub use bounds::{Excess, MAX_LINE_BYTES};

/// Version of the format; lines and keys are only ever added to it.
pub const SCHEMA: u32 = 1;

/// What is known before the first sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// Version of the format.
    pub schema: u32,
    /// Version of the auditwatch that recorded it.
    pub version: String,
    /// The host.
    pub host: Host,
    /// What became of each hook.
    pub hooks: Vec<HookReport>,
    /// Why the source is not the preferred one.
    pub source_reason: Option<String>,
    /// What is known of the source beside the samples.
    pub notes: Vec<String>,
    /// Time from the start of the process to the zero point, ns.
    pub startup_ns: u64,
    /// What the consumer had had of the CPUs by then; `None` where that cannot be read, and in
    /// recordings before it was.
    #[serde(default)]
    pub consumer_times: Option<CpuTimes>,
}

/// What is known after the last sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// What is known of the source beside the samples.
    pub notes: Vec<String>,
    /// How long the traced command ran; `None` without one.
    pub command: Option<CommandTimes>,
    /// Who took the records, and its set-up; `None` where nobody did, and in recordings before it
    /// was looked at.
    #[serde(default)]
    pub consumer: Option<ConsumerSetup>,
    /// What tracing itself added to the audit trail; `None` where nothing was loaded, and in recordings before it was
    /// counted.
    #[serde(default)]
    pub own: Option<Footprint>,
    /// Whether all that made the load is known to have ended, other than by `command`.
    #[serde(default)]
    pub load_has_ended: bool,
}

/// One line of a recording: an object with one key, which says what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(
    clippy::large_enum_variant,
    reason = "lines are made and used one at a time"
)]
pub enum Line {
    /// The first.
    Begin(Begin),
    /// Everything as read at one moment; the first one is the zero point.
    Sample(Sample),
    /// The last, of a trace that came to its end.
    End(End),
}

/// What is wrong with a recording.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// It does not begin as one.
    #[error("it is not a recording of auditwatch; `trace --record FILE` makes one")]
    NoBegin,
    /// It was made by a later version.
    #[error(
        "the recording has format {found}, and this auditwatch reads up to {SCHEMA}: use a later version"
    )]
    TooNew {
        /// Its format.
        found: u32,
    },
    /// There is no zero point in it.
    #[error("the recording is cut off before its first sample: there is nothing to summarize")]
    NoSample,
    /// A line makes no sense.
    #[error("cannot parse line {number} of the recording")]
    Line {
        /// Its number, from 1.
        number: u64,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A line has something that no trace can have.
    #[error("cannot parse line {number} of the recording: {excess}")]
    Excess {
        /// Its number, from 1.
        number: u64,
        /// What it has too much of.
        excess: Excess,
    },
    /// A line is out of order.
    #[error("line {number} of the recording is out of order: {what}")]
    Order {
        /// Its number, from 1.
        number: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// Reads a recording line by line, and builds its timeline.
#[derive(Debug, Default)]
pub struct Replay {
    number: u64,
    begin: Option<Begin>,
    timeline: Option<Timeline>,
    end: Option<End>,
}

impl Replay {
    /// Takes the next line; returns the interval that it completes, if it does.
    ///
    /// # Errors
    /// When it is no line of a recording, or out of order.
    pub fn line(&mut self, text: &[u8]) -> Result<Option<Interval>, RecordingError> {
        self.number += 1;
        let number = self.number;
        let order = |what| RecordingError::Order { number, what };
        let wrong = |source| match self.begin {
            None => RecordingError::NoBegin,
            Some(_) => RecordingError::Line { number, source },
        };
        // Before anything is made of it: what is not looked at can be of any size.
        if let Some(excess) = bounds::excess(text).map_err(wrong)? {
            return Err(RecordingError::Excess { number, excess });
        }
        let line = serde_json::from_slice(text).map_err(wrong)?;
        if self.end.is_some() {
            return Err(order("something comes after its end"));
        }
        match (line, &self.begin, &mut self.timeline) {
            (Line::Begin(begin), None, _) => {
                if begin.schema > SCHEMA {
                    return Err(RecordingError::TooNew {
                        found: begin.schema,
                    });
                }
                self.begin = Some(begin);
                Ok(None)
            }
            (_, None, _) => Err(RecordingError::NoBegin),
            (Line::Begin(_), Some(_), _) => Err(order("it begins twice")),
            (Line::Sample(zero), Some(begin), None) => {
                self.timeline = Some(Timeline::new(begin.host.clone(), zero));
                Ok(None)
            }
            (Line::Sample(sample), _, Some(timeline)) => {
                if sample.at_ns < timeline.now_ns() {
                    return Err(order("its time lies before that of the sample before"));
                }
                Ok(Some(timeline.push(sample)))
            }
            (Line::End(end), ..) => {
                self.end = Some(end);
                Ok(None)
            }
        }
    }

    /// Lines taken so far.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.number
    }

    /// Whether the trace came to its end within the recording.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.end.is_some()
    }

    /// The summary, which is the one that the trace ended with.
    ///
    /// # Errors
    /// When there is not even a zero point.
    pub fn summary(self) -> Result<Summary, RecordingError> {
        self.result().map(|(summary, _)| summary)
    }

    /// The summary, and what bears on the limit that the load would have needed.
    ///
    /// # Errors
    /// As [`Replay::summary`].
    pub fn result(self) -> Result<(Summary, Evidence), RecordingError> {
        let begin = self.begin.ok_or(RecordingError::NoBegin)?;
        let timeline = self.timeline.ok_or(RecordingError::NoSample)?;
        let breaks_off = self.end.is_none();
        let end = self.end.unwrap_or_else(|| {
            let mut notes = begin.notes.clone();
            notes.push("the recording is cut off: the trace did not end normally".to_owned());
            End {
                notes,
                command: None,
                consumer: None,
                own: None,
                load_has_ended: false,
            }
        });
        Ok(sum_up(&timeline, &begin, end, breaks_off))
    }
}

/// The summary of a trace that came to its end, and the evidence behind its recommendation.
#[must_use]
pub fn result(timeline: &Timeline, begin: &Begin, end: End) -> (Summary, Evidence) {
    sum_up(timeline, begin, end, false)
}

fn sum_up(timeline: &Timeline, begin: &Begin, end: End, breaks_off: bool) -> (Summary, Evidence) {
    // What its children used is known once it has ended.
    let load_has_ended =
        end.load_has_ended || end.command.is_some_and(|times| times.user_ns.is_some());
    let setup = end.consumer;
    let mut summary = timeline.summary(begin.hooks.clone(), begin.source_reason.clone(), end.notes);
    summary.startup_ns = Some(begin.startup_ns);
    summary.own = end.own;
    summary.command = timeline
        .command()
        .map(|counts| command_cost::cost(counts, end.command));
    let mut evidence = timeline.evidence(&summary, load_has_ended);
    evidence.consumer_times = setup
        .as_ref()
        .and_then(|setup| setup.times?.since(begin.consumer_times.as_ref()?));
    evidence.setup = setup;
    evidence.doubts.breaks_off = breaks_off;
    summary.recommendation = Some(recommend(&evidence, &Options::default()));
    (summary, evidence)
}
