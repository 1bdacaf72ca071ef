//! The certificate authority with which operator and agents know each other.

use std::sync::Arc;

use hera_api::meta::{LABEL_MANAGED_BY, MANAGED_BY};
use hera_core::agent::OPERATOR_NAME;
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
                labels: Some([(LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned())].into()),
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

    /// A certificate for agents that are reached under `names`, with which they also ask each
    /// other. Whom it lets give orders is told by its names: none of them is [`OPERATOR_NAME`].
    ///
    /// # Errors
    /// When keys cannot be made.
    pub fn sign_agent(&self, names: Vec<String>) -> Result<TlsFiles, AuthorityError> {
        let usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.sign("hera-agent", names, usages)
    }

    /// Its certificate, by which others know what it signed.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate with which this process speaks to agents.
    ///
    /// # Errors
    /// When keys cannot be made.
    pub fn sign_operator(&self) -> Result<TlsFiles, AuthorityError> {
        let names = vec![OPERATOR_NAME.to_owned()];
        let usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(OPERATOR_NAME, names, usages)
    }

    fn sign(
        &self,
        common_name: &str,
        names: Vec<String>,
        usages: Vec<ExtendedKeyUsagePurpose>,
    ) -> Result<TlsFiles, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
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

    /// True if the agents' `files` were signed by this authority, more than half of their life is
    /// left, and they are good for what agents do with them: those of an older operator were for
    /// servers only.
    pub fn is_fresh(&self, files: &TlsFiles) -> bool {
        files.authority == self.certificate
            && look(&files.certificate)
                .is_some_and(|leaf| leaf.remaining > LEAF_LIFE / 2 && leaf.server && leaf.client)
    }
}

/// Until when the certificate in `files` is good, in seconds since 1970; none if it cannot be read.
pub fn good_until(files: &TlsFiles) -> Option<u64> {
    Some(look(&files.certificate)?.until)
}

/// What a certificate says about itself.
struct Leaf {
    /// When it expires, in seconds since 1970.
    until: u64,
    /// Time until it expires.
    remaining: Duration,
    /// It is good for a server.
    server: bool,
    /// It is good for a client.
    client: bool,
}

fn look(pem: &str) -> Option<Leaf> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
    let certificate = pem.parse_x509().ok()?;
    let usages = certificate.extended_key_usage().ok()??.value;
    let until = certificate.validity().not_after.to_datetime();
    Some(Leaf {
        until: u64::try_from(until.unix_timestamp()).ok()?,
        remaining: until - OffsetDateTime::now_utc(),
        server: usages.server_auth,
        client: usages.client_auth,
    })
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
    fn what_is_signed_is_good_for_its_life() {
        let ours = Authority::generate().unwrap();
        let files = ours.sign_agent(vec!["a-0".into()]).unwrap();
        let until = good_until(&files).unwrap();
        let wanted = (OffsetDateTime::now_utc() + LEAF_LIFE).unix_timestamp();
        let wanted = u64::try_from(wanted).unwrap();
        assert!(wanted.abs_diff(until) < 60, "{until} {wanted}");
        let nothing = TlsFiles {
            certificate: String::new(),
            ..files
        };
        assert_eq!(good_until(&nothing), None);
    }

    #[test]
    fn what_only_a_server_may_show_is_signed_again() {
        let ours = Authority::generate().unwrap();
        let names = vec!["*.a-headless.shop.svc".to_owned()];
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let old = ours.sign("hera-agent", names.clone(), usages).unwrap();
        assert!(!ours.is_fresh(&old));
        assert!(ours.is_fresh(&ours.sign_agent(names).unwrap()));
    }

    #[test]
    fn operator_and_agents_are_told_apart_by_their_names() {
        let ours = Authority::generate().unwrap();
        let names = |files: &TlsFiles| {
            let (_, pem) = x509_parser::pem::parse_x509_pem(files.certificate.as_bytes()).unwrap();
            let certificate = pem.parse_x509().unwrap();
            let extension = certificate.subject_alternative_name().unwrap().unwrap();
            extension
                .value
                .general_names
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(&ours.sign_operator().unwrap()),
            ["DNSName(hera-operator)"]
        );
        let wildcard = "*.a-headless.shop.svc";
        assert_eq!(
            names(&ours.sign_agent(vec![wildcard.into()]).unwrap()),
            [format!("DNSName({wildcard})")]
        );
    }

    #[test]
    fn an_authority_survives_its_secret() {
        let made = Authority::generate().unwrap();
        let read = Authority::from_secret(&made.to_secret("hera-system")).unwrap();
        assert_eq!(read.certificate, made.certificate);
        assert!(read.is_fresh(&made.sign_agent(vec!["a-0".into()]).unwrap()));
    }
}
