//! [`ConsumerSetup`]: who takes the records, and how it is set up to do so.
//!
//! In: values that `commands` read from the host. Out: plain data, which recordings keep and the
//! recommendation names the bottleneck from. Pure; it must not judge.

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use self::{conf::AuditdConf, state::AuditdState};
use crate::untrusted::{NAME_COLUMNS, Untrusted};

pub mod conf;
pub mod registered;
pub mod state;

/// The process that takes the records, and its set-up at the end of the trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerSetup {
    /// Its process id, in the initial namespace.
    pub pid: u32,
    /// Its command name; `None` where it could not be read.
    pub comm: Option<Untrusted>,
    /// Its scheduling priority (nice); `None` where it could not be read.
    #[serde(default)]
    pub nice: Option<i32>,
    /// The configuration file that it goes by; `None` where it is not auditd.
    pub conf_path: Option<String>,
    /// What that file says; `None` where it could not be read.
    pub conf: Option<AuditdConf>,
    /// Plugins that are switched on, by the names of their files; `None` where that could not be read.
    pub plugins: Option<Vec<String>>,
    /// auditd's own report of its state, where one lies there.
    pub state: Option<AuditdState>,
    /// The file of that report.
    pub state_path: Option<String>,
    /// Age of that report at the end of the trace, ns.
    pub state_age_ns: Option<u64>,
    /// What its main thread has had of the CPUs so far.
    #[serde(default)]
    pub times: Option<CpuTimes>,
    /// The limit on its CPU time; `None` without one, or where it could not be read.
    #[serde(default)]
    pub cpu_quota: Option<CpuQuota>,
    /// Whether a signal stopped it (state T), or its control group was frozen, at the end of the trace.
    #[serde(default)]
    pub is_stopped: Option<bool>,
    /// Memory that a socket made now may take (`net.core.rmem_default`), bytes.
    pub rmem_default_bytes: Option<u64>,
}

/// How much CPU time a control group may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuQuota {
    /// CPU time in a period, us.
    pub quota_us: u64,
    /// The period, us.
    pub period_us: u64,
    /// The group.
    pub group: Untrusted,
}

impl CpuQuota {
    /// The same as a number of CPUs.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "times of a period stay far below 2^52 us"
    )]
    pub fn cpus(&self) -> f64 {
        self.quota_us as f64 / self.period_us.max(1) as f64
    }
}

/// What a process's main thread has had of the CPUs since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuTimes {
    /// Its process id.
    pub pid: u32,
    /// Time that it ran, ns.
    pub ran_ns: u64,
    /// Time that it could have run and had no CPU, ns.
    pub waited_ns: u64,
}

impl CpuTimes {
    /// The same since an earlier moment; `None` where it is another process.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        if self.pid != earlier.pid {
            return None;
        }
        Some(Self {
            pid: self.pid,
            ran_ns: self.ran_ns.checked_sub(earlier.ran_ns)?,
            waited_ns: self.waited_ns.checked_sub(earlier.waited_ns)?,
        })
    }
}

impl ConsumerSetup {
    /// Its command name as it is shown in a sentence; `None` where it could not be read.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        Some(self.comm.as_ref()?.clipped(NAME_COLUMNS))
    }

    /// Whether it is auditd; `None` where its name could not be read.
    #[must_use]
    pub fn is_auditd(&self) -> Option<bool> {
        Some(*self.comm.as_ref()? == "auditd")
    }

    /// The configuration, and the file that it stands in.
    #[must_use]
    pub fn configuration(&self) -> Option<(&AuditdConf, &str)> {
        Some((self.conf.as_ref()?, self.conf_path.as_deref()?))
    }
}

/// The words by which auditd's files say whether.
fn yes(word: &str) -> Option<bool> {
    match word {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}
