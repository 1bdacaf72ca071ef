//! A data pod: an agent and its server. What the agent keeps on the volume comes first.

use hera_core::agent::Question;
use hera_core::fence::{Watch, vouches};

use crate::data::Data;
use crate::net::{Members, Position};
use crate::rules::{Fault, Rules};

/// Uids of pods.
pub const NAMES: [&str; 16] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p",
];
/// A token is good for this long.
pub const TOKEN: u64 = 5_000;
/// A server that answers nothing hangs after this, and its agent says so.
const HANG: u64 = 10_000;

/// What a server keeps over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing.
    None,
    /// What it had at the last snapshot.
    Snapshots,
    /// All; after a loss of power all but the last second.
    Appends,
}

/// The server's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// None; the next start is then.
    Down(u64),
    /// It loads its data until then.
    Loading(u64),
    /// It answers.
    Running,
}

/// The server's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Held by the boot guard.
    Held,
    /// Follows, or would.
    Replica,
    /// Serves writes.
    Primary,
}

/// What an agent tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub pod: usize,
    /// When it was so.
    pub at: u64,
    pub running: bool,
    pub loading: bool,
    pub hangs: bool,
    pub fenced: bool,
    pub role: Role,
    pub epoch: u64,
    pub primary: usize,
    pub was_primary: bool,
    pub lineage: u8,
    pub inherited: bool,
    pub left: bool,
    pub promised_epoch: u64,
    pub quiet: u64,
    /// Whom it follows now.
    pub following: Option<(u64, usize)>,
    pub link_up: bool,
    pub members: Members,
    pub former: u16,
    /// It is the primary, its pod is to end, and it waits for another to take over.
    pub leaving: bool,
    /// Its volume takes no writes.
    pub full: bool,
    /// The volume has less than the server.
    pub unsaved: bool,
}

/// What the agent is to do about a primary.
pub enum Look {
    Nothing,
    Stop,
    Ask(u64),
}

/// A data pod.
pub struct Pod {
    /// Among all there ever were.
    pub index: usize,
    pub(crate) ordinal: usize,
    /// It is gone for good.
    pub gone: bool,
    /// When its server ended last with more than its volume; 0 if it never did.
    pub(crate) lost_at: u64,
    /// Of the pod's template.
    pub(crate) revision: u32,
    /// Since when it is asked to end.
    pub(crate) leaving: Option<u64>,
    /// Nobody is left who could take over.
    pub(crate) alone: bool,
    pub(crate) offset: u64,

    pub(crate) term: u64,
    /// Of the data.
    pub epoch: u64,
    pub(crate) primary: usize,
    pub(crate) was_primary: bool,
    /// The object that it belongs to, counted from 1.
    pub(crate) object: u8,
    /// The object under which the history of the data began; 0 before it did.
    pub(crate) lineage: u8,
    /// The data is from before its object.
    pub(crate) inherited: bool,
    /// A scale-down left the copy behind.
    pub(crate) left: bool,
    pub(crate) following: Option<(u64, usize)>,
    pub(crate) promised_epoch: u64,
    /// When it promised that, for how long it had vouched for nobody.
    pub(crate) quiet: u64,
    /// When it vouched last, by its clock.
    pub(crate) vouched: u64,
    /// Down until it is to follow or to be promoted.
    pub fenced: bool,
    pub(crate) members: Members,
    /// The pods that had the volume before.
    pub(crate) former: u16,
    pub(crate) disk: Data,
    pub(crate) synced: Data,
    /// The volume takes no writes; what the agent notes it takes.
    pub full: bool,
    /// Epoch of what the volume has, while that is less than the server has.
    pub(crate) on_disk: Option<u64>,
    /// As [`Self::copied_of`], of what the volume has.
    pub(crate) disk_of: u64,

    pub(crate) up: bool,
    pub(crate) boot: u32,
    /// Neither agent nor server runs on.
    pub frozen: bool,
    /// It woke, and its agent has not looked at the clock yet.
    pub(crate) thawing: bool,
    pub(crate) next_look: u64,
    tokens: [(u64, u64); 8],
    tokens_given: u64,
    /// It knows the password of whom it follows.
    pub(crate) followed: bool,
    pub(crate) watch: Option<Watch>,
    question: Question,
    base: u64,
    /// Until when, and for which epoch.
    pub(crate) pause: Option<(u64, u64)>,
    /// The last epoch for which it paused: it pauses once for each.
    pub(crate) paused_for: u64,
    pub(crate) news: bool,
    pub(crate) next_beat: u64,
    pub(crate) hangs: bool,

    /// Its server's process.
    pub process: Process,
    pub(crate) runs_since: u64,
    pub(crate) stopped_at: Option<u64>,
    /// Its server's role.
    pub role: Role,
    /// It receives what its primary writes.
    pub link_up: bool,
    pub(crate) sync_done: Option<u64>,
    /// Its copy.
    pub data: Data,
    /// What it was called before it was called so.
    pub(crate) second: Option<Data>,
    pub(crate) counted: bool,
    /// The epoch of the primary that wrote it; nobody in the model knows.
    pub(crate) copied_of: u64,
}

impl Pod {
    pub(crate) fn new(index: usize, ordinal: usize, offset: u64, now: u64) -> Self {
        Self {
            index,
            ordinal,
            gone: false,
            lost_at: 0,
            revision: 0,
            leaving: None,
            alone: false,
            offset,
            term: 0,
            epoch: 0,
            primary: index,
            was_primary: false,
            object: 1,
            lineage: 0,
            inherited: false,
            left: false,
            following: None,
            promised_epoch: 0,
            quiet: 0,
            vouched: 0,
            fenced: false,
            members: Members::default(),
            former: 0,
            disk: Data::default(),
            synced: Data::default(),
            full: false,
            on_disk: None,
            disk_of: 0,
            up: true,
            boot: 1,
            frozen: false,
            thawing: false,
            next_look: 0,
            tokens: [(0, 0); 8],
            tokens_given: 0,
            followed: false,
            watch: None,
            question: Question {
                number: 0,
                pod_uid: NAMES[index].to_owned(),
                epoch: 0,
            },
            base: 0,
            pause: None,
            paused_for: 0,
            news: true,
            next_beat: 0,
            hangs: false,
            process: Process::Loading(now + 100),
            runs_since: 0,
            stopped_at: None,
            role: Role::Held,
            link_up: false,
            sync_done: None,
            data: Data::default(),
            second: None,
            counted: true,
            copied_of: 0,
        }
    }

    /// True if a replica that asks for what comes after `has` gets just that: it has a name, which is
    /// this one's or the one before.
    pub(crate) fn continues(&self, has: Data) -> bool {
        let names = [Some(self.data), self.second].into_iter().flatten();
        let mut names = names.filter(|name| name.branch == has.branch);
        has.branch != 0 && names.any(|name| has.len <= name.len)
    }

    /// What its own clock says.
    pub(crate) fn clock(&self, now: u64) -> u64 {
        now + self.offset
    }

    pub(crate) fn runs(&self) -> bool {
        self.up && self.process == Process::Running && self.stopped_at.is_none()
    }

    /// True if it acknowledges writes when asked now.
    pub fn serves(&self) -> bool {
        self.role == Role::Primary && self.runs() && !self.frozen
    }

    /// Its server holds writes back.
    pub(crate) fn is_paused(&self, now: u64) -> bool {
        self.pause.is_some_and(|(until, _)| self.clock(now) < until)
    }

    /// True if it serves, or would if it woke now.
    pub(crate) fn could_serve(&self, now: u64) -> bool {
        let there = self.up && self.process == Process::Running && self.role == Role::Primary;
        let over = || {
            let watch = self.watch.as_ref();
            watch.is_some_and(|watch| watch.must_stop(self.clock(now)))
        };
        there && !(over() && (self.frozen || self.thawing))
    }

    pub(crate) fn known(&self) -> (u64, usize) {
        self.following.unwrap_or((self.epoch, self.primary))
    }

    pub(crate) fn status(&self, now: u64) -> Status {
        Status {
            pod: self.index,
            at: now,
            running: self.up && self.process == Process::Running,
            loading: self.up && matches!(self.process, Process::Loading(_)),
            hangs: self.hangs,
            fenced: self.fenced,
            role: self.role,
            epoch: self.epoch,
            primary: self.primary,
            was_primary: self.was_primary,
            lineage: self.lineage,
            inherited: self.inherited,
            left: self.left,
            promised_epoch: self.promised_epoch,
            quiet: self.quiet,
            following: self.following.filter(|_| self.role == Role::Replica),
            link_up: self.link_up,
            members: self.members,
            former: self.former,
            leaving: self.leaving.is_some() && self.role == Role::Primary,
            full: self.full,
            unsaved: self.on_disk.is_some(),
        }
    }

    /// Nothing of it runs before that.
    pub(crate) fn is_to_start(&mut self, at: u64) {
        self.up = false;
        self.process = Process::Down(at);
        self.next_look = at;
    }

    pub(crate) fn position(&mut self, now: u64) -> Position {
        self.tokens_given += 1;
        let token = (u64::from(self.boot) << 32) + self.tokens_given;
        self.tokens[(self.tokens_given % 8) as usize] = (token, self.clock(now));
        let there = self.process == Process::Running;
        let len = if there { self.data.len } else { 0 };
        Position {
            token,
            branch: self.data.branch,
            offset: if self.counted { len } else { 0 },
            keys: len,
        }
    }

    /// When a token was given out, if it is still good.
    pub(crate) fn token(&self, token: u64, now: u64) -> Option<u64> {
        let (_, given) = self.tokens.iter().find(|(known, _)| *known == token)?;
        (self.clock(now) < given + TOKEN).then_some(*given)
    }

    /// A watch over this primary, confirmed at `since`.
    pub(crate) fn new_watch(&self, epoch: u64, since: u64) -> Watch {
        let mut watch = Watch::new(epoch, NAMES[self.index], since);
        let names = self.members.iter().map(|pod| NAMES[pod].to_owned());
        watch.set_members(self.members.fence_after, names);
        watch
    }

    pub(crate) fn arm(&mut self, watch: Watch, now: u64) {
        self.base = self.clock(now);
        self.watch = Some(watch);
    }

    pub(crate) fn take_members(&mut self, members: Members, now: u64, rules: Rules) {
        let clock = self.clock(now);
        self.members = members;
        let Some(watch) = &mut self.watch else {
            return;
        };
        let names = members.iter().map(|pod| NAMES[pod].to_owned());
        if rules.has(Fault::LimitUnguarded) {
            watch.set_members(members.fence_after, names);
        } else {
            watch.change_members(clock, members.fence_after, names);
        }
    }

    /// The agent looks at the clock before all else.
    pub(crate) fn look(&mut self, now: u64) -> Look {
        self.thawing = false;
        let clock = self.clock(now);
        let hangs = self.stopped_at.is_some_and(|since| now >= since + HANG);
        self.news |= hangs != self.hangs;
        self.hangs = hangs;
        let Some(watch) = &mut self.watch else {
            return Look::Nothing;
        };
        if watch.must_stop(clock) {
            return Look::Stop;
        }
        match watch.ask(clock) {
            Some(question) => {
                self.question.epoch = question.epoch;
                Look::Ask(question.number + self.base)
            }
            None => Look::Nothing,
        }
    }

    pub(crate) fn is_confirmed(&mut self, number: u64, epoch: u64, now: u64, rules: Rules) {
        let before = self.watch.as_ref().and_then(Watch::deadline);
        if let Some(watch) = &mut self.watch {
            watch.confirmed_by_operator(number.saturating_sub(self.base), epoch);
        }
        self.count_from_answer(before, now, rules);
    }

    pub(crate) fn is_vouched(&mut self, number: u64, peer: usize, now: u64, rules: Rules) {
        let before = self.watch.as_ref().and_then(Watch::deadline);
        if let Some(watch) = &mut self.watch {
            watch.vouched_by(number.saturating_sub(self.base), NAMES[peer]);
        }
        self.count_from_answer(before, now, rules);
    }

    fn count_from_answer(&mut self, before: Option<u64>, now: u64, rules: Rules) {
        if rules.has(Fault::ClockFromAnswer)
            && self.watch.as_ref().and_then(Watch::deadline) != before
        {
            let base = self.base;
            self.watch = Some(self.new_watch(self.epoch, self.clock(now)));
            self.base = base;
        }
    }

    /// Promises to vouch for nobody of that epoch.
    pub(crate) fn promises(&mut self, epoch: u64, quiet: u64) {
        if epoch > self.promised_epoch {
            self.promised_epoch = epoch;
            self.quiet = quiet;
        }
    }

    /// For how long it has vouched for nobody.
    pub(crate) fn quiet(&self, now: u64) -> u64 {
        self.clock(now).saturating_sub(self.vouched)
    }

    /// True if it vouches for that primary.
    pub(crate) fn vouches(&mut self, asker: &Question, now: u64, rules: Rules) -> bool {
        if !rules.has(Fault::VouchUnnoted) {
            self.vouched = self.clock(now);
        }
        let (epoch, whom) = self.known();
        vouches(asker, self.promised_epoch, (epoch, NAMES[whom]))
    }

    pub(crate) fn question(&mut self, number: u64, epoch: u64) -> &Question {
        self.question.number = number;
        self.question.epoch = epoch;
        &self.question
    }

    /// What its server has is on the volume.
    pub(crate) fn is_saved(&mut self) {
        self.disk = self.data;
        self.disk_of = self.copied_of;
        self.on_disk = None;
    }

    /// The volume takes nothing more of what the server, a replica, receives.
    pub(crate) fn falls_behind(&mut self) {
        self.on_disk.get_or_insert(self.epoch.saturating_sub(1));
    }

    /// The next server has what is on the volume.
    fn goes_back(&mut self) {
        let Some(epoch) = self.on_disk.take() else {
            return;
        };
        if self.was_primary {
            self.promises(self.epoch, 0);
        }
        self.was_primary = false;
        self.epoch = epoch;
        self.copied_of = self.disk_of;
    }

    /// The server's process ends.
    pub(crate) fn server_ends(&mut self, until: u64, rules: Rules) {
        self.goes_back();
        if !rules.has(Fault::TokenOutlivesServer) && !rules.has(Fault::PromotedTwice) {
            self.tokens = [(0, 0); 8];
        }
        self.process = Process::Down(until);
        self.stopped_at = None;
        self.hangs = false;
        self.role = Role::Held;
        self.link_up = false;
        self.sync_done = None;
        self.watch = None;
        self.pause = None;
        self.news = true;
    }

    /// The server has loaded what is on the disk.
    pub(crate) fn server_runs(&mut self, now: u64, persistence: Persistence, rules: Rules) {
        self.process = Process::Running;
        self.runs_since = now;
        self.data = self.disk;
        self.second = None;
        self.counted = persistence == Persistence::Snapshots || self.data.len == 0;
        self.role = if self.followed {
            Role::Replica
        } else {
            Role::Held
        };
        if rules.has(Fault::NoBootGuard) && self.was_primary {
            self.role = Role::Primary;
        }
        self.news = true;
    }

    /// The container ends, and the agent with it.
    pub(crate) fn container_ends(&mut self, power: bool, start: u64, rules: Rules) {
        self.server_ends(start, rules);
        if power {
            self.disk = self.synced;
        }
        self.up = false;
        self.frozen = false;
        self.thawing = false;
        self.boot += 1;
        self.next_look = start;
        self.followed = false;
        self.tokens = [(0, 0); 8];
        if rules.has(Fault::PromiseForgotten) {
            self.promised_epoch = 0;
        }
    }
}

impl Pod {
    /// The volume of another.
    /// Its data is today's: it leads, or is in sync with who does.
    pub(crate) fn is_of_object(&mut self) {
        if self.lineage == 0 {
            self.lineage = self.object;
        }
        self.inherited = false;
        self.left = false;
    }

    /// As agents did before there was a lineage.
    pub(crate) fn forgets_lineage(&mut self) {
        (self.epoch, self.promised_epoch, self.lineage) = (0, 0, 0);
        (self.was_primary, self.inherited, self.left) = (false, false, false);
    }

    pub(crate) fn inherit(&mut self, from: &Self) {
        self.term = from.term;
        self.epoch = from.epoch;
        self.primary = from.primary;
        self.was_primary = from.was_primary;
        self.lineage = from.lineage;
        self.left = from.left;
        self.inherited = match self.object == from.object {
            true => from.inherited,
            false => from.epoch > 0,
        };
        // Whom the pods of another object followed says nothing.
        self.following = from.following.filter(|_| self.object == from.object);
        self.promised_epoch = from.promised_epoch;
        self.quiet = from.quiet;
        self.former = from.former | 1 << from.index;
        self.copied_of = from.copied_of;
        self.disk = from.disk;
        self.synced = from.synced;
        self.full = from.full;
        self.disk_of = from.disk_of;
    }
}
