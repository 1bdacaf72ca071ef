//! When a policy is asked which slots are to move, and what is waited for before.

use hera_api::RebalanceMode;
use hera_core::digest::short_hex;
use hera_core::rebalance::{RebalanceAnswer, RebalanceInput};
use hera_policy::{Context, Decision as _, Rebalance};

use super::plan::Plan;
use super::question::no_room;
use super::{Course, Look};
use crate::controllers::outcome::PassError;
use crate::controllers::redis_cluster::converge::Pass;
use crate::policies::{Made, Question, now_unix_ms, seed};

/// Whether a policy is asked.
enum Asked {
    /// Not before it is there.
    Loading,
    /// It was: nothing is new since.
    Before,
    /// Now, and this came of it.
    Now(Box<Made<RebalanceAnswer>>),
}

impl Pass<'_> {
    /// Asks the policy if something is new since it was asked last: shards, the policy itself, its settings, those of
    /// the spec, keys that are too large to be moved; or if its answer held until now, or somebody wants it. What
    /// traffic drives is no reason.
    pub(super) async fn ask(&self, look: &Look<'_>, course: &mut Course) -> Result<(), PassError> {
        let subject = look.subject();
        let is_scaled = subject.is_scaled();
        if look.spec.mode == RebalanceMode::Disabled {
            let words = "rebalance.mode is Disabled: no slot moves";
            course.waits = is_scaled.then(|| words.to_owned());
            return Ok(());
        }
        if let Some(digest) = look.dropped().filter(|_| look.requests.now.is_none()) {
            let words =
                format!("plan {digest} was dropped: kubectl hera rebalance now asks for another");
            course.waits = is_scaled.then_some(words);
            return Ok(());
        }
        // At rest nobody waits for a plan.
        let waits = |words: String| is_scaled.then_some(words);
        if look.requests.paused {
            return Ok(());
        }
        if let Some(words) = look.waits_for() {
            course.waits = waits(words.to_owned());
            return Ok(());
        }
        // What is half moved would be planned twice.
        if look.seen.has_jobs() {
            course.waits = waits("slots move now".to_owned());
            return Ok(());
        }
        let input = match subject.input() {
            Ok(input) => input,
            Err(words) => {
                course.waits = waits(words);
                return Ok(());
            }
        };
        if let Some((head, figures)) = no_room(&input) {
            course.no_room = true;
            // The figures are those of the first time: traffic is no reason to write a status.
            let last = look.last.waiting_for.clone();
            let last = last.filter(|words| words.starts_with(&head));
            course.waits = Some(last.unwrap_or_else(|| format!("{head}: {figures}")));
            return Ok(());
        }
        let made = match Box::pin(self.asked(look, &input)).await? {
            Asked::Loading => {
                course.waits = waits("the policy for slots is being loaded".to_owned());
                return Ok(());
            }
            Asked::Before => return Ok(()),
            Asked::Now(made) => *made,
        };
        let plan = made
            .answer
            .as_ref()
            .and_then(|answer| Plan::made(&input, answer, self.site.keep));
        if plan.is_some() {
            // It counts once it stands in the status: one that was not written down is asked for anew.
            let known = &look.site.shared.clusters.rebalances;
            known.asks(&look.site.key(), String::new(), None);
        }
        course.plan = plan;
        if made.answer.is_none() {
            course.waits = waits("no policy says which slots are to move".to_owned());
        }
        course.made = Some(made);
        Ok(())
    }

    /// What the policy says, if it is asked.
    async fn asked(&self, look: &Look<'_>, input: &RebalanceInput) -> Result<Asked, PassError> {
        let site = self.site;
        let (shared, key, now_unix_ms) = (site.shared, site.key(), now_unix_ms());
        let Some(context) = self.context(now_unix_ms) else {
            return Ok(Asked::Before);
        };
        let status = site.object.status.as_ref();
        let mut policies = status.iter().flat_map(|status| &status.policies);
        let question = Question {
            instance: &key,
            source: self.v.rebalance_policy.as_ref(),
            status: policies.find(|policy| policy.decision == Rebalance::NAME),
            context,
            input,
            request: look.requests.now,
        };
        let lane = &shared.policies.rebalance;
        let prepared = match Box::pin(lane.prepare(&question)).await {
            Err(kube::Error::Api(refused)) if refused.is_forbidden() => {
                let unread = Made::unread(&refused, now_unix_ms);
                return Ok(Asked::Now(Box::new(unread)));
            }
            prepared => prepared?,
        };
        // The object is woken when it is there: nobody stands in for a moment.
        if prepared.is_loading() {
            return Ok(Asked::Loading);
        }
        let shards = input.shards.iter().map(|shard| (shard.id, shard.state));
        let shards: Vec<_> = shards.collect();
        let spec = (look.spec.cooldown, look.spec.max_stall);
        let about = (site.keep, shards, &input.stays, prepared.standing(), spec);
        let text = serde_json::to_vec(&about).unwrap_or_default();
        let about = short_hex(&text);
        let known = &shared.clusters.rebalances;
        if look.requests.now.is_none() && known.was_asked(&key, &about, now_unix_ms) {
            return Ok(Asked::Before);
        }
        let made = Box::pin(lane.decide_by(&question, prepared)).await;
        let again = [made.again_unix_ms, made.holds_until_unix_ms];
        known.asks(&key, about, again.into_iter().flatten().min());
        Ok(Asked::Now(Box::new(made)))
    }

    fn context(&self, now_unix_ms: u64) -> Option<Context> {
        let mut told = self
            .site
            .members()
            .filter_map(|(_, member)| member.agent.status());
        let (engine, version) =
            told.find_map(|status| Some((status.engine.clone()?, status.version.clone()?)))?;
        Some(Context {
            now_unix_ms,
            seed: seed(self.site.owner.uid, Rebalance::NAME),
            name: self.v.name.to_string(),
            namespace: self.site.owner.namespace.to_owned(),
            engine,
            version,
            settings: String::new(),
        })
    }
}
