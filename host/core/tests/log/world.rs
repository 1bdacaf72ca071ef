//! Servers of a shard, what clients write to them, and when.

use std::collections::BTreeSet;

use crate::dice::Dice;

/// Bytes that a server can send again.
const BACKLOG: u64 = 2_000;

/// A write of a client, with a number of its own.
#[derive(Clone, Debug)]
pub struct Write {
    pub number: u64,
    /// Where it ends, or the transaction that it is in.
    pub end: u64,
    pub sent: u64,
    pub acked: Option<u64>,
}

/// A history, with the bytes of those that it goes on from.
#[derive(Clone, Debug)]
pub struct History {
    pub id: String,
    pub stream: Vec<u8>,
    /// Offsets between commands and outside of transactions.
    pub safe: Vec<u64>,
    /// What it goes on from, as its servers tell, and from where.
    pub from: Option<(usize, u64)>,
    /// What was there when it began, if it goes on from nothing.
    pub inherited: BTreeSet<u64>,
    pub writes: Vec<Write>,
}

#[derive(Clone, Debug)]
pub struct Server {
    pub history: usize,
    pub offset: u64,
    /// A history that it shares, and the first offset that it does not.
    pub other: Option<(usize, u64)>,
    /// The first byte that it can send.
    pub backlog_from: u64,
    /// It does not hear the primary.
    pub cut_off: bool,
}

#[derive(Clone, Debug)]
pub struct World {
    pub now: u64,
    pub dice: Dice,
    pub histories: Vec<History>,
    pub servers: Vec<Server>,
    pub primary: usize,
    /// It acknowledges writes.
    pub serves: bool,
    /// It says how much it has written.
    pub tells: bool,
    next: u64,
}

/// A command as it comes in a stream.
pub fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    bytes
}

pub fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap()
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut world = Self {
            now: 1_000_000,
            dice: Dice::new(seed),
            histories: Vec::new(),
            servers: Vec::new(),
            primary: 0,
            serves: true,
            tells: true,
            next: 0,
        };
        world.begin(Vec::new(), Vec::new(), None, BTreeSet::new());
        let server = Server {
            history: 0,
            offset: 0,
            other: None,
            backlog_from: 1,
            cut_off: false,
        };
        world.servers = vec![server; 3];
        world.noise();
        world.replicate();
        world
    }

    /// A new history.
    fn begin(
        &mut self,
        stream: Vec<u8>,
        safe: Vec<u64>,
        from: Option<(usize, u64)>,
        inherited: BTreeSet<u64>,
    ) -> usize {
        let at = self.histories.len();
        self.histories.push(History {
            id: format!("{at:040x}"),
            stream,
            safe,
            from,
            inherited,
            writes: Vec::new(),
        });
        at
    }

    fn append(&mut self, bytes: &[u8]) -> u64 {
        let server = &mut self.servers[self.primary];
        let history = &mut self.histories[server.history];
        history.stream.extend_from_slice(bytes);
        server.offset = length(&history.stream);
        history.safe.push(server.offset);
        server.offset
    }

    /// A client writes: a command, a transaction, or a message that no server keeps. One that is fenced writes too, and
    /// acknowledges nothing.
    pub fn write(&mut self) {
        let numbers = self.next..self.next + 1 + self.dice.below(3) as u64;
        let mut bytes = Vec::new();
        if self.dice.in_a_hundred(10) {
            bytes.extend(command(&["PUBLISH", "channel", "message"]));
        }
        if self.dice.in_a_hundred(10) {
            bytes.extend(command(&["SELECT", "0"]));
        }
        let is_transaction = numbers.end - numbers.start > 1;
        if is_transaction {
            bytes.extend(command(&["MULTI"]));
        }
        for number in numbers.clone() {
            let value = "v".repeat(self.dice.below(30));
            bytes.extend(command(&["SET", &format!("k{number}"), &value]));
        }
        if is_transaction {
            bytes.extend(command(&["EXEC"]));
        }
        self.next = numbers.end;
        let end = self.append(&bytes);
        let acked = self.serves.then_some(self.now);
        let (history, sent) = (self.servers[self.primary].history, self.now);
        let writes = numbers.map(|number| Write {
            number,
            end,
            sent,
            acked,
        });
        self.histories[history].writes.extend(writes);
    }

    /// What the primary sends to keep links alive.
    pub fn noise(&mut self) {
        let bytes = match self.dice.below(2) {
            0 => command(&["PING"]),
            _ => command(&["REPLCONF", "GETACK", "*"]),
        };
        self.append(&bytes);
    }

    /// Replicas hear the primary, some of them not of the last that it wrote.
    pub fn replicate(&mut self) {
        let current = self.servers[self.primary].history;
        let end = length(&self.histories[current].stream);
        for at in 0..self.servers.len() {
            if at == self.primary || self.servers[at].cut_off {
                continue;
            }
            let server = self.servers[at].clone();
            if server.history != current {
                self.servers[at] = self.resynced(&server, current, end);
                continue;
            }
            let history = &self.histories[current];
            let missing = history.safe.iter().filter(|safe| **safe > server.offset);
            let missing: Vec<u64> = missing.copied().collect();
            let late = self.dice.in_a_hundred(20);
            let some = self.dice.below(missing.len() + 1);
            let count = if late { some } else { missing.len() };
            if let Some(to) = missing[..count].last() {
                self.servers[at].offset = *to;
            }
        }
        for server in &mut self.servers {
            let oldest = (server.offset + 1).saturating_sub(BACKLOG);
            server.backlog_from = server.backlog_from.max(oldest);
        }
    }

    /// It has followed another history: it goes on with this one, or takes all of it anew.
    fn resynced(&self, server: &Server, current: usize, end: u64) -> Server {
        let shares = self.histories[current].from;
        match shares {
            Some((parent, at)) if parent == server.history && server.offset <= at => Server {
                history: current,
                other: Some((parent, server.offset + 1)),
                ..server.clone()
            },
            _ => Server {
                history: current,
                offset: end,
                other: None,
                backlog_from: end + 1,
                cut_off: false,
            },
        }
    }

    /// The primary is fenced; what it writes is acknowledged to nobody.
    pub fn fence(&mut self) {
        self.serves = false;
        self.tells = false;
    }

    /// A replica takes over, with what it has.
    pub fn promote(&mut self) {
        let old = self.servers[self.primary].history;
        let replicas = (0..self.servers.len()).filter(|at| *at != self.primary);
        let replicas: Vec<usize> = replicas
            .filter(|at| self.servers[*at].history == old)
            .collect();
        if replicas.is_empty() {
            return;
        }
        let chosen = replicas[self.dice.below(replicas.len())];
        let at = self.servers[chosen].offset;
        let History { stream, safe, .. } = &self.histories[old];
        let shared = stream[..usize::try_from(at).unwrap()].to_vec();
        let safe = safe.iter().filter(|safe| **safe <= at).copied().collect();
        let history = self.begin(shared, safe, Some((old, at)), BTreeSet::new());
        self.servers[self.primary].cut_off = true;
        self.primary = chosen;
        let server = &mut self.servers[chosen];
        server.history = history;
        server.other = Some((old, at + 1));
        server.cut_off = false;
        self.serves = true;
        self.tells = true;
        self.append(&command(&["SELECT", "0"]));
    }

    /// The primary starts again with its data, and knows nothing of its history.
    pub fn restart(&mut self) {
        let server = self.servers[self.primary].clone();
        let inherited = self.content(server.history, server.offset);
        let history = self.begin(Vec::new(), Vec::new(), None, inherited);
        self.servers[self.primary] = Server {
            history,
            offset: 0,
            other: None,
            backlog_from: 1,
            cut_off: false,
        };
        self.serves = true;
        self.tells = true;
        self.append(&command(&["SELECT", "0"]));
    }

    /// The writes that a history has up to an offset.
    pub fn content(&self, history: usize, offset: u64) -> BTreeSet<u64> {
        let history = &self.histories[history];
        let mut content = match history.from {
            Some((parent, at)) => self.content(parent, at.min(offset)),
            None => history.inherited.clone(),
        };
        let writes = history.writes.iter().filter(|write| write.end <= offset);
        content.extend(writes.map(|write| write.number));
        content
    }

    /// The writes that are there in the end: no failover lost them.
    pub fn lineage(&self) -> BTreeSet<u64> {
        let primary = &self.servers[self.primary];
        self.content(primary.history, primary.offset)
    }

    pub fn by_id(&self, id: &str) -> usize {
        let mut ids = self.histories.iter();
        ids.position(|history| history.id == id).unwrap()
    }
}
