//! The scenarios, by subject.

mod benching;
mod boot;
mod consumers;
mod cost;
mod diagnosing;
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
mod talkers;

use crate::scenario::Scenario;

/// All of them, in the order they are run.
pub fn all() -> Vec<Scenario> {
    [
        queue::SCENARIOS,
        consumers::SCENARIOS,
        settings::SCENARIOS,
        producing::SCENARIOS,
        midway::SCENARIOS,
        talkers::SCENARIOS,
        rule_sets::SCENARIOS,
        harmless::SCENARIOS,
        cost::SCENARIOS,
        recording::SCENARIOS,
        recommending::SCENARIOS,
        diagnosing::SCENARIOS,
        benching::SCENARIOS,
        endings::SCENARIOS,
        places::SCENARIOS,
        boot::SCENARIOS,
    ]
    .concat()
}
