//! `cargo xtask rule-trees`: a seed and a count come in, how many of those trees of rules files auditwatch
//! reads as the kernel does goes out.
//!
//! A tree may lock the kernel's settings until the next boot. So a first guest takes all trees that do not,
//! and those that are left share more guests, each of which ends with the tree that locks it.

use std::{
    io,
    num::NonZero,
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::{
    cache::Cache,
    duration, executables,
    guest::{Ending, Guest},
    image::{Image, Overlay},
    kernels::Release,
    kvm,
    setup::{self, Part},
    vm,
};

/// Compares many generated trees of rules files with what the real loader makes of them.
#[derive(Args, Debug)]
pub(crate) struct RuleTreesArgs {
    /// Which sequence of trees.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many trees.
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// The awk that augenrules runs; both without.
    #[arg(long, value_enum)]
    awk: Option<Awk>,
    /// The guests' kernel.
    #[arg(long, default_value = "6.1")]
    kernel: Release,
    /// Guests that run at the same time; by default two, where there are as many CPUs.
    #[arg(long)]
    jobs: Option<NonZero<usize>>,
    /// When a guest is killed, such as 90s, 5m or 1h.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration::parse)]
    time_limit: Duration,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Awk {
    Mawk,
    Gawk,
}

impl Awk {
    const fn name(self) -> &'static str {
        match self {
            Self::Mawk => "mawk",
            Self::Gawk => "gawk",
        }
    }
}

/// What guests are made of.
struct Stage<'a> {
    args: &'a RuleTreesArgs,
    cache: Cache,
    image: Image,
    programs: Vec<PathBuf>,
}

/// What a guest, or many, came to.
#[derive(Debug, Default, PartialEq)]
struct Told {
    /// Trees that auditwatch reads as the kernel does.
    right: u64,
    /// Trees that were compared.
    compared: u64,
    /// Trees that wait for another boot.
    left: Vec<u64>,
}

/// Fails where a tree was read wrongly, or could not be compared.
pub(crate) fn run(args: &RuleTreesArgs) -> Result<ExitCode> {
    let cache = Cache::open()?;
    let parts = [
        Part::EbpfCompiler,
        Part::Emulator,
        Part::GuestPackages,
        Part::Kernel(args.kernel),
    ];
    setup::ensure(&cache, &parts)?;
    let stage = Stage {
        args,
        image: Image::get(&cache)?,
        programs: executables::for_guest()?,
        cache,
    };
    let awks = args
        .awk
        .map_or_else(|| Awk::value_variants().to_vec(), |awk| vec![awk]);
    let (mut right, mut wrong) = (0, 0);
    for awk in awks {
        let told = stage.all(awk)?;
        println!(
            "rule-trees: seed {} with {}: {} of {} trees as the kernel has it",
            args.seed,
            awk.name(),
            told.right,
            told.compared
        );
        right += told.right;
        wrong += args.count - told.right;
    }
    println!("{right} passed, {wrong} failed");
    Ok(ExitCode::from(u8::from(wrong > 0)))
}

impl Stage<'_> {
    /// All trees with this awk.
    fn all(&self, awk: Awk) -> Result<Told> {
        let mut sum = self.boot(awk, &[])?;
        let left = std::mem::take(&mut sum.left);
        let cpus = thread::available_parallelism().map_or(1, NonZero::get);
        let jobs = self.args.jobs.map_or(cpus.min(2), NonZero::get);
        let share = left.len().div_ceil(jobs).max(1);
        let done = AtomicU64::new(sum.compared);
        let shares = thread::scope(|scope| {
            let workers: Vec<_> = left
                .chunks(share)
                .map(|numbers| scope.spawn(|| self.locked(awk, numbers, &done)))
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().expect("invariant: no worker panics"))
                .collect::<Result<Vec<Told>>>()
        })?;
        for told in shares {
            sum.right += told.right;
            sum.compared += told.compared;
        }
        ensure!(
            sum.compared == self.args.count,
            "{} trees were compared, not {}",
            sum.compared,
            self.args.count
        );
        Ok(sum)
    }

    /// Trees that may lock the kernel, with a boot for each that does.
    fn locked(&self, awk: Awk, numbers: &[u64], done: &AtomicU64) -> Result<Told> {
        let mut sum = Told::default();
        let mut left = numbers.to_vec();
        while !left.is_empty() {
            let told = self.boot(awk, &left)?;
            ensure!(
                told.compared > 0,
                "a guest compared none of the trees {left:?}"
            );
            sum.right += told.right;
            sum.compared += told.compared;
            left = told.left;
            let done = done.fetch_add(told.compared, Ordering::Relaxed) + told.compared;
            eprintln!(
                "rule-trees: {done} of {} with {}",
                self.args.count,
                awk.name()
            );
        }
        Ok(sum)
    }

    /// One guest, for those of the sequence, or for all.
    fn boot(&self, awk: Awk, only: &[u64]) -> Result<Told> {
        let mut guest = Guest {
            time_limit: self.args.time_limit,
            ..Guest::new(self.args.kernel)
        };
        kvm::decide(&mut guest, &self.cache, &self.image)?;
        let mut command = vec!["vmtest".to_owned(), "rule-trees".to_owned()];
        let only: Vec<String> = only.iter().map(u64::to_string).collect();
        for (name, value) in [
            ("seed", self.args.seed.to_string()),
            ("count", self.args.count.to_string()),
            ("awk", awk.name().to_owned()),
            ("only", only.join(",")),
        ] {
            if !value.is_empty() {
                command.push(format!("--{name}={value}"));
            }
        }
        let command: Vec<_> = command.into_iter().map(Into::into).collect();
        let overlay = Overlay {
            programs: &self.programs,
            share: &[],
            command: &command,
        };
        let mut said = Vec::new();
        let outcome = guest.run(
            &self.cache,
            &self.image,
            &overlay,
            &mut io::sink(),
            &mut said,
        )?;
        let said = String::from_utf8_lossy(&said);
        // 1 says that a tree was read wrongly.
        if !matches!(outcome.ending, Ending::Exited(0 | 1)) {
            let report = vm::report(&outcome, guest.time_limit).unwrap_or_default();
            bail!("a guest ended with {:?}: {said}{report}", outcome.ending);
        }
        let told = told(&said)?;
        if told.right < told.compared {
            eprint!("{said}");
        }
        Ok(told)
    }
}

/// Reads what `vmtest rule-trees` says at its end.
fn told(said: &str) -> Result<Told> {
    let counts = said
        .lines()
        .filter_map(|line| line.strip_suffix(" trees as the kernel has it"))
        .find_map(|line| {
            let (right, compared) = line.rsplit_once(": ")?.1.split_once(" of ")?;
            Some((right.parse().ok()?, compared.parse().ok()?))
        });
    let (right, compared) =
        counts.with_context(|| format!("a guest did not say how many were right: {said}"))?;
    let left = said
        .lines()
        .find_map(|line| line.strip_prefix("locked; in another boot: --only "))
        .map_or(Ok(Vec::new()), |numbers| {
            numbers.split(',').map(str::parse).collect()
        })
        .context("cannot read which trees are left")?;
    Ok(Told {
        right,
        compared,
        left,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_of_a_guest_is_parsed() {
        let said = "seed 1 with mawk: backlog_limit is 1, said Some(2)\n  {}\n\
            seed 1 with mawk: 6 of 7 trees as the kernel has it\nlocked; in another boot: --only 8,9\n";
        let expected = Told {
            right: 6,
            compared: 7,
            left: vec![8, 9],
        };
        assert_eq!(told(said).expect("told"), expected);
        let all = "seed 1 with gawk: 7 of 7 trees as the kernel has it\n";
        assert_eq!(told(all).expect("told").left, [0_u64; 0]);
        assert!(told("error: running augenrules\n").is_err());
    }
}
