/// Where files of an object lie in a store, below the store's prefix. Each object has a folder of its own: one that is
/// made anew under the same name has another uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths(String);

impl Paths {
    /// Those of an object.
    pub fn new(namespace: &str, name: &str, uid: &str) -> Self {
        Self(format!("{namespace}.{name}/{uid}"))
    }

    /// The folder of all of them.
    pub fn root(&self) -> &str {
        &self.0
    }

    /// [`OwnerFile`](super::OwnerFile).
    pub fn owner(&self) -> String {
        format!("{}/owner.json", self.0)
    }

    /// The folder of a base. `run` is the uid of the `RedisBackup`: two runs never have one folder.
    pub fn base(&self, shard: &str, run: &str, offset: u64) -> String {
        format!("{}/base/{shard}/{run}-{offset:016x}", self.0)
    }

    /// [`BackupManifest`](super::BackupManifest).
    pub fn backup(&self, id: &str) -> String {
        format!("{}/backups/{id}.json", self.0)
    }

    /// The folder of all bases of a shard.
    pub fn bases(&self, shard: &str) -> String {
        format!("{}/base/{shard}", self.0)
    }

    /// The folder of the log of a shard: a folder for each replication id below it.
    pub fn log(&self, shard: &str) -> String {
        format!("{}/log/{shard}", self.0)
    }

    /// The data in the folder of a base.
    pub fn data(base: &str) -> String {
        format!("{base}/data")
    }

    /// [`BaseManifest`](super::BaseManifest) in the folder of a base.
    pub fn base_manifest(base: &str) -> String {
        format!("{base}/base.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_made_anew_under_the_same_name_has_another_folder() {
        let [first, second] = ["u-1", "u-2"].map(|uid| Paths::new("shop", "cache", uid));
        assert_eq!(first.owner(), "shop.cache/u-1/owner.json");
        assert_eq!(
            first.base("0", "r-1", 255),
            "shop.cache/u-1/base/0/r-1-00000000000000ff"
        );
        assert_eq!(
            first.backup("nightly"),
            "shop.cache/u-1/backups/nightly.json"
        );
        assert_ne!(first.backup("nightly"), second.backup("nightly"));
    }
}
