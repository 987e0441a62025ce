//! Tasks that sleep in the audit code, and what that means.
//!
//! In: texts of `/proc/PID/task/TID`, looks at the host one after the other. Out:
//! [`Sleeper`]s, and which of them are stranded: asleep although the queue has room.
//! Pure: reading is `tasks`'s.

use serde::{Deserialize, Serialize};

use crate::untrusted::Untrusted;

/// Functions that every sleep ends in.
const SCHEDULING: [&str; 4] = ["__schedule", "schedule", "io_schedule", "schedule_timeout"];

/// Where in the audit code a task sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// It wants to make a record, and the queue was over its limit.
    AuditLogStart,
    /// It has sent an audit message while the queue was over its limit.
    AuditReceive,
}

impl Place {
    /// The kernel's function.
    #[must_use]
    pub const fn function(self) -> &'static str {
        match self {
            Self::AuditLogStart => "audit_log_start",
            Self::AuditReceive => "audit_receive",
        }
    }

    /// By the name of the function that a task sleeps in, which gcc may have split.
    #[must_use]
    pub fn of(function: &str) -> Option<Self> {
        match function.split('.').next()? {
            "audit_log_start" => Some(Self::AuditLogStart),
            "audit_receive" => Some(Self::AuditReceive),
            _ => None,
        }
    }
}

/// A task that sleeps there and cannot be killed meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sleeper {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Its command name.
    pub comm: Untrusted,
    /// Where it sleeps.
    pub place: Place,
    /// Number of the system call that it is in; `None` where the kernel does not tell.
    pub syscall: Option<u64>,
    /// How often it has gone to sleep: tells one sleep from the next.
    pub sleeps: u64,
}

/// Name and state of `/proc/PID/stat`; the name may hold anything.
#[must_use]
pub fn name_and_state(stat: &str) -> Option<(&str, char)> {
    let (open, close) = (stat.find('(')?, stat.rfind(')')?);
    let state = stat.get(close + 1..)?.trim_start().chars().next()?;
    Some((stat.get(open + 1..close)?, state))
}

/// The function that sleeps, by a task's `stack`.
#[must_use]
pub fn top_of(stack: &str) -> Option<&str> {
    stack
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.split('+').next())
        .find(|function| !SCHEDULING.contains(function))
}

/// The number of the system call of `/proc/PID/syscall`.
#[must_use]
pub fn syscall(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// A number of `/proc/PID/status`.
#[must_use]
pub fn status_number(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// One look at the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Length of the main queue, records; `None` where it cannot be read.
    pub depth: Option<u32>,
    /// Its limit, records; 0 for none, `None` where it cannot be read.
    pub limit: Option<u32>,
    /// Whether `kauditd` waits for a record to come, which it only does with the main queue empty;
    /// `None` where the kernel does not tell.
    pub kauditd_idle: Option<bool>,
    /// Who sleeps.
    pub sleepers: Vec<Sleeper>,
}

impl Look {
    /// Whether the queue has room; `None` where nothing tells.
    #[must_use]
    pub fn has_room(&self) -> Option<bool> {
        match (self.depth, self.limit) {
            (Some(depth), Some(limit)) => Some(limit == 0 || depth <= limit),
            // Where it waits the queue is empty; where it does not, it may be anything.
            _ => self.kauditd_idle.filter(|&idle| idle),
        }
    }

    /// Whether one more audit message is surely below the limit, so that its sender does not sleep.
    #[must_use]
    pub fn takes_a_message(&self) -> bool {
        match (self.depth, self.limit) {
            (Some(depth), Some(limit)) => limit == 0 || depth <= limit / 2,
            _ => self.kauditd_idle == Some(true),
        }
    }
}

/// Who has slept on through all these looks: one sleep, not many.
#[must_use]
pub fn slept_on(looks: &[Look]) -> Vec<Sleeper> {
    let [earlier @ .., last] = looks else {
        return Vec::new();
    };
    let all_along = |sleeper: &&Sleeper| {
        earlier.iter().all(|look| {
            look.sleepers
                .iter()
                .any(|other| (other.tid, other.sleeps) == (sleeper.tid, sleeper.sleeps))
        })
    };
    last.sleepers.iter().filter(all_along).cloned().collect()
}

/// Who has slept on through several looks although there was room in each.
#[must_use]
pub fn stranded(looks: &[Look]) -> Vec<Sleeper> {
    if looks.len() < 2 || !looks.iter().all(|look| look.has_room() == Some(true)) {
        return Vec::new();
    }
    slept_on(looks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(tid: u32, sleeps: u64) -> Sleeper {
        Sleeper {
            pid: tid,
            tid,
            comm: "writer".into(),
            place: Place::AuditLogStart,
            syscall: Some(1),
            sleeps,
        }
    }

    fn look(depth: u32, limit: u32, sleepers: &[(u32, u64)]) -> Look {
        Look {
            depth: Some(depth),
            limit: Some(limit),
            kauditd_idle: None,
            sleepers: sleepers
                .iter()
                .map(|&(tid, sleeps)| sleeper(tid, sleeps))
                .collect(),
        }
    }

    #[test]
    fn sleeping_on_beside_room_is_stranded() {
        let looks = [
            look(64, 64, &[(1, 5), (2, 5)]),
            look(0, 64, &[(1, 5), (2, 6)]),
        ];
        let tids: Vec<u32> = stranded(&looks).iter().map(|sleeper| sleeper.tid).collect();
        assert_eq!(tids, [1], "the second has been awake in between");
        assert_eq!(stranded(&looks[..1]), [], "one look says nothing");
        let full = [look(65, 64, &[(1, 5)]), look(0, 64, &[(1, 5)])];
        assert_eq!(stranded(&full), [], "it was full a moment ago");
        let unlimited = [look(65, 0, &[(1, 5)]), look(65, 0, &[(1, 5)])];
        assert_eq!(stranded(&unlimited).len(), 1);
    }

    #[test]
    fn sleeping_kauditd_proves_an_empty_queue_only() {
        let by_kauditd = |idle| Look {
            depth: None,
            limit: None,
            kauditd_idle: idle,
            sleepers: vec![sleeper(1, 1)],
        };
        assert_eq!(by_kauditd(Some(true)).has_room(), Some(true));
        assert_eq!(by_kauditd(Some(false)).has_room(), None);
        assert_eq!(by_kauditd(None).has_room(), None);
        assert!(!by_kauditd(None).takes_a_message());
        assert!(!look(33, 64, &[]).takes_a_message());
        assert!(look(32, 64, &[]).takes_a_message());
    }

    #[test]
    fn the_place_is_where_the_sleep_begins() {
        let stack = "[<0>] __schedule+0x1/0x2\n[<0>] schedule_timeout+0x95/0x150\n\
            [<0>] audit_log_start.part.0+0x1f0/0x4a0\n[<0>] audit_log_exit+0x1/0x2\n";
        let place = |stack| top_of(stack).and_then(Place::of);
        assert_eq!(place(stack), Some(Place::AuditLogStart));
        let for_a_lock = "[<0>] schedule_preempt_disabled+0x1/0x2\n[<0>] audit_receive+0x9/0x10\n";
        assert_eq!(place(for_a_lock), None);
        assert_eq!(place(""), None);
        assert_eq!(Place::of("audit_receive"), Some(Place::AuditReceive));
        assert_eq!(Place::of("0"), None);
        assert_eq!(Place::of("audit_receive_msg"), None);
    }

    #[test]
    fn texts_of_proc_are_read() {
        assert_eq!(name_and_state("12 (a) b) D 1 2 3"), Some(("a) b", 'D')));
        assert_eq!(name_and_state("12 "), None);
        assert_eq!(syscall("44 0x3 0x7f"), Some(44));
        assert_eq!(syscall("running"), None);
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t17\n";
        assert_eq!(status_number(status, "voluntary_ctxt_switches:"), Some(17));
    }
}
