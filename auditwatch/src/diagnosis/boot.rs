//! One boot of a log. In: its facts, in order. Out: a [`Boot`] of the report.

use std::collections::HashSet;

use super::{
    counter::Counter,
    daemon::Daemon,
    days::Days,
    fact::{Fact, Reason},
    moment::{Moment, is_after},
    report::{Boot, CounterSeen, HungTask, LimitSource, What, When},
    talkers::{Serials, Talkers},
    timeline::Timeline,
};
use crate::untrusted::Untrusted;

mod settings;

/// Lines of a trace behind a report.
const TRACE_LINES: u64 = 120;
/// Hung tasks that are named.
const MOST_TASKS: usize = 200;
/// Limits that are listed.
const MOST_LIMITS: usize = 200;
/// Lines by which a log that is there twice is known.
const MOST_SEEN: usize = 100_000;

/// A shutdown takes less, seconds.
const SHUTDOWN_SECONDS: u64 = 30;

/// What is known of auditd.
#[derive(Clone, Debug, Default)]
enum Auditd {
    #[default]
    Unknown,
    Runs(When),
    Stopped(When),
    Died,
}

/// One boot so far.
#[derive(Debug, Default)]
pub struct Account {
    report: Boot,
    counter: Counter,
    timeline: Timeline,
    talkers: Talkers,
    days: Days,
    serials: Serials,
    auditd: Auditd,
    /// The event that a rule with a key made last.
    wanted_event: Option<u64>,
    /// The limit now.
    limit: Option<u32>,
    /// Losses that were known before the present message.
    lost_before: u64,
    /// Lines in which `kauditd` was reported as stuck: the trace follows.
    stuck_line: Option<u64>,
    /// The line of a negative time.
    timeout_line: Option<u64>,
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
    pub fn new(boot_id: Option<Untrusted>, host: Option<Untrusted>) -> Self {
        Self {
            report: Boot {
                host,
                boot_id,
                ..Boot::default()
            },
            ..Self::default()
        }
    }

    /// The host's name is known.
    pub fn name(&mut self, host: &Untrusted) {
        self.report.host = Some(host.clone());
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
    #[expect(
        clippy::too_many_lines,
        reason = "one arm for each kind of fact, most of a line"
    )]
    pub fn fact(&mut self, fact: Fact, at: &Moment<'_>) {
        self.speaks |= !matches!(
            fact,
            Fact::KernelStart { .. }
                | Fact::CommandLine(_)
                | Fact::Release(_)
                | Fact::NetlinkFrame
                | Fact::ResetFrame
                | Fact::WrongTimeout
                | Fact::AnyFrame
                | Fact::SoftLockup { .. }
                | Fact::OomKilled { .. }
        );
        self.lost_before = self.counter.at_least();
        match fact {
            Fact::KernelStart { release } => {
                self.has_start = true;
                self.report.kernel = Some(release.clone());
                self.report.begin = Some(at.when());
                self.timeline.add(at, What::Boot { kernel: release });
            }
            Fact::Release(release) => {
                self.report.kernel.get_or_insert(release);
            }
            Fact::NetlinkFrame => {
                let is_near = |line| at.line.saturating_sub(line) <= TRACE_LINES;
                self.report.kauditd_stuck_in_netlink |= self.stuck_line.is_some_and(is_near);
            }
            Fact::ResetFrame => {
                self.speaks = true;
                self.fault("auditd_reset");
            }
            Fact::WrongTimeout => self.timeout_line = Some(at.line),
            Fact::AnyFrame => {
                let is_near = |line| at.line.saturating_sub(line) <= TRACE_LINES;
                if self.timeout_line.is_some_and(is_near) {
                    self.speaks = true;
                    self.fault("schedule_timeout");
                }
            }
            Fact::Talker(who) => self.talkers.add(who),
            Fact::Serial(serial) => self.serials.see(serial),
            Fact::ReaderGone => self.daemon(Daemon::Died, at),
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
                self.counter.about_to_lose(at.times);
                self.report.depth_max = self.report.depth_max.max(depth);
                if let Some(limit) = limit {
                    self.limit(limit, LimitSource::Loss, at);
                }
                self.overflow();
                self.lost_row(at, |timeline, limit| timeline.depth(at, depth, limit));
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
                    if reason == Reason::BacklogLimit {
                        self.overflow();
                    }
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
                    self.speaks = true;
                    if comm == "kauditd" {
                        let longest = &mut self.report.kauditd_stuck_seconds;
                        *longest = (*longest).max(Some(seconds));
                        self.stuck_line = Some(at.line);
                    }
                    self.timeline.add(at, What::SoftLockup { comm, seconds });
                }
            }
            Fact::OomKilled { comm } => {
                if comm == "auditd" {
                    self.daemon(Daemon::Killed, at);
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
            self.report.lost_at_rate_limit |= rate_limit > 0;
        }
        if let Some(limit) = limit {
            self.limit(limit, LimitSource::Loss, at);
        }
        self.lost_row(at, |timeline, limit| timeline.lost(at, lost, limit));
    }

    /// A row of losses, with the losses that the present message adds.
    fn lost_row(&mut self, at: &Moment<'_>, put: impl FnOnce(&mut Timeline, Option<u32>)) {
        put(&mut self.timeline, self.limit);
        let more = self.counter.at_least().saturating_sub(self.lost_before);
        self.timeline.add_lost(more);
        // The first counter has the losses before the log as well.
        let is_first = self.counter.first() == self.counter.last();
        self.days.add(at.wall_us, more, is_first);
        self.report.first_loss.get_or_insert_with(|| at.when());
        self.report.last_loss = Some(at.when());
    }

    fn fault(&mut self, name: &'static str) {
        if !self.report.kernel_faults.contains(&name) {
            self.report.kernel_faults.push(name);
        }
    }

    /// The queue was over its limit.
    fn overflow(&mut self) {
        self.report.overflow_limit = self.report.overflow_limit.max(self.limit);
    }

    fn loss(&mut self, reason: Reason, at: &Moment<'_>) {
        if reason != Reason::NoRecord {
            self.counter.message(at.times);
        }
        let lines = self.report.reasons.entry(reason.name()).or_default();
        *lines = lines.saturating_add(at.times);
        if reason == Reason::BacklogLimit {
            self.overflow();
        }
        self.lost_row(at, |timeline, limit| {
            timeline.reason(at, reason.name(), limit);
        });
        if reason == Reason::AuditdGone {
            self.daemon(Daemon::Died, at);
        }
    }

    fn suppressed(&mut self, function: Untrusted, lines: u64, at: &Moment<'_>) {
        self.report.suppressed_lines = self.report.suppressed_lines.saturating_add(lines);
        // These two ask for leave to print only when a record is being lost.
        if matches!(function.as_raw(), "audit_log_start" | "audit_log_lost") {
            self.counter.some_loss();
            self.lost_row(at, |timeline, limit| {
                timeline.suppressed_loss(at, lines, limit);
            });
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
            // A host that shuts down prints some, of services that stop.
            Auditd::Stopped(since) => {
                has_key
                    || at
                        .seconds_since(since)
                        .is_some_and(|seconds| seconds > SHUTDOWN_SECONDS)
            }
        };
        self.report.printed_wanted += u64::from(wanted);
        self.timeline.printed(at, wanted);
    }

    /// Something of auditd.
    pub fn daemon(&mut self, daemon: Daemon, at: &Moment<'_>) {
        self.speaks = true;
        if daemon == Daemon::Failed && matches!(self.auditd, Auditd::Died | Auditd::Stopped(_)) {
            return;
        }
        match daemon {
            Daemon::Started if matches!(self.auditd, Auditd::Runs(_)) => {}
            Daemon::Started => self.auditd = Auditd::Runs(at.when()),
            Daemon::Stopped => self.auditd = Auditd::Stopped(at.when()),
            Daemon::Died | Daemon::Killed | Daemon::Failed => self.auditd = Auditd::Died,
            _ => {}
        }
        if let Some(general) = daemon.is_also() {
            *self.report.auditd.entry(general.name()).or_default() += 1;
        }
        *self.report.auditd.entry(daemon.name()).or_default() += 1;
        self.timeline.auditd(at, daemon.name());
    }

    /// A consumer that is not auditd reports that it lost events.
    pub fn other_lost(&mut self, program: &[u8], at: &Moment<'_>) {
        let program = super::scan::readable(program, 40).into_raw();
        *self.report.consumers.entry(program).or_default() += at.times;
        self.daemon(Daemon::OtherLost, at);
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
        let incidents = self.timeline.incidents();
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
            incidents,
            talkers: self.talkers.report(),
            days: self.days.report(),
            serial_gaps: self.serials.gaps(),
            timeline,
            events_left_out,
            ..self.report
        }
    }
}
