//! The kernel's audit variables now, by the means that disturbs least.
//!
//! In: facts. Out: a [`KernelState`] whenever it is asked for. Reading the kernel's memory makes no
//! record. Netlink is asked only if the memory does not tell all, and the question can leave nobody asleep. No BPF
//! program is loaded for it: that makes records, which a full queue refuses, and that panics under `-f 2`.

use anyhow::{Context as _, Result};

use crate::{
    kernel::{audit_state::KernelState, core_memory::KernelMemory, facts::Facts},
    netlink::{question, socket::AuditSocket},
};

/// The means.
pub(crate) struct KernelNow {
    memory: Option<KernelMemory>,
    socket: Option<AuditSocket>,
    missing: Vec<String>,
}

impl KernelNow {
    /// Opens what is needed.
    pub(crate) fn open(facts: &Facts) -> Self {
        let mut now = Self {
            memory: None,
            socket: None,
            missing: Vec::new(),
        };
        match KernelMemory::open(&facts.symbols, facts.types.as_ref()) {
            Ok(memory) => now.memory = Some(memory),
            Err(error) => now
                .missing
                .push(format!("cannot read the kernel's memory: {error}")),
        }
        if now.knows_all() {
            return now;
        }
        if let Err(refusal) = question::allow(now.memory.as_ref()) {
            now.missing.push(refusal.to_string());
            return now;
        }
        match AuditSocket::open() {
            Ok(socket) => now.socket = Some(socket),
            Err(error) => now.missing.push(anyhow::Error::from(error).to_string()),
        }
        now
    }

    /// The variables now; `None` where nothing tells any of them.
    pub(crate) fn state(&mut self) -> Option<KernelState> {
        let mut state = self.without_asking();
        let whole = state.as_ref().is_some_and(is_whole);
        if !whole
            && question::allow(self.memory.as_ref()).is_ok()
            && let Some(socket) = &mut self.socket
        {
            match socket.status() {
                Ok(status) => state = Some(state.unwrap_or_default().or(&status.state())),
                Err(error) => {
                    self.socket = None;
                    self.missing.push(anyhow::Error::from(error).to_string());
                }
            }
        }
        state
    }

    /// The same, but for what only netlink could tell.
    pub(crate) fn without_asking(&self) -> Option<KernelState> {
        self.memory.as_ref().and_then(|memory| memory.state().ok())
    }

    /// Why something is not known, in one line.
    pub(crate) fn missing(&self) -> Option<String> {
        (!self.missing.is_empty()).then(|| self.missing.join("; "))
    }

    fn knows_all(&self) -> bool {
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

/// What the kernel itself says of a setting after it was set: it is asked where the queue has room,
/// and its memory is read where not.
pub(crate) fn read_back(now: &mut KernelNow, socket: &mut AuditSocket) -> Result<KernelState> {
    let mut state = now.without_asking().unwrap_or_default();
    if !state.is_over_limit() {
        let status = socket.status().context("cannot verify the setting")?;
        state.limit = Some(status.backlog_limit);
        state.wait_time_jiffies = status.backlog_wait_time_jiffies.or(state.wait_time_jiffies);
        state = state.or(&status.state());
    }
    state.limit.context("cannot verify the setting")?;
    Ok(state)
}
