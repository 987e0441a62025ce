//! The scenarios, by subject.

mod benching;
mod boot;
mod boot_rules;
mod consumers;
mod cost;
mod endings;
mod harmless;
mod midway;
mod places;
mod producing;
mod queue;
mod recommending;
mod recording;
mod rule_sets;
mod settings;

use crate::scenario::Scenario;

/// All of them, in the order they are run.
pub fn all() -> Vec<Scenario> {
    [
        queue::SCENARIOS,
        consumers::SCENARIOS,
        settings::SCENARIOS,
        producing::SCENARIOS,
        midway::SCENARIOS,
        rule_sets::SCENARIOS,
        boot_rules::SCENARIOS,
        harmless::SCENARIOS,
        cost::SCENARIOS,
        recording::SCENARIOS,
        recommending::SCENARIOS,
        benching::SCENARIOS,
        endings::SCENARIOS,
        places::SCENARIOS,
        boot::SCENARIOS,
    ]
    .concat()
}
