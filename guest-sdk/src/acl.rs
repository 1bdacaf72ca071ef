//! The `acl` decision: who may do what.

use serde::de::DeserializeOwned;

pub use crate::bindings::exports::hera::policy::acl::{
    AclAnswer, AclInput, Category, CommandRule, KeyAccess, KeyGrant, Preset, UserGrants,
    UserRequest,
};
use crate::{Context, PolicyError};

/// A policy that decides the rights of users. Register it with
/// [`export_acl_policy!`](crate::export_acl_policy).
pub trait AclPolicy {
    /// What stands beside the policy under `settings`; no settings mean the default.
    type Settings: DeserializeOwned + Default;

    /// Grants for exactly the users in `input`.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] when there is no answer; the rules applied last then stay.
    fn decide(
        context: &Context,
        settings: &Self::Settings,
        input: &AclInput,
    ) -> Result<AclAnswer, PolicyError>;

    /// Checks settings beyond their shape.
    ///
    /// # Errors
    ///
    /// A sentence for the person who wrote them.
    fn validate(_settings: &Self::Settings) -> Result<(), String> {
        Ok(())
    }
}

impl AclInput {
    /// True if the server has this command or subcommand. A rule that names one which it lacks
    /// would be refused, so policies for several versions ask first.
    pub fn has_command(&self, name: &str) -> bool {
        self.commands
            .binary_search_by(|known| known.as_str().cmp(name))
            .is_ok()
    }

    /// True if the server knows subcommands of `command` as commands of their own (from 7.0 on).
    pub fn has_subcommands(&self, command: &str) -> bool {
        let start = self
            .commands
            .partition_point(|known| known.as_str() <= command);
        self.commands
            .get(start..)
            .unwrap_or_default()
            .iter()
            .take_while(|known| known.starts_with(command))
            .any(|known| {
                known
                    .get(command.len()..)
                    .is_some_and(|rest| rest.as_bytes().first() == Some(&b'|'))
            })
    }

    /// The category of this name, without the `@`.
    pub fn category(&self, name: &str) -> Option<&Category> {
        self.categories
            .iter()
            .find(|category| category.name == name)
    }

    /// Commands of a category; none if the server lacks it.
    pub fn commands_of(&self, category: &str) -> impl Iterator<Item = &str> {
        self.category(category)
            .into_iter()
            .flat_map(|category| &category.commands)
            .filter_map(|index| self.commands.get(usize::from(*index)))
            .map(String::as_str)
    }
}

impl AclAnswer {
    /// An answer that holds until something changes: users, rules, settings, the server's version.
    pub fn new(users: impl IntoIterator<Item = UserGrants>) -> Self {
        Self {
            users: users.into_iter().collect(),
            again_at: None,
        }
    }

    /// Lets it hold until this time at the latest, in milliseconds since 1970: then the policy is
    /// asked again, a minute after it was asked at the soonest. Of several times the first counts.
    #[must_use]
    pub fn until(mut self, unix_ms: u64) -> Self {
        let first = self.again_at.map_or(unix_ms, |known| known.min(unix_ms));
        self.again_at = Some(first);
        self
    }
}

impl UserGrants {
    /// A user that may do nothing yet.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            commands: vec![],
            keys: vec![],
            channels: vec![],
        }
    }

    /// Adds `+name`.
    #[must_use]
    pub fn allow_command(mut self, name: &str) -> Self {
        self.commands
            .push(CommandRule::AllowCommand(name.to_owned()));
        self
    }

    /// Adds `-name`.
    #[must_use]
    pub fn deny_command(mut self, name: &str) -> Self {
        self.commands
            .push(CommandRule::DenyCommand(name.to_owned()));
        self
    }

    /// Adds `+@name`.
    #[must_use]
    pub fn allow_category(mut self, name: &str) -> Self {
        self.commands
            .push(CommandRule::AllowCategory(name.to_owned()));
        self
    }

    /// Adds `-@name`.
    #[must_use]
    pub fn deny_category(mut self, name: &str) -> Self {
        self.commands
            .push(CommandRule::DenyCategory(name.to_owned()));
        self
    }

    /// Grants the keys and channels that the spec asks for.
    #[must_use]
    pub fn with_patterns_of(mut self, user: &UserRequest) -> Self {
        for pattern in &user.keys {
            self.keys.push(KeyGrant {
                pattern: pattern.clone(),
                access: KeyAccess::ReadWrite,
            });
        }
        self.channels.extend_from_slice(&user.channels);
        self
    }
}

impl CommandRule {
    /// Reads a rule in the server's notation: `+get`, `-@dangerous`, `+client|list`.
    pub fn parse(text: &str) -> Option<Self> {
        let (rule, name): (fn(String) -> Self, _) = match text.as_bytes() {
            [b'+', b'@', ..] => (Self::AllowCategory, text.get(2..)?),
            [b'-', b'@', ..] => (Self::DenyCategory, text.get(2..)?),
            [b'+', ..] => (Self::AllowCommand, text.get(1..)?),
            [b'-', ..] => (Self::DenyCommand, text.get(1..)?),
            _ => return None,
        };
        (!name.is_empty()).then(|| rule(name.to_owned()))
    }
}

/// Turns a policy type into the component that the operator loads.
#[macro_export]
macro_rules! export_acl_policy {
    ($policy:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;

            impl $crate::export::acl::Guest for Component {
                fn decide(
                    context: $crate::Context,
                    input: $crate::acl::AclInput,
                ) -> ::core::result::Result<$crate::acl::AclAnswer, $crate::PolicyError> {
                    $crate::export::decide_acl::<$policy>(context, input)
                }

                fn validate_settings(
                    settings: $crate::export::String,
                ) -> ::core::result::Result<(), $crate::export::String> {
                    $crate::export::validate_acl::<$policy>(settings)
                }
            }

    $crate::bindings::__export_acl_policy!(Component with_types_in $crate::bindings);

            // The host reads this before anything runs, so that its messages can say what a
            // module was built with.
            #[used]
            #[unsafe(link_section = "hera-policy-sdk")]
            static SDK: [u8; $crate::SDK_VERSION.len()] = $crate::export::sdk_bytes();
        };
    };
}
