//! One storm, played once, and traced from quiet to quiet.
//!
//! In: the stage and the storm. Out: the truth and the trace, side by side. It must
//! not send an audit message between the first event and the quiet after the last.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{cast::Cast, stage::Stage};
use crate::{
    audit_status::AuditStatus,
    bench::board::Slot,
    cli::SourceChoice,
    commands::trace::{
        host,
        log::Log,
        recorder::Recorder,
        setup,
        source::{Live, Wanted},
    },
    control::{self, Setting},
    ledger::counter_growth,
    plan::Preference,
    probe::Extent,
    recording::{self, Begin, End},
    report::Interval,
    storm::{ConsumerKind, Phase, Storm},
    truth::{self, BenchReport, ProducerReport, Truth},
};

/// For the queue to empty before a storm.
const SETTLED_PATIENCE: Duration = Duration::from_secs(30);
/// And after it: a slow consumer takes its time.
const QUIET_PATIENCE: Duration = Duration::from_mins(10);
const STEP: Duration = Duration::from_millis(5);
/// Looks in a row that find everything at rest.
const QUIET_LOOKS: u32 = 3;

/// How a storm is played.
pub(super) struct Manner<'a> {
    pub(super) attach: Preference,
    pub(super) interval: Duration,
    pub(super) recorder: Option<Recorder>,
    /// Is shown each interval, and the number of events made so far.
    pub(super) watch: &'a mut dyn FnMut(&Interval, u64),
}

/// What became of it.
pub(super) struct Played {
    pub(super) report: BenchReport,
    /// Whether all of the recording was written, where there is one.
    pub(super) recorded: Result<()>,
}

/// Plays it once. On failure what is left over is for the keeper.
pub(super) async fn play(stage: &mut Stage, storm: &Storm, manner: Manner<'_>) -> Result<Played> {
    // Nobody is to wait while all is made ready.
    control::set(&mut stage.socket, Setting::BacklogLimit(0))?;
    let mut cast = Cast::assemble(stage, storm).await?;
    let played = perform(stage, storm, &mut cast, manner).await?;
    cast.dismiss(stage).await?;
    Ok(played)
}

async fn perform(
    stage: &mut Stage,
    storm: &Storm,
    cast: &mut Cast,
    manner: Manner<'_>,
) -> Result<Played> {
    let started = Instant::now();
    let wanted = Wanted {
        source: SourceChoice::Bpf,
        attach: manner.attach,
        interval: manner.interval,
        extent: Extent {
            follows_command: false,
            talker_slots: Extent::TALKER_SLOTS,
        },
        leave_out: &[],
        accept_panic_risk: false,
    };
    let mut live = Live::start(wanted, &stage.facts)?;
    apply(stage, storm)?;
    quiet(&mut live, cast, SETTLED_PATIENCE)
        .await
        .context("before the storm")?;
    let before = Reading::take(stage, cast)?;
    if storm.consumer.kind == ConsumerKind::Stopped {
        cast.consumer.halt(true);
    }
    let zero = live.zero()?;
    let begin = Begin {
        schema: recording::SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: host::host(&stage.facts),
        hooks: live.hooks(),
        source_reason: live.reason(),
        notes: live.notes(),
        startup_ns: u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX),
        consumer_times: None,
    };
    let mut view = View {
        log: Log::new(begin, zero, manner.recorder),
        live,
        interval: manner.interval,
        next: Instant::now() + manner.interval,
        watch: manner.watch,
    };
    let mut producers = Vec::new();
    for phase in &storm.phases {
        let reports = view.phase(phase, storm, cast).await;
        producers.extend(reports.with_context(|| format!("phase {}", phase.name))?);
    }
    cast.consumer.halt(false);
    view.quiet(cast).await.context("after the storm")?;
    let last = view.live.last().await?;
    let after = Reading::take(stage, cast)?;
    let interval = view.log.push(last);
    (view.watch)(&interval, cast.board.get(Slot::Events));
    let consumer = setup::consumer(view.log.auditd_pid());
    let (summary, recorded) = view.log.end(End {
        notes: view.live.notes(),
        command: None,
        consumer,
        own: view.live.detach().await?,
    });
    ensure_heard(&producers, summary.ledger.attempted)?;
    let truth = Truth {
        consumer: storm.consumer.kind.name().to_owned(),
        counts_eoe: storm.consumer.kind != ConsumerKind::Auditd,
        received: after.received_since(&before),
        lost: counter_growth(before.status.lost, after.status.lost),
        waited_ns: after.waited_ns_since(&before, stage.facts.hz),
        producers,
    };
    let checks = truth::check(&truth, &summary);
    let report = BenchReport {
        kind: "bench".to_owned(),
        schema: truth::SCHEMA,
        storm: storm.name.clone(),
        limit: after.status.backlog_limit,
        agrees: truth::agree(&checks),
        checks,
        truth,
        trace: summary,
    };
    Ok(Played { report, recorded })
}

/// Sets what the storm wants of the host, the limit last: the records of the other
/// changes are under way then.
fn apply(stage: &mut Stage, storm: &Storm) -> Result<()> {
    let saved = stage
        .keeper
        .settings()
        .context("the settings were not saved")?;
    let wait_time = match storm.host.wait_time_ms {
        None => saved.backlog_wait_time_jiffies,
        Some(ms) => {
            let hz = stage
                .facts
                .hz
                .context("the kernel's clock rate is not known, and wait_time_ms needs it")?;
            let jiffies = ms.saturating_mul(u64::from(hz)).div_ceil(1000);
            Some(u32::try_from(jiffies).context("wait_time_ms is too long")?)
        }
    };
    if let Some(jiffies) = wait_time {
        control::set(&mut stage.socket, Setting::BacklogWaitTime(jiffies))
            .context("cannot set the backlog wait time")?;
    }
    for setting in [
        Setting::Failure(storm.host.failure.unwrap_or(saved.failure)),
        Setting::RateLimit(storm.host.rate_limit.unwrap_or(saved.rate_limit)),
        Setting::BacklogLimit(storm.host.limit.unwrap_or(saved.backlog_limit)),
    ] {
        control::set(&mut stage.socket, setting)
            .with_context(|| format!("cannot set {setting:?}"))?;
    }
    Ok(())
}

/// A storm that nobody hears of is none.
fn ensure_heard(producers: &[ProducerReport], attempted: Option<u64>) -> Result<()> {
    let events: u64 = producers.iter().map(|producer| producer.events).sum();
    ensure!(
        events == 0 || attempted != Some(0),
        "the storm made {events} events and not one record: a rule `-a never,task` or an exclude rule of \
         this host keeps them out; see auditctl -l"
    );
    match producers.iter().find(|producer| producer.failed > 0) {
        Some(producer) => bail!(
            "{} of {} events of producer {} failed: {}",
            producer.failed,
            producer.events,
            producer.name,
            producer.failure.as_deref().unwrap_or("for no known reason")
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
    fn look(&mut self, cast: &mut Cast) -> Result<()> {
        let now = Instant::now();
        if now < self.next {
            return Ok(());
        }
        self.next = now + self.interval;
        ensure!(
            !cast.consumer.has_died(),
            "the consumer has died: somebody killed it"
        );
        if let Some(sample) = self.live.sample()? {
            let interval = self.log.push(sample);
            (self.watch)(&interval, cast.board.get(Slot::Events));
        }
        self.live.tend(self.interval)
    }

    async fn phase(
        &mut self,
        phase: &Phase,
        storm: &Storm,
        cast: &mut Cast,
    ) -> Result<Vec<ProducerReport>> {
        let begin = Instant::now() + Duration::from_millis(phase.rest_ms);
        while Instant::now() < begin {
            tokio::time::sleep_until(begin.min(self.next).into()).await;
            self.look(cast)?;
        }
        pace(phase, storm, cast);
        cast.producers.begin().await?;
        loop {
            tokio::select! {
                reports = cast.producers.reports() => return reports,
                () = tokio::time::sleep_until(self.next.into()) => {}
            }
            self.look(cast)?;
        }
    }

    /// Waits until the records of the storm have all arrived.
    async fn quiet(&mut self, cast: &mut Cast) -> Result<()> {
        let mut rest = Rest::new(QUIET_PATIENCE);
        while !rest.is_reached(&mut self.live, cast)? {
            self.look(cast)?;
            tokio::time::sleep(STEP).await;
        }
        Ok(())
    }
}

/// Sets the consumer's pace for a phase.
fn pace(phase: &Phase, storm: &Storm, cast: &Cast) {
    let wanted = &phase.consumer;
    let per_record_us = wanted.per_record_us.unwrap_or(storm.consumer.per_record_us);
    let pause = wanted.pause.or(storm.consumer.pause);
    cast.board.set(Slot::PerRecordUs, per_record_us);
    cast.board
        .set(Slot::PauseForMs, pause.map_or(0, |pause| pause.for_ms));
    cast.board
        .set(Slot::PauseEveryMs, pause.map_or(0, |pause| pause.every_ms));
    if let Some(stopped) = wanted.stopped {
        cast.consumer.halt(stopped);
    }
}

/// What the kernel's counters and the consumer say at quiet.
struct Reading {
    status: AuditStatus,
    received: Option<BTreeMap<String, u64>>,
}

impl Reading {
    fn take(stage: &mut Stage, cast: &Cast) -> Result<Self> {
        Ok(Self {
            status: stage.socket.status()?,
            received: cast.consumer.received(&cast.board)?,
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
async fn quiet(live: &mut Live, cast: &Cast, patience: Duration) -> Result<()> {
    let mut rest = Rest::new(patience);
    while !rest.is_reached(live, cast)? {
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

    fn is_reached(&mut self, live: &mut Live, cast: &Cast) -> Result<bool> {
        let state = live
            .state()?
            .context("this host offers no look at the queue without asking")?;
        let progress = cast.consumer.progress(&cast.board);
        let at_rest = state.depth == Some(0)
            && state.in_hand.unwrap_or(0) == 0
            && state.retry_depth.unwrap_or(0) == 0
            && cast.consumer.has_read_all() != Some(false)
            && progress == self.progress;
        self.progress = progress;
        self.looks = if at_rest { self.looks + 1 } else { 0 };
        ensure!(
            Instant::now() < self.deadline,
            "the queue is not empty after {} s: {} records, {} to be sent again",
            self.patience.as_secs(),
            state.depth.unwrap_or(0),
            state.retry_depth.unwrap_or(0)
        );
        Ok(self.looks >= QUIET_LOOKS)
    }
}
