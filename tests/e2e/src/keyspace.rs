use anyhow::{Context as _, Result, ensure};
use redis::aio::MultiplexedConnection;

use crate::cluster::holds;
use crate::{Cluster, Login};

/// Keys of a pipeline.
const PART: usize = 500;
/// What their names begin with.
const PREFIX: &str = "fill:";

/// Many keys in a cluster. What stands under each follows from its name.
pub struct Keyspace {
    count: usize,
    bytes: usize,
}

impl Keyspace {
    /// Writes so many keys with values of about so many bytes to a cluster in which nothing moves.
    ///
    /// # Errors
    /// When a server does not take one.
    pub async fn fill(cluster: &Cluster<'_>, count: usize, bytes: usize) -> Result<Self> {
        let keyspace = Self { count, bytes };
        for (owner, keys) in keyspace.by_owner(cluster).await? {
            let mut link = owner.connect().await?;
            for part in keys.chunks(PART) {
                let mut pipe = redis::pipe();
                for key in part {
                    pipe.cmd("SET").arg(key).arg(keyspace.value(key)).ignore();
                }
                let written = pipe.query_async::<()>(&mut link).await;
                written.context("filling the cluster")?;
            }
        }
        Ok(keyspace)
    }

    /// Each key is there, at the server that has its slot, as it was written; and there is none that is not asked
    /// for by name.
    ///
    /// # Errors
    /// With how many are missing, changed or doubled.
    pub async fn check(&self, cluster: &Cluster<'_>) -> Result<()> {
        let (mut wrong, mut there) = (Vec::new(), 0);
        for (owner, keys) in self.by_owner(cluster).await? {
            let mut link = owner.connect().await?;
            for part in keys.chunks(PART) {
                let mut pipe = redis::pipe();
                for key in part {
                    pipe.cmd("GET").arg(key);
                }
                let values = pipe.query_async::<Vec<Option<String>>>(&mut link).await;
                let values = values.context("reading back")?;
                for (key, value) in part.iter().zip(values) {
                    if value != Some(self.value(key)) {
                        wrong.push(key.clone());
                    }
                }
            }
            there += count(&mut link).await?;
        }
        let (lost, first) = (wrong.len(), wrong.first());
        let count = self.count;
        ensure!(lost == 0, "{lost} of {count} keys are lost, as {first:?}");
        ensure!(there == count, "of {count} keys there are {there}");
        Ok(())
    }

    /// The login at each primary, with the keys of its slots; also of one that has none.
    async fn by_owner(&self, cluster: &Cluster<'_>) -> Result<Vec<(Login, Vec<String>)>> {
        let app = cluster.app().await?;
        let shards = cluster.status().await?.shards;
        let mut all = Vec::new();
        for (at, shard) in shards.iter().enumerate() {
            let pod = cluster.primary(at).await?;
            let ip = pod.status.and_then(|status| status.pod_ip);
            let login = app.at(&ip.context("a primary without an address")?);
            let keys = (0..self.count).map(|number| format!("{PREFIX}{number}"));
            let keys = keys.filter(|key| holds(&shard.slots, slot_of(key)));
            all.push((login, keys.collect::<Vec<_>>()));
        }
        let known: usize = all.iter().map(|(_, keys)| keys.len()).sum();
        ensure!(
            known == self.count,
            "of {} keys {known} have an owner",
            self.count
        );
        Ok(all)
    }

    fn value(&self, key: &str) -> String {
        let digest = hera_core::digest::sha256_hex(key.as_bytes());
        digest.repeat(self.bytes.div_ceil(digest.len()))
    }
}

/// How many of the keys a server has, also in slots that are not its own.
async fn count(link: &mut MultiplexedConnection) -> Result<usize> {
    let (mut cursor, mut all) = (0_u64, std::collections::BTreeSet::new());
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{PREFIX}*"));
        scan.arg("COUNT").arg(1_000);
        let answer = scan.query_async::<(u64, Vec<String>)>(link).await;
        let (next, keys) = answer.context("counting keys")?;
        // A key may be told twice by one server.
        all.extend(keys);
        if next == 0 {
            return Ok(all.len());
        }
        cursor = next;
    }
}

/// The slot of a key without a tag in braces.
pub fn slot_of(key: &str) -> u16 {
    let crc = key.bytes().fold(0_u16, |crc, byte| {
        let crc = crc ^ (u16::from(byte) << 8);
        (0..8).fold(crc, |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ 0x1021,
        })
    });
    crc % 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot_of("123456789"), 0x31c3);
        assert_eq!(slot_of("foo"), 12_182);
    }
}
