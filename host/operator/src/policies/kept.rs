//! Modules that decide somewhere, kept in ConfigMaps of the operator's own: what was good stays
//! good through a restart, whatever becomes of the ConfigMap that it came from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use hera_api::RedisInstance;
use hera_api::meta::{LABEL_KEPT_POLICY, LABEL_MANAGED_BY, MANAGED_BY};
use hera_policy::Decision;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams};
use tracing::{debug, info, warn};

use super::source::{Found, KEY, Module};
use super::{Common, Problem};
use crate::shared::InstanceRef;

/// A kept module that no status names yet may be named in a moment.
const YOUNG: Duration = Duration::from_secs(300);

/// Named after the digest, so that a module is kept once.
fn name_of(decision: &str, digest: &str) -> String {
    let hex = digest.trim_start_matches("sha256:");
    format!("hera-policy-{decision}-{}", hex.get(..40).unwrap_or(hex))
}

impl Common {
    /// Keeps a module, once.
    pub async fn keep<D: Decision>(&self, digest: &str, module: Vec<u8>) {
        let name = name_of(D::NAME, digest);
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
            binary_data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(module))])),
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

    fn lock_kept(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads a module that was kept.
    ///
    /// # Errors
    /// Inner: it is not there, or does not take these settings.
    pub async fn restore<D: Decision>(
        &self,
        instance: &InstanceRef,
        digest: &str,
        settings: String,
        source: String,
    ) -> kube::Result<Found<D>> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let kept = api.get_opt(&name_of(D::NAME, digest)).await?;
        let module = kept.and_then(|map| map.binary_data?.remove(KEY));
        let Some(module) = module.filter(|module| hera_core::digest::of(&module.0) == digest)
        else {
            return Ok(Err(Problem {
                reason: hera_api::conditions::policy_healthy::CONFIG_MAP_MISSING,
                message: format!("the module {digest} was not kept"),
            }));
        };
        let module = Module {
            owner: &self.namespace,
            bytes: module.0,
        };
        Ok(self.load(instance, module, settings, source).await)
    }
}

impl Common {
    /// Deletes kept modules that no object's status names any more.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn sweep(&self) -> kube::Result<()> {
        let client = &self.client;
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &self.namespace);
        let kept = maps
            .list_metadata(&ListParams::default().labels(LABEL_KEPT_POLICY))
            .await?;
        if kept.items.is_empty() {
            return Ok(());
        }
        let objects: Api<RedisInstance> = Api::all(client.clone());
        let used: BTreeSet<String> = objects
            .list(&ListParams::default())
            .await?
            .into_iter()
            .filter_map(|object| object.status)
            .flat_map(|status| status.policies)
            .filter_map(|policy| Some(name_of(&policy.decision, &policy.digest?)))
            .collect();
        for map in kept.items {
            let age = map
                .creation_timestamp()
                .map(|time| Timestamp::now().duration_since(time.0));
            let young = age.is_none_or(|age| age.as_secs() < YOUNG.as_secs().cast_signed());
            let name = map.name_any();
            if young || used.contains(&name) {
                continue;
            }
            match maps.delete(&name, &DeleteParams::default()).await {
                Ok(_) => {
                    self.lock_kept().remove(&name);
                    info!(name, "a module that nobody uses any more is dropped");
                }
                Err(error) => debug!(name, %error, "a kept module stays for now"),
            }
        }
        Ok(())
    }
}
