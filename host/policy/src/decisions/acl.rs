use std::path::Path;

use hera_core::acl::{AclAnswer, AclInput, Categories, Preset, UserRequest, diff, guard};
use rand::Rng as _;
use rand::rngs::StdRng;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::{Answered, Decision, GuardRefused};
use crate::cases::{self, CaseResult};
use crate::sandbox::Ran;
use crate::{CallError, Context, Limits, Policy, v0_1};

/// Which rights each user gets.
pub struct Acl(v0_1::Acl);

impl Decision for Acl {
    type Input = AclInput;
    type Answer = AclAnswer;

    const NAME: &'static str = "acl";
    const VERSIONS: &'static [(u64, u64)] = &[(0, 1)];
    // Never fail open: rights that another policy gave are no one else's to give again.
    const BUILT_IN_STEPS_IN: bool = false;

    fn link(engine: &Engine, component: &Component) -> wasmtime::Result<Self> {
        v0_1::Acl::link(engine, component).map(Self)
    }

    fn api(&self) -> &'static str {
        v0_1::API
    }

    fn trial(&self, limits: &Limits) -> Result<(), CallError> {
        self.0.trial(limits)
    }

    fn decide(
        &self,
        limits: &Limits,
        context: &Context,
        input: &AclInput,
    ) -> Ran<Answered<AclAnswer>> {
        self.0.decide(limits, context, input)
    }

    fn validate_settings(&self, limits: &Limits, settings: &str) -> Result<(), CallError> {
        self.0.validate_settings(limits, settings)
    }

    fn guard(input: &AclInput, answer: &AclAnswer) -> Result<(), GuardRefused> {
        guard(input, answer).map_err(|violation| GuardRefused {
            rule: violation.rule.name().to_owned(),
            words: violation.to_string(),
        })
    }

    fn diff(one: &AclAnswer, two: &AclAnswer) -> Vec<String> {
        diff(one, two)
    }

    fn show(answer: &AclAnswer) -> Vec<String> {
        let rules = cases::rules(answer).into_iter();
        rules
            .map(|(user, rules)| format!("user {user} {rules}"))
            .collect()
    }

    fn example(random: &mut StdRng, number: usize) -> AclInput {
        // None, one, as many as a spec may have, and everything between.
        let count = match number % 8 {
            0 => 0,
            1 => 1,
            2 => 64,
            _ => random.random_range(1..20),
        };
        AclInput {
            users: (0..count).map(|index| user(random, index)).collect(),
            categories: table(number),
        }
    }

    fn example_of(size: usize) -> AclInput {
        let presets = [Preset::ReadWrite, Preset::ReadOnly, Preset::Admin];
        let users = presets.into_iter().cycle().take(size).enumerate();
        let users = users.map(|(index, preset)| UserRequest {
            name: format!("user-{index}"),
            preset,
            keys: vec![format!("app-{index}:*"), "shared:*".to_owned()],
            channels: vec![format!("news-{index}:*")],
            rules: vec!["-@scripting".to_owned(), "+keys".to_owned()],
        });
        AclInput {
            users: users.collect(),
            categories: table(0),
        }
    }

    fn case(text: &str) -> Result<(Context, AclInput), String> {
        let case: cases::AclCase = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(case.question())
    }

    fn cases(policy: &Policy<Self>, folder: &Path) -> std::io::Result<Vec<CaseResult>> {
        cases::run(policy, folder, cases::run_acl)
    }
}

/// A user that the operator would ask about: its rules are within its preset. None copies all data: a policy
/// that gives everybody the same list is sound, and no list of reads suits such a user.
fn user(random: &mut StdRng, index: usize) -> UserRequest {
    let pick = |random: &mut StdRng, all: &[&str], most: usize| -> Vec<String> {
        let count = random.random_range(0..=most);
        (0..count)
            .filter_map(|_| all.get(random.random_range(0..all.len())))
            .map(|text| (*text).to_owned())
            .collect()
    };
    let preset = match random.random_range(0..4) {
        0 => Preset::ReadOnly,
        1 => Preset::ReadWrite,
        2 => Preset::Owner,
        _ => Preset::Admin,
    };
    UserRequest {
        name: format!("user-{index}"),
        preset,
        keys: pick(
            random,
            &["*", "app:*", "app:[a-c]?", "cache:{x}:*", "one"],
            4,
        ),
        channels: pick(random, &["*", "news:*", "one"], 3),
        rules: pick(
            random,
            &["+get", "-get", "-@all", "-@write", "-@dangerous", "+ping"],
            4,
        ),
    }
}

/// The table of a server of today, of one that knows no subcommands, and of one with little in it.
fn table(number: usize) -> Categories {
    let mut table: Categories = serde_json::from_str(include_str!(
        "../../../core/testdata/categories-redis-7.0.json"
    ))
    .unwrap_or_default();
    match number % 3 {
        0 => {}
        1 => table
            .values_mut()
            .for_each(|commands| commands.retain(|command| !command.contains('|'))),
        _ => table.values_mut().for_each(|commands| {
            commands
                .retain(|command| ["get", "set", "ping", "flushall"].contains(&command.as_str()));
        }),
    }
    table
}
