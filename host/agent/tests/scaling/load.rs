//! Writes all along, each of which is answered for: none is lost, and none is done twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use hera_core::cluster::SlotSet;
use hera_redis::Value;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use crate::owners::Words;
use crate::sender::{Sender, Sent};
use crate::slots::slot_of;
use crate::wait::until;

const CLIENTS: usize = 4;
/// Keys of each client for each command.
const KEYS: usize = 32;
/// So many show that clients write.
const MORE: u64 = 100;
/// Between two writes of a client.
const PAUSE: Duration = Duration::from_millis(1);

/// Clients that write.
pub struct Load {
    clients: Vec<JoinHandle<Vec<Track>>>,
    seeds: Vec<(String, u16)>,
    seen: Arc<Seen>,
}

/// What they saw together.
#[derive(Default)]
struct Seen {
    ends: AtomicBool,
    acknowledged: AtomicU64,
    unknown: AtomicU64,
    longest_micros: AtomicU64,
}

/// What is known of a key that one client writes.
struct Track {
    key: Vec<u8>,
    verb: Verb,
    /// Numbers of its writes.
    acknowledged: Vec<u64>,
    unknown: BTreeSet<u64>,
    next: u64,
    /// Answers that no server gives which has all writes.
    wrong: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Incr,
    Append,
    Set,
}

/// What became of the writes.
#[derive(Debug)]
pub struct Verdict {
    pub acknowledged: u64,
    pub unknown: u64,
    /// A sentence for each key that is not what it was written.
    pub wrong: Vec<String>,
    /// The same of keys in the slots that nothing is promised of.
    pub forked: Vec<String>,
}

impl Load {
    /// Begins; completes once each key was written.
    pub async fn start(seeds: Vec<(String, u16)>, name: &str) -> Self {
        let seen = Arc::new(Seen::default());
        let begun = Arc::new(Barrier::new(CLIENTS + 1));
        let clients = (0..CLIENTS).map(|client| {
            let tracks = tracks(&format!("{name}:{client}"));
            let sender = Sender::new(&seeds);
            tokio::spawn(write(client, sender, tracks, seen.clone(), begun.clone()))
        });
        let clients = clients.collect();
        begun.wait().await;
        seen.longest_micros.store(0, Ordering::SeqCst);
        Self {
            clients,
            seeds,
            seen,
        }
    }

    /// How many keys it has.
    pub fn keys(&self) -> u64 {
        u64::try_from(CLIENTS * KEYS * 3).unwrap()
    }

    pub fn acknowledged(&self) -> u64 {
        self.seen.acknowledged.load(Ordering::SeqCst)
    }

    /// Completes once some more were acknowledged.
    pub async fn goes_on(&self) {
        let enough = self.acknowledged() + MORE;
        until("clients write", async || match self.acknowledged() {
            acknowledged if acknowledged >= enough => Ok(()),
            acknowledged => Err(format!("{acknowledged} of {enough}")),
        })
        .await;
    }

    /// Writes of which nobody knows what became.
    pub fn unknown(&self) -> u64 {
        self.seen.unknown.load(Ordering::SeqCst)
    }

    /// The longest time between two acknowledged writes of a client, since this was last asked.
    pub fn longest_gap(&self) -> Duration {
        Duration::from_micros(self.seen.longest_micros.swap(0, Ordering::SeqCst))
    }

    /// Ends, and reads all back. Of keys in `lenient` slots it is only told.
    pub async fn end(self, lenient: &SlotSet) -> Verdict {
        self.seen.ends.store(true, Ordering::SeqCst);
        let tracks = join_all(self.clients).await;
        let mut verdict = Verdict {
            acknowledged: self.seen.acknowledged.load(Ordering::SeqCst),
            unknown: self.seen.unknown.load(Ordering::SeqCst),
            wrong: Vec::new(),
            forked: Vec::new(),
        };
        let mut sender = Sender::new(&self.seeds);
        for track in tracks.into_iter().flat_map(Result::unwrap) {
            let words = vec![b"GET".to_vec(), track.key.clone()];
            let found = loop {
                if let Sent::Done(found) = sender.send(&words).await {
                    break found;
                }
            };
            let mut wrong = track.wrong.clone();
            wrong.extend(track.differs(&found));
            let into = match lenient.contains(slot_of(&track.key)) {
                true => &mut verdict.forked,
                false => &mut verdict.wrong,
            };
            let key = track.key.escape_ascii();
            into.extend(wrong.into_iter().map(|words| format!("{key}: {words}")));
        }
        verdict
    }
}

fn tracks(name: &str) -> Vec<Track> {
    let verbs = [Verb::Incr, Verb::Append, Verb::Set];
    let of_verb = |verb| (0..KEYS).map(move |at| (verb, at));
    let each = verbs.into_iter().flat_map(of_verb);
    each.map(|(verb, at)| Track {
        key: format!("{name}:{verb:?}:{at}").into_bytes(),
        verb,
        acknowledged: Vec::new(),
        unknown: BTreeSet::new(),
        next: 0,
        wrong: Vec::new(),
    })
    .collect()
}

async fn write(
    client: usize,
    mut sender: Sender,
    mut tracks: Vec<Track>,
    seen: Arc<Seen>,
    begun: Arc<Barrier>,
) -> Vec<Track> {
    for track in &mut tracks {
        track.write(&mut sender, &seen).await;
    }
    begun.wait().await;
    let mut random = StdRng::seed_from_u64(u64::try_from(client).unwrap());
    let mut last = Instant::now();
    while !seen.ends.load(Ordering::SeqCst) {
        let at = random.random_range(0..tracks.len());
        if tracks[at].write(&mut sender, &seen).await {
            let gap = u64::try_from(last.elapsed().as_micros()).unwrap();
            seen.longest_micros.fetch_max(gap, Ordering::SeqCst);
            last = Instant::now();
        }
        tokio::time::sleep(PAUSE).await;
    }
    tracks
}

impl Track {
    /// Writes once. True if it was acknowledged.
    async fn write(&mut self, sender: &mut Sender, seen: &Seen) -> bool {
        self.next += 1;
        let number = self.next;
        let Sent::Done(answer) = sender.send(&self.words(number)).await else {
            self.unknown.insert(number);
            seen.unknown.fetch_add(1, Ordering::SeqCst);
            return false;
        };
        self.acknowledged.push(number);
        seen.acknowledged.fetch_add(1, Ordering::SeqCst);
        if self.verb == Verb::Incr {
            self.wrong.extend(self.miscounts(&answer));
        }
        true
    }

    fn words(&self, number: u64) -> Words {
        let mut words = match self.verb {
            Verb::Incr => vec![b"INCR".to_vec()],
            Verb::Append => vec![b"APPEND".to_vec()],
            Verb::Set => vec![b"SET".to_vec()],
        };
        words.push(self.key.clone());
        match self.verb {
            Verb::Incr => {}
            Verb::Append => words.push(format!("{number};").into_bytes()),
            Verb::Set => words.push(number.to_string().into_bytes()),
        }
        words
    }

    /// A counter has all that was acknowledged, and no more than was sent.
    fn miscounts(&self, found: &Value) -> Option<String> {
        let found = match found {
            Value::Int(number) => u64::try_from(*number).ok(),
            Value::BulkString(bytes) => String::from_utf8_lossy(bytes).parse().ok(),
            _ => None,
        };
        let least = u64::try_from(self.acknowledged.len()).unwrap();
        let most = self.next;
        let fits = found.is_some_and(|found| (least..=most).contains(&found));
        (!fits).then(|| format!("it counts {found:?}, and was counted up {least} to {most} times"))
    }

    /// How what is there differs from what was written.
    fn differs(&self, found: &Value) -> Option<String> {
        if self.verb == Verb::Incr {
            return self.miscounts(found);
        }
        let Value::BulkString(bytes) = found else {
            return Some(format!("it is {found:?}"));
        };
        let text = String::from_utf8_lossy(bytes);
        if self.verb == Verb::Set {
            let number = text.parse::<u64>().ok();
            let fits = number.is_some_and(|number| {
                self.acknowledged.last() == Some(&number) || self.unknown.contains(&number)
            });
            return (!fits).then(|| format!("it is {text}, not {:?}", self.acknowledged.last()));
        }
        let mut times: BTreeMap<u64, u32> = BTreeMap::new();
        for part in text.split_terminator(';') {
            let Ok(number) = part.parse::<u64>() else {
                return Some(format!("{part:?} was never written"));
            };
            *times.entry(number).or_default() += 1;
        }
        let lost = self
            .acknowledged
            .iter()
            .find(|number| !times.contains_key(*number));
        let twice = times.iter().find(|(_, times)| **times > 1);
        let foreign = times.keys().find(|number| {
            self.acknowledged.binary_search(number).is_err() && !self.unknown.contains(*number)
        });
        match (lost, twice, foreign) {
            (None, None, None) => None,
            other => Some(format!("lost, doubled, never written: {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(verb: Verb) -> Track {
        Track {
            key: b"key".to_vec(),
            verb,
            acknowledged: vec![1, 2, 4],
            unknown: BTreeSet::from([3]),
            next: 4,
            wrong: Vec::new(),
        }
    }

    #[test]
    fn a_write_that_is_lost_or_doubled_is_seen() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let differs = |verb, found: &str| track(verb).differs(&text(found)).is_some();
        for good in ["1;2;4;", "1;2;3;4;", "1;2;4;3;"] {
            assert!(!differs(Verb::Append, good), "{good}");
        }
        for bad in ["1;2;", "1;2;2;4;", "1;2;4;5;", "1;2;4;x;", ""] {
            assert!(differs(Verb::Append, bad), "{bad}");
        }
        assert!(!differs(Verb::Incr, "3") && !differs(Verb::Incr, "4"));
        assert!(differs(Verb::Incr, "2") && differs(Verb::Incr, "5"));
        assert!(!differs(Verb::Set, "4") && !differs(Verb::Set, "3"));
        assert!(differs(Verb::Set, "2"));
        assert!(track(Verb::Set).differs(&Value::Nil).is_some());
    }
}
