//! Status that is written only when it says something new.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hera_api::{HasCommonSpec, Received};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::core::object::HasStatus;
use kube::runtime::reflector::ObjectRef;
use kube::{Client, Resource, ResourceExt as _};
use serde::Serialize;

use crate::STATUS_MANAGER;

/// Conditions to write, from those that hold now and those written last: a transition time moves
/// only with the condition's status, and conditions of other writers are left out (they own them).
pub fn merge_conditions(last: &[Condition], now: Vec<Condition>) -> Vec<Condition> {
    now.into_iter()
        .map(|mut condition| {
            if let Some(before) = last.iter().find(|c| c.type_ == condition.type_)
                && before.status == condition.status
            {
                condition.last_transition_time = Time(before.last_transition_time.0);
            }
            condition
        })
        .collect()
}

/// Writes the status of objects of one kind, and remembers what it wrote: a watch tells of it later.
pub struct StatusWriter<K: Resource<DynamicType = ()>> {
    client: Client,
    written: Mutex<HashMap<ObjectRef<K>, Written<K>>>,
}

/// What was written last into one object.
struct Written<K> {
    status: u64,
    /// What the API server answered.
    answer: Option<K>,
}

impl<K: Resource> Written<K> {
    /// Drops an answer that is not newer than what a watch told, or is about an object of before.
    fn drop_told(&mut self, told: &K) {
        self.answer
            .take_if(|answer| answer.uid() != told.uid() || version(answer) <= version(told));
    }
}

impl<K> StatusWriter<K>
where
    K: HasCommonSpec<DynamicType = (), Scope = NamespaceResourceScope>
        + HasStatus<Status: Serialize + PartialEq>
        + Clone
        + Debug,
{
    /// A writer.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            written: Mutex::default(),
        }
    }

    /// Applies `wanted` as the whole status unless `object` has it; true if it was sent.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn write(&self, object: &K, wanted: &K::Status) -> kube::Result<bool> {
        if object.status() == Some(wanted) {
            return Ok(false);
        }
        let name = ObjectRef::from_obj(object);
        // Before it is sent: a watch may be faster than the answer.
        let sent = Sent::note(self, &name, wanted);
        let answer = self.send(&name, wanted).await?;
        // An object that cannot be read any more is news.
        if let Ok(answer) = answer.0 {
            sent.was_answered(answer);
        }
        Ok(true)
    }

    async fn send(&self, object: &ObjectRef<K>, wanted: &K::Status) -> kube::Result<Received<K>> {
        let namespace = object.namespace.as_deref().unwrap_or_default();
        let patch = serde_json::json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"name": object.name, "namespace": namespace},
            "status": wanted,
        });
        let api: Api<Received<K>> = Api::namespaced(self.client.clone(), namespace);
        let params = PatchParams::apply(STATUS_MANAGER).force();
        api.patch_status(&object.name, &params, &Patch::Apply(&patch))
            .await
    }

    /// The object as it was after the last write, if a watch that has `cached` has not told of it yet.
    /// Whoever went on from `cached` would take the status before that write for the one that is there.
    pub fn newer(&self, cached: &K) -> Option<K> {
        let mut written = self.lock();
        let last = written.get_mut(&ObjectRef::from_obj(cached))?;
        last.drop_told(cached);
        last.answer.clone()
    }

    /// A hash of the status for a filter of news: the same for whatever was written here last.
    pub fn news(&self, object: &K) -> u64 {
        let mut written = self.lock();
        let mut last = written.get_mut(&ObjectRef::from_obj(object));
        if let Some(last) = &mut last {
            last.drop_told(object);
        }
        match (object.status(), last) {
            (None, None) => OWN,
            (None, Some(_)) => TAKEN_AWAY,
            (Some(status), last) => {
                let status = hash(status);
                let own = last.is_some_and(|last| last.status == status);
                if own { OWN } else { status }
            }
        }
    }
}

impl<K: Resource<DynamicType = ()>> StatusWriter<K> {
    /// Drops what is remembered of an object.
    pub fn forget(&self, object: &ObjectRef<K>) {
        self.lock().remove(object);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef<K>, Written<K>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was written here, or nothing before anything was, is no news.
const OWN: u64 = 0;
/// Somebody took away what was written here.
const TAKEN_AWAY: u64 = 1;

/// A write under way. Unless it is answered, whether it was done is not known: what a watch tells is news
/// then.
struct Sent<'a, K: Resource<DynamicType = ()>> {
    writer: &'a StatusWriter<K>,
    object: &'a ObjectRef<K>,
    answered: bool,
}

impl<'a, K: Resource<DynamicType = ()>> Sent<'a, K> {
    fn note<S: Serialize>(
        writer: &'a StatusWriter<K>,
        object: &'a ObjectRef<K>,
        wanted: &S,
    ) -> Self {
        let written = Written {
            status: hash(wanted),
            answer: None,
        };
        writer.lock().insert(object.clone(), written);
        Self {
            writer,
            object,
            answered: false,
        }
    }

    fn was_answered(mut self, answer: K) {
        self.answered = true;
        if let Some(written) = self.writer.lock().get_mut(self.object) {
            written.answer = Some(answer);
        }
    }
}

impl<K: Resource<DynamicType = ()>> Drop for Sent<'_, K> {
    fn drop(&mut self) {
        if !self.answered {
            self.writer.forget(self.object);
        }
    }
}

fn hash<S: Serialize>(status: &S) -> u64 {
    let mut hasher = DefaultHasher::new();
    // A status that cannot be serialized was not written either.
    serde_json::to_string(status)
        .unwrap_or_default()
        .hash(&mut hasher);
    hasher.finish()
}

/// Versions of one object grow, as numbers (since Kubernetes 1.35 by contract, before in fact).
fn version<K: Resource>(object: &K) -> u128 {
    let version = object.meta().resource_version.as_deref();
    version.and_then(|v| v.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;

    fn condition(status: &str, reason: &str, second: i64) -> Condition {
        Condition {
            type_: "Ready".into(),
            status: status.into(),
            reason: reason.into(),
            message: String::new(),
            observed_generation: Some(1),
            last_transition_time: Time(Timestamp::from_second(second).unwrap()),
        }
    }

    #[test]
    fn a_new_reason_with_the_same_status_keeps_the_transition_time() {
        let merged = merge_conditions(
            &[condition("False", "A", 1)],
            vec![condition("False", "B", 9)],
        );
        assert_eq!(merged, vec![condition("False", "B", 1)]);
    }

    #[test]
    fn a_new_status_moves_the_transition_time() {
        let merged = merge_conditions(
            &[condition("False", "A", 1)],
            vec![condition("True", "B", 9)],
        );
        assert_eq!(merged, vec![condition("True", "B", 9)]);
    }
}
