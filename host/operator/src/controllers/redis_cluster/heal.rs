//! What goes on whatever becomes of the spec: the cluster forms, replicas take over, who lost what it knew is
//! taken back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use hera_core::agent::{AgentStatus, Order, Request, ServerState};
use hera_core::cluster::{
    Command, Failover, Fencing, Observation, Plan, Step, decide, fences, guard, is_empty_shard,
};
use hera_core::shard::{Member, Target, is_asked_down, no_such_pod};
use hera_kube::Severity;
use kube::Resource as _;
use tracing::{error, info, warn};

use super::roll::primary;
use super::site::Site;
use crate::agents::AgentError;
use crate::controllers::outcome::PassError;
use crate::controllers::pods::{events, fence_busy};

/// Rounds in one pass: what follows from a step is not waited for longer.
const ROUNDS: usize = 6;
/// Between two of them: servers tell each other what they were told.
const BETWEEN: Duration = Duration::from_millis(40);

/// What healing came to.
pub struct Healed {
    /// What is seen after it.
    pub seen: Observation,
    /// What would be done next, or is waited for.
    pub plan: Plan,
    /// When it is looked at anew.
    pub next: Next,
    /// Why a server is not brought down though somebody asks for it, for people.
    pub not_fenced: Option<String>,
    /// Why a server is not brought down that nobody asked about: a script which has written keeps it busy.
    pub failed: Option<PassError>,
}

/// What was done about servers that are to be down.
#[derive(Default)]
struct Fenced {
    /// An order was given.
    ordered: bool,
    /// See [`Healed::not_fenced`].
    refused: Option<String>,
    /// See [`Healed::failed`].
    failed: Option<PassError>,
}

impl Fenced {
    /// A busy server is not ended: told as what is refused, where somebody asked for it.
    fn note_failure(&mut self, asked: &[String], member: &Member, error: PassError) {
        warn!(pod = member.name(), %error, "a busy server is not ended");
        match is_asked_down(asked, member) {
            true => {
                let words = || format!("{}: {error}", member.name());
                self.refused.get_or_insert_with(words);
            }
            false => {
                self.failed.get_or_insert(error);
            }
        }
    }
}

/// When healing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing was done, and nothing is due.
    Nothing,
    /// Something was done, and what follows from it is to be seen.
    Soon,
    /// The same was done again and again, and nothing came of it.
    Later,
}

impl Site<'_> {
    /// Decides and acts until nothing is left to do, or for a few rounds.
    ///
    /// # Errors
    /// When this replica does not lead any more.
    pub async fn heal(&self) -> Result<Healed, PassError> {
        let hung = self.end_hung().await;
        let mut seen = self.observe().await;
        let fenced = Box::pin(self.fence(&seen)).await;
        if fenced.ordered {
            seen = self.observe().await;
        }
        let (seen, plan, next) = self.go_on(seen, hung || fenced.ordered).await?;
        Ok(Healed {
            seen,
            plan,
            next,
            not_fenced: fenced.refused,
            failed: fenced.failed,
        })
    }

    /// Decides and carries out, round after round, until nothing is left to do, or for now.
    async fn go_on(
        &self,
        mut seen: Observation,
        mut changed: bool,
    ) -> Result<(Observation, Plan, Next), PassError> {
        let mut first: Option<Vec<Step>> = None;
        for _ in 0..ROUNDS {
            self.note_primaries(&seen);
            let plan = self.plan(&seen);
            if plan.steps.is_empty() {
                let votes = seen
                    .nodes
                    .iter()
                    .any(|node| node.asked_for_votes_ms.is_some());
                let next = match (changed, votes) {
                    (false, false) => Next::Nothing,
                    _ => Next::Soon,
                };
                return Ok((seen, plan, next));
            }
            changed = true;
            first.get_or_insert_with(|| plan.steps.clone());
            self.carry_out(&plan).await?;
            tokio::time::sleep(BETWEEN).await;
            seen = self.observe().await;
        }
        self.note_primaries(&seen);
        let plan = self.plan(&seen);
        // What was in vain so often is tried less often.
        let in_vain = first.is_some_and(|first| first == plan.steps);
        let next = if in_vain { Next::Later } else { Next::Soon };
        Ok((seen, plan, next))
    }

    /// Brings down servers that hang while another could lead: what they do not answer, their replicas have heard.
    /// True if an order was given.
    async fn end_hung(&self) -> bool {
        let mut ordered = false;
        for members in &self.shards {
            let hangs = |member: &&Member| {
                let status = member.agent.status();
                let hangs =
                    |status: &AgentStatus| status.hangs && status.server != ServerState::Fenced;
                status.is_some_and(hangs) && members.iter().any(|other| other.has_copy_of(member))
            };
            let hung: Vec<&Member> = members.iter().filter(hangs).collect();
            for member in hung {
                self.give(member, Order::Fence { epoch: u64::MAX }).await;
                ordered = true;
            }
        }
        ordered
    }

    /// Brings down the servers that somebody wants down, and primaries that a script which has written keeps busy,
    /// where a replica has what they acknowledged; and lets those start again that nobody wants down any more.
    async fn fence(&self, seen: &Observation) -> Fenced {
        let asked = &self.requests.fenced;
        let refused = self.requests.not_fenced.clone();
        let no_such_pod = || no_such_pod(self.members().map(|(_, member)| member), asked);
        let mut done = Fenced {
            refused: refused.or_else(no_such_pod),
            ..Fenced::default()
        };
        for (shard, members) in (0_u32..).zip(&self.shards) {
            let found = fences(members, asked, seen, shard);
            done.refused = done.refused.or(found.refused);
            for (member, fencing) in found.steps {
                let order = match fencing {
                    Fencing::Down => Order::Fence { epoch: u64::MAX },
                    Fencing::Start => Order::Start,
                    // What is refused is not tried again at once.
                    Fencing::Busy(why) => {
                        match self.end_busy(members, member, why).await {
                            Ok(is_down) => done.ordered |= is_down,
                            Err(error) => done.note_failure(asked, member, error),
                        }
                        continue;
                    }
                };
                self.give(member, order).await;
                done.ordered = true;
            }
        }
        done
    }

    /// True if the server is down, or killed and about to be gone.
    ///
    /// # Errors
    /// No replica tells how far it has got, or the agent refuses or does not answer.
    async fn end_busy(
        &self,
        members: &[Member],
        primary: &Member,
        why: &str,
    ) -> Result<bool, PassError> {
        let asked = &self.requests.fenced;
        let order = fence_busy::order(self.shared, members, asked, primary, u64::MAX).await?;
        let Some(order) = order else {
            return Ok(false);
        };
        info!(pod = primary.name(), ?order, "ordered");
        match self.order(&primary.target(), order).await {
            Err(PassError::Agent(error)) if error.has_killed() => {}
            given => given?,
        }
        let about = self.object.object_ref(&());
        let note = format!("the server of pod {} is down: {why}", primary.name());
        let recorder = &self.shared.events;
        recorder
            .publish_deed(&about, Severity::Warning, events::FENCED, &note)
            .await;
        Ok(true)
    }

    /// Gives an order; whatever comes of it is seen with the next look.
    async fn give(&self, member: &Member, order: Order) {
        info!(pod = member.name(), ?order, "ordered");
        if let Err(error) = self.order(&member.target(), order).await {
            warn!(pod = member.name(), %error, "the agent does not take the order");
        }
    }

    /// For figures of how long nobody led.
    fn note_primaries(&self, seen: &Observation) {
        let (object, now) = (&self.key(), Instant::now());
        let moves = &self.shared.metrics.objects.moves;
        for shard in 0..self.wanted.shards {
            let place = self.place(object, shard);
            // Of a shard that has no slot nobody is without a primary.
            if self.requests.hibernate || is_empty_shard(seen, shard) {
                moves.rests(&place);
                continue;
            }
            let leads = primary(seen, shard);
            moves.sees(&place, leads.map(|pod| pod.name.as_str()), now);
            if let Some(pod) = leads {
                let mut members = self.members().map(|(_, member)| member);
                let member = members.find(|member| member.uid() == pod.uid);
                moves.leaves(&place, member.is_some_and(Member::is_leaving), now);
            }
        }
    }

    fn plan(&self, seen: &Observation) -> Plan {
        self.guarded(decide(self.wanted, seen), seen)
    }

    /// The same without the steps that break a rule: such a step holds back no other.
    pub fn guarded(&self, decided: Plan, seen: &Observation) -> Plan {
        let mut plan = Plan {
            steps: Vec::new(),
            ..decided
        };
        for step in decided.steps {
            plan.steps.push(step);
            if let Err(broken) = guard(&plan, seen) {
                error!(cluster = %self.key(), %broken);
                plan.waiting_for.get_or_insert_with(|| broken.to_string());
                plan.steps.pop();
            }
        }
        plan
    }

    /// Each pod gets its steps in order; pods do not wait for each other. What one refuses is planned anew
    /// from what is seen then.
    ///
    /// # Errors
    /// When this replica does not lead any more.
    pub async fn carry_out(&self, plan: &Plan) -> Result<(), PassError> {
        let mut by_pod: BTreeMap<&str, Vec<&Step>> = BTreeMap::new();
        for step in &plan.steps {
            by_pod.entry(&step.pod.uid).or_default().push(step);
        }
        let told = by_pod.into_values().map(|steps| async move {
            for step in steps {
                // Leadership may have been lost while the steps before were under way.
                if self.shared.leadership.term() != Some(self.term) {
                    return Err(PassError::LeadershipLost);
                }
                info!(%step, reason = step.reason, "step");
                if let Err(error) = self.command(&step.pod, step.command.clone()).await {
                    warn!(%step, %error, "the step failed");
                    return Ok(());
                }
                self.shared
                    .metrics
                    .steps
                    .with_label_values(&["cluster"])
                    .inc();
                self.tell(step).await;
            }
            Ok(())
        });
        join_all(told)
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        Ok(())
    }

    /// Tells a pod's agent what its server is to do.
    ///
    /// # Errors
    /// When it is not told, or will not.
    pub async fn command(&self, pod: &Target, command: Command) -> Result<(), PassError> {
        self.order(pod, Order::Cluster { command }).await
    }

    async fn order(&self, pod: &Target, order: Order) -> Result<(), PassError> {
        let gone = || AgentError::Refused("its pod is gone".to_owned());
        let client = self.shared.agents.client(&pod.uid).ok_or_else(gone)?;
        let given = client.order(&self.request(order)).await;
        // Where it may know a higher one honestly, the next pass goes by that.
        if let Err(AgentError::OldTerm(term)) = &given {
            let terms = &self.shared.leaders.terms;
            terms.note_refusal(&self.key(), &pod.name, *term);
        }
        given?;
        Ok(())
    }

    /// In the name of this leader.
    pub fn request<T>(&self, body: T) -> Request<T> {
        let terms = &self.shared.leaders.terms;
        Request {
            term: terms.speak(&self.key(), self.term),
            body,
        }
    }

    /// People are told who takes over.
    async fn tell(&self, step: &Step) {
        let Command::Failover { how, .. } = &step.command else {
            return;
        };
        let reason = match how {
            Failover::Agreed => events::SWITCHED_OVER,
            Failover::Force | Failover::Takeover => events::PROMOTED,
        };
        let about = self.object.object_ref(&());
        let note = format!("pod {} takes over: {}", step.pod.name, step.reason);
        let events = &self.shared.events;
        events
            .publish_deed(&about, Severity::Normal, reason, &note)
            .await;
    }
}
