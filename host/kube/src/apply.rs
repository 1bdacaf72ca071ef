//! Server-side apply that sends nothing when nothing changed.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use hera_core::digest::sha256_hex;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;

use crate::{OBJECTS_MANAGER, Refusal, is_owned_by};

/// Why an object was not applied.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The API server did not answer, or something passing happened to it.
    #[error("the API server: {0}")]
    Kube(#[from] kube::Error),
    /// An object of that name belongs to somebody else; it is not touched.
    #[error("{0}")]
    Taken(String),
    /// The API server does not let this object be written.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The object cannot be written as JSON.
    #[error("an object cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// What an apply came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The live object was as this operator left it, and the same is wanted: nothing was sent.
    Unchanged,
    /// The object was sent.
    Sent,
}

/// What can be applied: an object of a namespace that is read as it is written.
pub trait Child:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
{
}

impl<K> Child for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

/// Remembers what it applied last, so that a reconcile of a settled object writes nothing.
///
/// # Guarantees
/// An object is sent when the wanted content differs from what was sent last, or when anybody
/// changed the live object since (its `resourceVersion` moved), or when it is gone. An object that
/// the given owner does not own is never touched.
///
/// # Caveats
/// The memory is this process's: after a restart each object is sent once, which the API server
/// answers without a new `resourceVersion` if nothing differs.
pub struct Applier {
    client: Client,
    memory: Mutex<HashMap<String, Remembered>>,
}

struct Remembered {
    /// Digest of what was sent: the objects of many instances would take much memory.
    wanted: String,
    resource_version: Option<String>,
}

impl Applier {
    /// An applier with an empty memory.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            memory: Mutex::default(),
        }
    }

    /// Makes the live object have the fields of `wanted`, which `owner` (a uid) must own.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn apply<K>(
        &self,
        namespace: &str,
        owner: &str,
        wanted: &K,
    ) -> Result<Applied, ApplyError>
    where
        K: Child,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let name = wanted.name_any();
        let live = read(&api, &name).await?;
        if let Some(live) = &live {
            check_owner(live, owner)?;
        }
        let wanted = serde_json::to_value(wanted)?;
        self.send(&api, namespace, &name, live.as_ref(), wanted, None)
            .await
    }

    /// As [`Self::apply`], for content that was made from what was read as `live`: if anybody changed
    /// the object since, that is a conflict, and nobody's change is undone.
    ///
    /// # Errors
    /// See [`ApplyError`]; a conflict is an [`ApplyError::Kube`].
    pub async fn apply_over<K>(
        &self,
        namespace: &str,
        owner: &str,
        wanted: &K,
        live: Option<&K>,
    ) -> Result<Applied, ApplyError>
    where
        K: Child,
    {
        let Some(live) = live else {
            return self.apply(namespace, owner, wanted).await;
        };
        check_owner(live, owner)?;
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let name = wanted.name_any();
        let over = live.resource_version();
        let wanted = serde_json::to_value(wanted)?;
        self.send(&api, namespace, &name, Some(live), wanted, over)
            .await
    }

    /// Takes out of the object that was read as `live`, which `owner` (a uid) must own, the fields that are null
    /// in `fields`, whoever wrote them: what an apply leaves out stays where somebody else wrote it too. Answers
    /// the object as it is then.
    ///
    /// # Errors
    /// See [`ApplyError`]; a conflict, if anybody changed the object since, is an [`ApplyError::Kube`].
    pub async fn take_out<K>(
        &self,
        namespace: &str,
        owner: &str,
        live: &K,
        mut fields: Value,
    ) -> Result<K, ApplyError>
    where
        K: Child,
    {
        check_owner(live, owner)?;
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let name = live.name_any();
        if let Some(fields) = fields.as_object_mut() {
            let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.insert("uid".to_owned(), json!(live.uid()));
                let version = json!(live.resource_version());
                metadata.insert("resourceVersion".to_owned(), version);
            }
        }
        let params = PatchParams {
            field_manager: Some(OBJECTS_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(&fields);
        let sent = api.patch(&name, &params, &patch);
        Ok(Refusal::within::<K, _>(&name, false, sent).await??)
    }

    /// Makes the live object that was read as `live` have the fields of `wanted`.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn patch<K>(
        &self,
        namespace: &str,
        name: &str,
        live: &K,
        wanted: Value,
    ) -> Result<Applied, ApplyError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        self.send(&api, namespace, name, Some(live), wanted, None)
            .await
    }

    /// Deletes an object that `owner` (a uid) owns; one that is gone, or another's, is left alone.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn delete<K>(
        &self,
        namespace: &str,
        owner: &str,
        name: &str,
    ) -> Result<(), ApplyError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let Some(live) = read(&api, name).await? else {
            return Ok(());
        };
        if check_owner(&live, owner).is_err() {
            return Ok(());
        }
        // None of the same name that came meanwhile.
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: live.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match Refusal::within::<K, _>(name, false, api.delete(name, &params)).await {
            Ok(deleted) => Ok(deleted.map(drop)?),
            Err(kube::Error::Api(s)) if s.is_not_found() || s.is_conflict() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Applies `wanted`, and deletes the object called `name` where nothing is wanted.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn apply_or_delete<K>(
        &self,
        namespace: &str,
        owner: &str,
        name: &str,
        wanted: Option<&K>,
    ) -> Result<Applied, ApplyError>
    where
        K: Child,
    {
        match wanted {
            Some(wanted) => self.apply(namespace, owner, wanted).await,
            None => {
                let deleted = self.delete::<K>(namespace, owner, name).await;
                deleted.map(|()| Applied::Unchanged)
            }
        }
    }

    /// Makes an object that is not there, and leaves one that is as it is: that one it answers, as it may be
    /// somebody else's.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn create<K>(&self, namespace: &str, wanted: &K) -> Result<Option<K>, ApplyError>
    where
        K: Child,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let params = PostParams::default();
        let name = wanted.name_any();
        match Refusal::within::<K, _>(&name, true, api.create(&params, wanted)).await {
            Ok(created) => Ok(created.map(|_| None)?),
            Err(kube::Error::Api(status)) if status.is_already_exists() => read(&api, &name).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets the object called `name` in `namespace`, and those whose name it begins: they are
    /// gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        let own = format!("/{namespace}/{name}");
        let child = format!("{own}-");
        self.lock()
            .retain(|key, _| !key.ends_with(&own) && !key.contains(&child));
    }

    /// `over` is the version that the live object must still have.
    async fn send<K>(
        &self,
        api: &Api<K>,
        namespace: &str,
        name: &str,
        live: Option<&K>,
        wanted: Value,
        over: Option<String>,
    ) -> Result<Applied, ApplyError>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let key = format!("{}/{namespace}/{name}", K::kind(&()));
        let digest = sha256_hex(&serde_json::to_vec(&wanted)?);
        if let Some(live) = live
            && self.is_settled(&key, &digest, live.resource_version().as_deref())
        {
            return Ok(Applied::Unchanged);
        }
        let params = PatchParams::apply(OBJECTS_MANAGER);
        // What is made conflicts with nothing, unless somebody makes one of the same name just then.
        let params = match live {
            Some(_) => params.force(),
            None => params,
        };
        let mut patch = wanted;
        if let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) {
            // Whose another of the same name is, nobody has seen.
            let uid = live.and_then(ResourceExt::uid);
            let known = [("uid", uid), ("resourceVersion", over)];
            let known = known.into_iter();
            metadata.extend(known.filter_map(|(key, text)| Some((key.to_owned(), text?.into()))));
        }
        let patch = Patch::Apply(&patch);
        let sent = api.patch(name, &params, &patch);
        let live = Refusal::within::<K, _>(name, live.is_none(), sent).await??;
        self.remember(key, digest, live.resource_version());
        Ok(Applied::Sent)
    }

    fn is_settled(&self, key: &str, wanted: &str, live: Option<&str>) -> bool {
        self.lock().get(key).is_some_and(|known| {
            known.wanted == wanted && known.resource_version.as_deref() == live
        })
    }

    fn remember(&self, key: String, wanted: String, resource_version: Option<String>) {
        self.lock().insert(
            key,
            Remembered {
                wanted,
                resource_version,
            },
        );
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Remembered>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An object, if it is there. One of a kind that may not be read is refused as one that may not be written:
/// rights may come later than the operator that needs them.
async fn read<K>(api: &Api<K>, name: &str) -> Result<Option<K>, ApplyError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    match api.get_opt(name).await {
        Err(error) if is_forbidden(&error) => Err(Refusal::of::<K>(name, false, error)?.into()),
        read => Ok(read?),
    }
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_forbidden())
}

fn check_owner<K: Resource<DynamicType = ()>>(live: &K, owner: &str) -> Result<(), ApplyError> {
    if is_owned_by(live.meta(), owner) {
        return Ok(());
    }
    Err(ApplyError::Taken(format!(
        "{} {} is there already and belongs to somebody else: delete or rename it",
        K::kind(&()),
        live.name_any()
    )))
}
