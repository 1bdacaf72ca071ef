//! What a status is asked of.

use std::str::FromStr;

use hera_api::RedisBackup;

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
}
