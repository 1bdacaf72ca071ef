use std::collections::BTreeMap;
use std::fmt::Debug;

use anyhow::{Result, ensure};
use hera_api::RedisInstance;
use hera_api::meta::LABEL_INSTANCE;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, ListParams};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

/// The object and everything that belongs to it, by uid and resourceVersion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Children(BTreeMap<String, (String, String)>);

impl Children {
    pub(crate) async fn of(client: &Client, namespace: &str, name: &str) -> Result<Self> {
        let mut found = BTreeMap::new();
        let api: Api<RedisInstance> = Api::namespaced(client.clone(), namespace);
        let object = api.get_metadata(name).await?;
        found.insert(
            format!("RedisInstance {name}"),
            (
                object.uid().unwrap_or_default(),
                object.resource_version().unwrap_or_default(),
            ),
        );
        let mut look = Look {
            client,
            namespace,
            name,
            found: &mut found,
        };
        look.at::<StatefulSet>().await?;
        look.at::<Pod>().await?;
        look.at::<PersistentVolumeClaim>().await?;
        look.at::<Service>().await?;
        look.at::<EndpointSlice>().await?;
        look.at::<NetworkPolicy>().await?;
        look.at::<ConfigMap>().await?;
        look.at::<Secret>().await?;
        for kind in [
            "StatefulSet",
            "Pod",
            "ConfigMap",
            "Secret",
            "Service",
            "EndpointSlice",
            "NetworkPolicy",
        ] {
            ensure!(
                found.keys().any(|key| key.starts_with(kind)),
                "{name} has no {kind}"
            );
        }
        Ok(Self(found))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is nothing, not even the object.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// # Errors
    /// When anything was made, changed or removed in between.
    pub fn ensure_untouched(&self, now: &Self) -> Result<()> {
        ensure!(self == now, "changed: {}", self.differences(now).join("; "));
        Ok(())
    }

    /// # Errors
    /// When a pod or a claim is not the one that it was.
    pub fn ensure_same_pods_and_claims(&self, now: &Self) -> Result<()> {
        for (name, (uid, _)) in &self.0 {
            if name.starts_with("Pod") || name.starts_with("PersistentVolumeClaim") {
                let found = now.0.get(name).map(|(uid, _)| uid.as_str());
                ensure!(found == Some(uid), "{name} was {uid} and is {found:?}");
            }
        }
        Ok(())
    }

    fn differences(&self, now: &Self) -> Vec<String> {
        let names: std::collections::BTreeSet<_> = self.0.keys().chain(now.0.keys()).collect();
        let changed = names
            .into_iter()
            .filter(|name| self.0.get(*name) != now.0.get(*name));
        changed
            .map(|name| format!("{name}: {:?} -> {:?}", self.0.get(name), now.0.get(name)))
            .collect()
    }
}

struct Look<'a> {
    client: &'a Client,
    namespace: &'a str,
    name: &'a str,
    found: &'a mut BTreeMap<String, (String, String)>,
}

impl Look<'_> {
    async fn at<K>(&mut self) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        let ours = ListParams::default().labels(&format!("{LABEL_INSTANCE}={}", self.name));
        for object in api.list_metadata(&ours).await? {
            let key = format!("{} {}", K::kind(&()), object.name_any());
            let version = object.resource_version().unwrap_or_default();
            self.found
                .insert(key, (object.uid().unwrap_or_default(), version));
        }
        Ok(())
    }
}
