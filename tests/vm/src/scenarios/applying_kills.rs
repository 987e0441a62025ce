//! Kill -9 all over `apply` and `undo`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::applying::{
    ETC, Etc, JOURNAL, NEW, OLD, PATIENCE, RULES_D, auditwatch, files, limit, ready, report, start,
};
use crate::findings::Findings;
use crate::process::Process;
use crate::scenario::{Scenario, Scene, rounds};
use crate::tasks;

pub const SCENARIOS: &[Scenario] = &[Scenario::new("apply-killed", killed)];

/// Kills of each kind, unless a longer run asks for more.
const KILLS: u32 = 3;

/// Kill -9 all over apply and undo: files are whole, and a second run finishes.
fn killed(scene: &mut Scene<'_>) -> Result<()> {
    let mut findings = Findings::default();
    let etc = Etc::with(&RULES_D)?;
    ready(scene)?;
    let before = files(Path::new(ETC))?;
    let began = Instant::now();
    let applied = auditwatch(scene, &["apply", "9000", "--yes"])?;
    let usual = began.elapsed();
    ensure!(applied.code() == 0, "{}", applied.stderr);
    let after = files(Path::new(ETC))?
        .into_iter()
        .map(|(path, kept)| (path, kept.0));
    let after: BTreeMap<PathBuf, Vec<u8>> = after.collect();
    let undone = auditwatch(scene, &["undo"])?;
    ensure!(undone.code() == 0, "{}", undone.stderr);
    let mut moments = BTreeMap::<String, u32>::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..rounds(KILLS) {
        for undo in [false, true] {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if undo {
                let applied = auditwatch(scene, &["apply", "9000", "--yes"])?;
                ensure!(applied.code() == 0, "round {round}: {}", applied.stderr);
            }
            let words: &[&str] = if undo {
                &["undo"]
            } else {
                &["apply", "9000", "--yes"]
            };
            let size = fs::metadata(JOURNAL).map_or(0, |file| file.len());
            let process = start(scene, words)?;
            await_moment(random, usual, size, &process);
            drop(process.signal(libc::SIGKILL));
            process.wait(PATIENCE)?;
            let history = report(&auditwatch(scene, &["history", "--json"])?)?;
            let last = history["changes"]
                .as_array()
                .and_then(|all| all.last().cloned());
            let state = last.unwrap_or_default()["state"].to_string();
            *moments.entry(format!("{} {state}", words[0])).or_default() += 1;
            // Whole: old, or new but for the moment that its comment tells.
            let own = PathBuf::from(ETC).join("rules.d/zz-auditwatch.rules");
            for (path, (bytes, ..)) in files(Path::new(ETC))? {
                let is_old = before.get(&path).is_some_and(|kept| kept.0 == bytes);
                let is_new = path == own
                    && bytes.len() == after[&own].len()
                    && bytes.ends_with(b"-b 9000\n");
                let is_staged = path.to_string_lossy().ends_with(".auditwatch-new");
                findings.that(is_old || is_new || is_staged, || {
                    format!("round {round}: {} is torn: {bytes:?}", path.display())
                });
            }
            let now = limit()?;
            findings.that(now == OLD || now == NEW, || {
                format!("round {round}: limit {now}")
            });
            if undo {
                let again = auditwatch(scene, &["undo"])?;
                let fine = again.code() == 0;
                findings.that(fine, || {
                    format!("round {round}: undo again: {}", again.stderr)
                });
            } else {
                let again = auditwatch(scene, &["apply", "9000", "--yes"])?;
                findings.that(again.code() == 0, || {
                    format!("round {round}: apply again: {}", again.stderr)
                });
                findings.equal(&format!("round {round}: limit"), limit()?, NEW);
                findings.that(own.exists(), || format!("round {round}: no file"));
                let undone = auditwatch(scene, &["undo"])?;
                findings.that(undone.code() == 0, || {
                    format!("round {round}: {}", undone.stderr)
                });
            }
            findings.that(files(Path::new(ETC))? == before, || {
                format!(
                    "round {round} ({}): not as it was: {:?}",
                    words[0],
                    files(Path::new(ETC))
                )
            });
            findings.equal(&format!("round {round}: limit in the end"), limit()?, OLD);
        }
    }
    println!(
        "# killed {} times, the journal said: {moments:?}",
        2 * rounds(KILLS)
    );
    scene.log.push(format!("{moments:?}"));
    drop(etc);
    scene.lab.clear()?;
    findings.verdict()
}

/// Half of them at any moment of a run, half of them a little after the journal's next line.
fn await_moment(random: u64, usual: Duration, size: u64, process: &Process) {
    if random & 1 == 0 {
        let share = u32::try_from(random >> 8 & 0xff).unwrap_or(0);
        std::thread::sleep(usual * share / 256);
        return;
    }
    while fs::metadata(JOURNAL).map_or(0, |file| file.len()) == size && tasks::alive(process.id()) {
        std::hint::spin_loop();
    }
    std::thread::sleep(Duration::from_micros((random >> 8) % 20_000));
}
