//! One boot of a log. In: its facts, in order. Out: a [`Boot`] of the report.

use std::collections::HashSet;

use super::{
    counter::Counter,
    daemon::{Daemon, Status},
    fact::{Fact, Reason, Setting},
    moment::{Moment, is_after},
    report::{Boot, CounterSeen, HungTask, LimitSeen, LimitSource, What, When},
    timeline::Timeline,
};
use crate::untrusted::Untrusted;

/// Hung tasks that are named.
const MOST_TASKS: usize = 200;
/// Limits that are listed.
const MOST_LIMITS: usize = 200;
/// Lines by which a log that is there twice is known.
const MOST_SEEN: usize = 100_000;

/// What is known of auditd.
#[derive(Clone, Debug, Default)]
enum Auditd {
    #[default]
    Unknown,
    Runs(When),
    Stopped,
    Died,
}

/// One boot so far.
#[derive(Debug, Default)]
pub struct Account {
    report: Boot,
    counter: Counter,
    timeline: Timeline,
    auditd: Auditd,
    /// The event that a rule with a key made last.
    wanted_event: Option<u64>,
    /// The limit now.
    limit: Option<u32>,
    /// A limit that may be the present one with its last digits cut off.
    cut_limit: Option<u32>,
    /// Lines that are printed once only, so that one that is there twice counts once.
    seen: HashSet<u64, foldhash::fast::RandomState>,
    /// The last line that is printed once only, by the kernel's clock, microseconds.
    last_us: Option<u64>,
    /// Up to where the log tells of it a second time.
    repeated_until_us: Option<u64>,
    /// The kernel's clock at its highest, microseconds.
    pub clock_us: Option<u64>,
    /// Whether the kernel's first line was seen.
    pub has_start: bool,
    /// Whether anything was said of audit.
    pub speaks: bool,
}

impl Account {
    /// A boot that has just begun.
    #[must_use]
    pub fn new(boot_id: Option<Untrusted>) -> Self {
        Self {
            report: Boot {
                boot_id,
                ..Boot::default()
            },
            ..Self::default()
        }
    }

    /// The journal's id of it.
    #[must_use]
    pub fn boot_id(&self) -> Option<&Untrusted> {
        self.report.boot_id.as_ref()
    }

    /// Losses that are certain.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.counter.at_least()
    }

    /// Whether nothing was said of it yet.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        !self.speaks && !self.has_start && self.clock_us.is_none() && self.boot_id().is_none()
    }

    /// Whether there was a line that is printed once only.
    #[must_use]
    pub fn has_seen_any(&self) -> bool {
        !self.seen.is_empty()
    }

    /// Whether a line that is printed once only was there before.
    #[must_use]
    pub fn has_seen(&self, line: u64) -> bool {
        self.seen.contains(&line)
    }

    /// Whether no more of them are remembered.
    #[must_use]
    pub fn has_seen_enough(&self) -> bool {
        self.seen.len() >= MOST_SEEN
    }

    /// Remembers a line that is printed once only; whether it is new.
    pub fn see(&mut self, line: Option<u64>, clock_us: Option<u64>) -> bool {
        if clock_us.is_some() && clock_us <= self.repeated_until_us {
            return false;
        }
        self.last_us = self.last_us.max(clock_us);
        line.is_none_or(|line| self.seen.insert(line))
    }

    /// The log tells of it once more, from wherever: what it told already does not count again.
    pub fn is_repeated(&mut self) {
        self.repeated_until_us = self.last_us;
    }

    /// Takes a fact of the kernel.
    pub fn fact(&mut self, fact: Fact, at: &Moment<'_>) {
        self.speaks |= !matches!(fact, Fact::KernelStart { .. } | Fact::CommandLine(_));
        match fact {
            Fact::KernelStart { release } => {
                self.has_start = true;
                self.report.kernel = Some(release.clone());
                self.timeline.add(at, What::Boot { kernel: release });
            }
            Fact::CommandLine(boot) => {
                self.report.audit_at_boot = Some(boot.on);
                if let Some(limit) = boot.backlog_limit {
                    self.report.boot_limit = Some(limit);
                    self.limit(limit, LimitSource::CommandLine, at);
                }
            }
            Fact::BootLimit(limit) => {
                self.report.boot_limit = Some(limit);
                self.limit(limit, LimitSource::CommandLine, at);
            }
            Fact::Initialized { enabled: true } => self.report.audit_at_boot = Some(true),
            Fact::Initialized { enabled: false } => {
                // A later line may say otherwise: `enabled (after initialization)`.
                self.report.audit_at_boot.get_or_insert(false);
            }
            Fact::Off => self.setting("audit_enabled", 0, None, true, at),
            Fact::Lost {
                lost,
                rate_limit,
                limit,
            } => self.lost_line(lost, rate_limit, limit, at),
            Fact::Depth { depth, limit } => {
                self.counter.about_to_lose();
                self.report.depth_max = self.report.depth_max.max(depth);
                if let Some(limit) = limit {
                    self.limit(limit, LimitSource::Loss, at);
                }
                self.timeline.depth(at, depth, self.limit);
            }
            Fact::Loss(reason) => self.loss(reason, at),
            Fact::Error(message) => self.timeline.add(at, What::Error { message }),
            Fact::Suppressed { function, lines } => self.suppressed(function, lines, at),
            Fact::Printed {
                record_type,
                serial,
                has_key,
            } => self.printed(record_type, serial, has_key, at),
            Fact::Change {
                setting,
                new,
                old,
                done,
            } => self.change(setting, new, old, done, at),
            Fact::Panic { message, reason } => {
                if let Some(reason) = reason {
                    self.counter.some_loss();
                    *self.report.reasons.entry(reason.name()).or_default() += 1;
                    self.report.failure = Some(2);
                }
                self.report.panicked(format!("audit: {}", message.as_raw()));
                self.timeline.add(at, What::Panic { message });
            }
            Fact::HungTaskPanic => {
                // Of interest only where audit is what the tasks hung in.
                if !self.report.hung_tasks.is_empty() {
                    let message = Untrusted::from("hung_task: blocked tasks");
                    self.report.panicked(message.clone());
                    self.timeline.add(at, What::Panic { message });
                }
            }
            Fact::SoftLockup { comm, seconds, .. } => {
                if ["kauditd", "auditd", "auditctl", "augenrules"].contains(&comm.as_raw()) {
                    self.timeline.add(at, What::SoftLockup { comm, seconds });
                }
            }
            Fact::OomKilled { comm } => {
                if comm == "auditd" {
                    self.daemon(Daemon::Died, at);
                }
            }
            Fact::NoDaemon { is_loss } => {
                if is_loss {
                    self.counter.some_loss();
                    self.daemon(Daemon::Died, at);
                } else {
                    self.daemon(Daemon::Refused, at);
                }
            }
            // Put together by the reading.
            Fact::Blocked { .. } | Fact::Frame { .. } | Fact::Gap { .. } => {}
        }
    }

    fn lost_line(
        &mut self,
        lost: Option<u32>,
        rate_limit: Option<u32>,
        limit: Option<u32>,
        at: &Moment<'_>,
    ) {
        match lost {
            Some(lost) => {
                self.counter.sight(lost, at.kernel_us);
            }
            None => self.counter.some_loss(),
        }
        if let Some(rate_limit) = rate_limit {
            self.report.rate_limit = Some(rate_limit);
        }
        if let Some(limit) = limit {
            self.limit(limit, LimitSource::Loss, at);
        }
        self.timeline.lost(at, lost, self.limit);
    }

    fn loss(&mut self, reason: Reason, at: &Moment<'_>) {
        if reason != Reason::NoRecord {
            self.counter.message();
        }
        *self.report.reasons.entry(reason.name()).or_default() += 1;
        self.timeline.reason(at, reason.name(), self.limit);
        if reason == Reason::AuditdGone {
            self.daemon(Daemon::Died, at);
        }
    }

    fn suppressed(&mut self, function: Untrusted, lines: u64, at: &Moment<'_>) {
        self.report.suppressed_lines = self.report.suppressed_lines.saturating_add(lines);
        // These two ask for leave to print only when a record is being lost.
        if matches!(function.as_raw(), "audit_log_start" | "audit_log_lost") {
            self.counter.some_loss();
            self.timeline.suppressed_loss(at, lines, self.limit);
        } else {
            self.timeline.suppressed(at, function, lines);
        }
    }

    fn printed(&mut self, record_type: u32, serial: Option<u64>, has_key: bool, at: &Moment<'_>) {
        // The kernel's own first record, which is always printed.
        if record_type == 2000 {
            return;
        }
        self.report.printed_records += 1;
        // The key stands in the first record of an event.
        if has_key {
            self.wanted_event = serial;
        }
        let has_key = has_key || (serial.is_some() && serial == self.wanted_event);
        let wanted = match &self.auditd {
            Auditd::Runs(since) => is_after(since, at),
            Auditd::Died => true,
            Auditd::Unknown => has_key,
            Auditd::Stopped => false,
        };
        self.report.printed_wanted += u64::from(wanted);
        self.timeline.printed(at, wanted);
    }

    fn change(
        &mut self,
        setting: Setting,
        new: u32,
        old: Option<u32>,
        done: bool,
        at: &Moment<'_>,
    ) {
        if !done {
            self.setting(name(setting), new, old, false, at);
            return;
        }
        match setting {
            Setting::BacklogLimit => {
                if self.limit.is_none()
                    && let Some(old) = old
                    && old != new
                {
                    self.limit = Some(old);
                    self.list_limit(old, LimitSource::Change, at);
                }
                self.cut_limit = None;
                if self.limit != Some(new) {
                    self.set_limit(new, LimitSource::Change, at);
                }
                return;
            }
            Setting::Failure => self.report.failure = Some(new),
            Setting::Enabled => self.report.enabled = Some(new),
            Setting::RateLimit => self.report.rate_limit = Some(new),
            Setting::WaitTime => self.report.wait_time_jiffies = Some(new),
            Setting::Pid => {
                self.daemon(
                    if new == 0 {
                        Daemon::Stopped
                    } else {
                        Daemon::Started
                    },
                    at,
                );
                return;
            }
            Setting::Lost => self.counter.reset(old, at.kernel_us),
        }
        self.setting(name(setting), new, old, true, at);
    }

    fn setting(
        &mut self,
        name: &'static str,
        value: u32,
        old: Option<u32>,
        done: bool,
        at: &Moment<'_>,
    ) {
        self.timeline.add(
            at,
            What::Setting {
                name,
                value,
                old,
                done,
            },
        );
    }

    /// A limit is seen. One that could be the present one with digits cut off is believed the second time.
    fn limit(&mut self, limit: u32, source: LimitSource, at: &Moment<'_>) {
        if self.limit == Some(limit) {
            self.cut_limit = None;
            return;
        }
        let may_be_cut = source == LimitSource::Loss
            && self.limit.is_some_and(|now| {
                let (now, limit) = (now.to_string(), limit.to_string());
                now.len() > limit.len() && now.starts_with(&limit)
            });
        if may_be_cut && self.cut_limit.replace(limit) != Some(limit) {
            return;
        }
        self.cut_limit = None;
        self.set_limit(limit, source, at);
    }

    fn set_limit(&mut self, limit: u32, source: LimitSource, at: &Moment<'_>) {
        let old = self.limit.replace(limit);
        self.list_limit(limit, source, at);
        // The first one of a loss stands with the loss.
        if old.is_some() || source != LimitSource::Loss {
            self.setting("audit_backlog_limit", limit, old, true, at);
        }
    }

    fn list_limit(&mut self, limit: u32, source: LimitSource, at: &Moment<'_>) {
        if self.report.limits.len() < MOST_LIMITS {
            self.report.limits.push(LimitSeen {
                at: at.when(),
                limit,
                source,
            });
        }
    }

    /// The settings as `auditctl -s` shows them.
    pub fn status(&mut self, status: Status, at: &Moment<'_>) {
        self.speaks = true;
        if let Some(limit) = status.backlog_limit {
            self.cut_limit = None;
            if self.limit != Some(limit) {
                self.set_limit(limit, LimitSource::Status, at);
            }
        }
        if let Some(failure) = status.failure
            && self.report.failure.replace(failure) != Some(failure)
            && failure == 2
        {
            self.setting("audit_failure", failure, None, true, at);
        }
        self.report.enabled = status.enabled.or(self.report.enabled);
        self.report.rate_limit = status.rate_limit.or(self.report.rate_limit);
        if let Some(lost) = status.lost
            && self.counter.sight(lost, at.kernel_us)
            && lost > 0
        {
            self.timeline.lost(at, Some(lost), self.limit);
        }
        match status.pid {
            Some(0) | None => {}
            Some(_) if matches!(self.auditd, Auditd::Runs(_)) => {}
            Some(_) => self.auditd = Auditd::Runs(at.when()),
        }
    }

    /// Something of auditd.
    pub fn daemon(&mut self, daemon: Daemon, at: &Moment<'_>) {
        self.speaks = true;
        match daemon {
            Daemon::Started if matches!(self.auditd, Auditd::Runs(_)) => {}
            Daemon::Started => self.auditd = Auditd::Runs(at.when()),
            Daemon::Stopped => self.auditd = Auditd::Stopped,
            Daemon::Died => self.auditd = Auditd::Died,
            _ => {}
        }
        *self.report.auditd.entry(daemon.name()).or_default() += 1;
        self.timeline.auditd(at, daemon.name());
    }

    /// A task that hangs in audit.
    pub fn hung(
        &mut self,
        comm: &Untrusted,
        pid: u32,
        seconds: Option<u64>,
        place: &'static str,
        at: &Moment<'_>,
    ) {
        self.speaks = true;
        let known = self
            .report
            .hung_tasks
            .iter_mut()
            .find(|task| task.pid == pid && task.comm == *comm);
        if let Some(task) = known {
            task.seconds = task.seconds.max(seconds);
            task.reports += 1;
        } else if self.report.hung_tasks.len() < MOST_TASKS {
            self.report.hung_tasks.push(HungTask {
                at: at.when(),
                comm: comm.clone(),
                pid,
                seconds,
                reports: 1,
                place,
            });
        }
        self.timeline.add(
            at,
            What::HungTask {
                comm: comm.clone(),
                pid,
                seconds,
                place,
            },
        );
    }

    /// What is known, at the end.
    #[must_use]
    pub fn report(self, number: u64) -> Boot {
        let counter = &self.counter;
        let (timeline, events_left_out) = self.timeline.events();
        Boot {
            number,
            lost_at_least: counter.at_least(),
            counter: counter
                .first()
                .zip(counter.last())
                .map(|(first, last)| CounterSeen {
                    first,
                    last,
                    resets: counter.resets(),
                    unconfirmed: counter.unconfirmed(),
                }),
            timeline,
            events_left_out,
            ..self.report
        }
    }
}

const fn name(setting: Setting) -> &'static str {
    match setting {
        Setting::BacklogLimit => "audit_backlog_limit",
        Setting::Failure => "audit_failure",
        Setting::Enabled => "audit_enabled",
        Setting::RateLimit => "audit_rate_limit",
        Setting::WaitTime => "audit_backlog_wait_time",
        Setting::Pid => "audit_pid",
        Setting::Lost => "lost",
    }
}
