//! The configuration as it was asked for, and as much of it as the server takes.

use std::collections::BTreeMap;

use hera_core::agent::ServerConfig;
use serde::{Deserialize, Serialize};

/// The directive that switches the append-only file; the agent handles it by itself.
pub const APPEND_ONLY: &str = "appendonly";

/// The configuration as it was asked for, and as much of it as the server takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// As asked for.
    pub config: ServerConfig,
    /// Refused directives, with the server's words.
    #[serde(default)]
    pub rejected: BTreeMap<String, String>,
    /// Values that a server took, to fall back to.
    #[serde(default)]
    pub proven: BTreeMap<String, String>,
}

impl Held {
    /// Nothing was tried of it yet.
    pub fn untried(config: ServerConfig) -> Self {
        Self {
            config,
            rejected: BTreeMap::new(),
            proven: BTreeMap::new(),
        }
    }

    /// The directives to run with: what is asked for, the last good value where that is refused.
    pub fn good(&self) -> BTreeMap<String, String> {
        let good = |(name, value): (&String, &String)| {
            let value = match self.rejected.contains_key(name) {
                true => self.proven.get(name)?,
                false => value,
            };
            Some((name.clone(), value.clone()))
        };
        self.config.directives.iter().filter_map(good).collect()
    }

    /// Sets aside a directive at which a server gave up; false if that changes nothing.
    pub fn set_aside(&mut self, name: &str, why: &str) -> bool {
        let Some(tried) = self.good().remove(name) else {
            return false;
        };
        // What was good once, with another version of the server perhaps, is no way out.
        if self.proven.get(name) == Some(&tried) {
            self.proven.remove(name);
        }
        self.rejected.insert(name.to_owned(), why.to_owned());
        true
    }

    /// Whether an append-only file is asked for; none if nothing is said about it.
    pub fn wants_append(&self) -> Option<bool> {
        let value = self.config.directives.get(APPEND_ONLY)?;
        Some(value == "yes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn held() -> Held {
        let mut held = Held::untried(ServerConfig {
            owner: "o".into(),
            revision: 1,
            directives: map(&[("a", "new"), ("b", "1")]),
            from_spec: Default::default(),
        });
        held.proven = map(&[("a", "old"), ("gone", "1")]);
        held
    }

    #[test]
    fn a_refused_directive_falls_back_to_its_last_good_value_and_then_to_none() {
        let mut held = held();
        assert_eq!(held.good(), map(&[("a", "new"), ("b", "1")]));
        assert!(held.set_aside("a", "no"));
        assert_eq!(held.good(), map(&[("a", "old"), ("b", "1")]));
        assert!(held.set_aside("a", "not this either"));
        assert_eq!(held.good(), map(&[("b", "1")]));
        assert!(!held.set_aside("a", "again"));
    }

    #[test]
    fn a_directive_of_the_agents_own_cannot_be_set_aside() {
        assert!(!held().set_aside("unixsocket", "no"));
    }
}
