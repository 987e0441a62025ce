//! Reads one log. In: its bytes, in pieces of any size. Out: a [`Source`] of the report.
//!
//! It tells boots apart, and who speaks; what is said of a boot goes to its [`Account`]. A line at a time: it
//! must not keep lines.

use std::{hash::BuildHasher as _, sync::LazyLock};

use foldhash::fast::RandomState;

use super::{
    boot::Account,
    daemon::{self, Heard, StatusLines},
    fact::Fact,
    feed::{Entry, Feed, Piece},
    finder::{Finder, changes},
    moment::Moment,
    report::Source,
    scan::readable,
    stamp::{Speaker, Stamped, clean, clock, stamped},
    utc,
};
use crate::untrusted::Untrusted;

/// Boots that are told apart; what comes later is one more.
const MOST_BOOTS: usize = 500;
/// A clock that goes back by less is that of another CPU, microseconds.
const CLOCK_SLACK_US: u64 = 1_000_000;
/// Lines of a trace behind the report of a hung task.
const TRACE_LINES: u64 = 120;
/// Below it a line is none of those that tell something: the shortest are `[0.0]` and `lost 0`.
const SHORTEST_LINE: usize = 5;
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

/// A log that is being read.
#[derive(Debug)]
pub struct Reading {
    name: String,
    feed: Feed,
    log: Log,
    /// Whether the last byte ended a line.
    ends_line: bool,
}

impl Reading {
    /// A log of that name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            feed: Feed::default(),
            log: Log::new(),
            ends_line: true,
        }
    }

    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if let Some(&last) = bytes.last() {
            self.ends_line = last == b'\n';
        }
        let log = &mut self.log;
        self.feed
            .push(bytes, &mut |number, piece| log.piece(number, &piece));
    }

    /// What was pushed ends here; what comes next begins a line.
    pub fn break_line(&mut self) {
        if !self.ends_line {
            self.push(b"\n");
        }
    }

    /// The log ends.
    #[must_use]
    pub fn end(mut self) -> Source {
        let log = &mut self.log;
        self.feed
            .end(&mut |number, piece| log.piece(number, &piece));
        self.log.accept_boot();
        let mut source = Source {
            name: self.name,
            lines: self.feed.lines(),
            bytes: self.feed.bytes(),
            gaps: self.log.gaps,
            lines_missing: self.log.lines_missing,
            ..Source::default()
        };
        for (number, account) in (1..).zip(self.log.boots) {
            if account.speaks {
                source.lost_at_least += account.lost();
                source.boots.push(account.report(number));
            } else {
                source.quiet_boots += u64::from(account.has_start || account.clock_us.is_some());
            }
        }
        source
    }
}

/// Made once: all readings look for the same words.
static FINDER: LazyLock<Finder> = LazyLock::new(Finder::default);

#[derive(Debug)]
struct Log {
    boots: Vec<Account>,
    /// The boot that lines belong to.
    now: usize,
    status: StatusLines,
    blocked: Option<Blocked>,
    /// A clock that went back, and what was said since.
    back_us: Option<u64>,
    waiting: Vec<Waiting>,
    gaps: u64,
    lines_missing: u64,
    facts: Vec<Fact>,
    hasher: RandomState,
}

impl Log {
    /// A log that begins with a boot.
    fn new() -> Self {
        Self {
            boots: vec![Account::new(None)],
            now: 0,
            status: StatusLines::default(),
            blocked: None,
            back_us: None,
            waiting: Vec::new(),
            gaps: 0,
            lines_missing: 0,
            facts: Vec::new(),
            hasher: RandomState::default(),
        }
    }

    fn piece(&mut self, number: u64, piece: &Piece<'_>) {
        match piece {
            Piece::Line(line) => self.line(number, line),
            Piece::Entry(entry) => self.entry(number, entry),
        }
    }

    fn line(&mut self, number: u64, line: &[u8]) {
        if line.len() < SHORTEST_LINE {
            return;
        }
        if !FINDER.may_tell(line) {
            // Of interest for its clock only, or as one of the short lines of `auditctl -s`.
            if let Some(us) = clock(line) {
                self.clock(us);
            } else if line.starts_with(b"-- ") {
                self.journal_boot(line);
            } else if let Some(status) = self.status.line(line) {
                let at = Moment {
                    line: number,
                    kernel_us: None,
                    wall: None,
                };
                self.boot().status(status, &at);
            }
            return;
        }
        let line = clean(line);
        let found = stamped(&line);
        if let Some(us) = found.kernel_us {
            self.clock(us);
        }
        self.stamped(number, &found);
    }

    fn entry(&mut self, number: u64, entry: &Entry) {
        if !entry.boot.is_empty() {
            self.boot_of(readable(&entry.boot, 64));
        } else if let Some(us) = entry.monotonic_us {
            self.clock(us);
        }
        let speaker = match entry.transport.as_slice() {
            b"kernel" => Speaker::Kernel,
            b"audit" => Speaker::Program(b"audit"),
            _ if entry.identifier == b"kernel" => Speaker::Kernel,
            _ => Speaker::Program(&entry.identifier),
        };
        let mut wall = None;
        for message in entry.message.split(|&byte| byte == b'\n') {
            if !FINDER.may_tell(message) && speaker != Speaker::Program(b"augenrules") {
                continue;
            }
            let message = clean(message);
            let wall: &String =
                wall.get_or_insert_with(|| entry.realtime_us.map_or_else(String::new, utc::text));
            let found = Stamped {
                kernel_us: entry.monotonic_us,
                wall: (!wall.is_empty()).then_some(wall.as_bytes()),
                speaker,
                message: &message,
            };
            self.stamped(number, &found);
        }
    }

    /// A message that may tell something.
    fn stamped(&mut self, number: u64, found: &Stamped<'_>) {
        let at = Moment {
            line: number,
            kernel_us: found.kernel_us,
            wall: found.wall,
        };
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
                    _ => daemon::heard(program, found.message),
                };
                self.heard(heard, &at);
            }
            Speaker::Kernel | Speaker::Unknown => {
                self.kernel(found.message, &at);
                if found.speaker == Speaker::Unknown {
                    let status = self.status.line(found.message).map(Heard::Status);
                    let heard = status.or_else(|| daemon::on_console(found.message));
                    self.heard(heard, &at);
                }
            }
        }
    }

    fn heard(&mut self, heard: Option<Heard>, at: &Moment<'_>) {
        match heard {
            Some(Heard::Daemon(daemon)) => self.boot().daemon(daemon, at),
            Some(Heard::Status(status)) => self.boot().status(status, at),
            Some(Heard::Gap(lines)) => self.gap(lines),
            None => {}
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
        let reported = Moment {
            line: task.line,
            kernel_us: task.kernel_us,
            wall: task.wall.as_deref(),
        };
        self.boot()
            .hung(&task.comm, task.pid, task.seconds, place, &reported);
    }

    fn boot(&mut self) -> &mut Account {
        &mut self.boots[self.now]
    }

    fn start_boot(&mut self, boot_id: Option<Untrusted>) {
        self.blocked = None;
        if self.boot().is_untouched() {
            *self.boot() = Account::new(boot_id);
            return;
        }
        if self.boots.len() >= MOST_BOOTS {
            self.now = self.boots.len() - 1;
            self.boot().clock_us = None;
            return;
        }
        self.boots.push(Account::new(boot_id));
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
    fn clock(&mut self, us: u64) {
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
    fn accept_boot(&mut self) {
        if let Some(us) = self.back_us.take() {
            self.start_boot(None);
            self.boot().clock_us = Some(us);
            self.release();
        }
    }

    fn release(&mut self) {
        for mut waiting in std::mem::take(&mut self.waiting) {
            let at = Moment {
                line: waiting.line,
                kernel_us: waiting.kernel_us,
                wall: waiting.wall.as_deref(),
            };
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
    fn journal_boot(&mut self, line: &[u8]) {
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

    fn boot_of(&mut self, id: Untrusted) {
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
