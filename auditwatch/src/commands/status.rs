//! `auditwatch status`: the audit settings and what they mean.

use std::{fs, io::Write as _, process::ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::{
    kernel::{core_memory::KernelMemory, facts::Facts},
    memory,
    netlink::AuditSocket,
    render::{json, status},
    sample::KernelState,
    status::{Auditd, Inputs, StatusReport},
    untrusted::Untrusted,
};

/// Runs the command.
///
/// # Errors
/// When neither BPF nor netlink tells anything, or the output cannot be written.
pub fn run(as_json: bool) -> Result<ExitCode> {
    let facts = Facts::gather();
    super::ensure_audit(&facts)?;
    let report = report(&facts)?;
    let mut out = std::io::stdout();
    if as_json {
        json::tagged_line(&mut out, "status", &report)
    } else {
        out.write_all(status::text(&report).as_bytes())
    }
    .context("cannot write the status")?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn report(facts: &Facts) -> Result<StatusReport> {
    let (state, state_missing) = match KernelMemory::open(&facts.symbols, facts.types.as_ref())
        .and_then(|memory| memory.state())
    {
        Ok(state) => (Some(state), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let mut inputs = Inputs {
        release: facts.release.clone(),
        hz: facts.hz,
        booted_with_audit: facts.boot.as_ref().map(|boot| boot.on),
        record_bytes: facts.types.as_ref().and_then(memory::usual_record_bytes),
        state_missing,
        ..Inputs::default()
    };
    if state.as_ref().is_some_and(KernelState::is_over_limit) {
        inputs.netlink_missing = Some(
            "features: netlink was not asked, since the queue is over its limit and the question \
             could leave tasks asleep"
                .to_owned(),
        );
    } else {
        ask_netlink(&mut inputs);
    }
    let pid = state
        .as_ref()
        .and_then(|state| state.auditd_pid)
        .or_else(|| inputs.netlink.as_ref().map(|status| status.pid));
    inputs.auditd = pid.map(auditd);
    inputs.state = state;
    if let (None, None, Some(why)) = (&inputs.state, &inputs.netlink, &inputs.netlink_missing) {
        bail!("{why}");
    }
    Ok(StatusReport::new(inputs))
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

fn auditd(pid: u32) -> Auditd {
    Auditd {
        pid,
        comm: fs::read(format!("/proc/{pid}/comm"))
            .ok()
            .map(|comm| Untrusted::from_bytes(comm.trim_ascii())),
        exe: fs::read_link(format!("/proc/{pid}/exe"))
            .ok()
            .map(Untrusted::from_os),
    }
}
