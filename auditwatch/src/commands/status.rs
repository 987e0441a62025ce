//! `auditwatch status`: the audit settings and what they mean.
//!
//! It causes no audit record, and it is quick: no BPF program is loaded, and of the kernel's symbols
//! and types only those are read that it needs. The variables are read through `/proc/kcore`. Netlink
//! tells what is missing then (the features always are). It is not asked while the queue is over its
//! limit: since Linux 5.17 its sender sleeps there, takes the wake-up of another task, and gives none on.
//!
//! If the kernel's memory cannot be read, the queue's length is not known beforehand. Netlink is asked
//! then only if no task sleeps in the audit code: nobody sleeps who could be left asleep. A storm that
//! begins between the look and the question is not excluded; the next record wakes whoever it leaves.

use std::{io::Write as _, process::ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::{
    kernel::{
        core_memory::{self, KernelMemory},
        facts::Basics,
    },
    memory,
    netlink::AuditSocket,
    render::{json, status},
    sample::KernelState,
    status::{Inputs, StatusReport},
    tasks,
};

/// The nice value that runs before all others'.
const FIRST: i32 = -20;

/// Runs the command.
///
/// # Errors
/// When neither the kernel's memory nor netlink tells anything, or the output cannot be written.
pub fn run(as_json: bool) -> Result<ExitCode> {
    // It takes a few hundredths of a second, which a busy host would stretch tenfold. Without the right to
    // it, it takes its turn.
    let _ = rustix::process::nice(FIRST);
    let basics = Basics::gather();
    super::ensure_booted_with_audit(basics.boot.as_ref())?;
    let report = report(&basics)?;
    let mut out = std::io::stdout();
    if as_json {
        json::tagged_line(&mut out, "status", &report)
    } else {
        out.write_all(status::text(&report).as_bytes())
    }
    .context("cannot write the status")?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn report(basics: &Basics) -> Result<StatusReport> {
    let (state, types, state_missing) = match read_memory() {
        Ok((state, types)) => (Some(state), types, None),
        Err(error) => (
            None,
            core_memory::structures(),
            Some(format!("cannot read the kernel's memory: {error}")),
        ),
    };
    let mut inputs = Inputs {
        release: basics.release.clone(),
        hz: basics.hz,
        booted_with_audit: basics.boot.as_ref().map(|boot| boot.on),
        record_bytes: types.as_ref().and_then(memory::usual_record_bytes),
        state_missing,
        ..Inputs::default()
    };
    match why_not_ask(state.as_ref()) {
        Some(why) => inputs.netlink_missing = Some(why),
        None => ask_netlink(&mut inputs),
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

type Read = (KernelState, Option<crate::kernel::types::KernelTypes>);

fn read_memory() -> std::io::Result<Read> {
    let (memory, types) = KernelMemory::find()?;
    Ok((memory.state()?, types))
}

/// Why netlink is not asked, where its question could leave tasks asleep.
fn why_not_ask(state: Option<&KernelState>) -> Option<String> {
    match state {
        Some(state) if state.is_over_limit() => Some(
            "features: netlink was not asked, since the queue is over its limit and the question could \
             leave tasks asleep"
                .to_owned(),
        ),
        Some(_) => None,
        None => (!tasks::audit_sleepers().is_empty()).then(|| {
            "netlink was not asked: tasks sleep in the audit code, and the question could leave them asleep; \
             run as root where /proc/kcore can be read, or try again"
                .to_owned()
        }),
    }
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
