use crate::{Error, Server};

/// What became of a `CONFIG SET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigSet {
    /// In force.
    Applied,
    /// The server takes this directive only when it starts, or does not know it: its start tells.
    NeedsRestart,
    /// The server does not want this value, with its own words.
    Refused(String),
}

impl Server {
    /// Sets one directive of the running server.
    ///
    /// # Errors
    /// When the server could not be asked; that it refuses is a [`ConfigSet`].
    pub async fn config_set(&self, name: &str, value: &str) -> Result<ConfigSet, Error> {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg(name).arg(value);
        match self.ask::<()>("CONFIG SET", &command).await {
            Ok(()) => Ok(ConfigSet::Applied),
            Err(Error::Refused { code, message, .. }) if code == "ERR" => {
                Ok(read_refusal(&message))
            }
            Err(error) => Err(error),
        }
    }
}

fn read_refusal(message: &str) -> ConfigSet {
    let lower = message.to_lowercase();
    // Before 7.0 a directive that is fixed at start is "unsupported"; since then one that only the
    // file may have, such as `rename-command`, is "unknown", as is one that does not exist.
    let fixed = [
        "can't set immutable config",
        "can't set protected config",
        "unsupported config parameter",
        "unknown option",
    ];
    if fixed.iter().any(|words| lower.contains(words)) {
        ConfigSet::NeedsRestart
    } else {
        ConfigSet::Refused(message.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_fixed_at_start_needs_a_restart_on_every_version() {
        for message in [
            "CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config",
            "CONFIG SET failed (possibly related to argument 'dir') - can't set protected config",
            "Unsupported CONFIG parameter: databases",
            "Unknown option or number of arguments for CONFIG SET - 'rename-command'",
        ] {
            assert_eq!(read_refusal(message), ConfigSet::NeedsRestart);
        }
    }

    #[test]
    fn a_bad_value_is_refused_with_the_servers_words() {
        let words = "CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value";
        assert_eq!(read_refusal(words), ConfigSet::Refused(words.into()));
    }
}
