//! What goes on whatever becomes of the spec: the cluster forms, replicas take over, who lost what it knew is
//! taken back.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use hera_core::agent::Request;
use hera_core::agent::{Order, ServerState};
use hera_core::cluster::{Command, Failover, Observation, Plan, Step, decide, guard};
use hera_core::shard::{Member, Target};
use hera_kube::Severity;
use kube::Resource as _;
use tracing::{error, info, warn};

use super::site::Site;
use crate::agents::AgentError;
use crate::controllers::outcome::PassError;
use crate::controllers::pods::events;

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
    /// Something was done, and what follows from it is to be seen.
    pub changed: bool,
}

impl Site<'_> {
    /// Decides and acts until nothing is left to do, or for a few rounds.
    ///
    /// # Errors
    /// When this replica does not lead any more.
    pub async fn heal(&self) -> Result<Healed, PassError> {
        let mut changed = self.fence().await?;
        for _ in 0..ROUNDS {
            let seen = self.observe().await;
            let plan = self.plan(&seen);
            if plan.steps.is_empty() {
                return Ok(Healed {
                    seen,
                    plan,
                    changed,
                });
            }
            changed = true;
            self.carry_out(&plan).await?;
            tokio::time::sleep(BETWEEN).await;
        }
        let seen = self.observe().await;
        let plan = self.plan(&seen);
        Ok(Healed {
            seen,
            plan,
            changed,
        })
    }

    /// Brings down the servers that somebody wants down, and those that hang while another could lead; and lets
    /// those start again that nobody wants down any more. True if an order was given.
    async fn fence(&self) -> Result<bool, PassError> {
        let mut ordered = false;
        for members in &self.shards {
            for member in members {
                let Some(status) = member.agent.status() else {
                    continue;
                };
                let asked = self
                    .requests
                    .fenced
                    .iter()
                    .any(|name| name == member.name());
                let is_down = status.server == ServerState::Fenced;
                let is_held = status.cluster.as_ref().is_some_and(|news| news.held);
                // What it does not answer, its replicas have heard.
                let follows = |other: &Member| other.has_copy_of(member);
                let hangs = status.hangs && members.iter().any(follows);
                let order = match is_down {
                    false if asked || hangs => Order::Fence { epoch: u64::MAX },
                    true if !asked && !is_held => Order::Start,
                    _ => continue,
                };
                info!(pod = member.name(), ?order, hangs, "ordered");
                if let Err(error) = self.order(&member.target(), order).await {
                    warn!(pod = member.name(), %error, "the agent does not take the order");
                }
                ordered = true;
            }
        }
        Ok(ordered)
    }

    fn plan(&self, seen: &Observation) -> Plan {
        let plan = decide(self.wanted, seen);
        match guard(&plan, seen) {
            Ok(()) => plan,
            Err(broken) => {
                error!(cluster = %self.key(), %broken);
                Plan {
                    waiting_for: Some(broken.to_string()),
                    ..Plan::default()
                }
            }
        }
    }

    /// Each pod gets its steps in order; pods do not wait for each other. What one refuses is planned anew
    /// from what is seen then.
    async fn carry_out(&self, plan: &Plan) -> Result<(), PassError> {
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
            }
            Ok(())
        });
        join_all(told)
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        self.tell(plan).await;
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

    /// People are told who took over.
    async fn tell(&self, plan: &Plan) {
        let about = self.object.object_ref(&());
        for step in &plan.steps {
            let Command::Failover { how } = &step.command else {
                continue;
            };
            let (reason, name) = match how {
                Failover::Agreed => (events::SWITCHED_OVER, "hands over to"),
                Failover::Force | Failover::Takeover => (events::PROMOTED, "is followed by"),
            };
            let note = format!("the primary {name} pod {}: {}", step.pod.name, step.reason);
            let events = &self.shared.events;
            events
                .publish_deed(&about, Severity::Normal, reason, &note)
                .await;
        }
    }
}
