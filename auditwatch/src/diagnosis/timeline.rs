//! What happened, in order. In: facts of one boot. Out: [`Event`]s, where lines of the same trouble are one.
//!
//! It must not judge, nor grow with the log.

use std::collections::BTreeMap;

use super::{
    moment::{Moment, seconds_between},
    report::{Event, What, When},
    words,
};
use crate::untrusted::Untrusted;

/// Events that are kept.
const MOST_EVENTS: usize = 500;
/// Events that a line is held against, from the last one back.
const LOOK_BACK: usize = 4;
/// Lines that are further apart are of two events, seconds. While records are lost the kernel prints some lines each
/// five seconds.
const GAP_S: u64 = 30;

/// Events so far.
#[derive(Debug, Default)]
pub struct Timeline {
    events: Vec<Event>,
    left_out: u64,
    /// Times in which records were lost.
    incidents: u64,
    /// The last sign of a loss that found no place.
    last_left_out: Option<When>,
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
            lines: at.times,
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

    /// Losses of the row that was touched last.
    pub fn add_lost(&mut self, more: u64) {
        if self.last_left_out.is_some() {
            return;
        }
        let last = self.events.iter_mut().rev().take(LOOK_BACK);
        for event in last {
            if let What::Losses { lost, .. } = &mut event.what {
                *lost = lost.saturating_add(more);
                return;
            }
        }
    }

    /// Times in which records were lost.
    #[must_use]
    pub const fn incidents(&self) -> u64 {
        self.incidents
    }

    /// A reason of a loss.
    pub fn reason(&mut self, at: &Moment<'_>, reason: &'static str, limit_now: Option<u32>) {
        self.losses(at, limit_now, |what| {
            let What::Losses { reasons, .. } = what else {
                return;
            };
            let lines = reasons.entry(reason).or_default();
            *lines = lines.saturating_add(at.times);
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
        let mut is_first = true;
        for event in &mut self.events {
            if let What::Losses {
                seconds,
                lost,
                counter_first,
                counter_last,
                ..
            } = &mut event.what
            {
                let until = event.until.as_ref().unwrap_or(&event.at);
                *seconds = seconds_between(&event.at, until);
                // What the first counter says may be of before the log.
                if let (Some(first), Some(last)) = (*counter_first, *counter_last)
                    && last >= first
                    && is_first
                {
                    // One sighting of the counter says nothing of this time alone.
                    *lost = match u64::from(last - first) {
                        0 if *lost > 1 => 0,
                        apart => (*lost).min(apart + 1),
                    };
                }
                is_first = false;
            }
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
            lost: 0,
            seconds: None,
        };
        put(&mut what);
        if self.events.len() >= MOST_EVENTS {
            // Of a time that was left out already, or of a new one.
            let is_new = self.last_left_out.as_ref().is_none_or(|last| {
                at.seconds_since(last)
                    .is_some_and(|seconds| seconds > GAP_S)
            });
            self.incidents += u64::from(is_new);
            self.left_out += u64::from(is_new);
            self.last_left_out = Some(at.when());
            return;
        }
        self.incidents += 1;
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
        if at
            .seconds_since(last)
            .is_some_and(|seconds| seconds > GAP_S)
        {
            return None;
        }
        event.lines = event.lines.saturating_add(at.times);
        let until = event.until.get_or_insert_with(When::default);
        until.line = at.line;
        until.kernel_ns = at
            .kernel_us
            .map(|us| us.saturating_mul(1000))
            .or(until.kernel_ns);
        until.wall_us = at.wall_us.or(until.wall_us);
        if let Some(wall) = at.wall {
            until.wall = Some(super::scan::readable(wall, 40));
        }
        Some(&mut event.what)
    }
}
