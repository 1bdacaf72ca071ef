//! Who calls: told by the certificate that a client shows.

use std::io;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use hera_core::agent::OPERATOR_NAME;
use hera_http::serve::Accept;
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::control::answer::Refused;

/// Whose certificate it is. The authority has signed it in either case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The operator's.
    Operator,
    /// Another agent's: its certificate, if it shows one.
    Peer(Option<CertificateDer<'static>>),
}

impl Caller {
    fn of(certificates: Option<&[CertificateDer<'_>]>) -> Self {
        match certificates.and_then(<[_]>::first) {
            Some(certificate) if is_operators(certificate) => Self::Operator,
            other => Self::Peer(other.map(|certificate| certificate.clone().into_owned())),
        }
    }

    /// True for an agent whose certificate is good for this name too: those of one object share it.
    pub fn is_good_for(&self, name: &str) -> bool {
        match self {
            Self::Peer(Some(certificate)) => has_name(certificate, name),
            Self::Operator | Self::Peer(None) => false,
        }
    }
}

/// True for the certificate of an operator, if the authority has signed it.
pub fn is_operators(certificate: &CertificateDer<'_>) -> bool {
    has_name(certificate, OPERATOR_NAME)
}

fn has_name(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let name = ServerName::try_from(name);
    let certificate = ParsedCertificate::try_from(certificate);
    match (certificate, name) {
        (Ok(certificate), Ok(name)) => verify_server_name(&certificate, &name).is_ok(),
        _ => false,
    }
}

/// Lets only the operator pass.
pub async fn operator_only(request: Request, next: Next) -> Response {
    match request.extensions().get::<Caller>() {
        Some(Caller::Operator) => next.run(request).await,
        _ => Refused::new(StatusCode::FORBIDDEN, "this is for the operator alone").into_response(),
    }
}

/// Accepts connections and tells requests who sends them.
#[derive(Clone)]
pub struct Acceptor(watch::Receiver<Arc<ServerConfig>>);

impl Acceptor {
    /// With the certificates that are in force when somebody connects.
    pub fn new(config: watch::Receiver<Arc<ServerConfig>>) -> Self {
        Self(config)
    }
}

impl Accept for Acceptor {
    type Stream = TlsStream<TcpStream>;

    async fn accept(
        &self,
        stream: TcpStream,
        routes: Router,
    ) -> io::Result<(Self::Stream, Router)> {
        let config = self.0.borrow().clone();
        stream.set_nodelay(true)?;
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let caller = Caller::of(stream.get_ref().1.peer_certificates());
        Ok((stream, routes.layer(Extension(caller))))
    }
}
