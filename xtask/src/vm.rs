//! `cargo xtask vm`: a command line comes in, the command runs in a guest, its output and exit status go out.

use std::{ffi::OsString, io, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    cache::Cache,
    console::{self, Complaints},
    duration, executables,
    guest::{Accelerator, Ending, Guest, Outcome},
    image::{Image, Overlay},
    kernels::Release,
    kvm,
    setup::{self, Part},
};

/// Exit status when a guest was killed at its time limit, as timeout(1) has it.
const TIMED_OUT: u8 = 124;
/// Exit status when a guest ended without the command's status.
const GUEST_FAILED: u8 = 125;

/// Runs a command in a throw-away guest.
#[derive(Args, Debug)]
pub(crate) struct VmArgs {
    /// The guest's kernel, or `all` for one after the other.
    #[arg(long, default_value = "6.1", value_parser = parse_kernel)]
    kernel: Releases,
    /// Number of CPUs of the guest.
    #[arg(long, default_value_t = 1)]
    smp: u32,
    /// Let the guest's clock count instructions: runs repeat exactly.
    #[arg(long, conflicts_with = "accel")]
    icount: bool,
    /// How the guest's instructions are run.
    #[arg(long, default_value = "auto")]
    accel: Accelerator,
    /// More arguments for the guest's kernel.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// A file that appears in the guest's /mnt.
    #[arg(long, value_name = "FILE")]
    share: Vec<PathBuf>,
    /// Memory of the guest.
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    memory: u32,
    /// When the guest is killed, such as 90s, 5m or 1h.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration::parse)]
    time_limit: Duration,
    /// Boot without auditwatch and vmtest, whatever their state.
    #[arg(long)]
    no_build: bool,
    /// What to run in the guest.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

#[derive(Clone, Debug)]
struct Releases(Vec<Release>);

fn parse_kernel(text: &str) -> Result<Releases, String> {
    if text == "all" {
        return Ok(Releases(Release::ALL.to_vec()));
    }
    let found = Release::ALL
        .into_iter()
        .find(|release| release.name() == text);
    found.map(|release| Releases(vec![release])).ok_or_else(|| {
        format!(
            "no kernel {text}: use {} or all",
            Release::ALL.map(Release::name).join(", ")
        )
    })
}

/// Boots each kernel in turn; the exit status is that of the first command that failed.
pub(crate) fn run(args: &VmArgs) -> ExitCode {
    // A trouble of ours must not pass for the command's own exit status.
    let status = boot_each(args).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        GUEST_FAILED
    });
    ExitCode::from(status)
}

fn boot_each(args: &VmArgs) -> Result<u8> {
    let cache = Cache::open()?;
    let mut parts = vec![Part::Emulator, Part::GuestPackages];
    parts.extend(args.kernel.0.iter().map(|&release| Part::Kernel(release)));
    if !args.no_build {
        parts.push(Part::EbpfCompiler);
    }
    setup::ensure(&cache, &parts)?;
    let image = Image::get(&cache)?;
    let programs = if args.no_build {
        Vec::new()
    } else {
        executables::for_guest()?
    };
    let overlay = Overlay {
        programs: &programs,
        share: &args.share,
        command: &args.command,
    };
    let mut failure = 0;
    for &release in &args.kernel.0 {
        let mut guest = Guest {
            smp: args.smp,
            icount: args.icount,
            without_chance: args.icount,
            accelerator: args.accel,
            append: args.append.clone(),
            memory_mib: args.memory,
            time_limit: args.time_limit,
            ..Guest::new(release)
        };
        kvm::decide(&mut guest, &cache, &image)?;
        if args.kernel.0.len() > 1 {
            eprintln!("kernel {release}:");
        }
        let outcome = guest.run(
            &cache,
            &image,
            &overlay,
            &mut io::stdout(),
            &mut io::stderr(),
        )?;
        if let Some(report) = report(&outcome, args.time_limit) {
            eprintln!("kernel {release}: {report}");
        }
        if failure == 0 {
            failure = exit_status(&outcome.ending);
        }
    }
    Ok(failure)
}

/// The exit status that stands for `ending`.
pub(crate) fn exit_status(ending: &Ending) -> u8 {
    match ending {
        Ending::Exited(status) => *status,
        Ending::TimedOut => TIMED_OUT,
        Ending::Panicked(_) | Ending::Vanished => GUEST_FAILED,
    }
}

/// Runs a guest to its end; returns what its command printed.
///
/// # Errors
/// When the command fails, or does not come to its end.
pub(crate) fn output(
    guest: &Guest,
    cache: &Cache,
    image: &Image,
    overlay: &Overlay<'_>,
) -> Result<String> {
    let mut output = Vec::new();
    let outcome = guest.run(cache, image, overlay, &mut output, &mut io::stderr())?;
    if outcome.ending != Ending::Exited(0) {
        let report = report(&outcome, guest.time_limit);
        bail!(
            "the guest ended with {:?}: {}",
            outcome.ending,
            report.unwrap_or_default()
        );
    }
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// What must be said of a guest besides its output, if anything.
pub(crate) fn report(outcome: &Outcome, time_limit: Duration) -> Option<String> {
    let last = || match console::last_lines(&outcome.console) {
        lines if lines.is_empty() => "(it says nothing)".to_owned(),
        lines => lines,
    };
    match &outcome.ending {
        Ending::Exited(_) => {
            let Complaints { grave, advisory } = console::complaints(&outcome.console);
            let said = |what: &str, lines: &[String]| {
                (!lines.is_empty())
                    .then(|| format!("the guest's kernel {what}:\n{}", lines.join("\n")))
            };
            let said: Vec<String> = [
                said("complained", &grave),
                said(
                    "found that time went by, as it does in an emulator",
                    &advisory,
                ),
            ]
            .into_iter()
            .flatten()
            .collect();
            (!said.is_empty()).then(|| said.join("\n"))
        }
        Ending::TimedOut => Some(format!(
            "killed at the time limit of {} s; the last lines of its console:\n{}",
            time_limit.as_secs(),
            last()
        )),
        Ending::Panicked(reason) => {
            Some(format!("the guest's kernel panicked: {reason}\n{}", last()))
        }
        Ending::Vanished => Some(format!(
            "the guest ended without a status; the last lines of its console:\n{}",
            last()
        )),
    }
}
