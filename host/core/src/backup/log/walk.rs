//! Commands in a replication stream: where each begins and ends, and what it is by its name.

use thiserror::Error;

/// The longest name that is looked at.
const NAME: u64 = 16;
/// As many arguments as a server accepts.
const ARGUMENTS: u64 = 1 << 20;
/// `proto-max-bulk-len` may be raised to as much.
const ARGUMENT_BYTES: u64 = 4 << 30;
/// Digits of the largest of these numbers.
const DIGITS: u32 = 10;

/// What a command is, as far as the log cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It keeps the link alive and writes nothing: PING, REPLCONF, a lone line end.
    Noise,
    /// A transaction begins.
    Multi,
    /// A transaction ends.
    Exec,
    /// The commands after it are for another database.
    Select,
    /// It is of no use to a server that loads the log: PUBLISH, SPUBLISH, CLUSTER.
    Dropped,
    /// Anything else.
    Data,
}

/// A whole command of a stream: the bytes behind `from` up to and with `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Offset before its first byte.
    pub from: u64,
    /// Offset with its last byte.
    pub to: u64,
    /// What it is.
    pub kind: Kind,
}

/// What was read is no command.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("at offset {offset} of the log is no command: {words}")]
pub struct NotACommand {
    /// Offset before the byte that is wrong.
    pub offset: u64,
    /// What is wrong.
    pub words: String,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing: a command begins.
    Between,
    /// How many arguments it has.
    Count(Number),
    /// The sign before a length.
    Sign,
    /// How long an argument is.
    Length(Number),
    /// An argument, of which so many bytes are to come.
    Argument(u64),
    /// The first byte after an argument.
    Return,
    /// The second one.
    LineFeed,
}

/// A number in a line of its own.
#[derive(Clone, Copy, Debug, Default)]
struct Number {
    value: u64,
    digits: u32,
    returned: bool,
}

/// Walks a stream by the lengths that it tells, whatever parts it comes in. It keeps nothing of it but the name of the
/// command that it is in.
#[derive(Clone, Debug)]
pub struct Walker {
    state: State,
    at: u64,
    boundary: u64,
    written: u64,
    /// Arguments of this command that are to come, with the one that comes now.
    left: u64,
    name: Vec<u8>,
    kind: Option<Kind>,
}

impl Kind {
    /// True if a server that loads the log is given it.
    pub fn is_loaded(self) -> bool {
        match self {
            Self::Multi | Self::Exec | Self::Select | Self::Data => true,
            Self::Noise | Self::Dropped => false,
        }
    }

    fn of(name: &[u8]) -> Self {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if is("PING") || is("REPLCONF") {
            Self::Noise
        } else if is("MULTI") {
            Self::Multi
        } else if is("EXEC") {
            Self::Exec
        } else if is("SELECT") {
            Self::Select
        } else if is("PUBLISH") || is("SPUBLISH") || is("CLUSTER") {
            Self::Dropped
        } else {
            Self::Data
        }
    }
}

impl Number {
    /// Takes a byte; the number once its line ends, nothing before.
    fn take(&mut self, byte: u8) -> Result<Option<u64>, String> {
        match byte {
            b'0'..=b'9' if !self.returned && self.digits < DIGITS => {
                self.value = self.value * 10 + u64::from(byte - b'0');
                self.digits += 1;
            }
            b'\r' if !self.returned && self.digits > 0 => self.returned = true,
            b'\n' if self.returned => return Ok(Some(self.value)),
            _ => return Err(wrong(byte, "a number and the end of its line")),
        }
        Ok(None)
    }
}

impl Walker {
    /// A stream whose next byte is the one behind this offset, where a command begins.
    pub fn new(at: u64) -> Self {
        Self {
            state: State::Between,
            at,
            boundary: at,
            written: at,
            left: 0,
            name: Vec::new(),
            kind: None,
        }
    }

    /// Goes on over these bytes, and tells each command that ends in them.
    ///
    /// # Errors
    /// The bytes are no commands. The walker is of no use then.
    pub fn feed(&mut self, bytes: &[u8], mut on: impl FnMut(Unit)) -> Result<(), NotACommand> {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            if let State::Argument(left) = self.state {
                let now = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                let (now, later) = rest.split_at(now);
                self.argument(now, left);
                rest = later;
                continue;
            }
            let is_whole = self.step(*byte).map_err(|words| NotACommand {
                offset: self.at,
                words,
            })?;
            self.at += 1;
            rest = after;
            if is_whole {
                on(self.end());
            }
        }
        Ok(())
    }

    /// Offset up to which bytes came.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Offset with the last byte of the last whole command.
    pub fn boundary(&self) -> u64 {
        self.boundary
    }

    /// Offset with the last byte of the last whole command that is no [`Kind::Noise`]; where the walk began, if none
    /// came.
    pub fn last_write_end(&self) -> u64 {
        self.written
    }

    /// What the command is that is not whole yet; none if there is none, or if its name is not whole.
    pub fn unfinished(&self) -> Option<Kind> {
        self.kind
    }

    /// Takes bytes of an argument of which `left` are to come, at least as many.
    fn argument(&mut self, bytes: &[u8], left: u64) {
        if self.kind.is_none() {
            self.name.extend_from_slice(bytes);
        }
        let count = count(bytes);
        self.at += count;
        self.state = match left.saturating_sub(count) {
            0 => State::Return,
            left => State::Argument(left),
        };
    }

    /// Takes a byte that is in no argument; true if a command ends with it.
    fn step(&mut self, byte: u8) -> Result<bool, String> {
        match &mut self.state {
            State::Between => return self.begin(byte),
            State::Count(number) => {
                if let Some(count) = number.take(byte)? {
                    if !(1..=ARGUMENTS).contains(&count) {
                        return Err(format!("it has {count} arguments"));
                    }
                    self.left = count;
                    self.state = State::Sign;
                }
            }
            State::Sign if byte == b'$' => self.state = State::Length(Number::default()),
            State::Sign => return Err(wrong(byte, "$")),
            State::Length(number) => {
                if let Some(length) = number.take(byte)? {
                    self.measure(length)?;
                }
            }
            State::Return if byte == b'\r' => self.state = State::LineFeed,
            State::LineFeed if byte == b'\n' => return Ok(self.next_argument()),
            // No byte of an argument comes here.
            State::Return | State::LineFeed | State::Argument(_) => {
                return Err(wrong(byte, "the end of an argument"));
            }
        }
        Ok(false)
    }

    fn begin(&mut self, byte: u8) -> Result<bool, String> {
        match byte {
            b'*' => {
                self.state = State::Count(Number::default());
                Ok(false)
            }
            b'\n' => {
                self.kind = Some(Kind::Noise);
                Ok(true)
            }
            _ => Err(wrong(byte, "*")),
        }
    }

    fn measure(&mut self, length: u64) -> Result<(), String> {
        if length > ARGUMENT_BYTES {
            return Err(format!("an argument of {length} bytes"));
        }
        if self.kind.is_none() && length > NAME {
            self.kind = Some(Kind::Data);
        }
        self.state = match length {
            0 => State::Return,
            length => State::Argument(length),
        };
        Ok(())
    }

    /// An argument ended; true if it was the last one.
    fn next_argument(&mut self) -> bool {
        let kind = self.kind.unwrap_or_else(|| Kind::of(&self.name));
        self.kind = Some(kind);
        self.left = self.left.saturating_sub(1);
        self.state = State::Sign;
        self.left == 0
    }

    /// A command ended with the last byte.
    fn end(&mut self) -> Unit {
        let kind = self.kind.take().unwrap_or(Kind::Data);
        let from = std::mem::replace(&mut self.boundary, self.at);
        if kind != Kind::Noise {
            self.written = self.at;
        }
        self.name.clear();
        self.state = State::Between;
        Unit {
            from,
            to: self.at,
            kind,
        }
    }
}

/// How many bytes these are.
pub(super) fn count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn wrong(byte: u8, instead_of: &str) -> String {
    format!("'{}' instead of {instead_of}", byte.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*1\r\n$4\r\nping\r\n\
        *3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n\n";

    fn walked(parts: &[&[u8]]) -> (Vec<Unit>, Walker) {
        let mut walker = Walker::new(100);
        let mut units = Vec::new();
        for part in parts {
            walker.feed(part, |unit| units.push(unit)).unwrap();
        }
        (units, walker)
    }

    fn refused(bytes: &[u8]) -> NotACommand {
        Walker::new(100).feed(bytes, |_| ()).unwrap_err()
    }

    #[test]
    fn commands_follow_one_another_and_have_their_kinds() {
        let (units, walker) = walked(&[STREAM]);
        let kinds: Vec<Kind> = units.iter().map(|unit| unit.kind).collect();
        let expected = [
            Kind::Select,
            Kind::Noise,
            Kind::Data,
            Kind::Noise,
            Kind::Noise,
        ];
        assert_eq!(kinds, expected);
        let mut at = 100;
        for unit in &units {
            assert_eq!(unit.from, at);
            at = unit.to;
        }
        assert_eq!(at, 100 + count(STREAM));
        assert_eq!((walker.at(), walker.boundary()), (at, at));
        assert_eq!(walker.last_write_end(), units[2].to);
    }

    #[test]
    fn it_does_not_matter_in_which_parts_a_stream_comes() {
        let (whole, _) = walked(&[STREAM]);
        for split in 0..STREAM.len() {
            let (units, _) = walked(&[&STREAM[..split], &STREAM[split..]]);
            assert_eq!(units, whole, "{split}");
        }
        let bytes: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(walked(&bytes).0, whole);
    }

    #[test]
    fn what_a_command_is_shows_before_it_is_whole() {
        let begun: &[u8] = b"*2\r\n$7\r\nPUBLISH\r\n$900\r\n";
        let (units, walker) = walked(&[begun]);
        assert!(units.is_empty());
        assert_eq!(walker.unfinished(), Some(Kind::Dropped));
        assert_eq!((walker.boundary(), walker.last_write_end()), (100, 100));
        assert_eq!(walked(&[&begun[..10]]).1.unfinished(), None);
        let long = walked(&[b"*1\r\n$17\r\n"]).1;
        assert_eq!(long.unfinished(), Some(Kind::Data));
    }

    #[test]
    fn what_is_no_command_is_refused_where_it_is() {
        let error = refused(b"*1\r\n$4\r\nPING\r\nSET");
        assert_eq!(error.offset, 114);
        assert_eq!(
            error.to_string(),
            "at offset 114 of the log is no command: 'S' instead of *"
        );
        for bytes in [
            b"*0\r\n".as_slice(),
            b"*1048577\r\n",
            b"*-1\r\n",
            b"*\r\n",
            b"*1\n",
            b"*1\r\n+OK\r\n",
            b"*1\r\n$4294967297\r\n",
            b"*1\r\n$2\r\nabc",
            b"*1\r\n$2\r\nab\rx",
            b"*99999999999",
        ] {
            refused(bytes);
        }
        Walker::new(0)
            .feed(b"*1048576\r\n$4294967296\r\n", |_| ())
            .unwrap();
    }
}
