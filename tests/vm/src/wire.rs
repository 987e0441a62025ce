//! The wire structures of audit netlink, as pure functions: bytes in, values out.
//!
//! Written from the uapi headers and not shared with auditwatch, so that the two check each other.

use anyhow::{Result, bail, ensure};

/// Message types of the control protocol (`linux/audit.h`).
pub const GET: u16 = 1000;
/// Sets a field of the status.
pub const SET: u16 = 1001;
/// A USER message without a type of its own.
pub const USER: u16 = 1005;
/// Adds one rule.
pub const ADD_RULE: u16 = 1011;
/// Deletes one rule.
pub const DEL_RULE: u16 = 1012;
/// Lists all rules, one message each, `DONE` last.
pub const LIST_RULES: u16 = 1013;
/// A session got its login uid: a record in spite of its number.
pub const LOGIN: u16 = 1006;
/// From here on all types are records; below are control messages, but for `USER` and `LOGIN`.
pub const FIRST_RECORD: u16 = 1100;
/// The one USER message type which is logged even while auditing is disabled.
pub const USER_AVC: u16 = 1107;
/// The ping that a registered auditd gets when another one registers: not a record.
pub const REPLACE: u16 = 1329;
/// Netlink's answer to a request, error 0 being the acknowledgement.
pub const NLMSG_ERROR: u16 = 2;
/// The end of a listing.
pub const NLMSG_DONE: u16 = 3;

/// Record types that the scenarios name.
pub const SYSCALL: u16 = 1300;
/// The arguments of an exec, split over several records when they are long.
pub const EXECVE: u16 = 1309;
/// The command line of the task.
pub const PROCTITLE: u16 = 1327;
/// A BPF program was loaded or taken out.
pub const BPF: u16 = 1334;
/// An operation of `io_uring`, in place of SYSCALL.
pub const URINGOP: u16 = 1336;

/// Length of `struct nlmsghdr`.
pub const HEADER: usize = 16;

/// One netlink datagram.
///
/// The kernel sends one message a datagram here, and for records `nlmsg_len` is the length of the
/// payload alone (a quirk that auditd relies upon): the datagram's own length is what counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_seq`.
    pub seq: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// Splits a datagram.
    pub fn decode(datagram: &'a [u8]) -> Result<Self> {
        ensure!(
            datagram.len() >= HEADER,
            "datagram of {} bytes has no netlink header",
            datagram.len()
        );
        Ok(Self {
            kind: u16::from_ne_bytes([datagram[4], datagram[5]]),
            seq: word(datagram, 8),
            payload: &datagram[HEADER..],
        })
    }

    /// The error number of an `NLMSG_ERROR`, 0 for an acknowledgement.
    pub fn error(&self) -> Option<i32> {
        (self.kind == NLMSG_ERROR && self.payload.len() >= 4)
            .then(|| word(self.payload, 0).cast_signed())
    }

    /// Whether this is a record, something that went through the kernel's queues.
    pub fn is_record(&self) -> bool {
        (self.kind >= FIRST_RECORD && self.kind != REPLACE) || matches!(self.kind, USER | LOGIN)
    }
}

/// Builds a request.
pub fn request(kind: u16, flags: u16, seq: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(HEADER + payload.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(HEADER + payload.len());
    out.extend_from_slice(&len.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&seq.to_ne_bytes());
    out.extend_from_slice(&0u32.to_ne_bytes());
    out.extend_from_slice(payload);
    out
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u32::from_ne_bytes)
}

/// What `AUDIT_GET` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Status {
    /// 0 off, 1 on, 2 locked.
    pub enabled: u32,
    /// 0 silent, 1 printk, 2 panic.
    pub failure: u32,
    /// The registered auditd, 0 for none.
    pub pid: u32,
    /// Records a second, 0 for no limit.
    pub rate_limit: u32,
    /// Records in the main queue, 0 for no limit.
    pub backlog_limit: u32,
    /// Losses the kernel knows of.
    pub lost: u32,
    /// Records in the main queue now.
    pub backlog: u32,
    /// Jiffies that a task waits for room.
    pub backlog_wait_time: Option<u32>,
    /// Jiffies that tasks have waited in all (kernels >= 5.9).
    pub backlog_wait_time_actual: Option<u32>,
}

impl Status {
    /// Reads 36, 40 or 44 bytes of `struct audit_status`: it grew over time.
    pub fn decode(payload: &[u8]) -> Result<Self> {
        if payload.len() < 36 {
            bail!(
                "audit status of {} bytes, expected 36, 40 or 44",
                payload.len()
            );
        }
        let optional = |at: usize| (payload.len() >= at + 4).then(|| word(payload, at));
        Ok(Self {
            enabled: word(payload, 4),
            failure: word(payload, 8),
            pid: word(payload, 12),
            rate_limit: word(payload, 16),
            backlog_limit: word(payload, 20),
            lost: word(payload, 24),
            backlog: word(payload, 28),
            backlog_wait_time: optional(36),
            backlog_wait_time_actual: optional(40),
        })
    }
}

/// One field to set with `AUDIT_SET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// 0 off, 1 on.
    Enabled(u32),
    /// What happens on a loss.
    Failure(u32),
    /// Registers as auditd (own process id) or unregisters (0).
    Pid(u32),
    /// Records a second.
    RateLimit(u32),
    /// Records in the main queue.
    BacklogLimit(u32),
    /// Jiffies.
    BacklogWaitTime(u32),
}

impl Setting {
    /// Parses `backlog_limit=64`.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((name, value)) = text.split_once('=') else {
            bail!("`{text}` is not NAME=NUMBER");
        };
        let value: u32 = value
            .parse()
            .map_err(|e| anyhow::anyhow!("`{text}`: {e}"))?;
        Ok(match name {
            "enabled" => Self::Enabled(value),
            "failure" => Self::Failure(value),
            "pid" => Self::Pid(value),
            "rate_limit" => Self::RateLimit(value),
            "backlog_limit" => Self::BacklogLimit(value),
            "backlog_wait_time" => Self::BacklogWaitTime(value),
            _ => bail!("unknown setting `{name}`"),
        })
    }

    /// `struct audit_status` with this field's mask bit: always 44 bytes, which every kernel takes.
    pub fn encode(self) -> [u8; 44] {
        let (mask, at, value) = match self {
            Self::Enabled(v) => (0x01u32, 4, v),
            Self::Failure(v) => (0x02, 8, v),
            Self::Pid(v) => (0x04, 12, v),
            Self::RateLimit(v) => (0x08, 16, v),
            Self::BacklogLimit(v) => (0x10, 20, v),
            Self::BacklogWaitTime(v) => (0x20, 36, v),
        };
        let mut out = [0; 44];
        out[..4].copy_from_slice(&mask.to_ne_bytes());
        out[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        out
    }
}

/// The serial of a record's text, `audit(1700000000.123:456): ...`.
pub fn serial(text: &[u8]) -> Option<u64> {
    let head = &text[..text.len().min(64)];
    let rest = head.strip_prefix(b"audit(")?;
    let colon = rest.iter().position(|&b| b == b':')?;
    let digits = rest[colon + 1..].split(|&b| b == b')').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_bytes(len: usize) -> Vec<u8> {
        (0u32..11)
            .flat_map(|i| (i * 100).to_ne_bytes())
            .take(len)
            .collect()
    }

    #[test]
    fn status_of_every_age() {
        for (len, wait, actual) in [
            (36, None, None),
            (40, Some(900), None),
            (44, Some(900), Some(1000)),
        ] {
            let status = Status::decode(&status_bytes(len)).expect("valid");
            assert_eq!(status.enabled, 100);
            assert_eq!(status.lost, 600);
            assert_eq!(status.backlog, 700);
            assert_eq!(status.backlog_wait_time, wait);
            assert_eq!(status.backlog_wait_time_actual, actual);
        }
        assert!(Status::decode(&status_bytes(32)).is_err());
    }

    #[test]
    fn settings_land_in_their_field() {
        for text in [
            "enabled=1",
            "failure=2",
            "pid=3",
            "rate_limit=4",
            "backlog_limit=5",
        ] {
            let setting = Setting::parse(text).expect("valid");
            let value: u32 = text
                .split('=')
                .next_back()
                .and_then(|v| v.parse().ok())
                .expect("number");
            let back = Status::decode(&setting.encode()).expect("valid");
            let fields = [
                back.enabled,
                back.failure,
                back.pid,
                back.rate_limit,
                back.backlog_limit,
            ];
            assert_eq!(fields.iter().sum::<u32>(), value, "{text}");
        }
        let wait = Status::decode(&Setting::BacklogWaitTime(7).encode()).expect("valid");
        assert_eq!(wait.backlog_wait_time, Some(7));
        assert!(Setting::parse("backlog_limit").is_err());
        assert!(Setting::parse("colour=1").is_err());
    }

    #[test]
    fn message_and_serial() {
        let datagram = request(SYSCALL, 0, 9, b"audit(1700000000.123:456): arch=c000003e\0");
        let message = Message::decode(&datagram).expect("valid");
        assert_eq!((message.kind, message.seq), (SYSCALL, 9));
        assert!(message.is_record());
        assert_eq!(serial(message.payload), Some(456));
        assert_eq!(serial(b"audit(x"), None);
        assert_eq!(serial(b""), None);
        let refused = request(NLMSG_ERROR, 0, 1, &(-17i32).to_ne_bytes());
        assert_eq!(Message::decode(&refused).expect("valid").error(), Some(-17));
        let ping = request(REPLACE, 0, 0, &[]);
        assert!(!Message::decode(&ping).expect("valid").is_record());
        assert!(Message::decode(&[0; 15]).is_err());
    }
}
