//! One certificate authority and what it signs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

use crate::names::{API_PORT, API_SERVICE_IP, DATA, HOST_IP, NODES};

/// The folder of keys and certificates. It belongs to the cluster, not to a clone.
pub fn dir() -> PathBuf {
    Path::new(DATA).join("pki")
}

/// The path of a file of the PKI.
pub fn file(name: &str) -> String {
    dir().join(name).display().to_string()
}

/// Makes all that is missing: nothing on a cluster that has it.
pub fn create() -> Result<()> {
    if dir().join("complete").exists() {
        return Ok(());
    }
    fs::create_dir_all(dir())?;
    let ca_key = KeyPair::generate()?;
    let mut ca = named("hera-testbed", None)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    write("ca.crt", &ca.self_signed(&ca_key)?.pem())?;
    write("ca.key", &ca_key.serialize_pem())?;
    let issuer = Issuer::new(ca, ca_key);

    let names = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let addresses = ["localhost", "127.0.0.1", API_SERVICE_IP, HOST_IP];
    let api_names: Vec<String> = names
        .into_iter()
        .chain(addresses)
        .map(str::to_owned)
        .collect();
    sign(&issuer, "apiserver", "kube-apiserver", None, &api_names)?;
    sign(&issuer, "front", "front-proxy", None, &[])?;
    user(
        &issuer,
        "admin",
        "testbed-admin",
        Some("system:masters"),
        &[],
    )?;
    user(
        &issuer,
        "controllers",
        "system:kube-controller-manager",
        None,
        &[],
    )?;
    user(&issuer, "scheduler", "system:kube-scheduler", None, &[])?;
    user(
        &issuer,
        "proxy",
        "system:kube-proxy",
        Some("system:node-proxier"),
        &[],
    )?;
    user(
        &issuer,
        "provisioner",
        "system:testbed-provisioner",
        Some("system:masters"),
        &[],
    )?;
    for node in NODES {
        let (file, name) = (
            format!("kubelet-{}", node.name()),
            format!("system:node:{}", node.name()),
        );
        user(
            &issuer,
            &file,
            &name,
            Some("system:nodes"),
            &[node.name(), node.ip()],
        )?;
    }

    let tokens = KeyPair::generate()?;
    write("tokens.key", &tokens.serialize_pem())?;
    write("tokens.pub", &tokens.public_key_pem())?;
    write("complete", "")
}

fn named(name: &str, organisation: Option<&str>) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(organisation) = organisation {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organisation);
    }
    Ok(params)
}

fn sign(
    issuer: &Issuer<'_, KeyPair>,
    file: &str,
    name: &str,
    organisation: Option<&str>,
    sans: &[String],
) -> Result<()> {
    let key = KeyPair::generate()?;
    let mut params = named(name, organisation)?;
    params.subject_alt_names = CertificateParams::new(sans)?.subject_alt_names;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ];
    write(
        &format!("{file}.crt"),
        &params.signed_by(&key, issuer)?.pem(),
    )?;
    write(&format!("{file}.key"), &key.serialize_pem())
}

/// A certificate and the kubeconfig that uses it.
fn user(
    issuer: &Issuer<'_, KeyPair>,
    file: &str,
    name: &str,
    organisation: Option<&str>,
    sans: &[String],
) -> Result<()> {
    sign(issuer, file, name, organisation, sans)?;
    let encoded =
        |name: String| -> Result<String> { Ok(STANDARD.encode(fs::read(dir().join(name))?)) };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": {
            "server": format!("https://{HOST_IP}:{API_PORT}"),
            "certificate-authority-data": encoded("ca.crt".to_owned())?,
        }}],
        "users": [{"name": file, "user": {
            "client-certificate-data": encoded(format!("{file}.crt"))?,
            "client-key-data": encoded(format!("{file}.key"))?,
        }}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": file}}],
        "current-context": "testbed",
    });
    write(
        &format!("{file}.kubeconfig"),
        &serde_json::to_string_pretty(&config)?,
    )
}

fn write(name: &str, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = dir().join(name);
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}
