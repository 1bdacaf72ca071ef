//! Which image the server runs: the spec's, the catalog's, or the one that is pinned.

use std::collections::BTreeMap;

use hera_api::conditions::ready as reason;
use hera_api::meta::LABEL_IMAGE_CATALOG;
use hera_api::validate::Validated;
use hera_api::{Engine, ServerVersion};
use hera_render::versions::{Catalog, NoImage, check_change};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};

use super::observe::{SetLive, live_image};

/// ConfigMap of the operator with the images of versions.
pub const CATALOG: &str = "hera-catalog";
/// Value of the label of ConfigMaps whose entries take the place of the catalog's, which an upgrade of the
/// operator applies anew.
const OVERRIDES: &str = "overrides";
/// Annotation on the StatefulSet: the desired state that its image answers. While that is the same the
/// image stays, whatever the catalog says by now.
pub const SOURCE_ANNOTATION: &str = "cache.hera.io/image-source";

/// The image that is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The image.
    pub image: String,
    /// The desired state that it answers.
    pub source: String,
    /// Why it is not what the spec asks for: a reason of `Ready`, and words.
    pub problem: Option<(&'static str, String)>,
}

/// Resolves the image of a server, after one that `wrote` the data, as far as is known.
///
/// # Errors
/// Inner: nothing can run, with a reason of `Ready` and words. Outer: the API server.
pub async fn resolve(
    client: &Client,
    namespace: &str,
    wrote: Option<(Engine, ServerVersion)>,
    v: &Validated,
    live: &SetLive,
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
    let wrote = wrote.filter(|_| v.persistence.volume.is_some());
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
    let labelled = ListParams::default().labels(&format!("{LABEL_IMAGE_CATALOG}={OVERRIDES}"));
    let (map, overrides) = tokio::try_join!(api.get_opt(CATALOG), api.list(&labelled))?;
    let overrides: BTreeMap<_, _> = overrides
        .into_iter()
        .map(|map| (map.name_any(), map.data.unwrap_or_default()))
        .collect();
    if map.is_none() && overrides.is_empty() {
        let words = format!("the operator's ConfigMap {namespace}/{CATALOG} is missing: apply it");
        return Ok(Err((reason::UNKNOWN_VERSION, words)));
    }
    let data = map.and_then(|map| map.data).unwrap_or_default();
    let catalog = Catalog::parse(CATALOG, &data).and_then(|own| own.with_overrides(&overrides));
    Ok(match catalog {
        Ok(catalog) => match catalog.resolve(v.engine, v.version) {
            Ok((image, version)) => Ok((image.to_owned(), version)),
            Err(error @ NoImage::Disputed { .. }) => {
                Err((reason::IMAGE_DISPUTED, error.to_string()))
            }
            Err(error) => Err((reason::UNKNOWN_VERSION, error.to_string())),
        },
        Err(error) => Err((reason::UNKNOWN_VERSION, error.to_string())),
    })
}
