//! Reads everything that a pass needs, at once.

use hera_kube::is_owned_by;
use hera_render::Owner;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::api::Api;

use crate::controllers::pods::observe::{CommonLive, SetLive, read_common, read_sets};

/// The objects of an instance as they are.
#[derive(Clone, Debug, Default)]
pub struct Live {
    pub set: SetLive,
    pub common: CommonLive,
    pub slice: Option<EndpointSlice>,
    pub replicas_slice: Option<EndpointSlice>,
}

/// Reads them from the API server, not from a cache: those of the object, whoever else has its names. Claims of
/// the first `volumes` pods are looked at whatever their labels are.
///
/// # Errors
/// When one of them cannot be read: unknown is not absent.
pub async fn read(client: &Client, owner: &Owner<'_>, volumes: u32) -> kube::Result<Live> {
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), owner.namespace);
    let slice = owner.name.endpoint_slice();
    let replicas_slice = owner.name.replicas_slice();
    let (common, sets, slice, replicas_slice) = tokio::try_join!(
        read_common(client, owner),
        read_sets(client, owner, None, volumes),
        slices.get_opt(&slice),
        slices.get_opt(&replicas_slice),
    )?;
    let owned = |slice: Option<EndpointSlice>| {
        slice.filter(|found| is_owned_by(&found.metadata, owner.uid))
    };
    Ok(Live {
        set: sets.into_iter().next().unwrap_or_default(),
        common,
        slice: owned(slice),
        replicas_slice: owned(replicas_slice),
    })
}

/// Where the client Service leads.
pub fn endpoint(live: &Live) -> Option<String> {
    addresses(live.slice.as_ref()).into_iter().next()
}

/// Where the Service of replicas leads, sorted.
pub fn replica_endpoints(live: &Live) -> Vec<String> {
    let mut ips = addresses(live.replicas_slice.as_ref());
    ips.sort();
    ips
}

fn addresses(slice: Option<&EndpointSlice>) -> Vec<String> {
    let endpoints = slice.into_iter().flat_map(|slice| &slice.endpoints);
    endpoints
        .filter_map(|endpoint| endpoint.addresses.first().cloned())
        .collect()
}
