//! Keys of all types whose content follows from their number, and whether that is what is there.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt as _;
use futures::stream;
use hera_core::cluster::SlotSet;
use hera_redis::{Server, Value};

use crate::owners::{Owners, Words, command};
use crate::slots::slot_of;

/// Fields of the large hash.
const FIELDS: u64 = 100_000;
/// Fields in one command.
const AT_ONCE: u64 = 1_000;
/// Commands that are under way at once.
const UNDER_WAY: usize = 256;
/// Keys end long after any test.
const HOURS: Duration = Duration::from_secs(6 * 3_600);
/// A key that moves is told how long it has left, and not until when: it ends so much later at most, or as much
/// earlier as clocks are rounded.
const LATER_MS: i64 = 5_000;
const EARLIER_MS: i64 = 10;
/// A failure names so many keys.
const NAMED: usize = 10;

/// What was written.
pub struct Data {
    keys: Vec<Key>,
}

struct Key {
    name: Vec<u8>,
    number: u64,
    kind: Kind,
    ends_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Hash,
    LargeHash,
    List,
    Set,
    SortedSet,
    Stream,
}

impl Data {
    /// Writes so many keys, and a hash of 100 000 fields in this slot.
    pub async fn write(owners: &Owners, count: u64, large: u16) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + HOURS;
        let now = i64::try_from(now.as_millis()).unwrap();
        let mut keys: Vec<Key> = (0..count).map(|number| key(number, now)).collect();
        let names = (0_u64..).map(|number| format!("large:{{{number}}}").into_bytes());
        let mut names = names.filter(|name| slot_of(name) == large);
        keys.push(Key {
            name: names.next().unwrap(),
            number: count,
            kind: Kind::LargeHash,
            ends_ms: None,
        });
        let each = stream::iter(&keys);
        each.for_each_concurrent(UNDER_WAY, |key| async move {
            let server = owners.of(slot_of(&key.name));
            for words in key.writes() {
                let written = server.ask::<Value>("a write", &command(&words)).await;
                if let Err(error) = written {
                    panic!("{}: {error}", key.shown());
                }
            }
        })
        .await;
        Self { keys }
    }

    pub fn count(&self) -> u64 {
        u64::try_from(self.keys.len()).unwrap()
    }

    /// How many are in these slots.
    pub fn within(&self, slots: &SlotSet) -> usize {
        let keys = self.keys.iter();
        keys.filter(|key| slots.contains(slot_of(&key.name)))
            .count()
    }

    /// Name of the large hash, as it is shown.
    pub fn large(&self) -> String {
        self.keys.last().unwrap().shown()
    }

    /// Every key is where its slot is, with all of its content and until when it was to be.
    pub async fn check(&self, owners: &Owners) {
        let found = Mutex::new(Vec::new());
        let wrong = &found;
        let each = stream::iter(&self.keys);
        each.for_each_concurrent(UNDER_WAY, |key| async move {
            let server = owners.of(slot_of(&key.name));
            if let Err(words) = key.check(server).await {
                wrong
                    .lock()
                    .unwrap()
                    .push(format!("{}: {words}", key.shown()));
            }
        })
        .await;
        let wrong = found.into_inner().unwrap();
        let named = &wrong[..wrong.len().min(NAMED)];
        assert!(
            wrong.is_empty(),
            "{} keys are wrong: {named:#?}",
            wrong.len()
        );
    }
}

fn key(number: u64, now: i64) -> Key {
    let kind = match number % 10 {
        0..=4 => Kind::Text,
        5 => Kind::Hash,
        6 => Kind::List,
        7 => Kind::Set,
        8 => Kind::SortedSet,
        _ => Kind::Stream,
    };
    let mut name = format!("key:{number}").into_bytes();
    if number.is_multiple_of(97) {
        // A name is any bytes.
        name.extend(b" \xff\0\r\n\"");
    }
    let later = i64::try_from(number).unwrap();
    Key {
        name,
        number,
        kind,
        ends_ms: (number % 4 == 1).then_some(now + later),
    }
}

fn words(words: &[&str]) -> Words {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

impl Key {
    fn shown(&self) -> String {
        self.name.escape_ascii().to_string()
    }

    /// A command about this key.
    fn about(&self, verb: &str, rest: &[&str]) -> Words {
        let mut all = words(&[verb]);
        all.push(self.name.clone());
        all.extend(words(rest));
        all
    }

    /// Members, each as large as it is numbered.
    fn members(&self) -> impl Iterator<Item = String> {
        let number = self.number;
        (0..number % 7 + 2).map(move |at| format!("{number}:{at}"))
    }

    fn fields(&self) -> u64 {
        match self.kind {
            Kind::LargeHash => FIELDS,
            _ => self.number % 7 + 2,
        }
    }

    fn text(&self) -> String {
        let length = usize::try_from(self.number % 300).unwrap();
        format!("{}{}", self.number, "x".repeat(length))
    }

    fn writes(&self) -> Vec<Words> {
        let members: Vec<String> = self.members().collect();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        let mut all = match self.kind {
            Kind::Text => vec![self.about("SET", &[&self.text()])],
            Kind::Hash | Kind::LargeHash => self.write_fields(),
            Kind::List => vec![self.about("RPUSH", &members)],
            Kind::Set => vec![self.about("SADD", &members)],
            Kind::SortedSet => {
                let mut scored = self.about("ZADD", &[]);
                for (score, member) in members.iter().enumerate() {
                    scored.extend(words(&[&score.to_string(), member]));
                }
                vec![scored]
            }
            Kind::Stream => self.write_stream(&members),
        };
        if let Some(at) = self.ends_ms {
            all.push(self.about("PEXPIREAT", &[&at.to_string()]));
        }
        all
    }

    fn write_fields(&self) -> Vec<Words> {
        let all = self.fields();
        let begins = (0..all).step_by(usize::try_from(AT_ONCE).unwrap());
        let part = |first: u64| {
            let mut command = self.about("HSET", &[]);
            for at in first..all.min(first + AT_ONCE) {
                command.extend(words(&[
                    &format!("f{at}"),
                    &format!("{}-{at}", self.number),
                ]));
            }
            command
        };
        begins.map(part).collect()
    }

    /// Its entries; a group has read two, and acknowledged none.
    fn write_stream(&self, members: &[&str]) -> Vec<Words> {
        let ids = (1..).map(|at: u64| format!("{at}-1"));
        let entries = members.iter().zip(ids);
        let mut all: Vec<Words> = entries
            .map(|(member, id)| self.about("XADD", &[&id, "field", member]))
            .collect();
        let mut group = words(&["XGROUP", "CREATE"]);
        group.extend([self.name.clone(), b"group".to_vec(), b"0".to_vec()]);
        let mut read = words(&[
            "XREADGROUP",
            "GROUP",
            "group",
            "reader",
            "COUNT",
            "2",
            "STREAMS",
        ]);
        read.extend([self.name.clone(), b">".to_vec()]);
        all.extend([group, read]);
        all
    }

    fn reads(&self) -> Vec<Words> {
        match self.kind {
            Kind::Text => vec![self.about("GET", &[])],
            Kind::Hash | Kind::LargeHash => vec![self.about("HGETALL", &[])],
            Kind::List => vec![self.about("LRANGE", &["0", "-1"])],
            Kind::Set => vec![self.about("SMEMBERS", &[])],
            Kind::SortedSet => vec![self.about("ZRANGE", &["0", "-1", "WITHSCORES"])],
            Kind::Stream => vec![
                self.about("XRANGE", &["-", "+"]),
                self.about("XPENDING", &["group"]),
            ],
        }
    }

    /// What the reads answer, flattened and sorted where order says nothing.
    fn expected(&self) -> Vec<Vec<u8>> {
        let members = self.members();
        let all: Vec<String> = match self.kind {
            Kind::Text => vec![self.text()],
            Kind::Hash | Kind::LargeHash => {
                let pair = |at: u64| [format!("f{at}"), format!("{}-{at}", self.number)];
                (0..self.fields()).flat_map(pair).collect()
            }
            Kind::List | Kind::Set => members.collect(),
            Kind::SortedSet => {
                let scored = members.enumerate();
                scored
                    .flat_map(|(score, member)| [member, score.to_string()])
                    .collect()
            }
            Kind::Stream => {
                let entry =
                    |(at, member): (u64, String)| [format!("{at}-1"), "field".to_owned(), member];
                let pending = ["2", "1-1", "2-1", "reader", "2"].map(str::to_owned);
                (1..).zip(members).flat_map(entry).chain(pending).collect()
            }
        };
        let all = all.into_iter().map(String::into_bytes).collect();
        self.in_order(all)
    }

    fn in_order(&self, mut all: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        match self.kind {
            Kind::Set => all.sort(),
            Kind::Hash | Kind::LargeHash => {
                let mut pairs: Vec<Vec<Vec<u8>>> = all.chunks(2).map(<[_]>::to_vec).collect();
                pairs.sort();
                return pairs.concat();
            }
            _ => {}
        }
        all
    }

    async fn check(&self, server: &Server) -> Result<(), String> {
        let mut found = Vec::new();
        for words in self.reads() {
            let answer = server.ask::<Value>("a read", &command(&words)).await;
            flatten(answer.map_err(|error| error.to_string())?, &mut found);
        }
        let (found, expected) = (self.in_order(found), self.expected());
        if found.is_empty() {
            return Err(format!("{:?} is lost", self.kind));
        }
        if found != expected {
            let (has, wants) = (found.len(), expected.len());
            return Err(format!(
                "{:?} has {has} parts of {wants}, or others",
                self.kind
            ));
        }
        let words = self.about("PEXPIRETIME", &[]);
        let ends = server.ask::<Value>("PEXPIRETIME", &command(&words)).await;
        match (ends.map_err(|error| error.to_string())?, self.ends_ms) {
            (Value::Int(-1), None) => Ok(()),
            (Value::Int(ends), Some(at)) if (at - EARLIER_MS..at + LATER_MS).contains(&ends) => {
                Ok(())
            }
            (ends, at) => Err(format!("it is to end at {at:?}, and does at {ends:?}")),
        }
    }
}

/// All that is in an answer, one after the other.
fn flatten(answer: Value, into: &mut Vec<Vec<u8>>) {
    match answer {
        Value::Array(all) | Value::Set(all) => {
            all.into_iter().for_each(|one| flatten(one, into));
        }
        Value::Map(pairs) => pairs.into_iter().for_each(|(field, value)| {
            flatten(field, into);
            flatten(value, into);
        }),
        Value::BulkString(bytes) => into.push(bytes),
        Value::SimpleString(text) => into.push(text.into_bytes()),
        Value::Int(number) => into.push(number.to_string().into_bytes()),
        Value::Nil => {}
        other => panic!("an answer that no read has: {other:?}"),
    }
}
