//! The source of a live trace: the probe, or polling where the kernel refuses it.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{
    cli::{SourceChoice, TraceArgs},
    health::{HookReport, Verdict, roll_up},
    kernel::facts::Facts,
    netlink::{AuditSocket, AuditStatus},
    plan::{self, Inputs},
    poll,
    probe::{Probe, ProbeError},
    sample::{KernelState, Sample},
};

/// Longest wait for the records of the programs' own loading to leave the queue.
const SETTLE: Duration = Duration::from_millis(100);
/// Time between two looks at it.
const SETTLE_STEP: Duration = Duration::from_millis(2);
/// While the limit is not known, netlink is asked only below this depth: no
/// limit in use is smaller (the kernel's default is 64).
const SURELY_BELOW_LIMIT: u32 = 32;

/// A source that is ready to count.
pub(super) struct Live {
    means: Means,
    reason: Option<String>,
}

enum Means {
    Probe(Box<Probe>),
    Poll(Poller),
}

struct Poller {
    socket: AuditSocket,
    booted_with_audit: Option<bool>,
    status: AuditStatus,
    pause: Duration,
    interval: Duration,
    asked: tokio::time::Instant,
}

impl Live {
    /// Puts the source in place that was asked for.
    pub(super) fn start(args: &TraceArgs, facts: &Facts) -> Result<Self> {
        if args.source == SourceChoice::Poll {
            return Self::poll(args, facts, None);
        }
        match start_probe(args, facts) {
            Ok(probe) => Ok(Self {
                means: Means::Probe(Box::new(probe)),
                reason: None,
            }),
            Err(error) if args.source == SourceChoice::Auto && can_fall_back(&error) => {
                let reason = format!("{:#}", anyhow::Error::from(error));
                Self::poll(args, facts, Some(reason.clone())).with_context(|| {
                    format!("neither source works here; {reason}; and polling does not either")
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn poll(args: &TraceArgs, facts: &Facts, reason: Option<String>) -> Result<Self> {
        let mut socket = AuditSocket::open().context("cannot poll")?;
        let status = socket.status().context("cannot poll")?;
        Ok(Self {
            means: Means::Poll(Poller {
                socket,
                booted_with_audit: booted_with_audit(facts),
                pause: poll::pause_after(&status, args.interval),
                status,
                interval: args.interval,
                asked: tokio::time::Instant::now(),
            }),
            reason,
        })
    }

    /// What a reader should know before the first line.
    pub(super) fn opening_words(&self) -> Vec<String> {
        match &self.means {
            Means::Probe(probe) => {
                let hooks = probe.hooks();
                let mut words = vec![format!("counting: {}", roll_up(hooks))];
                words.extend(
                    hooks
                        .iter()
                        .filter(|hook| {
                            matches!(hook.verdict, Verdict::Failed | Verdict::Unsupported)
                        })
                        .map(|hook| {
                            let reason = hook.reason.as_deref().unwrap_or("no reason given");
                            format!("{}: {reason}", hook.name)
                        }),
                );
                words
            }
            Means::Poll(_) => {
                let mut words = Vec::new();
                if let Some(reason) = &self.reason {
                    words.push(format!("polling instead of counting: {reason}"));
                }
                words.push(poll::BLIND_SPOTS.to_owned());
                words
            }
        }
    }

    /// Why the source is not the preferred one.
    pub(super) fn reason(&self) -> Option<String> {
        self.reason.clone()
    }

    /// What became of each hook.
    pub(super) fn hooks(&self) -> Vec<HookReport> {
        match &self.means {
            Means::Probe(probe) => probe.hooks().to_vec(),
            Means::Poll(_) => Vec::new(),
        }
    }

    /// The interval that the source can serve.
    pub(super) fn interval(&self, wanted: Duration) -> Duration {
        match &self.means {
            Means::Probe(_) => wanted,
            Means::Poll(poller) => poller.pause,
        }
    }

    /// Waits until the records of the programs' own loading have left the queue,
    /// or for a moment where the host keeps it busy.
    pub(super) async fn settle(&mut self) -> Result<()> {
        let Means::Probe(probe) = &mut self.means else {
            return Ok(());
        };
        let end = tokio::time::Instant::now() + SETTLE;
        while probe.state()?.depth.is_some_and(|depth| depth > 0)
            && tokio::time::Instant::now() < end
        {
            tokio::time::sleep(SETTLE_STEP).await;
        }
        Ok(())
    }

    /// Begins to count.
    pub(super) fn zero(&mut self) -> Result<Sample> {
        match &mut self.means {
            Means::Probe(probe) => Ok(probe.open_gate()?),
            Means::Poll(poller) => poller.last(),
        }
    }

    /// A sample, where it is time for one.
    pub(super) fn sample(&mut self) -> Result<Option<Sample>> {
        match &mut self.means {
            Means::Probe(probe) => Ok(Some(probe.sample()?)),
            Means::Poll(poller) => poller.ask(),
        }
    }

    /// How long to leave the kernel alone from here, where that is not the
    /// interval that was asked for.
    pub(super) fn pause(&self) -> Option<Duration> {
        match &self.means {
            Means::Probe(_) => None,
            Means::Poll(poller) => Some(poller.pause),
        }
    }

    /// The last sample.
    pub(super) fn last(&mut self) -> Result<Sample> {
        match &mut self.means {
            Means::Probe(probe) => Ok(probe.close_gate()?),
            Means::Poll(poller) => match poller.ask()? {
                Some(sample) => Ok(sample),
                None => poller.last(),
            },
        }
    }
}

impl Poller {
    /// Asks the kernel, unless it is to be left alone.
    fn ask(&mut self) -> Result<Option<Sample>> {
        if self.asked.elapsed() < self.pause {
            return Ok(None);
        }
        self.status = self.socket.status().context("cannot poll")?;
        self.asked = tokio::time::Instant::now();
        self.pause = poll::pause_after(&self.status, self.interval);
        self.last().map(Some)
    }

    /// The last answer, as of now.
    fn last(&self) -> Result<Sample> {
        Ok(poll::sample(
            monotonic_ns()?,
            &self.status,
            self.booted_with_audit,
        ))
    }
}

fn start_probe(args: &TraceArgs, facts: &Facts) -> Result<Probe, ProbeError> {
    let plan = plan::plan(&Inputs {
        symbols: &facts.symbols,
        btf: facts.btf.as_ref(),
        kprobes: facts.kprobes,
        preference: args.attach,
    });
    let mut probe = Probe::attach(&facts.symbols, facts.btf.as_ref(), &plan)?;
    let state = probe.state()?;
    let (limit, wait_time) = limits(&state);
    if let Some(limit) = limit {
        probe.set_limits(limit, wait_time.unwrap_or(u32::MAX))?;
    }
    Ok(probe)
}

/// Limit and wait time in force: as the kernel's variables say, else as netlink
/// does, which must not be asked while the queue may be over its limit.
fn limits(state: &KernelState) -> (Option<u32>, Option<u32>) {
    if state.limit.is_some() && state.wait_time_jiffies.is_some() {
        return (state.limit, state.wait_time_jiffies);
    }
    if state.depth.is_some_and(|depth| depth > SURELY_BELOW_LIMIT) {
        return (state.limit, state.wait_time_jiffies);
    }
    match AuditSocket::open().and_then(|mut socket| socket.status()) {
        Ok(status) => (Some(status.backlog_limit), status.backlog_wait_time_jiffies),
        Err(_) => (state.limit, state.wait_time_jiffies),
    }
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

fn monotonic_ns() -> Result<u64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes to `time`, which lives beyond the call.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) } != 0 {
        return Err(std::io::Error::last_os_error()).context("cannot read the clock");
    }
    let seconds = u64::try_from(time.tv_sec).context("the clock is before its start")?;
    let nanos = u64::try_from(time.tv_nsec).context("the clock is before its start")?;
    Ok(seconds * 1_000_000_000 + nanos)
}
