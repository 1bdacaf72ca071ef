//! What a status is asked of.

use std::str::FromStr;

use hera_api::RedisBackup;
use thiserror::Error;

use crate::named::{BadTarget, Target, is_called};

/// A backup, or an object of which there are backups: `NAME`, or `KIND/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A RedisBackup.
    Backup(String),
    /// An object.
    Object(Target),
    /// Whichever there is.
    Either(Target),
}

impl FromStr for About {
    type Err = BadTarget;

    fn from_str(spelled: &str) -> Result<Self, BadTarget> {
        match spelled.split_once('/') {
            Some((word, name)) if is_called::<RedisBackup>(word) => {
                if name.is_empty() || name.contains('/') {
                    return Err(BadTarget::Name);
                }
                Ok(Self::Backup(name.to_owned()))
            }
            Some(_) => spelled.parse().map(Self::Object),
            None => spelled.parse().map(Self::Either),
        }
    }
}

/// A RedisBackup: `NAME`, or `rdb/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupName(String);

/// What names no backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("say BACKUP, or rdb/BACKUP: kubectl hera backup ls shows those that there are")]
pub struct BadBackup;

impl BackupName {
    /// The name alone.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BackupName {
    type Err = BadBackup;

    fn from_str(spelled: &str) -> Result<Self, BadBackup> {
        let name = match spelled.split_once('/') {
            Some((word, name)) if is_called::<RedisBackup>(word) => name,
            Some(_) => return Err(BadBackup),
            None => spelled,
        };
        match name.is_empty() || name.contains('/') {
            true => Err(BadBackup),
            false => Ok(Self(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named::tests::target;

    #[test]
    fn a_name_alone_is_a_backup_or_an_instance_and_a_kind_says_which() {
        let about = |spelled: &str| spelled.parse::<About>().unwrap();
        assert_eq!(about("cart"), About::Either(target("cart")));
        assert_eq!(about("ri/cart"), About::Object(target("ri/cart")));
        for word in ["rdb", "RedisBackup", "redisbackups.cache.hera.io"] {
            let asked = about(&format!("{word}/b1"));
            assert_eq!(asked, About::Backup("b1".to_owned()), "{word}");
        }
        for spelled in ["", "rdb/", "rdb/a/b", "pod/cart"] {
            assert!(spelled.parse::<About>().is_err(), "{spelled}");
        }
    }

    #[test]
    fn a_backup_is_named_with_its_kind_or_without() {
        for spelled in ["b1", "rdb/b1", "redisbackups/b1"] {
            let name = spelled.parse::<BackupName>().unwrap();
            assert_eq!(name.as_str(), "b1", "{spelled}");
        }
        for spelled in ["", "rdb/", "rdb/a/b", "ri/b1", "/b1"] {
            assert_eq!(spelled.parse::<BackupName>(), Err(BadBackup), "{spelled}");
        }
    }
}
