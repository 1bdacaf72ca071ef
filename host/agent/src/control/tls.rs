//! Certificates, of the control API and for peers: read, checked and replaced in place.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::control::expiry::{Called, Callers};

/// Kubernetes replaces mounted files within about a minute; nothing waits for it.
const LOOK: Duration = Duration::from_secs(5);

/// Why certificates are not usable.
#[derive(Debug, Error)]
#[error("the certificates in {folder} are not usable: {cause}")]
pub struct TlsError {
    folder: String,
    cause: String,
}

#[derive(PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authority: Vec<u8>,
}

/// What the certificates are for.
#[derive(Clone)]
pub struct Tls {
    /// For who calls.
    pub server: watch::Sender<Arc<ServerConfig>>,
    /// For peers that are called.
    pub client: watch::Sender<ClientConfig>,
}

/// The settings from the files in `folder`. A client must show a certificate of the authority.
///
/// # Errors
/// When a file is missing or damaged, or key and certificate do not belong together.
pub fn load(folder: &Path) -> Result<Tls, TlsError> {
    let (server, client) = configs(folder, &read(folder)?)?;
    Ok(Tls {
        server: watch::channel(server).0,
        client: watch::channel(client).0,
    })
}

/// Replaces the certificates when the files change; keeps the old ones if the new are not usable.
pub async fn follow(folder: &Path, tls: Tls) {
    let mut last = read(folder).ok();
    loop {
        tokio::time::sleep(LOOK).await;
        let Ok(now) = read(folder) else { continue };
        if last.as_ref() == Some(&now) {
            continue;
        }
        match configs(folder, &now) {
            Ok((server, client)) => {
                tls.server.send_replace(server);
                tls.client.send_replace(client);
                info!("certificates replaced");
            }
            Err(error) => warn!(%error, "the old certificates stay"),
        }
        last = Some(now);
    }
}

fn read(folder: &Path) -> Result<Files, TlsError> {
    let file = |name: &str| {
        fs::read(folder.join(name)).map_err(|error| refuse(folder, format!("{name}: {error}")))
    };
    Ok(Files {
        certificate: file("tls.crt")?,
        key: file("tls.key")?,
        authority: file("ca.crt")?,
    })
}

fn configs(folder: &Path, files: &Files) -> Result<(Arc<ServerConfig>, ClientConfig), TlsError> {
    build(files).map_err(|cause| refuse(folder, cause))
}

fn build(files: &Files) -> Result<(Arc<ServerConfig>, ClientConfig), String> {
    let text = |error: rustls::pki_types::pem::Error| error.to_string();
    let tls = |error: rustls::Error| error.to_string();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&files.authority) {
        roots.add(certificate.map_err(text)?).map_err(tls)?;
    }
    let roots = Arc::new(roots);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&files.certificate)
        .collect::<Result<_, _>>()
        .map_err(text)?;
    let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(text)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
        .build()
        .map_err(|error| error.to_string())?;
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .with_client_cert_verifier(Arc::new(Callers(clients)))
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(tls)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let called = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
        .build()
        .map_err(|error| error.to_string())?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Called(called)))
        .with_client_auth_cert(chain, key)
        .map_err(tls)?;
    Ok((Arc::new(server), client))
}

fn refuse(folder: &Path, cause: String) -> TlsError {
    TlsError {
        folder: folder.display().to_string(),
        cause,
    }
}
