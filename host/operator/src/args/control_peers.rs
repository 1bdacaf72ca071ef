//! From where outside of the cluster agents may be controlled.

use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

/// Ranges of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlPeers(Vec<IpNet>);

/// A word that is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RangeError {
    /// It cannot be read.
    #[error("{0:?} is no range of addresses: write one as 192.0.2.0/24 or 2001:db8::/32")]
    Unreadable(String),
    /// It begins in the middle of a range: whether that or one address is meant, nobody knows.
    #[error("{0:?} begins in the middle of a range: write {1}")]
    NotTheFirst(String, IpNet),
}

impl ControlPeers {
    /// The ranges, as objects of Kubernetes have them.
    pub fn ranges(&self) -> Vec<String> {
        self.0.iter().map(IpNet::to_string).collect()
    }
}

impl FromStr for ControlPeers {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let words = text.split(',').map(str::trim);
        let words = words.filter(|word| !word.is_empty());
        words.map(range).collect::<Result<_, _>>().map(Self)
    }
}

fn range(word: &str) -> Result<IpNet, RangeError> {
    let unreadable = |_| RangeError::Unreadable(word.to_owned());
    let range: IpNet = word.parse().map_err(unreadable)?;
    match range.trunc() {
        whole if whole == range => Ok(range),
        whole => Err(RangeError::NotTheFirst(word.to_owned(), whole)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(text: &str) -> Vec<String> {
        text.parse::<ControlPeers>().unwrap().ranges()
    }

    #[test]
    fn ranges_of_both_families_are_taken_and_spaces_around_them() {
        let text = "192.0.2.0/24, 198.51.100.7/32,2001:db8::/32,0.0.0.0/0,::/0";
        let expected = [
            "192.0.2.0/24",
            "198.51.100.7/32",
            "2001:db8::/32",
            "0.0.0.0/0",
            "::/0",
        ];
        assert_eq!(ranges(text), expected);
    }

    #[test]
    fn no_words_are_no_ranges() {
        assert!(ranges("").is_empty());
        assert!(ranges(" , ").is_empty());
    }

    #[test]
    fn what_is_no_range_is_refused_with_what_to_write() {
        let error = |word: &str| word.parse::<ControlPeers>().unwrap_err();
        for word in ["192.0.2.1", "host/24", "192.0.2.0/33", "/8"] {
            assert_eq!(error(word), RangeError::Unreadable(word.to_owned()));
        }
        assert_eq!(
            error("10.1.2.3/8").to_string(),
            "\"10.1.2.3/8\" begins in the middle of a range: write 10.0.0.0/8"
        );
        assert!(matches!(
            error("2001:db8::1/64"),
            RangeError::NotTheFirst(..)
        ));
    }
}
