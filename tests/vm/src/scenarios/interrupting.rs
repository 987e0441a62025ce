//! Ctrl-C at any moment, on a terminal: during the start, and while it counts.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::bpf_objects::BpfObjects;
use crate::findings::Findings;
use crate::lab::Setup;
use crate::scenario::{Scenario, Scene, rounds};
use crate::sys;
use crate::tasks;
use crate::trial::{FAST, Stage};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("ctrl-c-any-moment", |s| any_moment(s, &[])).both(),
    Scenario::new("ctrl-c-any-moment-command", |s| {
        any_moment(s, &["sleep", "30"])
    }),
    Scenario::new("sigterm-any-moment", sigterm_any_moment),
];

/// The moments lie within this time of the start.
const WITHIN: Duration = Duration::from_secs(3);
/// How soon all of it is over if nothing is attached; 3 to 105 ms on a guest that had its CPU.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long the kernel takes for each program that is attached: it waits until each task has slept
/// once before it frees a trampoline, for one after the other, also when the process is killed.
const DETACHING: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(20);
/// Exit status of a shell for SIGINT.
const INTERRUPTED: i32 = 130;

/// A trace on a terminal of its own.
struct OnTerminal {
    child: Child,
    /// The terminal's other end: what is written here is typed.
    keyboard: File,
    screen: JoinHandle<String>,
}

impl OnTerminal {
    fn start(scene: &Scene<'_>, command: &[&str]) -> Result<Self> {
        let (ours, theirs) = terminal()?;
        let mut trace = Command::new(&scene.lab.auditwatch);
        trace.args(["trace", "--attach", scene.form.name()]);
        trace.args(command);
        trace
            .stdin(Stdio::from(theirs.try_clone()?))
            .stdout(Stdio::from(theirs.try_clone()?))
            .stderr(Stdio::from(theirs));
        let control = || {
            // SAFETY: a system call without arguments.
            if unsafe { libc::setsid() } < 0 {
                return Err(std::io::Error::last_os_error());
            }
            // SAFETY: the request takes a number; descriptor 0 is the terminal.
            if unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        };
        // SAFETY: the closure makes two system calls and allocates nothing.
        unsafe { trace.pre_exec(control) };
        let child = trace.spawn().context("starting auditwatch")?;
        // Its copies of the terminal are closed with it, so that the screen's end is seen.
        drop(trace);
        let keyboard = File::from(ours);
        let mut shown = keyboard.try_clone()?;
        let screen = thread::spawn(move || {
            let mut text = Vec::new();
            let mut part = [0; 4096];
            // EIO: nobody has the terminal open any more.
            while let Ok(read @ 1..) = shown.read(&mut part) {
                text.extend_from_slice(&part[..read]);
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Self {
            child,
            keyboard,
            screen,
        })
    }

    fn press_ctrl_c(&mut self) -> Result<()> {
        use std::io::Write as _;
        self.keyboard.write_all(b"\x03").context("typing Ctrl-C")
    }

    /// Its exit status, and what it had on the screen.
    fn end(mut self, deadline: Instant) -> Result<(i32, String)> {
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                self.child.kill()?;
                self.child.wait()?;
                anyhow::bail!("it goes on: {}", self.screen.join().unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(1));
        };
        let screen = self.screen.join().unwrap_or_default();
        // As a shell has it: the first moments are those before the program has run at all.
        let signal = || 128 + status.signal().unwrap_or(0);
        Ok((status.code().unwrap_or_else(signal), screen))
    }
}

/// Both ends of a new terminal.
fn terminal() -> Result<(OwnedFd, OwnedFd)> {
    let (mut ours, mut theirs) = (-1, -1);
    // SAFETY: both numbers live over the call; the other arguments may be null.
    let opened = unsafe {
        libc::openpty(
            &raw mut ours,
            &raw mut theirs,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    };
    ensure!(
        opened == 0,
        "no terminal: {}",
        std::io::Error::last_os_error()
    );
    for end in [ours, theirs] {
        // SAFETY: a system call without memory arguments.
        unsafe { libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    // SAFETY: the call opened it, and nobody else has it.
    let ours = unsafe { OwnedFd::from_raw_fd(ours) };
    // SAFETY: as above.
    let theirs = unsafe { OwnedFd::from_raw_fd(theirs) };
    Ok((ours, theirs))
}

/// Moments that are spread over the time, in no order.
fn moments(count: u32) -> impl Iterator<Item = Duration> {
    (1..=count).map(|number| WITHIN.mul_f64((f64::from(number) * 0.618_034).fract()))
}

/// Waits until no program of the trace is left; when that was.
fn nothing_left(before: BpfObjects, deadline: Instant) -> Result<Instant> {
    loop {
        let now = BpfObjects::count()?;
        if now.programs <= before.programs && now.links <= before.links {
            return Ok(Instant::now());
        }
        ensure!(Instant::now() < deadline, "left behind: {now:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn any_moment(scene: &mut Scene<'_>, command: &[&str]) -> Result<()> {
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let mut findings = Findings::default();
    let mut slowest = Duration::ZERO;
    let mut early = 0;
    for moment in moments(rounds(20)) {
        let before = BpfObjects::count()?;
        let mut trace = OnTerminal::start(scene, command)?;
        thread::sleep(moment);
        let attached = BpfObjects::count()?.links.saturating_sub(before.links);
        let pressed = Instant::now();
        trace.press_ctrl_c()?;
        let (status, screen) = trace.end(pressed + PATIENCE)?;
        let exited = pressed.elapsed();
        let took = nothing_left(before, pressed + PATIENCE)? - pressed;
        slowest = slowest.max(took);
        let counted = screen.contains("check    ");
        early += u32::from(!counted);
        let what = format!("Ctrl-C at {moment:?}");
        scene.log.push(format!(
            "{what}: exit {status} after {exited:?}, nothing left after {took:?}, \
             attached: {attached}, counted: {counted}"
        ));
        let expected = if counted && command.is_empty() {
            0
        } else {
            INTERRUPTED
        };
        findings.equal(&format!("{what}: exit status"), status, expected);
        // One more may have been attached since.
        let allowed = AT_ONCE + DETACHING * u32::try_from(attached + 1)?;
        findings.that(took <= allowed, || {
            format!("{what}: over after {took:?}: {screen}")
        });
        findings.that(!screen.contains("panicked"), || screen.clone());
        findings.that(tasks::named("sleep").is_empty(), || {
            format!("{what}: the command is left")
        });
    }
    stage.strike()?;
    scene
        .log
        .push(format!("slowest {slowest:?}, {early} before it counted"));
    findings.that(early > 0, || "none came during the start".to_owned());
    findings.verdict()
}

/// Sent to auditwatch alone: the command is told of it too.
fn sigterm_any_moment(scene: &mut Scene<'_>) -> Result<()> {
    let stage = Stage::set(scene.lab, &Setup::default(), FAST)?;
    let mut findings = Findings::default();
    for (moment, signal) in moments(10).zip([libc::SIGTERM, libc::SIGINT].into_iter().cycle()) {
        let before = BpfObjects::count()?;
        let trace = OnTerminal::start(scene, &["sleep", "30"])?;
        thread::sleep(moment);
        let sent = Instant::now();
        sys::kill(trace.child.id(), signal)?;
        let (status, screen) = trace.end(sent + PATIENCE)?;
        nothing_left(before, sent + PATIENCE)?;
        let what = format!("signal {signal} at {moment:?}");
        scene
            .log
            .push(format!("{what}: exit {status}, {:?}", sent.elapsed()));
        findings.equal(&format!("{what}: exit status"), status, 128 + signal);
        findings.that(!screen.contains("panicked"), || screen.clone());
        findings.that(tasks::named("sleep").is_empty(), || {
            format!("{what}: the command is left")
        });
    }
    stage.strike()?;
    findings.verdict()
}
