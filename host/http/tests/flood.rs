//! Who connects and says nothing, or too much, locks nobody out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hera_http::answer::{self, AnswerError};
use hera_http::serve::{Bounds, OPEN, Plain, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const SOON: Duration = Duration::from_secs(5);

async fn listen(bounds: Bounds) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().route("/livez", get(|| async { "ok\n" }));
    tokio::spawn(serve(listener, Plain, routes, bounds));
    address
}

/// A connection from an address of loopback.
async fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(to).await.unwrap()
}

/// What is answered to a probe; none if the connection is closed instead.
async fn probe(mut stream: TcpStream) -> Option<String> {
    let asked = b"GET /livez HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n";
    stream.write_all(asked).await.ok()?;
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(SOON, read).await.unwrap().ok()?;
    (!answer.is_empty()).then_some(answer)
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut byte)).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

/// Nobody is hung up on for being slow within the time of a test.
const PATIENT: Bounds = Bounds {
    headers: Duration::from_secs(600),
    ..OPEN
};

#[tokio::test]
async fn a_probe_is_answered_beside_hundreds_of_connections_that_say_half_a_request() {
    let to = listen(PATIENT).await;
    let mut open = Vec::new();
    for number in (100..109_u8).cycle().take(400) {
        let mut stream = connect([127, 0, 0, number], to).await;
        // The server may have given its place to another by now.
        let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nx: ").await;
        open.push(stream);
    }
    let answer = probe(connect([127, 0, 0, 2], to).await).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let closed = futures::future::join_all(open.iter_mut().map(is_closed)).await;
    let left = closed.iter().filter(|closed| !**closed).count();
    let most = OPEN.known.in_all;
    assert!((most / 2..=most).contains(&left), "{left} are served");
}

#[tokio::test]
async fn one_address_has_no_more_than_its_share_and_its_newest_are_served() {
    let to = listen(PATIENT).await;
    let mut open = Vec::new();
    for _ in 0..100 {
        open.push(connect([127, 0, 0, 3], to).await);
    }
    let newest = probe(connect([127, 0, 0, 3], to).await).await;
    assert!(newest.is_some());
    assert!(is_closed(open.first_mut().unwrap()).await);
    assert!(!is_closed(open.last_mut().unwrap()).await);
}

#[tokio::test]
async fn who_does_not_end_its_headers_is_hung_up_on() {
    let quick = Bounds {
        headers: Duration::from_millis(300),
        ..OPEN
    };
    let to = listen(quick).await;
    let mut slow = connect([127, 0, 0, 4], to).await;
    slow.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(SOON, slow.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "it is still open");
}

#[tokio::test]
async fn a_header_of_hundreds_of_kilobytes_is_refused() {
    let to = listen(PATIENT).await;
    let mut large = connect([127, 0, 0, 4], to).await;
    let header = format!("GET /livez HTTP/1.1\r\nx: {}", "a".repeat(400_000));
    let _ = large.write_all(header.as_bytes()).await;
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(SOON, large.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "it is still open");
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_bound_whatever_it_says_of_its_length() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut asked = [0; 1024];
                let read = stream.read(&mut asked).await.unwrap();
                let told = asked[..read].windows(5).any(|word| word == b"/told");
                let length = match told {
                    true => "content-length: 1572864000",
                    false => "transfer-encoding: chunked",
                };
                let head = format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                let chunk = format!("1000\r\n{}\r\n", " ".repeat(4096));
                while stream.write_all(chunk.as_bytes()).await.is_ok() {}
            });
        }
    });
    let _ = rustls::crypto::ring::default_provider().install_default();
    for path in ["told", "chunked"] {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = http
            .get(format!("http://{to}/{path}"))
            .send()
            .await
            .unwrap();
        let read = answer::json::<serde_json::Value>(response, 4096).await;
        assert!(matches!(read, Err(AnswerError::TooLong(4096))), "{path}");
    }
}
