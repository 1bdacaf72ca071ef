use std::collections::BTreeMap;

use hera_core::acl::{
    AclAnswer, AclInput, CommandRule, KeyAccess, KeyGrant, Preset, UserGrants, UserRequest,
};
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};

use super::bindings::exports::hera::policy::acl as wit;
use super::bindings::hera::policy::log;
use super::bindings::{AclPolicy, AclPolicyPre};
use super::refused;
use crate::sandbox::{self, Ran, State, Usage};
use crate::{Answered, CallError, Context, Limits};

/// A compiled policy of the world `acl-policy`.
pub struct Acl(AclPolicyPre<State>);

impl Acl {
    /// Links a component: only the log is there to import.
    pub fn link(engine: &Engine, component: &Component) -> wasmtime::Result<Self> {
        let mut linker = Linker::<State>::new(engine);
        log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        Ok(Self(AclPolicyPre::new(linker.instantiate_pre(component)?)?))
    }

    /// Starts an instance and drops it: types that differ show only here.
    pub fn trial(&self, limits: &Limits) -> Result<(), CallError> {
        let engine = self.0.engine();
        sandbox::run(engine, limits, |store| self.0.instantiate(store).map(drop)).result
    }

    /// Asks for a decision.
    pub fn decide(
        &self,
        limits: &Limits,
        context: &Context,
        input: &AclInput,
    ) -> Ran<Answered<AclAnswer>> {
        let context = context.into();
        let input = match encode(input) {
            Ok(input) => input,
            Err(error) => {
                return Ran {
                    result: Err(error),
                    usage: Usage::default(),
                };
            }
        };
        let ran = sandbox::run(self.0.engine(), limits, |store| {
            let policy: AclPolicy = self.0.instantiate(&mut *store)?;
            policy
                .hera_policy_acl()
                .call_decide(store, &context, &input)
        });
        ran.and_then(|answer| match answer {
            Ok(answer) => Ok(answer.into()),
            Err(error) => Err(refused(error, limits)),
        })
    }

    /// Asks whether settings make sense.
    pub fn validate_settings(&self, limits: &Limits, settings: &str) -> Result<(), CallError> {
        let ran = sandbox::run(self.0.engine(), limits, |store| {
            let policy: AclPolicy = self.0.instantiate(&mut *store)?;
            policy
                .hera_policy_acl()
                .call_validate_settings(store, settings)
        });
        ran.result?.map_err(|text| {
            CallError::InvalidSettings(hera_core::acl::printable(&text, limits.text_bytes))
        })
    }
}

/// Every command crosses the border once and categories point at it: a server's table names each
/// three times over, and the copies would be most of the cost of a call.
fn encode(input: &AclInput) -> Result<wit::AclInput, CallError> {
    let mut positions: BTreeMap<&str, u16> = input
        .categories
        .values()
        .flatten()
        .map(|command| (command.as_str(), 0))
        .collect();
    for (index, position) in positions.values_mut().enumerate() {
        *position = u16::try_from(index)
            .map_err(|_| CallError::Internal("the server has too many commands".to_owned()))?;
    }
    let categories = input
        .categories
        .iter()
        .map(|(name, commands)| wit::Category {
            name: name.clone(),
            commands: commands
                .iter()
                .filter_map(|name| positions.get(name.as_str()))
                .copied()
                .collect(),
        });
    Ok(wit::AclInput {
        users: input.users.iter().map(wit::UserRequest::from).collect(),
        categories: categories.collect(),
        commands: positions.into_keys().map(str::to_owned).collect(),
    })
}

impl From<&UserRequest> for wit::UserRequest {
    fn from(user: &UserRequest) -> Self {
        let UserRequest {
            name,
            preset,
            keys,
            channels,
            rules,
        } = user;
        Self {
            name: name.clone(),
            preset: match preset {
                Preset::ReadOnly => wit::Preset::ReadOnly,
                Preset::ReadWrite => wit::Preset::ReadWrite,
                Preset::Owner => wit::Preset::Owner,
                Preset::Admin => wit::Preset::Admin,
                Preset::Replication => wit::Preset::Replication,
            },
            keys: keys.clone(),
            channels: channels.clone(),
            rules: rules.clone(),
        }
    }
}

impl From<wit::AclAnswer> for Answered<AclAnswer> {
    fn from(answer: wit::AclAnswer) -> Self {
        let wit::AclAnswer { users, again_at } = answer;
        Self {
            answer: AclAnswer {
                users: users.into_iter().map(UserGrants::from).collect(),
            },
            again_at_unix_ms: again_at,
        }
    }
}

impl From<wit::UserGrants> for UserGrants {
    fn from(grants: wit::UserGrants) -> Self {
        let wit::UserGrants {
            name,
            commands,
            keys,
            channels,
        } = grants;
        Self {
            name,
            commands: commands.into_iter().map(CommandRule::from).collect(),
            keys: keys.into_iter().map(KeyGrant::from).collect(),
            channels,
        }
    }
}

impl From<wit::CommandRule> for CommandRule {
    fn from(rule: wit::CommandRule) -> Self {
        match rule {
            wit::CommandRule::AllowCommand(name) => Self::AllowCommand(name),
            wit::CommandRule::DenyCommand(name) => Self::DenyCommand(name),
            wit::CommandRule::AllowCategory(name) => Self::AllowCategory(name),
            wit::CommandRule::DenyCategory(name) => Self::DenyCategory(name),
        }
    }
}

impl From<wit::KeyGrant> for KeyGrant {
    fn from(key: wit::KeyGrant) -> Self {
        let access = match key.access {
            wit::KeyAccess::Read => KeyAccess::Read,
            wit::KeyAccess::Write => KeyAccess::Write,
            wit::KeyAccess::ReadWrite => KeyAccess::ReadWrite,
        };
        Self {
            pattern: key.pattern,
            access,
        }
    }
}
