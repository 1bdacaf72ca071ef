//! A StatefulSet, its pods and their agents, as far as a roll needs them: what is planned is carried
//! out at once, and nothing is remembered between two passes.

use hera_core::agent::{Link, Members, Role};
use hera_core::instance::{Plan, Step, decide, set_size, told};
use hera_core::shard::{AgentView, ClaimView, PodView, Record};

use crate::fixtures::{Group, address, claim, group, member, pod, status};

/// Passes after which a story must have ended.
const LIMIT: usize = 60;

pub struct World {
    pub group: Group,
    /// What happened, in words.
    pub told: Vec<String>,
    /// The fewest data pods, the primary included, that were in sync between two passes.
    pub fewest_in_sync: usize,
    pods_made: u32,
}

impl World {
    pub fn of(group: Group) -> Self {
        Self {
            group,
            told: Vec::new(),
            fewest_in_sync: usize::MAX,
            pods_made: 0,
        }
    }

    pub fn plan(&self) -> Plan {
        decide(&self.group.wanted, &self.group.seen)
    }

    /// Until nothing changes any more.
    pub fn settle(&mut self) {
        self.run(|_| false);
    }

    /// Until this has happened.
    pub fn run_until(&mut self, words: &str) {
        self.run(|world| world.told.last().is_some_and(|last| last == words));
        assert_eq!(self.told.last().map(String::as_str), Some(words));
    }

    /// As many passes.
    pub fn passes(&mut self, count: usize) {
        for _ in 0..count {
            self.pass();
        }
    }

    /// Data pods, and those of them that have the wanted revision.
    pub fn pods(&self) -> (usize, usize) {
        let wanted = Some(self.group.wanted.pods.revision.clone());
        let pods = self.group.seen.members.iter();
        let pods: Vec<_> = pods.filter_map(|member| member.pod.as_ref()).collect();
        let new = pods.iter().filter(|pod| pod.revision == wanted);
        (pods.len(), new.count())
    }

    /// Somebody approves what is asked for.
    pub fn approve(&mut self) {
        self.group.wanted.pods.approved = self.plan().to_approve;
        assert!(self.group.wanted.pods.approved.is_some());
    }

    pub fn revision_of(&self, ordinal: usize) -> &str {
        let pod = self.group.seen.members[ordinal].pod.as_ref().unwrap();
        pod.revision.as_deref().unwrap()
    }

    /// Ordinals beyond the wanted number that have a claim.
    pub fn claims_beyond(&self) -> Vec<u32> {
        let replicas = self.group.wanted.pods.count.unwrap();
        let members = self.group.seen.members.iter();
        members
            .filter(|member| member.ordinal >= replicas && member.claim.is_some())
            .map(|member| member.ordinal)
            .collect()
    }

    fn run(&mut self, is_over: impl Fn(&Self) -> bool) {
        for _ in 0..LIMIT {
            if is_over(self) {
                return;
            }
            let before = self.group.seen.clone();
            self.pass();
            let Some(primary) = self.group.seen.primary() else {
                assert!(
                    !self.group.wanted.pods.surge,
                    "nobody leads: {:?}",
                    self.told
                );
                continue;
            };
            let in_sync = |member: &&hera_core::shard::Member| !member.is_away(primary);
            let serve = self.group.seen.members.iter().filter(in_sync).count();
            if self.told.len() > 1 {
                self.fewest_in_sync = self.fewest_in_sync.min(serve);
            }
            if self.group.seen == before {
                return;
            }
        }
        panic!("it goes on and on: {:?}", self.told);
    }

    fn pass(&mut self) {
        let Group { wanted, seen } = &mut self.group;
        // A request that is done is taken away.
        let leads = seen.primary().map(|primary| primary.name().to_owned());
        wanted.promote = wanted
            .promote
            .take()
            .filter(|asked| Some(asked) != leads.as_ref());
        let size = set_size(wanted, seen);
        let tied: Vec<u32> = seen
            .members
            .iter()
            .map(|member| member.ordinal)
            .filter(|ordinal| seen.shard(wanted).claim_goes(*ordinal))
            .collect();
        for member in &mut seen.members {
            if let (Some(claim), Some(_)) = (&mut member.claim, &member.pod)
                && claim.temporary
            {
                claim.goes_with_pod = tied.contains(&member.ordinal);
            }
        }
        let plan = decide(wanted, seen);
        let peers = told(wanted, plan.lists().unwrap_or(&seen.lists), seen);
        self.scale(size);
        for planned in plan.steps {
            self.carry_out(planned.step, &peers);
        }
    }

    /// As the StatefulSet's controller does, and then the garbage collector.
    fn scale(&mut self, size: u32) {
        let wanted = self.group.wanted.clone();
        let gone = |member: &&hera_core::shard::Member| member.ordinal >= size;
        for member in self.group.seen.members.iter().filter(gone) {
            assert!(
                member
                    .claim
                    .as_ref()
                    .is_none_or(|claim| !claim.temporary || claim.goes_with_pod),
                "the claim of {} would stay",
                member.name()
            );
            self.told.push(format!("{} goes", member.name()));
        }
        self.group
            .seen
            .members
            .retain(|member| member.ordinal < size);
        for ordinal in 0..size {
            let at = ordinal as usize;
            if self.group.seen.members.len() == at {
                let mut new = member(ordinal);
                (new.pod, new.agent) = (None, AgentView::Absent);
                let mut claim = ClaimView {
                    name: format!("data-shop-{ordinal}"),
                    record: Record::New,
                    ..claim()
                };
                claim.temporary = !wanted.pods.keeps(ordinal);
                new.claim = wanted.storage.as_ref().map(|_| claim);
                self.group.seen.members.push(new);
                self.told.push(format!("shop-{ordinal} comes"));
            }
            self.start(ordinal);
        }
    }

    /// A pod that is missing is made; one that was made is heard.
    fn start(&mut self, ordinal: u32) {
        let now = self.group.seen.now_ms;
        let revision = self.group.wanted.pods.revision.clone();
        let number = self.pods_made;
        let is_lone = self.group.seen.members.len() == 1;
        let member = &mut self.group.seen.members[ordinal as usize];
        if member.pod.is_none() {
            member.pod = Some(PodView {
                name: format!("shop-{ordinal}"),
                uid: format!("uid-{ordinal}-{number}"),
                ip: Some(address(ordinal)),
                since_ms: now,
                ..pod().with_revision(&revision)
            });
            self.pods_made += 1;
        } else if matches!(member.agent, AgentView::Absent) {
            let mut fresh = group(1).seen.members.remove(0);
            let uid = member.uid().to_owned();
            let agent = status(&mut fresh);
            agent.pod_uid = uid;
            // A lone pod promotes itself.
            agent.role = match is_lone {
                true => Role::Primary,
                false => Role::Held,
            };
            agent.link = None;
            agent.memory = Default::default();
            agent.members = Default::default();
            member.agent = fresh.agent;
        } else if let Some(link) = &mut status(member).link {
            link.up = true;
        }
    }

    fn carry_out(&mut self, step: Step, peers: &Members) {
        let seen = &mut self.group.seen;
        let index = |name: &str| {
            let mut members = seen.members.iter();
            members.position(|member| member.name() == name)
        };
        match step {
            Step::SetEndpoint { ip } => seen.endpoint = ip,
            Step::SetReplicas { ips } => seen.replica_endpoints = ips,
            Step::WriteLists { lists } => seen.lists = lists,
            Step::PushMembers(pod) => {
                // Its StatefulSet may have taken it away meanwhile.
                let Some(at) = index(&pod.name) else { return };
                status(&mut seen.members[at]).members = peers.clone();
            }
            Step::WriteCandidates { candidates } => seen.candidates = candidates,
            Step::WriteRecord { claim, record } => {
                let claims = seen.members.iter_mut().filter_map(|m| m.claim.as_mut());
                let found = claims.filter(|live| live.name == claim);
                found.for_each(|live| live.record = record.clone());
            }
            Step::Follow { pod, epoch, ip, .. } => {
                let Some(at) = index(&pod.name) else { return };
                follow(&mut seen.members[at], epoch, ip);
            }
            Step::HandOver {
                from,
                to,
                ip,
                epoch,
                candidates,
            } => {
                seen.candidates = candidates;
                let (old, new) = (index(&from.name).unwrap(), index(&to.name).unwrap());
                follow(&mut seen.members[old], epoch, ip.clone());
                let leader = status(&mut seen.members[new]);
                (leader.role, leader.link) = (Role::Primary, None);
                leader.memory.epoch = epoch;
                seen.endpoint = Some(ip);
                self.told
                    .push(format!("{} hands over to {}", from.name, to.name));
            }
            Step::DeletePod(pod) => {
                let Some(at) = index(&pod.name) else { return };
                let serves = seen.members[at].agent.serves();
                assert!(
                    !serves || !self.group.wanted.pods.surge,
                    "{} serves",
                    pod.name
                );
                seen.members[at].pod = None;
                seen.members[at].agent = AgentView::Absent;
                self.told.push(format!("{} is replaced", pod.name));
            }
            other => panic!("nobody asked for {other:?}"),
        }
    }
}

fn follow(member: &mut hera_core::shard::Member, epoch: u64, ip: String) {
    let status = status(member);
    // Who had everything goes on with what it misses.
    let up = status
        .link
        .as_ref()
        .map_or(status.role == Role::Primary, |link| link.up);
    status.role = Role::Replica;
    status.memory.epoch = epoch;
    status.link = Some(Link {
        host: ip,
        port: 6379,
        up,
        syncing: false,
        quiet: false,
    });
}
