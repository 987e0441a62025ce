//! Attaching: each hook for itself, its alternatives in order.
//!
//! In: the loaded object and the plan. Out: a report for each hook, and the
//! programs that are in place. It must not judge: that is `health`'s.

use super::{
    error::{ProgramError, is_refusal, one_line},
    object::Object,
};
use crate::{
    hooks::{
        health::{Attempt, HookReport, judge},
        plan::{Alternative, HookPlan, Role},
    },
    kernel::types::KernelTypes,
    probe::load_guard::LoadRisk,
};

/// What attaching came to.
pub(super) struct Attached {
    /// A line for each hook.
    pub reports: Vec<HookReport>,
    /// Programs in place, and the hook that each serves.
    pub programs: Vec<(Role, &'static str)>,
    /// No program was accepted, and some were refused unseen; with what words.
    pub refused: Option<String>,
}

/// Attaches what the plan names. All programs are loaded before any is attached: a load makes audit records of its own.
/// But the losses' hook comes first, since it counts which of these are lost.
///
/// # Errors
/// When loading more would risk a panic of the host.
pub(super) fn attach(
    object: &mut Object,
    types: Option<&KernelTypes>,
    plan: &[HookPlan],
) -> Result<Attached, LoadRisk> {
    let mut refusals = Refusals::default();
    let mut hooks: Vec<Hook<'_>> = plan.iter().map(Hook::new).collect();
    for hook in &mut hooks {
        if hook.plan.role == Role::Losses {
            hook.load(object, types, &mut refusals)?;
            hook.attach(object, types)?;
            object.set_witness(hook.in_place);
        }
    }
    for hook in &mut hooks {
        if !hook.in_place {
            hook.load(object, types, &mut refusals)?;
        }
    }
    for hook in &mut hooks {
        if !hook.in_place {
            hook.attach(object, types)?;
        }
    }
    let mut attached = Attached {
        reports: Vec::with_capacity(plan.len()),
        programs: Vec::new(),
        refused: refusals.verdict(),
    };
    for hook in hooks {
        hook.report(&mut attached);
    }
    Ok(attached)
}

/// A hook on its way into place.
struct Hook<'a> {
    plan: &'a HookPlan,
    /// What became of its alternatives so far, in their order.
    attempts: Vec<Attempt>,
    loaded: bool,
    in_place: bool,
}

impl<'a> Hook<'a> {
    const fn new(plan: &'a HookPlan) -> Self {
        Self {
            plan,
            attempts: Vec::new(),
            loaded: false,
            in_place: false,
        }
    }

    /// The alternative whose turn it is.
    fn next(&self) -> Option<&'a Alternative> {
        self.plan.alternatives.get(self.attempts.len())
    }

    /// Loads the first alternative that the kernel takes.
    fn load(
        &mut self,
        object: &mut Object,
        types: Option<&KernelTypes>,
        refusals: &mut Refusals,
    ) -> Result<(), LoadRisk> {
        while let (false, Some(alternative)) = (self.loaded, self.next()) {
            match load_all(object, types, alternative) {
                Ok(()) => {
                    refusals.accepted = true;
                    self.loaded = true;
                }
                Err(ProgramError::Risk(risk)) => return Err(risk),
                Err(error) => {
                    refusals.note(&error);
                    self.attempts.push(Attempt::Refused(one_line(&error)));
                }
            }
        }
        Ok(())
    }

    /// Attaches what is loaded. A trampoline may load and yet not attach; then the next form has its turn.
    fn attach(&mut self, object: &mut Object, types: Option<&KernelTypes>) -> Result<(), LoadRisk> {
        while let (false, Some(alternative)) = (self.in_place, self.next()) {
            let loaded = if std::mem::take(&mut self.loaded) {
                Ok(())
            } else {
                load_all(object, types, alternative)
            };
            let outcome = match loaded {
                Err(ProgramError::Risk(risk)) => return Err(risk),
                Err(error) => Err(one_line(&error)),
                Ok(()) => attach_all(object, alternative),
            };
            match outcome {
                Ok(()) => self.in_place = true,
                Err(cause) => self.attempts.push(Attempt::Refused(cause)),
            }
        }
        Ok(())
    }

    fn report(mut self, attached: &mut Attached) {
        if self.in_place {
            for attachment in self.next().iter().flat_map(|found| &found.attachments) {
                let program = (self.plan.role, attachment.program);
                if !attached.programs.contains(&program) {
                    attached.programs.push(program);
                }
            }
            self.attempts.push(Attempt::Attached);
        }
        attached.reports.push(judge(self.plan, &self.attempts));
    }
}

/// Whether the kernel takes programs at all.
#[derive(Default)]
struct Refusals {
    accepted: bool,
    words: Option<String>,
}

impl Refusals {
    fn note(&mut self, error: &ProgramError) {
        if is_refusal(error) {
            self.words.get_or_insert_with(|| one_line(error));
        }
    }

    fn verdict(self) -> Option<String> {
        self.words.filter(|_| !self.accepted)
    }
}

fn load_all(
    object: &mut Object,
    types: Option<&KernelTypes>,
    alternative: &Alternative,
) -> Result<(), ProgramError> {
    for attachment in &alternative.attachments {
        let function = if attachment.form.needs_btf() {
            types
                .and_then(|types| types.function(&attachment.function))
                .ok_or_else(|| ProgramError::NoType(attachment.function.clone()))?
                .id
        } else {
            0
        };
        object.load(attachment.program, function)?;
    }
    Ok(())
}

/// Attaches all of an alternative, or nothing of it.
fn attach_all(object: &mut Object, alternative: &Alternative) -> Result<(), String> {
    for attachment in &alternative.attachments {
        if let Err(error) = object.attach(attachment.program, &attachment.function) {
            // The next alternative loads again what it shares with this one.
            for attachment in &alternative.attachments {
                object.unload(attachment.program);
            }
            return Err(format!(
                "{} {}: {}",
                attachment.form.name(),
                attachment.function,
                one_line(&error)
            ));
        }
    }
    Ok(())
}
