//! One host's lines. In: messages with what stood before them, in order. Out: its boots.
//!
//! It tells boots apart, and who speaks; what is said of a boot goes to its [`Account`]. It must not keep lines.

use std::{hash::BuildHasher as _, sync::LazyLock};

use foldhash::fast::RandomState;

use super::{
    boot::Account,
    daemon::Daemon,
    fact::Fact,
    finder::{Finder, changes, of_audit},
    heard::{self, Heard, StatusLines},
    moment::Moment,
    report::Source,
    scan::{digits, readable},
    stamp::{Speaker, Stamped},
    unit::UnitLines,
};
use crate::untrusted::Untrusted;

/// Boots that are told apart; what comes later is one more.
const MOST_BOOTS: usize = 500;
/// A clock that goes back by less is that of another CPU, microseconds.
const CLOCK_SLACK_US: u64 = 1_000_000;
/// Lines of a trace behind the report of a hung task.
const TRACE_LINES: u64 = 120;
/// Facts that wait until it is clear which boot they belong to.
const MOST_WAITING: usize = 64;

/// A task that is reported, until its trace says where it sleeps.
#[derive(Debug)]
struct Blocked {
    comm: Untrusted,
    pid: u32,
    seconds: Option<u64>,
    line: u64,
    kernel_us: Option<u64>,
    wall: Option<Vec<u8>>,
}

/// A fact of a line whose clock went back: of a new boot, or of a damaged line.
#[derive(Debug)]
struct Waiting {
    facts: Vec<Fact>,
    key: Option<u64>,
    line: u64,
    kernel_us: Option<u64>,
    wall: Option<Vec<u8>>,
}

/// Made once: all readings look for the same words.
pub static FINDER: LazyLock<Finder> = LazyLock::new(Finder::default);

/// The lines of one host.
#[derive(Debug)]
pub struct Log {
    host: Option<Untrusted>,
    boots: Vec<Account>,
    /// The boot that lines belong to.
    now: usize,
    status: StatusLines,
    unit: UnitLines,
    blocked: Option<Blocked>,
    /// A clock that went back, and what was said since.
    back_us: Option<u64>,
    waiting: Vec<Waiting>,
    gaps: u64,
    lines_missing: u64,
    /// The last line that told of a loss, for syslogd's `last message repeated`.
    last: Option<(u64, Fact)>,
    facts: Vec<Fact>,
    hasher: RandomState,
}

impl Log {
    /// A log that begins with a boot.
    #[must_use]
    pub fn new(host: Option<Untrusted>) -> Self {
        Self {
            boots: vec![Account::new(None, host.clone())],
            host,
            last: None,
            now: 0,
            status: StatusLines::default(),
            unit: UnitLines::default(),
            blocked: None,
            back_us: None,
            waiting: Vec::new(),
            gaps: 0,
            lines_missing: 0,
            facts: Vec::new(),
            hasher: RandomState::default(),
        }
    }

    /// The host's name is known.
    pub fn name(&mut self, host: Untrusted) {
        for boot in &mut self.boots {
            boot.name(&host);
        }
        self.host = Some(host);
    }

    /// A line of `auditctl -s`, perhaps.
    pub fn status_line(&mut self, line: &[u8], number: u64) {
        if let Some(status) = self.status.line(line) {
            self.boot().status(status, &Moment::new(number, None, None));
        }
        self.unit.pass(line);
    }

    /// The boots, with numbers from the next one on.
    pub fn end(mut self, source: &mut Source) {
        self.accept_boot();
        source.gaps += self.gaps;
        source.lines_missing = source.lines_missing.saturating_add(self.lines_missing);
        let first = source.boots.len() as u64 + source.quiet_boots + 1;
        for (number, account) in (first..).zip(self.boots) {
            if account.speaks {
                source.lost_at_least = source.lost_at_least.saturating_add(account.lost());
                source.boots.push(account.report(number));
            } else {
                source.quiet_boots += u64::from(account.has_start || account.clock_us.is_some());
            }
        }
    }

    /// A message that may tell something.
    pub fn stamped(&mut self, at: &Moment<'_>, found: &Stamped<'_>) {
        let (found, times) = repeated(found);
        let at = Moment { times, ..*at };
        if let Some(times) = last_repeated(found.message) {
            self.last_again(times, &at);
            return;
        }
        match found.speaker {
            Speaker::Program(b"audit") => {
                let mut facts = std::mem::take(&mut self.facts);
                if found.message.starts_with(b"CONFIG_CHANGE") {
                    changes(found.message, &mut facts);
                }
                for fact in facts.drain(..) {
                    self.boot().fact(fact, &at);
                }
                self.facts = facts;
            }
            Speaker::Program(program) => {
                let heard = match self.status.line(found.message) {
                    Some(status) if matches!(program, b"augenrules" | b"auditctl") => {
                        Some(Heard::Status(status))
                    }
                    _ => heard::heard(program, found.message),
                };
                self.heard(heard, program, &at);
            }
            Speaker::Audit => {
                if let Some(fact) = of_audit(found.message) {
                    self.boot().fact(fact, &at);
                } else {
                    self.kernel(found.message, &at);
                }
            }
            Speaker::Kernel | Speaker::Unknown => {
                self.kernel(found.message, &at);
                if found.speaker == Speaker::Unknown {
                    let status = self.status.line(found.message).map(Heard::Status);
                    let has_failed = self.unit.line(found.message);
                    let failed = has_failed.then_some(Heard::Daemon(Daemon::NotStarted));
                    let heard = status
                        .or(failed)
                        .or_else(|| heard::on_console(found.message));
                    self.heard(heard, b"", &at);
                }
            }
        }
    }

    fn heard(&mut self, heard: Option<Heard>, program: &[u8], at: &Moment<'_>) {
        match heard {
            Some(Heard::Daemon(Daemon::OtherLost)) => self.boot().other_lost(program, at),
            Some(Heard::Other(program)) => self.boot().other_lost(program, at),
            Some(Heard::Daemon(daemon)) => self.boot().daemon(daemon, at),
            Some(Heard::Status(status)) => self.boot().status(status, at),
            Some(Heard::Gap(lines)) => self.gap(lines),
            None => {}
        }
    }

    /// syslogd says that its last line came some times more. That line was of a loss only if it is the one before.
    fn last_again(&mut self, times: u64, at: &Moment<'_>) {
        let before = at.line.checked_sub(1);
        if let Some((line, fact)) = self.last.take()
            && Some(line) == before
        {
            let again = Moment { times, ..*at };
            self.boot().fact(fact, &again);
        }
    }

    fn gap(&mut self, lines: Option<u64>) {
        self.gaps += 1;
        self.lines_missing = self.lines_missing.saturating_add(lines.unwrap_or(0));
    }

    fn kernel(&mut self, message: &[u8], at: &Moment<'_>) {
        let mut facts = std::mem::take(&mut self.facts);
        FINDER.facts(message, &mut facts);
        if facts.is_empty() {
            self.facts = facts;
            return;
        }
        if matches!(facts.first(), Some(Fact::KernelStart { .. })) {
            self.kernel_start();
        }
        let enough = self.back_us.is_none() && self.boot().has_seen_enough();
        let key = at
            .kernel_us
            .filter(|_| !enough)
            .map(|us| self.hasher.hash_one((us, message)));
        if self.back_us.is_some() && self.waiting.len() < MOST_WAITING {
            self.waiting.push(Waiting {
                facts: std::mem::take(&mut facts),
                key,
                line: at.line,
                kernel_us: at.kernel_us,
                wall: at.wall.map(<[u8]>::to_vec),
            });
        } else {
            self.take(&mut facts, key, at);
        }
        self.facts = facts;
    }

    fn take(&mut self, facts: &mut Vec<Fact>, key: Option<u64>, at: &Moment<'_>) {
        if facts.iter().any(is_printed_once) {
            if let Some(key) = key
                && !self.boot().has_seen_any()
            {
                self.repeats(key);
            }
            if !self.boot().see(key, at.kernel_us) {
                facts.clear();
                return;
            }
        }
        if let [fact @ (Fact::Lost { .. } | Fact::Depth { .. } | Fact::Loss(_))] = facts.as_slice()
        {
            self.last = Some((at.line, fact.clone()));
        }
        for fact in facts.drain(..) {
            match fact {
                Fact::Blocked { comm, pid, seconds } => self.report_of(comm, pid, seconds, at),
                Fact::Frame { is_receive } => self.frame(is_receive, at),
                Fact::Gap { lines } => self.gap(lines),
                fact => self.boot().fact(fact, at),
            }
        }
    }

    fn report_of(&mut self, comm: Untrusted, pid: u32, seconds: Option<u64>, at: &Moment<'_>) {
        // The header of the trace names the task again.
        if seconds.is_none()
            && let Some(blocked) = &self.blocked
            && blocked.pid == pid
            && at.line.saturating_sub(blocked.line) <= 8
        {
            return;
        }
        self.blocked = Some(Blocked {
            comm,
            pid,
            seconds,
            line: at.line,
            kernel_us: at.kernel_us,
            wall: at.wall.map(<[u8]>::to_vec),
        });
    }

    fn frame(&mut self, is_receive: bool, at: &Moment<'_>) {
        let Some(task) = self.blocked.take() else {
            return;
        };
        if at.line.saturating_sub(task.line) > TRACE_LINES {
            return;
        }
        let place = if is_receive {
            "audit_receive"
        } else {
            "audit_log_start"
        };
        let reported = Moment::new(task.line, task.kernel_us, task.wall.as_deref());
        self.boot()
            .hung(&task.comm, task.pid, task.seconds, place, &reported);
    }

    /// The boot that lines belong to.
    pub fn boot(&mut self) -> &mut Account {
        &mut self.boots[self.now]
    }

    fn start_boot(&mut self, boot_id: Option<Untrusted>) {
        self.blocked = None;
        if self.boot().is_untouched() {
            let host = self.host.clone();
            *self.boot() = Account::new(boot_id, host);
            return;
        }
        if self.boots.len() >= MOST_BOOTS {
            self.now = self.boots.len() - 1;
            self.boot().clock_us = None;
            return;
        }
        self.boots.push(Account::new(boot_id, self.host.clone()));
        self.now = self.boots.len() - 1;
    }

    /// The kernel's first line: of a boot that the clock has told of already, or of a new one.
    fn kernel_start(&mut self) {
        self.accept_boot();
        let boot = self.boot();
        let has_begun =
            boot.has_start || boot.speaks || boot.clock_us.is_some_and(|us| us > CLOCK_SLACK_US);
        if has_begun && boot.boot_id().is_none() {
            self.start_boot(None);
        }
    }

    /// The kernel's clock is seen.
    pub fn clock(&mut self, us: u64) {
        if self.boot().boot_id().is_some() {
            return;
        }
        let highest = self.boot().clock_us.unwrap_or(0);
        let is_back = us.saturating_add(CLOCK_SLACK_US) < highest;
        match self.back_us {
            None if is_back => self.back_us = Some(us),
            None => self.boot().clock_us = Some(highest.max(us)),
            // The second one: no damaged line.
            Some(_) if is_back => {
                self.accept_boot();
                let boot = self.boot();
                boot.clock_us = boot.clock_us.max(Some(us));
            }
            Some(_) => {
                self.back_us = None;
                self.boot().clock_us = Some(highest.max(us));
                self.release();
            }
        }
    }

    /// A clock that went back was that of a new boot.
    pub fn accept_boot(&mut self) {
        if let Some(us) = self.back_us.take() {
            self.start_boot(None);
            self.boot().clock_us = Some(us);
            self.release();
        }
    }

    fn release(&mut self) {
        for mut waiting in std::mem::take(&mut self.waiting) {
            let at = Moment::new(waiting.line, waiting.kernel_us, waiting.wall.as_deref());
            self.take(&mut waiting.facts, waiting.key, &at);
        }
    }

    /// The same log once more: its losses count once.
    fn repeats(&mut self, key: u64) {
        if self.boots.len() < 2 || self.boot().boot_id().is_some() {
            return;
        }
        let now = self.now;
        let Some(before) = self.boots[..now].iter().position(|boot| boot.has_seen(key)) else {
            return;
        };
        let clock_us = self.boot().clock_us;
        if now + 1 == self.boots.len() {
            self.boots.pop();
        }
        self.now = before;
        let boot = self.boot();
        boot.clock_us = clock_us;
        boot.is_repeated();
    }

    /// `-- Reboot --` and `-- Boot 0123 --` of journalctl.
    pub fn journal_boot(&mut self, line: &[u8]) {
        if line.starts_with(b"-- Reboot --") {
            self.accept_boot();
            self.start_boot(None);
        } else if let Some(id) = line
            .strip_prefix(b"-- Boot ")
            .and_then(|rest| rest.strip_suffix(b" --"))
        {
            self.accept_boot();
            self.boot_of(readable(id, 64));
        }
    }

    /// A line of the boot with that id.
    pub fn boot_of(&mut self, id: Untrusted) {
        if self.boot().boot_id() == Some(&id) {
            return;
        }
        let known = self
            .boots
            .iter()
            .position(|boot| boot.boot_id() == Some(&id));
        let Some(known) = known else {
            return self.start_boot(Some(id));
        };
        self.now = known;
        self.boot().is_repeated();
    }
}

/// `message repeated 4 times: [ audit: backlog limit exceeded]` of rsyslog: the message and how often.
fn repeated<'a>(found: &Stamped<'a>) -> (Stamped<'a>, u64) {
    let inner = found
        .message
        .strip_prefix(b"message repeated ")
        .and_then(digits)
        .and_then(|(times, rest)| {
            let rest = rest.strip_prefix(b" times: [")?;
            Some((times, rest.strip_suffix(b"]").unwrap_or(rest)))
        });
    match inner {
        Some((times, message)) => (
            Stamped {
                message: message.trim_ascii_start(),
                ..*found
            },
            times,
        ),
        None => (*found, 1),
    }
}

/// `last message repeated 7 times` of syslogd.
fn last_repeated(message: &[u8]) -> Option<u64> {
    let (times, rest) = digits(message.strip_prefix(b"last message repeated ")?)?;
    rest.starts_with(b" times").then_some(times)
}

/// Whether a line like that, at one moment, is printed once only.
const fn is_printed_once(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Lost { .. }
            | Fact::Depth { .. }
            | Fact::Loss(_)
            | Fact::Panic { .. }
            | Fact::Blocked { .. }
    )
}
