//! `cargo xtask fresh`: names of Debian releases come in; whether set-up, build and tests work on a new machine of each
//! goes out, a line for each.
//!
//! A machine is a minimal root below /var/tmp that has Rust, a C linker and the sources, and is removed at the end. It
//! must not use anything else of this machine: the point is to find what set-up forgets.

mod debian_root;

use std::{
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use crate::{
    cache::Cache,
    process,
    setup::{self, Part},
};

use self::debian_root::DebianRoot;

/// Checks on minimal Debian roots that set-up, build and tests work on a fresh machine.
#[derive(Args, Debug)]
pub(crate) struct FreshArgs {
    /// Only this machine; may be repeated. [default: all]
    #[arg(long = "root", value_name = "ROOT")]
    roots: Vec<Machine>,
}

/// A machine that nobody has prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Machine {
    /// Debian 12 with the package lists of the release alone: apt offers a compiler that is too old.
    BookwormRelease,
    /// The same with that compiler already installed; runs the demo, as a first user does.
    BookwormOldCompiler,
    /// Debian 12 with its security updates.
    Bookworm,
    /// Debian 13.
    Trixie,
}

/// What a machine has at first, and what it does.
struct Plan {
    name: &'static str,
    suite: &'static str,
    /// Whether the package lists are those of the release alone.
    is_dated: bool,
    installed: &'static [&'static str],
    steps: &'static [&'static [&'static str]],
}

/// The way of the README.
const STEPS: &[&[&str]] = &[
    &["cargo", "xtask", "setup"],
    &["cargo", "xtask", "setup", "--check"],
    &["cargo", "build", "--release"],
    &["cargo", "xtask", "test", "--host-only"],
];
const DEMO: &[&[&str]] = &[&["cargo", "xtask", "demo"]];

impl Machine {
    fn plan(self) -> Plan {
        let bookworm = Plan {
            name: "bookworm",
            suite: "bookworm",
            is_dated: false,
            installed: &[],
            steps: STEPS,
        };
        match self {
            Self::BookwormRelease => Plan {
                name: "bookworm-release",
                is_dated: true,
                ..bookworm
            },
            Self::BookwormOldCompiler => Plan {
                name: "bookworm-old-compiler",
                is_dated: true,
                installed: &["rustc-web", "cargo-web", "rust-web-src"],
                steps: DEMO,
                ..bookworm
            },
            Self::Bookworm => bookworm,
            Self::Trixie => Plan {
                name: "trixie",
                suite: "trixie",
                ..bookworm
            },
        }
    }
}

/// A step that was run.
struct Ran {
    command: String,
    elapsed: Duration,
    /// The last line that it printed.
    last_line: String,
}

/// Set by Ctrl-C, which the running step gets as well.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Makes the machines one after the other; fails if something fails on one of them.
pub(crate) fn run(args: &FreshArgs) -> Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        bail!("root is needed to make a Debian root: run cargo xtask fresh as root");
    }
    setup::ensure(&Cache::open()?, &[Part::RootMaker])?;
    let handler = note_interrupt as extern "C" fn(libc::c_int);
    // SAFETY: the handler only stores an atomic, which a signal handler may do.
    if unsafe { libc::signal(libc::SIGINT, handler as libc::sighandler_t) } == libc::SIG_ERR {
        bail!("cannot take Ctrl-C, after which the roots are to be removed");
    }
    let all = Machine::value_variants();
    let machines = if args.roots.is_empty() {
        all
    } else {
        &args.roots
    };
    let mut verdicts = Vec::new();
    let mut failed = false;
    for machine in machines {
        let plan = machine.plan();
        let mut ran = Vec::new();
        let outcome = on(&plan, &mut ran);
        failed |= outcome.is_err();
        verdicts.push(verdict(plan.name, &ran, outcome.err()));
        if INTERRUPTED.load(Ordering::Relaxed) {
            failed = true;
            break;
        }
    }
    println!("\n{}", verdicts.join("\n"));
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn on(plan: &Plan, ran: &mut Vec<Ran>) -> Result<()> {
    let started = Instant::now();
    let root = DebianRoot::make(plan.suite, plan.is_dated, plan.installed)?;
    ran.push(Ran {
        command: "root".to_owned(),
        elapsed: started.elapsed(),
        last_line: String::new(),
    });
    for step in plan.steps {
        let command = step.join(" ");
        println!("fresh: {}: {command}", plan.name);
        let started = Instant::now();
        let (output, succeeded) = process::tee(&mut root.command(step))?;
        ran.push(Ran {
            command: command.clone(),
            elapsed: started.elapsed(),
            last_line: output.lines().last().unwrap_or_default().to_owned(),
        });
        if INTERRUPTED.load(Ordering::Relaxed) {
            bail!("interrupted in {command}");
        }
        if !succeeded {
            bail!("{command} failed; the cause is above");
        }
    }
    root.remove().context("cannot remove the root")
}

fn verdict(name: &str, ran: &[Ran], error: Option<anyhow::Error>) -> String {
    let total: Duration = ran.iter().map(|step| step.elapsed).sum();
    let steps: Vec<String> = ran
        .iter()
        .map(|step| {
            let said = if step.command.contains(" test") {
                format!(" ({})", step.last_line)
            } else {
                String::new()
            };
            format!("{} {:.0} s{said}", step.command, step.elapsed.as_secs_f64())
        })
        .collect();
    let finding = error.map_or_else(|| "ok".to_owned(), |error| format!("FAILED: {error:#}"));
    format!(
        "fresh: {name}: {finding}, after {:.0} s: {}",
        total.as_secs_f64(),
        steps.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(command: &str, seconds: u64, last_line: &str) -> Ran {
        Ran {
            command: command.to_owned(),
            elapsed: Duration::from_secs(seconds),
            last_line: last_line.to_owned(),
        }
    }

    #[test]
    fn the_verdict_has_the_finding_first_then_each_step() {
        let steps = [
            ran("root", 22, "ignored"),
            ran("cargo xtask test --host-only", 100, "9 passed, 0 failed"),
        ];
        assert_eq!(
            verdict("trixie", &steps, None),
            "fresh: trixie: ok, after 122 s: root 22 s, cargo xtask test --host-only 100 s (9 passed, 0 failed)"
        );
        let error = anyhow::anyhow!("cargo xtask setup failed; the cause is above");
        assert_eq!(
            verdict("bookworm", &steps[..1], Some(error)),
            "fresh: bookworm: FAILED: cargo xtask setup failed; the cause is above, after 22 s: root 22 s"
        );
    }

    #[test]
    fn each_machine_is_called_by_its_name_on_the_command_line() {
        for machine in Machine::value_variants() {
            let value = machine.to_possible_value().expect("none is hidden");
            assert_eq!(value.get_name(), machine.plan().name);
        }
    }
}
