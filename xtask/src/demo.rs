//! `cargo xtask demo`: nothing comes in; a storm of audit records, what it loses and what helps go out.
//!
//! Boots a guest whose clock counts instructions: a slow or busy machine changes nothing of what is shown, though counts
//! differ a little from run to run. Fails when something that it claims did not happen.

mod stage;

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{
    cache::Cache,
    console::Lines,
    executables,
    guest::{Ending, Guest},
    image::{Image, Overlay},
    kernels::Release,
    setup::{self, Part},
    vm,
};

use self::stage::Stage;

/// The guest's side.
const SCRIPT: &str = include_str!("guest/demo.sh");
/// When the guest is killed: many times what it takes.
const TIME_LIMIT: Duration = Duration::from_mins(5);

/// Shows what auditwatch does, in a throw-away guest.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// The guest's kernel.
    #[arg(long, default_value = "6.1")]
    kernel: Release,
}

/// Sets up what is missing, and runs the acts.
pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode> {
    let cache = Cache::open()?;
    setup::ensure(
        &cache,
        &[
            Part::EbpfCompiler,
            Part::Emulator,
            Part::GuestPackages,
            Part::Kernel(args.kernel),
        ],
    )?;
    eprintln!("demo: building auditwatch");
    let programs = executables::for_guest()?;
    let image = Image::get(&cache)?;
    let stdout = io::stdout();
    let color = if stdout.is_terminal() {
        "always"
    } else {
        "never"
    };
    let command = ["sh", "-c", SCRIPT, "demo", color].map(Into::into);
    let overlay = Overlay {
        programs: &programs,
        share: &[],
        command: &command,
    };
    eprintln!(
        "demo: booting a guest with kernel {}; nothing of this machine is touched",
        args.kernel
    );
    let guest = Guest {
        icount: true,
        time_limit: TIME_LIMIT,
        ..Guest::new(args.kernel)
    };
    let mut stage = Stage::new(stdout);
    let mut lines = Lines::new(|line: &[u8]| stage.put_line(line));
    let outcome = guest.run(&cache, &image, &overlay, &mut lines, &mut io::stderr())?;
    if outcome.ending != Ending::Exited(0) {
        if let Some(report) = vm::report(&outcome, TIME_LIMIT) {
            eprintln!("{report}");
        }
        bail!("the demo broke off");
    }
    let closing = stage.closing().context("the demo does not show it")?;
    println!("{closing}");
    Ok(ExitCode::SUCCESS)
}
