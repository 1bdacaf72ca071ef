use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hera_core::agent::{
    CONTROL_PORT, OPERATOR_NAME, Order, PATH_ORDERS, PATH_POSITION, Position, Request,
};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt as _;
use kube::api::Api;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::Bed;

const NAMESPACE: &str = "hera-system";
const AUTHORITY: &str = "hera-ca";

/// Gives orders to agents as a leader would that is out of its mind, or of another time: whoever can
/// read the operator's Secrets can do that.
pub struct Forger {
    tls: ClientConfig,
}

impl Forger {
    /// One with the operator's name in a certificate of the operator's authority.
    ///
    /// # Errors
    /// When the authority cannot be read.
    pub async fn new(bed: &Bed) -> Result<Self> {
        let secrets: Api<Secret> = Api::namespaced(bed.client.clone(), NAMESPACE);
        let data = secrets.get(AUTHORITY).await?.data.unwrap_or_default();
        let text = |key: &str| -> Result<String> {
            let value = data.get(key).with_context(|| format!("no {key}"))?;
            Ok(String::from_utf8(value.0.clone())?)
        };
        let authority = text("tls.crt")?;
        let issuer = Issuer::from_ca_cert_pem(&authority, KeyPair::from_pem(&text("tls.key")?)?)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![OPERATOR_NAME.to_owned()])?;
        params
            .distinguished_name
            .push(DnType::CommonName, OPERATOR_NAME);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &issuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())?,
            )?;
        Ok(Self { tls })
    }

    /// Gives an order; the status and the body of the agent's answer.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub async fn order(&self, pod: &Pod, term: u64, body: Order) -> Result<(u16, String)> {
        let (client, base) = self.client(pod)?;
        let request = Request { term, body };
        let url = format!("{base}{PATH_ORDERS}");
        let answer = client.post(url).json(&request).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Where a copy stands.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub async fn position(&self, pod: &Pod) -> Result<Position> {
        let (client, base) = self.client(pod)?;
        let answer = client.get(format!("{base}{PATH_POSITION}")).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    fn client(&self, pod: &Pod) -> Result<(reqwest::Client, String)> {
        let name = pod.name_any();
        let instance = name.rsplit_once('-').context("no ordinal")?.0;
        let namespace = pod.namespace().context("no namespace")?;
        let host = format!("{name}.{instance}-headless.{namespace}.svc");
        let ip = pod
            .status
            .as_ref()
            .and_then(|status| status.pod_ip.as_ref());
        let ip = ip.context("no pod IP")?.parse()?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .resolve(&host, SocketAddr::new(ip, CONTROL_PORT))
            .timeout(Duration::from_secs(5))
            .no_proxy()
            .build()?;
        Ok((client, format!("https://{host}:{CONTROL_PORT}")))
    }
}
