//! Which policy decides for an object, and where it comes from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hera_api::PolicySource;
use hera_api::conditions::policy_healthy as reason;
use hera_api::meta::LABEL_DEFAULT_POLICY;
use hera_core::digest;
use hera_policy::{Acl, LoadError, Policy, Registry, Trial};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};

use crate::args::TRIAL;
use crate::shared::InstanceRef;

/// The decision that this release delegates.
pub const ACL: &str = "acl";
/// Key of a default policy's module.
const DEFAULT_KEY: &str = "policy.wasm";

/// Policies in memory, shared by digest, and the last good choice of each object.
pub struct Policies {
    client: Client,
    namespace: String,
    registry: Registry,
    builtin: Arc<Policy<Acl>>,
    last_good: Mutex<HashMap<InstanceRef, Choice>>,
}

/// A policy with its settings.
#[derive(Clone)]
pub struct Choice {
    /// The policy.
    pub policy: Arc<Policy<Acl>>,
    /// Its settings as JSON; empty for none.
    pub settings: String,
    /// Where it came from: `builtin`, `default` or `configMap <name>`.
    pub source: String,
}

/// Why the policy that is asked for does not decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A reason of the condition `PolicyHealthy`.
    pub reason: &'static str,
    /// What to do, for people.
    pub message: String,
}

/// What was found for one object.
#[derive(Clone)]
pub struct Chosen {
    /// Who decides; none while the policy that is asked for has never been good.
    pub choice: Option<Choice>,
    /// Why it is not the one that is asked for.
    pub problem: Option<Problem>,
}

impl Policies {
    /// Starts the sandbox and loads the built-in.
    ///
    /// # Errors
    /// When the sandbox cannot be started.
    pub async fn new(client: Client, namespace: String) -> anyhow::Result<Self> {
        let trial = Trial {
            program: std::env::current_exe()?,
            args: vec![TRIAL.to_owned()],
        };
        let registry = Registry::new(hera_policy::Limits::default(), Some(trial))?;
        let builtin = registry
            .load(hera_policy::builtin::ACL_PRESETS, &namespace)
            .await?;
        Ok(Self {
            client,
            namespace,
            registry,
            builtin,
            last_good: Mutex::default(),
        })
    }

    /// Who decides about the rights of the users of an object.
    ///
    /// # Errors
    /// Only when the API server does not answer; everything about the policy is a [`Problem`].
    pub async fn choose_acl(
        &self,
        instance: &InstanceRef,
        source: Option<&PolicySource>,
    ) -> kube::Result<Chosen> {
        let namespace = instance.namespace.as_deref().unwrap_or_default();
        let found = match source {
            Some(source) => self.load_config_map(namespace, source).await?,
            None => self.default_policy().await?,
        };
        Ok(match found {
            Ok(choice) => {
                self.lock().insert(instance.clone(), choice.clone());
                Chosen {
                    choice: Some(choice),
                    problem: None,
                }
            }
            Err(problem) if problem.reason == reason::DEFAULT_AMBIGUOUS => Chosen {
                choice: Some(self.builtin_choice()),
                problem: Some(problem),
            },
            Err(problem) => Chosen {
                choice: self.lock().get(instance).cloned(),
                problem: Some(problem),
            },
        })
    }

    /// Drops what is remembered of an instance that is gone.
    pub fn forget(&self, instance: &InstanceRef) {
        self.lock().remove(instance);
    }

    async fn load_config_map(
        &self,
        namespace: &str,
        source: &PolicySource,
    ) -> kube::Result<Result<Choice, Problem>> {
        let reference = &source.config_map_ref;
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let Some(map) = api.get_opt(&reference.name).await? else {
            let message = format!("there is no ConfigMap {}: create it", reference.name);
            return Ok(Err(Problem {
                reason: reason::CONFIG_MAP_MISSING,
                message,
            }));
        };
        let module = match module_of(&map, &reference.key) {
            Ok(module) => module,
            Err(problem) => return Ok(Err(problem)),
        };
        if let Some(pinned) = &reference.digest {
            let found = digest::of(&module);
            if found != *pinned {
                let message = format!(
                    "the module in ConfigMap {} is {found}, the spec pins {pinned}: correct one of them",
                    reference.name
                );
                return Ok(Err(Problem {
                    reason: reason::DIGEST_MISMATCH,
                    message,
                }));
            }
        }
        let settings = if source.settings.is_empty() {
            String::new()
        } else {
            serde_json::to_string(&source.settings).map_err(kube::Error::SerdeError)?
        };
        Ok(self
            .load(
                namespace,
                module,
                settings,
                format!("configMap {}", reference.name),
            )
            .await)
    }

    async fn default_policy(&self) -> kube::Result<Result<Choice, Problem>> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = ListParams::default().labels(&format!("{LABEL_DEFAULT_POLICY}={ACL}"));
        let mut found = api.list(&params).await?.items;
        let Some(map) = found.pop() else {
            return Ok(Ok(self.builtin_choice()));
        };
        if let Some(other) = found.pop() {
            let message = format!(
                "the ConfigMaps {} and {} of the operator both claim to be the default: the built-in \
                 decides until one of them loses its label",
                map.name_any(),
                other.name_any()
            );
            return Ok(Err(Problem {
                reason: reason::DEFAULT_AMBIGUOUS,
                message,
            }));
        }
        match module_of(&map, DEFAULT_KEY) {
            Ok(module) => Ok(self
                .load(&self.namespace, module, String::new(), "default".to_owned())
                .await),
            Err(problem) => Ok(Err(problem)),
        }
    }

    async fn load(
        &self,
        owner: &str,
        module: Vec<u8>,
        settings: String,
        source: String,
    ) -> Result<Choice, Problem> {
        let policy = self
            .registry
            .load(module, owner)
            .await
            .map_err(|error: LoadError| Problem {
                reason: reason::LOAD_FAILED,
                message: format!("{}: {error}", error.reason()),
            })?;
        match policy.validate_settings(&settings).await {
            Ok(()) => Ok(Choice {
                policy,
                settings,
                source,
            }),
            Err(fault) => Err(Problem {
                reason: call_reason(&fault),
                message: fault.to_string(),
            }),
        }
    }

    fn builtin_choice(&self) -> Choice {
        Choice {
            policy: self.builtin.clone(),
            settings: String::new(),
            source: "builtin".to_owned(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceRef, Choice>> {
        self.last_good
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The condition's reason for a fault of a call.
pub fn call_reason(fault: &hera_policy::CallError) -> &'static str {
    match fault.reason() {
        "Trap" => reason::TRAP,
        "OutOfFuel" => reason::OUT_OF_FUEL,
        "Timeout" => reason::TIMEOUT,
        "MemoryLimit" => reason::OUT_OF_MEMORY,
        "InvalidSettings" => reason::SETTINGS_INVALID,
        "Refused" => reason::POLICY_ERROR,
        _ => reason::INVALID_OUTPUT,
    }
}

fn module_of(map: &ConfigMap, key: &str) -> Result<Vec<u8>, Problem> {
    if let Some(bytes) = map.binary_data.as_ref().and_then(|data| data.get(key)) {
        return Ok(bytes.0.clone());
    }
    let name = map.name_any();
    let as_text = map.data.as_ref().is_some_and(|data| data.contains_key(key));
    let message = if as_text {
        format!("ConfigMap {name} has {key} under data: put the module under binaryData")
    } else {
        format!("ConfigMap {name} has no key {key} under binaryData")
    };
    Err(Problem {
        reason: reason::KEY_MISSING,
        message,
    })
}
