//! The log of a trace: samples go in; intervals, the recording and the summary come
//! out. It must not write to the terminal.

use anyhow::Result;

use super::{consumer, host, recorder::Recorder, source::Live};
use crate::{
    kernel::facts::Facts,
    recommend::model::evidence::Evidence,
    sample::Sample,
    trace::{
        recording::{self, Begin, End},
        report::{Interval, Summary},
        timeline::Timeline,
    },
};

/// What is known of a trace at its zero point, but for how long it took to get there.
pub(crate) fn begin(live: &Live, facts: &Facts) -> Begin {
    Begin {
        schema: recording::SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: host::host(facts),
        hooks: live.hooks(),
        source_reason: live.reason(),
        notes: live.notes(),
        startup_ns: 0,
        consumer_times: None,
    }
}

/// Where samples go.
pub(crate) struct Log {
    begin: Begin,
    timeline: Timeline,
    recorder: Option<Recorder>,
}

impl Log {
    /// A log that begins with the zero point.
    pub(crate) fn new(mut begin: Begin, zero: Sample, mut recorder: Option<Recorder>) -> Self {
        begin.consumer_times = consumer::times(zero.state.auditd_pid);
        if let Some(recorder) = &mut recorder {
            recorder.begin(&begin, &zero);
        }
        Self {
            timeline: Timeline::new(begin.host.clone(), zero),
            begin,
            recorder,
        }
    }

    /// The interval that ends with a sample.
    pub(crate) fn push(&mut self, sample: Sample) -> Interval {
        if let Some(recorder) = &mut self.recorder {
            recorder.sample(&sample);
        }
        self.timeline.push(sample)
    }

    /// Who takes the records, by the last sample; 0 for nobody.
    pub(crate) const fn auditd_pid(&self) -> Option<u32> {
        self.timeline.auditd_pid()
    }

    /// The summary, and whether all of it was recorded.
    pub(crate) fn end(self, end: End) -> (Summary, Result<()>) {
        let (summary, _, recorded) = self.result(end);
        (summary, recorded)
    }

    /// The summary, the evidence behind its recommendation, and whether all of it was recorded.
    pub(crate) fn result(mut self, mut end: End) -> (Summary, Evidence, Result<()>) {
        end.notes
            .extend(self.recorder.as_ref().and_then(Recorder::note));
        let recorded = self
            .recorder
            .take()
            .map_or(Ok(()), |recorder| recorder.end(&end));
        let (summary, evidence) = recording::result(&self.timeline, &self.begin, end);
        (summary, evidence, recorded)
    }
}
