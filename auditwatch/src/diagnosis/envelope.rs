//! JSON of a log store. In: a document, or a line that has one. Out: its messages with what their envelope says: host, time,
//! program, boot.
//!
//! The names of keys are those of journalctl, dmesg, Docker, fluentd, fluent-bit, Loki, Elastic, AWS, Google
//! Cloud and EC2. Documents of any size are read as a stream. It must not understand a message.

use std::{fmt, io::Read};

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Deserializer;

use super::{feed::Entry, wall};

/// Messages that wait until the end of their document, for what it says of their host.
const MOST_PENDING: usize = 4096;
/// The same, bytes.
const MOST_PENDING_BYTES: usize = 8 << 20;
/// Maps and arrays within each other; log stores nest six.
const DEEPEST: u32 = 16;
/// Documents within messages within documents.
const MOST_NESTED: u32 = 3;
/// The longest array of bytes that is believed.
const LONGEST_BYTES: usize = 1 << 20;
/// The longest name of a host, a program or a boot, and the longest date, bytes. What is longer is cut.
const LONGEST_NAME: usize = 512;

/// Reads one document. What stands behind it stays unread. The messages before an error come out as well.
///
/// # Errors
/// When the document is damaged, or ends too early.
pub fn document(input: impl Read, take: &mut dyn FnMut(&Entry)) -> Result<(), serde_json::Error> {
    let mut deserializer = Deserializer::from_reader(input);
    let mut messages = Messages {
        pending: Vec::new(),
        pending_bytes: 0,
        take,
        nested: 0,
    };
    let done = Node::top(&mut messages, &Entry::default()).deserialize(&mut deserializer);
    messages.flush(0, &Entry::default());
    done.map(|_| ())
}

/// Reads a line that is a document, or has one behind a date; whether it has a message.
pub fn line(line: &[u8], take: &mut dyn FnMut(&Entry)) -> bool {
    nested(line, 0, take)
}

fn nested(text: &[u8], depth: u32, take: &mut dyn FnMut(&Entry)) -> bool {
    // An empty map may stand before it (fluent-bit).
    let begin = memchr::memmem::find(text, b"{\"").or_else(|| memchr::memchr(b'{', text));
    let Some(begin) = begin else {
        return false;
    };
    let Some(end) = memchr::memrchr(b'}', text).filter(|&end| end > begin) else {
        return false;
    };
    let text = &text[begin..=end];
    let mut found = false;
    let mut take = |entry: &Entry| {
        found = true;
        take(entry);
    };
    // fluent-bit's stdout has the arrows of Ruby.
    if memchr::memmem::find(text, b"\"=>").is_some() {
        let json = String::from_utf8_lossy(text).replace("\"=>", "\":");
        slice(json.as_bytes(), depth, &mut take);
    } else {
        slice(text, depth, &mut take);
    }
    found
}

fn slice(text: &[u8], nested: u32, take: &mut dyn FnMut(&Entry)) {
    let mut deserializer = Deserializer::from_slice(text);
    let mut messages = Messages {
        pending: Vec::new(),
        pending_bytes: 0,
        take,
        nested,
    };
    // A damaged document has the messages that come before the damage.
    let whole = Node::top(&mut messages, &Entry::default())
        .deserialize(&mut deserializer)
        .is_ok();
    if whole {
        messages.flush(0, &Entry::default());
    }
}

/// Messages that were found.
struct Messages<'a> {
    pending: Vec<Entry>,
    /// Of their messages.
    pending_bytes: usize,
    take: &'a mut dyn FnMut(&Entry),
    nested: u32,
}

impl Messages<'_> {
    /// Adds a message; if there are too many, all are handed out with what is known by now.
    fn add(&mut self, entry: Entry, known: &Entry) {
        self.pending_bytes += entry.message.len();
        self.pending.push(entry);
        if self.pending.len() > MOST_PENDING || self.pending_bytes > MOST_PENDING_BYTES {
            self.flush(0, known);
        }
    }

    /// Hands out the messages from an index on, with what is known of all of them.
    fn flush(&mut self, from: usize, known: &Entry) {
        self.pending_bytes = 0;
        for mut entry in self.pending.drain(from..) {
            entry.fill(known);
            let message = std::mem::take(&mut entry.message);
            let is_document = self.nested < MOST_NESTED && message.trim_ascii().starts_with(b"{");
            let take = &mut *self.take;
            let has_more = is_document
                && nested(&message, self.nested + 1, &mut |inner| {
                    let mut inner = inner.clone();
                    inner.fill(&entry);
                    take(&inner);
                });
            if !has_more {
                entry.message = message;
                (self.take)(&entry);
            }
        }
    }
}

/// A value, as far as it is of use.
enum Value {
    Nothing,
    Text(String),
    Integer(u64),
    Float(f64),
    Bytes(Vec<u8>),
    /// A map: what it says of the messages beside it.
    Known(Box<Entry>),
}

/// A value that is to be read.
struct Node<'a, 'b> {
    messages: &'a mut Messages<'b>,
    /// Its key.
    key: &'a str,
    /// What is known of its messages so far.
    known: &'a Entry,
    /// Maps and arrays around it.
    depth: u32,
}

impl<'a, 'b> Node<'a, 'b> {
    const fn top(messages: &'a mut Messages<'b>, known: &'a Entry) -> Self {
        Self {
            messages,
            key: "",
            known,
            depth: 0,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        if self.depth >= DEEPEST {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Nothing);
        }
        let mut entry = Entry::default();
        let mut rank = 0;
        let first = self.messages.pending.len();
        while let Some(key) = map.next_key::<String>()? {
            let mut known = entry.envelope();
            known.fill(self.known);
            let value = map.next_value_seed(Node {
                messages: &mut *self.messages,
                key: &key,
                known: &known,
                depth: self.depth + 1,
            })?;
            set(&mut entry, &mut rank, self.key, &key, value);
        }
        // Some may have been handed out meanwhile.
        let first = first.min(self.messages.pending.len());
        for pending in &mut self.messages.pending[first..] {
            pending.fill(&entry);
        }
        let known = entry.envelope();
        if !entry.message.is_empty() {
            let mut of_all = known.clone();
            of_all.fill(self.known);
            self.messages.add(entry, &of_all);
        }
        Ok(Value::Known(Box::new(known)))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Value, A::Error> {
        if self.depth >= DEEPEST {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Nothing);
        }
        let mut bytes = Vec::new();
        let mut texts: Vec<String> = Vec::new();
        let mut time = None;
        let first = self.messages.pending.len();
        let is_lines = message_rank(self.key) > 0 || matches!(self.key, "" | "lines" | "logs");
        loop {
            let node = Node {
                messages: &mut *self.messages,
                key: self.key,
                known: self.known,
                depth: self.depth + 1,
            };
            match seq.next_element_seed(node)? {
                None => break,
                Some(Value::Integer(value)) => {
                    time = time.or(Some(value));
                    if let Ok(byte) = u8::try_from(value)
                        && bytes.len() < LONGEST_BYTES
                    {
                        bytes.push(byte);
                    }
                }
                Some(Value::Text(text)) if texts.len() < 2 => texts.push(text),
                Some(Value::Text(text)) if is_lines => self.push(text.into_bytes(), None),
                Some(_) => {}
            }
        }
        match texts.as_slice() {
            // `["1709272800000000000", "line"]` of Loki.
            [stamp, text] if is_number(stamp) => {
                self.push(text.clone().into_bytes(), stamp.parse().ok());
            }
            texts if is_lines => {
                for text in texts {
                    self.push(text.clone().into_bytes(), None);
                }
            }
            // `["tag", 1709272800, {..}]` of fluentd.
            _ => {
                if let Some(time) = time.filter(|&time| time > 255) {
                    let mut known = Entry::default();
                    set_number(&mut known, "time", time);
                    let from = first.min(self.messages.pending.len());
                    for pending in &mut self.messages.pending[from..] {
                        pending.fill(&known);
                    }
                }
            }
        }
        Ok(if bytes.is_empty() {
            Value::Nothing
        } else {
            Value::Bytes(bytes)
        })
    }
}

impl Node<'_, '_> {
    fn push(&mut self, message: Vec<u8>, time: Option<u64>) {
        let mut entry = Entry {
            message,
            ..Entry::default()
        };
        if let Some(time) = time {
            set_number(&mut entry, "time", time);
        }
        self.messages.add(entry, self.known);
    }
}

fn is_number(text: &str) -> bool {
    text.len() >= 10 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Which key has the message, if several could.
fn message_rank(key: &str) -> u8 {
    match key {
        "MESSAGE" => 9,
        "message" | "Message" => 8,
        "msg" => 7,
        "log" | "textPayload" | "@message" | "Output" => 6,
        "line" | "full_message" | "body" | "original" => 5,
        "short_message" => 4,
        _ => 0,
    }
}

fn set(entry: &mut Entry, rank: &mut u8, parent: &str, key: &str, value: Value) {
    match value {
        Value::Nothing => {}
        Value::Known(known) => {
            // What a neighbour says, as `stream` of Loki or `host` of Elasticsearch; a message keeps its own.
            entry.fill(&known);
        }
        Value::Bytes(bytes) => {
            if message_rank(key) > *rank {
                *rank = message_rank(key);
                entry.message = bytes;
            }
        }
        Value::Integer(value) => set_number(entry, key, value),
        Value::Float(value) => {
            // Seconds since boot (dmesg) or since 1970, with a fraction.
            if (0.0..1e12).contains(&value) {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "below 1e18, and not negative"
                )]
                let micros = (value * 1e6) as u64;
                if is_time(key) {
                    set_micros(entry, micros);
                }
            }
        }
        Value::Text(text) => {
            let found = message_rank(key);
            if found > *rank {
                *rank = found;
                entry.message = text.into_bytes();
                return;
            }
            let short = &text.as_bytes()[..text.len().min(LONGEST_NAME)];
            let put = |field: &mut Vec<u8>| {
                if field.is_empty() {
                    field.extend_from_slice(short);
                }
            };
            match key {
                "_TRANSPORT" => put(&mut entry.transport),
                "_BOOT_ID" => put(&mut entry.boot),
                "SYSLOG_IDENTIFIER" | "ident" | "program" | "PROGRAM" | "appname"
                | "syslog_identifier" => put(&mut entry.identifier),
                "_HOSTNAME" | "host" | "hostname" | "Hostname" | "HOSTNAME" | "host_name"
                | "InstanceId" | "instance_id" | "logStreamName" => put(&mut entry.host),
                "name" if parent == "host" => put(&mut entry.host),
                "__REALTIME_TIMESTAMP"
                | "__MONOTONIC_TIMESTAMP"
                | "_SOURCE_MONOTONIC_TIMESTAMP" => {
                    entry.set(key.as_bytes(), text.as_bytes());
                }
                key if is_time(key) => {
                    if is_number(&text) {
                        if let Ok(value) = text.parse() {
                            set_number(entry, key, value);
                        }
                    } else if entry.wall.is_empty() && wall::clock_us(text.as_bytes()).is_some() {
                        entry.wall = short.to_vec();
                    }
                }
                _ => {}
            }
        }
    }
}

fn is_time(key: &str) -> bool {
    matches!(
        key,
        "time" | "timestamp" | "@timestamp" | "ts" | "date" | "Timestamp" | "eventTime"
    )
}

fn set_number(entry: &mut Entry, key: &str, value: u64) {
    match key {
        "__REALTIME_TIMESTAMP" | "__MONOTONIC_TIMESTAMP" | "_SOURCE_MONOTONIC_TIMESTAMP" => {
            entry.set(key.as_bytes(), value.to_string().as_bytes());
        }
        key if is_time(key) => set_micros(
            entry,
            match value {
                0..100_000_000_000 => value.saturating_mul(1_000_000),
                100_000_000_000..100_000_000_000_000 => value.saturating_mul(1000),
                100_000_000_000_000..100_000_000_000_000_000 => value,
                _ => value / 1000,
            },
        ),
        _ => {}
    }
}

/// Microseconds since boot, or since 1970: no host runs for three years.
fn set_micros(entry: &mut Entry, micros: u64) {
    if micros < 100_000_000_000_000 {
        entry.monotonic_us = entry.monotonic_us.or(Some(micros));
    } else {
        entry.realtime_us = entry.realtime_us.or(Some(micros));
    }
}
