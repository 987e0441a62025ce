//! What the next boot comes to, by auditwatch, and by the real loader: generated trees of rules files.

use anyhow::Result;

use crate::rule_trees::{self, Awk, RuleTreesArgs};
use crate::scenario::{Scenario, Scene};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("rule-trees-mawk", |s| trees(s, Awk::Mawk)),
    Scenario::new("rule-trees-gawk", |s| trees(s, Awk::Gawk)),
];

/// So many, of which those that might lock the kernel are left out: the scenarios after this one need it. A long run
/// is `cargo xtask rule-trees --seed S`.
const TREES: u64 = 14;

fn trees(scene: &mut Scene<'_>, awk: Awk) -> Result<()> {
    let compared = rule_trees::check(&RuleTreesArgs {
        seed: 2026,
        count: TREES,
        awk,
        only: Vec::new(),
        unlocked: true,
        truth: false,
        auditwatch: scene.lab.auditwatch.clone(),
    })?;
    scene.log.push(format!("{compared} trees"));
    Ok(())
}
