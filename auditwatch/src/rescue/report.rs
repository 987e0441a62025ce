//! What `rescue` found, and what it did: plain data, which users' scripts read as JSON.
//!
//! In: looks at the host. Out: a [`RescueReport`] with a verdict and its explanation. Pure; keys are
//! only ever added, and what was not measured is `None`.

use serde::{Deserialize, Serialize};

use crate::{
    auditd::registered::Registered,
    kernel::audit_state::KernelState,
    rescue::sleepers::{self, Look, Place, Sleeper},
    units::{counted, verb},
};

/// What is the matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nobody sleeps in the audit code, and no queue rests.
    NothingStuck,
    /// Tasks sleep for room, and get it one after the other.
    Moving,
    /// Tasks sleep although the queue has room, and nothing will wake them but their time running out.
    Stranded,
    /// Tasks sleep since the queue is over its limit.
    Full,
    /// Tasks sleep, and whether the queue has room cannot be seen here.
    NotKnown,
    /// Records rest in the retry queue until another one comes.
    RetryRests,
}

impl Verdict {
    /// Whether something is to be done about it.
    #[must_use]
    pub const fn is_stuck(self) -> bool {
        matches!(
            self,
            Self::Stranded | Self::Full | Self::NotKnown | Self::RetryRests
        )
    }
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When, ns since the first look.
    pub at_ns: u64,
    /// What.
    pub what: String,
    /// Of the tasks that are stuck, those that sleep on after it.
    pub sleepers_left: u64,
}

/// `rescue`, the kind of a [`RescueReport`]: no other is written, and a line of another is not read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RescueKind {
    /// The only one.
    Rescue,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RescueReport {
    /// Always `rescue`.
    pub kind: RescueKind,
    /// Version of this format; keys are only ever added to it.
    pub schema: u32,
    /// What is the matter.
    pub verdict: Verdict,
    /// Length of the main queue, records.
    pub depth: Option<u32>,
    /// Its limit, records; 0 for none.
    pub limit: Option<u32>,
    /// Length of the retry queue, records.
    pub retry_depth: Option<u32>,
    /// Length of the hold queue, records.
    pub hold_depth: Option<u32>,
    /// Whether `kauditd` waits for a record, which it does with the main queue empty.
    pub kauditd_idle: Option<bool>,
    /// Who is registered to take the records; `None` where that is not known.
    #[serde(default)]
    pub auditd: Option<Registered>,
    /// Who sleeps in the audit code.
    pub sleepers: Vec<Sleeper>,
    /// How many of them are stranded.
    pub stranded: u64,
    /// In sentences.
    pub explanation: Vec<String>,
    /// Whether anything was to be done about it.
    pub asked_to_free: bool,
    /// What was done.
    pub steps: Vec<Step>,
    /// How many were freed; `None` where nothing was done.
    pub freed: Option<u64>,
    /// How many are stuck still; `None` where nothing was done.
    pub left: Option<u64>,
    /// Length of the retry queue after it was to be gone through, records; `None` where it was not.
    pub retry_after: Option<u32>,
    /// From the first look to the last one that was stuck being free, ns; `None` where nothing was done, or
    /// not all are free.
    pub took_ns: Option<u64>,
    /// Number of the change in the journal, where the limit was raised.
    pub change: Option<u64>,
}

impl RescueReport {
    /// What looks, one after the other, come to; and who takes the records meanwhile.
    #[must_use]
    pub fn of(looks: &[Look], state: Option<&KernelState>, auditd: Option<Registered>) -> Self {
        let last = looks.last().cloned().unwrap_or_default();
        let stranded = sleepers::stranded(looks);
        let same = sleepers::slept_on(looks).len();
        let rests = state
            .and_then(|state| state.retry_depth)
            .is_some_and(|depth| depth > 0)
            && last.kauditd_idle == Some(true);
        let verdict = if !stranded.is_empty() {
            Verdict::Stranded
        } else if last.sleepers.is_empty() {
            if rests {
                Verdict::RetryRests
            } else {
                Verdict::NothingStuck
            }
        } else if same == 0 {
            Verdict::Moving
        } else {
            match last.has_room() {
                Some(false) => Verdict::Full,
                // It had none a moment ago: whoever sleeps is still being woken.
                Some(true) => Verdict::Moving,
                None => Verdict::NotKnown,
            }
        };
        let mut report = Self {
            kind: RescueKind::Rescue,
            schema: 1,
            verdict,
            depth: last.depth,
            limit: last.limit,
            retry_depth: state.and_then(|state| state.retry_depth),
            hold_depth: state.and_then(|state| state.hold_depth),
            kauditd_idle: last.kauditd_idle,
            auditd,
            stranded: stranded.len() as u64,
            sleepers: last.sleepers,
            explanation: Vec::new(),
            asked_to_free: false,
            steps: Vec::new(),
            freed: None,
            left: None,
            retry_after: None,
            took_ns: None,
            change: None,
        };
        report.explanation = report.explain();
        report
    }

    /// Whether something is stuck after all that was done.
    #[must_use]
    pub fn is_stuck_still(&self) -> bool {
        match (self.left, self.retry_after) {
            (Some(left), _) => left > 0,
            (None, Some(after)) => after >= self.retry_depth.unwrap_or(0),
            (None, None) => self.verdict.is_stuck(),
        }
    }

    fn explain(&self) -> Vec<String> {
        let sleeping = self.sleepers.len() as u64;
        let tasks = |number: u64| counted(number, "task");
        let mut said = Vec::new();
        match self.verdict {
            Verdict::NothingStuck => {
                said.push("nothing is stuck: no task sleeps in the audit code".to_owned());
            }
            Verdict::Moving => said.push(format!(
                "nothing is stuck: {} {} for room in the audit queue, and the queue moves",
                tasks(sleeping),
                verb(sleeping, "wait")
            )),
            Verdict::Stranded => {
                said.push(format!(
                    "{} {} stranded: asleep in the audit code although the queue has room ({}). Only another \
                     record or the end of backlog_wait_time wakes {}",
                    tasks(self.stranded),
                    if self.stranded == 1 { "is" } else { "are" },
                    self.room(),
                    if self.stranded == 1 { "it" } else { "them" }
                ));
                let senders = self
                    .sleepers
                    .iter()
                    .filter(|sleeper| sleeper.place == Place::AuditReceive)
                    .count() as u64;
                if senders > 0 {
                    said.push(format!(
                        "{} of all sleeping tasks sent an audit message, as auditctl -s does, while the queue was \
                         over its limit. Since Linux 5.17 such a sender uses up a wake-up, and other tasks stay \
                         asleep; do not poll audit netlink while the queue is full",
                        tasks(senders)
                    ));
                }
            }
            Verdict::Full => said.push(format!(
                "{} {} for room in the audit queue, which is full ({}){}",
                tasks(sleeping),
                verb(sleeping, "wait"),
                self.room(),
                match &self.auditd {
                    Some(auditd) if auditd.warning().is_none() =>
                        format!("; {} runs, but reads records too slowly", auditd.name()),
                    Some(_) => String::new(),
                    None => "; check auditd first: it is slow, stopped or gone".to_owned(),
                }
            )),
            Verdict::NotKnown => said.push(format!(
                "{} {} in the audit code; the queue depth is unknown, because neither the kernel's memory nor BPF \
                 can be read",
                tasks(sleeping),
                verb(sleeping, "sleep")
            )),
            Verdict::RetryRests => said.push(format!(
                "{} {} in the retry queue: the kernel retries only when another record comes",
                counted(u64::from(self.retry_depth.unwrap_or(0)), "record"),
                verb(u64::from(self.retry_depth.unwrap_or(0)), "wait")
            )),
        }
        let warning = self.auditd.as_ref().and_then(Registered::warning);
        said.extend(warning.map(|warning| warning.line()));
        said
    }

    fn room(&self) -> String {
        match (self.depth, self.limit) {
            (Some(depth), Some(0)) => format!("{}, no limit", counted(depth.into(), "record")),
            (Some(depth), Some(limit)) => format!("{depth} of {limit} records"),
            _ => "empty: kauditd waits for a record".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(depth: Option<u32>, idle: Option<bool>, sleeps: &[u64]) -> Look {
        Look {
            depth,
            limit: depth.map(|_| 64),
            kauditd_idle: idle,
            sleepers: (1..)
                .zip(sleeps)
                .map(|(tid, &sleeps)| Sleeper {
                    pid: tid,
                    tid,
                    comm: "writer".into(),
                    place: Place::AuditLogStart,
                    syscall: None,
                    sleeps,
                })
                .collect(),
        }
    }

    fn verdict(looks: &[Look]) -> Verdict {
        RescueReport::of(looks, None, None).verdict
    }

    #[test]
    fn each_case_is_distinguished() {
        let twice = |depth, idle| [look(depth, idle, &[3, 4]), look(depth, idle, &[3, 4])];
        assert_eq!(verdict(&twice(Some(0), Some(true))), Verdict::Stranded);
        assert_eq!(verdict(&twice(None, Some(true))), Verdict::Stranded);
        assert_eq!(verdict(&twice(Some(65), Some(false))), Verdict::Full);
        assert_eq!(verdict(&twice(None, Some(false))), Verdict::NotKnown);
        let moving = [look(Some(65), None, &[3]), look(Some(65), None, &[4])];
        assert_eq!(verdict(&moving), Verdict::Moving);
        let just_now = [look(Some(65), None, &[3]), look(Some(9), None, &[3])];
        assert_eq!(verdict(&just_now), Verdict::Moving);
        assert_eq!(
            verdict(&[look(Some(0), None, &[]), look(Some(0), None, &[])]),
            Verdict::NothingStuck
        );
        assert_eq!(verdict(&[]), Verdict::NothingStuck);
    }

    #[test]
    fn a_full_queue_names_the_auditd_that_is_stopped() {
        let said = |state, sleeps: &[u64]| {
            let auditd = Registered {
                pid: 133,
                comm: Some("auditd".into()),
                state: Some(state),
                ..Registered::default()
            };
            let twice = [look(Some(65), None, sleeps), look(Some(65), None, sleeps)];
            RescueReport::of(&twice, None, Some(auditd)).explanation
        };
        assert_eq!(
            said('T', &[3]),
            [
                "1 task waits for room in the audit queue, which is full (65 of 64 records)",
                "auditd (pid 133) is stopped (T): kill -CONT 133"
            ]
        );
        assert_eq!(
            said('S', &[3, 4]),
            [
                "2 tasks wait for room in the audit queue, which is full (65 of 64 records); auditd (pid 133) \
              runs, but reads records too slowly"
            ]
        );
    }

    #[test]
    fn a_retry_queue_that_rests_is_seen() {
        let state = KernelState {
            retry_depth: Some(7),
            ..KernelState::default()
        };
        let quiet = [look(Some(0), Some(true), &[])];
        let report = RescueReport::of(&quiet, Some(&state), None);
        assert_eq!(report.verdict, Verdict::RetryRests);
        assert!(report.explanation[0].starts_with("7 records wait"));
        let mut moved = report.clone();
        assert!(moved.is_stuck_still());
        moved.retry_after = Some(7);
        assert!(moved.is_stuck_still());
        moved.retry_after = Some(0);
        assert!(!moved.is_stuck_still());
        let busy = [look(Some(0), Some(false), &[])];
        assert_eq!(
            RescueReport::of(&busy, Some(&state), None).verdict,
            Verdict::NothingStuck
        );
    }
}
