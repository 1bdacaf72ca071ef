//! The decision log: the last decisions in memory, each also a line of the operator's own log and,
//! if asked for, of a file.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use hera_policy::{Call, Record};
use serde::Serialize;
use tracing::{info, warn};

/// Decisions kept in memory, and bytes of them.
const DECISIONS: usize = 1_000;
const BYTES: usize = 16 << 20;

/// The decision log.
#[derive(Default)]
pub struct Journal {
    kept: Mutex<Kept>,
    file: Option<Mutex<File>>,
}

#[derive(Default)]
struct Kept {
    bytes: usize,
    lines: VecDeque<Line>,
}

struct Line {
    namespace: String,
    name: String,
    json: String,
}

impl Journal {
    /// A log that is also appended to a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn with_file(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            kept: Mutex::default(),
            file: Some(Mutex::new(file)),
        })
    }

    /// Keeps a decision.
    pub fn add<I: Serialize, A: Serialize>(&self, record: &Record<I, A>) {
        let context = &record.context;
        tell(
            &record.decision,
            &context.namespace,
            &context.name,
            &record.call,
            "decides",
        );
        if let Some(shadow) = &record.shadow {
            tell(
                &record.decision,
                &context.namespace,
                &context.name,
                shadow,
                "is compared",
            );
        }
        let json = match serde_json::to_string(record) {
            Ok(json) => json,
            Err(error) => {
                warn!(%error, "a decision cannot be kept");
                return;
            }
        };
        if let Some(file) = &self.file {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = writeln!(file, "{json}") {
                warn!(%error, "the file of decisions cannot be written");
            }
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes = kept.bytes.saturating_add(json.len());
        kept.lines.push_back(Line {
            namespace: context.namespace.clone(),
            name: context.name.clone(),
            json,
        });
        while kept.lines.len() > DECISIONS || kept.bytes > BYTES {
            let Some(gone) = kept.lines.pop_front() else {
                break;
            };
            kept.bytes = kept.bytes.saturating_sub(gone.json.len());
        }
    }

    /// The decisions about an object, or about all, oldest first: a line of JSON each.
    pub fn lines(&self, about: Option<(&str, &str)>) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = kept
            .lines
            .iter()
            .filter(|line| about.is_none_or(|about| about == (&*line.namespace, &*line.name)));
        wanted.fold(String::new(), |text, line| text + &line.json + "\n")
    }
}

fn tell<A>(decision: &str, namespace: &str, name: &str, call: &Call<A>, role: &str) {
    info!(
        decision,
        namespace,
        name,
        role,
        source = call.source,
        digest = call.digest,
        outcome = call.outcome.name(),
        words = call.outcome.good().is_none().then(|| call.outcome.words()),
        fuel = call.fuel,
        micros = call.micros,
        "a policy answered"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use hera_policy::{Context, Outcome};

    fn record(name: &str, answer: &str) -> Record<(), String> {
        Record {
            decision: "acl".to_owned(),
            context: Context {
                now_unix_ms: 0,
                seed: 0,
                name: name.to_owned(),
                namespace: "shop".to_owned(),
                engine: "redis".to_owned(),
                version: "7.2.4".to_owned(),
                settings: String::new(),
            },
            input: (),
            call: Call {
                source: "builtin".to_owned(),
                digest: "sha256:x".to_owned(),
                outcome: Outcome::Ok {
                    answer: answer.to_owned(),
                    again_at_unix_ms: None,
                },
                fuel: 1,
                micros: 1,
                logs: vec![],
            },
            shadow: None,
            shadow_settings: String::new(),
        }
    }

    #[test]
    fn an_object_has_its_own_decisions() {
        let journal = Journal::default();
        journal.add(&record("one", "1"));
        journal.add(&record("two", "2"));
        assert_eq!(journal.lines(Some(("shop", "two"))).lines().count(), 1);
        assert_eq!(journal.lines(None).lines().count(), 2);
        assert_eq!(journal.lines(Some(("other", "two"))), "");
    }

    #[test]
    fn what_is_kept_is_bounded_in_number_and_in_bytes() {
        let journal = Journal::default();
        (0..DECISIONS + 5).for_each(|n| journal.add(&record("one", &n.to_string())));
        assert_eq!(journal.lines(None).lines().count(), DECISIONS);
        let large = "x".repeat(BYTES / 4);
        (0..9).for_each(|_| journal.add(&record("large", &large)));
        assert!(journal.lines(None).len() <= BYTES);
    }

    #[test]
    fn a_file_gets_a_line_for_each_decision() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("decisions");
        for _ in 0..2 {
            Journal::with_file(&path).unwrap().add(&record("one", "1"));
        }
        let text = std::fs::read_to_string(path).unwrap();
        let kept: Record<(), String> = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!((text.lines().count(), kept), (2, record("one", "1")));
    }
}
