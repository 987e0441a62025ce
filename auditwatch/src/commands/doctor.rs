//! `auditwatch doctor`: can this host be traced.
//!
//! It puts the hooks in place as a trace would, and takes them away again: no
//! list of requirements knows as much as the kernel.

use std::{io::Write as _, process::ExitCode};

use anyhow::{Context as _, Result};

use crate::{
    cli::risk::DoctorArgs,
    doctor::{Diagnosis, Inputs, SymbolView, diagnose},
    hooks::plan::{self, Preference},
    kernel::{core_memory::KernelMemory, facts::Facts},
    netlink::{question, socket::AuditSocket},
    probe::{Probe, ProbeError, ProbeOptions, load_guard::LoadGuard},
    render::{doctor as page, json},
    rescue::tasks,
};

/// Functions whose splitting makes other tools miss records.
const SPLIT_PRONE: [&str; 2] = ["audit_log_start", "audit_log_end"];

/// Runs the command.
///
/// # Errors
/// When the output cannot be written.
pub fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let diagnosis = examine(&Facts::gather(), args.risk.accept_panic_risk);
    let mut out = std::io::stdout();
    if args.output.wants_json() {
        json::tagged_line(&mut out, "doctor", &diagnosis)
    } else {
        out.write_all(page::text(&diagnosis).as_bytes())
    }
    .context("cannot write the diagnosis")?;
    Ok(if diagnosis.usable {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn examine(facts: &Facts, accept_panic_risk: bool) -> Diagnosis {
    let explain = |error: anyhow::Error| format!("{error:#}");
    let plan = plan::plan(&plan::Inputs {
        symbols: &facts.symbols,
        types: facts.types.as_ref(),
        kprobes: facts.kprobes,
        preference: Preference::Auto,
    });
    let tried = LoadGuard::open(facts, accept_panic_risk)
        .map_err(ProbeError::from)
        .and_then(|guard| {
            let extent = ProbeOptions {
                follows_command: false,
                talker_slots: ProbeOptions::TALKER_SLOTS,
            };
            let types = facts.types.as_ref();
            let mut probe = Probe::attach(guard, &facts.symbols, types, &plan, extent, facts.hz)?;
            let state = probe.state()?;
            probe.wait_until_detachable();
            Ok((probe.hooks().to_vec(), state, probe.detach()))
        });
    let (hooks, state, own) = match tried {
        Ok((hooks, state, own)) => (Ok(hooks), Some(state), Some(own)),
        // The remedy would send the reader here.
        Err(ProbeError::Refused { cause, .. }) => (
            Err(format!("the kernel does not permit BPF: {cause}")),
            None,
            None,
        ),
        Err(error) => (Err(explain(error.into())), None, None),
    };
    let memory = KernelMemory::open(&facts.symbols, facts.types.as_ref()).ok();
    let state = state.or_else(|| memory.as_ref()?.state().ok());
    let netlink = question::allow(memory.as_ref()).is_ok().then(|| {
        AuditSocket::open()
            .and_then(|mut socket| socket.status())
            .map_err(|error| explain(error.into()))
    });
    let enabled = state.as_ref().and_then(|state| state.enabled);
    let auditd = state
        .as_ref()
        .and_then(|state| state.auditd_pid)
        .or_else(|| Some(netlink.as_ref()?.as_ref().ok()?.pid))
        .map(|pid| tasks::registered(pid, facts.privileges.initial_pid_namespace));
    diagnose(Inputs {
        release: facts.release.clone(),
        hz: facts.hz,
        privileges: facts.privileges.clone(),
        lockdown: facts.lockdown.clone(),
        lsm: facts.lsm.clone(),
        kptr_restrict: facts.kptr_restrict,
        perf_event_paranoid: facts.perf_event_paranoid,
        container: facts.container.clone(),
        boot: facts.boot.clone(),
        btf: Some(match &facts.types_missing {
            None => Ok(()),
            Some(cause) => Err(cause.clone()),
        }),
        symbols: symbol_view(facts),
        kprobes: facts.kprobes,
        splits: SPLIT_PRONE
            .iter()
            .flat_map(|function| facts.symbols.splits(function))
            .collect(),
        hooks: Some(hooks),
        netlink,
        reads_memory: memory.is_some(),
        own,
        enabled,
        auditd,
    })
}

fn symbol_view(facts: &Facts) -> SymbolView {
    if facts.symbols.is_empty() {
        SymbolView::Unreadable
    } else if facts.symbols.hidden() {
        SymbolView::Hidden
    } else if facts.symbols.address("audit_queue").is_none() {
        SymbolView::FunctionsOnly
    } else {
        SymbolView::Full
    }
}
