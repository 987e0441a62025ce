//! One storm, run once, and traced from quiet to quiet.
//!
//! In: the setup and the storm. Out: the truth and the trace, side by side. It must
//! not send an audit message between the first event and the quiet after the last.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{participants::Participants, setup::Setup};
use crate::{
    bench::{
        board::Slot,
        ground_truth::{self, BenchKind, BenchReport, ProducerReport, Truth},
    },
    cli::SourceChoice,
    hooks::plan::Preference,
    live::{
        consumer, host,
        log::Log,
        recorder::Recorder,
        source::{Live, Wanted},
    },
    netlink::{
        control::{self, Setting},
        status::AuditStatus,
    },
    probe::ProbeOptions,
    storm::{ConsumerKind, Phase, Storm},
    trace::{
        ledger::counter_growth,
        recording::{self, Begin, End},
        report::Interval,
    },
};

/// For the queue to empty before a storm.
const SETTLED_PATIENCE: Duration = Duration::from_secs(30);
/// And after it: a slow consumer takes its time.
const QUIET_PATIENCE: Duration = Duration::from_mins(10);
const STEP: Duration = Duration::from_millis(5);
/// Looks in a row that find everything at rest.
const QUIET_LOOKS: u32 = 3;

/// How a storm is run.
pub(super) struct RunOptions<'a> {
    pub(super) attach: Preference,
    pub(super) interval: Duration,
    pub(super) recorder: Option<Recorder>,
    /// Is shown each interval, and the number of events made so far.
    pub(super) watch: &'a mut dyn FnMut(&Interval, u64),
}

/// What became of it.
pub(super) struct RunResult {
    pub(super) report: BenchReport,
    /// Whether all of the recording was written, where there is one.
    pub(super) recorded: Result<()>,
}

/// Plays it once. On failure what is left over is for the keeper.
pub(super) async fn play(
    setup: &mut Setup,
    storm: &Storm,
    options: RunOptions<'_>,
) -> Result<RunResult> {
    // Nobody is to wait while all is made ready.
    control::set(&mut setup.socket, Setting::BacklogLimit(0))?;
    let mut participants = Participants::assemble(setup, storm).await?;
    let result = perform(setup, storm, &mut participants, options).await?;
    participants.dismiss(setup).await?;
    Ok(result)
}

async fn perform(
    setup: &mut Setup,
    storm: &Storm,
    participants: &mut Participants,
    options: RunOptions<'_>,
) -> Result<RunResult> {
    let started = Instant::now();
    let wanted = Wanted {
        source: SourceChoice::Bpf,
        attach: options.attach,
        interval: options.interval,
        extent: ProbeOptions {
            follows_command: false,
            talker_slots: ProbeOptions::TALKER_SLOTS,
        },
        leave_out: &[],
        accept_panic_risk: false,
    };
    let mut live = Live::start(wanted, &setup.facts)?;
    apply(setup, storm)?;
    quiet(&mut live, participants, SETTLED_PATIENCE)
        .await
        .context("before the storm")?;
    let before = Reading::take(setup, participants)?;
    if storm.consumer.kind == ConsumerKind::Stopped {
        participants.consumer.halt(true);
    }
    let zero = live.zero()?;
    let begin = Begin {
        schema: recording::SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: host::host(&setup.facts),
        hooks: live.hooks(),
        source_reason: live.reason(),
        notes: live.notes(),
        startup_ns: u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX),
        consumer_times: None,
    };
    let mut view = View {
        log: Log::new(begin, zero, options.recorder),
        live,
        interval: options.interval,
        next: Instant::now() + options.interval,
        watch: options.watch,
    };
    let mut producers = Vec::new();
    for phase in &storm.phases {
        let reports = view.phase(phase, storm, participants).await;
        producers.extend(reports.with_context(|| format!("phase {}", phase.name))?);
    }
    participants.consumer.halt(false);
    view.quiet(participants).await.context("after the storm")?;
    let last = view.live.last().await?;
    let after = Reading::take(setup, participants)?;
    let interval = view.log.push(last);
    (view.watch)(&interval, participants.board.get(Slot::Events));
    let consumer = consumer::consumer(view.log.auditd_pid());
    let (summary, recorded) = view.log.end(End {
        notes: view.live.notes(),
        command: None,
        consumer,
        own: view.live.detach().await?,
        // The producers are done, and the queue is quiet.
        load_has_ended: true,
    });
    ensure_heard(&producers, summary.ledger.attempted)?;
    let truth = Truth {
        consumer: storm.consumer.kind.name().to_owned(),
        counts_eoe: storm.consumer.kind != ConsumerKind::Auditd,
        received: after.received_since(&before),
        lost: counter_growth(before.status.lost, after.status.lost),
        waited_ns: after.waited_ns_since(&before, setup.facts.hz),
        producers,
    };
    let checks = ground_truth::check(&truth, &summary);
    let report = BenchReport {
        kind: BenchKind::Bench,
        schema: ground_truth::SCHEMA,
        storm: storm.name.clone(),
        limit: after.status.backlog_limit,
        agrees: ground_truth::agree(&checks),
        checks,
        truth,
        trace: summary,
    };
    Ok(RunResult { report, recorded })
}

/// Sets what the storm wants of the host, the limit last: the records of the other
/// changes are under way then.
fn apply(setup: &mut Setup, storm: &Storm) -> Result<()> {
    let saved = setup
        .keeper
        .settings()
        .context("the settings were not saved")?;
    let wait_time = match storm.host.wait_time_ms {
        None => saved.backlog_wait_time_jiffies,
        Some(ms) => {
            let hz = setup
                .facts
                .hz
                .context("cannot set wait_time_ms: the kernel's tick rate is unknown")?;
            let jiffies = ms.saturating_mul(u64::from(hz)).div_ceil(1000);
            Some(u32::try_from(jiffies).context("wait_time_ms is too long")?)
        }
    };
    if let Some(jiffies) = wait_time {
        control::set(&mut setup.socket, Setting::BacklogWaitTime(jiffies))
            .context("cannot set the backlog wait time")?;
    }
    for setting in [
        Setting::Failure(storm.host.failure.unwrap_or(saved.failure)),
        Setting::RateLimit(storm.host.rate_limit.unwrap_or(saved.rate_limit)),
        Setting::BacklogLimit(storm.host.limit.unwrap_or(saved.backlog_limit)),
    ] {
        control::set(&mut setup.socket, setting)
            .with_context(|| format!("cannot set {setting:?}"))?;
    }
    Ok(())
}

/// A storm that nobody hears of is none.
fn ensure_heard(producers: &[ProducerReport], attempted: Option<u64>) -> Result<()> {
    let events: u64 = producers.iter().map(|producer| producer.events).sum();
    ensure!(
        events == 0 || attempted != Some(0),
        "the storm made {events} events but no record: a rule of this host filters them (`-a never,task` or \
         an exclude rule); see auditctl -l"
    );
    match producers.iter().find(|producer| producer.failed > 0) {
        Some(producer) => bail!(
            "{} of {} events of producer {} failed: {}",
            producer.failed,
            producer.events,
            producer.name,
            producer.failure.as_deref().unwrap_or("reason unknown")
        ),
        None => Ok(()),
    }
}

/// The trace of a storm while it goes on.
struct View<'a> {
    live: Live,
    log: Log,
    interval: Duration,
    /// When the next sample is due.
    next: Instant,
    watch: &'a mut dyn FnMut(&Interval, u64),
}

impl View<'_> {
    /// Takes a sample if one is due.
    fn look(&mut self, participants: &mut Participants) -> Result<()> {
        let now = Instant::now();
        if now < self.next {
            return Ok(());
        }
        self.next = now + self.interval;
        ensure!(!participants.consumer.has_died(), "the consumer was killed");
        if let Some(sample) = self.live.sample()? {
            let interval = self.log.push(sample);
            (self.watch)(&interval, participants.board.get(Slot::Events));
        }
        self.live.tend(self.interval)
    }

    async fn phase(
        &mut self,
        phase: &Phase,
        storm: &Storm,
        participants: &mut Participants,
    ) -> Result<Vec<ProducerReport>> {
        let begin = Instant::now() + Duration::from_millis(phase.rest_ms);
        while Instant::now() < begin {
            tokio::time::sleep_until(begin.min(self.next).into()).await;
            self.look(participants)?;
        }
        pace(phase, storm, participants);
        participants.producers.begin().await?;
        loop {
            tokio::select! {
                reports = participants.producers.reports() => return reports,
                () = tokio::time::sleep_until(self.next.into()) => {}
            }
            self.look(participants)?;
        }
    }

    /// Waits until the records of the storm have all arrived.
    async fn quiet(&mut self, participants: &mut Participants) -> Result<()> {
        let mut rest = Rest::new(QUIET_PATIENCE);
        while !rest.is_reached(&mut self.live, participants)? {
            self.look(participants)?;
            tokio::time::sleep(STEP).await;
        }
        Ok(())
    }
}

/// Sets the consumer's pace for a phase.
fn pace(phase: &Phase, storm: &Storm, participants: &Participants) {
    let wanted = &phase.consumer;
    let per_record_us = wanted.per_record_us.unwrap_or(storm.consumer.per_record_us);
    let pause = wanted.pause.or(storm.consumer.pause);
    participants.board.set(Slot::PerRecordUs, per_record_us);
    participants
        .board
        .set(Slot::PauseForMs, pause.map_or(0, |pause| pause.for_ms));
    participants
        .board
        .set(Slot::PauseEveryMs, pause.map_or(0, |pause| pause.every_ms));
    if let Some(stopped) = wanted.stopped {
        participants.consumer.halt(stopped);
    }
}

/// What the kernel's counters and the consumer say at quiet.
struct Reading {
    status: AuditStatus,
    received: Option<BTreeMap<String, u64>>,
}

impl Reading {
    fn take(setup: &mut Setup, participants: &Participants) -> Result<Self> {
        Ok(Self {
            status: setup.socket.status()?,
            received: participants.consumer.received(&participants.board)?,
        })
    }

    fn received_since(&self, before: &Self) -> Option<BTreeMap<String, u64>> {
        let before = before.received.as_ref()?;
        let since = self.received.as_ref()?.iter().map(|(name, count)| {
            let then = before.get(name).copied().unwrap_or(0);
            (name.clone(), count.saturating_sub(then))
        });
        Some(since.filter(|(_, count)| *count > 0).collect())
    }

    fn waited_ns_since(&self, before: &Self, hz: Option<u32>) -> Option<u64> {
        let jiffies = counter_growth(
            before.status.backlog_wait_time_actual_jiffies?,
            self.status.backlog_wait_time_actual_jiffies?,
        )?;
        (jiffies * 1_000_000_000).checked_div(u64::from(hz?))
    }
}

/// Waits for rest without a trace.
async fn quiet(live: &mut Live, participants: &Participants, patience: Duration) -> Result<()> {
    let mut rest = Rest::new(patience);
    while !rest.is_reached(live, participants)? {
        tokio::time::sleep(STEP).await;
    }
    Ok(())
}

/// Whether the queues are empty, and the consumer has read all and counted it.
struct Rest {
    patience: Duration,
    deadline: Instant,
    /// Looks in a row that found it so.
    looks: u32,
    progress: Option<u64>,
}

impl Rest {
    fn new(patience: Duration) -> Self {
        Self {
            patience,
            deadline: Instant::now() + patience,
            looks: 0,
            progress: None,
        }
    }

    fn is_reached(&mut self, live: &mut Live, participants: &Participants) -> Result<bool> {
        let state = live
            .state()?
            .context("cannot read the queue without a netlink request")?;
        let progress = participants.consumer.progress(&participants.board);
        let at_rest = state.depth == Some(0)
            && state.in_hand.unwrap_or(0) == 0
            && state.retry_depth.unwrap_or(0) == 0
            && participants.consumer.has_read_all() != Some(false)
            && progress == self.progress;
        self.progress = progress;
        self.looks = if at_rest { self.looks + 1 } else { 0 };
        ensure!(
            Instant::now() < self.deadline,
            "the queue is not empty after {} s: {} records, and {} in the retry queue",
            self.patience.as_secs(),
            state.depth.unwrap_or(0),
            state.retry_depth.unwrap_or(0)
        );
        Ok(self.looks >= QUIET_LOOKS)
    }
}
