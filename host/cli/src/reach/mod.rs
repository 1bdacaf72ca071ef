//! Which pod is meant, and a stream to its server: a port forwarded by the API server. A Service
//! without a selector, as those here, `kubectl port-forward` cannot reach.

mod pick;

use std::time::Duration;

use anyhow::{Context as _, bail};
use hera_core::agent::REDIS_PORT;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::Api;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use crate::args::{Cluster, Place};
use crate::cluster;
use crate::named::{NotFound, Object, Target};
use pick::Candidates;
pub use pick::{Announced, Whom, is_ready};

/// Why a port leads nowhere is told after the stream ended.
const LAST_WORD: Duration = Duration::from_secs(1);

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

/// Opens streams to where servers lead.
pub trait Follows: Opens {
    /// A new stream to the pod of this address.
    fn open_at(
        &self,
        at: &Announced,
    ) -> impl Future<Output = anyhow::Result<Opened<Self::Stream>>> + Send;
}

/// Reaches the servers of an object through the API server.
#[derive(Clone)]
pub struct Reach {
    client: Client,
    namespace: String,
    target: Target,
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
            target: place.target.clone(),
            whom: place.whom(),
        })
    }

    /// Whom it reaches.
    pub fn whom(&self) -> &Whom {
        &self.whom
    }

    /// The object.
    ///
    /// # Errors
    /// When the cluster cannot be asked, or there is none.
    pub async fn object(&self) -> Result<Object, NotFound> {
        self.target.find(&self.client, &self.namespace).await
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
        let pods = match (&object, &self.whom) {
            // Its status says which.
            (Object::Instance(_), Whom::Primary) => Vec::new(),
            _ => object.children(&self.client).await?,
        };
        let target = self.target.to_string();
        let candidates = Candidates {
            target: &target,
            object: &object,
            pods: &pods,
        };
        Ok(candidates.pick(&self.whom)?)
    }

    async fn forward(&self, pod: String) -> anyhow::Result<Opened<DuplexStream>> {
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

impl Opens for Reach {
    type Stream = DuplexStream;

    async fn open(&self) -> anyhow::Result<Opened<DuplexStream>> {
        self.forward(self.pod().await?).await
    }
}

impl Follows for Reach {
    async fn open_at(&self, at: &Announced) -> anyhow::Result<Opened<DuplexStream>> {
        let object = self.object().await?;
        let pods = object.children(&self.client).await?;
        let target = self.target.to_string();
        let candidates = Candidates {
            target: &target,
            object: &object,
            pods: &pods,
        };
        self.forward(candidates.at(at)?).await
    }
}
