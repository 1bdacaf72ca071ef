//! Slots that move key by key (redis-facts §1.3).

use std::time::Duration;

use hera_core::cluster::SlotSet;
use redis::{Cmd, FromRedisValue, Pipeline, Value};

use crate::{Credentials, Error, Server};

const SETSLOT: &str = "CLUSTER SETSLOT";

/// A slot, and keys of it.
pub type KeysOfSlot = (u16, Vec<Vec<u8>>);

/// What a server is told of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotOf<'a> {
    /// Its keys come from that server.
    Importing(&'a str),
    /// Its keys go to that server.
    Migrating(&'a str),
    /// It is that server's.
    Node(&'a str),
    /// It does not move.
    Stable,
}

/// How keys are sent to another server.
#[derive(Clone, Copy, Debug)]
pub struct Migration<'a> {
    /// Address of the other.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// As whom the server logs in there.
    pub login: &'a Credentials,
    /// How long the other may take for each step of it, in which the server serves nobody.
    pub step: Duration,
    /// The other's keys of the same names go.
    pub replace: bool,
}

/// What became of keys that were to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// In all.
    pub outcome: Migrated,
    /// Which of them were here right before.
    pub before: Vec<bool>,
    /// Which of them are here right after.
    pub after: Vec<bool>,
}

/// The outcome of sending keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Migrated {
    /// The other has those that were here, and this server no more.
    All,
    /// There was none of them any more.
    Nothing,
    /// The other has a key of one of these names already. Some may be sent.
    Exists,
    /// The other could not be asked, or did not answer, in the server's words. It may have those that are still here.
    Unsure(String),
}

impl Server {
    /// Tells the server something of a slot. It is on its disk once this is done.
    ///
    /// # Errors
    /// The server will not: it has keys of a slot that is to be another's, or does not know that other.
    pub async fn set_slot(&self, slot: u16, of: SlotOf<'_>) -> Result<(), Error> {
        self.ask(SETSLOT, &set_slot(slot, of)).await
    }

    /// Tells the server the same of each of these slots, in one go: what it will not of one it does of the others. It
    /// is on its disk once this is done.
    ///
    /// # Errors
    /// The first thing that the server will not, as with one slot.
    pub async fn set_slots(&self, slots: &SlotSet, of: SlotOf<'_>) -> Result<(), Error> {
        if slots.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        for slot in slots.iter() {
            pipeline.add_command(set_slot(slot, of));
        }
        pipeline.ignore_errors();
        let told: Vec<Value> = self.ask_all(SETSLOT, &pipeline).await?;
        if told.len() != slots.len() {
            return Err(Error::unexpected(SETSLOT, "an answer is missing"));
        }
        for told in told {
            if let Value::ServerError(error) = told {
                return Err(self.refused(SETSLOT, error));
            }
        }
        Ok(())
    }

    /// Some keys of each of these slots, as many as `most` of each, in the order of the slots.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn keys_in_slots(
        &self,
        slots: &SlotSet,
        most: usize,
    ) -> Result<Vec<KeysOfSlot>, Error> {
        let mut pipeline = redis::pipe();
        for slot in slots.iter() {
            let command = pipeline.cmd("CLUSTER").arg("GETKEYSINSLOT");
            command.arg(slot).arg(most);
        }
        self.of_slots("CLUSTER GETKEYSINSLOT", slots, &pipeline)
            .await
    }

    /// The slot of each of these keys, whether or not they are there.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn slots_of(&self, keys: &[Vec<u8>]) -> Result<Vec<u16>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.cmd("CLUSTER").arg("KEYSLOT").arg(key.as_slice());
        }
        self.ask_all("CLUSTER KEYSLOT", &pipeline).await
    }

    /// How many keys there are of a slot. Later versions tell none of a slot that is another's.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn count_keys_in_slot(&self, slot: u16) -> Result<u64, Error> {
        let mut command = words(&["COUNTKEYSINSLOT"]);
        command.arg(slot);
        self.ask("CLUSTER COUNTKEYSINSLOT", &command).await
    }

    /// The same of each of these slots, in their order.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn count_keys_in_slots(&self, slots: &SlotSet) -> Result<Vec<(u16, u64)>, Error> {
        let mut pipeline = redis::pipe();
        for slot in slots.iter() {
            pipeline.cmd("CLUSTER").arg("COUNTKEYSINSLOT").arg(slot);
        }
        self.of_slots("CLUSTER COUNTKEYSINSLOT", slots, &pipeline)
            .await
    }

    /// The same of many slots together.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn count_keys_in(&self, slots: &SlotSet) -> Result<u64, Error> {
        let counts = self.count_keys_in_slots(slots).await?;
        let counts = counts.into_iter().map(|(_, count)| count);
        Ok(counts.fold(0, u64::saturating_add))
    }

    /// What is told of each of these slots, of which `pipeline` asks one by one.
    async fn of_slots<T: FromRedisValue>(
        &self,
        name: &str,
        slots: &SlotSet,
        pipeline: &Pipeline,
    ) -> Result<Vec<(u16, T)>, Error> {
        if slots.is_empty() {
            return Ok(Vec::new());
        }
        let told: Vec<T> = self.ask_all(name, pipeline).await?;
        match told.len() == slots.len() {
            true => Ok(slots.iter().zip(told).collect()),
            false => Err(Error::unexpected(name, "an answer is missing")),
        }
    }

    /// How many keys clients see: fewer than there are while the server hides those of slots that are another's.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn visible_keys(&self) -> Result<u64, Error> {
        self.ask("DBSIZE", &redis::cmd("DBSIZE")).await
    }

    /// What each key takes in memory, in bytes, by a look at some of its elements; none of one that is gone.
    ///
    /// # Errors
    /// When the server could not be asked.
    pub async fn memory_of(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<u64>>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.cmd("MEMORY").arg("USAGE").arg(key.as_slice());
        }
        // Of a key that is gone from a slot that moves the server says where it may be.
        pipeline.ignore_errors();
        let told: Vec<Value> = self.ask_all("MEMORY USAGE", &pipeline).await?;
        Ok(told.iter().map(bytes).collect())
    }

    /// Sends keys to another server, all of one slot, in one command: meanwhile the server serves nobody.
    ///
    /// # Errors
    /// The server or the other will not. As told by [`Error`].
    pub async fn migrate(&self, keys: &[Vec<u8>], how: &Migration<'_>) -> Result<Sent, Error> {
        // A server carries out what comes in one piece before anything of others.
        let mut pipeline = redis::pipe();
        add_exists(&mut pipeline, keys);
        pipeline.add_command(migrate(keys, how));
        add_exists(&mut pipeline, keys);
        pipeline.ignore_errors();
        let mut told: Vec<Value> = self.ask_all("MIGRATE", &pipeline).await?;
        if told.len() != 2 * keys.len() + 1 {
            return Err(Error::unexpected("MIGRATE", "an answer is missing"));
        }
        let after = told.split_off(keys.len() + 1);
        let outcome = match told.pop() {
            Some(Value::ServerError(error)) => outcome(self.refused("MIGRATE", error))?,
            Some(Value::SimpleString(said)) if said == "NOKEY" => Migrated::Nothing,
            _ => Migrated::All,
        };
        Ok(Sent {
            outcome,
            before: self.are_there(told)?,
            after: self.are_there(after)?,
        })
    }

    fn are_there(&self, told: Vec<Value>) -> Result<Vec<bool>, Error> {
        let is_there = |told: Value| match told {
            Value::Int(count) => Ok(count > 0),
            // Of a key that is gone from a slot that moves the server says where it may be.
            Value::ServerError(error) if error.code() == "ASK" => Ok(false),
            Value::ServerError(error) => Err(self.refused("EXISTS", error)),
            _ => Err(Error::unexpected("EXISTS", "no number")),
        };
        told.into_iter().map(is_there).collect()
    }

    /// What the server would send of each key; none of one that is gone. `asking` also for keys of slots that it does
    /// not own yet.
    ///
    /// # Errors
    /// When the server could not be asked.
    pub async fn dumps(
        &self,
        keys: &[Vec<u8>],
        asking: bool,
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let told = self.of_each("DUMP", keys, asking).await?;
        let payload = |told: Value| match told {
            Value::BulkString(bytes) => Some(bytes),
            _ => None,
        };
        Ok(told.into_iter().map(payload).collect())
    }

    /// Removes keys of a slot that the server does not own yet.
    ///
    /// # Errors
    /// When the server could not be asked, or will not.
    pub async fn remove_imported(&self, keys: &[Vec<u8>]) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        for told in self.of_each("UNLINK", keys, true).await? {
            if let Value::ServerError(error) = told {
                return Err(self.refused("UNLINK", error));
            }
        }
        Ok(())
    }

    async fn of_each(
        &self,
        name: &str,
        keys: &[Vec<u8>],
        asking: bool,
    ) -> Result<Vec<Value>, Error> {
        let mut pipeline = redis::pipe();
        for key in keys {
            if asking {
                // Good for the next command alone.
                pipeline.cmd("ASKING").ignore();
            }
            pipeline.cmd(name).arg(key.as_slice());
        }
        pipeline.ignore_errors();
        let told: Vec<Value> = self.ask_all(name, &pipeline).await?;
        match told.len() == keys.len() {
            true => Ok(told),
            false => Err(Error::unexpected(name, "an answer is missing")),
        }
    }

    /// Waits until a replica has what was written by this connection, for `limit` at most. True if one has.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn wait_for_replica(&self, limit: Duration) -> Result<bool, Error> {
        let mut command = redis::cmd("WAIT");
        command.arg(1).arg(millis(limit));
        let replicas: u64 = self.ask("WAIT", &command).await?;
        Ok(replicas > 0)
    }
}

fn set_slot(slot: u16, of: SlotOf<'_>) -> Cmd {
    let mut command = words(&["SETSLOT"]);
    command.arg(slot);
    match of {
        SlotOf::Importing(id) => command.arg("IMPORTING").arg(id),
        SlotOf::Migrating(id) => command.arg("MIGRATING").arg(id),
        SlotOf::Node(id) => command.arg("NODE").arg(id),
        SlotOf::Stable => command.arg("STABLE"),
    };
    command
}

fn migrate(keys: &[Vec<u8>], how: &Migration<'_>) -> Cmd {
    let mut command = redis::cmd("MIGRATE");
    command.arg(how.host).arg(how.port).arg("").arg(0);
    command.arg(millis(how.step));
    if how.replace {
        command.arg("REPLACE");
    }
    command.arg("AUTH2");
    command.arg(how.login.username()).arg(how.login.password());
    command.arg("KEYS");
    for key in keys {
        command.arg(key.as_slice());
    }
    command
}

fn add_exists(pipeline: &mut Pipeline, keys: &[Vec<u8>]) {
    for key in keys {
        pipeline.cmd("EXISTS").arg(key.as_slice());
    }
}

/// What an error answer to `MIGRATE` means.
fn outcome(error: Error) -> Result<Migrated, Error> {
    match error {
        Error::Refused { message, .. } if message.contains("BUSYKEY") => Ok(Migrated::Exists),
        Error::Refused { code, message, .. } if code == "IOERR" => Ok(Migrated::Unsure(message)),
        error => Err(error),
    }
}

fn bytes(told: &Value) -> Option<u64> {
    match told {
        Value::Int(bytes) => u64::try_from(*bytes).ok(),
        _ => None,
    }
}

/// At least one: none is for ever.
fn millis(limit: Duration) -> u64 {
    u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn words(words: &[&str]) -> Cmd {
    let mut command = redis::cmd("CLUSTER");
    command.arg(words);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_bytes_are_sent_and_what_is_there_stays_unless_it_is_to_go() {
        let login = Credentials::new("u", "p");
        let mut how = Migration {
            host: "10.0.0.7",
            port: 6379,
            login: &login,
            step: Duration::ZERO,
            replace: false,
        };
        let keys = [b"a b".to_vec(), b"\xff".to_vec()];
        let sent = |how: &Migration<'_>| {
            let packed = migrate(&keys, how).get_packed_command();
            let text = String::from_utf8_lossy(&packed).into_owned();
            let words = text
                .split("\r\n")
                .filter(|word| !word.starts_with(['$', '*']));
            words.collect::<Vec<_>>().join(" ")
        };
        let words = sent(&how);
        assert!(words.starts_with("MIGRATE 10.0.0.7 6379  0 1 AUTH2 u p KEYS a b"));
        how.replace = true;
        assert!(sent(&how).contains(" 1 REPLACE AUTH2 "));
    }

    #[test]
    fn p37_keys_are_never_sent_without_a_login() {
        let login = Credentials::new("hera-migration", "secret");
        for (count, replace) in [(1, false), (1, true), (200, false), (200, true)] {
            let how = Migration {
                host: "10.0.0.7",
                port: 6379,
                login: &login,
                step: Duration::from_secs(1),
                replace,
            };
            let keys = vec![b"AUTH2".to_vec(); count];
            let command = migrate(&keys, &how);
            let words = command.args_iter().map(|arg| match arg {
                redis::Arg::Simple(text) => String::from_utf8_lossy(text).into_owned(),
                _ => String::new(),
            });
            let words: Vec<String> = words.collect();
            let first = words.iter().position(|word| word == "AUTH2").unwrap();
            let login = ["AUTH2", "hera-migration", "secret", "KEYS"];
            assert_eq!(words[first..first + 4], login);
            assert_eq!(words.len(), first + 4 + count, "all that follows is keys");
        }
    }

    #[test]
    fn an_other_that_does_not_answer_may_have_the_keys() {
        let refused = |code: &str, message: &str| Error::Refused {
            command: "MIGRATE".to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
        };
        let silent = "error or timeout reading to target instance";
        let unsure = outcome(refused("IOERR", silent)).unwrap();
        assert_eq!(unsure, Migrated::Unsure(silent.to_owned()));
        let busy = "Target instance replied with error: BUSYKEY Target key name already exists.";
        assert_eq!(outcome(refused("ERR", busy)).unwrap(), Migrated::Exists);
        let full = "Target instance replied with error: OOM command not allowed";
        assert!(outcome(refused("ERR", full)).is_err());
    }

    #[test]
    fn of_a_key_that_is_gone_no_size_is_known() {
        assert_eq!(bytes(&Value::Int(72)), Some(72));
        assert_eq!(bytes(&Value::Nil), None);
    }
}
