//! The source of a live trace: the probe, or polling where the kernel refuses it.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;
use tokio::signal::unix::{SignalKind, signal};

use super::poller::Poller;
use crate::{
    cli::SourceChoice,
    hooks::{
        health::{HookReport, Verdict, roll_up},
        plan::{self, Inputs, Preference, Role},
    },
    kernel::{audit_state::KernelState, facts::Facts},
    netlink::{poll, question, socket::AuditSocket, status::AuditStatus},
    probe::{Probe, ProbeError, ProbeOptions, load_guard::LoadGuard},
    sample::{Sample, footprint::Footprint},
};

/// Longest wait for the records of the programs' own loading to leave the queue.
const SETTLE: Duration = Duration::from_millis(100);
/// Time between two looks at it.
const SETTLE_STEP: Duration = Duration::from_millis(2);
/// Time between two looks at settings under which no program may be taken out.
const NEXT_LOOK: Duration = Duration::from_millis(200);

/// Of an interval, one part in so many is for what no sample is to wait for.
const TENDING_SHARE: u32 = 10;

/// Time between samples of a source that nobody chose an interval for.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// What a source is to do.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) source: SourceChoice,
    pub(crate) attach: Preference,
    /// Time between samples.
    pub(crate) interval: Duration,
    /// What is counted beside what each trace needs.
    pub(crate) extent: ProbeOptions,
    /// Hooks that are not attached.
    pub(crate) leave_out: &'a [Role],
    /// Programs are loaded even if that could panic the host.
    pub(crate) accept_panic_risk: bool,
}

impl Wanted<'_> {
    /// Whatever works on this host, with all hooks.
    pub(crate) const fn automatic(extent: ProbeOptions, accept_panic_risk: bool) -> Self {
        Self {
            source: SourceChoice::Auto,
            attach: Preference::Auto,
            interval: INTERVAL,
            extent,
            leave_out: &[],
            accept_panic_risk,
        }
    }
}

/// A source that is ready to count.
pub(crate) struct Live {
    means: Means,
    reason: Option<String>,
    notes: Vec<String>,
    booted_with_audit: Option<bool>,
}

enum Means {
    /// The programs, and what netlink said before they were needed.
    Probe {
        probe: Box<Probe>,
        status: Option<AuditStatus>,
        finds_queue: bool,
    },
    Poll(Poller),
}

impl Live {
    /// Puts the source in place that is wanted.
    pub(crate) fn start(wanted: Wanted<'_>, facts: &Facts) -> Result<Self> {
        let Wanted {
            source, interval, ..
        } = wanted;
        if source == SourceChoice::Poll {
            return Self::poll(interval, facts, None);
        }
        match start_probe(wanted, facts) {
            Ok((probe, status)) => Ok(Self {
                notes: notes(wanted.leave_out, facts, &probe),
                means: Means::Probe {
                    probe: Box::new(probe),
                    status,
                    finds_queue: facts.types.is_some(),
                },
                reason: None,
                booted_with_audit: booted_with_audit(facts),
            }),
            Err(error) if source == SourceChoice::Auto && can_fall_back(&error) => {
                let reason = format!("{:#}", anyhow::Error::from(error));
                Self::poll(interval, facts, Some(reason.clone())).with_context(|| {
                    format!("cannot trace this host: {reason}; polling does not work either")
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn poll(interval: Duration, facts: &Facts, reason: Option<String>) -> Result<Self> {
        Ok(Self {
            means: Means::Poll(Poller::start(interval, facts).context("cannot poll")?),
            reason,
            notes: vec![poll::BLIND_SPOTS.to_owned()],
            booted_with_audit: booted_with_audit(facts),
        })
    }

    /// What a reader should know before the first line.
    pub(crate) fn opening_words(&self) -> Vec<String> {
        match &self.means {
            Means::Probe { probe, .. } => {
                let mut words = vec![format!("counting: {}", roll_up(probe.hooks()))];
                words.extend(self.notes.iter().cloned());
                words
            }
            Means::Poll(_) => {
                let mut words = Vec::new();
                if let Some(reason) = &self.reason {
                    words.push(format!("falling back to netlink polling: {reason}"));
                }
                words.extend(self.notes.iter().cloned());
                words
            }
        }
    }

    /// What a reader of the report should know of the source.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// Why the source is not the preferred one.
    pub(crate) fn reason(&self) -> Option<String> {
        self.reason.clone()
    }

    /// What became of each hook.
    pub(crate) fn hooks(&self) -> Vec<HookReport> {
        match &self.means {
            Means::Probe { probe, .. } => probe.hooks().to_vec(),
            Means::Poll(_) => Vec::new(),
        }
    }

    /// The interval that the source can serve.
    pub(crate) fn interval(&self, wanted: Duration) -> Duration {
        match &self.means {
            Means::Probe { .. } => wanted,
            Means::Poll(poller) => poller.pause(),
        }
    }

    /// Waits until the records of the programs' own loading have left the queue,
    /// or for a moment where the host keeps it busy.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        let Means::Probe { probe, .. } = &mut self.means else {
            return Ok(());
        };
        let end = tokio::time::Instant::now() + SETTLE;
        while probe.state()?.depth.is_none_or(|depth| depth > 0)
            && tokio::time::Instant::now() < end
        {
            tokio::time::sleep(SETTLE_STEP).await;
        }
        Ok(())
    }

    /// The kernel's variables now; `None` where only netlink could tell.
    pub(crate) fn state(&mut self) -> Result<Option<KernelState>> {
        match &mut self.means {
            Means::Probe { probe, .. } => Ok(Some(probe.state()?)),
            Means::Poll(_) => Ok(None),
        }
    }

    /// Begins to count.
    pub(crate) fn zero(&mut self) -> Result<Sample> {
        let booted_with_audit = self.booted_with_audit;
        match &mut self.means {
            Means::Probe { probe, status, .. } => {
                let mut zero = probe.open_gate()?;
                complete(&mut zero.state, status.as_ref(), booted_with_audit);
                Ok(zero)
            }
            Means::Poll(poller) => poller.last(booted_with_audit),
        }
    }

    /// A sample, where it is time for one.
    pub(crate) fn sample(&mut self) -> Result<Option<Sample>> {
        let booted_with_audit = self.booted_with_audit;
        match &mut self.means {
            Means::Probe { probe, .. } => {
                let mut sample = probe.sample()?;
                complete(&mut sample.state, None, booted_with_audit);
                Ok(Some(sample))
            }
            Means::Poll(poller) => poller.ask(booted_with_audit),
        }
    }

    /// Does what no sample is to wait for, in a part of the time until the next one.
    pub(crate) fn tend(&mut self, interval: Duration) -> Result<()> {
        match &mut self.means {
            Means::Probe { probe, .. } => Ok(probe.tend(interval / TENDING_SHARE)?),
            Means::Poll(_) => Ok(()),
        }
    }

    /// How long to leave the kernel alone from here, where that is not the
    /// interval that was asked for.
    pub(crate) fn pause(&self) -> Option<Duration> {
        match &self.means {
            Means::Probe { .. } => None,
            Means::Poll(poller) => Some(poller.pause()),
        }
    }

    /// The last sample.
    pub(crate) async fn last(&mut self) -> Result<Sample> {
        let booted_with_audit = self.booted_with_audit;
        match &mut self.means {
            Means::Probe {
                probe, finds_queue, ..
            } => {
                let mut last = probe.close_gate()?;
                let status = ask_where_needed(&last.state, *finds_queue);
                complete(&mut last.state, status.as_ref(), booted_with_audit);
                Ok(last)
            }
            Means::Poll(poller) => poller.ask_at_the_end(booted_with_audit).await,
        }
    }
}

impl Live {
    /// Takes the programs out of the kernel, and says what loading them and this added to the audit trail.
    ///
    /// If the settings have become such that this could panic the host, it waits until they have not; a signal ends
    /// the wait. Whatever is asked of the source afterwards fails.
    pub(crate) async fn detach(&mut self) -> Result<Option<Footprint>> {
        let Means::Probe { probe, .. } = &mut self.means else {
            return Ok(None);
        };
        if let Err(risk) = probe.may_detach() {
            let _ = writeln!(
                io::stderr(),
                "auditwatch: waiting to detach the BPF programs, because detaching makes audit records too: {risk}. \
                 Ctrl-C detaches them now, at that risk"
            );
            let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
            let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
            while probe.may_detach().is_err() {
                tokio::select! {
                    _ = interrupt.recv() => break,
                    _ = terminate.recv() => break,
                    () = tokio::time::sleep(NEXT_LOOK) => {}
                }
            }
        }
        Ok(Some(probe.detach()))
    }
}

fn start_probe(
    wanted: Wanted<'_>,
    facts: &Facts,
) -> Result<(Probe, Option<AuditStatus>), ProbeError> {
    let guard = LoadGuard::open(facts, wanted.accept_panic_risk)?;
    let mut plan = plan::plan(&Inputs {
        symbols: &facts.symbols,
        types: facts.types.as_ref(),
        kprobes: facts.kprobes,
        preference: wanted.attach,
    });
    plan.retain(|hook| !wanted.leave_out.contains(&hook.role));
    let mut probe = Probe::attach(
        guard,
        &facts.symbols,
        facts.types.as_ref(),
        &plan,
        wanted.extent,
        facts.hz,
    )?;
    let mut state = probe.state()?;
    let status = ask_where_needed(&state, facts.types.is_some());
    complete(&mut state, status.as_ref(), None);
    if status.is_some()
        && let (Some(limit), Some(wait_time)) = (state.limit, state.wait_time_jiffies)
    {
        probe.set_limits(limit, wait_time)?;
    }
    Ok((probe, status))
}

/// Asks netlink for what BPF cannot read here, unless the queue may be over its
/// limit: the question could leave tasks asleep then. `finds_queue`: the programs
/// know the queue once `kauditd` has taken a record off it.
fn ask_where_needed(state: &KernelState, finds_queue: bool) -> Option<AuditStatus> {
    if state.limit.is_some() && state.lost.is_some() && state.enabled.is_some() {
        return None;
    }
    // A queue that was not found yet means that no record has come since the programs are there.
    let is_known = state.depth.is_some() || finds_queue;
    if !is_known || state.why_not_ask().is_some() || question::allow(None).is_err() {
        return None;
    }
    AuditSocket::open()
        .and_then(|mut socket| socket.status())
        .ok()
}

/// Fills in what BPF could not read.
fn complete(state: &mut KernelState, status: Option<&AuditStatus>, boot: Option<bool>) {
    state.booted_with_audit = state.booted_with_audit.or(boot);
    if let Some(status) = status {
        // Its length of the queue is of another moment than the counts.
        let known = KernelState {
            depth: None,
            ..status.state()
        };
        *state = std::mem::take(state).or(&known);
    }
}

/// What of the host makes the counts less than they could be.
fn notes(left_out: &[Role], facts: &Facts, probe: &Probe) -> Vec<String> {
    let mut notes = probe.blind_spots().to_vec();
    if !left_out.is_empty() {
        notes.push(format!(
            "hooks not attached (--leave-out): {}; their counts are not measured",
            names(left_out)
        ));
    }
    if facts.symbols.is_empty() {
        notes.push(
            "cannot read /proc/kallsyms, so the kernel's own counters are not read; depth is unknown until the \
             first record"
                .to_owned(),
        );
    } else if facts.symbols.address("audit_queue").is_none() {
        notes.push(
            "/proc/kallsyms hides the kernel's variables (CAP_SYSLOG, kernel.kptr_restrict, \
             CONFIG_KALLSYMS_ALL), so its own counters are not read; depth is unknown until the first record"
                .to_owned(),
        );
    }
    if let Some(why) = &facts.types_missing {
        notes.push(format!(
            "the kernel has no BTF ({why}): depth, bytes and stalls are not measured"
        ));
    }
    // Many hooks share a reason; it is said once.
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for hook in probe.hooks() {
        if hook.verdict != Verdict::Unneeded
            && let Some(reason) = &hook.reason
        {
            reasons.entry(reason).or_default().push(&hook.name);
        }
    }
    notes.extend(
        reasons
            .into_iter()
            .map(|(reason, names)| match names.as_slice() {
                [one, two, three, more @ ..] if !more.is_empty() => {
                    format!("{one}, {two}, {three} and {} more: {reason}", more.len())
                }
                few => format!("{}: {reason}", few.join(", ")),
            }),
    );
    notes
}

/// The hooks as the command line spells them.
fn names(roles: &[Role]) -> String {
    let names: Vec<String> = roles
        .iter()
        .filter_map(|role| Some(role.to_possible_value()?.get_name().to_owned()))
        .collect();
    names.join(", ")
}

/// Whether polling may do where the probe failed.
const fn can_fall_back(error: &ProbeError) -> bool {
    matches!(
        error,
        ProbeError::Refused { .. }
            | ProbeError::EssentialHook { .. }
            | ProbeError::NoPrograms
            | ProbeError::Load(_)
            | ProbeError::Run { .. }
    )
}

/// `audit=1` leaves its mark in no variable that can be asked for; without BPF
/// the command line has to do.
fn booted_with_audit(facts: &Facts) -> Option<bool> {
    facts.boot.as_ref().map(|boot| boot.on)
}

pub(crate) fn monotonic_ns() -> Result<u64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes to `time`, which lives beyond the call.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error()).context("cannot read the clock");
    }
    let seconds = u64::try_from(time.tv_sec).context("the clock is negative")?;
    let nanos = u64::try_from(time.tv_nsec).context("the clock is negative")?;
    Ok(seconds * 1_000_000_000 + nanos)
}
