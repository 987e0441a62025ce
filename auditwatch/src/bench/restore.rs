//! Restoring: the host's audit as it was before a bench.
//!
//! In: the changes. Out: the host without them, checked. It may be done twice, and
//! by another process than the one that made the changes.

use std::{
    os::unix::process::CommandExt as _,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use super::{
    changes::{Auditd, Changes, Settings},
    child::ChildId,
    directory::remove_working,
    lock::Lock,
    programs,
};
use crate::netlink::{
    control::{self, Setting},
    socket::{AuditSocket, NetlinkError},
};

/// A task that waits for room cannot end before it has it.
const CHILD_PATIENCE: Duration = Duration::from_secs(90);
/// For a queue to empty, and for an auditd to come up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const STEP: Duration = Duration::from_millis(10);

/// Takes all changes back, while nobody else changes this host.
///
/// # Errors
/// When something could not be restored; what could be is restored all the same.
pub fn restore(changes: &Changes, _held: &Lock) -> Result<()> {
    let mut failures = Vec::new();
    let mut attempt = |what: &str, done: Result<()>| {
        if let Err(error) = done {
            failures.push(format!("{what}: {error:#}"));
        }
    };
    attempt("ending the bench's processes", end(&changes.children));
    attempt("audit settings", settings(changes));
    for directory in &changes.directories {
        attempt("removing files", remove_working(directory));
    }
    ensure!(
        failures.is_empty(),
        "cannot restore all that the bench has changed: {}",
        failures.join("; ")
    );
    Ok(())
}

/// Ends processes, all before any is waited for: a producer may sleep until the
/// consumer is gone.
fn end(children: &[ChildId]) -> Result<()> {
    for child in children {
        child.signal(Signal::KILL);
    }
    let deadline = Instant::now() + CHILD_PATIENCE;
    for child in children {
        while child.runs() {
            ensure!(
                Instant::now() < deadline,
                "process {} does not end; it sleeps in the kernel",
                child.pid
            );
            thread::sleep(STEP);
        }
    }
    Ok(())
}

fn settings(changes: &Changes) -> Result<()> {
    let mut socket = AuditSocket::open()?;
    // Without a limit nobody is left asleep by the questions that follow, nor by the
    // records that they make.
    if changes.settings.is_some() {
        control::set(&mut socket, Setting::BacklogLimit(0)).context("lifting the limit")?;
    }
    for rule in &changes.rules {
        match control::remove_rule(&mut socket, rule) {
            Err(NetlinkError::Refused(error)) if error.raw_os_error() == Some(libc::ENOENT) => {}
            removed => removed.context("removing a rule")?,
        }
    }
    if let Some(auditd) = &changes.auditd {
        bring_back(&mut socket, auditd)?;
    }
    let Some(saved) = &changes.settings else {
        return Ok(());
    };
    let mut now = socket.status()?;
    let deadline = Instant::now() + PATIENCE;
    while saved.backlog_limit != 0 && now.backlog > saved.backlog_limit {
        ensure!(
            Instant::now() < deadline,
            "{} records stay in the queue, more than the limit of {} that is to be set: nobody reads them; \
             set it when they are gone: auditctl -b {}",
            now.backlog,
            saved.backlog_limit,
            saved.backlog_limit
        );
        thread::sleep(STEP);
        now = socket.status()?;
    }
    for order in saved.orders_from(&Settings::of(&now)) {
        control::set(&mut socket, order).with_context(|| format!("setting {order:?}"))?;
    }
    let restored = Settings::of(&socket.status()?);
    ensure!(
        restored == *saved,
        "the settings are {restored:?}, not {saved:?}: somebody else has changed them"
    );
    Ok(())
}

/// Starts an auditd that was asked to leave, unless there is one.
fn bring_back(socket: &mut AuditSocket, auditd: &Auditd) -> Result<()> {
    if socket.status()?.pid != 0 {
        return Ok(());
    }
    let mut command =
        programs::start_again(auditd).context("cannot start auditd again; start it yourself")?;
    let words = auditd.command.join(" ");
    // It is not to go when the terminal does.
    command
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start auditd again ({words}); start it yourself"))?;
    let deadline = Instant::now() + PATIENCE;
    while socket.status()?.pid == 0 {
        ensure!(
            Instant::now() < deadline,
            "auditd was started again ({words}) and has not registered; check its log"
        );
        thread::sleep(STEP);
    }
    Ok(())
}
