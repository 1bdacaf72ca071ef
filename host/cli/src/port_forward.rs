//! `port-forward`: a local port that leads to a server, whoever is the primary.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use serde::Serialize;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::args::{Cluster, PortForward};
use crate::named::Object;
use crate::output::{Output, bad, strong};
use crate::reach::{Opens, Reach, Whom};
use crate::{Verdict, output};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Forwarded {
    address: SocketAddr,
    name: String,
    /// Where the first connection would go.
    pod: String,
}

/// Forwards until somebody ends it.
///
/// # Errors
/// When there is nobody to reach, the port is taken, or one port is of no use.
pub async fn run(asked: &PortForward, wanted: &Cluster, output: Output) -> anyhow::Result<Verdict> {
    let reach = Reach::new(&asked.place, wanted).await?;
    if let Some(words) = why_not(&reach.object().await?, reach.whom()) {
        bail!("{}: {words}", asked.place.target);
    }
    let pod = reach.pod().await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, asked.local))
        .await
        .with_context(|| format!("port {} of this machine: name another", asked.local))?;
    let forwarded = Forwarded {
        address: listener.local_addr()?,
        name: asked.place.target.to_string(),
        pod: pod.clone(),
    };
    let whom = match reach.whom() {
        Whom::Primary => "the primary of",
        Whom::Replica => "a replica of",
        Whom::Pod(_) => "a pod of",
    };
    output.print(&forwarded, |told| {
        format!(
            "{} leads to {whom} {}, {} now; Ctrl-C ends it\n",
            strong(&told.address.to_string()),
            told.name,
            told.pod
        )
    })?;
    tokio::select! {
        ended = serve(listener, reach, pod, |words| anstream::eprintln!("{words}")) => ended?,
        ended = tokio::signal::ctrl_c() => ended?,
    }
    Ok(Verdict::Yes)
}

/// Why one port is of no use.
fn why_not(object: &Object, whom: &Whom) -> Option<&'static str> {
    match (object, whom) {
        (Object::Cluster(_), Whom::Primary | Whom::Replica) => Some(
            "a client of a cluster must reach each of its servers, at the address that it announces, and one \
             local port leads to one: name it with --pod POD, or use kubectl hera cli",
        ),
        _ => None,
    }
}

/// Leads each connection to the pod that is meant when it comes. What there is to say of it is told
/// to `tell`, and ends nothing but that connection.
async fn serve<O: Opens>(
    listener: TcpListener,
    opens: O,
    first: String,
    tell: impl Fn(String) + Clone + Send + Sync + 'static,
) -> std::io::Result<()> {
    let opens = Arc::new(opens);
    let last = Arc::new(Mutex::new(first));
    loop {
        let (client, _) = listener.accept().await?;
        let (opens, last, tell) = (opens.clone(), last.clone(), tell.clone());
        tokio::spawn(async move {
            if let Err(error) = lead(client, &*opens, &last, &tell).await {
                tell(format!("{} {error:#}", bad("error:")));
            }
        });
    }
}

async fn lead<O: Opens>(
    mut client: TcpStream,
    opens: &O,
    last: &Mutex<String>,
    tell: &impl Fn(String),
) -> anyhow::Result<()> {
    let mut opened = opens.open().await?;
    let before = {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *last, opened.pod.clone())
    };
    if before != opened.pod {
        let words = format!("connections go to {} now", opened.pod);
        tell(output::odd(&words));
    }
    // A client that goes away, or a server, is nothing to tell of.
    let passed = copy_bidirectional(&mut client, &mut opened.stream).await;
    drop(opened.stream);
    match (passed, opened.why.await) {
        (Ok((_, 0)) | Err(_), Some(why)) => anyhow::bail!("pod {}: {}", opened.pod, why.trim()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use crate::named::tests::{cluster, instance};
    use crate::reach::Opened;
    use serde_json::json;

    /// Each stream leads to a pod that says its name and ends; after the first, another leads.
    struct TwoPods(AtomicUsize);

    impl Opens for TwoPods {
        type Stream = DuplexStream;

        async fn open(&self) -> anyhow::Result<Opened<DuplexStream>> {
            let number = self.0.fetch_add(1, Ordering::SeqCst).min(1);
            let pod = format!("shop-{number}");
            let (stream, mut server) = duplex(64);
            let name = pod.clone();
            tokio::spawn(async move {
                let mut asked = [0; 5];
                server.read_exact(&mut asked).await.unwrap();
                server.write_all(name.as_bytes()).await.unwrap();
            });
            Ok(Opened {
                pod,
                stream,
                why: Box::pin(std::future::ready(None)),
            })
        }
    }

    #[test]
    fn one_port_leads_to_a_server_of_a_cluster_only_if_it_is_named() {
        let (one, shards) = (instance(json!({})), cluster(json!({})));
        for whom in [Whom::Primary, Whom::Replica] {
            assert_eq!(why_not(&one, &whom), None);
            let words = why_not(&shards, &whom).unwrap();
            assert!(words.contains("--pod POD"), "{words}");
        }
        assert_eq!(why_not(&shards, &Whom::Pod("cart-shard-0-0".into())), None);
    }

    #[tokio::test]
    async fn each_connection_goes_to_the_pod_that_leads_when_it_comes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let opens = TwoPods(AtomicUsize::new(0));
        let tell = move |words| drop(tell.send(words));
        tokio::spawn(serve(listener, opens, "shop-0".to_owned(), tell));
        for expected in ["shop-0", "shop-1", "shop-1"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"hello").await.unwrap();
            let mut name = String::new();
            client.read_to_string(&mut name).await.unwrap();
            assert_eq!(name, expected);
        }
        let words = told.recv().await.unwrap();
        assert!(words.contains("shop-1 now"), "{words}");
        assert!(told.try_recv().is_err(), "once is enough");
    }
}
