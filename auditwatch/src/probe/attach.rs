//! Attaching: each hook for itself, its alternatives in order.
//!
//! In: the loaded object and the plan. Out: a report for each hook, and the
//! programs that are in place. It must not judge: that is `health`'s.

use aya::{
    Btf, Ebpf,
    programs::{Program, ProgramError},
};

use super::error::{is_refusal, one_line};
use crate::{
    health::{Attempt, HookReport, judge},
    plan::{Alternative, Attachment, Form, HookPlan, Role},
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

/// Attaches what the plan names. All programs are loaded before any is attached:
/// a load makes audit records of its own.
pub(super) fn attach(ebpf: &mut Ebpf, btf: Option<&Btf>, plan: &[HookPlan]) -> Attached {
    let mut loaded: Vec<Vec<Attempt>> = Vec::with_capacity(plan.len());
    let mut chosen: Vec<Option<&Alternative>> = Vec::with_capacity(plan.len());
    let mut refusals = Refusals::default();
    for hook in plan {
        let mut attempts = Vec::new();
        let mut found = None;
        for alternative in &hook.alternatives {
            match load_all(ebpf, btf, alternative) {
                Ok(()) => {
                    refusals.accepted = true;
                    found = Some(alternative);
                    break;
                }
                Err(error) => {
                    refusals.note(&error);
                    attempts.push(Attempt::Refused(one_line(&error)));
                }
            }
        }
        loaded.push(attempts);
        chosen.push(found);
    }
    let mut attached = Attached {
        reports: Vec::with_capacity(plan.len()),
        programs: Vec::new(),
        refused: refusals.verdict(),
    };
    for ((hook, mut attempts), choice) in plan.iter().zip(loaded).zip(chosen) {
        let mut in_place = false;
        if let Some(alternative) = choice {
            match attach_all(ebpf, alternative) {
                Ok(()) => in_place = true,
                Err(error) => attempts.push(Attempt::Refused(error)),
            }
        }
        // A trampoline may load and yet not attach; then the next form has its turn.
        if !in_place {
            for alternative in hook.alternatives.iter().skip(attempts.len()) {
                let outcome = load_all(ebpf, btf, alternative)
                    .map_err(|error| one_line(&error))
                    .and_then(|()| attach_all(ebpf, alternative));
                match outcome {
                    Ok(()) => {
                        in_place = true;
                        break;
                    }
                    Err(cause) => attempts.push(Attempt::Refused(cause)),
                }
            }
        }
        if in_place {
            if let Some(alternative) = hook.alternatives.get(attempts.len()) {
                for attachment in &alternative.attachments {
                    if !attached.programs.contains(&(hook.role, attachment.program)) {
                        attached.programs.push((hook.role, attachment.program));
                    }
                }
            }
            attempts.push(Attempt::Attached);
        }
        attached.reports.push(judge(hook, &attempts));
    }
    attached
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
    ebpf: &mut Ebpf,
    btf: Option<&Btf>,
    alternative: &Alternative,
) -> Result<(), ProgramError> {
    for attachment in &alternative.attachments {
        match load(ebpf, btf, attachment) {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn load(ebpf: &mut Ebpf, btf: Option<&Btf>, attachment: &Attachment) -> Result<(), ProgramError> {
    let program = ebpf
        .program_mut(attachment.program)
        .ok_or(ProgramError::UnexpectedProgramType)?;
    match (program, attachment.form) {
        (Program::FEntry(program), Form::Fentry) => program.load(
            &attachment.function,
            btf.ok_or(ProgramError::UnexpectedProgramType)?,
        ),
        (Program::FExit(program), Form::Fexit) => program.load(
            &attachment.function,
            btf.ok_or(ProgramError::UnexpectedProgramType)?,
        ),
        (Program::KProbe(program), Form::Kprobe | Form::Kretprobe) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// Attaches all of an alternative, or nothing of it.
fn attach_all(ebpf: &mut Ebpf, alternative: &Alternative) -> Result<(), String> {
    for attachment in &alternative.attachments {
        let outcome = attach_one(ebpf, attachment);
        if outcome.is_err() {
            detach_all(ebpf, alternative);
            return outcome;
        }
    }
    Ok(())
}

fn attach_one(ebpf: &mut Ebpf, attachment: &Attachment) -> Result<(), String> {
    let program = ebpf
        .program_mut(attachment.program)
        .ok_or_else(|| format!("the object has no program {}", attachment.program))?;
    let result = match program {
        Program::FEntry(program) => program.attach().map(|_link| ()),
        Program::FExit(program) => program.attach().map(|_link| ()),
        Program::KProbe(program) => program.attach(&attachment.function, 0).map(|_link| ()),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    result.map_err(|error| {
        format!(
            "{} {}: {}",
            attachment.form.name(),
            attachment.function,
            one_line(&error)
        )
    })
}

/// Takes an alternative's programs out of the kernel, with all their links; the
/// next one loads again what it shares with this one.
fn detach_all(ebpf: &mut Ebpf, alternative: &Alternative) {
    for attachment in &alternative.attachments {
        // One that was never loaded has nothing to take out.
        let _ = match ebpf.program_mut(attachment.program) {
            Some(Program::FEntry(program)) => program.unload(),
            Some(Program::FExit(program)) => program.unload(),
            Some(Program::KProbe(program)) => program.unload(),
            _ => Ok(()),
        };
    }
}
