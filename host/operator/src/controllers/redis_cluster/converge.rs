//! The part of a pass that makes a cluster what its spec wants.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use hera_api::conditions::{degraded, progressing, ready};
use hera_api::meta::{
    ANNOTATION_ASK_POLICIES, ANNOTATION_PROMOTE, ANNOTATION_RESTART, ANNOTATION_ROTATE,
    ANNOTATION_ROTATE_REPLICATION,
};
use hera_api::validate::Validated;
use hera_api::{RebalancePhase, Surge, UpdateMode};
use hera_core::agent::{AgentStatus, Members, Peer, ServerState};
use hera_core::cluster::Observation;
use hera_core::shard::{Asked, Member, PodsWanted};
use hera_policy::{Acl, Decision as _};
use hera_render::{Context, pod_revision};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use tracing::warn;

use super::heal::{Healed, Next};
use super::rebalance::{Rebalanced, changing_since};
use super::roll::{Roll, Shards, primary};
use super::site::Site;
use super::spread::Spread;
use super::status::{self, Found};
use crate::agents::AgentClient;
use crate::authority::Authority;
use crate::controllers::outcome::{Outcome, PassError};
use crate::controllers::pods::children::{self, Children, Inputs};
use crate::controllers::pods::done_request;
use crate::controllers::pods::holdings::{Holder, Holdings};
use crate::controllers::pods::image::Image;
use crate::controllers::pods::observe::{millis, template_image, why_no_pod};
use crate::controllers::pods::rollback::Direction;
use crate::controllers::pods::{certificate, pod_monitor};
use crate::object::ObjectKey;

/// What was done again and again, and in vain, is tried again after this.
const IN_VAIN: Duration = Duration::from_secs(3);
/// How far slots are that move is looked at this often: agents tell of each that has, and not of a job that ended.
const MOVING: Duration = Duration::from_secs(1);

/// What is made of a shard.
struct Goal {
    ctx: Context,
    wanted: PodsWanted,
    way: Direction,
}

/// A pass over a cluster whose spec can be carried out.
pub struct Pass<'a> {
    pub site: &'a Site<'a>,
    pub v: &'a Validated,
    /// Of what all shards share.
    pub ctx: Context,
    pub image: &'a Image,
}

impl<'a> Pass<'a> {
    /// Of a spec, with the image that is to run.
    pub fn of(site: &'a Site<'a>, v: &'a Validated, image: &'a Image) -> Self {
        let ctx = Context {
            namespace: site.owner.namespace.to_owned(),
            uid: site.owner.uid.to_owned(),
            generation: site.object.metadata.generation.unwrap_or_default(),
            shard: None,
            recovery_due: false,
            image: image.image.clone(),
            agent_image: site.shared.agent_image.clone(),
            rollback: None,
            live: None,
            restart: site.object.annotations().get(ANNOTATION_RESTART).cloned(),
            replicas: v.replicas,
        };
        Self {
            site,
            v,
            ctx,
            image,
        }
    }

    /// Carries it out.
    ///
    /// # Errors
    /// The first step that failed.
    pub async fn go(&self, authority: &Authority, healed: Healed) -> Result<Outcome, PassError> {
        let Self { site, v, ctx, .. } = self;
        let Healed {
            seen,
            plan,
            next,
            not_fenced,
            ..
        } = healed;
        let changed = next != Next::Nothing;
        let key = site.key();
        let serves = site.members().any(|(_, member)| member.agent.serves());
        let now = Timestamp::now();
        let mut refused = self.image.problem.clone();
        let goals = self.goals(&seen, refused.is_some(), now).await?;
        let wanted: Vec<PodsWanted> = goals.iter().map(|goal| goal.wanted.clone()).collect();
        // What shards go back to may have less memory than the spec says.
        let former = goals.iter().find(|goal| goal.way.template().is_some());
        let ctx = former.map_or(ctx, |goal| &goal.ctx);
        let mut held = self.holder(ctx, &key, serves).holdings().await?;
        let mut growth_refused = None;
        let mut monitor_unknown = false;
        let shards = self.shards(&wanted, &seen, now);
        if !v.paused {
            let children = self
                .apply_children(authority, &held, &shards, &goals)
                .await?;
            held.as_written(&children, &site.live.common, &ctx.uid);
            if let Some(words) = children.taken {
                refused = Some((ready::NAME_TAKEN, words));
            }
            growth_refused = children.growth_refused;
            monitor_unknown = children.monitor_unknown;
        } else if site.live.sets.iter().any(|set| set.stateful_set.is_some()) {
            let (shared, live, refusals) = (site.shared, &site.live.common, &site.refusals);
            certificate::renew(shared, authority, &site.owner, live, refusals).await?;
        }
        let pushed = self.push(&held).await;
        let lacks = site.lacks(&seen);
        let leads = |asked: &str| {
            let mut shards = 0..site.wanted.shards;
            shards.any(|shard| primary(&seen, shard).is_some_and(|pod| pod.name == asked))
        };
        let (client, object) = (&site.shared.client, site.object);
        done_request::clear(client, object, ANNOTATION_PROMOTE, leads).await;
        held.clear_begun(client, object).await;
        let promote = site.requests.promote.as_deref();
        let acts = !changed && pushed && refused.is_none();
        let (roll, failed) = match acts {
            true => match shards.roll(promote).await {
                Ok(roll) => (Some(roll), None),
                Err(error) => (None, Some(error)),
            },
            false => (None, None),
        };
        // One actor: nothing begins to move while pods are replaced, nor the other way round.
        let rolls = roll.as_ref().is_none_or(|roll| roll.moved) || shards.rolls(promote);
        let (rebalanced, failed) = match acts && failed.is_none() {
            true => match Box::pin(self.rebalance(&seen, rolls, now)).await {
                Ok(rebalanced) => (rebalanced, None),
                Err(error) => (None, Some(error)),
            },
            false => (None, failed),
        };
        if let Some(roll) = &roll {
            let went_back = goals.iter().any(|goal| goal.way.back().is_some());
            let objects = &site.shared.metrics.objects;
            objects.note_roll(&key, roll.stalled.is_some(), went_back);
        }
        let at_rest = |roll: &Roll| roll.words.is_none() && roll.leaving.is_none();
        let still = |rebalanced: &Rebalanced| {
            let status = rebalanced.status.as_ref();
            let settled = status.is_none_or(|status| status.phase == RebalancePhase::Settled);
            settled && !rebalanced.moves
        };
        let at_rest = lacks.is_none()
            && roll.as_ref().is_some_and(at_rest)
            && rebalanced.as_ref().is_none_or(still);
        let (spread, failed) = match shards.spread(at_rest).await {
            Ok(spread) => (spread, failed),
            Err(error) => (Spread::default(), failed.or(Some(error))),
        };
        let aside = site.refusals.taken();
        let refused = refused.or(aside.map(|words| (ready::NAME_TAKEN, words)));
        let taken = matches!(refused, Some((ready::NAME_TAKEN, _)));
        let failed_words = failed.as_ref().map(ToString::to_string);
        let found = Found {
            failed: failed_words.as_deref(),
            spread: &spread.words,
            lacks: lacks.as_deref(),
            seen: Some(&seen),
            waiting_for: plan.waiting_for.as_deref(),
            validated: Some(v),
            image: Some(&ctx.image),
            refused,
            attention: held.attention(serves, v.paused).or_else(|| {
                let words = growth_refused?;
                Some((degraded::VOLUME_GROWTH_REFUSED, words))
            }),
            notice: held.notice(pod_monitor::notice(monitor_unknown)),
            app_user: held.has_app_user(v),
            no_pod: self.why_no_pod().await,
            policy: held.decision.as_ref().map(|decision| &decision.made),
            passwords: Some(&held.news),
            not_fenced: not_fenced.as_deref(),
            roll: roll.as_ref(),
            rebalanced: rebalanced.as_ref(),
            ways: goals.iter().map(|goal| &goal.way).collect(),
            settled: pushed,
            hibernates: site.requests.hibernate,
            ..Found::of(site)
        };
        status::write(site, &status::build(&found, now)).await?;
        let refusals = site.refusals.all();
        if !refusals.is_empty() {
            return Err(PassError::Refused(refusals));
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let due = spread.due.map(|left| millis(now) + as_millis(left));
        let look = monitor_unknown.then(|| millis(now) + pod_monitor::AGAIN_MS);
        let asks = rebalanced.as_ref().and_then(|done| done.due_ms);
        let again = [held.due_ms(), due, look, asks].into_iter().flatten().min();
        let waits = rebalanced.as_ref().is_some_and(|done| !still(done));
        let again_now = rebalanced.as_ref().is_some_and(|done| done.again);
        let moves = rebalanced.is_some_and(|done| done.moves);
        let roll = roll.unwrap_or_default();
        let under_way = held.news.under_way.is_some();
        Ok(match again {
            _ if next == Next::Later => Outcome::After(IN_VAIN),
            _ if changed || roll.moved || spread.moved || again_now => Outcome::Again,
            _ if moves => Outcome::After(MOVING),
            _ if held.rotation_moved() && !taken => Outcome::Again,
            // No watch tells that somebody else's object is gone.
            _ if taken => Outcome::Waiting,
            _ if site.requests.hibernate && seen.nodes.is_empty() => Outcome::Settled,
            _ if lacks.is_some() || !pushed || under_way => Outcome::Waiting,
            _ if roll.words.is_some() || roll.leaving.is_some() || waits => Outcome::Waiting,
            Some(at) => Outcome::SettledUntil(at),
            None => Outcome::Settled,
        })
    }

    /// What is made of each shard: what the spec says; what it was before where the roll to that failed, and
    /// where it has not come to then.
    async fn goals(
        &self,
        seen: &Observation,
        waits: bool,
        now: Timestamp,
    ) -> kube::Result<Vec<Goal>> {
        let as_said = self.pods_wanted(&self.ctx, waits);
        let as_said = vec![as_said; self.site.shards.len()];
        let shards = self.shards(&as_said, seen, now);
        let ways = shards.rolled();
        let ways = ways.map(|rolled| async move { rolled.direction(self.v, self.image).await });
        let ways = try_join_all(ways).await?;
        let failed = ways.iter().any(|way| way.back().is_some());
        let ways = shards.rolled().zip(ways).map(|(rolled, way)| async move {
            match way {
                Direction::Forward if failed => rolled.as_before().await,
                way => Ok(way),
            }
        });
        let goal = |way: Direction| {
            let mut ctx = self.ctx.clone();
            if let Some(template) = way.template() {
                ctx.image = template_image(template).unwrap_or(ctx.image);
                ctx.rollback = Some(template.clone());
            }
            let wanted = self.pods_wanted(&ctx, waits);
            Goal { ctx, wanted, way }
        };
        Ok(try_join_all(ways).await?.into_iter().map(goal).collect())
    }

    fn pods_wanted(&self, ctx: &Context, waits: bool) -> PodsWanted {
        let v = self.v;
        PodsWanted {
            revision: pod_revision(v, ctx),
            count: Some(v.replicas),
            paused: v.paused || waits,
            hibernate: self.site.requests.hibernate,
            approved: self.site.requests.approved.clone(),
            surge: v.surge == Surge::Auto,
            supervised: v.update_mode == UpdateMode::Supervised,
            max_wait_ms: v.max_wait_ms,
            progress_deadline_ms: v.progress_deadline_ms,
            ..PodsWanted::default()
        }
    }

    fn shards<'b>(
        &'b self,
        wanted: &'b [PodsWanted],
        seen: &'b Observation,
        now: Timestamp,
    ) -> Shards<'b> {
        let status = self.site.object.status.as_ref();
        let approval = status.and_then(|status| status.approval.as_ref());
        let conditions = status.iter().flat_map(|status| &status.conditions);
        let mut changing =
            conditions.filter(|c| c.type_ == progressing::TYPE && c.status == "True");
        Shards {
            site: self.site,
            wanted,
            seen,
            asked: approval.map(|approval| Asked {
                digest: approval.digest.clone(),
                since_ms: millis(approval.since.0),
            }),
            changing_since_ms: changing.next().and_then(|c| {
                let slots = status.and_then(|status| status.rebalance.as_ref());
                changing_since(millis(c.last_transition_time.0), slots)
            }),
            now_ms: millis(now),
        }
    }

    fn holder<'b>(&'b self, ctx: &'b Context, key: &'b ObjectKey, serves: bool) -> Holder<'b> {
        let Self { site, v, .. } = self;
        let status = site.object.status.as_ref();
        let mut policies = status.iter().flat_map(|status| &status.policies);
        let annotations = site.object.annotations();
        let runs = |member: &&Member| member.is_running();
        let members: Vec<&Member> = site.members().map(|(_, member)| member).collect();
        Holder {
            shared: site.shared,
            v,
            ctx,
            key,
            common: &site.live.common,
            sets: site.live.sets.iter().collect(),
            asked: members.iter().copied().find(runs),
            members,
            serves,
            lived: status.is_some_and(|status| status.version.is_some()),
            policy: policies.find(|policy| policy.decision == Acl::NAME),
            request: annotations.get(ANNOTATION_ASK_POLICIES).map(String::as_str),
            rotate: annotations.get(ANNOTATION_ROTATE).map(String::as_str),
            rotate_replication: annotations
                .get(ANNOTATION_ROTATE_REPLICATION)
                .map(String::as_str),
        }
    }

    async fn apply_children(
        &self,
        authority: &Authority,
        held: &Holdings,
        shards: &Shards<'_>,
        goals: &[Goal],
    ) -> Result<Children, PassError> {
        let Self { site, v, ctx, .. } = self;
        let (shared, live, refusals) = (site.shared, site.live, &site.refusals);
        let tls = certificate::of_agents(authority, &site.owner, &live.common)?;
        let no_annotations = BTreeMap::new();
        let going_claims = BTreeSet::new();
        let common = Inputs {
            v,
            ctx,
            annotations: &no_annotations,
            config: &held.config,
            acl: &held.acl,
            app: &held.app,
            system: &held.passwords.system,
            tls: &tls,
            going_claims: &going_claims,
        };
        let nothing = async { Vec::new() };
        let applied = children::apply_common(shared, &common, &live.common, refusals, nothing);
        let mut children = Box::pin(applied).await?;
        let complete = children.complete;
        let sizes = shards.sizes();
        let sets = (0_u32..).zip(shards.rolled()).zip(goals).zip(sizes);
        // One that is to leave, and is gone or on its way out, is not made anew.
        let sets = sets.filter(|(((shard, rolled), _), _)| {
            let set = rolled.live.stateful_set.as_ref();
            *shard < site.keep || set.is_some_and(|set| set.metadata.deletion_timestamp.is_none())
        });
        let sets = sets.map(|(((shard, rolled), goal), replicas)| {
            let set = rolled.live;
            let ctx = Context {
                shard: Some(shard),
                replicas,
                live: children::live_stateful_set(set),
                ..goal.ctx.clone()
            };
            let annotations = rolled.annotations(&goal.way, &self.image.source);
            let common = &common;
            let going_claims = shards.going_claims(shard).into_iter().collect();
            async move {
                let inputs = Inputs {
                    ctx: &ctx,
                    annotations: &annotations,
                    going_claims: &going_claims,
                    ..*common
                };
                let applied = children::apply_set(shared, &inputs, set, complete, refusals);
                Box::pin(applied).await
            }
        });
        for applied in join_all(sets).await {
            children.also(applied?);
        }
        Ok(children)
    }

    /// Brings users, configuration and the list of a shard's pods to agents that lack them. True if all that
    /// are heard have them.
    async fn push(&self, held: &Holdings) -> bool {
        let shards = self.site.shards.iter();
        let pushed = shards.flat_map(|members| {
            let peers = peers(members);
            members.iter().filter_map(move |member| {
                let status = member.agent.status()?;
                let client = self.site.shared.agents.client(member.uid())?;
                Some((member, status, client, peers.clone()))
            })
        });
        let pushed = pushed.map(|(member, status, client, peers)| async move {
            let done = self.push_to(status, &client, held, peers).await;
            done.unwrap_or_else(|error| {
                warn!(pod = member.name(), %error, "the agent does not take what it is to hold");
                false
            })
        });
        join_all(pushed).await.into_iter().all(|had| had)
    }

    /// True if the agent had all of it.
    async fn push_to(
        &self,
        status: &AgentStatus,
        client: &AgentClient,
        held: &Holdings,
        peers: Members,
    ) -> Result<bool, PassError> {
        let site = self.site;
        let (acl, config) = (&held.acl, &held.config);
        let mut had = true;
        // Rights first: a revocation waits for no configuration.
        let answers = matches!(status.server, ServerState::Running { .. });
        let lacks_acl = status.acl.revision != acl.revision || !status.acl.confirmed;
        // One that waits with its start takes them as well: nobody is let in before.
        let due = lacks_acl && (answers || !status.acl.confirmed);
        if due && acl.revision != 0 {
            client.push_acl(&site.request(acl.clone())).await?;
            had = false;
        }
        let lacks_config = status.config.revision != config.revision;
        if !self.v.paused && config.revision != 0 && lacks_config {
            client.push_config(&site.request(config.clone())).await?;
            had = false;
        }
        if status.members.pods != peers.pods {
            client.push_members(&site.request(peers)).await?;
            had = false;
        }
        Ok(had)
    }

    async fn why_no_pod(&self) -> Option<String> {
        let client = &self.site.shared.client;
        let asked = self
            .site
            .live
            .sets
            .iter()
            .map(|set| why_no_pod(client, set));
        join_all(asked).await.into_iter().flatten().next()
    }
}

fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whom the primary of a shard asks to take over when its pod ends.
fn peers(members: &[Member]) -> Members {
    let there = members.iter().filter(|member| member.pod.is_some());
    Members {
        pods: there
            .map(|member| Peer {
                pod_uid: member.uid().to_owned(),
                server_name: member.server_name.clone(),
                ip: member.ip().map(str::to_owned),
            })
            .collect(),
        fence_after_ms: 0,
        revision: 0,
    }
}

/// How many pods serve, by what their servers say.
pub fn ready_pods(seen: &Observation) -> usize {
    let serves = |node: &&hera_core::cluster::Node| {
        let server = node.server.as_ref();
        server.is_some_and(|s| s.serves && (s.replica_of().is_none() || s.link_up))
    };
    seen.nodes.iter().filter(serves).count()
}
