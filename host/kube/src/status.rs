//! Status that is written only when it says something new.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
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

/// Writes the status of objects of one kind.
#[derive(Clone)]
pub struct StatusWriter {
    client: Client,
}

impl StatusWriter {
    /// A writer.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Applies `wanted` as the whole status unless it equals `last`; true if it was sent.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn write<K, S>(
        &self,
        namespace: &str,
        name: &str,
        last: Option<&S>,
        wanted: &S,
    ) -> kube::Result<bool>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        S: Serialize + PartialEq,
    {
        if last == Some(wanted) {
            return Ok(false);
        }
        let patch = serde_json::json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"name": name, "namespace": namespace},
            "status": wanted,
        });
        let kind = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind);
        let params = PatchParams::apply(STATUS_MANAGER).force();
        api.patch_status(name, &params, &Patch::Apply(&patch))
            .await?;
        Ok(true)
    }
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
