//! The audit settings in force, for `auditwatch status` and for `status --files`.
//!
//! It causes no audit record, and it is quick: no BPF program is loaded, and of the kernel's symbols
//! and types only those are read that it needs. The variables are read through `/proc/kcore`. Netlink
//! is asked for the rest (the features always are), unless the question could leave a task asleep. It runs at the
//! priority that it was given: with more it would take the CPU from the process that reads audit records.

use std::io;

use anyhow::{Result, bail};

use crate::{
    kernel::{
        audit_state::KernelState,
        core_memory::{self, KernelMemory},
        facts::Basics,
        record_size,
        types::KernelTypes,
    },
    netlink::{question, socket::AuditSocket},
    rescue::tasks,
    status::{Inputs, StatusReport},
};

/// The settings in force.
///
/// # Errors
/// When neither the kernel's memory nor netlink tells anything.
pub(crate) fn report(basics: &Basics) -> Result<StatusReport> {
    let (memory, state, types, state_missing) = match read_memory() {
        Ok((memory, state, types)) => (Some(memory), Some(state), types, None),
        Err(error) => (
            None,
            None,
            core_memory::structures(),
            Some(format!("cannot read the kernel's memory: {error}")),
        ),
    };
    let mut inputs = Inputs {
        release: basics.release.clone(),
        hz: basics.hz,
        booted_with_audit: basics.boot.as_ref().map(|boot| boot.on),
        record_bytes: types.as_ref().and_then(record_size::usual_record_bytes),
        state_missing,
        ..Inputs::default()
    };
    match question::allow(memory.as_ref()) {
        Err(refusal) => inputs.netlink_missing = Some(refusal.to_string()),
        Ok(()) => ask_netlink(&mut inputs),
    }
    let pid = state
        .as_ref()
        .and_then(|state| state.auditd_pid)
        .or_else(|| inputs.netlink.as_ref().map(|status| status.pid));
    inputs.auditd = pid.map(|pid| tasks::registered(pid, basics.initial_pid_namespace));
    inputs.state = state;
    if let (None, None, Some(why)) = (&inputs.state, &inputs.netlink, &inputs.netlink_missing) {
        bail!("{why}");
    }
    Ok(StatusReport::new(inputs))
}

fn read_memory() -> io::Result<(KernelMemory, KernelState, Option<KernelTypes>)> {
    let (memory, types) = KernelMemory::find()?;
    let state = memory.state()?;
    Ok((memory, state, types))
}

fn ask_netlink(inputs: &mut Inputs) {
    let answer = AuditSocket::open().and_then(|mut socket| {
        let status = socket.status()?;
        Ok((status, socket.features()?))
    });
    match answer {
        Ok((status, features)) => {
            inputs.netlink = Some(status);
            inputs.features = features;
        }
        Err(error) => {
            inputs.netlink_missing = Some(format!("{:#}", anyhow::Error::from(error)));
        }
    }
}
