//! A server whose connections are bounded: in number, in what they may say before they are heard, and in how
//! long they may take for that.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tracing::{debug, warn};

use crate::places::{Limits, Place, Places};

/// A request's line and headers; ours are a few hundred bytes.
const HEADERS: usize = 16 * 1024;
const HEADER_COUNT: usize = 64;
/// After a connection could not be taken, as all descriptors are in use.
const PAUSE: Duration = Duration::from_millis(100);

/// How a connection is taken: by a handshake, or at once.
pub trait Accept: Clone + Send + Sync + 'static {
    /// What is spoken over.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Takes a connection: what is spoken over, and who answers there.
    fn accept(
        &self,
        stream: TcpStream,
        routes: Router,
    ) -> impl Future<Output = io::Result<(Self::Stream, Router)>> + Send;
}

/// Without a handshake.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Accept for Plain {
    type Stream = TcpStream;

    async fn accept(&self, stream: TcpStream, routes: Router) -> io::Result<(TcpStream, Router)> {
        Ok((stream, routes))
    }
}

/// The bounds of a listener.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections whose handshake is not done.
    pub strangers: Limits,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// Connections after it.
    pub known: Limits,
    /// How long one may take for the headers of its next request.
    pub headers: Duration,
}

/// For probes and metrics, which anybody may ask for: a kubelet, a scraper, one request at a time.
pub const OPEN: Bounds = Bounds {
    strangers: SMALL,
    handshake: Duration::from_secs(5),
    known: SMALL,
    headers: Duration::from_secs(5),
};
const SMALL: Limits = Limits {
    in_all: 64,
    of_one: 16,
};

/// Behind certificates: a stream of news for each that listens, and requests, whose connections clients keep for
/// 90 seconds.
pub const CONTROL: Bounds = Bounds {
    strangers: SMALL,
    handshake: Duration::from_secs(5),
    known: Limits {
        in_all: 128,
        of_one: 32,
    },
    headers: Duration::from_secs(120),
};

/// Serves until the task is dropped.
pub async fn serve<A: Accept>(listener: TcpListener, accept: A, routes: Router, bounds: Bounds) {
    let strangers = Places::new(bounds.strangers);
    let known = Places::new(bounds.known);
    loop {
        let (stream, from) = match listener.accept().await {
            Ok((stream, from)) => (stream, from.ip().to_canonical()),
            Err(error) if is_of_one(&error) => continue,
            Err(error) => {
                warn!(%error, "no connection can be taken");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (accept, routes) = (accept.clone(), routes.clone());
        let known = known.clone();
        // It begins once its place is known, which it gives up at its end.
        let (begin, begins) = tokio::sync::oneshot::channel::<(Place, AbortHandle)>();
        let task = tokio::spawn(async move {
            let Ok((stranger, own)) = begins.await else {
                return;
            };
            let taken = tokio::time::timeout(bounds.handshake, accept.accept(stream, routes));
            match taken.await {
                Ok(Ok((stream, routes))) => {
                    let _known = known.take(from, own);
                    drop(stranger);
                    speak(stream, routes, bounds.headers).await;
                }
                Ok(Err(error)) => debug!(%error, %from, "a connection is not taken"),
                Err(_) => debug!(%from, "a connection says nothing"),
            }
        });
        let place = strangers.take(from, task.abort_handle());
        // It is not begun yet, so it waits for this.
        let _ = begin.send((place, task.abort_handle()));
    }
}

/// True for what concerns the one who connects alone.
fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

async fn speak<S>(stream: S, routes: Router, headers: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(headers)
        .max_buf_size(HEADERS)
        .max_headers(HEADER_COUNT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    if let Err(error) = served.await {
        debug!(%error, "a connection broke");
    }
}
