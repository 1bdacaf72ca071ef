//! What a server loads of a log: the part up to an offset, between commands and outside of transactions.

use super::walk::count;
use super::{Kind, NotACommand, Unit, Walker};

/// Turns the stream of a history into what a server loads. Its output is whole only up to [`Self::whole`]: who writes
/// it truncates it to that in the end.
#[derive(Debug)]
pub struct Cutter {
    walker: Walker,
    until: u64,
    output: Output,
}

/// What was appended so far.
#[derive(Debug, Default)]
struct Output {
    /// The beginning of a command whose name is not whole.
    held: Vec<u8>,
    written: u64,
    whole: u64,
    commands: u64,
    /// Commands of a transaction that has no end yet.
    open: u64,
    in_transaction: bool,
}

/// The command that selects a database: a server that loads a log is told the one of its base first.
pub fn select(db: u32) -> Vec<u8> {
    let db = db.to_string();
    format!("*2\r\n$6\r\nSELECT\r\n${}\r\n{db}\r\n", db.len()).into_bytes()
}

impl Cutter {
    /// The next byte is the one behind `at`, where a command begins that is in no transaction; nothing behind `until`
    /// is loaded. Offsets go on from parent to child: one cutter takes all [`Stretch`](super::Stretch)es.
    pub fn new(at: u64, until: u64) -> Self {
        Self {
            walker: Walker::new(at),
            until,
            output: Output::default(),
        }
    }

    /// Takes the bytes behind [`Self::at`], in any parts, and appends to `out` what of them is loaded: commands without
    /// [`Kind::Noise`] and [`Kind::Dropped`]. The last ones may be too much: see [`Self::whole`].
    ///
    /// # Errors
    /// The bytes are no commands.
    pub fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), NotACommand> {
        let start = self.walker.at();
        let left = usize::try_from(self.until.saturating_sub(start)).unwrap_or(usize::MAX);
        let bytes = bytes.get(..left).unwrap_or(bytes);
        let output = &mut self.output;
        let part = |from: u64, to: u64| {
            let place = |offset: u64| usize::try_from(offset.saturating_sub(start));
            let range = place(from).unwrap_or(usize::MAX)..place(to).unwrap_or(usize::MAX);
            bytes.get(range).unwrap_or_default()
        };
        self.walker.feed(bytes, |unit| {
            output.end(unit, part(unit.from, unit.to), out)
        })?;
        let tail = part(self.walker.boundary(), self.walker.at());
        output.go_on(self.walker.unfinished(), tail, out);
        Ok(())
    }

    /// Offset up to which bytes came, or that after which none are taken.
    pub fn at(&self) -> u64 {
        self.walker.at()
    }

    /// True once nothing that comes is loaded any more.
    pub fn is_over(&self) -> bool {
        self.walker.at() >= self.until
    }

    /// How many bytes of all that was appended are whole: commands that end at or before `until`, and no transaction
    /// without its end. What was written before the first [`Self::take`] is not counted.
    pub fn whole(&self) -> u64 {
        self.output.whole
    }

    /// Commands in the whole part.
    pub fn commands(&self) -> u64 {
        self.output.commands
    }
}

impl Output {
    /// A command ended, of which these bytes came last.
    fn end(&mut self, unit: Unit, bytes: &[u8], out: &mut Vec<u8>) {
        self.go_on(Some(unit.kind), bytes, out);
        if !unit.kind.is_loaded() {
            return;
        }
        match unit.kind {
            Kind::Multi => self.in_transaction = true,
            Kind::Exec => self.in_transaction = false,
            Kind::Noise | Kind::Select | Kind::Dropped | Kind::Data => {}
        }
        self.open += 1;
        if !self.in_transaction {
            self.whole = self.written;
            self.commands += std::mem::take(&mut self.open);
        }
    }

    /// Bytes of a command came. They are appended before it is whole: it may be larger than what fits in memory.
    fn go_on(&mut self, kind: Option<Kind>, bytes: &[u8], out: &mut Vec<u8>) {
        match kind {
            None => self.held.extend_from_slice(bytes),
            Some(kind) if kind.is_loaded() => {
                out.extend_from_slice(&self.held);
                out.extend_from_slice(bytes);
                self.written += count(&self.held) + count(bytes);
                self.held.clear();
            }
            Some(_) => self.held.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
    const PUBLISH: &[u8] = b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$1\r\nm\r\n";
    const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
    const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

    fn cut(stream: &[u8], until: u64) -> (Vec<u8>, u64) {
        let mut cutter = Cutter::new(0, until);
        let mut out = Vec::new();
        cutter.take(stream, &mut out).unwrap();
        out.truncate(usize::try_from(cutter.whole()).unwrap());
        (out, cutter.commands())
    }

    #[test]
    fn noise_and_what_no_server_loads_are_left_out() {
        let stream = [PING, SET, PUBLISH, SET, PING].concat();
        assert_eq!(cut(&stream, 1_000), ([SET, SET].concat(), 2));
    }

    #[test]
    fn a_command_that_ends_later_is_left_out() {
        let stream = [SET, SET].concat();
        let end = count(SET);
        assert_eq!(cut(&stream, end), (SET.to_vec(), 1));
        assert_eq!(cut(&stream, 2 * end - 1), (SET.to_vec(), 1));
        assert_eq!(cut(&stream, 2 * end).1, 2);
        assert_eq!(cut(&stream, 0), (Vec::new(), 0));
    }

    #[test]
    fn a_transaction_without_its_end_is_left_out() {
        let stream = [SET, MULTI, SET, SET, EXEC, SET].concat();
        let end = count(&[SET, MULTI, SET, SET, EXEC].concat());
        assert_eq!(cut(&stream, end - 1), (SET.to_vec(), 1));
        assert_eq!(cut(&stream, end).1, 5);
        let over = [SET, MULTI, SET].concat();
        assert_eq!(cut(&over, 1_000), (SET.to_vec(), 1));
    }

    #[test]
    fn it_is_over_at_the_offset() {
        let mut cutter = Cutter::new(10, 20);
        let mut out = Vec::new();
        cutter.take(&SET[..9], &mut out).unwrap();
        assert!(!cutter.is_over());
        cutter.take(&SET[9..], &mut out).unwrap();
        assert!(cutter.is_over() && cutter.whole() == 0);
        assert_eq!(cutter.at(), 20);
        cutter.take(b"whatever", &mut out).unwrap();
        assert_eq!(cutter.at(), 20);
    }

    #[test]
    fn a_database_is_selected_with_its_number() {
        assert_eq!(select(12), b"*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\n");
    }
}
