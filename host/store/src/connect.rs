//! How a bucket is reached: whom we trust, how long we wait, how often we try.

use std::sync::Arc;
use std::time::Duration;

use hera_core::backup::S3Access;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::client::{HttpClient, HttpConnector};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use reqwest::Url;
use reqwest::redirect::Policy;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::answers::Bounded;

/// For a connection. A store that drops our packets is tried twice.
const CONNECT: Duration = Duration::from_secs(5);
/// For one try of a request, its body and that of its answer included.
const REQUEST: Duration = Duration::from_secs(20);
/// After so many failures, or so long, the next one is the last.
const RETRIES: usize = 3;
const RETRY_FOR: Duration = Duration::from_secs(10);

/// The library would make a client that trusts the authorities of the machine, which an image of a server has none of.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Bounded(self.0.clone())))
    }
}

/// A client for a bucket, or why there is none. Nothing is sent yet. What the library would panic at is refused here.
pub fn bucket(access: &S3Access) -> Result<AmazonS3, String> {
    if !is_name(&access.bucket) {
        return Err("its bucket is not named as buckets are".to_owned());
    }
    if !is_name(&access.region) {
        return Err("its region is not named as regions are".to_owned());
    }
    let endpoint = endpoint(access)?;
    let plain = endpoint.as_ref().is_some_and(|url| url.scheme() == "http");
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&access.bucket)
        .with_region(&access.region)
        .with_access_key_id(&access.access_key_id)
        .with_secret_access_key(&access.secret_access_key)
        .with_virtual_hosted_style_request(!access.force_path_style)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // Not every store has the request that deletes many.
        .with_disable_bulk_delete(true)
        .with_retry(retries())
        .with_http_connector(Connector(client(access.ca.as_deref(), plain)?));
    if let Some(url) = endpoint {
        builder = builder.with_endpoint(url.as_str().trim_end_matches('/'));
    }
    builder.build().map_err(|error| error.to_string())
}

/// Where the store is, for words: nothing of an endpoint but its host.
pub fn place(access: &S3Access) -> String {
    match access.endpoint.as_deref().map(Url::parse) {
        None => format!("Amazon's {}", access.region),
        Some(Ok(url)) => url.origin().ascii_serialization(),
        Some(Err(_)) => "an endpoint that is no address".to_owned(),
    }
}

/// Whether a key can be one: a line break at the end of a Secret's value is a common mistake.
pub fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !name.is_empty() && name.bytes().all(known)
}

/// The endpoint, with the bucket before its host if it belongs there; none for Amazon's own.
fn endpoint(access: &S3Access) -> Result<Option<Url>, String> {
    let Some(text) = &access.endpoint else {
        return Ok(None);
    };
    let form = || "its endpoint is not of the form https://host:port".to_owned();
    let mut url = Url::parse(text).map_err(|_| form())?;
    let host = url.host_str().ok_or_else(form)?.to_owned();
    let more = url.query().is_some() || url.fragment().is_some();
    let user = !url.username().is_empty() || url.password().is_some();
    if !matches!(url.scheme(), "http" | "https") || more || user {
        return Err(form());
    }
    if !access.force_path_style {
        let whole = format!("{}.{host}", access.bucket);
        let set = url.set_host(Some(&whole));
        set.map_err(
            |_| "the bucket cannot stand before the host of its endpoint: let it stand in the path",
        )?;
    }
    Ok(Some(url))
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: RETRIES,
        retry_timeout: RETRY_FOR,
    }
}

/// A proxy of the pod's environment is used, as every client of S3 does.
fn client(ca: Option<&str>, plain: bool) -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls(ca)?)
        .https_only(!plain)
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .http1_only()
        .build()
        .map_err(|error| error.to_string())
}

fn tls(ca: Option<&str>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    if let Some(ca) = ca {
        let words = |why: String| format!("the authority in its caRef cannot be read: {why}");
        let mut some = false;
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            let certificate = certificate.map_err(|error| words(error.to_string()))?;
            let added = roots.add(certificate);
            added.map_err(|error| words(error.to_string()))?;
            some = true;
        }
        if !some {
            return Err(words("there is no certificate in it".to_owned()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(endpoint: &str, force_path_style: bool) -> S3Access {
        S3Access {
            bucket: "backups".to_owned(),
            prefix: String::new(),
            region: "eu-central-1".to_owned(),
            endpoint: Some(endpoint.to_owned()),
            force_path_style,
            ca: None,
            access_key_id: "id".to_owned(),
            secret_access_key: "secret".to_owned(),
        }
    }

    fn address(endpoint_text: &str, force_path_style: bool) -> Result<String, String> {
        let url = endpoint(&access(endpoint_text, force_path_style))?;
        Ok(url.map(String::from).unwrap_or_default())
    }

    #[test]
    fn the_bucket_stands_before_the_host_or_in_the_path() {
        assert_eq!(
            address("https://minio.storage:9000", false).unwrap(),
            "https://backups.minio.storage:9000/"
        );
        assert_eq!(
            address("https://minio.storage:9000", true).unwrap(),
            "https://minio.storage:9000/"
        );
        address("https://10.0.0.1", false).unwrap_err();
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        let none = [
            "minio:9000",
            "ftp://minio",
            "https://user:word@minio",
            "https://minio?x=1",
            "",
        ];
        for text in none {
            assert!(address(text, true).is_err(), "{text}");
            assert!(bucket(&access(text, true)).is_err(), "{text}");
        }
        bucket(&access("https://minio:9000/", true)).unwrap();
        bucket(&access("http://minio/below", true)).unwrap();
    }

    #[test]
    fn words_about_the_place_have_no_password() {
        let place = place(&access("https://user:word@minio:9000/x", true));
        assert_eq!(place, "https://minio:9000");
    }

    #[test]
    fn a_key_with_a_line_break_is_none() {
        assert!(is_key("AKIA0123/+="));
        for none in ["", "AKIA\n", "a b", "schlüssel"] {
            assert!(!is_key(none), "{none:?}");
        }
    }

    #[test]
    fn an_authority_that_is_no_certificate_is_refused() {
        let mut access = access("https://minio:9000", true);
        access.ca = Some("certificate".to_owned());
        let refused = bucket(&access).unwrap_err();
        assert!(refused.contains("caRef"), "{refused}");
    }

    #[test]
    fn a_bucket_or_a_region_that_would_change_the_address_is_refused() {
        for name in ["", "b/../c", "b?x", "b c"] {
            let mut one = access("https://minio:9000", true);
            one.bucket = name.to_owned();
            assert!(bucket(&one).is_err(), "{name:?}");
            let mut one = access("https://minio:9000", true);
            one.region = name.to_owned();
            assert!(bucket(&one).is_err(), "{name:?}");
        }
    }
}
