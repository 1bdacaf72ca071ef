use std::collections::BTreeMap;

use crate::{Error, Server};

/// What became of a `CONFIG SET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigSet {
    /// In force.
    Applied,
    /// The server takes this directive only when it starts.
    NeedsRestart,
    /// The server does not want this value, with its own words.
    Refused(String),
}

impl Server {
    /// The value of one directive as the server writes it; none if it does not show it.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn config_get(&self, name: &str) -> Result<Option<String>, Error> {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg(name);
        let mut answer: BTreeMap<String, String> = self.ask("CONFIG GET", &command).await?;
        Ok(answer.remove(name))
    }

    /// The values of several directives; those that the server does not show are left out.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn config_get_all<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<BTreeMap<String, String>, Error> {
        // One command each: servers before 7.0 take one name.
        let mut pipeline = redis::pipe();
        let mut count = 0;
        for name in names {
            pipeline.cmd("CONFIG").arg("GET").arg(name);
            count += 1;
        }
        if count == 0 {
            return Ok(BTreeMap::new());
        }
        let answers: Vec<BTreeMap<String, String>> = self.ask_all("CONFIG GET", &pipeline).await?;
        Ok(answers.into_iter().flatten().collect())
    }

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
    // 7.0 and later; before, a directive that is fixed at start is "unsupported".
    let fixed = [
        "can't set immutable config",
        "can't set protected config",
        "unsupported config parameter",
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
