//! `cargo xtask bench overhead`: kernels come in, what tracing adds to the cost of a record goes out.
//!
//! Counts instructions in a guest whose clock does: how fast or busy the machine is does not matter. Fails when
//! auditwatch costs more than its budget, or, with `--check`, more than the committed figures allow. Method and caveats:
//! `docs/overhead.md`.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::{
    cache::Cache,
    duration, executables,
    guest::Guest,
    image::{Image, Overlay},
    kernels::{self, Release},
    process,
    setup::{self, Part},
    vm,
};

use super::{
    check, document,
    figures::Figures,
    results::{KernelResult, Origin, Results},
    table,
    variants::{self, OURS, OURS_PLAIN, Scope, Variant},
};

/// The guest's side.
const SCRIPT: &str = include_str!("../guest/overhead.sh");
/// Instructions that auditwatch may add to a record, where the task pays for them.
const BUDGETS: [(&str, i64); 2] = [(OURS, 850), (OURS_PLAIN, 700)];
/// What the guest needs of this package's executables.
const OURS_IN_GUEST: [&str; 2] = ["overhead-gen", "empty-hooks"];
/// The kernels that `--check` takes by itself: the distribution's, and the newest.
const CHECKED: [Release; 2] = [Release::V6_1, Release::V7_2];
/// The committed results.
const RESULTS: &str = "docs/overhead.json";
/// The document that shows them.
const DOCUMENT: &str = "docs/overhead.md";

/// Measures what tracing adds to the cost of a record.
#[derive(Args, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(super) struct OverheadArgs {
    /// The guests' kernels; without: all, with --check 6.1 and 7.2.
    #[arg(long)]
    kernel: Vec<Release>,
    /// Measure other tools too.
    #[arg(long)]
    peers: bool,
    /// Print one JSON object a kernel.
    #[arg(long)]
    json: bool,
    /// Measure all, other tools too, and put the results into docs/overhead.json and docs/overhead.md.
    #[arg(long)]
    write: bool,
    /// Measure auditwatch only, and fail if it costs more than docs/overhead.json and 3 %.
    #[arg(long, conflicts_with_all = ["write", "peers"])]
    check: bool,
    /// Measure nothing: make the tables of docs/overhead.md from docs/overhead.json.
    #[arg(long, conflicts_with_all = ["write", "check", "peers", "kernel", "json"])]
    render: bool,
    /// The day that stands beside the results; without: today.
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<String>,
    /// When a guest is killed, such as 90s, 5m or 1h.
    #[arg(long, value_name = "TIME", default_value = "20m", value_parser = duration::parse)]
    time_limit: Duration,
}

impl OverheadArgs {
    fn scope(&self) -> Scope {
        if self.check {
            Scope::Check
        } else if self.peers || self.write {
            Scope::Peers
        } else {
            Scope::Ours
        }
    }

    fn releases(&self) -> Vec<Release> {
        if !self.kernel.is_empty() {
            self.kernel.clone()
        } else if self.check {
            CHECKED.to_vec()
        } else {
            Release::ALL.to_vec()
        }
    }
}

/// Measures on each kernel; fails if one cannot be measured, or auditwatch costs too much there.
pub(super) fn run(args: &OverheadArgs) -> Result<ExitCode> {
    if args.render {
        render(&committed()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let bench = Bench::prepare(args)?;
    let mut results = if args.write || args.check {
        committed()?
    } else {
        Results::new()
    };
    let mut failed = false;
    let mut fail = |release: Release, reason: &str| {
        eprintln!("overhead: kernel {release}: {reason}");
        failed = true;
    };
    for release in args.releases() {
        eprintln!("overhead: kernel {release}");
        let figures = bench
            .measure(release)
            .with_context(|| format!("cannot measure on kernel {release}"))?;
        let sound = figures.check();
        let result = KernelResult::new(bench.origin(release)?, &bench.variants, figures);
        if args.json {
            println!("{}", serde_json::to_string(&result)?);
        } else {
            println!("{}", table::table(&result, &results));
        }
        if let Err(error) = sound {
            fail(
                release,
                &format!("{error:#}; the guest was disturbed: measure again"),
            );
            continue;
        }
        for (variant, budget) in BUDGETS {
            let added = result.added(variant).map(|added| added.task_per_record);
            if let Some(added) = added.filter(|&added| added > budget) {
                fail(
                    release,
                    &format!(
                        "{variant} adds {added} instructions to a record in the task, more than its budget of \
                         {budget}: make it cheaper, or raise the budget and say why"
                    ),
                );
            }
        }
        if args.check {
            let findings = check::compare(results.kernel(release.name()), &result);
            for note in findings.notes {
                println!("overhead: {note}");
            }
            for failure in findings.failures {
                fail(release, &failure);
            }
        }
        if args.write {
            results.put(result);
            write(&results)?;
        }
    }
    if args.check && !failed {
        println!("overhead: auditwatch costs no more than is committed");
    }
    Ok(ExitCode::from(u8::from(failed)))
}

/// What every guest needs.
struct Bench {
    cache: Cache,
    image: Image,
    programs: Vec<PathBuf>,
    variants: Vec<Variant>,
    emulator: String,
    date: String,
    time_limit: Duration,
}

impl Bench {
    fn prepare(args: &OverheadArgs) -> Result<Self> {
        let cache = Cache::open()?;
        let scope = args.scope();
        let packages = match scope {
            Scope::Peers => Part::BenchPackages,
            Scope::Check | Scope::Ours => Part::GuestPackages,
        };
        let mut parts = vec![Part::EbpfCompiler, Part::Emulator, packages];
        parts.extend(args.releases().into_iter().map(Part::Kernel));
        setup::ensure(&cache, &parts)?;
        let image = match scope {
            Scope::Peers => Image::for_bench(&cache)?,
            Scope::Check | Scope::Ours => Image::get(&cache)?,
        };
        let version = process::output(Command::new("qemu-system-x86_64").arg("--version"))?;
        let date = match &args.date {
            Some(date) => date.clone(),
            None => process::output(Command::new("date").arg("+%F"))?,
        };
        Ok(Self {
            cache,
            image,
            programs: programs()?,
            variants: variants::variants(scope),
            emulator: version.lines().next().unwrap_or_default().to_owned(),
            date: date.trim().to_owned(),
            time_limit: args.time_limit,
        })
    }

    fn origin(&self, release: Release) -> Result<Origin> {
        let words: Vec<String> = env::args().skip(1).collect();
        Ok(Origin {
            kernel: release.name().to_owned(),
            release: kernels::get(&self.cache, release)?.version,
            date: self.date.clone(),
            command: format!("cargo xtask {}", words.join(" ")),
            emulator: self.emulator.clone(),
        })
    }

    fn measure(&self, release: Release) -> Result<Figures> {
        let command = ["sh", "-c", &script(&self.variants)].map(Into::into);
        let overlay = Overlay {
            programs: &self.programs,
            share: &[],
            command: &command,
        };
        let guest = Guest {
            icount: true,
            memory_mib: 3072,
            time_limit: self.time_limit,
            ..Guest::new(release)
        };
        let output = vm::output(&guest, &self.cache, &self.image, &overlay)?;
        Figures::parse(&output)
    }
}

fn script(variants: &[Variant]) -> String {
    let mut script = SCRIPT.to_owned();
    for variant in variants {
        script.push_str(&variant.line());
        script.push('\n');
    }
    script.push_str("exit 0\n");
    script
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

/// A file of the repository.
fn repository_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// The committed results; none where there is no file.
fn committed() -> Result<Results> {
    match fs::read_to_string(repository_file(RESULTS)) {
        Ok(text) => serde_json::from_str(&text).with_context(|| {
            format!("cannot read {RESULTS}; take it back from git, or measure anew with --write")
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Results::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {RESULTS}")),
    }
}

/// Writes the results and the document's tables.
fn write(results: &Results) -> Result<()> {
    let mut text = serde_json::to_string_pretty(results)?;
    text.push('\n');
    fs::write(repository_file(RESULTS), text).with_context(|| format!("cannot write {RESULTS}"))?;
    render(results)
}

fn render(results: &Results) -> Result<()> {
    let path = repository_file(DOCUMENT);
    let old = fs::read_to_string(&path).with_context(|| format!("cannot read {DOCUMENT}"))?;
    let new = document::with_tables(&old, results)
        .with_context(|| format!("cannot put the tables into {DOCUMENT}"))?;
    fs::write(&path, new).with_context(|| format!("cannot write {DOCUMENT}"))
}
