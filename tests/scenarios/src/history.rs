//! A history: random faults, then none, and what must be so at the end.

mod faults;

use rand::Rng as _;

use crate::data::Data;
use crate::net::set;
use crate::operator::Operator;
use crate::pod::Persistence;
use crate::rules::{Fault, Rules};
use crate::world::{Breach, Guarantee, Setup, World};

/// No message comes later than this.
const LATEST: u64 = 20_000;
/// Once faults have ended everything is well after this, and for the longest fence.
const BOUND: u64 = 60_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing,
    Cut,
    HealNetwork,
    Freeze,
    Thaw,
    CrashServer,
    HangServer,
    RestartPod,
    ReplacePod,
    StopOperator,
    WakeOperators,
    CrashOperator,
    CutApi,
    Weather,
    Wish,
    Limit,
    Stubborn,
    Drain,
    Roll,
    Scale,
    Evict,
    Remake,
    Fill,
    Grow,
}

/// How often each is taken. A history has factors of its own, so that some faults are left out and
/// others come thick; what mends is never left out.
const STEPS: [(Step, u32, bool); 24] = [
    (Step::Nothing, 18, true),
    (Step::Cut, 12, false),
    (Step::HealNetwork, 10, true),
    (Step::Freeze, 4, false),
    (Step::Thaw, 8, true),
    (Step::CrashServer, 4, false),
    (Step::HangServer, 2, false),
    (Step::RestartPod, 4, false),
    (Step::ReplacePod, 2, false),
    (Step::StopOperator, 5, false),
    (Step::WakeOperators, 6, true),
    (Step::CrashOperator, 3, false),
    (Step::CutApi, 2, false),
    (Step::Weather, 4, false),
    (Step::Wish, 10, false),
    (Step::Limit, 2, false),
    (Step::Stubborn, 2, true),
    (Step::Drain, 2, true),
    (Step::Roll, 3, false),
    (Step::Scale, 3, false),
    (Step::Evict, 3, false),
    (Step::Remake, 1, false),
    (Step::Fill, 3, false),
    (Step::Grow, 3, true),
];

/// What comes thick in a history with a broken rule that little else brings out.
fn focus(rules: Rules) -> &'static [Step] {
    match rules.fault() {
        Some(Fault::PromiseForgotten) => &[Step::RestartPod, Step::Cut],
        Some(Fault::PromotionFromArrival) => &[Step::Weather, Step::Cut, Step::Freeze],
        Some(Fault::ChangeUnnoted) => &[Step::Limit, Step::Cut],
        Some(Fault::ListsUnordered) => &[Step::Limit, Step::ReplacePod, Step::Weather],
        Some(Fault::AnyPause) => &[Step::Wish, Step::Weather],
        Some(Fault::ClaimGoesEarly) => &[Step::Roll],
        Some(Fault::LineageForgotten | Fault::LeftForgotten | Fault::SparesForgotten) => {
            &[Step::Remake, Step::Scale]
        }
        Some(Fault::FullLeads) => &[Step::Fill],
        _ => &[],
    }
}

/// What came of a history.
#[derive(Debug)]
pub struct Outcome {
    /// Its figures.
    pub tally: Tally,
    /// A promise that was broken.
    pub breach: Option<Breach>,
    /// What happened, if it was kept.
    pub journal: Vec<String>,
}

/// Figures of histories.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Histories.
    pub histories: u64,
    /// Random steps.
    pub steps: u64,
    /// Milliseconds that passed in the model.
    pub millis: u64,
    /// Writes that were acknowledged.
    pub writes: u64,
    /// By a server that had just woken, before its agent looked at the clock.
    pub after_thaw: u64,
    /// Promotions.
    pub promotions: u64,
    /// Handovers in which nothing else failed.
    pub handovers: u64,
    /// Servers that the fence stopped.
    pub fenced: u64,
    /// Times that an operator became sure without proof.
    pub granted: u64,
    /// Pods that there were.
    pub pods: u64,
    /// Copies of another history that were replaced.
    pub replaced: u64,
    /// Copies that went back a little, to another replica's.
    pub shortened: u64,
    /// Histories that needed more pods than the model has names for.
    pub cut_short: u64,
    /// Ends without fences at which a person had to say that the last primary is dead.
    pub stuck: u64,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        self.steps += other.steps;
        self.millis += other.millis;
        self.writes += other.writes;
        self.after_thaw += other.after_thaw;
        self.promotions += other.promotions;
        self.handovers += other.handovers;
        self.fenced += other.fenced;
        self.granted += other.granted;
        self.replaced += other.replaced;
        self.shortened += other.shortened;
        self.cut_short += other.cut_short;
        self.pods += other.pods;
        self.stuck += other.stuck;
    }
}

/// Runs the history of a seed.
pub fn run(seed: u64, rules: Rules, journal: bool) -> Outcome {
    let mut world = begin(seed, rules, journal);
    let steps = world.rng.random_range(200..=400);
    let mut taken = 0;
    while taken < steps && world.breach.is_none() {
        world.any_step();
        let millis = world.rng.random_range(2..=16) * 50;
        world.pass_time(millis);
        taken += 1;
    }
    if world.breach.is_none() {
        settle(&mut world);
    }
    Outcome {
        tally: Tally {
            histories: 1,
            steps: taken,
            millis: world.time,
            writes: world.writes,
            after_thaw: world.after_thaw,
            promotions: world.promotions,
            handovers: world.handovers,
            fenced: world.fenced,
            granted: world.granted,
            replaced: world.replaced,
            shortened: world.shortened,
            cut_short: world.cut_short,
            pods: world.pods.len() as u64,
            stuck: world.stuck,
        },
        breach: world.breach,
        journal: world.journal,
    }
}

fn begin(seed: u64, rules: Rules, journal: bool) -> World {
    let fences = [1_000, 2_000, 3_000, 3_000, 5_000, 5_000, 15_000, 0];
    let kept = [
        Persistence::Appends,
        Persistence::Snapshots,
        Persistence::None,
    ];
    // Of the seed's bits, so that neighbours differ.
    let bits = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let setup = Setup {
        seed,
        pods: 2 + (bits % 4) as usize,
        fence_after: fences[(bits >> 8) as usize % fences.len()],
        persistence: kept[(bits >> 16) as usize % kept.len()],
        surge: !(bits >> 26).is_multiple_of(4),
        min_replicas: u32::from((bits >> 28).is_multiple_of(4)),
        // A connection whose other end is cut off may look whole for long.
        hears_for: match rules.fault() {
            Some(Fault::PromiseForgotten) => 30_000,
            _ if (bits >> 24).is_multiple_of(4) => 30_000,
            _ => 1_600,
        },
        rules,
        journal,
    };
    let mut world = World::new(&setup);
    for (step, weight, always) in STEPS {
        let factors = if always {
            &[1, 1, 2][..]
        } else {
            &[0, 0, 1, 1, 4]
        };
        let factor = factors[world.rng.random_range(0..factors.len())];
        let factor = match focus(rules).contains(&step) {
            true => factor.max(1) * 4,
            false => factor,
        };
        world.weights.push(weight * factor);
    }
    world.note(|_| format!("{setup:?}"));
    world
}

/// Everything is mended: one primary must be there in time, keep what it acknowledges, and stay.
fn settle(world: &mut World) {
    world.mend();
    let longest = world.longest_limit();
    let at_rest =
        |world: &World| world.is_settled() && world.operators.iter().all(Operator::is_idle);
    // What was under way ends: late messages, fences that were about to strike.
    world.pass_time((longest + 8_000).max(LATEST + 1_000));
    writes_go_on(world);
    world.grow_volumes();
    // The first that has room may take over from a primary that has none yet.
    world.pass_time(15_000);
    // One pod after the other.
    let bound = BOUND + 20_000 * u64::from(world.api.spec.pods + world.api.size);
    let mut settles = world.until(bound, at_rest);
    let mut said = false;
    while !settles && world.breach.is_none() && world.a_person_says() {
        said = true;
        settles = world.until(bound, at_rest);
    }
    world.stuck += u64::from(said);
    if world.out_of_names {
        world.cut_short += 1;
        return;
    }
    if !settles {
        world.broken(Guarantee::Settles, |world| {
            format!("not settled: {}", world.picture())
        });
        return;
    }
    stays(world, 5_000);
    // Another limit stops nobody.
    let others = [1_000, 2_000, 5_000, 15_000];
    world.api.fence_after = others[world.rng.random_range(0..others.len())];
    stays(world, 20_000);
}

/// Volumes are full still, not all of them: no primary refuses writes for long while a replica that has
/// everything could take them.
fn writes_go_on(world: &mut World) {
    let is_full = |world: &World, pod: usize| world.pods[pod].full;
    if !set(world.api.listed).any(|pod| is_full(world, pod)) {
        return;
    }
    world.until(BOUND, |world| {
        world.primary().is_some_and(|pod| !is_full(world, pod))
    });
    let Some(primary) = world.primary().filter(|pod| is_full(world, *pod)) else {
        return;
    };
    // One beyond the wanted number is kept for its copy, and does not take over.
    let stays = world.api.spec.pods as usize;
    let could = set(world.api.listed).find(|other| {
        let pod = &world.pods[*other];
        *other != primary
            && pod.ordinal < stays
            && pod.runs()
            && pod.link_up
            && !pod.full
            && pod.leaving.is_none()
    });
    if let Some(other) = could {
        world.broken(Guarantee::Settles, |world| {
            format!(
                "pod {primary} refuses writes, and pod {other} does not lead: {}",
                world.picture()
            )
        });
    }
}

fn stays(world: &mut World, millis: u64) {
    let Some(primary) = world.primary() else {
        return;
    };
    let before = (
        world.pods[primary].epoch,
        world.pods[primary].data,
        world.promotions,
    );
    world.pass_time(millis);
    world.writing = false;
    world.pass_time(2_000);
    world.writing = true;
    if world.breach.is_some() {
        return;
    }
    let has: Data = world.pods[primary].data;
    let all = set(world.api.listed).all(|pod| world.pods[pod].data == has);
    let kept = world.branches.contains(has, before.1);
    if !world.is_settled() || world.promotions != before.2 || !all || !kept {
        world.broken(Guarantee::Settles, |world| {
            format!(
                "pod {primary} ({before:?}) did not stay: {}",
                world.picture()
            )
        });
    }
}

impl World {
    /// For people.
    pub(crate) fn picture(&self) -> String {
        let pods = self.pods.iter().filter(|pod| !pod.gone);
        let words = pods.map(|pod| {
            format!(
                "\n  {}: {:?} {:?} fenced {} epoch {} promised {} follows {:?} link {} {:?}",
                pod.index,
                pod.process,
                pod.role,
                pod.fenced,
                pod.epoch,
                pod.promised_epoch,
                pod.following,
                pod.link_up,
                pod.data
            )
        });
        let api = &self.api;
        let (spec, size, candidates) = (api.spec, api.size, &api.candidates);
        let (deleted, temporary) = (api.deleted, api.temporary);
        format!(
            "{candidates:?} {spec:?} size {size} deleted {deleted:b} temporary {temporary:b}{}",
            words.collect::<String>()
        )
    }

    fn any_pod(&mut self) -> usize {
        // The primary more often than others.
        if self.rng.random_range(0..3) == 0
            && let Some(primary) = self.primary()
        {
            return primary;
        }
        let there: Vec<usize> = self
            .pods
            .iter()
            .filter(|pod| !pod.gone)
            .map(|pod| pod.index)
            .collect();
        there[self.rng.random_range(0..there.len())]
    }

    /// One of the steps by this history's own weights.
    fn any_step(&mut self) {
        let sum = self.weights.iter().sum();
        let mut dice = self.rng.random_range(0..sum);
        let chosen = self.weights.iter().position(|weight| {
            let here = dice < *weight;
            dice = dice.saturating_sub(*weight);
            here
        });
        // Just after the object was made anew.
        if self.pods.iter().all(|pod| pod.gone) {
            return;
        }
        let pod = self.any_pod();
        let operator = self.rng.random_range(0..2);
        match STEPS[chosen.unwrap_or(0)].0 {
            Step::Nothing => {}
            Step::Cut => self.any_cut(pod),
            Step::HealNetwork => self.heal_network(),
            Step::Freeze => self.freeze(pod),
            Step::Thaw => self.thaw_all(),
            Step::CrashServer => self.crash_server(pod),
            Step::HangServer => self.hang_server(pod),
            Step::RestartPod => {
                let power = self.rng.random_range(0..3) == 0;
                self.restart_pod(pod, power);
            }
            Step::ReplacePod => {
                let force = self.rng.random_range(0..2) == 0;
                if self.names_left() > 1 {
                    self.replace_pod(pod, force);
                }
            }
            Step::Evict if self.names_left() > 1 => self.evict(pod),
            Step::Roll if self.names_left() > self.api.spec.pods as usize => self.roll(),
            Step::Scale => {
                let pods: u32 = self.rng.random_range(2..=5);
                let more = pods.saturating_sub(self.api.spec.pods) as usize;
                if self.names_left() > more {
                    self.scale(pods);
                }
            }
            Step::Remake => {
                let pods: u32 = self.rng.random_range(2..=5);
                // With what a surplus of claims may bring.
                if self.names_left() > 7 {
                    let power = self.rng.random_range(0..4) == 0;
                    self.remake(pods, power);
                }
            }
            Step::Evict | Step::Roll => {}
            Step::StopOperator => {
                let busy = (0..2).find(|operator| self.operators[*operator].is_busy());
                self.stop_operator(busy.unwrap_or(operator));
            }
            Step::WakeOperators => self.wake_operators(),
            Step::CrashOperator => self.crash_operator(operator),
            Step::CutApi => self.cut_api(),
            Step::Weather => self.any_weather(),
            Step::Wish => {
                self.api.wish = true;
                self.note(|_| "another primary is wanted".to_owned());
            }
            Step::Limit => {
                let limits = [1_000, 2_000, 5_000, 0];
                self.api.fence_after = limits[self.rng.random_range(0..limits.len())];
                let limit = self.api.fence_after;
                self.note(|_| format!("fenceAfter is {limit} now"));
            }
            Step::Fill => self.fill_volume(pod),
            Step::Grow => self.grow_volumes(),
            Step::Stubborn => self.stubborn = pod,
            Step::Drain => self.drain = self.rng.random_range(1..=9),
        }
    }
}
