//! `auditwatch bench`: storms, their truth, and what the trace makes of them.
//!
//! In: a storm. Out: reports. What it changes on the host is announced to the keeper
//! first, and put back.

mod needed;
mod one_run;
mod participants;
mod run;
mod setup;
mod sweep;

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::AsRawFd as _,
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::fs::{Mode, OFlags};
use tokio::signal::unix::{SignalKind, signal};

use self::{
    one_run::{RunOptions, RunResult, play},
    setup::Setup,
};
use super::terminal;
use crate::{
    bench::{keeper, lock::Lock, producers, sink},
    cli::{
        Format, OutputArgs,
        bench::{BenchCommand, StormArgs},
    },
    live::recorder::Recorder,
    render::{self, json, style::Style},
    storm::{
        Storm,
        library::{self, Entry},
    },
    trace::report::Interval,
};

/// Exit status when trace and truth disagree.
const DISAGREES: u8 = 3;
/// Largest storm file, bytes.
const STORM_BYTES: u64 = 1 << 20;

/// Runs the command.
///
/// # Errors
/// When the storm makes no sense, the host refuses it, or could not be put back.
pub fn run(command: &BenchCommand) -> Result<ExitCode> {
    match command {
        BenchCommand::Run(args) => until_done(run::run(args)),
        BenchCommand::Sweep(args) => until_done(sweep::run(args)),
        BenchCommand::Needed(args) => until_done(needed::run(args)),
        BenchCommand::List(output) => list(output),
        BenchCommand::Show { name } => print(of_library(name)?),
        BenchCommand::Restore => {
            setup::ensure_root()?;
            match keeper::recover(&Lock::take()?)? {
                Some(changes) => print(&format!("restored: {}\n", changes.in_words())),
                None => print("nothing to restore\n"),
            }
        }
        BenchCommand::Keeper { lock } => keeper::run(*lock).map(|()| ExitCode::SUCCESS),
        BenchCommand::Sink => sink::run(&producers::read_order()?).map(|()| ExitCode::SUCCESS),
        BenchCommand::Producers => {
            producers::run(&producers::read_order()?).map(|()| ExitCode::SUCCESS)
        }
        BenchCommand::Nothing { .. } => Ok(ExitCode::SUCCESS),
    }
}

/// Runs to the end, or until a signal: then all is put back, since everything that
/// holds a part of it is dropped.
fn until_done(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?
        .block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let mut hangup = signal(SignalKind::hangup())?;
            tokio::select! {
                done = work => done,
                _ = interrupt.recv() => bail!("interrupted; the host's settings are restored"),
                _ = terminate.recv() => bail!("terminated; the host's settings are restored"),
                _ = hangup.recv() => bail!("the terminal was closed; the host's settings are restored"),
            }
        })
}

/// Reads a storm: a file where there is one of that name, else one of the library.
fn storm(name: &str) -> Result<Storm> {
    let path = Path::new(name);
    let looks_like_a_file = name.contains('/') || path.extension().is_some();
    let text = if looks_like_a_file || path.exists() {
        read(path).with_context(|| format!("cannot read the storm {name}"))?
    } else {
        of_library(name)?.to_owned()
    };
    Storm::parse(&text).with_context(|| format!("cannot parse the storm {name}"))
}

/// Reads a storm file. Anything else than a regular file is not opened: a device can act on that, or have no
/// end, and a pipe can keep the bench waiting.
fn read(path: &Path) -> Result<String> {
    let found = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    ensure!(
        File::from(found.try_clone()?).metadata()?.is_file(),
        "it is not a regular file; write the storm to a file first"
    );
    let mut text = String::new();
    File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))?
        .take(STORM_BYTES + 1)
        .read_to_string(&mut text)?;
    ensure!(
        u64::try_from(text.len()).is_ok_and(|length| length <= STORM_BYTES),
        "it is longer than {STORM_BYTES} bytes"
    );
    Ok(text)
}

fn of_library(name: &str) -> Result<&'static str> {
    library::find(name).ok_or_else(|| {
        anyhow!("no storm `{name}`: neither a file nor a name from auditwatch bench list")
    })
}

fn list(output: &OutputArgs) -> Result<ExitCode> {
    let storms: Vec<Entry> = library::all()
        .iter()
        .filter_map(|(_, text)| Storm::parse(text).ok())
        .map(|storm| Entry::of(&storm))
        .collect();
    if output.wants_json() {
        for storm in &storms {
            json::line(&mut io::stdout(), storm).context("cannot write the output")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    print(&render::bench::list(&storms))
}

fn print(text: &str) -> Result<ExitCode> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write the output")?;
    Ok(ExitCode::SUCCESS)
}

/// What the options say of the output.
fn style(args: &StormArgs) -> Style {
    terminal::style(args.print.color, &io::stdout())
}

/// Plays a storm with progress on stderr, where that is a terminal.
async fn play_with_progress(
    setup: &mut Setup,
    storm: &Storm,
    args: &StormArgs,
    recorder: Option<Recorder>,
) -> Result<RunResult> {
    let terminal = terminal::stderr_takes_escapes();
    let of = storm.events();
    let mut watch = |interval: &Interval, events: u64| {
        if terminal {
            let line = render::bench::progress(interval, events, of);
            let _ = write!(io::stderr(), "\r{line}\u{1b}[K");
        }
    };
    let result = play(
        setup,
        storm,
        RunOptions {
            attach: args.attach,
            interval: args.interval,
            recorder,
            watch: &mut watch,
        },
    )
    .await;
    if terminal {
        let _ = write!(io::stderr(), "\r\u{1b}[K");
    }
    result
}

/// Writes a value as a line of JSON, or its text.
fn write(args: &StormArgs, value: &impl serde::Serialize, text: &str) -> Result<()> {
    let mut out = io::stdout();
    match args.print.format() {
        Format::Json => json::line(&mut out, value),
        Format::Table => out.write_all(text.as_bytes()).and_then(|()| out.flush()),
    }
    .context("cannot write the output")
}

/// The exit status of runs that agree, or do not.
fn status(agrees: bool) -> ExitCode {
    if agrees {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DISAGREES)
    }
}
