use crate::Error;

/// What a server says to `PING`. Any of these means that it is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It serves.
    Pong,
    /// It reads its dataset from disk.
    Loading,
    /// A script or function runs for long.
    Busy,
    /// A replica without its primary, told not to serve old data.
    MasterDown,
    /// It wants a login.
    NoAuth,
    /// It cannot save, and so refuses writes; with its own words.
    Misconf(String),
    /// Any other error answer, with the server's words.
    Other(String),
}

impl Answer {
    /// Reads an error answer; gives the error back when the server did not answer at all.
    pub(crate) fn from_error(error: Error) -> Result<Self, Error> {
        let Error::Refused { code, message, .. } = &error else {
            return Err(error);
        };
        Ok(match code.as_str() {
            "LOADING" => Self::Loading,
            "BUSY" => Self::Busy,
            "MASTERDOWN" => Self::MasterDown,
            "NOAUTH" => Self::NoAuth,
            "MISCONF" => Self::Misconf(message.clone()),
            _ => Self::Other(format!("{code} {message}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_answers_are_values_and_silence_is_an_error() {
        let refused = |code: &str| Error::Refused {
            command: "PING".into(),
            code: code.into(),
            message: "words".into(),
        };
        assert_eq!(
            Answer::from_error(refused("LOADING")).unwrap(),
            Answer::Loading
        );
        assert_eq!(Answer::from_error(refused("BUSY")).unwrap(), Answer::Busy);
        assert_eq!(
            Answer::from_error(refused("MISCONF")).unwrap(),
            Answer::Misconf("words".into())
        );
        assert_eq!(
            Answer::from_error(refused("ERR")).unwrap(),
            Answer::Other("ERR words".into())
        );
        let silent = Error::Silent {
            command: "PING".into(),
            address: "a:1".into(),
        };
        assert!(Answer::from_error(silent).is_err());
    }
}
