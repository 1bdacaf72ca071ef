use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{progressing, ready};
use hera_api::{RedisCluster, RedisClusterStatus, ShardStatus};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::keyspace::slot_of;
use crate::{Lane, Login, Space, insider, wait_for};

/// Long enough on a busy machine; what is expected takes a few seconds.
const LIMIT: Duration = Duration::from_secs(120);
/// What `redis-cli --cluster check` looks at, where a cluster of this version is whole.
const SLOTS: usize = 16_384;

/// A `RedisCluster` in a scenario's namespace.
pub struct Cluster<'a> {
    space: &'a Space<'a>,
    name: String,
}

impl<'a> Cluster<'a> {
    /// One of this name, made or not.
    pub fn new(space: &'a Space<'_>, name: &str) -> Self {
        Self {
            space,
            name: name.to_owned(),
        }
    }

    /// Applies a small one with these fields, and waits until it is Ready.
    ///
    /// # Errors
    /// When it does not become Ready.
    pub async fn ready(space: &'a Space<'_>, name: &str, spec: Value) -> Result<Self> {
        space.apply(&Self::manifest(name, spec)).await?;
        let cluster = Self::new(space, name);
        cluster.wait_settled().await?;
        Ok(cluster)
    }

    /// A manifest of a small one; `spec` overrides the fields that it names.
    pub fn manifest(name: &str, spec: Value) -> String {
        let mut all = json!({
            "version": "7.2",
            "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
        });
        if let (Some(all), Value::Object(spec)) = (all.as_object_mut(), spec) {
            all.extend(spec);
        }
        json!({
            "apiVersion": "cache.hera.io/v1alpha1",
            "kind": "RedisCluster",
            "metadata": {"name": name},
            "spec": all,
        })
        .to_string()
    }

    /// The scenario's namespace.
    pub fn space(&self) -> &'a Space<'a> {
        self.space
    }

    fn api(&self) -> Api<RedisCluster> {
        self.space.api()
    }

    /// Its status.
    ///
    /// # Errors
    /// When it has none yet.
    pub async fn status(&self) -> Result<RedisClusterStatus> {
        let object = self.api().get(&self.name).await?;
        object.status.context("no status yet")
    }

    /// Waits until it is Ready for the spec as it stands now, with nothing under way.
    ///
    /// # Errors
    /// After a while.
    pub async fn wait_settled(&self) -> Result<()> {
        self.wait_settled_within(LIMIT).await
    }

    /// The same for what takes long.
    ///
    /// # Errors
    /// After so long.
    pub async fn wait_settled_within(&self, bound: Duration) -> Result<()> {
        let what = format!("{} is Ready and settled", self.name);
        wait_for(&what, bound, async || {
            let object = self.api().get(&self.name).await?;
            let status = object.status.context("no status yet")?;
            let seen = status.observed_generation;
            ensure!(
                seen == object.metadata.generation,
                "generation {seen:?} is observed"
            );
            for (type_, wanted) in [(ready::TYPE, "True"), (progressing::TYPE, "False")] {
                let found = status.conditions.iter().find(|c| c.type_ == type_);
                let found = found.with_context(|| format!("no condition {type_} yet"))?;
                let (status, reason, message) = (&found.status, &found.reason, &found.message);
                ensure!(status == wanted, "{type_}={status} {reason}: {message}");
            }
            Ok(())
        })
        .await
    }

    /// A shard, as the status has it.
    ///
    /// # Errors
    /// When it has none of this number.
    pub async fn shard(&self, id: usize) -> Result<ShardStatus> {
        let shards = self.status().await?.shards;
        shards.into_iter().nth(id).context("no such shard yet")
    }

    /// The pod that serves a shard.
    ///
    /// # Errors
    /// When there is none.
    pub async fn primary(&self, shard: usize) -> Result<Pod> {
        let name = self.shard(shard).await?.primary.context("no primary")?;
        Ok(self.space.api::<Pod>().get(&name).await?)
    }

    /// Waits until another pod than this one serves a shard.
    ///
    /// # Errors
    /// After a while.
    pub async fn wait_other_primary(&self, shard: usize, old: &str) -> Result<String> {
        wait_for("another primary", LIMIT, async || {
            let primary = self.shard(shard).await?.primary.context("none")?;
            ensure!(primary != old, "it is still {old}");
            Ok(primary)
        })
        .await
    }

    /// Its pods.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let labels = format!(
            "app.kubernetes.io/name=redis-cluster,app.kubernetes.io/instance={}",
            self.name
        );
        let params = ListParams::default().labels(&labels);
        Ok(self.space.api::<Pod>().list(&params).await?.items)
    }

    /// Deletes all of its pods at once.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn delete_all_pods(&self) -> Result<()> {
        let pods = self.pods().await?;
        let api = self.space.api::<Pod>();
        let how = DeleteParams::default();
        for pod in &pods {
            api.delete(&pod.name_any(), &how).await?;
        }
        let known: Vec<_> = pods.iter().filter_map(kube::ResourceExt::uid).collect();
        wait_for("the pods are gone", LIMIT, async || {
            let left = self.pods().await?;
            let left = left.iter().filter_map(kube::ResourceExt::uid);
            let left = left.filter(|uid| known.contains(uid)).count();
            ensure!(left == 0, "{left} are there");
            Ok(())
        })
        .await
    }

    /// Deletes it, and waits until it and its pods are gone.
    ///
    /// # Errors
    /// After a while.
    pub async fn delete(&self) -> Result<()> {
        let how = DeleteParams::default();
        self.api().delete(&self.name, &how).await?;
        wait_for("the cluster is gone", LIMIT, async || {
            let left = self.pods().await?.len();
            ensure!(left == 0, "{left} pods are there");
            ensure!(
                self.api().get_opt(&self.name).await?.is_none(),
                "the object is there"
            );
            Ok(())
        })
        .await
    }

    /// `kubectl scale`: so many shards.
    ///
    /// # Errors
    /// With what kubectl said.
    pub async fn scale(&self, masters: u32) -> Result<String> {
        let object = format!("rediscluster/{}", self.name);
        let masters = format!("--replicas={masters}");
        let words = ["-n", self.space.namespace(), "scale", &object, &masters];
        self.space.bed().kubectl(&words).await
    }

    /// Changes the spec by a merge patch.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn patch_spec(&self, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let how = PatchParams::default();
        self.api().patch(&self.name, &how, &patch).await?;
        Ok(())
    }

    /// An annotation.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn annotation(&self, name: &str) -> Result<Option<String>> {
        let object = self.api().get(&self.name).await?;
        Ok(object.annotations().get(name).cloned())
    }

    /// Writes an annotation, or takes it away.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn annotate(&self, name: &str, value: Option<&str>) -> Result<()> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {name: value}}}));
        let how = PatchParams::default();
        self.api().patch(&self.name, &how, &patch).await?;
        Ok(())
    }

    /// The application user's login through the Service, from the generated Secret.
    ///
    /// # Errors
    /// When there is no Secret or Service yet.
    pub async fn app(&self) -> Result<Login> {
        let secret = format!("{}-app", self.name);
        let (user, password) = tokio::try_join!(
            self.space.secret(&secret, "username"),
            self.space.secret(&secret, "password"),
        )?;
        let service: Service = self.space.api().get(&self.name).await?;
        let ip = service.spec.and_then(|spec| spec.cluster_ip);
        Ok(Login::new(&ip.context("no address")?, &user, &password))
    }

    /// Clients that write all along, one for each shard.
    ///
    /// # Errors
    /// When the cluster cannot be asked for slots.
    pub async fn lanes(&self) -> Result<Vec<Lane>> {
        let app = self.app().await?;
        let shards = self.status().await?.shards;
        let mut tags: Vec<Option<String>> = vec![None; shards.len()];
        for number in 0..1_000 {
            let tag = format!("t{number}");
            let slot = slot_of(&tag);
            let of = shards.iter().position(|shard| holds(&shard.slots, slot));
            if let Some(free) = of.and_then(|at| tags.get_mut(at)) {
                free.get_or_insert(tag);
            }
            if tags.iter().all(Option::is_some) {
                break;
            }
        }
        let named = tags.into_iter().flatten();
        Ok(named.map(|tag| Lane::start(&tag, app.clone())).collect())
    }

    /// Every server agrees on all slots, as `redis-cli --cluster check` would have it.
    ///
    /// # Errors
    /// What one of them says otherwise.
    pub async fn check(&self) -> Result<()> {
        let mut pods = self.pods().await?;
        // One of a shard that left may be there for a moment longer than its server.
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        let mut seen: Option<Vec<String>> = None;
        for pod in &pods {
            let login = insider::login(self.space.bed(), pod)?;
            let text: String = login.ask(&["CLUSTER", "NODES"]).await?;
            let name = pod.name_any();
            ensure!(
                text.lines().count() == pods.len(),
                "{name} knows others than the pods: {text}"
            );
            let mut owners: Vec<String> = text.lines().filter_map(owner).collect();
            owners.sort();
            let slots: usize = text.lines().map(slots).sum();
            ensure!(slots == SLOTS, "{name} knows who has {slots} slots: {text}");
            let failed = |line: &str| {
                line.split_whitespace()
                    .nth(2)
                    .is_some_and(|f| f.contains("fail"))
            };
            ensure!(!text.lines().any(failed), "{name} misses one: {text}");
            ensure!(!text.contains("-<-") && !text.contains("->-"), "{text}");
            let agreed = seen.get_or_insert_with(|| owners.clone());
            ensure!(*agreed == owners, "{name} does not agree: {text}");
        }
        Ok(())
    }
}

/// Id and slots of an owner, of a line of `CLUSTER NODES`.
fn owner(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let slots = words.get(8..).filter(|slots| !slots.is_empty())?;
    Some(format!("{} {}", words.first()?, slots.join(" ")))
}

fn slots(line: &str) -> usize {
    let ranges = line.split_whitespace().skip(8);
    let length = |range: &str| -> usize {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) => last - first + 1,
            _ => 0,
        }
    };
    ranges.map(length).sum()
}

/// True if `0-5460 8000` has a slot.
pub fn holds(ranges: &str, slot: u16) -> bool {
    ranges.split_whitespace().any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let within = (first.parse::<u16>(), last.parse::<u16>());
        matches!(within, (Ok(first), Ok(last)) if (first..=last).contains(&slot))
    })
}
