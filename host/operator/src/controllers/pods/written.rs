//! What is written down on children, only in place of what was read: what a leader of the past sent and the
//! network delivers late must not undo what its successor wrote.

use hera_kube::{ApplyError, Refusal};
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation, TestOperation};
use kube::{Resource, ResourceExt as _};
use serde_json::json;

use crate::controllers::outcome::PassError;

/// What somebody wrote meanwhile is not written over.
///
/// # Errors
/// When the API server refuses it, or somebody wrote something else meanwhile.
pub async fn written<K: Resource<DynamicType = ()>>(
    name: &str,
    annotation: &'static str,
    write: impl Future<Output = kube::Result<K>>,
) -> Result<(), PassError> {
    let write = async {
        match write.await {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 422 => Ok(Some(status.message)),
            Err(error) => Err(error),
        }
    };
    let written = Refusal::within::<K, _>(name, false, write).await?;
    match written.map_err(ApplyError::from)? {
        None => Ok(()),
        Some(words) => Err(PassError::WrittenMeanwhile { annotation, words }),
    }
}

/// Holds a patch to the object that was read: of another of its name nothing is known, nor whose it is.
pub fn only_on<K: Resource>(live: &K, patch: &mut json_patch::Patch) {
    if let Some(uid) = live.uid() {
        let test = TestOperation {
            path: PointerBuf::from_tokens(["metadata", "uid"]),
            value: json!(uid),
        };
        patch.0.insert(0, PatchOperation::Test(test));
    }
}

/// Puts an annotation in place of what is known to stand there.
pub fn in_place_of(annotation: &str, known: Option<&str>, text: &str) -> json_patch::Patch {
    let path = PointerBuf::from_tokens(["metadata", "annotations", annotation]);
    json_patch::Patch(vec![
        // For the API server null is what is not there.
        PatchOperation::Test(TestOperation {
            path: path.clone(),
            value: json!(known),
        }),
        PatchOperation::Add(AddOperation {
            path,
            value: json!(text),
        }),
    ])
}
