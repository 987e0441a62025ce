//! Reads one log. In: its bytes, in pieces of any size. Out: a [`Source`] of the report.
//!
//! A line at a time: it must not keep lines.

use std::io::Read;

use super::{envelope, feed::Feed, hosts::Hosts, report::Source};

/// A log that is being read.
#[derive(Debug)]
pub struct Reading {
    name: String,
    feed: Feed,
    hosts: Hosts,
    /// Messages of documents.
    messages: u64,
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
            hosts: Hosts::default(),
            messages: 0,
            ends_line: true,
        }
    }

    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if let Some(&last) = bytes.last() {
            self.ends_line = last == b'\n';
        }
        let hosts = &mut self.hosts;
        self.feed
            .push(bytes, &mut |number, piece| hosts.piece(number, &piece));
    }

    /// Reads one JSON document of a log store; what stands behind it stays unread.
    ///
    /// # Errors
    /// When it is damaged or ends too early; the messages before count.
    pub fn document(&mut self, input: impl Read) -> Result<(), serde_json::Error> {
        let (hosts, messages) = (&mut self.hosts, &mut self.messages);
        envelope::document(input, &mut |entry| {
            *messages += 1;
            hosts.entry(*messages, entry);
        })
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
        let hosts = &mut self.hosts;
        self.feed
            .end(&mut |number, piece| hosts.piece(number, &piece));
        let mut source = Source {
            name: self.name,
            lines: self.feed.lines() + self.messages,
            bytes: self.feed.bytes(),
            ..Source::default()
        };
        self.hosts.end(&mut source);
        source
    }
}
