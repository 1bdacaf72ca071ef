//! An object, whichever kind it is.

use hera_api::{
    Approval, CommonSpec, Engine, HasCommonSpec, Kind, Phase, PolicyStatus, Received, RedisCluster,
    RedisInstance,
};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams};
use kube::core::error_boundary::InvalidObject;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;

/// What lies in namespaces.
pub trait Namespaced:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + std::fmt::Debug
    + DeserializeOwned
{
}

impl<K> Namespaced for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
{
}

/// An object with data pods, of either kind.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Object {
    /// One dataset on one primary.
    Instance(Box<RedisInstance>),
    /// One in shards.
    Cluster(Box<RedisCluster>),
}

/// What the status of both kinds has.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommonStatus<'a> {
    pub phase: Option<Phase>,
    pub conditions: &'a [Condition],
    pub approval: Option<&'a Approval>,
    pub engine: Option<Engine>,
    pub version: Option<&'a str>,
    pub policies: &'a [PolicyStatus],
    pub selector: Option<&'a str>,
}

impl CommonStatus<'_> {
    /// The condition of this type.
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        let mut all = self.conditions.iter();
        all.find(|condition| condition.type_ == type_)
    }

    /// True if the condition is there, and true.
    pub fn is_true(&self, type_: &str) -> bool {
        self.condition(type_)
            .is_some_and(|condition| condition.status == "True")
    }
}

impl Object {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Instance(_) => Kind::RedisInstance,
            Self::Cluster(_) => Kind::RedisCluster,
        }
    }

    /// Its metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Instance(object) => &object.metadata,
            Self::Cluster(object) => &object.metadata,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.metadata().namespace.as_deref().unwrap_or_default()
    }

    /// What the specs of both kinds have.
    pub fn common(&self) -> &CommonSpec {
        match self {
            Self::Instance(object) => &object.spec.common,
            Self::Cluster(object) => &object.spec.common,
        }
    }

    /// What the status of both kinds has; nothing before one was written.
    pub fn status(&self) -> CommonStatus<'_> {
        macro_rules! common {
            ($object:expr) => {
                $object.status.as_ref().map(|status| CommonStatus {
                    phase: status.phase,
                    conditions: &status.conditions,
                    approval: status.approval.as_ref(),
                    engine: status.engine,
                    version: status.version.as_deref(),
                    policies: &status.policies,
                    selector: status.selector.as_deref(),
                })
            };
        }
        let known = match self {
            Self::Instance(object) => common!(object),
            Self::Cluster(object) => common!(object),
        };
        known.unwrap_or_default()
    }

    /// Its data pods, or their claims; none before a pass has said which labels they have. Others may use
    /// the labels of Kubernetes, too: only these are its.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn children<K: Namespaced>(&self, client: &Client) -> kube::Result<Vec<K>> {
        let Some(selector) = self.status().selector else {
            return Ok(Vec::new());
        };
        let children: Api<K> = Api::namespaced(client.clone(), self.namespace());
        let ours = ListParams::default().labels(selector);
        Ok(children.list(&ours).await?.items)
    }

    /// Changes it by a merge patch.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn patch(&self, client: &Client, patch: &Value) -> kube::Result<()> {
        match self {
            Self::Instance(_) => self.patch_as::<RedisInstance>(client, patch).await,
            Self::Cluster(_) => self.patch_as::<RedisCluster>(client, patch).await,
        }
    }

    async fn patch_as<K: Namespaced + HasCommonSpec>(
        &self,
        client: &Client,
        patch: &Value,
    ) -> kube::Result<()> {
        let objects: Api<Received<K>> = Api::namespaced(client.clone(), self.namespace());
        let patch = Patch::Merge(patch);
        objects
            .patch(self.name(), &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }
}

/// All objects of both kinds in a namespace, or everywhere; those of one kind alone where somebody may look
/// at no other.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn all(client: &Client, namespace: Option<&str>) -> kube::Result<Vec<Object>> {
    let (instances, clusters) = tokio::join!(all_of(client, namespace), all_of(client, namespace));
    let instances = instances.map(|all| all.into_iter().map(Box::new).map(Object::Instance));
    let clusters = clusters.map(|all| all.into_iter().map(Box::new).map(Object::Cluster));
    Ok(match (instances, clusters) {
        (Ok(instances), Ok(clusters)) => instances.chain(clusters).collect(),
        (Ok(instances), Err(error)) if is_away(&error) => instances.collect(),
        (Err(error), Ok(clusters)) if is_away(&error) => clusters.collect(),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    })
}

async fn all_of<K: Namespaced + HasCommonSpec>(
    client: &Client,
    namespace: Option<&str>,
) -> kube::Result<Vec<K>> {
    let objects: Api<Received<K>> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let found = objects.list(&ListParams::default()).await?.items;
    found.into_iter().map(read).collect()
}

/// An object that was received, if it can be decoded.
pub fn read<K>(received: Received<K>) -> kube::Result<K> {
    let undecoded = |error: InvalidObject| serde_json::Error::custom(error.error);
    received
        .0
        .map_err(undecoded)
        .map_err(kube::Error::SerdeError)
}

/// The kind may not be looked at, or its definition is not there.
fn is_away(error: &kube::Error) -> bool {
    let is_unknown =
        |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.is_not_found());
    is_forbidden(error) || is_unknown(error)
}

/// It may not be looked at.
pub fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_forbidden())
}
