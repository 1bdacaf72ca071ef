//! What servers do, and what happens to them.

use rand::Rng as _;

use super::{Guarantee, World};
use crate::data::Data;
use crate::pod::{Persistence, Process, Role};

impl World {
    pub(super) fn run_server(&mut self, index: usize) {
        let now = self.time;
        let (persistence, rules) = (self.persistence, self.rules);
        let pod = &mut self.pods[index];
        if !pod.up || pod.frozen {
            return;
        }
        match pod.process {
            Process::Down(at) if now >= at && !pod.fenced => {
                pod.process = Process::Loading(now + self.rng.random_range(50..800));
                pod.news = true;
            }
            Process::Loading(at) if now >= at && !pod.fenced => {
                pod.server_runs(now, persistence, rules);
            }
            Process::Running => {
                if pod.role == Role::Replica {
                    self.replicate(index);
                }
                self.persist(index);
            }
            Process::Down(_) | Process::Loading(_) => {}
        }
    }

    fn persist(&mut self, index: usize) {
        let pod = &mut self.pods[index];
        match self.persistence {
            Persistence::None => {}
            Persistence::Appends if pod.full => {
                if pod.role == Role::Replica {
                    pod.falls_behind();
                }
            }
            Persistence::Appends => {
                pod.is_saved();
                if self.time.is_multiple_of(1_000) {
                    pod.synced = pod.data;
                }
            }
            Persistence::Snapshots => {
                let due = (self.time / 50 + index as u64).is_multiple_of(600);
                if self.snapshots && due && !pod.full {
                    pod.disk = pod.data;
                    pod.synced = pod.data;
                }
            }
        }
    }

    /// A replica reads from whom it follows.
    fn replicate(&mut self, index: usize) {
        let pod = &self.pods[index];
        let Some((_, master)) = pod.following.filter(|_| pod.followed && pod.runs()) else {
            return;
        };
        let there = &self.pods[master];
        if there.frozen || there.stopped_at.is_some() {
            return;
        }
        let reaches = !there.gone
            && there.up
            && there.process == Process::Running
            && self.net.both_ways(index, master);
        let gives = there.role == Role::Primary || (there.role == Role::Replica && there.link_up);
        let (has, data) = (pod.data, there.data);
        let sync_done = pod.sync_done;
        // What holds clients back holds back what comes from the primary too.
        let paused = pod.is_paused(self.time);
        if pod.link_up {
            if !reaches {
                self.link(index, false);
            } else if has != data && !paused && self.rng.random_range(0..10) < self.drain {
                self.take(index, master, data);
            }
            return;
        }
        if !reaches || !gives {
            self.pods[index].sync_done = None;
            return;
        }
        match sync_done {
            // What it receives goes to its volume first.
            Some(_) if self.pods[index].full => self.pods[index].sync_done = None,
            Some(at) if self.time >= at => {
                self.take(index, master, data);
                self.drop_followers(index);
                let pod = &mut self.pods[index];
                pod.second = None;
                pod.sync_done = None;
                pod.is_saved();
                pod.synced = data;
                self.link(index, true);
            }
            Some(_) => {}
            None if pod.counted && there.continues(has) => {
                if self.rng.random_range(0..4) == 0 {
                    let branch = data.branch;
                    let data = if paused { Data { branch, ..has } } else { data };
                    self.take(index, master, data);
                    self.link(index, true);
                }
            }
            None => {
                let takes = self.rng.random_range(200..3_000);
                self.pods[index].sync_done = Some(self.time + takes);
            }
        }
    }

    fn link(&mut self, index: usize, up: bool) {
        let pod = &mut self.pods[index];
        pod.link_up = up;
        pod.counted |= up;
        pod.news = true;
        self.note_epoch(index);
    }

    /// In sync with a primary, the copy is of its epoch.
    pub(super) fn note_epoch(&mut self, index: usize) {
        let pod = &self.pods[index];
        if let Some((epoch, primary)) = pod.following
            && pod.link_up
            && epoch >= pod.epoch
        {
            let lineage = self.pods[primary].lineage;
            let appends = self.persistence == Persistence::Appends;
            let pod = &mut self.pods[index];
            if pod.full && pod.epoch != epoch && appends {
                pod.on_disk.get_or_insert(pod.epoch);
            }
            if (pod.epoch, pod.primary) != (epoch, primary) {
                pod.lineage = lineage;
                pod.is_of_object();
            }
            pod.epoch = epoch;
            pod.primary = primary;
            pod.was_primary = false;
        }
    }

    /// The copy becomes that of the other.
    fn take(&mut self, index: usize, from: usize, data: Data) {
        let had = self.pods[index].data;
        let (own, epoch) = (self.pods[index].copied_of, self.pods[from].copied_of);
        if !self.branches.contains(data, had) {
            self.replaced += 1;
            self.note(|_| format!("pod {index} had {had:?} and takes {data:?} of pod {from}"));
            // A late order may lead a replica to another replica of the same primary that is behind:
            // the primary has what it gives up.
            let shortened = epoch == own && self.branches.contains(had, data);
            self.shortened += u64::from(shortened);
            if epoch <= own && !shortened {
                self.broken(Guarantee::NothingWiped, |_| {
                    format!(
                        "pod {index} had {had:?} of epoch {own} and takes {data:?} of pod {from}, \
                         which is of epoch {epoch}"
                    )
                });
            }
        }
        if data.branch != had.branch {
            self.drop_followers(index);
            self.pods[index].second = Some(had);
        }
        let pod = &mut self.pods[index];
        pod.data = data;
        pod.copied_of = epoch;
    }

    pub(super) fn drop_followers(&mut self, index: usize) {
        for other in 0..self.pods.len() {
            let pod = &self.pods[other];
            if pod.role == Role::Replica && pod.link_up && pod.known().1 == index {
                self.link(other, false);
            }
        }
    }

    /// What this pod has left is less than what its server had.
    pub(crate) fn note_loss(&mut self, index: usize) {
        self.pods[index].lost_at = self.time;
        self.tied_with_all_known = false;
    }

    /// The server's process ends; the next starts after `pause` at the earliest.
    pub(crate) fn stop_server(&mut self, index: usize, pause: u64) {
        if self.pods[index].process == Process::Running {
            self.drop_followers(index);
        }
        let until = self.time + pause;
        if self.pods[index].data != self.pods[index].disk {
            self.note_loss(index);
        }
        let pod = &mut self.pods[index];
        pod.server_ends(until, self.rules);
        if self.persistence == Persistence::None {
            pod.disk = Data::default();
            pod.synced = Data::default();
        }
    }

    /// The agent kills a server that nobody confirms.
    pub(super) fn stop_unconfirmed(&mut self, index: usize) {
        let now = self.time;
        self.fenced += 1;
        let well = self.net.is_whole() && self.net.weather.slow == 0;
        let calm = if well {
            now - self.disturbed_at.max(self.stirred_at)
        } else {
            0
        };
        if calm > self.longest_limit() + 30_000 {
            self.broken(Guarantee::Settles, |_| {
                format!("pod {index} is stopped although nothing was wrong for {calm} ms")
            });
        }
        self.pods[index].fenced = true;
        self.note(|_| format!("agent {index} kills its server"));
        self.stop_server(index, 200);
    }
}
