//! Modules that decide somewhere, kept in ConfigMaps of the operator's own: what was good stays
//! good through a restart, whatever becomes of the ConfigMap that it came from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};

use hera_api::meta::{LABEL_KEPT_POLICY, LABEL_MANAGED_BY, MANAGED_BY};
use hera_api::{PolicyOrigin, RedisInstance};
use hera_policy::{Decision, Policy};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, ObjectMeta, PostParams,
};
use serde_json::Value;
use tracing::{debug, info, warn};

use super::source::{Found, KEY, Module};
use super::{Common, Problem};
use crate::object::ObjectKey;

/// Named after the digest, so that a module is kept once.
pub fn name_of(decision: &str, digest: &str) -> String {
    let hex = digest.trim_start_matches("sha256:");
    format!("hera-policy-{decision}-{}", hex.get(..40).unwrap_or(hex))
}

impl Common {
    /// Keeps the module of a policy that gave a good answer, once.
    pub async fn keep<D: Decision>(&self, policy: &Policy<D>) {
        let name = name_of(D::NAME, policy.digest());
        if self.lock_kept().contains(&name) {
            return;
        }
        let labels = [(LABEL_KEPT_POLICY, D::NAME), (LABEL_MANAGED_BY, MANAGED_BY)];
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
                ..ObjectMeta::default()
            },
            immutable: Some(true),
            binary_data: Some(BTreeMap::from([(
                KEY.to_owned(),
                ByteString(policy.module().to_vec()),
            )])),
            data: None,
        };
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        match api.create(&PostParams::default(), &map).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => {
                warn!(name, %error, "a module cannot be kept: it is tried again when it is loaded");
                return;
            }
        }
        self.lock_kept().insert(name);
        // It takes the place of another, as a rule.
        self.changed.notify_one();
    }

    /// Modules that were kept and not looked at since.
    pub fn kept_since_sweep(&self) -> usize {
        self.lock_kept().len()
    }

    fn lock_kept(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads a module that was kept.
    ///
    /// # Errors
    /// Inner: it is not there, or does not take these settings.
    pub async fn restore<D: Decision>(
        &self,
        instance: &ObjectKey,
        digest: &str,
        settings: String,
        source: PolicyOrigin,
    ) -> kube::Result<Found<D>> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let kept = api.get_opt(&name_of(D::NAME, digest)).await?;
        let module = kept.and_then(|map| map.binary_data?.remove(KEY));
        let Some(module) = module.filter(|module| hera_core::digest::of(&module.0) == digest)
        else {
            return Ok(Err(Problem::lasting(
                hera_api::conditions::policy_healthy::CONFIG_MAP_MISSING,
                format!("the module {digest} was not kept"),
            )));
        };
        let module = Module {
            owner: &self.namespace,
            bytes: module.0,
        };
        Ok(self.load(instance, module, settings, source).await)
    }
}

impl Common {
    /// Deletes kept modules that no object's status names any more, and that decide nowhere (`used`:
    /// names as [`name_of`] makes them).
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn sweep(&self, used: &BTreeSet<String>) -> kube::Result<()> {
        let client = &self.client;
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &self.namespace);
        let kept = maps
            .list_metadata(&ListParams::default().labels(LABEL_KEPT_POLICY))
            .await?;
        self.lock_kept().clear();
        if kept.items.is_empty() {
            return Ok(());
        }
        let named = self.named_in_statuses().await?;
        for map in kept.items {
            let name = map.name_any();
            if named.contains(&name) || used.contains(&name) {
                continue;
            }
            match maps.delete(&name, &DeleteParams::default()).await {
                Ok(_) => info!(name, "a module that nobody uses any more is dropped"),
                Err(error) => debug!(name, %error, "a kept module stays for now"),
            }
        }
        Ok(())
    }

    /// Read without their types: an object that cannot be decoded may use a module all the same.
    async fn named_in_statuses(&self) -> kube::Result<BTreeSet<String>> {
        let kind = ApiResource::erase::<RedisInstance>(&());
        let mut named = BTreeSet::new();
        for scope in crate::watches::scopes(&self.namespaces) {
            let api: Api<DynamicObject> = match &scope {
                Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind),
                None => Api::all_with(self.client.clone(), &kind),
            };
            for object in api.list(&ListParams::default()).await? {
                let policies = object.data.pointer("/status/policies");
                let policies = policies.and_then(Value::as_array);
                named.extend(policies.into_iter().flatten().filter_map(|policy| {
                    let text = |field: &str| policy.get(field).and_then(Value::as_str);
                    Some(name_of(text("decision")?, text("digest")?))
                }));
            }
        }
        Ok(named)
    }
}
