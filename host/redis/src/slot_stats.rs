//! What a server counts of each of its slots: Redis from 8.2 on, Valkey from 8.0 on, once it is told to.

use redis::Value;

use crate::slot_jobs::fields;
use crate::{Error, Server};

/// A slot, as its server counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotStat {
    /// Which.
    pub slot: u16,
    /// Microseconds that commands about its keys took, since the server began to count.
    pub micros: u64,
    /// What its keys take, in bytes; none of a server that does not tell.
    pub used_bytes: Option<u64>,
}

/// Slots that took most time, and what all commands took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotStats {
    /// The slots, the one that took most first.
    pub slots: Vec<SlotStat>,
    /// Microseconds that all commands took, since the server began to count.
    pub micros: u64,
}

impl Server {
    /// The slots that took most time since the server began to count: as many as `most`. It begins anew with a slot
    /// that comes, and with all when it is told to forget its statistics.
    ///
    /// # Errors
    /// The server does not count, or does not know of it; else as told by [`Error`].
    pub async fn slot_stats(&self, most: usize) -> Result<SlotStats, Error> {
        let mut pipeline = redis::pipe();
        let command = pipeline.cmd("CLUSTER").arg("SLOT-STATS");
        command.arg("ORDERBY").arg("CPU-USEC");
        command.arg("LIMIT").arg(most).arg("DESC");
        pipeline.cmd("INFO").arg("commandstats");
        let (slots, commands): (Vec<Value>, Vec<u8>) = self.ask_all(NAME, &pipeline).await?;
        let strange = || Error::unexpected(NAME, "a slot lacks what is counted");
        let slots: Option<Vec<SlotStat>> = slots.iter().map(SlotStat::read).collect();
        Ok(SlotStats {
            slots: slots.ok_or_else(strange)?,
            micros: all_micros(&String::from_utf8_lossy(&commands)),
        })
    }
}

const NAME: &str = "CLUSTER SLOT-STATS";

impl SlotStat {
    /// Reads the number of a slot, and names and values of what is counted.
    fn read(entry: &Value) -> Option<Self> {
        let Value::Array(pair) = entry else {
            return None;
        };
        let [Value::Int(slot), counted] = pair.as_slice() else {
            return None;
        };
        let fields = fields(counted);
        let field = |name: &str| {
            let (_, value) = fields.iter().find(|(known, _)| known == name)?;
            value.parse::<u64>().ok()
        };
        Some(Self {
            slot: u16::try_from(*slot).ok()?,
            micros: field("cpu-usec")?,
            used_bytes: field("memory-bytes"),
        })
    }
}

/// Microseconds of all commands, by lines like `cmdstat_get:calls=5,usec=10,usec_per_call=2.00`. A transaction is not
/// counted beside the commands in it.
fn all_micros(text: &str) -> u64 {
    let lines = text.lines().filter_map(|line| line.trim().split_once(':'));
    let micros = lines.filter_map(|(name, counted)| {
        let command = name.strip_prefix("cmdstat_")?;
        let mut counted = counted.split(',').filter(|_| command != "exec");
        let micros = counted.find_map(|one| one.strip_prefix("usec="))?;
        micros.parse::<u64>().ok()
    });
    micros.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    /// As a server answers: the number, and names and values in turns.
    fn entry(slot: i64, counted: &[(&str, i64)]) -> Value {
        let words = counted
            .iter()
            .flat_map(|(name, value)| [bulk(name), Value::Int(*value)]);
        Value::Array(vec![Value::Int(slot), Value::Array(words.collect())])
    }

    #[test]
    fn slots_of_valkey_are_read() {
        let told = entry(
            12_426,
            &[
                ("key-count", 45),
                ("cpu-usec", 900),
                ("network-bytes-in", 10),
                ("network-bytes-out", 20),
            ],
        );
        let read = SlotStat::read(&told).unwrap();
        assert_eq!(
            (read.slot, read.micros, read.used_bytes),
            (12_426, 900, None)
        );
    }

    #[test]
    fn memory_is_read_where_it_is_told() {
        let counted = [("key-count", 1), ("memory-bytes", 72), ("cpu-usec", 5)];
        let read = SlotStat::read(&entry(7, &counted)).unwrap();
        assert_eq!(read.used_bytes, Some(72));
    }

    #[test]
    fn a_map_says_the_same() {
        let Value::Array(pair) = entry(7, &[("key-count", 1), ("cpu-usec", 5)]) else {
            panic!("an entry is an array");
        };
        let map = vec![
            (bulk("key-count"), Value::Int(1)),
            (bulk("cpu-usec"), Value::Int(5)),
        ];
        let mapped = Value::Array(vec![Value::Int(7), Value::Map(map)]);
        assert!(SlotStat::read(&mapped).is_some());
        assert_eq!(SlotStat::read(&mapped), SlotStat::read(&Value::Array(pair)));
    }

    /// Of a server that counts keys alone there is nothing to go by.
    #[test]
    fn what_has_no_time_and_what_is_no_slot_is_none() {
        assert_eq!(SlotStat::read(&entry(7, &[("key-count", 1)])), None);
        assert_eq!(SlotStat::read(&entry(70_000, &[("cpu-usec", 1)])), None);
        assert_eq!(SlotStat::read(&entry(7, &[("cpu-usec", -1)])), None);
        assert_eq!(SlotStat::read(&Value::Nil), None);
    }

    #[test]
    fn all_commands_count_and_a_transaction_does_not_count_twice() {
        let text = "# Commandstats\r\n\
             cmdstat_get:calls=5,usec=10,usec_per_call=2.00,rejected_calls=0,failed_calls=0\r\n\
             cmdstat_config|get:calls=1,usec=7,usec_per_call=7.00,rejected_calls=0,failed_calls=0\r\n\
             cmdstat_exec:calls=1,usec=99,usec_per_call=99.00,rejected_calls=0,failed_calls=0\r\n\
             cmdstat_odd:calls=1\r\n";
        assert_eq!(all_micros(text), 17);
        assert_eq!(all_micros(""), 0);
    }
}
