//! From a reference to a policy that is loaded and takes its settings.

use hera_api::conditions::policy_healthy as reason;
use hera_api::meta::LABEL_DEFAULT_POLICY;
use hera_api::{ConfigMapKeyRef, PolicySource};
use hera_core::digest;
use hera_policy::{Decision, LoadError};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use serde_json::{Map, Value};

use super::{Choice, Common, Problem};

/// Key of a module where nothing names one.
pub const KEY: &str = "policy.wasm";

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
        namespace: &str,
        source: Option<&PolicySource>,
    ) -> kube::Result<Option<Found<D>>> {
        let named = source.and_then(|source| Some((source.config_map_ref.as_ref()?, source)));
        match named {
            Some((reference, source)) => self
                .in_config_map(namespace, reference, &source.settings)
                .await
                .map(Some),
            None => self.default_policy().await,
        }
    }

    /// The policy in a ConfigMap of the object's namespace.
    ///
    /// # Errors
    /// As in [`Self::find`].
    pub async fn in_config_map<D: Decision>(
        &self,
        namespace: &str,
        reference: &ConfigMapKeyRef,
        settings: &Map<String, Value>,
    ) -> kube::Result<Found<D>> {
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
        let source = format!("configMap {}", reference.name);
        Ok(self.load(namespace, module, text(settings)?, source).await)
    }

    /// The operator's default; none if there is only the built-in.
    async fn default_policy<D: Decision>(&self) -> kube::Result<Option<Found<D>>> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = ListParams::default().labels(&format!("{LABEL_DEFAULT_POLICY}={}", D::NAME));
        let mut found = api.list(&params).await?.items;
        let Some(map) = found.pop() else {
            return Ok(None);
        };
        if let Some(other) = found.pop() {
            let message = format!(
                "the ConfigMaps {} and {} of the operator both claim to be the default: the built-in \
                 decides until one of them loses its label",
                map.name_any(),
                other.name_any()
            );
            return Ok(Some(Err(Problem {
                reason: reason::DEFAULT_AMBIGUOUS,
                message,
            })));
        }
        let found = match module_of(&map, KEY) {
            Ok(module) => {
                let source = "default".to_owned();
                self.load(&self.namespace, module, String::new(), source)
                    .await
            }
            Err(problem) => Err(problem),
        };
        Ok(Some(found))
    }

    /// Loads a module, and asks it about its settings.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub async fn load<D: Decision>(
        &self,
        owner: &str,
        module: Vec<u8>,
        settings: String,
        source: String,
    ) -> Found<D> {
        let loaded = self.registry.load::<D>(module.clone(), owner).await;
        let outcome = loaded.as_ref().err().map_or("ok", LoadError::reason);
        self.metrics
            .policy_loads
            .with_label_values(&[D::NAME, outcome])
            .inc();
        let modules = i64::try_from(self.registry.loaded()).unwrap_or(i64::MAX);
        self.metrics.policy_modules.set(modules);
        let policy = loaded.map_err(|error| Problem {
            reason: reason::LOAD_FAILED,
            message: format!("{}: {error}", error.reason()),
        })?;
        match policy.validate_settings(&settings).await {
            Ok(()) => {
                self.keep::<D>(policy.digest(), module).await;
                Ok(Choice {
                    policy,
                    settings,
                    source,
                })
            }
            Err(fault) => Err(Problem {
                reason: reason_of_fault(fault.reason()),
                message: fault.to_string(),
            }),
        }
    }
}

/// Settings as a policy gets them.
pub fn text(settings: &Map<String, Value>) -> kube::Result<String> {
    if settings.is_empty() {
        return Ok(String::new());
    }
    serde_json::to_string(settings).map_err(kube::Error::SerdeError)
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
    Err(Problem {
        reason: reason::KEY_MISSING,
        message,
    })
}
