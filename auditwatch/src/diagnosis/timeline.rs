//! What happened, in order. In: facts of one boot. Out: [`Event`]s, where lines of the same trouble are one.
//!
//! It must not judge, nor grow with the log.

use std::collections::BTreeMap;

use super::{
    moment::Moment,
    report::{Event, What, When},
    words,
};
use crate::untrusted::Untrusted;

/// Events that are kept.
const MOST_EVENTS: usize = 500;
/// Events that a line is held against, from the last one back.
const LOOK_BACK: usize = 4;
/// Lines that are further apart are of two events, nanoseconds.
const GAP_NS: u64 = 60_000_000_000;

/// Events so far.
#[derive(Debug, Default)]
pub struct Timeline {
    events: Vec<Event>,
    left_out: u64,
}

impl Timeline {
    /// An event of its own.
    pub fn add(&mut self, at: &Moment<'_>, what: What) {
        if self.events.len() >= MOST_EVENTS {
            self.left_out += 1;
            return;
        }
        self.events.push(Event {
            at: at.when(),
            until: None,
            lines: 1,
            text: String::new(),
            what,
        });
    }

    /// `audit_lost=` with its value.
    pub fn lost(&mut self, at: &Moment<'_>, counter: Option<u32>, limit_now: Option<u32>) {
        self.losses(at, limit_now, |what| {
            let What::Losses {
                counter_first,
                counter_last,
                ..
            } = what
            else {
                return;
            };
            *counter_first = counter_first.or(counter);
            *counter_last = counter.or(*counter_last);
        });
    }

    /// `audit_backlog=` with its value.
    pub fn depth(&mut self, at: &Moment<'_>, depth: Option<u32>, limit_now: Option<u32>) {
        self.losses(at, limit_now, |what| {
            let What::Losses { depth_max, .. } = what else {
                return;
            };
            *depth_max = depth.max(*depth_max);
        });
    }

    /// A reason of a loss.
    pub fn reason(&mut self, at: &Moment<'_>, reason: &'static str, limit_now: Option<u32>) {
        self.losses(at, limit_now, |what| {
            let What::Losses { reasons, .. } = what else {
                return;
            };
            *reasons.entry(reason).or_default() += 1;
        });
    }

    /// Lines that were not printed, by a function that was about to tell of a loss.
    pub fn suppressed_loss(&mut self, at: &Moment<'_>, lines: u64, limit_now: Option<u32>) {
        self.losses(at, limit_now, |what| {
            let What::Losses {
                suppressed_lines, ..
            } = what
            else {
                return;
            };
            *suppressed_lines = suppressed_lines.saturating_add(lines);
        });
    }

    /// The same by any other function.
    pub fn suppressed(&mut self, at: &Moment<'_>, name: Untrusted, lines: u64) {
        let last = self.recent(
            at,
            |what| matches!(what, What::Suppressed { function, .. } if *function == name),
        );
        if let Some(What::Suppressed {
            suppressed_lines, ..
        }) = last
        {
            *suppressed_lines = suppressed_lines.saturating_add(lines);
            return;
        }
        self.add(
            at,
            What::Suppressed {
                function: name,
                suppressed_lines: lines,
            },
        );
    }

    /// A record was printed.
    pub fn printed(&mut self, at: &Moment<'_>, is_wanted: bool) {
        let last = self.recent(
            at,
            |what| matches!(what, What::Printed { wanted, .. } if *wanted == is_wanted),
        );
        if let Some(What::Printed { records, .. }) = last {
            *records += 1;
            return;
        }
        self.add(
            at,
            What::Printed {
                records: 1,
                wanted: is_wanted,
            },
        );
    }

    /// Something of auditd.
    pub fn auditd(&mut self, at: &Moment<'_>, name: &'static str) {
        let is_same = |what: &What| matches!(what, What::Auditd { what } if *what == name);
        if self.recent(at, is_same).is_none() {
            self.add(at, What::Auditd { what: name });
        }
    }

    /// The events, with their words, and how many found no place.
    #[must_use]
    pub fn events(mut self) -> (Vec<Event>, u64) {
        for event in &mut self.events {
            event.text = words::event(&event.what);
        }
        (self.events, self.left_out)
    }

    fn losses(&mut self, at: &Moment<'_>, limit_now: Option<u32>, put: impl Fn(&mut What)) {
        let is_same = |what: &What| {
            matches!(what, What::Losses { limit, .. }
                if limit.is_none() || limit_now.is_none() || *limit == limit_now)
        };
        if let Some(what) = self.recent(at, is_same) {
            if let What::Losses { limit, .. } = what {
                *limit = limit.or(limit_now);
            }
            put(what);
            return;
        }
        let mut what = What::Losses {
            counter_first: None,
            counter_last: None,
            depth_max: None,
            limit: limit_now,
            reasons: BTreeMap::new(),
            suppressed_lines: 0,
        };
        put(&mut what);
        self.add(at, what);
    }

    /// The event that a line goes on with, which is noted.
    fn recent(&mut self, at: &Moment<'_>, is_same: impl Fn(&What) -> bool) -> Option<&mut What> {
        let event = self
            .events
            .iter_mut()
            .rev()
            .take(LOOK_BACK)
            // What divides a time in two is not looked past.
            .take_while(|event| !matches!(event.what, What::Boot { .. } | What::Panic { .. }))
            .find(|event| is_same(&event.what))?;
        let last = event.until.as_ref().unwrap_or(&event.at);
        let now_ns = at.kernel_us.map(|us| us.saturating_mul(1000));
        if let (Some(last), Some(now)) = (last.kernel_ns, now_ns)
            && now.saturating_sub(last) > GAP_NS
        {
            return None;
        }
        event.lines += 1;
        let until = event.until.get_or_insert_with(When::default);
        until.line = at.line;
        until.kernel_ns = now_ns.or(until.kernel_ns);
        if let Some(wall) = at.wall {
            until.wall = Some(super::scan::readable(wall, 40));
        }
        Some(&mut event.what)
    }
}
