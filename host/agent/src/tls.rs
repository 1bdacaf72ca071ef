//! Certificates of the control API: read, checked and replaced in place.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use tracing::{info, warn};

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

/// The settings from the files in `folder`; a client must show a certificate of the authority that
/// is made for clients, which those of agents are not.
///
/// # Errors
/// When a file is missing or damaged, or key and certificate do not belong together.
pub fn load(folder: &Path) -> Result<RustlsConfig, TlsError> {
    Ok(RustlsConfig::from_config(server_config(
        folder,
        &read(folder)?,
    )?))
}

/// Replaces the certificates when the files change; keeps the old ones if the new are not usable.
pub async fn follow(folder: &Path, config: RustlsConfig) {
    let mut last = read(folder).ok();
    loop {
        tokio::time::sleep(LOOK).await;
        let Ok(now) = read(folder) else { continue };
        if last.as_ref() == Some(&now) {
            continue;
        }
        match server_config(folder, &now) {
            Ok(fresh) => {
                config.reload_from_config(fresh);
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

fn server_config(folder: &Path, files: &Files) -> Result<Arc<ServerConfig>, TlsError> {
    build(files)
        .map(Arc::new)
        .map_err(|cause| refuse(folder, cause))
}

fn build(files: &Files) -> Result<ServerConfig, String> {
    let text = |error: rustls::pki_types::pem::Error| error.to_string();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&files.authority) {
        roots
            .add(certificate.map_err(text)?)
            .map_err(|error| error.to_string())?;
    }
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&files.certificate)
        .collect::<Result<_, _>>()
        .map_err(text)?;
    let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(text)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| error.to_string())?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn refuse(folder: &Path, cause: String) -> TlsError {
    TlsError {
        folder: folder.display().to_string(),
        cause,
    }
}
