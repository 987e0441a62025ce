//! The scenarios, by subject.

mod applying;
mod applying_disks;
mod applying_kills;
mod benching;
mod boot;
mod boot_rules;
mod consumers;
mod cost;
mod diagnosing;
mod endings;
mod harmless;
mod hostile;
mod interrupting;
mod live_table;
mod loading;
mod looking;
mod midway;
mod places;
mod producing;
mod queue;
mod recommending;
mod recording;
mod rescuing;
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
        boot_rules::SCENARIOS,
        harmless::SCENARIOS,
        loading::SCENARIOS,
        cost::SCENARIOS,
        live_table::SCENARIOS,
        recording::SCENARIOS,
        recommending::SCENARIOS,
        diagnosing::SCENARIOS,
        benching::SCENARIOS,
        hostile::SCENARIOS,
        applying::SCENARIOS,
        applying_disks::SCENARIOS,
        applying_kills::SCENARIOS,
        rescuing::SCENARIOS,
        endings::SCENARIOS,
        interrupting::SCENARIOS,
        looking::SCENARIOS,
        places::SCENARIOS,
        boot::SCENARIOS,
        // The last: it locks the settings.
        applying::LOCKING,
    ]
    .concat()
}
