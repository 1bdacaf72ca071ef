use redis::{ErrorKind, RedisError};

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or it broke.
    #[error("no connection to {address}: {reason}; check that the server runs and listens there")]
    Unreachable {
        /// Where.
        address: String,
        /// The cause, from the operating system.
        reason: String,
    },
    /// The server did not answer in time.
    #[error("{address} did not answer {command} in time; it may hang or run a long command")]
    Silent {
        /// What was asked.
        command: String,
        /// Where.
        address: String,
    },
    /// The server answered with an error: it is alive.
    #[error("the server refused {command}: {code} {message}")]
    Refused {
        /// What was asked.
        command: String,
        /// The first word of the answer.
        code: String,
        /// The server's own words, without the first.
        message: String,
    },
    /// The server answered something that is not understood.
    #[error(
        "{command} gave an answer that is not understood ({reason}); is this server supported?"
    )]
    Unexpected {
        /// What was asked.
        command: String,
        /// What is wrong with the answer.
        reason: String,
    },
}

impl Error {
    /// True when the server said this itself, and so is alive.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Unexpected { .. })
    }

    /// True when a new connection is needed.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// The server's own words, if it refused.
    pub fn server_words(&self) -> Option<&str> {
        match self {
            Self::Refused { message, .. } => Some(message),
            _ => None,
        }
    }

    pub(crate) fn unexpected(command: &str, reason: impl Into<String>) -> Self {
        Self::Unexpected {
            command: command.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn from_redis(command: &str, address: &str, error: &RedisError) -> Self {
        let command = command.to_owned();
        if error.is_timeout() {
            return Self::Silent {
                command,
                address: address.to_owned(),
            };
        }
        match error.kind() {
            ErrorKind::Io => Self::Unreachable {
                address: address.to_owned(),
                reason: error.to_string(),
            },
            ErrorKind::AuthenticationFailed => Self::Refused {
                command: "AUTH".to_owned(),
                code: "WRONGPASS".to_owned(),
                message: "the user or its password is not valid on this server".to_owned(),
            },
            ErrorKind::Server(_) | ErrorKind::Extension => Self::Refused {
                command,
                code: error.code().unwrap_or("ERR").to_owned(),
                message: mask_hashes(error.detail().unwrap_or_default()),
            },
            _ => Self::Unexpected {
                command,
                reason: mask_hashes(&error.to_string()),
            },
        }
    }
}

/// Servers quote the offending rule, which may be a password's hash.
pub(crate) fn mask_hashes(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut run = String::new();
    for c in text.chars() {
        if c.is_ascii_hexdigit() {
            run.push(c);
            continue;
        }
        flush(&mut shown, &mut run);
        shown.push(c);
    }
    flush(&mut shown, &mut run);
    shown
}

fn flush(shown: &mut String, run: &mut String) {
    // A run id or a replication id has 40 digits and is no secret; a SHA-256 has 64.
    if run.len() >= 48 {
        shown.push_str("(hash)");
    } else {
        shown.push_str(run);
    }
    run.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_in_the_servers_words_is_masked() {
        let hash = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
        let masked = mask_hashes(&format!("Error in modifier '#{hash}': no"));
        assert_eq!(masked, "Error in modifier '#(hash)': no");
        assert_eq!(mask_hashes("+@read abc"), "+@read abc");
    }
}
