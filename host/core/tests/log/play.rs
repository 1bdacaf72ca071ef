//! Histories as they may happen.

use crate::agent::Agent;
use crate::dice::Dice;
use crate::store::Store;
use crate::world::World;

/// What may happen beside writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Primaries are fenced, and others take over.
    pub failovers: bool,
    /// Primaries start again, and know nothing of their history.
    pub restarts: bool,
    /// Links break, agents crash and freeze.
    pub agents: bool,
    /// Clocks are wrong by as much, in either direction, and jump; in milliseconds.
    pub clocks: i64,
}

#[derive(Clone)]
pub struct Game {
    pub world: World,
    pub store: Store,
    pub agents: Vec<Agent>,
    faults: Faults,
    dice: Dice,
}

impl Game {
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self {
            world: World::new(seed),
            store: Store::default(),
            agents: (0..3).map(Agent::new).collect(),
            faults,
            dice: Dice::new(seed.wrapping_add(77)),
        }
    }

    /// Plays so many moments.
    pub fn moments(&mut self, count: usize) {
        for _ in 0..count {
            self.pass_time();
            self.write();
            self.fault();
            for at in 0..self.agents.len() {
                self.work(at);
            }
        }
    }

    /// Plays so many moments, and stores what was read then.
    pub fn play(&mut self, moments: usize) {
        self.moments(moments);
        for agent in &mut self.agents {
            if self.dice.in_a_hundred(70) {
                agent.end(&self.world, &mut self.store);
            }
        }
    }

    fn pass_time(&mut self) {
        let longest = [2, 20, 200, 1_500][self.dice.below(4)];
        self.world.now += self.dice.below(longest) as u64;
    }

    fn write(&mut self) {
        match self.dice.below(10) {
            0..4 => self.world.write(),
            4 => self.world.noise(),
            5 => {
                for _ in 0..self.dice.below(6) {
                    self.world.write();
                }
            }
            _ => {}
        }
        if self.dice.in_a_hundred(80) {
            self.world.replicate();
        }
    }

    fn fault(&mut self) {
        let Faults {
            failovers,
            restarts,
            agents,
            clocks,
        } = self.faults;
        let world = &mut self.world;
        if failovers {
            match self.dice.below(200) {
                0..2 => world.fence(),
                2..4 => {
                    world.fence();
                    world.replicate();
                    world.promote();
                }
                // It writes on, and does not tell.
                4..6 if world.serves => world.tells = false,
                6..14 if world.serves => world.tells = true,
                14..17 => world.servers[self.dice.below(3)].cut_off = true,
                17..40 => world.servers[self.dice.below(3)].cut_off = false,
                40..60 if !world.serves => world.promote(),
                _ => {}
            }
        }
        if restarts && self.dice.below(300) == 0 {
            world.restart();
        }
        let at = self.dice.below(3);
        let agent = &mut self.agents[at];
        if agents {
            match self.dice.below(100) {
                0 => agent.crash(),
                1 => agent.end(world, &mut self.store),
                2 => agent.frozen_until = world.now + self.dice.below(20_000) as u64,
                _ => {}
            }
        }
        if clocks > 0 && self.dice.in_a_hundred(2) {
            let span = usize::try_from(clocks * 2 + 1).unwrap();
            agent.ahead = i64::try_from(self.dice.below(span)).unwrap() - clocks;
        }
    }

    fn work(&mut self, at: usize) {
        let (world, store) = (&mut self.world, &mut self.store);
        let agent = &mut self.agents[at];
        if agent.frozen_until > world.now {
            return;
        }
        if !agent.is_reading() {
            // Mostly one keeps the log, now and then two.
            if self.dice.below(100) < [6, 2, 1][at] {
                agent.begin(world, store);
            }
            return;
        }
        let dice = &mut self.dice;
        if dice.in_a_hundred(80) {
            agent.read(world, store, dice.in_a_hundred(80));
        }
        if dice.in_a_hundred(30) {
            agent.ask(world);
        }
        if dice.in_a_hundred(60) {
            agent.hear(world);
        }
        if dice.in_a_hundred(15) {
            agent.seal(world, dice.in_a_hundred(10));
        }
        if dice.in_a_hundred(50) {
            agent.arrive(world, store);
        }
        if dice.in_a_hundred(10) {
            agent.live(world, store);
        }
        if dice.in_a_hundred(2) {
            let server = &world.servers[agent.server];
            let id = &world.histories[server.history].id;
            store.add_base(id, server.offset, agent.clock(world));
        }
    }
}
