//! The files of a store that say what the others are. Later releases read them: fields are added and never change
//! their meaning; a file of a later `v` than [`FORMAT`] is not understood.

use serde::{Deserialize, Serialize};

/// Version of these files.
pub const FORMAT: u32 = 1;

/// `owner.json`: whose path it is. Written once, before anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerFile {
    /// [`FORMAT`].
    pub v: u32,
    /// Uid of the namespace `kube-system`: stands for the Kubernetes cluster; empty where it cannot be read.
    pub cluster: String,
    /// Kind of the object.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// `base.json` beside the data of a base: a snapshot of one shard. A base without it does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseManifest {
    /// [`FORMAT`].
    pub v: u32,
    /// Uid of the object.
    pub uid: String,
    /// The shard: `0` of an object that has none.
    pub shard: String,
    /// `redis` or `valkey`.
    pub engine: String,
    /// The server's version.
    pub version: String,
    /// The first nine bytes of the snapshot, such as `REDIS0011`.
    pub magic: String,
    /// Names the history of the data.
    pub replication_id: String,
    /// How much of that history is in it.
    pub offset: u64,
    /// The database that the stream of that history has selected at this offset: who goes on from there must know it.
    pub stream_db: u32,
    /// When it was taken, in milliseconds since 1970, by the agent's clock.
    pub taken_unix_ms: u64,
    /// Name of the pod whose server was read.
    pub pod: String,
    /// That server's role then: `primary` or `replica`.
    pub role: String,
    /// Bytes of the snapshot.
    pub raw_bytes: u64,
    /// Bytes of it in the store: packed with zstd.
    pub stored_bytes: u64,
    /// SHA-256 of what is stored, in hex.
    pub sha256: String,
    /// CRC-64 that the snapshot ends with, in hex; 0 if its server computes none.
    pub crc64: String,
    /// What the server used of its memory, in bytes.
    pub used_memory: u64,
    /// Folder of the base in the store, below the store's prefix: the data is `<path>/data`, this file
    /// `<path>/base.json`.
    pub path: String,
}

/// `backups/<id>.json`: a backup of an object. Written once, last: without it the backup does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupManifest {
    /// [`FORMAT`].
    pub v: u32,
    /// Name of the `RedisBackup`.
    pub id: String,
    /// The object.
    pub owner: OwnerFile,
    /// Its spec: no passwords are in it.
    pub spec: serde_json::Value,
    /// The instant that it holds, in milliseconds since 1970.
    pub instant_unix_ms: u64,
    /// Its shards.
    pub shards: Vec<ShardInBackup>,
}

/// A shard in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardInBackup {
    /// The shard: `0` of an object that has none.
    pub shard: String,
    /// [`BaseManifest::path`].
    pub base: String,
}
