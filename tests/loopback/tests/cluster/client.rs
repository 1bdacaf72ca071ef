//! Writes keys as a cluster's client does, and knows what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hera_redis::{Address, Server, Timeouts, command};

use crate::lab::Lab;
use crate::node::PORT;

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_millis(300),
    response: Duration::from_millis(1_500),
};

/// What was acknowledged.
#[derive(Default)]
pub struct Client {
    pub acknowledged: BTreeMap<String, String>,
    /// Keys that not every replica had when they were acknowledged.
    by_few: BTreeSet<String>,
    connections: BTreeMap<String, Server>,
}

impl Client {
    async fn connection(&mut self, ip: &str) -> Result<Server, String> {
        if let Some(known) = self.connections.get(ip) {
            return Ok(known.clone());
        }
        let server = Server::connect(&Address::tcp(ip.to_owned(), PORT), None, TIMEOUTS).await;
        let server = server.map_err(|error| error.to_string())?;
        self.connections.insert(ip.to_owned(), server.clone());
        Ok(server)
    }

    /// Sends words to whoever has the slot, from any node that answers.
    async fn send(
        &mut self,
        lab: &Lab,
        words: &[&str],
    ) -> Result<(Option<String>, Server), String> {
        let mut last = "nobody runs".to_owned();
        let addresses = lab.addresses();
        for first in addresses {
            let mut ip = first;
            for _ in 0..4 {
                let server = match self.connection(&ip).await {
                    Ok(server) => server,
                    Err(words) => {
                        last = words;
                        break;
                    }
                };
                let mut asked = command(words[0]);
                asked.arg(&words[1..]);
                match server.ask::<Option<String>>(words[0], &asked).await {
                    Ok(answer) => return Ok((answer, server)),
                    Err(error) => {
                        last = format!("{ip}: {error}");
                        if error.is_broken() || !error.is_answer() {
                            self.connections.remove(&ip);
                            // Another server may have the address by now.
                            continue;
                        }
                        // MOVED 3999 127.0.0.1:6381
                        let moved = last.split_once("MOVED ").map(|(_, rest)| rest.to_owned());
                        let Some(moved) = moved else { break };
                        let to = moved.split_whitespace().nth(1).unwrap_or_default();
                        let Some((next, _)) = to.rsplit_once(':') else {
                            break;
                        };
                        ip = next.to_owned();
                    }
                }
            }
        }
        Err(last)
    }

    /// Writes so many keys; tells to whom.
    pub async fn send_all(
        &mut self,
        lab: &Lab,
        name: &str,
        count: usize,
    ) -> BTreeMap<String, Server> {
        let mut writers = BTreeMap::new();
        for at in 0..count {
            let (key, value) = (format!("{name}:{at}"), format!("{name}-{at}"));
            let since = Instant::now();
            let server = loop {
                match self.send(lab, &["SET", &key, &value]).await {
                    Ok((_, server)) => break server,
                    Err(words) => {
                        assert!(since.elapsed() < Duration::from_secs(20), "{key}: {words}")
                    }
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            };
            self.acknowledged.insert(key, value);
            writers.insert(format!("{server:?}"), server);
        }
        writers
    }

    /// Writes as many of these keys as somebody takes now; a replica that is there has them, and where there is
    /// none only the primary does.
    pub async fn write_some(&mut self, lab: &Lab, name: &str, count: usize) {
        let mut writers = BTreeMap::new();
        for at in 0..count {
            let (key, value) = (format!("{name}:{at}"), format!("{name}-{at}"));
            if let Ok((_, server)) = self.send(lab, &["SET", &key, &value]).await {
                self.acknowledged.insert(key.clone(), value);
                let (_, keys) = writers
                    .entry(format!("{server:?}"))
                    .or_insert_with(|| (server, Vec::new()));
                keys.push(key);
            }
        }
        for (server, keys) in writers.into_values() {
            let mut wait = command("WAIT");
            wait.arg(lab.wanted.replicas).arg(200);
            let reached = server.ask::<u32>("WAIT", &wait).await;
            if !matches!(reached, Ok(reached) if reached >= lab.wanted.replicas) {
                self.by_few.extend(keys);
            }
        }
    }

    /// A server freezes: the others vote, and whoever is elected may lack what only it and some others had.
    pub fn forget_what_few_have(&mut self) {
        for key in std::mem::take(&mut self.by_few) {
            self.acknowledged.remove(&key);
        }
    }

    /// Writes so many keys, and waits until every replica has each.
    pub async fn write(&mut self, lab: &Lab, name: &str, count: usize) {
        let writers = self.send_all(lab, name, count).await;
        // What a replica has not got may be lost with its primary, whoever leads then.
        for server in writers.values() {
            let since = Instant::now();
            loop {
                let mut wait = command("WAIT");
                wait.arg(lab.wanted.replicas).arg(500);
                match server.ask::<u32>("WAIT", &wait).await {
                    Ok(replicas) if replicas >= lab.wanted.replicas => break,
                    answer => assert!(
                        since.elapsed() < Duration::from_secs(20),
                        "{answer:?}\n{}",
                        lab.tell()
                    ),
                }
            }
        }
    }

    /// Every acknowledged key is there, by content.
    pub async fn check(&mut self, lab: &Lab) {
        for (key, value) in self.acknowledged.clone() {
            let found = self.send(lab, &["GET", &key]).await;
            let (found, _) = found.unwrap_or_else(|words| panic!("{key}: {words}\n{}", lab.tell()));
            assert_eq!(
                found.as_deref(),
                Some(value.as_str()),
                "{key}\n{}",
                lab.tell()
            );
        }
    }
}
