//! Jobs by which servers move whole slots themselves (redis-facts §1.4): Redis from 8.4 on, ordered at the server
//! that takes them; Valkey from 9.0 on, ordered at the one that gives them.

use hera_core::cluster::{NodeId, SlotSet};
use redis::{Cmd, Value};

use crate::{Error, Server};

/// A job as a server tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotJob {
    /// Its name.
    pub id: String,
    /// The server that tells takes the slots; else it gives them.
    pub takes: bool,
    /// The other server; empty if that is not told.
    pub peer: NodeId,
    /// The slots.
    pub slots: SlotSet,
    /// How far it is.
    pub state: JobState,
    /// Why it failed, in the server's words.
    pub words: String,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// The two do not speak to each other yet: the one that calls has not logged in.
    Begins,
    /// Keys are sent.
    Runs,
    /// The other may own the slots at any moment: writes wait for that.
    HandsOver,
    /// The slots are the other's.
    Done,
    /// It failed. Redis tries again by itself.
    Failed,
    /// Somebody ended it.
    Canceled,
}

impl SlotJob {
    /// True if nothing comes of it any more.
    pub fn is_over(&self) -> bool {
        match self.state {
            JobState::Done | JobState::Failed | JobState::Canceled => true,
            JobState::Begins | JobState::Runs | JobState::HandsOver => false,
        }
    }

    /// Reads an entry: names and values in turns, or a map.
    fn read(entry: &Value) -> Option<Self> {
        let fields = fields(entry);
        let field = |names: [&str; 2]| {
            let mut known = fields
                .iter()
                .filter(|(name, _)| names.contains(&name.as_str()));
            known.next().map(|(_, value)| value.clone())
        };
        let operation = field(["operation", ""])?.to_lowercase();
        let takes = operation.starts_with("import");
        let peer = match takes {
            true => field(["source", "source_node"]),
            false => field(["dest", "target_node"]),
        };
        Some(Self {
            id: field(["id", "name"])?,
            takes,
            peer: peer.unwrap_or_default(),
            slots: slots(&field(["slots", "slot_ranges"])?)?,
            state: state(&field(["state", ""])?),
            words: field(["last_error", "message"]).unwrap_or_default(),
        })
    }
}

impl Server {
    /// Begins to take slots, which one other server has. Answers the job's name.
    ///
    /// # Errors
    /// The server will not: it takes or gives others, a slot is half moved, or it is no primary.
    pub async fn import_slots(&self, slots: &SlotSet) -> Result<String, Error> {
        let mut command = words(&["MIGRATION", "IMPORT"]);
        add(&mut command, slots);
        self.ask("CLUSTER MIGRATION IMPORT", &command).await
    }

    /// The jobs of a Redis, those that are over as well, the latest first among those.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn import_jobs(&self) -> Result<Vec<SlotJob>, Error> {
        let command = words(&["MIGRATION", "STATUS", "ALL"]);
        self.jobs("CLUSTER MIGRATION STATUS", &command).await
    }

    /// Ends a job by which this server takes slots. One that is over is no error.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn cancel_import(&self, id: &str) -> Result<(), Error> {
        let command = words(&["MIGRATION", "CANCEL", "ID", id]);
        let _: i64 = self.ask("CLUSTER MIGRATION CANCEL", &command).await?;
        Ok(())
    }

    /// Begins to give slots to another server.
    ///
    /// # Errors
    /// The server will not: a slot is not its own, or half moved, or it does not know the other.
    pub async fn export_slots(&self, slots: &SlotSet, target: &str) -> Result<(), Error> {
        let mut command = words(&["MIGRATESLOTS", "SLOTSRANGE"]);
        add(&mut command, slots);
        command.arg("NODE").arg(target);
        self.ask("CLUSTER MIGRATESLOTS", &command).await
    }

    /// The jobs of a Valkey, those that are over as well, the latest first.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn export_jobs(&self) -> Result<Vec<SlotJob>, Error> {
        let command = words(&["GETSLOTMIGRATIONS"]);
        self.jobs("CLUSTER GETSLOTMIGRATIONS", &command).await
    }

    /// Ends all jobs by which this server gives slots. That there is none is no error.
    ///
    /// # Caveats
    /// It does so too once the other was told to take the slots ([`JobState::HandsOver`]), and takes writes again:
    /// those go with the slots. Writes are to be held back.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn cancel_exports(&self) -> Result<(), Error> {
        let command = words(&["CANCELSLOTMIGRATIONS"]);
        match self.ask("CLUSTER CANCELSLOTMIGRATIONS", &command).await {
            Err(Error::Refused { message, .. }) if message.contains("No migrations") => Ok(()),
            told => told,
        }
    }

    async fn jobs(&self, name: &str, command: &Cmd) -> Result<Vec<SlotJob>, Error> {
        let told: Vec<Value> = self.ask(name, command).await?;
        let jobs: Option<Vec<SlotJob>> = told.iter().map(SlotJob::read).collect();
        jobs.ok_or_else(|| Error::unexpected(name, "a job lacks what every job has"))
    }
}

/// Names and values of an entry, as text: in turns, or as a map.
pub(crate) fn fields(entry: &Value) -> Vec<(String, String)> {
    match entry {
        Value::Array(words) => words
            .chunks_exact(2)
            .filter_map(|pair| match pair {
                [name, value] => Some((text(name)?, text(value)?)),
                _ => None,
            })
            .collect(),
        Value::Map(pairs) => pairs
            .iter()
            .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
            .collect(),
        _ => Vec::new(),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Reads `0-9 12-12`, also `12` for the latter.
fn slots(text: &str) -> Option<SlotSet> {
    let mut ranges = Vec::new();
    for range in text.split_whitespace() {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        ranges.push((first.parse().ok()?, last.parse().ok()?));
    }
    Some(SlotSet::of(ranges))
}

fn state(name: &str) -> JobState {
    match name {
        "completed" | "success" => JobState::Done,
        "failed" => JobState::Failed,
        "canceled" | "cancelled" => JobState::Canceled,
        "none" | "connecting" | "auth-reply" | "sending-auth-command" => JobState::Begins,
        // At who gives, and at who takes.
        "handoff-prep" | "handoff" | "stream-eof" | "failover-paused" | "failover-granted"
        | "wait-stream-eof" | "takeover" | "failover-requested" => JobState::HandsOver,
        _ => JobState::Runs,
    }
}

fn add(command: &mut Cmd, slots: &SlotSet) {
    for (first, last) in slots.ranges() {
        command.arg(*first).arg(*last);
    }
}

fn words(words: &[&str]) -> Cmd {
    let mut command = redis::cmd("CLUSTER");
    command.arg(words);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "07c37dfeb235213a872192d90877d0cd55635b91";
    const OTHER: &str = "e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca";

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    /// Numbers stand as numbers.
    fn entry(words: &[(&str, &str)]) -> Value {
        let value = |text: &str| match text.parse() {
            Ok(number) => Value::Int(number),
            Err(_) => bulk(text),
        };
        let pairs = words
            .iter()
            .flat_map(|(name, text)| [bulk(name), value(text)]);
        Value::Array(pairs.collect())
    }

    fn of_redis(operation: &str, state: &str, error: &str) -> Value {
        entry(&[
            ("id", "24cf41718b20f7f05901743dffc40bc9b15db339"),
            ("slots", "0-1000 2000-2000"),
            ("source", ONE),
            ("dest", OTHER),
            ("operation", operation),
            ("state", state),
            ("last_error", error),
            ("retries", "0"),
            ("create_time", "1757934263525"),
            ("start_time", "-1"),
            ("end_time", "-1"),
            ("write_pause_ms", "0"),
        ])
    }

    fn of_valkey(operation: &str, state: &str, message: &str) -> Value {
        entry(&[
            ("name", "9657b3d72f7f5ad1a5ba2a3ac1a2b3d4e5f60718"),
            ("operation", operation),
            ("slot_ranges", "5-9 11-11"),
            ("target_node", OTHER),
            ("source_node", ONE),
            ("create_time", "1754865600"),
            ("last_update_time", "1754865601"),
            ("last_ack_time", "1754865601"),
            ("state", state),
            ("message", message),
            ("cow_size", "0"),
        ])
    }

    #[test]
    fn jobs_of_redis_are_read() {
        let job = SlotJob::read(&of_redis("import", "accumulate-buffer", "")).unwrap();
        assert_eq!((job.peer.as_str(), job.takes), (ONE, true));
        assert_eq!(job.slots, SlotSet::of([(0, 1000), (2000, 2000)]));
        assert!(job.state == JobState::Runs && !job.is_over() && job.words.is_empty());
        let given = SlotJob::read(&of_redis("migrate", "handoff", "")).unwrap();
        assert_eq!((given.peer.as_str(), given.takes), (OTHER, false));
        assert_eq!(given.state, JobState::HandsOver);
        let failed = SlotJob::read(&of_redis("import", "failed", "Connection refused")).unwrap();
        assert_eq!(failed.words, "Connection refused");
        for over in ["completed", "canceled", "failed"] {
            assert!(
                SlotJob::read(&of_redis("import", over, ""))
                    .unwrap()
                    .is_over()
            );
        }
    }

    #[test]
    fn jobs_of_valkey_are_read() {
        let job = SlotJob::read(&of_valkey("EXPORT", "sending-auth-command", "")).unwrap();
        assert_eq!((job.peer.as_str(), job.takes), (OTHER, false));
        assert_eq!(job.slots, SlotSet::of([(5, 9), (11, 11)]));
        assert_eq!(job.state, JobState::Begins);
        let later = SlotJob::read(&of_valkey("EXPORT", "reading-auth-response", "")).unwrap();
        assert_eq!(later.state, JobState::Runs);
        let granted = SlotJob::read(&of_valkey("EXPORT", "failover-granted", "")).unwrap();
        assert_eq!(granted.state, JobState::HandsOver);
        let taken = SlotJob::read(&of_valkey("IMPORT", "success", "")).unwrap();
        assert!(taken.takes && taken.peer == ONE && taken.state == JobState::Done);
        let failed = SlotJob::read(&of_valkey("EXPORT", "failed", "Connection lost")).unwrap();
        assert!(failed.is_over() && failed.words == "Connection lost");
    }

    /// A replica of who takes them tells neither server.
    #[test]
    fn a_job_that_is_only_followed_has_no_peer() {
        let told = entry(&[
            ("name", "9657"),
            ("operation", "IMPORT"),
            ("slot_ranges", "7"),
            ("state", "occurring-on-primary"),
        ]);
        let job = SlotJob::read(&told).unwrap();
        assert!(job.peer.is_empty() && job.state == JobState::Runs);
        assert_eq!(job.slots, SlotSet::of([(7, 7)]));
    }

    #[test]
    fn a_map_says_the_same_and_what_is_no_job_is_none() {
        let Value::Array(words) = of_redis("import", "takeover", "") else {
            panic!("an entry is an array");
        };
        let pairs = words
            .chunks(2)
            .map(|pair| (pair[0].clone(), pair[1].clone()));
        let map = Value::Map(pairs.collect());
        assert_eq!(SlotJob::read(&map), SlotJob::read(&Value::Array(words)));
        assert_eq!(SlotJob::read(&entry(&[("id", "x")])), None);
        assert_eq!(SlotJob::read(&Value::Nil), None);
    }

    #[test]
    fn ranges_stand_in_a_command_as_the_server_wants_them() {
        let mut command = words(&["MIGRATESLOTS", "SLOTSRANGE"]);
        add(&mut command, &SlotSet::of([(0, 9), (20, 20)]));
        let words = command.args_iter().map(|arg| match arg {
            redis::Arg::Simple(text) => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        });
        let words: Vec<String> = words.collect();
        let all = [
            "CLUSTER",
            "MIGRATESLOTS",
            "SLOTSRANGE",
            "0",
            "9",
            "20",
            "20",
        ];
        assert_eq!(words, all);
    }
}
