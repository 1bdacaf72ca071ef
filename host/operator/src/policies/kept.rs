//! Modules that decide somewhere, kept in ConfigMaps of the operator's own: what was good stays
//! good through a restart, whatever becomes of the ConfigMap that it came from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};

use hera_api::meta::{LABEL_KEPT_POLICY, LABEL_MANAGED_BY, MANAGED_BY};
use hera_api::{PolicyOrigin, RedisCluster, RedisInstance};
use hera_policy::{Decision, Policy};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, ObjectList, ObjectMeta, PostParams, Request};
use kube::{Resource, ResourceExt as _};
use serde::Deserialize;
use tracing::{debug, info, warn};

use super::source::{Found, KEY, Module};
use super::{Common, Problem};
use crate::controllers::driver::PAGE;
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

    async fn named_in_statuses(&self) -> kube::Result<BTreeSet<String>> {
        let mut named = BTreeSet::new();
        for scope in crate::watches::scopes(&self.namespaces) {
            let scope = scope.as_deref();
            self.named_in::<RedisInstance>(scope, &mut named).await?;
            self.named_in::<RedisCluster>(scope, &mut named).await?;
        }
        Ok(named)
    }

    async fn named_in<K: Resource<DynamicType = ()>>(
        &self,
        namespace: Option<&str>,
        named: &mut BTreeSet<String>,
    ) -> kube::Result<()> {
        let objects = Request::new(K::url_path(&(), namespace));
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let asked = objects.list(&page).map_err(kube::Error::BuildRequest)?;
            let found: ObjectList<Named> = match self.client.request(asked).await {
                // The definition of a kind may come later.
                Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
                found => found?,
            };
            let statuses = found.items.into_iter().filter_map(|object| object.status);
            let policies = statuses.flat_map(|status| status.policies);
            let names = |policy: NamedPolicy| Some(name_of(&policy.decision?, &policy.digest?));
            named.extend(policies.filter_map(names));
            match found.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(()),
            }
        }
    }
}

/// An object as far as it names modules: all else is skipped, so that one that cannot be decoded counts as
/// well, and none takes much memory.
#[derive(Clone, Deserialize)]
struct Named {
    status: Option<NamedStatus>,
}

#[derive(Clone, Deserialize)]
struct NamedStatus {
    #[serde(default)]
    policies: Vec<NamedPolicy>,
}

#[derive(Clone, Deserialize)]
struct NamedPolicy {
    decision: Option<String>,
    digest: Option<String>,
}
