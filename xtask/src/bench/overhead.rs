//! `cargo xtask bench overhead`: kernels come in, what tracing adds to the cost of a record goes out.
//!
//! Counts instructions in a guest whose clock does: how fast or busy the machine is does not matter. Fails when
//! auditwatch costs more than its budget. Method and caveats: `docs/overhead.md`.

use std::{io, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::{
    cache::Cache,
    duration, executables,
    guest::{Ending, Guest},
    image::{Image, Overlay},
    kernels::{self, Release},
    setup::{self, Part},
    vm,
};

use super::{
    figures::Figures,
    report::Report,
    variants::{self, OURS, Variant},
};

/// The guest's side.
const SCRIPT: &str = include_str!("../guest/overhead.sh");
/// Instructions that auditwatch may add to a record, where the task pays for them.
const BUDGET: i64 = 700;
/// What the guest needs of this package's executables.
const OURS_IN_GUEST: [&str; 2] = ["overhead-gen", "empty-hooks"];

/// Measures what tracing adds to the cost of a record.
#[derive(Args, Debug)]
pub(super) struct OverheadArgs {
    /// The guests' kernels; all without.
    #[arg(long)]
    kernel: Vec<Release>,
    /// Measure other tools too.
    #[arg(long)]
    peers: bool,
    /// Print one JSON object a kernel.
    #[arg(long)]
    json: bool,
    /// When a guest is killed, such as 90s, 5m or 1h.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration::parse)]
    time_limit: Duration,
}

/// Measures on each kernel; fails if one cannot be measured, or auditwatch costs too much there.
pub(super) fn run(args: &OverheadArgs) -> Result<ExitCode> {
    let releases = if args.kernel.is_empty() {
        Release::ALL.to_vec()
    } else {
        args.kernel.clone()
    };
    let cache = Cache::open()?;
    let packages = if args.peers {
        Part::BenchPackages
    } else {
        Part::GuestPackages
    };
    let mut parts = vec![Part::EbpfCompiler, Part::Emulator, packages];
    parts.extend(releases.iter().copied().map(Part::Kernel));
    setup::ensure(&cache, &parts)?;
    let image = if args.peers {
        Image::for_bench(&cache)?
    } else {
        Image::get(&cache)?
    };
    let programs = programs()?;
    let mut failed = false;
    for release in releases {
        eprintln!("overhead: kernel {release}");
        let report = measure(args, &cache, &image, &programs, release)
            .with_context(|| format!("cannot measure on kernel {release}"))?;
        if args.json {
            println!("{}", report.json());
        } else {
            println!("{}", report.table());
        }
        match report.figures.check() {
            Err(error) => {
                eprintln!("overhead: kernel {release}: {error:#}");
                failed = true;
            }
            Ok(()) => match report.figures.added_per_record(OURS) {
                Some(added) if added <= BUDGET => {}
                added => {
                    let added = added.unwrap_or_default();
                    eprintln!(
                        "overhead: kernel {release}: auditwatch adds {added} instructions to a record, \
                         more than its budget of {BUDGET}"
                    );
                    failed = true;
                }
            },
        }
    }
    Ok(ExitCode::from(u8::from(failed)))
}

/// What the guest has on its `PATH`: auditwatch, the consumer, the generator and the floor.
fn programs() -> Result<Vec<PathBuf>> {
    let mut programs = executables::for_guest()?;
    let mut built = executables::release_builds(&[env!("CARGO_PKG_NAME")])?;
    built.retain(|path| OURS_IN_GUEST.iter().any(|&name| path.ends_with(name)));
    ensure!(
        built.len() == OURS_IN_GUEST.len(),
        "cargo did not build {}",
        OURS_IN_GUEST.join(" and ")
    );
    programs.append(&mut built);
    Ok(programs)
}

fn measure(
    args: &OverheadArgs,
    cache: &Cache,
    image: &Image,
    programs: &[PathBuf],
    release: Release,
) -> Result<Report> {
    let variants = variants::variants(args.peers);
    let command = ["sh", "-c", &script(&variants)].map(Into::into);
    let overlay = Overlay {
        programs,
        share: &[],
        command: &command,
    };
    let guest = Guest {
        icount: true,
        memory_mib: 3072,
        time_limit: args.time_limit,
        ..Guest::new(release)
    };
    let mut output = Vec::new();
    let outcome = guest.run(cache, image, &overlay, &mut output, &mut io::stderr())?;
    if outcome.ending != Ending::Exited(0) {
        let report = vm::report(&outcome, args.time_limit);
        bail!(
            "the guest ended with {:?}: {}",
            outcome.ending,
            report.unwrap_or_default()
        );
    }
    Ok(Report {
        kernel: kernels::get(cache, release)?.version,
        figures: Figures::parse(&String::from_utf8_lossy(&output))?,
        variants,
    })
}

fn script(variants: &[Variant]) -> String {
    let mut script = SCRIPT.to_owned();
    for variant in variants {
        script.push_str(&variant.line);
        script.push('\n');
    }
    script.push_str("exit 0\n");
    script
}
