//! From a reference to a policy that is loaded and takes its settings.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use hera_api::conditions::policy_healthy as reason;
use hera_api::meta::LABEL_DEFAULT_POLICY;
use hera_api::{ConfigMapKeyRef, PolicyOrigin, PolicySource, Settings};
use hera_core::digest;
use hera_policy::{Decision, LoadError, Policy};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};

use super::{Choice, Common, Problem, VALIDATED};
use crate::object::ObjectKey;

/// Key of a module where nothing names one.
pub const KEY: &str = "policy.wasm";

/// A pass waits this long for a module: healing must not.
const PATIENCE: Duration = Duration::from_millis(500);

/// The bytes of a module, and whose turn it takes to compile them.
pub struct Module<'a> {
    /// The namespace that it came from.
    pub owner: &'a str,
    /// As it stands in the ConfigMap.
    pub bytes: Vec<u8>,
}

/// What a reference came to.
pub type Found<D> = Result<Choice<D>, Problem>;

impl Common {
    /// The policy that a spec asks for; `None` for the operator's default.
    ///
    /// # Errors
    /// Outer: only when the API server does not answer; everything about the policy is a
    /// [`Problem`].
    pub async fn find<D: Decision>(
        &self,
        instance: &ObjectKey,
        source: Option<&PolicySource>,
    ) -> kube::Result<Option<Found<D>>> {
        let named = source.and_then(|source| Some((source.config_map_ref.as_ref()?, source)));
        match named {
            Some((reference, source)) => self
                .in_config_map(instance, reference, &source.settings)
                .await
                .map(Some),
            None => self.default_policy(instance).await,
        }
    }

    /// The policy in a ConfigMap of the object's namespace.
    ///
    /// # Errors
    /// As in [`Self::find`].
    pub async fn in_config_map<D: Decision>(
        &self,
        instance: &ObjectKey,
        reference: &ConfigMapKeyRef,
        settings: &Settings,
    ) -> kube::Result<Found<D>> {
        let settings = match settings.json() {
            Ok(settings) => settings.to_owned(),
            Err(excess) => {
                let problem = Problem::lasting(reason::SETTINGS_INVALID, excess.to_string());
                return Ok(Err(problem));
            }
        };
        let namespace = instance.namespace.as_str();
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let Some(map) = api.get_opt(&reference.name).await? else {
            let message = format!("there is no ConfigMap {}: create it", reference.name);
            return Ok(Err(Problem::lasting(reason::CONFIG_MAP_MISSING, message)));
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
                return Ok(Err(Problem::lasting(reason::DIGEST_MISMATCH, message)));
            }
        }
        let source = PolicyOrigin::config_map(reference);
        let module = Module {
            owner: namespace,
            bytes: module,
        };
        Ok(self.load(instance, module, settings, source).await)
    }

    /// The operator's default; none if there is only the built-in.
    async fn default_policy<D: Decision>(
        &self,
        instance: &ObjectKey,
    ) -> kube::Result<Option<Found<D>>> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = ListParams::default().labels(&format!("{LABEL_DEFAULT_POLICY}={}", D::NAME));
        let mut found = api.list(&params).await?.items;
        let Some(map) = found.pop() else {
            return Ok(None);
        };
        if let Some(other) = found.pop() {
            let message = format!(
                "the ConfigMaps {} and {} of the operator both claim to be the default: the built-in \
                 decides until one of them loses its label, where it takes rights away",
                map.name_any(),
                other.name_any()
            );
            return Ok(Some(Err(Problem::lasting(
                reason::DEFAULT_AMBIGUOUS,
                message,
            ))));
        }
        let found = match module_of(&map, KEY) {
            Ok(module) => {
                let source = PolicyOrigin::default_of(&map.name_any(), KEY);
                let module = Module {
                    owner: &self.namespace,
                    bytes: module,
                };
                self.load(instance, module, String::new(), source).await
            }
            Err(problem) => Err(problem),
        };
        Ok(Some(found))
    }

    /// Loads a module, and asks it about its settings. A pass waits only a moment for it; the
    /// object is woken when it is there.
    ///
    /// # Errors
    /// Why it cannot be used, or not yet.
    pub async fn load<D: Decision>(
        &self,
        instance: &ObjectKey,
        module: Module<'_>,
        settings: String,
        source: PolicyOrigin,
    ) -> Found<D> {
        let (registry, owner, bytes) =
            (self.registry.clone(), module.owner.to_owned(), module.bytes);
        let mut loading = tokio::spawn(async move { registry.load::<D>(bytes, &owner).await });
        let Ok(loaded) = tokio::time::timeout(PATIENCE, &mut loading).await else {
            let (wake, instance) = (self.wake.clone(), instance.clone());
            tokio::spawn(async move {
                let _ = loading.await;
                // Nobody listens any more when the operator ends.
                let _ = wake.send(instance);
            });
            let words = "the module is being loaded; what was in force stays".to_owned();
            // The object is woken.
            return Err(Problem::lasting(reason::LOADING, words));
        };
        let loaded = loaded.unwrap_or_else(|error| Err(LoadError::Internal(error.to_string())));
        let modules = i64::try_from(self.registry.loaded()).unwrap_or(i64::MAX);
        self.metrics.policy_modules.set(modules);
        let policy = loaded.map_err(|error| Problem {
            reason: match error {
                LoadError::Internal(_) => reason::INTERNAL,
                _ => reason::LOAD_FAILED,
            },
            message: format!("{}: {error}", error.reason()),
            passes: !error.is_lasting(),
        })?;
        self.validate(&policy, &settings).await?;
        Ok(Choice {
            policy,
            settings,
            source,
        })
    }

    /// Asks a module about settings, once for each module and settings.
    async fn validate<D: Decision>(
        &self,
        policy: &Policy<D>,
        settings: &str,
    ) -> Result<(), Problem> {
        let key = format!("{} {} {settings}", D::NAME, policy.digest());
        let key = digest::of(key.as_bytes());
        if let Some(known) = self.lock_validated().get(&key) {
            return known.clone();
        }
        let verdict = policy
            .validate_settings(settings)
            .await
            .map_err(|fault| Problem {
                reason: reason_of_fault(fault.reason()),
                message: fault.to_string(),
                passes: !fault.is_fault(),
            });
        if !verdict.as_ref().is_err_and(|problem| problem.passes) {
            let mut validated = self.lock_validated();
            if validated.len() >= VALIDATED {
                validated.clear();
            }
            validated.insert(key, verdict.clone());
        }
        verdict
    }

    fn lock_validated(&self) -> MutexGuard<'_, HashMap<String, Result<(), Problem>>> {
        self.validated
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The condition's reason for a fault of a call.
pub fn reason_of_fault(fault: &str) -> &'static str {
    match fault {
        "Trap" => reason::TRAP,
        "OutOfFuel" => reason::OUT_OF_FUEL,
        "Timeout" => reason::TIMEOUT,
        "MemoryLimit" => reason::OUT_OF_MEMORY,
        "InvalidSettings" => reason::SETTINGS_INVALID,
        "Refused" => reason::POLICY_ERROR,
        "Internal" => reason::INTERNAL,
        _ => reason::INVALID_OUTPUT,
    }
}

fn module_of(map: &ConfigMap, key: &str) -> Result<Vec<u8>, Problem> {
    if let Some(bytes) = map.binary_data.as_ref().and_then(|data| data.get(key)) {
        return Ok(bytes.0.clone());
    }
    let name = map.name_any();
    let as_text = map.data.as_ref().is_some_and(|data| data.contains_key(key));
    let keys: Vec<&str> = map
        .binary_data
        .iter()
        .flatten()
        .map(|(key, _)| key.as_str())
        .collect();
    let message = if as_text {
        format!("ConfigMap {name} has {key} under data: put the module under binaryData")
    } else if keys.is_empty() {
        format!("ConfigMap {name} has no key {key} under binaryData")
    } else {
        format!(
            "ConfigMap {name} has no key {key} under binaryData, but {}: name it in configMapRef.key",
            keys.join(", ")
        )
    };
    Err(Problem::lasting(reason::KEY_MISSING, message))
}
