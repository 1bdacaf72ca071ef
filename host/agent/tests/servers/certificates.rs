//! Certificates as the operator makes them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use hera_core::agent::OPERATOR_NAME;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Years in which certificates end.
const LONG_AGO: i32 = 2001;
const YEARS_TO_COME: i32 = 4000;

/// Signs certificates.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "hera-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::from_ca_cert_pem(&certificate, key).unwrap();
        Self {
            certificate,
            issuer,
        }
    }

    /// A certificate for an agent that is reached under `name`.
    pub fn agent(&self, name: &str) -> Identity {
        let usages = [
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.sign(name, &usages, YEARS_TO_COME)
    }

    /// The same, of a time that is over.
    pub fn expired_agent(&self, name: &str) -> Identity {
        let usages = [
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.sign(name, &usages, LONG_AGO)
    }

    /// A certificate for the operator.
    pub fn operator(&self) -> Identity {
        self.sign(
            OPERATOR_NAME,
            &[ExtendedKeyUsagePurpose::ClientAuth],
            YEARS_TO_COME,
        )
    }

    /// The same, of a time that is over.
    pub fn expired_operator(&self) -> Identity {
        self.sign(
            OPERATOR_NAME,
            &[ExtendedKeyUsagePurpose::ClientAuth],
            LONG_AGO,
        )
    }

    fn sign(&self, name: &str, usages: &[ExtendedKeyUsagePurpose], until: i32) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages.to_vec();
        Identity {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// Writes what is mounted into a pod.
    pub fn write(&self, folder: &Path, agent: &Identity) {
        fs::create_dir_all(folder).unwrap();
        let files = [
            ("ca.crt", &self.certificate),
            ("tls.crt", &agent.certificate),
            ("tls.key", &agent.key),
        ];
        for (name, content) in files {
            let aside = folder.join(format!("{name}.aside"));
            fs::write(&aside, content).unwrap();
            fs::rename(aside, folder.join(name)).unwrap();
        }
    }

    /// A client that trusts this authority and shows `identity`.
    pub fn client(&self, identity: Option<&Identity>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        match identity {
            None => config.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        }
    }
}
