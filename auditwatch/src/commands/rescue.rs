//! `auditwatch rescue`: tasks that sleep in the audit code for nothing, and how they are freed.
//!
//! A record that comes makes `kauditd` pass over its queue once, and each pass wakes one sleeper. So one
//! record at a time is made, by a message that is sent only while the queue has room: its sender would
//! sleep as well otherwise. Where the queue is over its limit, the limit is raised first.

mod messenger;

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use self::messenger::{Means, Messenger};
use super::executor::{ChangeExecutor, Kernel, who};
use crate::{
    change::{
        journal::{Field, Plan, Purpose, SettingChange, State, Target, Why},
        journal_file::JournalFile,
        preflight, writers,
    },
    cli::apply::RescueArgs,
    files::root::Root,
    kernel::{audit_state::KernelState, cmdline::AuditBoot, facts::Facts, record_size},
    live::settings::KernelNow,
    render::{json, rescue},
    rescue::{
        report::{RescueReport, Step, Verdict},
        sleepers::{self, Look, Sleeper},
        tasks,
    },
    units::{count, counted},
};

/// The nice value that runs before all others'.
const FIRST: i32 = -20;
/// From the first look to the last one before a verdict, and between two.
const LOOKING: Duration = Duration::from_millis(200);
const BETWEEN: Duration = Duration::from_millis(100);
/// For a record to wake somebody.
const EFFECT: Duration = Duration::from_millis(50);
/// Between two looks for that.
const STEP: Duration = Duration::from_millis(2);
/// Records without any effect before another kind is tried.
const FRUITLESS: u32 = 3;
/// For all of it. A pass of kauditd takes a second where auditd does not read.
const DEADLINE: Duration = Duration::from_mins(1);
/// For a raised limit to be put back.
const QUIET: Duration = Duration::from_secs(3);

/// Runs the command.
///
/// # Errors
/// When the host cannot be looked at, or a step failed.
pub fn run(args: &RescueArgs) -> Result<ExitCode> {
    let began = Instant::now();
    // Who is stuck waits for this process, and the host may be busy. Without the right to it goes as fast as it can.
    let _ = rustix::process::nice(FIRST);
    let kauditd = tasks::kauditd().map(|kauditd| kauditd.pid);
    // To learn where the queue is takes longer than the time between two looks.
    let first_at = Instant::now();
    // The tasks first, as in each look: whoever sleeps in the next one too then slept while there was room.
    let sleepers = tasks::audit_sleepers();
    let first = Look {
        kauditd_idle: kauditd.and_then(tasks::is_idle),
        sleepers,
        ..Look::default()
    };
    let facts = Facts::gather();
    AuditBoot::ensure_on(facts.boot.as_ref())?;
    // Without it the kernel shows of other users' tasks neither where they sleep nor that it hides it.
    ensure!(
        facts.privileges.has("CAP_SYS_PTRACE") != Some(false),
        "cannot see the functions in which tasks sleep: this process lacks CAP_SYS_PTRACE; run as root"
    );
    let mut host = Host {
        now: KernelNow::open(&facts),
        kauditd,
        began,
    };
    // Where it does not tell that there was room, it tells nothing.
    let looks = host.looks((first.has_room() == Some(true)).then_some((first_at, first)));
    let state = host.now.without_asking();
    let auditd = state
        .as_ref()
        .and_then(|state| state.auditd_pid)
        .map(|pid| tasks::registered(pid, facts.privileges.initial_pid_namespace));
    let mut report = RescueReport::of(&looks, state.as_ref(), auditd);
    report.asked_to_free = args.yes;
    let mut outcome = Ok(());
    if args.yes && report.verdict.is_stuck() {
        let stuck = match report.verdict {
            Verdict::Stranded => sleepers::stranded(&looks),
            _ => report.sleepers.clone(),
        };
        outcome = host.free(&facts, state.as_ref(), stuck, &mut report);
    }
    let mut out = io::stdout();
    if args.output.wants_json() {
        json::line(&mut out, &report)
    } else {
        out.write_all(rescue::text(&report).as_bytes())
    }
    .context("cannot write the report")?;
    outcome?;
    Ok(if report.is_stuck_still() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The host that is looked at.
struct Host {
    now: KernelNow,
    kauditd: Option<u32>,
    began: Instant,
}

impl Host {
    /// The tasks, and then the queue.
    fn look(&mut self) -> Look {
        let sleepers = tasks::audit_sleepers();
        Look {
            sleepers,
            ..self.queue()
        }
    }

    /// A look at the queue alone.
    fn queue(&mut self) -> Look {
        let state = self.now.without_asking().unwrap_or_default();
        Look {
            depth: state.depth,
            limit: state.limit,
            kauditd_idle: self.kauditd.and_then(tasks::is_idle),
            sleepers: Vec::new(),
        }
    }

    /// Enough looks for a verdict; one where nobody sleeps, besides an earlier one and when that was.
    fn looks(&mut self, earlier: Option<(Instant, Look)>) -> Vec<Look> {
        let (began, mut looks) = match earlier {
            Some((at, look)) => (at, vec![look]),
            None => (Instant::now(), Vec::new()),
        };
        loop {
            looks.push(self.look());
            let sleeps = looks.last().is_some_and(|look| !look.sleepers.is_empty());
            if !sleeps || (looks.len() > 1 && began.elapsed() >= LOOKING) {
                return looks;
            }
            thread::sleep(BETWEEN);
        }
    }

    fn step(&self, report: &mut RescueReport, what: String, sleepers: usize) {
        report.steps.push(Step {
            at_ns: ns(self.began.elapsed()),
            what,
            sleepers_left: sleepers as u64,
        });
    }

    /// Frees whoever is stuck.
    fn free(
        &mut self,
        facts: &Facts,
        state: Option<&KernelState>,
        stuck: Vec<Sleeper>,
        report: &mut RescueReport,
    ) -> Result<()> {
        if report.verdict == Verdict::NotKnown {
            bail!(
                "refused: {}; raise the limit with auditctl -b N, then try again",
                report.explanation.join("; ")
            );
        }
        let mut messenger = Messenger::ready()?;
        let root = Root::open(Path::new("/")).context("cannot open /")?;
        let raised = if report.verdict == Verdict::Full {
            let state = state.cloned().unwrap_or_default();
            Some(self.raise(facts, &root, &state, report)?)
        } else {
            None
        };
        let done = if report.verdict == Verdict::RetryRests {
            self.move_retry(&mut messenger, report)
        } else {
            self.wake(&mut messenger, stuck, report)
        };
        // Whatever came of it, the limit is not left raised.
        if let Some((id, plan)) = raised {
            self.lower(facts, &root, id, &plan, report)
                .with_context(|| {
                    format!("cannot lower the limit; revert it with auditwatch undo {id}")
                })?;
        }
        done
    }

    /// Makes records until nobody is stuck: whoever went on may be left asleep again by another.
    fn wake(
        &mut self,
        messenger: &mut Messenger,
        mut stuck: Vec<Sleeper>,
        report: &mut RescueReport,
    ) -> Result<()> {
        let deadline = Instant::now() + DEADLINE;
        let own = std::process::id();
        let mut freed = 0;
        loop {
            let outcome = self.wake_these(messenger, &stuck, deadline, report);
            // A thread of this process that sends may be left asleep too; it is woken, and not counted.
            stuck.retain(|sleeper| sleeper.pid != own);
            let left = tasks::still_asleep(&stuck);
            freed += (stuck.len() - left) as u64;
            report.freed = Some(freed);
            report.left = Some(left as u64);
            report.took_ns = (left == 0).then(|| ns(self.began.elapsed()));
            outcome?;
            if left > 0 {
                return Ok(());
            }
            stuck = sleepers::stranded(&self.looks(None));
            if stuck.is_empty() {
                return Ok(());
            }
        }
    }

    /// Makes records until none of these sleeps any more, or the time is over.
    fn wake_these(
        &mut self,
        messenger: &mut Messenger,
        stuck: &[Sleeper],
        deadline: Instant,
        report: &mut RescueReport,
    ) -> Result<()> {
        let mut means = Means::Message;
        let (mut sent, mut fruitless) = (0_u64, 0);
        let mut left = tasks::still_asleep(stuck);
        while left > 0 {
            if Instant::now() > deadline {
                let sent = counted(sent, "record");
                let what = format!("stopped after {sent}: {left} still stuck");
                self.step(report, what, left);
                return Ok(());
            }
            let queue = self.queue();
            if !queue.takes_a_message() {
                thread::sleep(STEP);
                left = tasks::still_asleep(stuck);
                continue;
            }
            messenger.send(means, queue.limit)?;
            sent += 1;
            let before = left;
            left = self.effect(stuck, before);
            if left < before {
                fruitless = 0;
                let what = format!("record {sent} ({}): {} freed", means.name(), before - left);
                self.step(report, what, left);
                continue;
            }
            fruitless += 1;
            if fruitless == FRUITLESS {
                fruitless = 0;
                let next = means.next(queue.limit);
                let what = format!(
                    "{} has no effect (a rule may filter it); trying {}",
                    means.name(),
                    next.name()
                );
                self.step(report, what, left);
                means = next;
            }
        }
        Ok(())
    }

    /// Waits until somebody went on, and then until `kauditd` rests again and nobody more does; how many are
    /// left. All of them are looked at only while `kauditd` rests, or may: each look takes time from those that are
    /// to go on.
    fn effect(&self, stuck: &[Sleeper], before: usize) -> usize {
        let mut last = before;
        let mut changed = Instant::now();
        while changed.elapsed() < EFFECT {
            thread::sleep(STEP);
            let rests = self.kauditd.and_then(tasks::is_idle);
            if rests == Some(false) {
                continue;
            }
            let left = tasks::still_asleep(stuck);
            if left == 0 || (left == last && left < before && rests.is_some()) {
                return left;
            }
            if left < last {
                last = left;
                changed = Instant::now();
            }
        }
        tasks::still_asleep(stuck)
    }

    /// Makes one record, so that the retry queue is gone through; another kind of it where one has no effect.
    fn move_retry(&mut self, messenger: &mut Messenger, report: &mut RescueReport) -> Result<()> {
        let before = report.retry_depth.unwrap_or(0);
        let mut means = Means::Message;
        loop {
            let queue = self.queue();
            if !queue.takes_a_message() {
                bail!("nothing sent: the queue is filling, so the kernel retries by itself");
            }
            messenger.send(means, queue.limit)?;
            let after = self.shorter_retry(before);
            report.retry_after = Some(after);
            let what = format!(
                "one record ({}): {} in the retry queue, {} before",
                means.name(),
                counted(after.into(), "record"),
                count(before.into())
            );
            self.step(report, what, 0);
            if after < before {
                report.took_ns = Some(ns(self.began.elapsed()));
                return Ok(());
            }
            means = means.next(queue.limit);
            if means == Means::Message {
                return Ok(());
            }
        }
    }

    /// Waits until the retry queue is shorter than that, for a while; how long it is, records.
    fn shorter_retry(&mut self, before: u32) -> u32 {
        let deadline = Instant::now() + QUIET;
        loop {
            let state = self.now.without_asking().unwrap_or_default();
            let after = state.retry_depth.unwrap_or(before);
            if after < before || Instant::now() > deadline {
                return after;
            }
            thread::sleep(STEP);
        }
    }

    /// Raises the limit above what stands in the queue, journaled.
    fn raise(
        &mut self,
        facts: &Facts,
        root: &Root,
        state: &KernelState,
        report: &mut RescueReport,
    ) -> Result<(u64, Plan)> {
        let (Some(depth), Some(old)) = (state.depth, state.limit) else {
            bail!("cannot raise the limit: the present limit is unknown");
        };
        let new = depth.max(old).saturating_mul(2).saturating_add(1024);
        let target = Target {
            backlog_limit: Some(new),
            backlog_wait_time: None,
            runtime: true,
            persist: false,
        };
        let outcome = preflight::check(
            &target,
            &preflight::Facts {
                state: Some(state.clone()),
                hz: facts.hz,
                privileges: facts.privileges.clone(),
                record_bytes: facts
                    .types
                    .as_ref()
                    .and_then(record_size::usual_record_bytes),
                available_bytes: writers::available_bytes(),
                ..preflight::Facts::default()
            },
        );
        if let Some(refusal) = outcome.refusal() {
            bail!(
                "refused: the limit must be raised to {new} first; {}",
                refusal.message
            );
        }
        let plan = Plan {
            purpose: Purpose::Rescue,
            by: who(),
            why: Why {
                evidence: "tasks stall because the queue is over its limit".to_owned(),
                reasons: report.explanation.clone(),
            },
            target,
            settings: vec![SettingChange {
                field: Field::BacklogLimit,
                old,
                new,
            }],
            files: Vec::new(),
            pending_reboot: false,
        };
        let mut hands = ChangeExecutor {
            root,
            journal: JournalFile::open(root)?,
            kernel: Some(Kernel::open(KernelNow::open(facts))?),
        };
        let id = hands.journal.begin(plan.clone())?;
        hands.carry_out(id, &plan)?;
        hands.journal.step(id, State::Verified, None)?;
        report.change = Some(id);
        let sleepers = tasks::audit_sleepers().len();
        self.step(report, format!("backlog_limit {old} -> {new}"), sleepers);
        Ok((id, plan))
    }

    /// Puts the limit back, if the queue is short enough by now.
    fn lower(
        &mut self,
        facts: &Facts,
        root: &Root,
        id: u64,
        plan: &Plan,
        report: &mut RescueReport,
    ) -> Result<()> {
        let Some(change) = plan.settings.first() else {
            return Ok(());
        };
        let is_safe = |state: &KernelState| {
            state.failure.is_some_and(|failure| failure != 2)
                && state.depth.is_some_and(|depth| depth <= change.old / 2)
        };
        let deadline = Instant::now() + QUIET;
        let mut safe = false;
        while report.left == Some(0) && Instant::now() < deadline {
            safe = self.now.without_asking().as_ref().is_some_and(is_safe);
            if safe {
                break;
            }
            thread::sleep(STEP);
        }
        let sleepers = tasks::audit_sleepers().len();
        if !safe {
            let stays = format!(
                "backlog_limit stays {}: lowering it is not safe now; revert it later with auditwatch undo {id}",
                change.new
            );
            self.step(report, stays, sleepers);
            return Ok(());
        }
        let mut hands = ChangeExecutor {
            root,
            journal: JournalFile::open(root)?,
            kernel: Some(Kernel::open(KernelNow::open(facts))?),
        };
        let stays = hands.take_back(id, plan, "all tasks are free")?;
        let what = if stays.is_empty() {
            format!("backlog_limit {} -> {}", change.new, change.old)
        } else {
            stays.join("; ")
        };
        self.step(report, what, sleepers);
        Ok(())
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
