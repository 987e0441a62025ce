//! Tells the hosts of one log apart. In: its lines and entries. Out: the boots of each host.

use super::{
    envelope,
    feed::{Entry, Piece},
    log::{FINDER, Log},
    moment::Moment,
    report::Source,
    scan::readable,
    stamp::{Speaker, Stamped, clean, clock, stamped},
    wall,
};
use crate::units::utc;

/// Hosts that are told apart; lines of others belong to the last one.
const MOST_HOSTS: usize = 256;
/// Below it a line is none of those that tell something: the shortest are `[0.0]` and `lost 0`.
const SHORTEST_LINE: usize = 5;
/// Names of a host that has no name yet.
const NAMELESS: [&[u8]; 4] = [b"localhost", b"(none)", b"-", b"localhost4"];

#[derive(Debug)]
struct Host {
    /// Its name without the domain.
    name: Vec<u8>,
    log: Log,
    first_line: u64,
    last_line: u64,
}

/// The hosts of a log.
#[derive(Debug)]
pub struct Hosts {
    hosts: Vec<Host>,
    /// The host that lines without a name belong to.
    now: usize,
}

impl Default for Hosts {
    fn default() -> Self {
        Self {
            hosts: vec![Host {
                name: Vec::new(),
                log: Log::new(None),
                first_line: 0,
                last_line: 0,
            }],
            now: 0,
        }
    }
}

impl Hosts {
    /// Takes a line or an entry.
    pub fn piece(&mut self, number: u64, piece: &Piece<'_>) {
        match piece {
            Piece::Line(line) => self.line(number, line),
            Piece::Entry(entry) => self.entry(number, entry),
        }
    }

    /// The boots of all hosts.
    pub fn end(self, source: &mut Source) {
        let mut before: Option<(u64, u64)> = None;
        for host in self.hosts {
            let first = source.boots.len();
            host.log.end(source);
            // A host that was renamed while it ran: its counter goes on.
            if let (Some((last_line, lost)), Some(boot)) = (before, source.boots.get_mut(first))
                && host.first_line > last_line
                && boot.begin.is_none()
            {
                let twice = lost.min(boot.lost_at_least);
                boot.lost_at_least -= twice;
                source.lost_at_least = source.lost_at_least.saturating_sub(twice);
            }
            before = source.boots[first..]
                .last()
                .map(|boot| (host.last_line, boot.lost_at_least));
        }
    }

    fn line(&mut self, number: u64, line: &[u8]) {
        let line = unquoted(line);
        if line.len() < SHORTEST_LINE {
            return;
        }
        let is_json = is_json(line);
        if !(FINDER.may_tell(line) || is_json && has_bytes(line)) {
            // Of interest for its clock only, or as one of the short lines of `auditctl -s`.
            let log = &mut self.hosts[self.now].log;
            if let Some(us) = clock(line) {
                log.clock(us);
            } else if line.starts_with(b"-- ") {
                log.journal_boot(line);
            } else {
                log.status_line(line, number);
            }
            return;
        }
        let line = clean(line);
        if is_json && envelope::line(&line, &mut |entry| self.entry(number, entry)) {
            return;
        }
        let found = stamped(&line);
        // A log store's envelope behind the date of a container or of fluentd. What a program quotes is none.
        let may_be_document = found.message.starts_with(b"{\"")
            || memchr::memmem::find(found.message, b"\t{\"").is_some()
            || found.message.starts_with(b"[") && line.ends_with(b"]");
        if may_be_document && !matches!(found.speaker, Speaker::Program(_)) {
            let known = Entry {
                wall: found
                    .wall
                    .or_else(|| stamp_before(found.message))
                    .map(<[u8]>::to_vec)
                    .unwrap_or_default(),
                ..Entry::default()
            };
            let mut take = |entry: &Entry| {
                let mut entry = entry.clone();
                entry.fill(&known);
                self.entry(number, &entry);
            };
            if envelope::line(found.message, &mut take) {
                return;
            }
        }
        self.said(number, &found);
    }

    fn said(&mut self, number: u64, found: &Stamped<'_>) {
        let log = self.of(found.host, number);
        if let Some(us) = found.kernel_us {
            log.clock(us);
        }
        log.stamped(&Moment::new(number, found.kernel_us, found.wall), found);
    }

    /// Takes a message with its envelope.
    pub fn entry(&mut self, number: u64, entry: &Entry) {
        let of_time;
        let wall = if entry.wall.is_empty() {
            of_time = entry.realtime_us.map_or_else(String::new, utc::microsecond);
            of_time.as_bytes()
        } else {
            &entry.wall
        };
        let wall = (!wall.is_empty()).then_some(wall);
        let host = (!entry.host.is_empty()).then_some(entry.host.as_slice());
        if entry.transport.is_empty() && entry.identifier.is_empty() && entry.boot.is_empty() {
            // Lines of a text log.
            for line in entry.message.split(|&byte| byte == b'\n' || byte == b'\r') {
                if line.len() < SHORTEST_LINE || !FINDER.may_tell(line) {
                    if let Some(us) = clock(line) {
                        self.of(host, number).clock(us);
                    }
                    continue;
                }
                let line = clean(line);
                let mut found = stamped(&line);
                found.kernel_us = found.kernel_us.or(entry.monotonic_us);
                found.wall = found.wall.or(wall);
                found.host = found.host.or(host);
                self.said(number, &found);
            }
            return;
        }
        let log = self.of(host, number);
        if !entry.boot.is_empty() {
            log.boot_of(readable(&entry.boot, 64));
        } else if let Some(us) = entry.monotonic_us {
            log.clock(us);
        }
        let speaker = match entry.transport.as_slice() {
            b"kernel" => Speaker::Kernel,
            b"audit" => Speaker::Program(b"audit"),
            _ if entry.identifier == b"kernel" => Speaker::Kernel,
            _ => Speaker::Program(&entry.identifier),
        };
        for message in entry.message.split(|&byte| byte == b'\n') {
            if !FINDER.may_tell(message) && speaker != Speaker::Program(b"augenrules") {
                continue;
            }
            let message = clean(message);
            let found = Stamped {
                kernel_us: entry.monotonic_us,
                wall,
                host: None,
                speaker,
                message: &message,
            };
            log.stamped(&Moment::new(number, found.kernel_us, found.wall), &found);
        }
    }

    /// The lines of the host of that name.
    fn of(&mut self, host: Option<&[u8]>, number: u64) -> &mut Log {
        if let Some(host) = host.map(short_name)
            && !NAMELESS.contains(&host)
        {
            self.now = self.find(host, number);
        }
        let now = &mut self.hosts[self.now];
        now.last_line = number;
        &mut now.log
    }

    fn find(&mut self, host: &[u8], number: u64) -> usize {
        if self.hosts[self.now].name == host {
            return self.now;
        }
        if let Some(known) = self.hosts.iter().position(|known| known.name == host) {
            return known;
        }
        if self.hosts.len() == 1 && self.hosts[0].name.is_empty() {
            self.hosts[0].name = host.to_vec();
            self.hosts[0].log.name(readable(host, 64));
            return 0;
        }
        if self.hosts.len() < MOST_HOSTS {
            self.hosts.push(Host {
                name: host.to_vec(),
                log: Log::new(Some(readable(host, 64))),
                first_line: number,
                last_line: number,
            });
        }
        self.hosts.len() - 1
    }
}

/// `[0] kmsg: [[1709272800.000003000, {}], {..` of fluent-bit: its time.
fn stamp_before(text: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b'{', text)?;
    let mut pairs = text[..end].windows(2);
    let open = pairs.rposition(|pair| pair[0] == b'[' && pair[1].is_ascii_digit())?;
    let stamp = text.get(open + 1..open + 18)?;
    wall::clock_us(stamp).map(|_| stamp)
}

/// Whether a line is a JSON document, perhaps of an event stream, a sequence or an array.
fn is_json(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"data:").unwrap_or(line);
    let line = line.strip_prefix(b"\x1e").unwrap_or(line);
    matches!(
        line.trim_ascii_start(),
        [b'{' | b',', ..] | [b'[', b'{', ..]
    )
}

/// Whether it has a message as an array of bytes, which journalctl prints if it is no UTF-8.
fn has_bytes(line: &[u8]) -> bool {
    memchr::memmem::find(line, b"\"MESSAGE\"")
        .is_some_and(|at| memchr::memchr(b'[', &line[at..line.len().min(at + 14)]).is_some())
}

/// A name without its domain; an address as it is.
fn short_name(host: &[u8]) -> &[u8] {
    let is_address = host
        .iter()
        .all(|byte| byte.is_ascii_digit() || *byte == b'.');
    match memchr::memchr(b'.', host) {
        Some(dot) if !is_address && dot > 0 => &host[..dot],
        _ => host,
    }
}
/// A line without the marks of a mail that quotes it.
fn unquoted(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_prefix(b">") {
        line = rest.strip_prefix(b" ").unwrap_or(rest);
    }
    line
}
