//! The audit settings, and what they mean for this host.
//!
//! In: what the kernel answered, what BPF could read, and facts. Out: a
//! [`StatusReport`]. Pure.

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use crate::{
    auditd::registered::{self, Registered, Warning},
    kernel::{
        audit_state::KernelState, jiffies::jiffies_to_ns, record_size::FOLKLORE_RECORD_BYTES,
    },
    netlink::status::{AuditFeatures, AuditStatus},
    units::{counted, duration},
};

/// What a full queue costs, bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueMemory {
    /// A record of usual length, by this kernel's own sizes.
    pub record_bytes: u64,
    /// The main queue at its limit.
    pub limit_bytes: u64,
    /// The main, retry and hold queue at the limit.
    pub limit_worst_bytes: u64,
    /// What runbooks compute: limit x 8970, the size of a buffer in libaudit.
    pub folklore_bytes: u64,
}

/// What a status is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Kernel release.
    pub release: Option<String>,
    /// Ticks a second.
    pub hz: Option<u32>,
    /// What netlink answered, where it was asked.
    pub netlink: Option<AuditStatus>,
    /// Why it did not, or was not.
    pub netlink_missing: Option<String>,
    /// The switchable features.
    pub features: Option<AuditFeatures>,
    /// What could be read without a message.
    pub state: Option<KernelState>,
    /// Why something of it could not.
    pub state_missing: Option<String>,
    /// Booted with `audit=1`, by the command line.
    pub booted_with_audit: Option<bool>,
    /// Who is registered as auditd.
    pub auditd: Option<Registered>,
    /// Bytes of a usual record.
    pub record_bytes: Option<u64>,
}

/// The audit settings. `None`: not measured, and `missing` says why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Kernel release.
    pub release: Option<String>,
    /// Ticks a second.
    pub hz: Option<u32>,
    /// 0 off, 1 on, 2 on and locked until reboot.
    pub enabled: Option<u32>,
    /// What a loss does: 0 nothing, 1 printk, 2 panic.
    pub failure: Option<u32>,
    /// Who is registered as auditd.
    pub auditd: Option<Registered>,
    /// Records a second that pass, 0 for no limit.
    pub rate_limit: Option<u32>,
    /// Backlog limit, records; 0 for none.
    pub backlog_limit: Option<u32>,
    /// Records lost by the kernel's own count.
    pub lost: Option<u32>,
    /// Length of the main queue, records.
    pub backlog: Option<u32>,
    /// Length of the retry queue, records; netlink does not tell it.
    pub retry_depth: Option<u32>,
    /// Length of the hold queue, records; likewise.
    pub hold_depth: Option<u32>,
    /// Backlog wait time, jiffies, as `auditctl -s` prints it.
    pub backlog_wait_time_jiffies: Option<u32>,
    /// The same, ns.
    pub wait_time_ns: Option<u64>,
    /// Time waited by all tasks together, jiffies, as `auditctl -s` prints it.
    pub backlog_wait_time_actual_jiffies: Option<u32>,
    /// The same, ns.
    pub waited_ns: Option<u64>,
    /// Bits of `AUDIT_FEATURE_BITMAP_*`.
    pub feature_bitmap: Option<u32>,
    /// The switchable features.
    pub features: Option<AuditFeatures>,
    /// Booted with `audit=1`.
    pub booted_with_audit: Option<bool>,
    /// What a full queue costs.
    pub memory: Option<QueueMemory>,
    /// Why something was not measured.
    pub missing: Vec<String>,
    /// What keeps records from being made or written, each with the command that helps.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What deserves attention.
    pub notes: Vec<String>,
}

impl StatusReport {
    /// Puts the report together. Where both sources know a value, that of the kernel's memory counts: it
    /// was read together with the others.
    #[must_use]
    pub fn new(inputs: Inputs) -> Self {
        let state = inputs.state.as_ref();
        let netlink = inputs.netlink.as_ref();
        let pick = |from_state: fn(&KernelState) -> Option<u32>,
                    from_netlink: fn(&AuditStatus) -> Option<u32>| {
            state
                .and_then(from_state)
                .or_else(|| netlink.and_then(from_netlink))
        };
        let wait_time = pick(
            |state| state.wait_time_jiffies,
            |status| status.backlog_wait_time_jiffies,
        );
        let waited = pick(
            |state| state.waited_jiffies,
            |status| status.backlog_wait_time_actual_jiffies,
        );
        let in_ns = |jiffies: Option<u32>| Some(jiffies_to_ns(jiffies?, inputs.hz?));
        let limit = pick(|state| state.limit, |status| Some(status.backlog_limit));
        let mut missing: Vec<String> = Vec::new();
        if let Some(why) = &inputs.state_missing {
            missing.push(format!("retry and hold queue: {why}"));
        }
        missing.extend(inputs.netlink_missing.clone());
        if inputs.hz.is_none() {
            missing.push(
                "the kernel's HZ is in no readable configuration: times stay in jiffies".to_owned(),
            );
        }
        let mut report = Self {
            release: inputs.release,
            hz: inputs.hz,
            enabled: pick(|state| state.enabled, |status| Some(status.enabled)),
            failure: pick(|state| state.failure, |status| Some(status.failure)),
            auditd: inputs.auditd,
            rate_limit: pick(|state| state.rate_limit, |status| Some(status.rate_limit)),
            backlog_limit: limit,
            lost: pick(|state| state.lost, |status| Some(status.lost)),
            backlog: pick(|state| state.depth, |status| Some(status.backlog)),
            retry_depth: state.and_then(|state| state.retry_depth),
            hold_depth: state.and_then(|state| state.hold_depth),
            backlog_wait_time_jiffies: wait_time,
            wait_time_ns: in_ns(wait_time),
            backlog_wait_time_actual_jiffies: waited,
            waited_ns: in_ns(waited),
            feature_bitmap: netlink.and_then(|status| status.feature_bitmap),
            features: inputs.features,
            booted_with_audit: state
                .and_then(|state| state.booted_with_audit)
                .or(inputs.booted_with_audit),
            memory: limit.filter(|&limit| limit > 0).and_then(|limit| {
                let record_bytes = inputs.record_bytes?;
                let limit_bytes = u64::from(limit) * record_bytes;
                Some(QueueMemory {
                    record_bytes,
                    limit_bytes,
                    limit_worst_bytes: limit_bytes * 3,
                    folklore_bytes: u64::from(limit) * FOLKLORE_RECORD_BYTES,
                })
            }),
            missing,
            warnings: Vec::new(),
            notes: Vec::new(),
        };
        let off = registered::auditing_off(report.enabled);
        let auditd = report.auditd.as_ref().and_then(Registered::warning);
        report.warnings = off.iter().chain(&auditd).map(Warning::line).collect();
        report.notes = report.attention();
        report
    }

    fn attention(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |applies: bool, text: String| {
            if applies {
                notes.push(text);
            }
        };
        note(
            self.enabled == Some(2),
            "the settings are locked until reboot (-e 2): no limit can be changed now".to_owned(),
        );
        note(
            self.failure == Some(2),
            "a lost record panics the host (-f 2): never lower the limit, set a rate limit or a wait \
             time of 0, or provoke an overflow here"
                .to_owned(),
        );
        note(
            self.backlog_limit == Some(0),
            "no limit: the queues can take all memory".to_owned(),
        );
        if let (Some(depth), Some(limit)) = (self.backlog, self.backlog_limit) {
            note(
                limit > 0 && depth > limit,
                format!(
                    "the queue is over its limit ({depth} of {limit}): records are being refused, or \
                     their makers sleep"
                ),
            );
        }
        if let Some(lost) = self.lost {
            note(
                lost > 0,
                format!(
                    "{} lost, by the kernel's own count",
                    counted(u64::from(lost), "record")
                ),
            );
        }
        // 60000 is meant as a minute by those who take the unit for milliseconds.
        if let (Some(jiffies), Some(ns), Some(hz)) =
            (self.backlog_wait_time_jiffies, self.wait_time_ns, self.hz)
        {
            note(
                jiffies >= 30_000 && jiffies % 1000 == 0 && hz != 1000,
                format!(
                    "backlog_wait_time {jiffies} is in jiffies: {} a record at HZ {hz}, not {} s; a full \
                     queue holds a task up for so long, and it cannot be killed meanwhile",
                    duration(ns),
                    jiffies / 1000
                ),
            );
        }
        note(
            self.backlog_wait_time_jiffies == Some(0),
            "wait time 0: records are dropped at once when the queue is over its limit".to_owned(),
        );
        note(
            self.booted_with_audit == Some(false) && self.enabled.is_some_and(|enabled| enabled != 0),
            "not booted with audit=1: while auditd is away or stalled, records are lost silently; the kernel does not \
             count them"
                .to_owned(),
        );
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Inputs {
        Inputs {
            release: Some("6.1.0".to_owned()),
            hz: Some(250),
            netlink: Some(AuditStatus {
                enabled: 1,
                failure: 1,
                pid: 77,
                backlog_limit: 8192,
                backlog: 3,
                backlog_wait_time_jiffies: Some(60_000),
                backlog_wait_time_actual_jiffies: Some(250),
                feature_bitmap: Some(0x7f),
                ..AuditStatus::default()
            }),
            record_bytes: Some(2304),
            booted_with_audit: Some(true),
            ..Inputs::default()
        }
    }

    #[test]
    fn jiffies_become_seconds_by_the_kernels_hz() {
        let report = StatusReport::new(inputs());
        assert_eq!(report.wait_time_ns, Some(240_000_000_000));
        assert_eq!(report.waited_ns, Some(1_000_000_000));
        assert!(
            report
                .notes
                .iter()
                .any(|note| note.contains("4 min 00 s a record at HZ 250, not 60 s"))
        );
        let unknown = StatusReport::new(Inputs {
            hz: None,
            ..inputs()
        });
        assert_eq!(unknown.wait_time_ns, None);
        assert_eq!(unknown.backlog_wait_time_jiffies, Some(60_000));
        assert!(unknown.missing.iter().any(|line| line.contains("HZ")));
    }

    #[test]
    fn settings_that_suppress_records_give_a_warning() {
        let warnings = |enabled, pid, state| {
            let mut inputs = inputs();
            if let Some(status) = &mut inputs.netlink {
                status.enabled = enabled;
            }
            inputs.auditd = Some(Registered {
                pid,
                comm: Some("auditd".into()),
                state,
                ..Registered::default()
            });
            StatusReport::new(inputs).warnings
        };
        assert_eq!(warnings(1, 77, Some('S')), Vec::<String>::new());
        assert_eq!(
            warnings(1, 77, Some('T')),
            ["auditd (pid 77) is stopped (T): kill -CONT 77"]
        );
        let both = warnings(0, 0, None);
        assert!(
            both[0].starts_with("auditing is off (enabled 0)"),
            "{both:?}"
        );
        assert!(
            both[1].starts_with("auditd: not registered (pid 0)"),
            "{both:?}"
        );
    }

    #[test]
    fn memory_stands_beside_the_folklore() {
        let memory = StatusReport::new(inputs())
            .memory
            .expect("a limit and a size");
        assert_eq!(memory.limit_bytes, 18_874_368);
        assert_eq!(memory.limit_worst_bytes, 56_623_104);
        assert_eq!(memory.folklore_bytes, 73_482_240);
    }

    #[test]
    fn unmeasured_status_is_not_zero() {
        let report = StatusReport::new(Inputs {
            state_missing: Some("EPERM".to_owned()),
            ..inputs()
        });
        assert_eq!(report.retry_depth, None);
        assert_eq!(report.missing, ["retry and hold queue: EPERM"]);
    }

    #[test]
    fn readings_of_memory_come_first() {
        let report = StatusReport::new(Inputs {
            state: Some(KernelState {
                depth: Some(9000),
                retry_depth: Some(5),
                booted_with_audit: Some(false),
                ..KernelState::default()
            }),
            ..inputs()
        });
        assert_eq!(report.backlog, Some(9000));
        assert_eq!(report.backlog_limit, Some(8192));
        assert_eq!(report.booted_with_audit, Some(false));
        assert!(
            report
                .notes
                .iter()
                .any(|note| note.contains("over its limit (9000 of 8192)"))
        );
        assert!(report.notes.iter().any(|note| note.contains("silently")));
    }
}
