//! The answer to several runs of one load: one run alone does not show how much they differ.
//!
//! In: [`Evidence`] of each run. Out: the [`Recommendation`] of the run that asks for most, with the spread of all. Pure.

use super::{Confidence, Options, Recommendation, Verdict, recommend};
use crate::{
    recommend::model::{demand::float, evidence::Evidence},
    units::{count, counted},
};

/// Needs that differ by no more than this part of the greatest are alike.
const ALIKE: f64 = 0.1;

/// The answer, and the place of the run that it is of; `None` without a run.
#[must_use]
pub fn recommend_runs(runs: &[Evidence], wishes: &Options) -> Option<(usize, Recommendation)> {
    let answers: Vec<Recommendation> = runs
        .iter()
        .map(|evidence| recommend(evidence, wishes))
        .collect();
    let lows: Vec<u64> = answers.iter().filter_map(|one| one.needed_low).collect();
    let mut needs: Vec<u64> = answers
        .iter()
        .filter_map(|one| one.needed_high.or(one.needed))
        .collect();
    needs.sort_unstable();
    let (place, mut answer) = answers
        .into_iter()
        .enumerate()
        .max_by_key(|(_, one)| (weight(one.verdict), one.needed_high, one.needed))?;
    if runs.len() < 2 {
        return Some((place, answer));
    }
    answer.needed_low = lows.into_iter().min().or(answer.needed_low);
    if let (Some(&least), Some(&most)) = (needs.first(), needs.last()) {
        let all = counted(runs.len() as u64, "run");
        let told = needs.len() as u64;
        answer.reasons.insert(
            0,
            if told < runs.len() as u64 {
                format!(
                    "{all} of this load, {} with a need: {} to {}",
                    count(told),
                    count(least),
                    count(most)
                )
            } else {
                format!(
                    "{all} of this load need {} to {}",
                    count(least),
                    count(most)
                )
            },
        );
        if are_apart(least, most) {
            answer.confidence = answer.confidence.min(Confidence::Medium);
            answer.confidence_reasons.push(format!(
                "the runs differ by {:.0} %: another one may need more",
                apart(least, most) * 100.0
            ));
        }
    }
    Some((place, answer))
}

/// What is worse to leave out weighs more.
const fn weight(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::LimitWillNotHelp => 4,
        Verdict::Raise => 3,
        Verdict::Unknown => 2,
        Verdict::Keep => 1,
        Verdict::Lower => 0,
    }
}

fn are_apart(least: u64, most: u64) -> bool {
    apart(least, most) > ALIKE
}

fn apart(least: u64, most: u64) -> f64 {
    1.0 - float(least) / float(most.max(1))
}
