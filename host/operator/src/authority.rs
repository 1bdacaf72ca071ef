//! The certificate authority with which operator and agents know each other.

use std::sync::Arc;

use hera_render::TlsFiles;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, PostParams};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use tokio::sync::RwLock;

/// Secret of the authority, in the operator's namespace.
pub const SECRET: &str = "hera-ca";
const AUTHORITY_LIFE: Duration = Duration::days(3650);
/// Life of what the authority signs; renewed at half of it.
const LEAF_LIFE: Duration = Duration::days(90);
/// A little before now, for clocks that differ.
const CLOCK_SKEW: Duration = Duration::minutes(10);

/// Why the authority could not do its work.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// The API server refused.
    #[error("the Secret {SECRET} could not be read or made: {0}")]
    Kube(#[from] kube::Error),
    /// Keys or certificates could not be made or read.
    #[error("the Secret {SECRET} is not usable ({0}): delete it, and the operator makes a new one")]
    Crypto(#[from] rcgen::Error),
    /// The Secret lacks a key.
    #[error("the Secret {SECRET} has no {0}: delete it, and the operator makes a new one")]
    Incomplete(&'static str),
    /// Not made yet, and this replica does not lead.
    #[error("the Secret {SECRET} is not there yet")]
    Absent,
}

/// The authority.
pub struct Authority {
    certificate: String,
    key: String,
}

/// Holds the authority once it is loaded.
#[derive(Default)]
pub struct AuthorityCell(RwLock<Option<Arc<Authority>>>);

impl AuthorityCell {
    /// The authority, loaded or, if `may_create`, made.
    ///
    /// # Errors
    /// See [`AuthorityError`].
    pub async fn get(
        &self,
        client: &Client,
        namespace: &str,
        may_create: bool,
    ) -> Result<Arc<Authority>, AuthorityError> {
        if let Some(authority) = self.0.read().await.clone() {
            return Ok(authority);
        }
        let mut cell = self.0.write().await;
        if let Some(authority) = cell.clone() {
            return Ok(authority);
        }
        let authority = Arc::new(load(client, namespace, may_create).await?);
        *cell = Some(authority.clone());
        Ok(authority)
    }
}

async fn load(
    client: &Client,
    namespace: &str,
    may_create: bool,
) -> Result<Authority, AuthorityError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    if let Some(secret) = api.get_opt(SECRET).await? {
        return Authority::from_secret(&secret);
    }
    if !may_create {
        return Err(AuthorityError::Absent);
    }
    let authority = Authority::generate()?;
    match api
        .create(&PostParams::default(), &authority.to_secret(namespace))
        .await
    {
        Ok(_) => Ok(authority),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            Authority::from_secret(&api.get(SECRET).await?)
        }
        Err(error) => Err(error.into()),
    }
}

impl Authority {
    fn generate() -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "hera-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let now = OffsetDateTime::now_utc();
        params.not_before = now - CLOCK_SKEW;
        params.not_after = now + AUTHORITY_LIFE;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    fn from_secret(secret: &Secret) -> Result<Self, AuthorityError> {
        let text = |key: &'static str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(key));
            bytes
                .and_then(|bytes| String::from_utf8(bytes.0.clone()).ok())
                .ok_or(AuthorityError::Incomplete(key))
        };
        let authority = Self {
            certificate: text("tls.crt")?,
            key: text("tls.key")?,
        };
        authority.issuer()?;
        Ok(authority)
    }

    fn to_secret(&self, namespace: &str) -> Secret {
        let data = [("tls.crt", &self.certificate), ("tls.key", &self.key)];
        Secret {
            metadata: ObjectMeta {
                name: Some(SECRET.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(
                data.map(|(key, value)| (key.to_owned(), ByteString(value.clone().into_bytes())))
                    .into(),
            ),
            ..Secret::default()
        }
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, rcgen::Error> {
        Issuer::from_ca_cert_pem(&self.certificate, KeyPair::from_pem(&self.key)?)
    }

    /// A certificate for agents that are reached under `names`. It cannot be used as a client's.
    ///
    /// # Errors
    /// When keys cannot be made.
    pub fn sign_agent(&self, names: Vec<String>) -> Result<TlsFiles, AuthorityError> {
        self.sign("hera-agent", names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate with which this process speaks to agents.
    ///
    /// # Errors
    /// When keys cannot be made.
    pub fn sign_operator(&self) -> Result<TlsFiles, AuthorityError> {
        let names = vec!["hera-operator".to_owned()];
        self.sign("hera-operator", names, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        common_name: &str,
        names: Vec<String>,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<TlsFiles, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let now = OffsetDateTime::now_utc();
        params.not_before = now - CLOCK_SKEW;
        params.not_after = now + LEAF_LIFE;
        let certificate = params.signed_by(&key, &self.issuer()?)?;
        Ok(TlsFiles {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            authority: self.certificate.clone(),
        })
    }

    /// True if `files` were signed by this authority and more than half of their life is left.
    pub fn is_fresh(&self, files: &TlsFiles) -> bool {
        files.authority == self.certificate
            && remaining(&files.certificate).is_some_and(|left| left > LEAF_LIFE / 2)
    }
}

/// Time until a PEM certificate expires.
fn remaining(pem: &str) -> Option<Duration> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
    let certificate = pem.parse_x509().ok()?;
    Some(certificate.validity().not_after.to_datetime() - OffsetDateTime::now_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_authority_signs_is_fresh_and_what_another_signs_is_not() {
        let ours = Authority::generate().unwrap();
        let other = Authority::generate().unwrap();
        let files = ours
            .sign_agent(vec!["a-0.a-headless.shop.svc".into()])
            .unwrap();
        assert!(ours.is_fresh(&files));
        assert!(!other.is_fresh(&files));
    }

    #[test]
    fn an_authority_survives_its_secret() {
        let made = Authority::generate().unwrap();
        let read = Authority::from_secret(&made.to_secret("hera-system")).unwrap();
        assert_eq!(read.certificate, made.certificate);
        assert!(read.is_fresh(&made.sign_operator().unwrap()));
    }
}
