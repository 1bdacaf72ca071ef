//! Whose path in a store it is.

use hera_core::backup::{FORMAT, OwnerFile};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::OnceCell;

use crate::object::ObjectKey;

/// The only shard of an object that has none.
pub const SHARD: &str = "0";

/// Says whose a path is. The Kubernetes cluster is asked for once.
#[derive(Default)]
pub struct Owners(OnceCell<String>);

impl Owners {
    /// What agents write into the folder of an object with this uid.
    ///
    /// # Errors
    /// When nobody can tell which Kubernetes cluster this is: unknown is not empty.
    pub async fn file(
        &self,
        client: &Client,
        object: &ObjectKey,
        uid: &str,
    ) -> kube::Result<OwnerFile> {
        Ok(OwnerFile {
            v: FORMAT,
            cluster: self.cluster(client).await?.to_owned(),
            kind: object.kind.name().to_owned(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
            uid: uid.to_owned(),
        })
    }

    /// Uid of the namespace `kube-system`, which stands for the Kubernetes cluster; empty without the right to read it.
    async fn cluster(&self, client: &Client) -> kube::Result<&str> {
        let read = || async {
            let namespaces: Api<Namespace> = Api::all(client.clone());
            match namespaces.get_opt("kube-system").await {
                Ok(found) => Ok(found.and_then(|found| found.uid()).unwrap_or_default()),
                Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(String::new()),
                Err(error) => Err(error),
            }
        };
        self.0.get_or_try_init(read).await.map(String::as_str)
    }
}
