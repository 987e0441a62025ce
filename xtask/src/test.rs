//! `cargo xtask test`: runs the tests of the host, then those of the guests; their counts go out.
//!
//! The last line printed is `N passed, M failed` over all of them. A run without a single test has failed.

use std::{
    io::{self, Write},
    num::NonZero,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::Args;

use crate::{
    cache::Cache,
    console::{self, Complaints},
    duration, executables,
    guest::{Ending, Guest},
    image::{Image, Overlay},
    kernels::Release,
    kvm,
    passes::{self, Pass},
    process,
    setup::{self, Part},
    tally::{self, Tally},
    vm,
};

/// Runs the tests.
#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// Every kernel on one and on two CPUs, in every way of preemption and boot.
    #[arg(long)]
    all: bool,
    /// Guests with this kernel only.
    #[arg(long)]
    kernel: Vec<Release>,
    /// Only tests and scenarios whose name contains this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Only the tests of the host.
    #[arg(long, conflicts_with = "vm_only")]
    host_only: bool,
    /// Only the tests in guests.
    #[arg(long)]
    vm_only: bool,
    /// Guests that run at the same time; by default two, where there are as many CPUs.
    #[arg(long)]
    jobs: Option<NonZero<usize>>,
    /// When a guest is killed, such as 90s, 5m or 1h.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration::parse)]
    time_limit: Duration,
}

/// What the table at the end has a line of.
struct Row {
    name: String,
    tally: Tally,
    elapsed: Duration,
    /// What it said of each failed test.
    failures: Vec<String>,
    /// What it said of each skipped one.
    skips: Vec<String>,
    /// Why the run failed, if for another reason than failed tests.
    trouble: Option<String>,
}

/// Runs all tests that are asked for, and prints what came of them.
pub(crate) fn run(args: &TestArgs) -> Result<ExitCode> {
    let cache = Cache::open()?;
    let passes = if args.host_only {
        Vec::new()
    } else {
        selected(args)
    };
    let mut parts = vec![Part::EbpfCompiler];
    if !passes.is_empty() {
        parts.extend([Part::Emulator, Part::GuestPackages]);
    }
    for pass in &passes {
        if !parts.contains(&Part::Kernel(pass.release)) {
            parts.push(Part::Kernel(pass.release));
        }
    }
    setup::ensure(&cache, &parts)?;

    let mut rows = Vec::new();
    if !args.vm_only {
        rows.extend(host_tests(args.filter.as_deref())?);
    }
    if !passes.is_empty() {
        match executables::for_guest() {
            Ok(programs) => {
                let image = Image::get(&cache)?;
                let overlay = Overlay {
                    programs: &programs,
                    share: &[],
                    command: &[],
                };
                rows.extend(guest_tests(args, &cache, &image, &overlay, &passes));
            }
            Err(error) => rows.push(Row {
                name: "guests".to_owned(),
                tally: Tally::BROKEN,
                elapsed: Duration::ZERO,
                failures: Vec::new(),
                skips: Vec::new(),
                trouble: Some(format!("{error:#}")),
            }),
        }
    }
    Ok(conclude(&rows))
}

fn selected(args: &TestArgs) -> Vec<Pass> {
    let matrix = if args.all {
        passes::whole_matrix()
    } else {
        passes::short_matrix()
    };
    let wanted = |pass: &Pass| args.kernel.is_empty() || args.kernel.contains(&pass.release);
    matrix.into_iter().filter(wanted).collect()
}

fn host_tests(filter: Option<&str>) -> Result<Vec<Row>> {
    let runs: [(&str, &[&str]); 3] = [
        ("host", &[]),
        ("wire types", &["--package", "auditwatch-ebpf", "--lib"]),
        ("vmtest itself", &["--package", "auditwatch-vmtest"]),
    ];
    let mut rows = Vec::new();
    for (name, arguments) in runs {
        let started = Instant::now();
        let mut command = process::cargo();
        command
            .args(["test", "--no-fail-fast"])
            .args(arguments)
            .args(filter);
        let (output, succeeded) = process::tee(&mut command)?;
        rows.push(Row {
            name: name.to_owned(),
            tally: Tally::of_cargo(&output).of_run(succeeded),
            elapsed: started.elapsed(),
            failures: tally::failures(&output),
            skips: tally::skips(&output),
            trouble: None,
        });
    }
    Ok(rows)
}

/// Runs `passes`, some at a time, and returns their rows in the order of `passes`.
fn guest_tests(
    args: &TestArgs,
    cache: &Cache,
    image: &Image,
    overlay: &Overlay<'_>,
    passes: &[Pass],
) -> Vec<Row> {
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    let jobs = args.jobs.map_or(cpus.min(2), NonZero::get);
    let queue = Mutex::new(passes.iter().enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut rows = Vec::new();
        while let Some((index, pass)) = next() {
            rows.push((index, guest_test(args, cache, image, overlay, *pass)));
        }
        rows
    };
    let mut rows = thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let rows = workers.into_iter().map(thread::ScopedJoinHandle::join);
        rows.flat_map(|rows| rows.expect("invariant: no worker panics"))
            .collect::<Vec<_>>()
    });
    rows.sort_by_key(|(index, _)| *index);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn guest_test(
    args: &TestArgs,
    cache: &Cache,
    image: &Image,
    overlay: &Overlay<'_>,
    pass: Pass,
) -> Row {
    let name = pass.to_string();
    let mut guest = Guest {
        smp: pass.smp,
        append: pass.append(),
        icount: pass.icount(),
        time_limit: args.time_limit,
        ..Guest::new(pass.release)
    };
    let command = pass.command(args.filter.as_deref());
    let overlay = Overlay {
        command: &command,
        ..overlay.clone()
    };
    let started = Instant::now();
    let mut stdout = Tee {
        copy: Vec::new(),
        live: console::prefixed(format!("{name}| "), io::stdout()),
    };
    let mut stderr = Tee {
        copy: Vec::new(),
        live: console::prefixed(format!("{name}| "), io::stderr()),
    };
    let outcome = kvm::decide(&mut guest, cache, image)
        .and_then(|()| guest.run(cache, image, &overlay, &mut stdout, &mut stderr));
    let said = String::from_utf8_lossy(&stdout.copy).into_owned();
    let counted = Tally::of_scenarios(&said);
    let (trouble, console) = match &outcome {
        Err(error) => (Some(format!("{error:#}")), ""),
        // A filter may leave a pass empty; without one, the pass and the scenarios do not know each other.
        Ok(_) if args.filter.is_none() && counted.is_some_and(Tally::is_empty) => {
            (Some("not a single scenario".to_owned()), "")
        }
        Ok(outcome) => (trouble(&outcome.ending, counted), outcome.console.as_str()),
    };
    let mut tally = counted.unwrap_or_default().of_run(trouble.is_none());
    let mut failures = tally::failures(&said);
    if let Some(failure) = kernel_failure(&console::complaints(console)) {
        tally.failed += 1;
        failures.push(failure);
    }
    if tally.failed > 0 {
        // One write: the log of a pass stays together while another one talks.
        let log = format!(
            "--- log of the failed pass {name} ---\n{said}--- its stderr ---\n{}--- its console ---\n{console}\n--- end of {name} ---\n",
            String::from_utf8_lossy(&stderr.copy)
        );
        print!("{log}");
    }
    if let Some(report) = outcome
        .ok()
        .and_then(|outcome| vm::report(&outcome, args.time_limit))
    {
        eprintln!("{name}: {report}");
    }
    Row {
        name,
        tally,
        elapsed: started.elapsed(),
        failures,
        skips: tally::skips(&said),
        trouble,
    }
}

/// The line of a pass whose scenarios may all be well while its kernel is not.
fn kernel_failure(complaints: &Complaints) -> Option<String> {
    let (first, more) = complaints.grave.split_first()?;
    let more = match more.len() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Some(format!("FAILED kernel complained: {first}{more}"))
}

/// Why a guest's run does not count as a whole one, if so.
fn trouble(ending: &Ending, counted: Option<Tally>) -> Option<String> {
    match (ending, counted) {
        (Ending::Exited(0), Some(tally)) if tally.failed == 0 => None,
        (Ending::Exited(1), Some(tally)) if tally.failed > 0 => None,
        (Ending::Exited(status), Some(_)) => {
            Some(format!("exit status {status} fits not its counts"))
        }
        (Ending::Exited(status), None) => Some(format!("exit status {status}, and no counts")),
        (Ending::Panicked(reason), _) => Some(format!("the kernel panicked: {reason}")),
        (Ending::TimedOut, _) => Some("killed at the time limit".to_owned()),
        (Ending::Vanished, _) => Some("the guest ended without a status".to_owned()),
    }
}

/// Prints what did not pass, the table and the sum, and tells whether all is well.
fn conclude(rows: &[Row]) -> ExitCode {
    println!("{}", report(rows));
    let mut sum: Tally = rows.iter().map(|row| row.tally).sum();
    if sum.is_empty() {
        println!("not a single test ran");
        sum = Tally::BROKEN;
    }
    println!("{sum}");
    if sum.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What was skipped, what failed, and the table.
fn report(rows: &[Row]) -> String {
    let named = |row: &Row, line: &String| format!("{}: {line}", row.name);
    let mut lines = Vec::new();
    for row in rows {
        lines.extend(row.skips.iter().map(|line| named(row, line)));
    }
    for row in rows {
        lines.extend(row.failures.iter().map(|line| named(row, line)));
    }
    let widths = rows.iter().map(|row| row.name.len());
    let width = widths.max().unwrap_or_default();
    lines.push(String::new());
    lines.push(format!(
        "{:width$}  {:>8}  {:>6}  {:>6}  {:>7}",
        "", "time", "passed", "failed", "skipped"
    ));
    for row in rows {
        let trouble = row
            .trouble
            .as_ref()
            .map(|trouble| format!("  ({trouble})"))
            .unwrap_or_default();
        lines.push(format!(
            "{:width$}  {:6.1} s  {:6}  {:6}  {:7}{trouble}",
            row.name,
            row.elapsed.as_secs_f64(),
            row.tally.passed,
            row.tally.failed,
            row.tally.skipped,
        ));
    }
    lines.join("\n")
}

/// Shows what is written, and keeps a copy.
struct Tee<W> {
    copy: Vec<u8>,
    live: W,
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.copy.extend_from_slice(buffer);
        self.live.write_all(buffer)?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.live.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_status_that_contradicts_the_counts_is_an_error() {
        let tally = |passed, failed| {
            Some(Tally {
                passed,
                failed,
                skipped: 0,
            })
        };
        assert_eq!(trouble(&Ending::Exited(0), tally(3, 0)), None);
        assert_eq!(trouble(&Ending::Exited(1), tally(3, 1)), None);
        for (ending, counted) in [
            (Ending::Exited(1), tally(3, 0)),
            (Ending::Exited(0), tally(3, 1)),
            (Ending::Exited(0), None),
            (Ending::TimedOut, tally(3, 0)),
            (Ending::Vanished, tally(3, 0)),
            (Ending::Panicked("x".to_owned()), tally(3, 0)),
        ] {
            assert!(
                trouble(&ending, counted).is_some(),
                "{ending:?} {counted:?}"
            );
        }
    }

    #[test]
    fn a_kernel_that_complains_fails_its_pass_unless_it_is_about_time() {
        let of = |text| kernel_failure(&console::complaints(text));
        assert_eq!(of("all is well\n"), None);
        assert_eq!(
            of("watchdog: BUG: soft lockup - CPU#0 stuck for 22s!\n"),
            None
        );
        assert_eq!(
            of("WARNING: x\nBUG: y\nBUG: z\n").as_deref(),
            Some("FAILED kernel complained: WARNING: x (and 2 more)")
        );
    }

    #[test]
    fn the_report_shows_what_was_skipped() {
        let row = Row {
            name: "6.1-short-smp2".to_owned(),
            tally: Tally {
                passed: 12,
                failed: 1,
                skipped: 2,
            },
            elapsed: Duration::from_millis(1250),
            failures: vec!["FAILED a: 1".to_owned()],
            skips: vec!["skipped b: why".to_owned()],
            trouble: Some("exit status 7".to_owned()),
        };
        assert_eq!(
            report(&[row]),
            "6.1-short-smp2: skipped b: why\n6.1-short-smp2: FAILED a: 1\n\n\
             \x20                   time  passed  failed  skipped\n\
             6.1-short-smp2     1.2 s      12       1        2  (exit status 7)"
        );
    }
}
