//! The object of a backup and its data pods, as they are now.

use hera_api::names::ObjectName;
use hera_api::{BackupSource, Kind, Received, RedisInstance, ServerVersion};
use hera_core::agent::AgentStatus;
use hera_core::backup::Source;
use hera_core::shard::Member;
use hera_render::Owner;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt as _};

use crate::controllers::pods::members::{Pods, uids};
use crate::controllers::pods::observe::read_sets;
use crate::shared::Shared;

/// The first version whose servers can be read: earlier ones do not close the link after the snapshot.
const FIRST: (u16, u16) = (7, 0);

/// The object of a backup.
pub struct Target {
    pub object: RedisInstance,
    name: ObjectName,
    namespace: String,
    uid: String,
}

impl Target {
    /// Reads it, from the API server; words for people if there is none.
    ///
    /// # Errors
    /// When it cannot be read: unknown is not absent.
    pub async fn read(
        client: &Client,
        namespace: &str,
        name: &str,
    ) -> kube::Result<Result<Self, String>> {
        let api: Api<Received<RedisInstance>> = Api::namespaced(client.clone(), namespace);
        let Some(found) = api.get_opt(name).await? else {
            return Ok(Err(format!(
                "there is no RedisInstance {name} in this namespace: create it"
            )));
        };
        let object = match found.0 {
            Ok(object) => object,
            Err(invalid) => {
                let words = format!("RedisInstance {name} cannot be read: {}", invalid.error);
                return Ok(Err(words));
            }
        };
        let name = match ObjectName::new(Kind::RedisInstance, name) {
            Ok(name) => name,
            Err(error) => return Ok(Err(error.to_string())),
        };
        Ok(Ok(Self {
            uid: object.uid().unwrap_or_default(),
            object,
            name,
            namespace: namespace.to_owned(),
        }))
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The data pods that there are.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn members(&self, shared: &Shared) -> kube::Result<Vec<Member>> {
        let owner = Owner {
            name: &self.name,
            namespace: &self.namespace,
            uid: &self.uid,
        };
        let live = Box::pin(read_sets(&shared.client, &owner, None, 0)).await?;
        let live = live.into_iter().next().unwrap_or_default();
        let pods = Pods {
            shared,
            owner,
            shard: None,
            live: &live,
        };
        let uids = uids([&live]);
        let known: Vec<&str> = uids.iter().map(String::as_str).collect();
        Ok(pods.members(0, &[], &known))
    }
}

/// True if the pod of this name is there, and not another of its name.
///
/// # Errors
/// When nobody can tell.
pub async fn has_pod(
    client: &Client,
    namespace: &str,
    name: &str,
    uid: &str,
) -> kube::Result<bool> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let found = pods.get_metadata_opt(name).await?;
    Ok(found.is_some_and(|found| found.metadata.uid.as_deref() == Some(uid)))
}

/// The version of a server that is too old to be read; none of one that can be.
pub fn too_old(agent: Option<&AgentStatus>) -> Option<&str> {
    let told = agent?.version.as_deref()?;
    let version: ServerVersion = told.parse().ok()?;
    (version.branch() < FIRST).then_some(told)
}

/// The word of a spec, for who decides.
pub fn source(source: BackupSource) -> Source {
    match source {
        BackupSource::PreferReplica => Source::PreferReplica,
        BackupSource::Replica => Source::Replica,
        BackupSource::Primary => Source::Primary,
    }
}
