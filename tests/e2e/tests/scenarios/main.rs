//! Scenarios on the testbed, as a user meets them. Each says which row of "What it must show"
//! (issues 3 to 5) it shows; those that disturb the operator run after all others, one at a time.

use std::process::ExitCode;

/// A list of scenarios by the names of their functions.
macro_rules! scenarios {
    ($phase:ident; $($name:ident),* $(,)?) => {
        &[$(hera_tests_e2e::Scenario {
            name: stringify!($name),
            phase: hera_tests_e2e::Phase::$phase,
            run: |space| Box::pin($name(space)),
        }),*]
    };
}

mod author;
mod bad_input;
mod bad_policies;
mod changes;
mod copies;
mod deletion;
mod endurance;
mod faults;
mod fences;
mod figures;
mod guide;
mod healing;
mod hostile;
mod install;
mod lifecycle;
mod nodes;
mod oncall;
mod operator;
mod outages;
mod policies;
mod replicas;
mod rollback;
mod scene;
mod shadows;
mod sources;
mod steady;
mod surge;
mod users;

fn main() -> ExitCode {
    // Those that take longest first.
    let all = [
        changes::ALL,
        bad_policies::ALL,
        rollback::ALL,
        lifecycle::ALL,
        policies::ALL,
        oncall::ALL,
        shadows::ALL,
        sources::ALL,
        bad_input::ALL,
        healing::ALL,
        users::ALL,
        deletion::ALL,
        figures::ALL,
        hostile::ALL,
        steady::ALL,
        operator::ALL,
        install::ALL,
        shadows::ALONE,
        sources::ALONE,
        author::ALL,
        replicas::ALL,
        fences::ALL,
        copies::ALL,
        surge::ALL,
        surge::ALONE,
        faults::ALL,
        outages::ALL,
        nodes::ALL,
        guide::ALL,
        endurance::ALL,
    ];
    hera_tests_e2e::run(&all.concat())
}
