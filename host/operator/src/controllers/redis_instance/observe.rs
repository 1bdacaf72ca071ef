//! Reads everything that a pass needs, at once.

use hera_api::names::ObjectName;
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

/// Reads them from the API server, not from a cache. Of claims that somebody made in advance those of the
/// first `volumes` pods count.
///
/// # Errors
/// When one of them cannot be read: unknown is not absent.
pub async fn read(
    client: &Client,
    namespace: &str,
    name: &ObjectName,
    volumes: u32,
) -> kube::Result<Live> {
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let (slice, replicas_slice) = (name.endpoint_slice(), name.replicas_slice());
    let (common, sets, slice, replicas_slice) = tokio::try_join!(
        read_common(client, namespace, name),
        read_sets(client, namespace, name, None, volumes),
        slices.get_opt(&slice),
        slices.get_opt(&replicas_slice),
    )?;
    Ok(Live {
        set: sets.into_iter().next().unwrap_or_default(),
        common,
        slice,
        replicas_slice,
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
