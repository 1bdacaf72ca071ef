//! Which pod is meant, and a stream to its server: a port forwarded by the API server. A Service
//! without a selector, as those here, `kubectl port-forward` cannot reach.

use std::time::Duration;

use anyhow::{Context as _, bail};
use hera_api::RedisInstance;
use hera_core::agent::REDIS_PORT;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use crate::args::{Cluster, Place};
use crate::cluster;

/// Why a port leads nowhere is told after the stream ended.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Which pod of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The one that serves writes.
    Primary,
    /// One that is in sync.
    Replica,
    /// This one.
    Pod(String),
}

/// Why there is no pod to reach.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum NoPod {
    /// Nothing serves writes.
    #[error("{0} has no primary now: kubectl hera status {0} says why")]
    NoPrimary(String),
    /// No replica serves.
    #[error("{0} has no replica in sync now: leave out --replica, or kubectl hera status {0}")]
    NoReplica(String),
    /// No such pod.
    #[error("{pod} is no pod of {name}; there are: {all}")]
    NotOfIt {
        /// The instance.
        name: String,
        /// What was asked for.
        pod: String,
        /// Its pods.
        all: String,
    },
}

/// A way to a server.
pub struct Opened<S> {
    /// The pod that it leads to.
    pub pod: String,
    /// What the server hears and says.
    pub stream: S,
    /// Why it ended, once it did.
    pub why: Why,
}

/// Tells, once, why a stream ended.
pub type Why = std::pin::Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// Opens streams to a server.
pub trait Opens: Send + Sync + 'static {
    /// What it opens.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// A new stream to the pod that is meant now.
    fn open(&self) -> impl Future<Output = anyhow::Result<Opened<Self::Stream>>> + Send;
}

/// Reaches the servers of an instance through the API server.
#[derive(Clone)]
pub struct Reach {
    client: Client,
    namespace: String,
    name: String,
    whom: Whom,
}

impl Reach {
    /// Connects to the cluster as kubectl would.
    ///
    /// # Errors
    /// When there is no usable kubeconfig.
    pub async fn new(place: &Place, wanted: &Cluster) -> anyhow::Result<Self> {
        let connected = cluster::connect(wanted).await?;
        Ok(Self {
            client: connected.client,
            namespace: connected.namespace,
            name: place.name.clone(),
            whom: place.whom(),
        })
    }

    /// Whom it reaches.
    pub fn whom(&self) -> &Whom {
        &self.whom
    }

    /// The instance.
    ///
    /// # Errors
    /// When the cluster cannot be asked, or there is none.
    pub async fn object(&self) -> anyhow::Result<RedisInstance> {
        let Self {
            name, namespace, ..
        } = self;
        let objects: Api<RedisInstance> = Api::namespaced(self.client.clone(), namespace);
        objects
            .get_opt(name)
            .await?
            .with_context(|| format!("there is no RedisInstance {name} in namespace {namespace}"))
    }

    /// Objects of the namespace, by their kind.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The pod that is meant now.
    ///
    /// # Errors
    /// When the cluster cannot be asked, or there is none.
    pub async fn pod(&self) -> anyhow::Result<String> {
        let object = self.object().await?;
        let status = object.status.as_ref();
        let primary = status.and_then(|status| status.primary.as_deref());
        // Others may use the labels of Kubernetes, too: only these are the instance's.
        let pods = match status.and_then(|status| status.selector.as_deref()) {
            Some(selector) if self.whom != Whom::Primary => {
                let ours = ListParams::default().labels(selector);
                self.api::<Pod>().list(&ours).await?.items
            }
            _ => Vec::new(),
        };
        Ok(pick(&self.name, &self.whom, primary, &pods)?)
    }
}

impl Opens for Reach {
    type Stream = DuplexStream;

    async fn open(&self) -> anyhow::Result<Opened<DuplexStream>> {
        let pod = self.pod().await?;
        let mut forwarded = self
            .api::<Pod>()
            .portforward(&pod, &[REDIS_PORT])
            .await
            .with_context(|| format!("forwarding a port of pod {pod}"))?;
        let (Some(stream), Some(why)) = (
            forwarded.take_stream(REDIS_PORT),
            forwarded.take_error(REDIS_PORT),
        ) else {
            bail!("the port of pod {pod} was not forwarded");
        };
        let why = async move { tokio::time::timeout(LAST_WORD, why).await.ok()? };
        Ok(Opened {
            pod,
            stream,
            why: Box::pin(why),
        })
    }
}

/// The pod that is meant.
fn pick(name: &str, whom: &Whom, primary: Option<&str>, pods: &[Pod]) -> Result<String, NoPod> {
    let mut names: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
    names.sort();
    match whom {
        Whom::Primary => primary
            .map(str::to_owned)
            .ok_or_else(|| NoPod::NoPrimary(name.to_owned())),
        Whom::Replica => {
            let serves = |pod: &&Pod| primary != Some(&pod.name_any()) && is_ready(pod);
            let serving = pods.iter().filter(serves).map(ResourceExt::name_any).min();
            serving.ok_or_else(|| NoPod::NoReplica(name.to_owned()))
        }
        Whom::Pod(pod) if names.contains(pod) => Ok(pod.clone()),
        Whom::Pod(pod) => Err(NoPod::NotOfIt {
            name: name.to_owned(),
            pod: pod.clone(),
            all: names.join(", "),
        }),
    }
}

/// A pod is ready while its server serves: as the primary, or as a replica in sync.
fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    conditions
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, ready: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    }

    #[test]
    fn the_pod_that_is_meant_is_found() {
        let pods = [
            pod("shop-2", "True"),
            pod("shop-1", "True"),
            pod("shop-0", "False"),
        ];
        let pick = |whom, primary| pick("shop", &whom, primary, &pods);
        assert_eq!(pick(Whom::Primary, Some("shop-2")).unwrap(), "shop-2");
        assert_eq!(pick(Whom::Replica, Some("shop-1")).unwrap(), "shop-2");
        assert_eq!(pick(Whom::Pod("shop-0".into()), None).unwrap(), "shop-0");
    }

    #[test]
    fn who_is_not_there_is_told_with_what_to_do() {
        let pods = [pod("shop-0", "True"), pod("shop-1", "False")];
        let words = |whom, primary| {
            let error = pick("shop", &whom, primary, &pods).unwrap_err();
            error.to_string()
        };
        assert!(words(Whom::Primary, None).contains("kubectl hera status shop"));
        assert!(words(Whom::Replica, Some("shop-0")).contains("no replica in sync"));
        let other = words(Whom::Pod("shop-7".into()), Some("shop-0"));
        assert!(other.contains("there are: shop-0, shop-1"), "{other}");
    }
}
