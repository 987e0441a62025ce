//! [`Registered`]: the process that is registered for audit records, and whether it can take any.
//!
//! In: values that `tasks` read from `/proc`. Out: plain data, and a warning in words with the command
//! that helps. Pure.

use serde::{Deserialize, Serialize};

use crate::untrusted::Untrusted;

/// Who is registered as auditd.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Process id, 0 for none.
    pub pid: u32,
    /// Its command name; `None` when there is no such process in sight.
    pub comm: Option<Untrusted>,
    /// Its program; `None` when that cannot be read.
    pub exe: Option<Untrusted>,
    /// Its state, the letter of `/proc/PID/stat`; `None` when there is no such process in sight.
    #[serde(default)]
    pub state: Option<char>,
    /// Whether it would be in sight if it lived: this process has the host's process ids. `None` where
    /// that is not known.
    #[serde(default)]
    pub sees_host: Option<bool>,
}

/// Something that keeps records from being written, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What is the matter.
    pub text: String,
    /// The command that helps.
    pub remedy: String,
}

impl Warning {
    fn new(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            remedy: remedy.into(),
        }
    }

    /// Both in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let colon = if self.text.contains(": ") { ";" } else { ":" };
        format!("{}{colon} {}", self.text, self.remedy)
    }
}

impl Registered {
    /// `auditd (pid 133)`.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.comm {
            Some(comm) => format!("{comm} (pid {})", self.pid),
            None => format!("the registered process (pid {})", self.pid),
        }
    }

    /// Why it takes no records; `None` where it can.
    #[must_use]
    pub fn warning(&self) -> Option<Warning> {
        let (name, pid) = (self.name(), self.pid);
        if pid == 0 {
            return Some(Warning::new(
                "auditd: not registered (pid 0): the kernel log gets a few records a second, the rest are \
                 held or lost",
                "systemctl start auditd",
            ));
        }
        Some(match self.state {
            Some('T') => Warning::new(
                format!("{name} is stopped (T)"),
                format!("kill -CONT {pid}"),
            ),
            Some('t') => Warning::new(
                format!("{name} is stopped by a tracer (t)"),
                format!("end the debugger or strace of process {pid}"),
            ),
            Some('Z' | 'X') => Warning::new(
                format!("{name} has ended and takes no records (Z)"),
                "systemctl restart auditd",
            ),
            None if self.sees_host == Some(true) => Warning::new(
                format!(
                    "the registered process (pid {pid}) is gone; the kernel notices it with the next record"
                ),
                "systemctl restart auditd",
            ),
            _ => return None,
        })
    }
}

/// The warning that auditing is off; `None` where it is on, or not known.
#[must_use]
pub fn auditing_off(enabled: Option<u32>) -> Option<Warning> {
    (enabled == Some(0)).then(|| {
        Warning::new(
            "auditing is off (enabled 0): no records are made",
            "auditctl -e 1",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pid: u32, state: Option<char>, sees_host: Option<bool>) -> Option<String> {
        let comm = state.map(|_| "auditd".into());
        let registered = Registered {
            pid,
            comm,
            exe: None,
            state,
            sees_host,
        };
        registered.warning().map(|warning| warning.line())
    }

    #[test]
    fn process_that_takes_no_records_is_named_with_a_remedy() {
        let stopped = line(133, Some('T'), Some(true));
        assert_eq!(
            stopped.as_deref(),
            Some("auditd (pid 133) is stopped (T): kill -CONT 133")
        );
        for (pid, state, word) in [
            (133, Some('t'), "tracer"),
            (133, Some('Z'), "has ended"),
            (133, None, "is gone"),
            (0, None, "not registered (pid 0)"),
        ] {
            let line = line(pid, state, Some(true)).expect("a warning");
            assert!(line.contains(word), "{line}");
        }
    }

    #[test]
    fn working_or_invisible_consumer_gives_no_warning() {
        for state in ['R', 'S', 'D', 'I'] {
            assert_eq!(line(133, Some(state), Some(true)), None);
        }
        assert_eq!(line(133, None, Some(false)), None);
        assert_eq!(line(133, None, None), None);
    }

    #[test]
    fn disabled_auditing_is_distinguished_from_an_unknown_state() {
        assert!(auditing_off(Some(0)).is_some());
        assert_eq!(auditing_off(Some(1)), None);
        assert_eq!(auditing_off(Some(2)), None);
        assert_eq!(auditing_off(None), None);
    }
}
