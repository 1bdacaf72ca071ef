//! What any policy of a decision must do, shown on generated inputs: it answers each within the
//! limits, the guard lets the answer through, and the same question gets the same answer.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::Serialize;

use crate::{Context, Decision, Outcome, Policy};

/// What a run of the suite found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conformance {
    /// Inputs that were asked.
    pub asked: usize,
    /// Most fuel that one took.
    pub most_fuel: u64,
    /// What went wrong, at most ten of them.
    pub faults: Vec<Broken>,
}

/// An input on which a policy does not do what it must.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Broken {
    /// Which of the generated inputs.
    pub input: usize,
    /// What it does.
    pub what: String,
    /// The input itself, to ask again.
    pub question: serde_json::Value,
}

/// Enough to see what is wrong.
const SHOWN: usize = 10;

/// Asks a policy `count` questions that follow from `seed`, with these settings.
pub fn run<D: Decision>(
    policy: &Policy<D>,
    settings: &str,
    seed: u64,
    count: usize,
) -> Conformance {
    let mut random = StdRng::seed_from_u64(seed);
    let mut found = Conformance {
        asked: 0,
        most_fuel: 0,
        faults: Vec::new(),
    };
    for number in 0..count {
        let input = D::example(&mut random, number);
        let context = example_context(settings, number);
        let one = policy.ask_blocking("check", &context, &input);
        found.asked += 1;
        found.most_fuel = found.most_fuel.max(one.fuel);
        let what = match &one.outcome {
            Outcome::Ok { .. } => {
                let two = policy.ask_blocking("check", &context, &input);
                let same = two.outcome == one.outcome && two.fuel == one.fuel;
                (!same).then(|| "it answers the same question in two ways".to_owned())
            }
            Outcome::GuardRefused { refused, .. } => {
                Some(format!("the guard refuses its answer: {}", refused.words))
            }
            // Its own word that it cannot decide is an answer.
            Outcome::Fault { reason, .. } if reason == "Refused" => None,
            // A busy machine's, not the policy's: fuel ends a policy that takes long.
            Outcome::Fault { reason, .. } if reason == "Timeout" => None,
            Outcome::Fault { message, .. } => Some(message.clone()),
        };
        if let Some(what) = what
            && found.faults.len() < SHOWN
        {
            found.faults.push(Broken {
                input: number,
                what,
                question: serde_json::to_value(&input).unwrap_or_default(),
            });
        }
    }
    found
}

fn example_context(settings: &str, number: usize) -> Context {
    let (engine, version) = match number % 4 {
        0 => ("redis", "7.2.4"),
        1 => ("valkey", "8.1.1"),
        2 => ("redis", "6.2.16"),
        _ => ("redis", "8.0.6"),
    };
    Context {
        now_unix_ms: 1_767_225_600_000,
        seed: u64::try_from(number).unwrap_or_default(),
        name: "example".to_owned(),
        namespace: "default".to_owned(),
        engine: engine.to_owned(),
        version: version.to_owned(),
        settings: settings.to_owned(),
    }
}
