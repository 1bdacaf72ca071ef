//! Somebody dies, or somebody's hand was there, in the middle of a move.

use std::time::Duration;

use hera_core::cluster::{SLOTS, SlotSet, Way};
use hera_redis::Server;

use crate::audit::audit;
use crate::case::Case;
use crate::data::Data;
use crate::driver::{Driver, Pass};
use crate::fleet::{ROOT, table};
use crate::load::{Load, Verdict};
use crate::pod::lives;
use crate::sender::connect;
use crate::slots::{each, of_moves};
use crate::wait::until;

facts!(
    keys_redis_7_2,
    KEYS,
    a_source_that_is_killed_loses_no_key,
    what_a_hand_left_half_moved_is_ended,
    a_slot_that_its_taker_knows_no_owner_of_moves,
);
facts!(later: keys_redis_7_2_later, KEYS,
    a_target_that_is_killed_loses_no_key,
    agents_that_start_anew_end_the_move,
    another_operator_ends_the_move,
    a_move_that_is_called_off_leaves_nothing_open,
    a_key_that_is_too_large_is_named_and_stays,
    a_shard_that_comes_back_on_its_volume_joins_as_another,
);
facts!(later: keys_valkey_8_1, KEYS_VALKEY,
    a_source_that_is_killed_loses_no_key,
    a_target_that_is_killed_loses_no_key,
    a_move_that_is_called_off_leaves_nothing_open,
    what_a_hand_left_half_moved_is_ended,
    a_slot_that_its_taker_knows_no_owner_of_moves,
);
facts!(later: import_redis_8_6, IMPORT,
    a_source_that_is_killed_loses_no_key,
    a_target_that_is_killed_loses_no_key,
    agents_that_start_anew_end_the_move,
    another_operator_ends_the_move,
    a_move_that_is_called_off_leaves_nothing_open,
    what_a_hand_left_half_moved_is_ended,
    a_slot_that_its_taker_knows_no_owner_of_moves,
    a_shard_that_comes_back_on_its_volume_joins_as_another,
);
facts!(later: export_valkey_9_1, EXPORT,
    a_source_that_is_killed_loses_no_key,
    a_target_that_is_killed_loses_no_key,
    agents_that_start_anew_end_the_move,
    another_operator_ends_the_move,
    a_move_that_is_called_off_leaves_nothing_open,
    what_a_hand_left_half_moved_is_ended,
    a_slot_that_its_taker_knows_no_owner_of_moves,
    a_shard_that_comes_back_on_its_volume_joins_as_another,
);

const COUNT: u64 = 6_000;
/// Slots of a move, between the first two shards.
const SLOTS_MOVED: usize = 1_200;
/// A fault may come too late for a move that takes milliseconds: then another move begins.
const TRIES: u32 = 10;
/// The large hash is in a slot that nobody moves here.
const FAR: u16 = SLOTS - 1;

/// A cluster under load, and what it is to have.
struct Story {
    driver: Driver,
    data: Data,
    load: Load,
    /// Slots that were half moved when a server died. A replica that leads knows nothing of that before Valkey 9
    /// (redis-facts §1.3): until it is told, it takes writes of keys that are at the other server.
    half_moved: SlotSet,
}

impl Story {
    async fn new(case: Case) -> Self {
        let mut driver = Driver::formed(case, 3, 1).await;
        let data = Data::write(&driver.fleet.owners().await, COUNT, FAR).await;
        let load = Load::start(driver.fleet.seeds(), "load").await;
        Self {
            driver,
            data,
            load,
            half_moved: SlotSet::default(),
        }
    }

    /// Slots begin to move from one of the first two shards to the other.
    async fn begin(&mut self, source: u32) {
        self.driver.shift(source, 1 - source, SLOTS_MOVED).await;
        self.driver.until("slots begin to move", Pass::moves).await;
    }

    /// One pass of an operator that does nothing tells how far it is; what is half moved is noted.
    async fn look(&mut self) -> Pass {
        let pass = self.driver.pass(0).await;
        let open = open_slots(&pass);
        self.half_moved = self.half_moved.with(&open);
        pass
    }

    /// All is there, once and as it was written, and nothing is left to do.
    async fn ends(mut self) -> Driver {
        self.driver.until_at_rest("all is at rest").await;
        let keys = self.data.count() + self.load.keys();
        self.load.goes_on().await;
        let Verdict {
            acknowledged,
            unknown,
            wrong,
            forked,
        } = self.load.end(&self.half_moved).await;
        println!("{acknowledged} writes, and {unknown} whose answer was lost");
        assert!(
            wrong.is_empty(),
            "{wrong:#?}\n{}",
            self.driver.fleet.journal()
        );
        if !forked.is_empty() {
            let case = self.driver.fleet.case.name();
            println!(
                "FIGURE {case}: {} keys of a half moved slot forked",
                forked.len()
            );
        }
        self.data.check(&self.driver.fleet.owners().await).await;
        audit(&mut self.driver.fleet, keys).await;
        self.driver
    }
}

/// The slots that are half moved by anybody's word.
fn open_slots(pass: &Pass) -> SlotSet {
    let nodes = pass.seen.nodes.iter();
    let entries = nodes.filter_map(|node| node.server.as_ref()?.own());
    // `[93->-ID]` of one that goes, `[93-<-ID]` of one that comes.
    let slot =
        |text: &String| -> Option<u16> { text.strip_prefix('[')?.split('-').next()?.parse().ok() };
    let open = entries.flat_map(|own| &own.open_slots).filter_map(slot);
    SlotSet::of(open.map(|slot| (slot, slot)))
}

async fn a_source_that_is_killed_loses_no_key(case: Case) {
    killed_in_the_middle(case, |source| source).await;
}

async fn a_target_that_is_killed_loses_no_key(case: Case) {
    killed_in_the_middle(case, |source| 1 - source).await;
}

/// Kills the server of a primary while it gives or takes.
async fn killed_in_the_middle(case: Case, who: impl Fn(u32) -> u32) {
    let mut story = Story::new(case).await;
    for round in 0..TRIES {
        let source = round % 2;
        story.begin(source).await;
        // Each time a little later.
        tokio::time::sleep(Duration::from_millis(u64::from(round) * 3)).await;
        story.look().await;
        let primary = story.driver.fleet.primary(who(source)).await;
        let pid = story.driver.fleet.pods[primary].pod.kill_server().await;
        let name = story.driver.fleet.pods[primary].name();
        story
            .driver
            .fleet
            .note(&format!("== the server of {name} is killed"));
        let left = story.look().await.resharding.left;
        until("the server is gone", async || match lives(pid) {
            true => Err("it lives".to_owned()),
            false => Ok(()),
        })
        .await;
        story
            .driver
            .until_at_rest("another leads, and slots move on")
            .await;
        if left > 0 {
            story.ends().await;
            return;
        }
    }
    panic!("every move was over before the server was killed");
}

/// Of who gives and then of who takes, each with its server, as when a node starts anew.
async fn agents_that_start_anew_end_the_move(case: Case) {
    let mut story = Story::new(case).await;
    for shard in [0, 1] {
        story.begin(0).await;
        story.look().await;
        let at = story.driver.fleet.primary(shard).await;
        let name = story.driver.fleet.pods[at].name();
        story
            .driver
            .fleet
            .note(&format!("== the agent of {name} is killed"));
        story.driver.fleet.pods[at].pod.kill_agent();
        story.look().await;
        story.driver.fleet.start(at).await;
        story.driver.until_at_rest("it is there again").await;
    }
    story.ends().await;
}

/// The first stops in the middle of a pass; agents end what they were told. The next has a later term.
async fn another_operator_ends_the_move(case: Case) {
    let mut story = Story::new(case).await;
    story.begin(0).await;
    let moved = of_moves(&story.driver.status.moves);
    for term in 2..6 {
        let most = usize::try_from(term % 3).unwrap();
        story.driver.pass(most).await;
        story
            .driver
            .fleet
            .note(&format!("== an operator of term {term} leads"));
        story.driver.fleet.term = term;
        // What the one before ordered goes on, and ends.
        story.driver.pass(0).await;
    }
    let driver = story.ends().await;
    assert_shard_has(driver, 1, &moved).await;
}

async fn assert_shard_has(mut driver: Driver, shard: u32, slots: &SlotSet) {
    let table = table(&driver.fleet.observe(true).await);
    assert!(slots.without(&table[&shard]).is_empty(), "{table:?}");
}

/// What moved stays where it is; nothing is half moved, and nothing moves any more.
async fn a_move_that_is_called_off_leaves_nothing_open(case: Case) {
    let mut story = Story::new(case).await;
    story.begin(0).await;
    let all = of_moves(&story.driver.status.moves);
    story.driver.status.goes_on = false;
    let stopped = |pass: &Pass| pass.resharding.running == 0 && open_slots(pass).is_empty();
    story.driver.until("the jobs stop", stopped).await;
    story.driver.status.moves.clear();
    story.driver.status.goes_on = true;
    let before = table(&story.driver.fleet.observe(true).await);
    let stayed = all.shared(&before[&0]).len();
    println!(
        "FIGURE {}: {stayed} of {} slots stayed",
        case.name(),
        all.len()
    );
    let mut driver = story.ends().await;
    assert_eq!(table(&driver.fleet.observe(true).await), before);
    if case.way == Way::Keys {
        assert!(stayed > 0, "nothing was called off");
    }
}

/// Somebody moved half of a slot's keys and went home; and opened others, and moved nothing.
async fn what_a_hand_left_half_moved_is_ended(case: Case) {
    let mut story = Story::new(case).await;
    let seen = story.driver.fleet.observe(true).await;
    let slots = table(&seen);
    let of_first = each(&slots[&0]);
    let with_keys = |slot: &&u16| story.data.within(&SlotSet::of([(**slot, **slot)])) > 1;
    let mut full = of_first.iter().filter(with_keys);
    let (half, all, opened) = (
        full.next().unwrap(),
        full.next().unwrap(),
        full.next().unwrap(),
    );
    let imported = full.next().unwrap();
    let hand = Hand::new(&mut story.driver).await;
    hand.open(*half, true, true).await;
    assert!(hand.moves(*half, 2).await > 0);
    hand.open(*all, true, true).await;
    hand.moves(*all, 1).await;
    hand.open(*opened, false, true).await;
    hand.open(*imported, true, false).await;
    story.driver.fleet.note("== a person has opened four slots");
    let open = open_slots(&story.look().await);
    assert_eq!(open.len(), 4);
    // Nobody died: nothing of these slots may fork.
    story.half_moved = SlotSet::default();
    let driver = story.ends().await;
    assert_shard_has(driver, 1, &SlotSet::of([(*half, *half), (*all, *all)])).await;
}

/// Who takes a slot does not hear of its owner any more, and refuses its keys as long as it knows none.
async fn a_slot_that_its_taker_knows_no_owner_of_moves(case: Case) {
    let mut story = Story::new(case).await;
    let seen = story.driver.fleet.observe(true).await;
    let of_first = each(&table(&seen)[&0]);
    let with_keys = |slot: &u16| story.data.within(&SlotSet::of([(*slot, *slot)])) > 1;
    let mut full = of_first.into_iter().filter(with_keys);
    let (opened, half) = (full.next().unwrap(), full.next().unwrap());
    let hand = Hand::new(&mut story.driver).await;
    hand.open(half, true, true).await;
    assert!(hand.moves(half, 2).await > 0);
    for slot in [opened, half] {
        hand.opens_without_owner(slot).await;
    }
    story.half_moved = SlotSet::default();
    let driver = story.ends().await;
    assert_shard_has(driver, 1, &SlotSet::of([(opened, opened), (half, half)])).await;
}

/// A person at the primaries of the first two shards.
struct Hand {
    source: Server,
    target: Server,
    source_id: String,
    target_id: String,
    target_at: (String, u16),
}

impl Hand {
    async fn new(driver: &mut Driver) -> Self {
        let (source, target) = (driver.fleet.primary(0).await, driver.fleet.primary(1).await);
        let seen = driver.fleet.observe(true).await;
        let id = |at: usize| seen.nodes[at].server.as_ref().unwrap().id.clone();
        let address = |at: usize| driver.fleet.pods[at].address();
        Self {
            source: connect(&address(source), ROOT).await.unwrap(),
            target: connect(&address(target), ROOT).await.unwrap(),
            source_id: id(source),
            target_id: id(target),
            target_at: address(target),
        }
    }

    /// Opens a slot at the one, the other, or both.
    async fn open(&self, slot: u16, at_target: bool, at_source: bool) {
        let told = async |server: &Server, how: &str, id: &str| {
            let mut command = hera_redis::command("CLUSTER");
            command.arg("SETSLOT").arg(slot).arg(how).arg(id);
            server.ask::<()>("SETSLOT", &command).await.unwrap();
        };
        if at_target {
            told(&self.target, "IMPORTING", &self.source_id).await;
        }
        if at_source {
            told(&self.source, "MIGRATING", &self.target_id).await;
        }
    }

    /// The target imports a slot of which it has not heard whose it is.
    async fn opens_without_owner(&self, slot: u16) {
        let mut forget = hera_redis::command("CLUSTER");
        forget.arg("DELSLOTS").arg(slot);
        let mut import = hera_redis::command("CLUSTER");
        import.arg("SETSLOT").arg(slot).arg("IMPORTING");
        import.arg(&self.source_id);
        let mut nodes = hera_redis::command("CLUSTER");
        nodes.arg("NODES");
        let knows_none = |nodes: &str| {
            let mut lines = nodes.lines();
            let of_source = lines.find(|line| line.starts_with(&self.source_id));
            let ranges = of_source.unwrap().split_whitespace().skip(8);
            !ranges
                .map(range)
                .any(|(first, last)| (first..=last).contains(&slot))
        };
        // The source may tell in between.
        for _ in 0..TRIES {
            self.target.ask::<()>("DELSLOTS", &forget).await.unwrap();
            self.target.ask::<()>("SETSLOT", &import).await.unwrap();
            let told: String = self.target.ask("NODES", &nodes).await.unwrap();
            if knows_none(&told) {
                return;
            }
        }
        panic!("the target always heard of the owner of slot {slot}");
    }

    /// Moves one of so many keys of a slot; tells how many.
    async fn moves(&self, slot: u16, one_of: usize) -> usize {
        let mut command = hera_redis::command("CLUSTER");
        command.arg("GETKEYSINSLOT").arg(slot).arg(1_000);
        let keys: Vec<Vec<u8>> = self.source.ask("GETKEYSINSLOT", &command).await.unwrap();
        let keys: Vec<_> = keys.into_iter().step_by(one_of).collect();
        let mut command = hera_redis::command("MIGRATE");
        command.arg(&self.target_at.0).arg(self.target_at.1);
        command.arg("").arg(0).arg(5_000);
        command.arg(&["AUTH2", ROOT, ROOT, "KEYS"]).arg(&keys[..]);
        self.source.ask::<()>("MIGRATE", &command).await.unwrap();
        keys.len()
    }
}

/// It would hold clients up for longer than is allowed. What is allowed later, moves.
async fn a_key_that_is_too_large_is_named_and_stays(case: Case) {
    let mut story = Story::new(case).await;
    story.driver.allow(20);
    story.driver.shift(2, 0, 40).await;
    let is_named = |pass: &Pass| !pass.resharding.too_large.is_empty() && pass.has_moved_all();
    story
        .driver
        .until("the large key is named, and all others move", is_named)
        .await;
    let named = story.look().await.resharding.too_large;
    assert_eq!(named.len(), 1, "{named:?}");
    assert_eq!(
        (named[0].slot, named[0].key.as_str()),
        (FAR, story.data.large().as_str())
    );
    assert!(named[0].bytes > 1_000_000, "{named:?}");
    let has = table(&story.look().await.seen);
    assert!(has[&2].contains(FAR) && has[&0].contains(FAR - 1));
    story.driver.allow(5_000);
    let moved = |pass: &Pass| table(&pass.seen)[&0].contains(FAR);
    story.driver.until("the large key moves", moved).await;
    story.ends().await;
}

/// Its servers were in the cluster once, and nobody of it knows them any more.
async fn a_shard_that_comes_back_on_its_volume_joins_as_another(case: Case) {
    let mut story = Story::new(case).await;
    // The large hash moves as well.
    story.driver.allow(5_000);
    story.driver.scale_out(4, Some(100)).await;
    story.driver.until_at_rest("a fourth shard joins").await;
    let before = leader_of(&mut story.driver, 3).await;
    story.driver.scale_in(3).await;
    story.driver.until_at_rest("it leaves").await;
    assert_eq!(story.driver.fleet.left.len(), 2);
    story.driver.scale_out(4, Some(100)).await;
    story.driver.until_at_rest("it comes back").await;
    assert!(story.driver.fleet.left.is_empty());
    assert_ne!(leader_of(&mut story.driver, 3).await, before);
    story.ends().await;
}

/// The id of a shard's primary.
async fn leader_of(driver: &mut Driver, shard: u32) -> String {
    let at = driver.fleet.primary(shard).await;
    let seen = driver.fleet.observe(true).await;
    seen.nodes[at].server.as_ref().unwrap().id.clone()
}

/// `93` or `93-107`, as a server tells it.
fn range(text: &str) -> (u16, u16) {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    (first.parse().unwrap(), last.parse().unwrap())
}
