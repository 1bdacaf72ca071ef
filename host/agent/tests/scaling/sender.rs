//! Sends commands as a client of a cluster does: to who has the slot, and on to where it is sent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hera_redis::{Credentials, Error, Server, Timeouts, Value};

use crate::owners::command;
use crate::slots::slot_of;

/// Nobody waits for longer for a slot that nobody serves.
const LIMIT: Duration = Duration::from_secs(30);
/// Before somebody else is asked.
const PAUSE: Duration = Duration::from_millis(5);
/// So often it is sent on at once.
const HOPS: u32 = 4;

/// What became of a command.
pub enum Sent {
    /// It was carried out, once.
    Done(Value),
    /// The connection ended before the answer came: it was carried out, or not.
    Unknown,
}

/// A client, with connections of its own.
pub struct Sender {
    /// Servers that are there all along.
    seeds: Vec<(String, u16)>,
    asked: usize,
    owners: BTreeMap<u16, (String, u16)>,
    connections: BTreeMap<(String, u16), Server>,
}

impl Sender {
    pub fn new(seeds: &[(String, u16)]) -> Self {
        Self {
            seeds: seeds.to_vec(),
            asked: 0,
            owners: BTreeMap::new(),
            connections: BTreeMap::new(),
        }
    }

    /// Sends a command about the key that stands second in it.
    ///
    /// # Panics
    /// Nobody carries it out for too long.
    pub async fn send(&mut self, words: &[Vec<u8>]) -> Sent {
        let (slot, since) = (slot_of(&words[1]), Instant::now());
        let mut at = self
            .owners
            .get(&slot)
            .cloned()
            .unwrap_or_else(|| self.seed());
        let (mut asking, mut hops) = (false, 0);
        let mut last = String::new();
        loop {
            assert!(since.elapsed() < LIMIT, "slot {slot} is not served: {last}");
            let Ok(server) = self.connection(&at).await else {
                last = format!("no connection to {at:?}");
                (at, asking) = (self.seed(), false);
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            match say(&server, words, asking).await {
                Ok(answer) => {
                    if !asking {
                        self.owners.insert(slot, at);
                    }
                    return Sent::Done(answer);
                }
                Err(Error::Refused { code, message, .. }) => {
                    last = format!("{code} {message}");
                    let next = match code.as_str() {
                        "MOVED" | "ASK" => redirect(&message),
                        _ => None,
                    };
                    asking = code == "ASK" && next.is_some();
                    hops += 1;
                    if next.is_none() || hops > HOPS {
                        tokio::time::sleep(PAUSE).await;
                    }
                    at = next.unwrap_or_else(|| self.seed());
                }
                Err(error) if error.is_answer() => panic!("{error}"),
                Err(_) => {
                    self.connections.remove(&at);
                    self.owners.remove(&slot);
                    return Sent::Unknown;
                }
            }
        }
    }

    /// The servers, one after the other.
    fn seed(&mut self) -> (String, u16) {
        self.asked += 1;
        self.seeds[self.asked % self.seeds.len()].clone()
    }

    async fn connection(&mut self, at: &(String, u16)) -> Result<Server, Error> {
        if let Some(server) = self.connections.get(at) {
            return Ok(server.clone());
        }
        let server = connect(at, "app").await?;
        self.connections.insert(at.clone(), server.clone());
        Ok(server)
    }
}

/// A connection of a user whose password is its name.
pub async fn connect(at: &(String, u16), user: &str) -> Result<Server, Error> {
    let address = hera_redis::Address::tcp(at.0.clone(), at.1);
    let credentials = Credentials::new(user, user);
    Server::connect(&address, Some(&credentials), Timeouts::default()).await
}

async fn say(server: &Server, words: &[Vec<u8>], asking: bool) -> Result<Value, Error> {
    if asking {
        let asking = hera_redis::command("ASKING");
        server.ask::<Value>("ASKING", &asking).await?;
    }
    server.ask::<Value>("a command", &command(words)).await
}

/// `3999 127.0.0.1:6381`
fn redirect(message: &str) -> Option<(String, u16)> {
    let (host, port) = message.split_whitespace().nth(1)?.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?))
}
