//! `auditwatch apply`: a limit chosen, looked at, journaled, set, persisted, and watched.

mod choice;
mod files;
mod watch;
mod words;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use self::{
    choice::{Choice, choose, floors},
    watch::{LOOK_BEFORE, Onlooker},
    words::{agreed, print, refuse},
};
use super::{
    executor::{ChangeExecutor, Kernel, who},
    output::say,
};
use crate::{
    change::{
        journal::{Field, Plan, Purpose, SettingChange, State, Target},
        journal_file::{self, JournalFile},
        preflight::{self, Runtime},
        regression::{self, Relapse, Window},
        report::{ApplyKind, ApplyReport},
        writers,
    },
    cli::apply::ApplyArgs,
    files::{atomic, root::Root},
    kernel::{audit_state::KernelState, cmdline::AuditBoot, facts::Facts, record_size},
    live::settings::KernelNow,
    probe::ProbeError,
    recommend::MEMORY_BUDGET_BYTES,
    render::change,
    rules::host::HostRules,
    untrusted::shell_word,
};

/// Looking on where somebody sits before it.
const USUAL_WATCH: Duration = Duration::from_mins(1);

/// Runs the command.
///
/// # Errors
/// When the change is refused, or failed; what it had done is taken back then.
pub fn run(args: &ApplyArgs) -> Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?
        .block_on(apply(args))
}

/// All that is known before anything is done.
struct Prepared {
    root: Root,
    facts: Facts,
    /// The running kernel; `None` where a mounted disk is edited.
    now: Option<KernelNow>,
    /// Its settings before.
    state: Option<KernelState>,
    plan: Plan,
    report: ApplyReport,
}

async fn apply(args: &ApplyArgs) -> Result<ExitCode> {
    let asks = !args.yes && !args.dry_run;
    let terminal = || {
        ensure!(
            io::stdin().is_terminal(),
            "cannot ask for confirmation: stdin is not a terminal; add --yes to apply, or --dry-run to see the plan"
        );
        Ok(())
    };
    // Nobody is to look on for a minute to be told that then.
    if asks && args.recommended {
        terminal()?;
    }
    let choice = choose(args).await?;
    let mut prepared = prepare(args, &choice)?;
    let interrupted = journal_file::read(&prepared.root)?.interrupted().is_some();
    let nothing = is_empty(&prepared.plan) && !interrupted;
    if args.dry_run || nothing {
        return print(args, &prepared.report, false);
    }
    if asks {
        terminal()?;
        ensure!(ask(&prepared)?, "nothing changed: not confirmed");
    }
    if interrupted && clear_the_way(&prepared)? {
        let anew = prepare(args, &choice)?;
        if asks && anew.plan != prepared.plan && !is_empty(&anew.plan) {
            ensure!(
                ask(&anew)?,
                "not confirmed: the interrupted change was reverted, and nothing else changed"
            );
        }
        prepared = anew;
    }
    // What watches afterwards is large.
    Box::pin(carry_out(args, prepared, choice.before)).await
}

/// Shows the plan; whether somebody agrees to it.
fn ask(prepared: &Prepared) -> Result<bool> {
    write!(io::stderr(), "{}", change::plan(&prepared.report)).context("cannot show the plan")?;
    agreed()
}

fn is_empty(plan: &Plan) -> bool {
    plan.settings.is_empty() && plan.files.is_empty()
}

/// Looks, and plans; nothing is changed by it.
fn prepare(args: &ApplyArgs, choice: &Choice) -> Result<Prepared> {
    let at = args.root.as_deref().unwrap_or(Path::new("/"));
    let root = Root::open(at).with_context(|| format!("cannot open {}", at.display()))?;
    let is_live = args.root.is_none();
    let facts = Facts::gather();
    if is_live {
        AuditBoot::ensure_on(facts.boot.as_ref())?;
    }
    let mut now = is_live.then(|| KernelNow::open(&facts));
    let state = now.as_mut().and_then(KernelNow::state);
    let hz = if is_live {
        facts.hz
    } else {
        let rules = HostRules::read(&root, None, None)?;
        rules.hz.from.is_some().then_some(rules.hz.value)
    };
    let target = target(args, choice, hz)?;
    // A limit that is refused by itself is to be told before the files are looked at.
    let mut known = preflight_facts(args, &facts, hz, now.as_ref(), state.as_ref());
    let outcome = preflight::check(&target, &known);
    refuse(args, &outcome)?;
    let files = if target.persist {
        let way_out = if is_live {
            "nothing changed (--runtime-only sets only the running kernel)"
        } else {
            "nothing changed"
        };
        let files = files::plan(&root, &target, hz, choice).context(way_out)?;
        for change in &files.changes {
            atomic::check(&root, &change.path).context(way_out)?;
        }
        known.next_boot = Some(files.next_boot);
        known.cmdline_limit = files.cmdline_limit;
        Some(files)
    } else {
        None
    };
    let outcome = preflight::check(&target, &known);
    refuse(args, &outcome)?;
    let plan = Plan {
        purpose: Purpose::Apply,
        by: who(),
        why: choice.why.clone(),
        target,
        settings: settings(&target, outcome.runtime, state.as_ref()),
        files: files
            .as_ref()
            .map_or_else(Vec::new, |files| files.changes.clone()),
        pending_reboot: outcome.runtime == Runtime::PendingReboot,
    };
    let (reports, at_boot_before, at_boot, by_hand) = match files {
        Some(files) => (
            files.reports,
            Some(files.before),
            Some(files.after),
            files.by_hand,
        ),
        None => (Vec::new(), None, None, Vec::new()),
    };
    let report = ApplyReport {
        kind: ApplyKind::Apply,
        schema: 1,
        dry_run: args.dry_run,
        id: None,
        state: None,
        target,
        why: plan.why.clone(),
        root: args.root.clone(),
        runtime: outcome.runtime,
        settings: plan.settings.clone(),
        files: reports,
        at_boot_before,
        at_boot,
        pending_reboot: plan.pending_reboot,
        findings: outcome.findings,
        watch: None,
        by_hand,
        undo: None,
    };
    Ok(Prepared {
        root,
        facts,
        now,
        state,
        plan,
        report,
    })
}

/// Takes an interrupted change back that wanted something else; whether it did.
fn clear_the_way(prepared: &Prepared) -> Result<bool> {
    let journal = JournalFile::open(&prepared.root)?;
    let Some(change) = journal.journal().interrupted().cloned() else {
        return Ok(false);
    };
    let was = format!(
        "change {} was interrupted ({})",
        change.id,
        change.state.name()
    );
    if change.state != State::Reverting && change.plan.target == prepared.plan.target {
        say(vec![format!("{was}; finishing it now")]);
        return Ok(false);
    }
    say(vec![format!("{was}; reverting it first")]);
    let kernel = if prepared.now.is_some() && !change.plan.settings.is_empty() {
        Some(Kernel::open(KernelNow::open(&prepared.facts))?)
    } else {
        None
    };
    let mut hands = ChangeExecutor {
        root: &prepared.root,
        journal,
        kernel,
    };
    let stays = hands
        .take_back(
            change.id,
            &change.plan,
            "interrupted; superseded by another change",
        )
        .with_context(|| format!("{was}; cannot revert it"))?;
    say(stays);
    Ok(true)
}

/// Does it, each step journaled first.
async fn carry_out(
    args: &ApplyArgs,
    prepared: Prepared,
    before: Option<Window>,
) -> Result<ExitCode> {
    let Prepared {
        root,
        facts,
        now,
        state,
        plan,
        mut report,
    } = prepared;
    let mut hands = ChangeExecutor {
        root: &root,
        journal: JournalFile::open(&root)?,
        kernel: now.map(Kernel::open).transpose()?,
    };
    let (id, plan) = match hands.journal.journal().interrupted() {
        Some(change) => (change.id, change.plan.clone()),
        None if is_empty(&plan) => return print(args, &report, false),
        None => (hands.journal.begin(plan.clone())?, plan),
    };
    report.id = Some(id);
    report.undo = Some(match &args.root {
        None => format!("auditwatch undo {id}"),
        Some(root) => format!("auditwatch undo {id} --root {}", shell_word(root)),
    });
    let length = watch_length(args);
    let onlooker = if plan.settings.is_empty() || length.is_zero() {
        None
    } else {
        match begin_watch(&facts, before, length, args.risk.accept_panic_risk).await {
            Ok(begun) => Some(begun),
            // Nobody asked for it; what watching could do to this host is worse than not to watch.
            Err(error) if args.watch.is_none() && could_panic(&error) => {
                say(vec![format!("not monitored afterwards: {error:#}")]);
                None
            }
            Err(error) => {
                let note = format!("{error:#}");
                hands.journal.step(id, State::Failed, Some(note))?;
                return Err(error.context(
                    "cannot monitor the change, so nothing changed; --watch 0 applies it without monitoring",
                ));
            }
        }
    };
    let done = hands.carry_out(id, &plan)?;
    if done.pending_reboot {
        report.pending_reboot = true;
        report.runtime = Runtime::PendingReboot;
    } else if let Some(look) = onlooker {
        let panics = state.is_some_and(|state| state.failure == Some(2));
        report.watch = Some(look_on(&mut hands, id, &plan, look, length, panics).await?);
    }
    let reverted = report.watch.as_ref().is_some_and(|watch| watch.reverted);
    if reverted {
        report.state = Some(State::Reverted);
        report.undo = None;
    } else {
        hands.journal.step(id, State::Verified, None)?;
        report.state = Some(State::Verified);
    }
    print(args, &report, !args.yes)?;
    Ok(if reverted {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What is to be set where. `hz`: ticks a second of the kernel that it is for.
fn target(args: &ApplyArgs, choice: &Choice, hz: Option<u32>) -> Result<Target> {
    let wait_time = match (args.wait_time, hz) {
        (None, _) => None,
        (Some(seconds), Some(hz)) => Some(seconds.checked_mul(hz).with_context(|| {
            format!("--wait-time {seconds}s is over the kernel's maximum; use 600s or less")
        })?),
        (Some(_), None) => bail!(
            "cannot convert --wait-time to kernel ticks: no readable kernel configuration has the tick rate; \
             omit --wait-time"
        ),
    };
    Ok(Target {
        backlog_limit: choice.limit,
        backlog_wait_time: wait_time,
        runtime: args.root.is_none() && !args.persist_only,
        persist: !args.runtime_only,
    })
}

fn preflight_facts(
    args: &ApplyArgs,
    facts: &Facts,
    hz: Option<u32>,
    now: Option<&KernelNow>,
    state: Option<&KernelState>,
) -> preflight::Facts {
    let is_live = now.is_some();
    preflight::Facts {
        state: state.cloned(),
        state_missing: now.and_then(KernelNow::missing),
        hz,
        privileges: facts.privileges.clone(),
        record_bytes: facts
            .types
            .as_ref()
            .and_then(record_size::usual_record_bytes),
        next_boot: None,
        available_bytes: writers::available_bytes().filter(|_| is_live),
        memory_budget_bytes: (!args.force).then_some(MEMORY_BUDGET_BYTES),
        writers: if is_live {
            writers::other_writers()
        } else {
            Vec::new()
        },
        cmdline_limit: facts
            .boot
            .as_ref()
            .and_then(|boot| boot.backlog_limit)
            .filter(|_| is_live),
        floors: floors(args),
    }
}

/// The running kernel's settings that differ from what is wanted, the limit first.
fn settings(target: &Target, runtime: Runtime, state: Option<&KernelState>) -> Vec<SettingChange> {
    let (Runtime::Set, Some(state)) = (runtime, state) else {
        return Vec::new();
    };
    let wanted = [
        (Field::BacklogLimit, target.backlog_limit, state.limit),
        (
            Field::BacklogWaitTime,
            target.backlog_wait_time,
            state.wait_time_jiffies,
        ),
    ];
    wanted
        .into_iter()
        .filter_map(|(field, new, old)| {
            let (new, old) = (new?, old?);
            (new != old).then_some(SettingChange { field, old, new })
        })
        .collect()
}

fn watch_length(args: &ApplyArgs) -> Duration {
    args.watch.unwrap_or_else(|| {
        if io::stdin().is_terminal() {
            USUAL_WATCH
        } else {
            Duration::ZERO
        }
    })
}

/// Whether a watch was refused since it could panic the host.
fn could_panic(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<ProbeError>(),
        Some(ProbeError::Risk(_))
    )
}

/// Begins to look on, and looks at how it was before, unless that is known.
async fn begin_watch(
    facts: &Facts,
    before: Option<Window>,
    length: Duration,
    accept_panic_risk: bool,
) -> Result<(Onlooker, Window)> {
    let mut onlooker = Onlooker::start(facts, accept_panic_risk).await?;
    let before = if let Some(before) = before {
        before
    } else {
        let look = length.min(LOOK_BEFORE);
        say(vec![format!(
            "measuring for {} s before the change",
            look.as_secs()
        )]);
        let (before, interrupted) = onlooker.window(look).await?;
        ensure!(!interrupted, "interrupted before the change");
        before
    };
    Ok((onlooker, before))
}

/// Looks on for that long, and takes the change back if something got worse.
async fn look_on(
    hands: &mut ChangeExecutor<'_>,
    id: u64,
    plan: &Plan,
    (mut onlooker, before): (Onlooker, Window),
    length: Duration,
    panics: bool,
) -> Result<Relapse> {
    say(vec![format!(
        "applied; monitoring for {} s (Ctrl-C ends monitoring and keeps the change)",
        length.as_secs()
    )]);
    let (after, _) = onlooker.window(length).await?;
    onlooker.end().await?;
    let mut relapse = regression::compare(before, after);
    if relapse.worse.is_empty() {
        return Ok(relapse);
    }
    if panics {
        say(vec![format!(
            "regression: {}. The change is not reverted: a lost record would panic this host (-f 2)",
            relapse.worse.join("; ")
        )]);
        return Ok(relapse);
    }
    let why = format!("regression: {}", relapse.worse.join("; "));
    let stays = hands.take_back(id, plan, &why)?;
    relapse.reverted = stays.is_empty();
    say(stays);
    Ok(relapse)
}
