//! The yardstick: loads of other shapes than the library's, and programs as people run them.
//!
//! Out: the loads, and the scripts that run them in a guest. Half of the cases were drawn before the model
//! was changed and set aside: nobody looks at them one by one, and they are scored at the end.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;

use super::storms::Stage;

/// Where the storms and the programs are.
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bench/yardstick");

/// Limits at which the predicted loss is compared with a real run, in hundredths of the truth.
const SHARES: [u64; 3] = [35, 65, 95];
/// Runs without a limit.
pub(super) const TRUTHS: usize = 3;
/// Storms that no limit helps, or whose queue does not depend on it: nobody takes their records, or they are lost before
/// they come to the queue.
const WITHOUT_NEED: [&str; 2] = ["no-auditd", "rate-limited"];

/// Programs, and what hampers auditd meanwhile: `std` nothing, `quota` 4 % of a CPU, `hiccup` SIGSTOP for 350 ms each 850.
const PROGRAMS: [&str; 16] = [
    "chmod:hiccup",
    "churn:quota",
    "churn:std",
    "compile:std",
    "connects:std",
    "dd:hiccup",
    "find:quota",
    "find:std",
    "fork:std",
    "logins:quota",
    "messages:quota",
    "mix:quota",
    "mix:std",
    "tar:quota",
    "tar:std",
    "xargs:std",
];

/// The cases that were set aside: `random.sample` of Python, seed 20261201, 8 of the storms and 6 of the programs.
const SET_ASIDE: [&str; 14] = [
    "chmod",
    "churn",
    "closed-build",
    "compile",
    "connects",
    "find",
    "fork",
    "heavy-tail",
    "large-arguments",
    "mixed-records",
    "short-pauses",
    "short-waits",
    "slow-drain",
    "small-socket",
];

/// Where loads come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Source {
    /// The storms that come with auditwatch.
    Library,
    /// Storms of other shapes.
    Storms,
    /// Programs under the real auditd, with STIG rules.
    Programs,
}

/// A load, and how it is run.
pub(super) struct Load {
    pub(super) name: String,
    pub(super) script: String,
    pub(super) share: Vec<PathBuf>,
}

impl Source {
    /// All loads of the source.
    pub(super) fn loads(self, stage: &Stage) -> Result<Vec<Load>> {
        match self {
            Self::Library => {
                let listed = stage.run("auditwatch bench list | cut -d' ' -f1", &[])?;
                listed
                    .lines()
                    .filter(|name| !WITHOUT_NEED.contains(name))
                    .map(|name| {
                        let sane = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
                        ensure!(sane && !name.is_empty(), "{name:?} is no name of a storm");
                        Ok(Load {
                            name: name.to_owned(),
                            script: script(&run_storm(name), 60_000),
                            share: Vec::new(),
                        })
                    })
                    .collect()
            }
            Self::Storms => storms()?
                .into_iter()
                .map(|file| {
                    let name = file.file_stem().and_then(|name| name.to_str());
                    let name = name.with_context(|| format!("{}: no name", file.display()))?;
                    Ok(Load {
                        name: name.to_owned(),
                        script: script(&run_storm(&format!("/mnt/{name}.toml")), 60_000),
                        share: vec![file],
                    })
                })
                .collect(),
            Self::Programs => Ok(PROGRAMS
                .into_iter()
                .map(|name| {
                    let run =
                        format!(". /mnt/host.sh\nprepare\nrun_load() {{ run $1 {name} $2 $3; }}\n");
                    Load {
                        name: name.to_owned(),
                        script: script(&run, 15_000),
                        share: program_files(),
                    }
                })
                .collect()),
        }
    }
}

/// The shell function `run_load KIND LIMIT WAIT_MS` for a storm: prints its arguments and the trace.
fn run_storm(storm: &str) -> String {
    format!(
        "run_load() {{ auditwatch bench run {storm} --limit $2 --wait-time-ms $3 --json >/tmp/report 2>/tmp/errors; \
         [ -s /tmp/report ] || {{ cat /tmp/errors >&2; exit 1; }}; echo $1 $2 $3 $(tail -n 1 /tmp/report); }}\n"
    )
}

/// Prints a line for each run: its kind, limit, wait time and report. `run` defines `run_load`.
fn script(run: &str, wait_ms: u32) -> String {
    let shares = SHARES.map(|share| share.to_string()).join(" ");
    format!(
        "{run}need=0\n\
         for number in $(seq {TRUTHS}); do run_load truth 0 {wait_ms}; \
         depth=$(grep -o '\"depth\":{{\"max\":[0-9]*' /tmp/report | tail -n 1 | grep -o '[0-9]*$'); \
         if [ $depth -gt $need ]; then need=$depth; fi; done\n\
         for limit in 64 320 $((need / 10)); do \
         if [ $limit -lt $need ] && [ $limit -gt 7 ]; then run_load case $limit 0; fi; done\n\
         for limit in 64 320; do if [ $limit -lt $need ]; then run_load case $limit {wait_ms}; fi; done\n\
         if [ $need -gt 40 ]; then for share in {shares}; do run_load loss $((need * share / 100)) 0; done; fi\n"
    )
}

/// Whether a case was set aside.
pub(super) fn is_set_aside(case: &str) -> bool {
    let name = case.split(':').next().unwrap_or(case);
    SET_ASIDE.contains(&name)
}

/// The storms' files, in the order of their names.
fn storms() -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = Path::new(DIRECTORY)
        .read_dir()
        .with_context(|| format!("cannot read {DIRECTORY}"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|ext| ext == "toml"));
    files.sort_unstable();
    Ok(files)
}

/// What guests that run programs need in their /mnt.
fn program_files() -> Vec<PathBuf> {
    ["programs.sh", "host.sh"]
        .map(|name| Path::new(DIRECTORY).join(name))
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_was_set_aside_is_there() {
        let storms = storms().expect("readable");
        let names: Vec<_> = storms
            .iter()
            .filter_map(|file| file.file_stem()?.to_str())
            .collect();
        for name in SET_ASIDE {
            let is_program = PROGRAMS.iter().any(|program| is_of(program, name));
            assert!(names.contains(&name) || is_program, "{name}");
        }
        assert_eq!(names.iter().filter(|name| is_set_aside(name)).count(), 8);
        assert!(is_set_aside("find:std") && !is_set_aside("mix:quota"));
    }

    fn is_of(program: &str, name: &str) -> bool {
        program.split(':').next() == Some(name)
    }
}
