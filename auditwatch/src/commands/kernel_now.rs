//! The kernel's audit variables now, by the means that disturbs least.
//!
//! In: facts. Out: a [`KernelState`] whenever it is asked for. Reading the kernel's memory makes no
//! record; loading a program makes some, which a full queue refuses, and that panics under `-f 2`;
//! asking netlink can leave tasks asleep while the queue is over its limit. So the last two are done
//! only where nobody sleeps in the audit code, and netlink never over the limit.

use anyhow::{Context as _, Result};

use crate::{
    audit_status::AuditStatus,
    kernel::{core_memory::KernelMemory, facts::Facts},
    netlink::AuditSocket,
    probe::Probe,
    sample::KernelState,
    tasks,
};

/// The means.
pub(super) struct KernelNow {
    memory: Option<KernelMemory>,
    probe: Option<Box<Probe>>,
    socket: Option<AuditSocket>,
    missing: Vec<String>,
}

impl KernelNow {
    /// Opens what is needed.
    pub(super) fn open(facts: &Facts) -> Self {
        let mut now = Self {
            memory: None,
            probe: None,
            socket: None,
            missing: Vec::new(),
        };
        match KernelMemory::open(&facts.symbols, facts.types.as_ref()) {
            Ok(memory) => now.memory = Some(memory),
            Err(error) => now.missing.push(format!("the kernel's memory: {error}")),
        }
        if now.knows_all() {
            return now;
        }
        if !tasks::audit_sleepers().is_empty() {
            now.missing.push(
                "BPF and netlink: not tried, since tasks sleep in the audit code, and both can make that \
                 worse"
                    .to_owned(),
            );
            return now;
        }
        match Probe::reader(&facts.symbols, facts.types.as_ref()) {
            Ok(probe) => now.probe = Some(Box::new(probe)),
            Err(error) => {
                let error = anyhow::Error::from(error);
                now.missing.push(format!("BPF: {error:#}"));
            }
        }
        if !now.knows_all() {
            match AuditSocket::open() {
                Ok(socket) => now.socket = Some(socket),
                Err(error) => now.missing.push(anyhow::Error::from(error).to_string()),
            }
        }
        now
    }

    /// The variables now; `None` where nothing tells any of them.
    pub(super) fn state(&mut self) -> Option<KernelState> {
        let mut state = self.without_asking();
        let over = state.as_ref().is_some_and(KernelState::is_over_limit);
        let whole = state.as_ref().is_some_and(is_whole);
        if !whole
            && !over
            && let Some(socket) = &mut self.socket
        {
            match socket.status() {
                Ok(status) => complete(state.get_or_insert_default(), &status),
                Err(error) => {
                    self.socket = None;
                    self.missing.push(anyhow::Error::from(error).to_string());
                }
            }
        }
        state
    }

    /// The same, but for what only netlink could tell.
    pub(super) fn without_asking(&mut self) -> Option<KernelState> {
        let by_memory = self.memory.as_ref().and_then(|memory| memory.state().ok());
        let by_probe = self.probe.as_mut().and_then(|probe| probe.state().ok());
        match (by_memory, by_probe) {
            (Some(memory), Some(probe)) => Some(KernelState {
                depth: memory.depth.or(probe.depth),
                limit: memory.limit.or(probe.limit),
                enabled: memory.enabled.or(probe.enabled),
                failure: memory.failure.or(probe.failure),
                wait_time_jiffies: memory.wait_time_jiffies.or(probe.wait_time_jiffies),
                ..probe
            }),
            (memory, probe) => memory.or(probe),
        }
    }

    /// Why something is not known, in one line.
    pub(super) fn missing(&self) -> Option<String> {
        (!self.missing.is_empty()).then(|| self.missing.join("; "))
    }

    fn knows_all(&mut self) -> bool {
        self.without_asking().as_ref().is_some_and(is_whole)
    }
}

/// Whether it holds all that a change needs to know.
fn is_whole(state: &KernelState) -> bool {
    state.depth.is_some()
        && state.limit.is_some()
        && state.enabled.is_some()
        && state.failure.is_some()
        && state.wait_time_jiffies.is_some()
}

/// Fills in what was not known.
fn complete(state: &mut KernelState, status: &AuditStatus) {
    state.depth = state.depth.or(Some(status.backlog));
    state.limit = state.limit.or(Some(status.backlog_limit));
    state.enabled = state.enabled.or(Some(status.enabled));
    state.failure = state.failure.or(Some(status.failure));
    state.wait_time_jiffies = state.wait_time_jiffies.or(status.backlog_wait_time_jiffies);
    state.lost = state.lost.or(Some(status.lost));
    state.auditd_pid = state.auditd_pid.or(Some(status.pid));
}

/// What the kernel itself says of a setting after it was set: it is asked where the queue has room,
/// and its memory is read where not.
pub(super) fn read_back(now: &mut KernelNow, socket: &mut AuditSocket) -> Result<KernelState> {
    let mut state = now.without_asking().unwrap_or_default();
    if !state.is_over_limit() {
        let status = socket.status().context("cannot read the setting back")?;
        state.limit = Some(status.backlog_limit);
        state.wait_time_jiffies = status.backlog_wait_time_jiffies.or(state.wait_time_jiffies);
        complete(&mut state, &status);
    }
    state.limit.context("cannot read the setting back")?;
    Ok(state)
}
