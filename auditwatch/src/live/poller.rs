//! Polling: the kernel's variables, read now and then by the way that disturbs least, become samples.
//!
//! In: the kernel's memory, or netlink if that cannot be read. It must not ask netlink while that could leave a task
//! asleep.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::source::monotonic_ns;
use crate::{
    kernel::{audit_state::KernelState, core_memory::KernelMemory, facts::Facts},
    netlink::{poll, question, socket::AuditSocket},
    sample::Sample,
};

/// A poll that goes on.
pub(crate) struct Poller {
    way: Way,
    state: KernelState,
    pause: Duration,
    interval: Duration,
    asked: tokio::time::Instant,
}

/// Where a poll gets the variables from.
enum Way {
    /// Its reading disturbs nobody.
    Memory(Box<KernelMemory>),
    Netlink(AuditSocket),
}

impl Way {
    fn find(facts: &Facts) -> Result<Self> {
        if let Ok(memory) = KernelMemory::open(&facts.symbols, facts.types.as_ref()) {
            return Ok(Self::Memory(Box::new(memory)));
        }
        question::allow(None)?;
        Ok(Self::Netlink(AuditSocket::open()?))
    }

    fn read(&mut self) -> Result<KernelState> {
        Ok(match self {
            Self::Memory(memory) => memory.state()?,
            Self::Netlink(socket) => socket.status()?.state(),
        })
    }

    /// How long to leave the kernel alone after it said this.
    fn pause_after(&self, state: &KernelState, interval: Duration) -> Duration {
        match self {
            Self::Memory(_) => interval,
            Self::Netlink(_) => poll::pause_after(state, interval),
        }
    }

    /// The same before the last question; `None` if there is to be none.
    fn pause_before_last(&self, state: &KernelState, interval: Duration) -> Option<Duration> {
        match self {
            Self::Memory(_) => Some(Duration::ZERO),
            Self::Netlink(_) => poll::pause_before_last(state, interval),
        }
    }
}

impl Poller {
    /// Finds the way, and reads for the first time.
    pub(crate) fn start(interval: Duration, facts: &Facts) -> Result<Self> {
        let mut way = Way::find(facts)?;
        let state = way.read()?;
        Ok(Self {
            pause: way.pause_after(&state, interval),
            way,
            state,
            interval,
            asked: tokio::time::Instant::now(),
        })
    }

    /// How long to leave the kernel alone from here.
    pub(crate) fn pause(&self) -> Duration {
        self.pause
    }

    /// Asks the kernel, unless it is to be left alone.
    pub(crate) fn ask(&mut self, booted_with_audit: Option<bool>) -> Result<Option<Sample>> {
        if self.asked.elapsed() < self.pause {
            return Ok(None);
        }
        self.state = self.way.read().context("cannot poll")?;
        self.asked = tokio::time::Instant::now();
        self.pause = self.way.pause_after(&self.state, self.interval);
        self.last(booted_with_audit).map(Some)
    }

    /// Asks once more, since the trace is about what happened until now. After an
    /// answer that the queue is near its limit, it is given a while to drain; after
    /// one that it is over its limit, that answer was the last.
    pub(crate) async fn ask_at_the_end(
        &mut self,
        booted_with_audit: Option<bool>,
    ) -> Result<Sample> {
        let Some(pause) = self.way.pause_before_last(&self.state, self.interval) else {
            return self.last(booted_with_audit);
        };
        tokio::time::sleep_until(self.asked + pause).await;
        self.pause = Duration::ZERO;
        match self.ask(booted_with_audit)? {
            Some(sample) => Ok(sample),
            None => self.last(booted_with_audit),
        }
    }

    /// The last answer, as of now.
    pub(crate) fn last(&self, booted_with_audit: Option<bool>) -> Result<Sample> {
        Ok(poll::sample(
            monotonic_ns()?,
            &self.state,
            booted_with_audit,
        ))
    }
}
