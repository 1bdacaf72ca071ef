//! How a later contract lives beside the one of today: a guest built for each, both served by one
//! host, with one decision, one guard and one log behind them. What is here for 0.2 is all that a real
//! version adds: its bindings, an adapter, a branch in the decision.

use std::path::Path;
use std::sync::Arc;

use hera_core::acl::{
    AclAnswer, AclInput, CommandRule, KeyAccess, KeyGrant, Preset, UserGrants, UserRequest,
};
use rand::rngs::StdRng;
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};

use crate::sandbox::{self, Ran, State};
use crate::{
    Acl, Answered, CallError, CaseResult, Context, Decision, GuardRefused, Limits, Policy, Registry,
};

#[allow(missing_docs, clippy::all, clippy::restriction)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "tests/evolution/v0.2",
        world: "acl-policy",
        imports: { default: trappable },
    });
}

use bindings::exports::hera::policy::acl as wit;
use bindings::{AclPolicy, AclPolicyPre};

impl bindings::hera::policy::log::Host for State {
    fn write(&mut self, text: String) -> wasmtime::Result<()> {
        self.log("info", &text)
    }
}

/// The decision, with a branch for each contract.
enum Both {
    Today(Acl),
    Later(AclPolicyPre<State>),
}

impl Decision for Both {
    type Input = AclInput;
    type Answer = AclAnswer;

    const NAME: &'static str = "acl";
    const VERSIONS: &'static [(u64, u64)] = &[(0, 1), (0, 2)];
    const BUILT_IN_STEPS_IN: bool = false;

    fn link(engine: &Engine, component: &Component) -> wasmtime::Result<Self> {
        if let Ok(today) = Acl::link(engine, component) {
            return Ok(Self::Today(today));
        }
        let mut linker = Linker::<State>::new(engine);
        bindings::hera::policy::log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        let linked = linker.instantiate_pre(component)?;
        Ok(Self::Later(AclPolicyPre::new(linked)?))
    }

    fn api(&self) -> &'static str {
        match self {
            Self::Today(today) => today.api(),
            Self::Later(_) => "0.2",
        }
    }

    fn trial(&self, limits: &Limits) -> Result<(), CallError> {
        match self {
            Self::Today(today) => today.trial(limits),
            Self::Later(later) => {
                let start = |store: &mut _| later.instantiate(store).map(drop);
                sandbox::run(later.engine(), limits, start).result
            }
        }
    }

    fn decide(
        &self,
        limits: &Limits,
        context: &Context,
        input: &AclInput,
    ) -> Ran<Answered<AclAnswer>> {
        let later = match self {
            Self::Today(today) => return today.decide(limits, context, input),
            Self::Later(later) => later,
        };
        let users: Vec<_> = input.users.iter().map(request).collect();
        let ran = sandbox::run(later.engine(), limits, |store| {
            let policy: AclPolicy = later.instantiate(&mut *store)?;
            policy.hera_policy_acl().call_decide(store, &users)
        });
        ran.and_then(|answer| match answer {
            Ok(users) => Ok(Answered {
                answer: AclAnswer {
                    users: users.into_iter().map(grants).collect(),
                },
                again_at_unix_ms: None,
            }),
            Err(words) => Err(CallError::Refused(words)),
        })
    }

    fn validate_settings(&self, limits: &Limits, settings: &str) -> Result<(), CallError> {
        match self {
            Self::Today(today) => today.validate_settings(limits, settings),
            Self::Later(_) => Ok(()),
        }
    }

    fn guard(input: &AclInput, answer: &AclAnswer) -> Result<(), GuardRefused> {
        Acl::guard(input, answer)
    }

    fn diff(one: &AclAnswer, two: &AclAnswer) -> Vec<String> {
        Acl::diff(one, two)
    }

    fn show(answer: &AclAnswer) -> Vec<String> {
        Acl::show(answer)
    }

    fn example(random: &mut StdRng, number: usize) -> AclInput {
        Acl::example(random, number)
    }

    fn example_of(size: usize) -> AclInput {
        Acl::example_of(size)
    }

    fn case(text: &str) -> Result<(Context, AclInput), String> {
        Acl::case(text)
    }

    fn cases(_: &Policy<Self>, _: &Path) -> std::io::Result<Vec<CaseResult>> {
        Ok(Vec::new())
    }
}

/// From the host's own types to those of the later contract.
fn request(user: &UserRequest) -> wit::UserRequest {
    wit::UserRequest {
        name: user.name.clone(),
        level: match user.preset {
            Preset::ReadOnly => 0,
            Preset::ReadWrite => 1,
            Preset::Owner => 2,
            Preset::Admin => 3,
            Preset::Replication => 4,
        },
        keys: user.keys.clone(),
    }
}

/// And back.
fn grants(grants: wit::UserGrants) -> UserGrants {
    let key = |pattern| KeyGrant {
        pattern,
        access: KeyAccess::ReadWrite,
    };
    UserGrants {
        name: grants.name,
        commands: grants
            .rules
            .iter()
            .filter_map(|rule| CommandRule::parse(rule))
            .collect(),
        keys: grants.keys.into_iter().map(key).collect(),
        channels: vec![],
    }
}

mod guests {
    include!("../guests.rs");
}

/// A guest that was built for the later contract, by the cargo of the tests.
fn later() -> Vec<u8> {
    let folder = guests::build(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
        &guests::target_dir(Path::new(env!("OUT_DIR"))),
        &["-p", "hera-policy-later", "--lib"],
    );
    std::fs::read(folder.unwrap().join("hera_policy_later.wasm")).unwrap()
}

#[tokio::test]
async fn guests_of_two_contracts_are_served_by_one_host() {
    let registry = Registry::new(Limits::default(), None).unwrap();
    let today: Arc<Policy<Both>> = registry
        .load(crate::builtin::ACL_PRESETS, "tests")
        .await
        .unwrap();
    let newer: Arc<Policy<Both>> = registry.load(later(), "tests").await.unwrap();
    assert_eq!((today.api(), newer.api()), ("0.1", "0.2"));
    let input = Acl::example_of(3);
    for (policy, has) in [(&today, "+@read"), (&newer, "+set")] {
        let call = policy.ask_blocking("tests", &Context::example(), &input);
        let answer = call.outcome.good().unwrap();
        assert!(Both::show(answer)[0].contains(has), "{call:?}");
    }
}

#[tokio::test]
async fn a_host_of_today_says_that_a_later_guest_is_newer() {
    let registry = Registry::new(Limits::default(), None).unwrap();
    let refused = registry.load::<Acl>(later(), "tests").await.unwrap_err();
    assert_eq!(refused.reason(), "NewerApi");
    assert!(refused.to_string().contains("0.2"), "{refused}");
}
