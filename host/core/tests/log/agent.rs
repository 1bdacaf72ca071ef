//! An agent that keeps the log of its server.

use hera_core::backup::FORMAT;
use hera_core::backup::log::{
    Alive, EvidenceBuilder, Reached, ServerHistory, Start, Walker, resume,
};

use crate::store::{Piece, Store};
use crate::world::World;

#[derive(Clone, Debug)]
pub struct Agent {
    pub server: usize,
    /// How far its clock is ahead.
    pub ahead: i64,
    /// It does nothing until then.
    pub frozen_until: u64,
    session: Option<Session>,
    /// When it asked the primary; no answer came yet.
    asked: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Session {
    history: usize,
    walker: Walker,
    evidence: EvidenceBuilder,
    from: u64,
    open: Vec<u8>,
    answers: Vec<Answer>,
    /// Pieces that are on their way.
    sent: Vec<Piece>,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    history: usize,
    offset: u64,
    asked: u64,
    answered: u64,
}

impl Agent {
    pub fn new(server: usize) -> Self {
        Self {
            server,
            ahead: 0,
            frozen_until: 0,
            session: None,
            asked: Vec::new(),
        }
    }

    pub fn clock(&self, world: &World) -> u64 {
        world.now.saturating_add_signed(self.ahead)
    }

    pub fn is_reading(&self) -> bool {
        self.session.is_some()
    }

    /// What its server says of its history.
    pub fn told(&self, world: &World) -> ServerHistory {
        let server = &world.servers[self.server];
        let id = |history: usize| world.histories[history].id.clone();
        ServerHistory {
            id: id(server.history),
            offset: server.offset,
            id2: server.other.map(|(history, _)| id(history)),
            second_offset: server.other.map(|(_, offset)| offset),
            backlog_from: Some(server.backlog_from),
        }
    }

    /// Links to its server where the store ends.
    pub fn begin(&mut self, world: &World, store: &mut Store) {
        let told = self.told(world);
        let history = world.servers[self.server].history;
        let stored = store.reached();
        let start = resume(&told, &stored, self.clock(world));
        if let Start::Child { id, parent, .. } = &start {
            let known = store.parents.entry(id.clone());
            known.or_insert_with(|| parent.clone());
        }
        let own = [Some(&told.id), told.id2.as_ref()];
        let own = own.into_iter().flatten().filter_map(|id| stored.get(id));
        let latest = own.map(Reached::latest_unix_ms).max().unwrap_or(0);
        let at = start.at();
        self.session = Some(Session {
            history,
            walker: Walker::new(at),
            evidence: EvidenceBuilder::new(at, self.clock(world), latest),
            from: at,
            open: Vec::new(),
            answers: Vec::new(),
            sent: Vec::new(),
        });
    }

    /// Reads some of what its server has. A server of another history has closed the link.
    pub fn read(&mut self, world: &mut World, store: &mut Store, all: bool) {
        let clock = self.clock(world);
        let server = world.servers[self.server].clone();
        let Some(session) = &mut self.session else {
            return;
        };
        if session.history != server.history {
            self.end(world, store);
            return;
        }
        let at = session.walker.at();
        let missing = usize::try_from(server.offset.saturating_sub(at)).unwrap();
        let some = world.dice.below(missing + 1);
        let count = if all { missing } else { some };
        let at = usize::try_from(at).unwrap();
        let stream = &world.histories[server.history].stream;
        let bytes = stream.get(at..at + count).unwrap_or_default();
        session.walker.feed(bytes, |_| ()).unwrap();
        session.open.extend_from_slice(bytes);
        let (written, boundary) = (session.walker.last_write_end(), session.walker.boundary());
        session.evidence.note_read(written, boundary, clock);
        session.note();
    }

    /// Asks the primary how much it has written.
    pub fn ask(&mut self, world: &World) {
        self.asked.push(self.clock(world));
    }

    /// The primary answers, if it is one without a doubt; else nothing comes of it.
    pub fn hear(&mut self, world: &World) {
        let answered = self.clock(world);
        let asked = std::mem::take(&mut self.asked);
        let Some(session) = self.session.as_mut().filter(|_| world.tells) else {
            return;
        };
        let primary = &world.servers[world.primary];
        session
            .answers
            .extend(asked.into_iter().map(|asked| Answer {
                history: primary.history,
                offset: primary.offset,
                asked,
                answered,
            }));
        session.note();
    }

    /// What was read becomes a piece. Noise alone does so only if it is much.
    pub fn seal(&mut self, world: &World, much: bool) {
        let Some(session) = &mut self.session else {
            return;
        };
        let to = session.walker.boundary();
        if to == session.from || (!much && session.walker.last_write_end() <= session.from) {
            return;
        }
        let whole = usize::try_from(to - session.from).unwrap();
        let rest = session.open.split_off(whole);
        let raw = std::mem::replace(&mut session.open, rest);
        let evidence = session.evidence.take_up_to(to);
        let id = &world.histories[session.history].id;
        session
            .sent
            .push(Piece::new(id, session.from, raw, evidence));
        session.from = to;
    }

    /// The store has a piece, whichever comes first.
    pub fn arrive(&mut self, world: &mut World, store: &mut Store) {
        let Some(session) = &mut self.session else {
            return;
        };
        // Two are on their way at a time.
        let count = session.sent.len().min(2);
        if count > 0 {
            let piece = session.sent.remove(world.dice.below(count));
            store.put(&piece);
        }
    }

    /// Notes that nothing is written.
    pub fn live(&self, world: &World, store: &mut Store) {
        let Some(session) = &self.session else {
            return;
        };
        let written = session.walker.last_write_end();
        let look = session.evidence.last_look();
        if let Some(look) = look.filter(|look| look.offset == written)
            && session.sent.is_empty()
            && written <= session.from
        {
            store.alive = Some(Alive {
                v: FORMAT,
                id: world.histories[session.history].id.clone(),
                offset: look.offset,
                read: session.walker.boundary(),
                unix_ms: look.unix_ms,
            });
        }
    }

    /// Ends well: the store gets all that was read.
    pub fn end(&mut self, world: &World, store: &mut Store) {
        self.seal(world, true);
        if let Some(session) = self.session.take() {
            for piece in &session.sent {
                store.put(piece);
            }
        }
        self.asked.clear();
    }

    /// Ends, and what the store does not have is gone.
    pub fn crash(&mut self) {
        self.session = None;
        self.asked.clear();
    }
}

impl Session {
    /// Notes the answers up to which all is read.
    fn note(&mut self) {
        let boundary = self.walker.boundary();
        let answers = std::mem::take(&mut self.answers);
        for answer in answers {
            if answer.history != self.history {
                continue;
            }
            if answer.offset <= boundary {
                let Answer {
                    offset,
                    asked,
                    answered,
                    ..
                } = answer;
                self.evidence.note_look(offset, asked, answered);
            } else {
                self.answers.push(answer);
            }
        }
    }
}
