//! Another server takes over without a write lost: the moves of [`hera_core::instance::handover`].

use std::time::{Duration, Instant};

use hera_core::agent::{Order, Position, REDIS_PORT};
use hera_core::instance::Candidate;
use hera_core::instance::handover::{
    Calm, HEAD_START_MS, Move, Otherwise, PARITY_MS, PAUSE_MS, has_everything,
};
use hera_core::shard::{Member, Target};
use tracing::{info, warn};

use super::act::Material;
use super::{act, intents};
use crate::agents::{AgentClient, AgentError};
use crate::controllers::outcome::PassError;
use crate::controllers::turns;

const LOOK: Duration = Duration::from_millis(2);
/// Between two looks at how busy the nodes are.
const FEEL: Duration = Duration::from_millis(20);
/// For its turn at kube-proxy a handover waits this long at most, whatever others move.
const TURN: Duration = Duration::from_millis(2_500);
/// The same where the old primary's pod ends.
const SHORT_TURN: Duration = Duration::from_secs(1);
const HEAD_START: Duration = Duration::from_millis(HEAD_START_MS);
const PARITY: Duration = Duration::from_millis(PARITY_MS);

/// Who takes over.
pub struct Next<'a> {
    pub pod: &'a Target,
    pub ip: &'a str,
    pub epoch: u64,
    /// Who may be the primary from then on.
    pub candidates: &'a [Candidate],
}

/// A handover under way.
struct HandOver<'a> {
    material: &'a Material<'a>,
    from: &'a Target,
    next: &'a Next<'a>,
    /// Of replication.
    password: String,
    old: AgentClient,
    new: AgentClient,
    /// When the pause was ordered.
    paused: Option<Instant>,
    /// When the new one took over.
    promoted: Option<Instant>,
    /// From when clients are led away.
    change: Option<turns::Change>,
    /// What it has tried so far, in order, and how long each took.
    made: Vec<(Move, Duration)>,
    /// Of the position at which the new one has everything.
    token: u64,
}

/// A move without which it does not go on.
type Ended = (Otherwise, PassError);

/// Hands over.
///
/// # Errors
/// Before the old primary follows, it serves on; afterwards the next pass promotes.
pub async fn carry_out(
    material: &Material<'_>,
    from: &Target,
    next: &Next<'_>,
) -> Result<(), PassError> {
    let to = next.pod;
    // Or the old primary could not be told to follow, with its clients gone.
    let password = material.replication_password();
    let password = password.map_err(|error| PassError::HandOver(error.to_string()))?;
    let mut over = HandOver {
        material,
        from,
        next,
        password,
        old: material.agent(&from.uid)?,
        new: material.agent(&to.uid)?,
        paused: None,
        promoted: None,
        change: None,
        made: Vec::new(),
        token: 0,
    };
    // Before anything: clients wait neither for agents that do not answer nor for new connections.
    let answers = tokio::try_join!(over.old.position(), over.new.position());
    answers.map_err(|error| PassError::HandOver(error.to_string()))?;
    let others = material
        .site
        .members
        .iter()
        .filter(|other| other.uid() != from.uid && other.uid() != to.uid && other.is_running());
    let others = others.map(|other| Target {
        name: other.name().to_owned(),
        uid: other.uid().to_owned(),
    });
    let moves = Move::all(others);
    if let Err((otherwise, error)) = over.make_all(&moves).await {
        for step in otherwise.moves() {
            if let Err(error) = over.make(&step).await {
                warn!(?step, %error, "a handover is not undone");
            }
        }
        // Whether it follows after an order to do so that was not answered, nobody knows.
        let serves_on = over.made.iter().all(|(step, _)| *step != Move::Demote);
        return Err(match error {
            PassError::Agent(error) if serves_on => PassError::HandOver(error.to_string()),
            error => match error.refusal() {
                Some(refusal) if serves_on => {
                    material.site.refusals.note(refusal);
                    PassError::HandOver(error.to_string())
                }
                _ => error,
            },
        });
    }
    if let (Some(paused), Some(promoted)) = (over.paused, over.promoted) {
        let took = promoted.saturating_duration_since(paused);
        material.site.note_handover(&to.name, took);
    }
    if let Some(paused) = over.paused {
        let took = paused.elapsed();
        info!(from = from.name, to = to.name, ?took, made = ?over.made, "handed over");
    }
    // What failed after that, the next pass sees to.
    Ok(())
}

impl HandOver<'_> {
    async fn make_all(&mut self, moves: &[Move]) -> Result<(), Ended> {
        let mut moves = moves.iter();
        while let Some(step) = moves.next() {
            // Nobody waits for one of them. Who cannot be told now is told in the next pass.
            if matches!(step, Move::Follow(_)) {
                let over = &*self;
                let others = std::iter::once(step).chain(moves.by_ref());
                let told = others.map(|other| async move {
                    if let Err(error) = over.tell(other).await {
                        warn!(step = ?other, %error, "a handover's step failed");
                    }
                });
                futures::future::join_all(told).await;
                continue;
            }
            let begun = Instant::now();
            let done = self.make(step).await;
            self.made.push((step.clone(), begun.elapsed()));
            self.note(step, done)?;
        }
        Ok(())
    }

    fn note(&mut self, step: &Move, done: Result<(), PassError>) -> Result<(), Ended> {
        let Err(error) = done else { return Ok(()) };
        warn!(?step, %error, "a handover's step failed");
        match step.otherwise() {
            Otherwise::GoOn => Ok(()),
            otherwise => Err((otherwise, error)),
        }
    }

    async fn make(&mut self, step: &Move) -> Result<(), PassError> {
        if step.is_too_late(self.paused.map_or(0, elapsed_ms)) {
            return Err(PassError::HandOver("it took too long".to_owned()));
        }
        let epoch = self.next.epoch;
        let site = self.material.site;
        // Agents refuse a leader of the past once they know the next; the API server does not.
        let leads = matches!(
            step,
            Move::Nominate | Move::Lead | Move::LeadBack | Move::Pause | Move::Promote
        );
        if leads && site.shared.leadership.term() != Some(site.term) {
            return Err(PassError::LeadershipLost);
        }
        match step {
            Move::Nominate => intents::write_candidates(site, self.next.candidates).await,
            Move::Ready => {
                let leaders = &site.shared.leaders;
                let leaves = site.primary().is_some_and(Member::is_leaving);
                let limit = match (self.is_deleted_by_force(), leaves) {
                    (true, _) => Duration::ZERO,
                    (false, true) => SHORT_TURN,
                    (false, false) => TURN,
                };
                turns::aside(leaders.until_taken_in_at_once().min(limit)).await;
                // A pod that ends waits for its handover, and so do others on its node.
                if !leaves {
                    calm(Calm::BEGIN, &self.old, &self.new).await?;
                }
                keeps_up(&self.old, &self.new).await
            }
            Move::Pause => {
                self.paused = Some(Instant::now());
                let millis = PAUSE_MS;
                self.order(&self.from.uid, &self.old, Order::Pause { millis, epoch })
                    .await
            }
            Move::Await => {
                self.token = parity(&self.old, &self.new).await?.token;
                Ok(())
            }
            Move::Demote => self.order(&self.from.uid, &self.old, self.follow()).await,
            Move::Promote => {
                let token = self.token;
                self.order(
                    &self.next.pod.uid,
                    &self.new,
                    Order::Promote { epoch, token },
                )
                .await?;
                self.promoted = Some(Instant::now());
                Ok(())
            }
            Move::Follow(_) => self.tell(step).await,
            Move::Lead => {
                // Cut from here on, clients would stay with a replica.
                self.change = Some(turns::roles_change());
                act::set_endpoint(self.material, Some(self.next.ip)).await?;
                // Nobody tells when nodes have followed.
                tokio::time::sleep(HEAD_START).await;
                calm(Calm::PAUSE, &self.old, &self.new).await
            }
            Move::LeadBack => {
                let old = site.primary().and_then(Member::ip);
                act::set_endpoint(self.material, old).await
            }
            Move::Release => self.order(&self.from.uid, &self.old, Order::Release).await,
            Move::Dismiss => {
                let leaders = &site.shared.leaders;
                tokio::time::sleep(leaders.until_taken_in()).await;
                self.order(&self.next.pod.uid, &self.new, Order::Release)
                    .await
            }
        }
    }

    /// True if the old primary's pod object is gone: the kubelet kills its server within two seconds.
    fn is_deleted_by_force(&self) -> bool {
        let mut pods = self.material.site.live.set.pods.values();
        pods.all(|pod| pod.metadata.uid.as_ref() != Some(&self.from.uid))
    }

    async fn tell(&self, step: &Move) -> Result<(), PassError> {
        let Move::Follow(other) = step else {
            return Ok(());
        };
        let agent = self.material.agent(&other.uid)?;
        self.order(&other.uid, &agent, self.follow()).await
    }

    fn follow(&self) -> Order {
        let mut members = self.material.site.members.iter();
        let next = members.find(|member| member.uid() == self.next.pod.uid);
        let memory = next.and_then(|next| Some(&next.agent.status()?.memory));
        Order::Follow {
            epoch: self.next.epoch,
            primary_uid: self.next.pod.uid.clone(),
            host: self.next.ip.to_owned(),
            port: REDIS_PORT,
            lineage: memory.map_or_else(String::new, |memory| memory.lineage.clone()),
            password: self.password.clone(),
        }
    }

    async fn order(&self, uid: &str, agent: &AgentClient, order: Order) -> Result<(), PassError> {
        let request = self.material.request(order);
        let given = agent.order(&request).await;
        given
            .map(drop)
            .map_err(|error| self.material.refused(uid, error))
    }
}

/// The replica has what the primary had a moment ago; of one that lags behind, clients would only feel the
/// pause.
async fn keeps_up(old: &AgentClient, new: &AgentClient) -> Result<(), PassError> {
    let since = Instant::now();
    let was = old.position().await?;
    loop {
        let has = new.position().await?;
        if has_everything(&has, &was, &was) {
            return Ok(());
        }
        if since.elapsed() > PARITY {
            return Err(PassError::HandOver(format!(
                "the replica does not keep up: it is at {}, and the primary was at {}",
                has.offset, was.offset
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits for a moment in which nodes answer quickly.
async fn calm(mut calm: Calm, old: &AgentClient, new: &AgentClient) -> Result<(), PassError> {
    let limit = Duration::from_millis(calm.limit_ms());
    let quick = async {
        loop {
            let asked = Instant::now();
            tokio::try_join!(old.position(), new.position())?;
            if calm.note(elapsed_ms(asked)) {
                return Ok(());
            }
            tokio::time::sleep(FEEL).await;
        }
    };
    match tokio::time::timeout(limit, quick).await {
        Ok(Err(error)) => Err(PassError::HandOver(AgentError::to_string(&error))),
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

/// Milliseconds since then.
pub fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Waits until the replica has all that the paused primary wrote.
async fn parity(old: &AgentClient, new: &AgentClient) -> Result<Position, PassError> {
    let since = Instant::now();
    loop {
        let (was, has) = tokio::try_join!(old.position(), new.position())?;
        if has.offset >= was.offset && has_everything(&has, &was, &old.position().await?) {
            return Ok(has);
        }
        if since.elapsed() > PARITY {
            return Err(PassError::HandOver(format!(
                "the replica is at {} and the primary at {}",
                has.offset, was.offset
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}
