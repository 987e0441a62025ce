//! The report: what a log can support. Plain data, as it goes to JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cause::Cause;
use crate::untrusted::Untrusted;

/// Panics of a boot that are kept, in words of their own each.
const MOST_PANICS: usize = 16;

/// When a log says something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct When {
    /// The line, from 1 on.
    pub line: u64,
    /// The kernel's clock, nanoseconds since boot.
    pub kernel_ns: Option<u64>,
    /// Date and time, as the log has them; of a journal export in UTC.
    pub wall: Option<Untrusted>,
    /// The same as a clock, microseconds.
    #[serde(skip)]
    pub wall_us: Option<i64>,
}

/// The answer in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing that is wrong.
    NothingFound,
    /// Records may have been lost where nobody counts them.
    Suspected,
    /// Tasks hung in `audit_log_start`; no loss is seen.
    Hang,
    /// The consumer ended, could not write, or could not be given records; no loss is counted.
    ConsumerFailed,
    /// auditd or another consumer lost events that the kernel had delivered.
    LossesInAuditd,
    /// The kernel lost records.
    Losses,
    /// The kernel panicked for audit.
    Panic,
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// `diagnosis`.
    pub kind: &'static str,
    /// 1.
    pub schema: u32,
    /// In a word.
    pub verdict: Verdict,
    /// In a line.
    pub headline: String,
    /// The causes, the most important first.
    pub causes: Vec<Cause>,
    /// Records that the kernel lost, at least. Of several sources the greatest: they may tell of the same.
    pub lost_at_least: u64,
    /// The limit that was in force when the last loss was seen, records.
    pub limit: Option<u32>,
    /// The limit in force at the end of the log, records. 0: no limit.
    pub limit_at_end: Option<u32>,
    /// What a bigger limit would have needed, as far as a log tells.
    pub need: Option<Need>,
    /// `-f` when it was seen last.
    pub failure: Option<u32>,
    /// One for each log.
    pub sources: Vec<Source>,
    /// What to do, the most important first.
    pub advice: Vec<Advice>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// What a log tells of the limit that would have sufficed. Never an exact number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Need {
    /// It is more than this: the queue was over this limit, records.
    pub more_than: u32,
    /// If all losses of the longest overflow were one burst, and each hid no other record, it is this, records.
    /// `None` where the counter was seen only once.
    pub if_one_burst: Option<u64>,
}

/// One log: a file, or files that follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Lines.
    pub lines: u64,
    /// Bytes.
    pub bytes: u64,
    /// Records that the kernel lost, at least.
    pub lost_at_least: u64,
    /// Boots of which the log says something about audit.
    pub boots: Vec<Boot>,
    /// Boots of which it says nothing.
    pub quiet_boots: u64,
    /// Places where the log itself says that lines are missing.
    pub gaps: u64,
    /// Lines that it says are missing, at least.
    pub lines_missing: u64,
}

/// One boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Boot {
    /// Its number in the log, from 1 on.
    pub number: u64,
    /// The kernel's release.
    pub kernel: Option<Untrusted>,
    /// The host, if the log names one.
    pub host: Option<Untrusted>,
    /// The journal's id of it.
    pub boot_id: Option<Untrusted>,
    /// When the kernel's first line was seen.
    pub begin: Option<When>,
    /// Whether it was booted with `audit=1`; `None` where the log does not say.
    pub audit_at_boot: Option<bool>,
    /// `audit_backlog_limit=` of its command line, records.
    pub boot_limit: Option<u32>,
    /// Records that the kernel lost, at least.
    pub lost_at_least: u64,
    /// The kernel's counter, where it was printed.
    pub counter: Option<CounterSeen>,
    /// Lines that name a reason, by reason. Many more losses print none.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Lines that the kernel did not print, of all that share its limit. Not records.
    pub suppressed_lines: u64,
    /// Times in which records were lost.
    pub incidents: u64,
    /// The first sign of a loss.
    pub first_loss: Option<When>,
    /// The last sign of a loss.
    pub last_loss: Option<When>,
    /// The highest limit that the queue was over, records.
    pub overflow_limit: Option<u32>,
    /// The longest time that `kauditd` kept a CPU to itself, seconds.
    pub kauditd_stuck_seconds: Option<u64>,
    /// Whether the trace then shows it within netlink.
    pub kauditd_stuck_in_netlink: bool,
    /// Faults of the kernel that a trace shows, by name.
    pub kernel_faults: Vec<&'static str>,
    /// Consumers other than auditd that report losses, and the number of reports.
    pub consumers: BTreeMap<String, u64>,
    /// Limits in the order they were seen.
    pub limits: Vec<LimitSeen>,
    /// The queue's greatest length that was printed, records. It says nothing of the need.
    pub depth_max: Option<u32>,
    /// `-f`: 0 silent, 1 printk, 2 panic.
    pub failure: Option<u32>,
    /// `-e`: 2 immutable.
    pub enabled: Option<u32>,
    /// `-r`, records a second.
    pub rate_limit: Option<u32>,
    /// Whether a line of the kernel shows a rate limit in force at a loss; settings alone do not.
    #[serde(skip)]
    pub lost_at_rate_limit: bool,
    /// `--backlog_wait_time`, jiffies.
    pub wait_time_jiffies: Option<u32>,
    /// Records that the kernel printed since no auditd took them.
    pub printed_records: u64,
    /// Those of them that somebody wanted: auditd had started, or a rule with a key made them. Without `audit=1`
    /// the kernel kept no other copy.
    pub printed_wanted: u64,
    /// Losses by day, if the log has dates; of the first counter only one loss counts.
    pub days: Vec<DayLosses>,
    /// Who made the most records.
    pub talkers: Vec<Talker>,
    /// Events whose serial numbers are missing from an audit.log.
    pub serial_gaps: u64,
    /// Tasks that hung.
    pub hung_tasks: Vec<HungTask>,
    /// Panics for audit, in the kernel's words.
    pub panics: Vec<Untrusted>,
    /// What became of auditd, by kind.
    pub auditd: BTreeMap<&'static str, u64>,
    /// What happened, in order.
    pub timeline: Vec<Event>,
    /// Events that found no place there.
    pub events_left_out: u64,
}

impl Boot {
    /// A panic in these words. A boot panics once: the same again is the same panic, on another console, and more
    /// than a few are none.
    pub(super) fn panicked(&mut self, words: impl Into<Untrusted>) {
        let words = words.into();
        if self.panics.len() < MOST_PANICS && !self.panics.contains(&words) {
            self.panics.push(words);
        }
    }
}

/// Losses of a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DayLosses {
    /// The day: `2024-03-01`, or `03-01` if the log has no years.
    pub day: String,
    /// Records lost, at least.
    pub lost: u64,
}

/// Who made records, by the SYSCALL records of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Talker {
    /// Its name.
    pub comm: Untrusted,
    /// Its program.
    pub exe: Untrusted,
    /// The user who logged in.
    pub auid: Untrusted,
    /// The key of the rule.
    pub key: Untrusted,
    /// Its SYSCALL records.
    pub records: u64,
    /// SYSCALL records of all talkers.
    pub of_records: u64,
}

/// The kernel's counter of losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CounterSeen {
    /// When it was printed first.
    pub first: u32,
    /// When it was printed last.
    pub last: u32,
    /// How often it was reset, or wrapped around.
    pub resets: u32,
    /// A last value below the others that no second one confirmed: a reset, or a damaged line. Not counted.
    pub unconfirmed: Option<u32>,
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitSeen {
    /// When it was seen first.
    pub at: When,
    /// Records.
    pub limit: u32,
    /// What says so.
    pub source: LimitSource,
}

/// What says what the limit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitSource {
    /// The kernel's command line.
    CommandLine,
    /// A message of a loss.
    Loss,
    /// A record of a change.
    Change,
    /// `auditctl -s`.
    Status,
}

/// A task that hung.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HungTask {
    /// When it was first reported.
    pub at: When,
    /// Its name.
    pub comm: Untrusted,
    /// Its process id.
    pub pid: u32,
    /// How long it was asleep, at least, seconds.
    pub seconds: Option<u64>,
    /// Reports of it.
    pub reports: u64,
    /// Where: `audit_log_start`, or `audit_receive` where senders of messages wait.
    pub place: &'static str,
}

/// Something that happened, once or for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When it began.
    pub at: When,
    /// When it was seen last; `None` for once.
    pub until: Option<When>,
    /// Lines that say so.
    pub lines: u64,
    /// In words.
    pub text: String,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A kernel started.
    Boot {
        /// Its release.
        kernel: Untrusted,
    },
    /// Records were lost.
    Losses {
        /// The counter when it was printed first.
        counter_first: Option<u32>,
        /// The counter when it was printed last.
        counter_last: Option<u32>,
        /// The queue's greatest length that was printed, records.
        depth_max: Option<u32>,
        /// The limit, records.
        limit: Option<u32>,
        /// Reasons that were printed.
        reasons: BTreeMap<&'static str, u64>,
        /// Lines that were not printed.
        suppressed_lines: u64,
        /// Records lost in this time, at least.
        lost: u64,
        /// How long, seconds; `None` without a clock.
        seconds: Option<u64>,
    },
    /// Lines were not printed, by functions that do not tell a loss.
    Suppressed {
        /// The function.
        function: Untrusted,
        /// Lines.
        suppressed_lines: u64,
    },
    /// Records were printed, since no auditd took them.
    Printed {
        /// Records.
        records: u64,
        /// Whether somebody wanted them: auditd had started, or a rule with a key made them.
        wanted: bool,
    },
    /// A setting was changed, or is seen.
    Setting {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: u32,
        /// What it was.
        old: Option<u32>,
        /// Whether the kernel did it.
        done: bool,
    },
    /// A task hung.
    HungTask {
        /// Its name.
        comm: Untrusted,
        /// Its process id.
        pid: u32,
        /// How long, at least, seconds.
        seconds: Option<u64>,
        /// Where.
        place: &'static str,
    },
    /// `kauditd`, auditd or auditctl kept a CPU to itself.
    SoftLockup {
        /// Its name.
        comm: Untrusted,
        /// How long, seconds.
        seconds: u64,
    },
    /// The kernel panicked.
    Panic {
        /// Its words.
        message: Untrusted,
    },
    /// Something of auditd.
    Auditd {
        /// What.
        what: &'static str,
    },
    /// An error of audit without a loss.
    Error {
        /// Its words.
        message: Untrusted,
    },
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
    /// The commands that do it, one of them or all, as `what` says.
    pub commands: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_kept_once_and_so_are_not_too_many() {
        let mut boot = Boot::default();
        for number in 0..1000 {
            boot.panicked(format!("audit: {}", ["first", "second"][number % 2]));
        }
        assert_eq!(boot.panics, ["audit: first", "audit: second"]);
        for number in 0..1000 {
            boot.panicked(number.to_string());
        }
        assert_eq!(boot.panics.len(), MOST_PANICS);
    }
}
