//! What a snapshot tells of itself in its first bytes.

use std::borrow::Cow;

/// Bytes that are looked at: what is told is far shorter.
pub const BYTES: usize = 4096;
/// Begins a field that a snapshot tells of itself.
const AUX: u8 = 0xFA;
const ENGINES: [&[u8]; 2] = [b"REDIS", b"VALKEY"];
/// Bytes by which a snapshot names its format, such as `REDIS0011`.
pub const MAGIC: usize = 9;

/// What a snapshot tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its first nine bytes.
    pub magic: String,
    /// The database that the history's stream has selected; 0 where it tells none.
    pub stream_db: u32,
}

/// Reads the first bytes of a snapshot; none if they are none's.
pub fn read(first: &[u8]) -> Option<Head> {
    let mut rest = Rest(first);
    let magic = rest.take(MAGIC)?;
    if !ENGINES.iter().any(|engine| magic.starts_with(engine)) {
        return None;
    }
    Some(Head {
        magic: String::from_utf8_lossy(magic).into_owned(),
        stream_db: rest.stream_db().unwrap_or(0),
    })
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn stream_db(&mut self) -> Option<u32> {
        while self.byte()? == AUX {
            let (name, value) = (self.text()?, self.text()?);
            if name == "repl-stream-db" {
                return value.parse().ok();
            }
        }
        None
    }

    /// A string, or a number that is written shorter.
    fn text(&mut self) -> Option<Cow<'a, str>> {
        let first = self.byte()?;
        let low = usize::from(first & 0x3F);
        let length = match (first >> 6, low) {
            (0, length) => length,
            (1, high) => (high << 8) | usize::from(self.byte()?),
            (2, 0) => usize::try_from(u32::from_be_bytes(self.array()?)).ok()?,
            (3, 0) => return Some(i8::from_le_bytes(self.array()?).to_string().into()),
            (3, 1) => return Some(i16::from_le_bytes(self.array()?).to_string().into()),
            (3, 2) => return Some(i32::from_le_bytes(self.array()?).to_string().into()),
            _ => return None,
        };
        self.take(length).map(String::from_utf8_lossy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aux(name: &str, value: &[u8]) -> Vec<u8> {
        let length = u8::try_from(name.len()).unwrap();
        let parts: [&[u8]; 3] = [&[AUX, length], name.as_bytes(), value];
        parts.concat()
    }

    fn stream_db(fields: &[Vec<u8>]) -> u32 {
        let head = [b"REDIS0011".to_vec(), fields.concat(), vec![0xFE, 0]].concat();
        read(&head).unwrap().stream_db
    }

    #[test]
    fn the_database_of_the_stream_is_found_among_what_else_is_told() {
        let version = aux("redis-ver", b"\x067.0.15");
        let memory = aux("used-mem", &[0xC2, 0x10, 0x20, 0x0E, 0x00]);
        assert_eq!(stream_db(&[version.clone(), memory.clone()]), 0);
        let third = aux("repl-stream-db", &[0xC0, 3]);
        assert_eq!(stream_db(&[version.clone(), memory, third.clone()]), 3);
        let large = aux("repl-stream-db", &[0xC1, 0x2C, 0x01]);
        assert_eq!(stream_db(&[version, large]), 300);
        assert_eq!(stream_db(&[aux("valkey-ver", b"\x40\x059.1.2"), third]), 3);
    }

    #[test]
    fn what_begins_otherwise_is_no_snapshot() {
        assert_eq!(read(b"VALKEY080\xff").unwrap().magic, "VALKEY080");
        let others: [&[u8]; 3] = [b"*1\r\n$4\r\nPING", b"REDIS", b""];
        for other in others {
            assert_eq!(read(other), None);
        }
    }

    #[test]
    fn a_head_that_is_cut_off_is_read_without_a_panic() {
        let head = [b"REDIS0011".to_vec(), aux("repl-stream-db", &[0xC1, 1, 1])].concat();
        for length in 0..head.len() {
            assert_eq!(read(&head[..length]).map_or(0, |head| head.stream_db), 0);
        }
    }
}
