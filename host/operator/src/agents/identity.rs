use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hera_render::TlsFiles;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::AgentError;

/// Half the life of the certificate (see `authority`).
const LIFE: Duration = Duration::from_secs(45 * 24 * 3600);

/// With what this process shows agents who it is, and by what it knows them. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    tls: ClientConfig,
    authority: Arc<str>,
    made: Instant,
}

impl Identity {
    /// That of a certificate and its key.
    ///
    /// # Errors
    /// When the files are not usable.
    pub fn new(files: &TlsFiles) -> Result<Self, AgentError> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(files.authority.as_bytes())?)?;
        let certificate = CertificateDer::from_pem_slice(files.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(files.key.as_bytes())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)?;
        Ok(Self {
            tls,
            authority: files.authority.as_str().into(),
            made: Instant::now(),
        })
    }

    /// For connections.
    pub fn tls(&self) -> &ClientConfig {
        &self.tls
    }

    /// True when it should be made anew.
    pub fn is_ageing(&self) -> bool {
        self.made.elapsed() > LIFE
    }
}

/// The identity that connections share: to make one for each agent costs a key, a signature and memory.
#[derive(Default)]
pub struct Identities(Mutex<Option<Identity>>);

impl Identities {
    /// That of an authority, made by `files` if there is none yet or it ages.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn of<E: From<AgentError>>(
        &self,
        authority: &str,
        files: impl FnOnce() -> Result<TlsFiles, E>,
    ) -> Result<Identity, E> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_good = |known: &&Identity| &*known.authority == authority && !known.is_ageing();
        if let Some(good) = known.as_ref().filter(is_good) {
            return Ok(good.clone());
        }
        let made = Identity::new(&files()?)?;
        *known = Some(made.clone());
        Ok(made)
    }
}
