//! Which image the server runs: the spec's, the catalog's, or the one that is pinned.

use std::collections::BTreeMap;

use hera_api::conditions::ready as reason;
use hera_api::validate::Validated;
use hera_api::{Engine, RedisInstance, ServerVersion};
use hera_render::versions::{Catalog, check_change};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use kube::{Client, ResourceExt as _};

use super::observe::{Live, live_image};

/// ConfigMap of the operator with the images of versions.
pub const CATALOG: &str = "hera-catalog";
/// Annotation on the StatefulSet: the wish that its image answers. While the wish is the same the
/// image stays, whatever the catalog says by now.
pub const SOURCE_ANNOTATION: &str = "cache.hera.io/image-source";

/// The image that is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The image.
    pub image: String,
    /// The wish that it answers.
    pub source: String,
    /// Why it is not what the spec asks for: a reason of `Ready`, and words.
    pub problem: Option<(&'static str, String)>,
}

/// Resolves the image.
///
/// # Errors
/// Inner: nothing can run, with a reason of `Ready` and words. Outer: the API server.
pub async fn resolve(
    client: &Client,
    namespace: &str,
    object: &RedisInstance,
    v: &Validated,
    live: &Live,
) -> kube::Result<Result<Image, (&'static str, String)>> {
    let source = match &v.image {
        Some(image) => format!("image {image}"),
        None => format!("{} {}", v.engine, v.version),
    };
    let pinned = live_image(live).map(|image| {
        let annotations = live
            .stateful_set
            .as_ref()
            .map(|set| set.annotations().clone());
        let source = annotations.and_then(|map| map.get(SOURCE_ANNOTATION).cloned());
        (image, source.unwrap_or_default())
    });
    if let Some((image, answered)) = &pinned
        && *answered == source
    {
        return Ok(Ok(Image {
            image: image.clone(),
            source,
            problem: None,
        }));
    }
    let wanted = match &v.image {
        Some(image) => Ok((image.clone(), v.version)),
        None => from_catalog(client, namespace, v).await?,
    };
    // Without a volume no file is ever read by another server.
    let wrote = running(object).filter(|_| v.persistence.volume.is_some());
    let allowed = wanted.and_then(|(image, version)| match wrote {
        Some(from) => check_change(from, (v.engine, version))
            .map(|()| image)
            .map_err(|refused| (reason::VERSION_INCOMPATIBLE, refused.to_string())),
        None => Ok(image),
    });
    Ok(match (allowed, pinned) {
        (Ok(image), _) => Ok(Image {
            image,
            source,
            problem: None,
        }),
        (Err(problem), Some((image, source))) => Ok(Image {
            image,
            source,
            problem: Some(problem),
        }),
        (Err(problem), None) => Err(problem),
    })
}

async fn from_catalog(
    client: &Client,
    namespace: &str,
    v: &Validated,
) -> kube::Result<Result<(String, ServerVersion), (&'static str, String)>> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let Some(map) = api.get_opt(CATALOG).await? else {
        let words = format!("the operator's ConfigMap {namespace}/{CATALOG} is missing: apply it");
        return Ok(Err((reason::UNKNOWN_VERSION, words)));
    };
    let data: BTreeMap<String, String> = map.data.unwrap_or_default();
    let unknown = |words: String| (reason::UNKNOWN_VERSION, words);
    Ok(Catalog::parse(&data)
        .map_err(|error| unknown(error.to_string()))
        .and_then(|catalog| {
            catalog
                .resolve(v.engine, v.version)
                .map(|(image, version)| (image.to_owned(), version))
                .map_err(|error| unknown(error.to_string()))
        }))
}

/// What last wrote the data, as far as is known.
fn running(object: &RedisInstance) -> Option<(Engine, ServerVersion)> {
    let status = object.status.as_ref()?;
    Some((status.engine?, status.version.as_deref()?.parse().ok()?))
}
