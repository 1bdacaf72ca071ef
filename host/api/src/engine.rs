use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which server.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Redis.
    #[default]
    Redis,
    /// Valkey.
    Valkey,
}

impl Engine {
    /// The name as it stands in the spec and in the catalog.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A server's version, as exact as it was written: `7`, `7.2` or `7.2.4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerVersion {
    /// First number.
    pub major: u16,
    /// Second number, if written.
    pub minor: Option<u16>,
    /// Third number, if written.
    pub patch: Option<u16>,
}

/// A version that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no version: write it like \"7.2\" or \"7.2.4\", in quotes")]
pub struct ParseVersionError(pub String);

impl ServerVersion {
    /// `major.minor`, with 0 for a minor that was not written: the branch that decides about
    /// directives and file formats.
    pub fn branch(self) -> (u16, u16) {
        (self.major, self.minor.unwrap_or(0))
    }

    /// True if every number that `self` writes is the same in `other`: `7.2` covers `7.2.4`.
    pub fn covers(self, other: Self) -> bool {
        self.major == other.major
            && (self.minor.is_none() || self.minor == other.minor)
            && (self.patch.is_none() || self.patch == other.patch)
    }

    /// Numbers for ordering; what was not written counts as 0.
    pub fn sort_key(self) -> (u16, u16, u16) {
        (self.major, self.minor.unwrap_or(0), self.patch.unwrap_or(0))
    }
}

impl FromStr for ServerVersion {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseVersionError(text.chars().take(64).collect());
        let mut numbers = text.split('.').map(|part| match part.as_bytes() {
            [first, rest @ ..]
                if rest.len() < 4
                    && part.bytes().all(|b| b.is_ascii_digit())
                    && (*first != b'0' || rest.is_empty()) =>
            {
                part.parse::<u16>().map_err(|_| refuse())
            }
            _ => Err(refuse()),
        });
        let major = numbers.next().ok_or_else(refuse)??;
        let minor = numbers.next().transpose()?;
        let patch = numbers.next().transpose()?;
        if numbers.next().is_some() {
            return Err(refuse());
        }
        Ok(Self {
            major,
            minor,
            patch,
        })
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.major)?;
        for part in [self.minor, self.patch].into_iter().flatten() {
            write!(f, ".{part}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> ServerVersion {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_written_back_as_they_were_read() {
        for text in ["7", "7.2", "7.2.4", "10.0", "8.10.1"] {
            assert_eq!(version(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in [
            "", "7.", ".7", "v7", "7.2.4.1", "7.2-rc1", "07", "7 ", "latest", "99999", "7.+2",
        ] {
            assert!(text.parse::<ServerVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_short_version_covers_the_longer_ones() {
        assert!(version("7").covers(version("7.2.4")));
        assert!(version("7.2").covers(version("7.2.4")));
        assert!(version("7.2.4").covers(version("7.2.4")));
        assert!(!version("7.2.4").covers(version("7.2")));
        assert!(!version("7.2").covers(version("7.4.1")));
    }
}
