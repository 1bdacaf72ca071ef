//! Connections of somebody who has no certificate: they cost little, and keep nobody out (issue 19, H3).

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::engine::Engine;
use crate::pod::Pod;

facts_on!(
    once,
    REDIS_7_0,
    half_greetings_and_half_requests_cost_little_and_keep_nobody_out
);

/// What killed data pods, before.
const CONNECTIONS: usize = 1_000;
/// An agent that serves nobody takes about 12 MiB.
const MEMORY_KIB: u64 = 48 * 1024;

async fn half_greetings_and_half_requests_cost_little_and_keep_nobody_out(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    // A record of TLS that announces 16 KiB of a ClientHello, and 400 KB of a header.
    let hello = [&[22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc][..], &[0; 8_000]].concat();
    let header = format!("GET /livez HTTP/1.1\r\nx: {}", "x".repeat(400_000));
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.extend(half(pod.control(), &hello).await);
        open.extend(half(pod.probes(), header.as_bytes()).await);
    }
    assert_eq!(pod.probe("/livez").await, 200);
    pod.status().await.unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", pod.agent_pid())).unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!(
        "FIGURE agent beside {} half connections: {kib} KiB",
        open.len()
    );
    assert!(kib < MEMORY_KIB, "{kib} KiB");
}

/// A connection that says so much; it may be ended meanwhile.
async fn half(to: SocketAddr, said: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(to).await.ok()?;
    let said = stream.write_all(said);
    let _ = tokio::time::timeout(std::time::Duration::from_millis(20), said).await;
    Some(stream)
}
