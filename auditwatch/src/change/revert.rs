//! What of a change is still as it was left, and what somebody else has changed since.
//!
//! In: the change's plan, the settings in force, the files' bytes. Out: a [`PartState`] for each part.
//! Pure. Only what is still ours is ever taken back.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    change::journal::{Content, Field, Plan, SettingChange},
    kernel::audit_state::KernelState,
};

/// A part of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A setting of the running kernel.
    Setting(Field),
    /// A file, by its path.
    File(&'a Path),
}

/// How a part of a change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// As the change left it.
    Ours,
    /// As it was before the change.
    AsBefore,
    /// As neither: somebody else has changed it.
    Others,
    /// It cannot be seen.
    Unknown,
}

/// A setting of the running kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingPart {
    /// Which, from what to what.
    pub change: SettingChange,
    /// Its value now.
    pub now: Option<u32>,
    /// How it stands.
    pub standing: PartState,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePart {
    /// Where it is.
    pub path: PathBuf,
    /// How it stands.
    pub standing: PartState,
}

/// All parts of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// Settings, in the order they were set.
    pub settings: Vec<SettingPart>,
    /// Files.
    pub files: Vec<FilePart>,
}

impl Parts {
    /// Looks at each. `files` are the bytes of the plan's files, in its order; `None` where there is none.
    #[must_use]
    pub fn of(plan: &Plan, state: Option<&KernelState>, files: &[Option<Vec<u8>>]) -> Self {
        let settings = plan.settings.iter().map(|&change| {
            let now = state.and_then(|state| value(state, change.field));
            let standing = match now {
                None => PartState::Unknown,
                Some(now) if now == change.new => PartState::Ours,
                Some(now) if now == change.old => PartState::AsBefore,
                Some(_) => PartState::Others,
            };
            SettingPart {
                change,
                now,
                standing,
            }
        });
        let files = plan.files.iter().zip(files).map(|(change, now)| {
            let before = change.before.as_ref().and_then(Content::bytes);
            let standing = if now.is_some() && *now == change.after.bytes() {
                PartState::Ours
            } else if *now == before {
                PartState::AsBefore
            } else {
                PartState::Others
            };
            FilePart {
                path: change.path.clone(),
                standing,
            }
        });
        Self {
            settings: settings.collect(),
            files: files.collect(),
        }
    }

    /// What was changed since, in words. `own` says which change of auditwatch's own did it to a part; where none
    /// did, it was somebody else.
    #[must_use]
    pub fn others(&self, own: impl Fn(Part<'_>) -> Option<String>) -> Vec<String> {
        let by = |part| {
            own(part).unwrap_or_else(|| {
                let how_to_tell = match part {
                    Part::Setting(_) => " (see ausearch -m CONFIG_CHANGE)",
                    Part::File(_) => "",
                };
                format!("another program changed it{how_to_tell}")
            })
        };
        let settings = self.settings.iter().filter_map(|part| {
            let SettingChange { field, new, .. } = part.change;
            match (part.standing, part.now) {
                (PartState::Others, Some(now)) => Some(format!(
                    "{} is now {now}, not {new}: {}",
                    field.name(),
                    by(Part::Setting(field))
                )),
                (PartState::Unknown, _) => {
                    Some(format!("cannot read the present {}", field.name()))
                }
                _ => None,
            }
        });
        let files = self
            .files
            .iter()
            .filter(|part| part.standing == PartState::Others)
            .map(|part| {
                let who = by(Part::File(&part.path));
                format!(
                    "{} differs from the applied version: {who}",
                    part.path.display()
                )
            });
        settings.chain(files).collect()
    }
}

/// The value of a setting.
#[must_use]
pub fn value(state: &KernelState, field: Field) -> Option<u32> {
    match field {
        Field::BacklogLimit => state.limit,
        Field::BacklogWaitTime => state.wait_time_jiffies,
    }
}

/// Why a setting must not be taken back now; `None` where it may.
#[must_use]
pub fn forbidden(change: &SettingChange, state: &KernelState) -> Option<String> {
    let SettingChange { field, old, new } = *change;
    let lowers =
        old != 0 && (new == 0 || old < new) || (field == Field::BacklogWaitTime && old < new);
    if state.enabled == Some(2) {
        return Some(format!(
            "{} stays {new} until reboot: the settings are locked (-e 2)",
            field.name()
        ));
    }
    if state.failure == Some(2) && lowers {
        return Some(format!(
            "{} stays {new} until reboot: {old} is lower, and a lost record panics this host (-f 2)",
            field.name()
        ));
    }
    let is_limit = field == Field::BacklogLimit && old != 0;
    match state.depth {
        Some(depth) if is_limit && depth >= old => Some(format!(
            "{depth} records are in the queue, too many for limit {old}; try again when the queue is shorter"
        )),
        _ if !is_limit && state.is_over_limit() => Some(
            "the queue is over its limit, and an audit message could strand tasks; try again when the queue is \
             shorter"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::journal::tests::plan;

    fn state(limit: u32) -> KernelState {
        KernelState {
            limit: Some(limit),
            depth: Some(0),
            enabled: Some(1),
            failure: Some(1),
            ..KernelState::default()
        }
    }

    #[test]
    fn own_values_are_distinguished_from_changed_ones() {
        let standings = |limit, file: Option<&[u8]>| {
            let parts = Parts::of(&plan(), Some(&state(limit)), &[file.map(<[u8]>::to_vec)]);
            (
                parts.settings[0].standing,
                parts.files[0].standing,
                parts.others(|_| None).len(),
            )
        };
        let ours = Some(b"\n-b 8192\n".as_slice());
        assert_eq!(standings(8192, ours), (PartState::Ours, PartState::Ours, 0));
        assert_eq!(
            standings(320, None),
            (PartState::AsBefore, PartState::AsBefore, 0)
        );
        assert_eq!(
            standings(1000, Some(b"-b 1\n")),
            (PartState::Others, PartState::Others, 2)
        );
        let unseen = Parts::of(&plan(), None, &[None]);
        assert_eq!(unseen.settings[0].standing, PartState::Unknown);
    }

    #[test]
    fn taking_back_keeps_the_rules_of_harmlessness() {
        let change = plan().settings[0];
        assert_eq!(forbidden(&change, &state(8192)), None);
        let told = |edit: fn(&mut KernelState)| {
            let mut state = state(8192);
            edit(&mut state);
            forbidden(&change, &state).unwrap_or_default()
        };
        assert!(told(|state| state.failure = Some(2)).contains("-f 2"));
        assert!(told(|state| state.enabled = Some(2)).contains("-e 2"));
        assert!(told(|state| state.depth = Some(320)).contains("320 records"));
        // A raise is taken back to what is higher.
        let back_up = SettingChange {
            field: Field::BacklogLimit,
            old: 8192,
            new: 320,
        };
        let mut panics = state(320);
        panics.failure = Some(2);
        assert_eq!(forbidden(&back_up, &panics), None);
    }
}
