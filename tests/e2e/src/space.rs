use std::fmt::{Debug, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use hera_api::{RedisCluster, RedisInstance};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Pod, Secret, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{Bed, Instance, Module, Phase, not_yet, proxy, wait_for};

/// How long what a scenario leaves may take to go.
const LEFT: Duration = Duration::from_secs(120);
/// Of namespaces of scenarios.
const PREFIX: &str = "e2e-";

/// A namespace of a scenario's own, with restricted Pod Security enforced.
pub struct Space<'b> {
    bed: &'b Bed,
    namespace: String,
    phase: Phase,
}

impl<'b> Space<'b> {
    /// Makes one.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn create(bed: &'b Bed, scenario: &str, phase: Phase) -> Result<Self> {
        let short: String = scenario
            .chars()
            .take(40)
            .map(|c| if c == '_' { '-' } else { c })
            .collect();
        let suffix = rand::random::<u16>();
        let namespace = format!("{PREFIX}{}-{suffix:04x}", short.trim_end_matches('-'));
        let object: Namespace = serde_json::from_value(json!({
            "metadata": {"name": namespace, "labels": {
                "pod-security.kubernetes.io/enforce": "restricted",
            }},
        }))?;
        Api::all(bed.client.clone())
            .create(&PostParams::default(), &object)
            .await?;
        Ok(Self {
            bed,
            namespace,
            phase,
        })
    }

    /// Makes another beside it.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn beside(&self, name: &str) -> Result<Self> {
        Self::create(self.bed, name, self.phase).await
    }

    /// The testbed.
    pub fn bed(&self) -> &'b Bed {
        self.bed
    }

    /// The namespace's name.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Waits until what earlier scenarios left is gone: it keeps kube-proxy and the operator busy,
    /// which a measurement would show. Empty namespaces stay longer, and keep nobody busy.
    ///
    /// # Errors
    /// When it stays.
    pub async fn wait_alone(&self) -> Result<()> {
        self.wait_for_no_other::<RedisInstance>().await?;
        self.wait_for_no_other::<RedisCluster>().await?;
        self.wait_for_no_other::<Pod>().await?;
        self.wait_for_no_other::<Service>().await
    }

    /// Waits until kube-proxy is calm, where nothing else keeps it busy.
    ///
    /// # Errors
    /// When it stays busy.
    pub(crate) async fn wait_proxy(&self) -> Result<()> {
        match self.phase {
            Phase::Alone => proxy::wait_calm().await,
            Phase::Together | Phase::Few => Ok(()),
        }
    }

    async fn wait_for_no_other<K>(&self) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.bed.client.clone());
        wait_for("what was there before is gone", LEFT, async || {
            let all = api.list_metadata(&ListParams::default()).await?;
            let earlier =
                |namespace: &String| namespace.starts_with(PREFIX) && *namespace != self.namespace;
            let left: Vec<_> = all
                .iter()
                .filter(|one| one.namespace().as_ref().is_some_and(earlier))
                .map(|one| one.name_any())
                .collect();
            ensure!(left.is_empty(), "there are {left:?}");
            Ok(())
        })
        .await
    }

    /// Objects of a kind in it.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.bed.client.clone(), &self.namespace)
    }

    /// `kubectl apply -f -` in it.
    ///
    /// # Errors
    /// With what kubectl said.
    pub async fn apply(&self, manifest: &str) -> Result<String> {
        self.bed.apply(&self.namespace, manifest).await
    }

    /// Applies what must be refused; gives what the user reads then.
    ///
    /// # Errors
    /// When it is taken.
    pub async fn apply_refused(&self, manifest: &str) -> Result<String> {
        match self.apply(manifest).await {
            Ok(said) => bail!("it should be refused, and kubectl says: {said}"),
            Err(refused) => Ok(refused.to_string()),
        }
    }

    /// An instance in it, made or not.
    pub fn instance(&self, name: &str) -> Instance<'_> {
        Instance::new(self, name)
    }

    /// Applies a small instance with these fields.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn make(&self, name: &str, spec: serde_json::Value) -> Result<Instance<'_>> {
        self.apply(&crate::manifest(name, spec)).await?;
        Ok(self.instance(name))
    }

    /// [`Self::make`], and waits until it is Ready.
    ///
    /// # Errors
    /// When it does not become Ready.
    pub async fn ready(&self, name: &str, spec: serde_json::Value) -> Result<Instance<'_>> {
        let instance = self.make(name, spec).await?;
        instance.wait_settled().await?;
        Ok(instance)
    }

    /// Makes or changes a Secret.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn put_secret(&self, name: &str, data: &[(&str, &str)]) -> Result<()> {
        let bytes = |value: &str| k8s_openapi::ByteString(value.as_bytes().to_vec());
        let data: std::collections::BTreeMap<_, _> = data
            .iter()
            .map(|(key, value)| (*key, bytes(value)))
            .collect();
        let secret: Secret = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data,
        }))?;
        self.put(name, &secret).await
    }

    /// Makes or changes the ConfigMap with a policy, as `kubectl create configmap --from-file`
    /// does.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn put_policy(&self, name: &str, module: &Module) -> Result<()> {
        let bytes = k8s_openapi::ByteString(module.bytes.clone());
        let map: ConfigMap = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "binaryData": {"policy.wasm": bytes},
        }))?;
        self.put(name, &map).await
    }

    async fn put<K>(&self, name: &str, object: &K) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + serde::Serialize,
    {
        let as_user = PatchParams::apply("e2e").force();
        self.api::<K>()
            .patch(name, &as_user, &Patch::Apply(object))
            .await?;
        Ok(())
    }

    /// A key of a Secret.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn secret(&self, name: &str, key: &str) -> Result<String> {
        let secret: Secret = self
            .api()
            .get(name)
            .await
            .with_context(|| format!("Secret {name}"))?;
        let data = secret.data.unwrap_or_default();
        let value = data
            .get(key)
            .with_context(|| format!("no {key} in Secret {name}"))?;
        Ok(String::from_utf8(value.0.clone())?)
    }

    /// Waits for an Event about an object with this reason; gives what it says.
    ///
    /// # Errors
    /// After a while, with the Events that there are.
    pub async fn wait_event(&self, about: &str, reason: &str) -> Result<String> {
        wait_for(
            &format!("an Event {reason} about {about}"),
            Duration::from_secs(15),
            async || {
                let events = self
                    .api::<Event>()
                    .list(&ListParams::default())
                    .await?
                    .items;
                let about_it = events
                    .iter()
                    .filter(|e| e.involved_object.name.as_deref() == Some(about));
                let mut others = Vec::new();
                for event in about_it {
                    if event.reason.as_deref() == Some(reason) {
                        return Ok(event.message.clone().unwrap_or_default());
                    }
                    others.extend(event.reason.clone());
                }
                not_yet(format!("there are {others:?}"))
            },
        )
        .await
    }

    /// How often there was an Event about an object with this reason.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn count_events(&self, about: &str, reason: &str) -> Result<i32> {
        let all = ListParams::default();
        let events = self.api::<Event>().list(&all).await?.items;
        let these = events.iter().filter(|event| {
            event.involved_object.name.as_deref() == Some(about)
                && event.reason.as_deref() == Some(reason)
        });
        Ok(these.map(|event| event.count.unwrap_or(1)).sum())
    }

    /// Deletes its instances and then itself, without waiting. The Services of a namespace that is
    /// deleted as it stands outlive its pods by half of their grace period, which who waits to be alone
    /// would wait for.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn clear(&self) -> Result<()> {
        let instances = self.api::<RedisInstance>();
        let (all, how) = (ListParams::default(), DeleteParams::default());
        instances.delete_collection(&how, &all).await?;
        let clusters = self.api::<RedisCluster>();
        clusters.delete_collection(&how, &all).await?;
        self.delete().await
    }

    async fn delete(&self) -> Result<()> {
        let api: Api<Namespace> = Api::all(self.bed.client.clone());
        api.delete(&self.namespace, &DeleteParams::default())
            .await?;
        Ok(())
    }

    /// Deletes it as it stands, and waits until nothing of it is left.
    ///
    /// # Errors
    /// After a while.
    pub async fn delete_and_wait(&self, bound: Duration) -> Result<()> {
        self.delete().await?;
        wait_for("the namespace is gone", bound, async || {
            let api: Api<Namespace> = Api::all(self.bed.client.clone());
            let left = api.get_opt(&self.namespace).await?;
            let status = left.as_ref().and_then(|ns| ns.status.as_ref());
            ensure!(
                left.is_none(),
                "{:?}",
                status.and_then(|s| s.conditions.as_ref())
            );
            Ok(())
        })
        .await
    }

    /// What a person would look at to see why a scenario failed.
    pub async fn diagnose(&self) -> String {
        let ns = self.namespace.as_str();
        let mut text = String::new();
        let looks: [&[&str]; 5] = [
            &[
                "-n",
                ns,
                "get",
                "ri,rdc",
                "-o",
                "custom-columns=NAME:.metadata.name,GEN:.metadata.generation,STATUS:.status",
            ],
            &[
                "-n",
                ns,
                "get",
                "rdb,rdbs",
                "-o",
                "custom-columns=NAME:.metadata.name,STATUS:.status",
            ],
            &[
                "-n",
                ns,
                "get",
                "statefulsets,pods,pvc,services,endpointslices",
                "-o",
                "wide",
            ],
            &["-n", ns, "get", "events", "--sort-by=.lastTimestamp"],
            &["-n", "hera-system", "get", "pods", "-o", "wide"],
        ];
        for words in looks {
            let said = self
                .bed
                .kubectl(words)
                .await
                .unwrap_or_else(|error| error.to_string());
            let _ = writeln!(text, "$ kubectl {}\n{}", words.join(" "), said.trim_end());
        }
        for pod in self
            .api::<k8s_openapi::api::core::v1::Pod>()
            .list(&ListParams::default())
            .await
            .into_iter()
            .flatten()
        {
            let name = pod.name_any();
            let words = ["-n", ns, "logs", &name, "--all-containers", "--tail=40"];
            let said = self
                .bed
                .kubectl(&words)
                .await
                .unwrap_or_else(|error| error.to_string());
            let _ = writeln!(text, "$ kubectl {}\n{}", words.join(" "), said.trim_end());
        }
        let log = self.bed.operator().log_about(ns).await;
        let _ = writeln!(text, "operator's log about {ns}:\n{log}");
        text
    }
}
