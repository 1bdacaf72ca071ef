//! A store whose certificate is not of an authority that everybody trusts.

use std::net::SocketAddr;
use std::sync::Arc;

use hera_core::backup::{FailureReason, StoreAccess};
use hera_store::{Created, Store};
use hera_testbed::gateway::access_at;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::{BUCKET, PREFIX, gateway};

/// Speaks TLS in front of a store; gives its address and its certificate.
async fn in_front_of(to: SocketAddr) -> (SocketAddr, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else {
                    return;
                };
                let mut server = TcpStream::connect(to).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, certificate.pem())
}

fn access(address: SocketAddr, ca: Option<String>) -> StoreAccess {
    let mut access = access_at(&format!("https://{address}"), BUCKET, PREFIX);
    access.s3.ca = ca;
    access
}

#[tokio::test]
async fn an_authority_is_trusted_once_it_is_named_and_not_before() {
    let gateway = gateway();
    let (address, certificate) = in_front_of(gateway.address()).await;

    let stranger = Store::open(&access(address, None)).unwrap();
    let error = stranger.create("a", vec![1]).await.unwrap_err();
    assert_eq!(error.reason, FailureReason::StoreUnreachable, "{error}");
    assert!(error.message.contains("in caRef"), "{error}");

    let known = Store::open(&access(address, Some(certificate))).unwrap();
    assert_eq!(known.create("a", vec![1]).await.unwrap(), Created::New);
    assert_eq!(known.get("a").await.unwrap(), Some(vec![1]));
}

#[tokio::test]
async fn of_several_authorities_in_a_file_each_is_trusted() {
    let gateway = gateway();
    let (_, other) = in_front_of(gateway.address()).await;
    let (address, certificate) = in_front_of(gateway.address()).await;
    let both = format!("{other}\n{certificate}");
    let store = Store::open(&access(address, Some(both))).unwrap();
    assert_eq!(store.create("a", vec![1]).await.unwrap(), Created::New);
}
