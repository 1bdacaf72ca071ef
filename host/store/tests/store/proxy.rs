//! What lies between a pod and its store.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// As good as no end: bytes of an answer.
const ENDLESS: usize = 64 << 20;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// All passes.
    Open,
    /// After so many bytes of the client it is cut.
    CutSending(u64),
    /// After so many bytes for the client it is cut.
    CutReceiving(u64),
    /// What is sent is swallowed, and nothing is answered.
    Hole,
    /// A page that says that there is no such page, as one in front of another service would.
    Page,
    /// An answer with this status that does not end.
    Endless(&'static str),
}

/// A proxy on loopback.
pub struct Proxy {
    pub address: SocketAddr,
    /// Most bytes that went out in an answer without end.
    most: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// The first connections go the first ways, all after them the last one.
    pub async fn start(to: SocketAddr, ways: Vec<Way>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let most = Arc::<AtomicUsize>::default();
        let sent = Arc::clone(&most);
        let task = tokio::spawn(async move {
            for number in 0.. {
                let (client, _) = listener.accept().await.unwrap();
                let way = ways.get(number).or(ways.last()).copied();
                tokio::spawn(pass(
                    client,
                    to,
                    way.unwrap_or(Way::Open),
                    Arc::clone(&sent),
                ));
            }
        });
        Self {
            address,
            most,
            task,
        }
    }

    /// Most bytes that a client took of an answer without end.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: TcpStream, to: SocketAddr, way: Way, most: Arc<AtomicUsize>) {
    let (sending, receiving) = match way {
        Way::Open => (u64::MAX, u64::MAX),
        Way::CutSending(bytes) => (bytes, u64::MAX),
        Way::CutReceiving(bytes) => (u64::MAX, bytes),
        Way::Hole => {
            let _ = copy(&mut client, &mut sink()).await;
            return;
        }
        Way::Page => {
            let _ = client.read(&mut [0; 4096]).await;
            let page = "HTTP/1.1 404 Not Found\r\ncontent-length: 22\r\nconnection: close\r\n\r\n";
            let _ = client.write_all(page.as_bytes()).await;
            let _ = client.write_all(b"default backend - 404\n").await;
            return;
        }
        Way::Endless(status) => {
            let _ = client.read(&mut [0; 4096]).await;
            let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n");
            let _ = client.write_all(head.as_bytes()).await;
            let piece = vec![b'x'; 64 << 10];
            let mut sent = 0;
            while sent < ENDLESS && client.write_all(&piece).await.is_ok() {
                sent += piece.len();
                most.fetch_max(sent, Ordering::Relaxed);
            }
            return;
        }
    };
    let Ok(server) = TcpStream::connect(to).await else {
        return;
    };
    let (from_client, mut to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let (mut from_client, mut from_server) =
        (from_client.take(sending), from_server.take(receiving));
    // Whoever is done first ends both.
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => {}
        _ = copy(&mut from_server, &mut to_client) => {}
    }
}
