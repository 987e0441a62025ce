//! The hands that change something: a plan is carried out or taken back, each step journaled.
//!
//! In: a plan that stands in the journal. Out: the host as planned, or as before. Whatever is found
//! half-way is gone on with: each part is looked at first, and done only where it is not done yet.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::live::settings::{KernelNow, read_back};
use crate::{
    change::{
        journal::{By, Content, Field, FileChange, Plan, SettingChange, State},
        journal_file::JournalFile,
        revert::{self, PartState, Parts},
    },
    files::{
        atomic::{self, Staged},
        root::Root,
    },
    kernel::audit_state::KernelState,
    netlink::{
        control::{self, Setting},
        socket::{AuditSocket, NetlinkError},
    },
    rules::is_rules_file,
    untrusted::Untrusted,
};

/// How long a queue is given to get shorter before a limit is lowered.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks at it.
const STEP: Duration = Duration::from_millis(20);

/// The running kernel, within reach.
pub(super) struct Kernel {
    pub(super) now: KernelNow,
    socket: AuditSocket,
}

impl Kernel {
    /// Opens all that is needed, so that nothing has to be opened half-way.
    pub(super) fn open(now: KernelNow) -> Result<Self> {
        Ok(Self {
            now,
            socket: AuditSocket::open()?,
        })
    }

    fn state(&mut self) -> Result<KernelState> {
        let state = self.now.state();
        let why = self.now.missing().unwrap_or_default();
        state.with_context(|| format!("cannot read the present audit settings: {why}"))
    }

    /// Sets a setting and looks whether it is set.
    fn set(&mut self, field: Field, value: u32) -> Result<(), SetError> {
        let order = match field {
            Field::BacklogLimit => Setting::BacklogLimit(value),
            Field::BacklogWaitTime => Setting::BacklogWaitTime(value),
        };
        match control::set(&mut self.socket, order) {
            // A lock is the one thing that keeps a process from setting which may ask.
            Err(NetlinkError::NotPermitted) => return Err(SetError::Locked),
            set => set.map_err(|error| {
                SetError::Other(anyhow!(error).context(format!("cannot set {}", field.name())))
            })?,
        }
        let state = read_back(&mut self.now, &mut self.socket).map_err(SetError::Other)?;
        match revert::value(&state, field) {
            Some(now) if now == value => Ok(()),
            now => Err(SetError::Other(anyhow!(
                "{} was set to {value}, but is now {}: another process changes it at the same time",
                field.name(),
                now.map_or_else(|| "unknown".to_owned(), |now| now.to_string())
            ))),
        }
    }
}

/// Why a setting was not set.
enum SetError {
    /// EPERM: locked until reboot.
    Locked,
    Other(anyhow::Error),
}

/// Everything that a change needs.
pub(super) struct ChangeExecutor<'a> {
    pub(super) root: &'a Root,
    pub(super) journal: JournalFile,
    /// `None` where a mounted disk is edited.
    pub(super) kernel: Option<Kernel>,
}

/// How a change that was carried out stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// The kernel turned out to be locked: the next boot brings it.
    pub(super) pending_reboot: bool,
}

impl ChangeExecutor<'_> {
    /// Carries out a plan that stands in the journal, or what is left of it.
    ///
    /// # Errors
    /// When a step failed. What was done before it is taken back then, as far as that is safe.
    pub(super) fn carry_out(&mut self, id: u64, plan: &Plan) -> Result<Done> {
        match self.try_to(id, plan) {
            Ok(done) => Ok(done),
            Err(error) => {
                let put_back = self
                    .parts(plan)
                    .and_then(|(parts, _)| self.put_back(plan, &parts));
                let left = match put_back {
                    Ok(stays) if stays.is_empty() => {
                        self.journal
                            .step(id, State::Failed, Some(format!("{error:#}")))?;
                        return Err(error.context("nothing changed"));
                    }
                    Ok(stays) => stays.join("; "),
                    Err(left) => format!("{left:#}"),
                };
                // It stays open: `undo` and a later `apply` find it.
                let note = format!("{error:#}; the revert failed too: {left}");
                let state = self.state_of(id).unwrap_or(State::Planned);
                self.journal.step(id, state, Some(note))?;
                Err(error.context(format!(
                    "change {id} is only partly applied, and the revert failed ({left}); try auditwatch undo {id}"
                )))
            }
        }
    }

    fn state_of(&self, id: u64) -> Option<State> {
        self.journal
            .journal()
            .to_undo(Some(id))
            .map(|change| change.state)
    }

    fn try_to(&mut self, id: u64, plan: &Plan) -> Result<Done> {
        let mut done = Done {
            pending_reboot: plan.pending_reboot,
        };
        // All that can fail for want of room or permission fails here, before anything is changed.
        let staged = self.stage_all(&plan.files)?;
        if let Some(kernel) = &mut self.kernel
            && !plan.settings.is_empty()
        {
            for change in &plan.settings {
                let now = revert::value(&kernel.state()?, change.field);
                if now == Some(change.new) {
                    continue;
                }
                ensure!(
                    now == Some(change.old),
                    "{} is now {}, not {}: another process has just changed it",
                    change.field.name(),
                    now.map_or_else(|| "unknown".to_owned(), |now| now.to_string()),
                    change.old
                );
                match kernel.set(change.field, change.new) {
                    Ok(()) => {}
                    Err(SetError::Locked) if plan.target.persist => {
                        done.pending_reboot = true;
                        break;
                    }
                    Err(SetError::Locked) => bail!(
                        "cannot change the kernel's settings (EPERM): they are locked until reboot (-e 2)"
                    ),
                    Err(SetError::Other(error)) => return Err(error),
                }
            }
            let note = (done.pending_reboot && !plan.pending_reboot).then(|| {
                "the kernel's settings are locked (EPERM, -e 2): pending reboot".to_owned()
            });
            self.journal.step(id, State::RuntimeSet, note)?;
        }
        if !plan.files.is_empty() {
            for file in staged {
                file.place()?;
            }
            self.journal.step(id, State::Persisted, None)?;
        }
        Ok(done)
    }

    /// New versions of all files that have theirs not yet.
    fn stage_all(&self, files: &[FileChange]) -> Result<Vec<Staged>> {
        let mut staged = Vec::new();
        for change in files {
            only_rules(&change.path)?;
            let now = atomic::read(self.root, &change.path)?;
            let after = bytes(&change.after)?;
            if now.as_ref() == Some(&after) {
                atomic::clear(self.root, &change.path)?;
                continue;
            }
            let before = change.before.as_ref().map(bytes).transpose()?;
            ensure!(
                now == before,
                "{} was changed by another process after the plan was made",
                self.root.outside(&change.path).display()
            );
            staged.push(atomic::stage(
                self.root,
                &change.path,
                &after,
                before.as_deref(),
            )?);
        }
        Ok(staged)
    }

    /// How the parts of a plan stand.
    pub(super) fn parts(&mut self, plan: &Plan) -> Result<(Parts, Option<KernelState>)> {
        let state = match &mut self.kernel {
            Some(kernel) if !plan.settings.is_empty() => Some(kernel.state()?),
            _ => None,
        };
        let files = plan
            .files
            .iter()
            .map(|change| {
                only_rules(&change.path)?;
                Ok(atomic::read(self.root, &change.path)?)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok((Parts::of(plan, state.as_ref(), &files), state))
    }

    /// Takes a change back, as far as it is still as it was left: returns what had to stay, in words.
    ///
    /// # Errors
    /// When a part could not be taken back.
    pub(super) fn take_back(&mut self, id: u64, plan: &Plan, why: &str) -> Result<Vec<String>> {
        self.journal
            .step(id, State::Reverting, Some(why.to_owned()))?;
        // What others have changed stays as it is.
        let (parts, _) = self.parts(plan)?;
        let mut stays = parts.others(|_| None);
        stays.extend(self.put_back(plan, &parts)?);
        let note = (!stays.is_empty()).then(|| stays.join("; "));
        self.journal.step(id, State::Reverted, note)?;
        Ok(stays)
    }

    /// Puts back what is still ours, files first: they cannot lose a record.
    fn put_back(&mut self, plan: &Plan, parts: &Parts) -> Result<Vec<String>> {
        let mut staged = Vec::new();
        let mut removed = Vec::new();
        for (change, part) in plan.files.iter().zip(&parts.files) {
            let after = bytes(&change.after)?;
            atomic::clear(self.root, &change.path)?;
            match (part.standing, &change.before) {
                (PartState::Ours, Some(before)) => {
                    staged.push(atomic::stage(
                        self.root,
                        &change.path,
                        &bytes(before)?,
                        Some(&after),
                    )?);
                }
                (PartState::Ours, None) => removed.push((&change.path, after)),
                _ => {}
            }
        }
        for file in staged {
            file.place()?;
        }
        for (path, after) in removed {
            atomic::remove(self.root, path, &after)?;
        }
        let mut stays = Vec::new();
        for part in parts.settings.iter().rev() {
            if part.standing == PartState::Ours {
                stays.extend(self.set_back(&part.change)?);
            }
        }
        Ok(stays)
    }

    /// Sets a setting back; returns why it stays where it must.
    fn set_back(&mut self, change: &SettingChange) -> Result<Option<String>> {
        let Some(kernel) = &mut self.kernel else {
            return Ok(None);
        };
        let mut state = kernel.state()?;
        let mut forbidden = revert::forbidden(change, &state);
        let permanent = state.failure == Some(2) || state.enabled == Some(2);
        let mut waited = Duration::ZERO;
        while forbidden.is_some() && !permanent && waited < PATIENCE {
            std::thread::sleep(STEP);
            waited += STEP;
            state = kernel.state()?;
            forbidden = revert::forbidden(change, &state);
        }
        match forbidden {
            Some(why) if permanent => return Ok(Some(why)),
            Some(why) => bail!(why),
            None => {}
        }
        match kernel.set(change.field, change.old) {
            Ok(()) => Ok(None),
            Err(SetError::Locked) => Ok(Some(format!(
                "{} stays {} until reboot: the settings are locked (-e 2)",
                change.field.name(),
                change.new
            ))),
            Err(SetError::Other(error)) => Err(error),
        }
    }
}

/// Refuses a file that auditwatch never writes: the journal of a mounted disk is what somebody else left there.
fn only_rules(path: &Path) -> Result<()> {
    ensure!(
        is_rules_file(path),
        "the journal names {}, which is not a rules file; nothing changed. Inspect the journal, or move it away",
        path.display()
    );
    Ok(())
}

fn bytes(content: &Content) -> Result<Vec<u8>> {
    content
        .bytes()
        .context("the journal's copy of a file is damaged: its hexadecimal digits are invalid")
}

/// Who runs this process.
pub(super) fn who() -> By {
    const UNSET: u32 = u32::MAX;
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u32>().ok();
    let uid = fs::metadata(Path::new("/proc/self"))
        .ok()
        .map_or(UNSET, |found| {
            use std::os::unix::fs::MetadataExt as _;
            found.uid()
        });
    By {
        uid,
        loginuid: number("/proc/self/loginuid").filter(|&uid| uid != UNSET),
        sudo_user: std::env::var_os("SUDO_USER").map(Untrusted::from_os),
        pid: std::process::id(),
        command: std::env::args_os().map(Untrusted::from_os).collect(),
    }
}
