//! What the agents of an object's pods are to hold: users and configuration.

use std::fmt::Debug;

use hera_api::conditions::degraded;
use hera_api::meta::{ANNOTATION_ROTATE, ANNOTATION_ROTATE_REPLICATION};
use hera_api::validate::{Memory, Validated};
use hera_api::{HasCommonSpec, PolicyStatus};
use hera_core::acl::AclSet;
use hera_core::agent::{AgentStatus, ServerConfig};
use hera_core::rotation::Spread;
use hera_core::shard::Member;
use hera_kube::{ApplyError, Severity};
use hera_render::{AppCredentials, Context, server_config};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::jiff::Timestamp;
use kube::Client;

use super::children::{self, Children};
use super::done_request;
use super::events::ROTATED_BEFORE;
use super::observe::{CommonLive, SetLive};
use super::password_news::PasswordNews;
use super::rotations::{Replaced, Rotations};
use super::server_facts::server_facts;
use crate::controllers::outcome::PassError;
use crate::object::ObjectKey;
use crate::shared::Shared;
use crate::users::{self, Accepted, Decision, Passwords, Subject};

/// The object whose agents are to hold something.
pub struct Holder<'a> {
    pub shared: &'a Shared,
    pub v: &'a Validated,
    pub ctx: &'a Context,
    pub key: &'a ObjectKey,
    pub common: &'a CommonLive,
    pub sets: Vec<&'a SetLive>,
    pub members: Vec<&'a Member>,
    /// The pod whose server is asked what commands there are.
    pub asked: Option<&'a Member>,
    /// Somebody serves writes.
    pub serves: bool,
    /// A server of it ran before.
    pub lived: bool,
    /// What the status says about the policy of rights.
    pub policy: Option<&'a PolicyStatus>,
    /// A person's request to ask the policy.
    pub request: Option<&'a str>,
    /// A person's request for another password.
    pub rotate: Option<&'a str>,
    /// A person's request for another password of replication.
    pub rotate_replication: Option<&'a str>,
}

/// What they are to hold.
pub struct Holdings {
    pub config: ServerConfig,
    pub acl: AclSet,
    pub passwords: Passwords,
    /// What its Secret tells the application: no password once that is read from elsewhere.
    pub app: AppCredentials,
    /// None while no server can be asked what commands it has, and while changes wait.
    pub decision: Option<Decision>,
    /// What servers may use and fill, by the spec and by their containers.
    pub memory: Memory,
    /// The users as they were left.
    pub known: Option<AclSet>,
    /// How the generated password is replaced.
    pub rotation: Replaced,
    /// How that of replication is.
    pub replication: Replaced,
    /// Somebody asks for another password of a user whose password the operator does not make.
    pub rotation_refused: bool,
    /// What is to be said of passwords.
    pub news: PasswordNews,
}

impl Holder<'_> {
    /// Decides what they are to hold.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn holdings(&self) -> Result<Holdings, PassError> {
        let Self { v, ctx, common, .. } = *self;
        let mut system = users::system_passwords(common.system.as_ref());
        let mut app = users::app_credentials(&v.auth, common.app.as_ref());
        let known = children::known_acl(common, &ctx.uid);
        let members = self.members.iter().copied();
        let spread = Spread::of(known.as_ref(), members, v.replicas);
        let rotations = Rotations {
            v,
            common,
            spread: &spread,
        };
        let rotation = rotations.app(app.password.as_deref(), self.rotate);
        let replication = rotations.replication(&system.replication, self.rotate_replication);
        if let Some(show) = rotation.show() {
            app.password = Some(show.to_owned());
        }
        if let Some(show) = replication.show() {
            show.clone_into(&mut system.replication);
        }
        for (annotation, asked, replaced) in [
            (ANNOTATION_ROTATE, self.rotate, &rotation),
            (
                ANNOTATION_ROTATE_REPLICATION,
                self.rotate_replication,
                &replication,
            ),
        ] {
            if let Some(asked) = asked.filter(|asked| replaced.has_done(asked)) {
                Box::pin(self.tell_done_before(annotation, asked)).await;
            }
        }
        system.rotation = rotation.text().map_err(ApplyError::from)?;
        system.replication_rotation = replication.text().map_err(ApplyError::from)?;
        let accepted = Accepted {
            app: rotation.accept(),
            replication: replication.accept(),
        };
        let client = &self.shared.client;
        let passwords = Passwords::read(client, &ctx.namespace, v, system, &app, &accepted).await?;
        if v.auth.password.is_some() && passwords.of(&v.auth.username).is_some() {
            app.password = None;
        }
        let rotating = (rotation.to_write(), replication.to_write());
        let news = PasswordNews::of(v, rotating, self.rotate, &passwords, &spread);
        let first_revision = self.first_revision();
        let before = users::Before {
            set: known.as_ref(),
            at_agent: self.highest(|status| status.acl.revision),
            first_revision,
        };
        let decision = self.decide_users(&passwords, &before).await?;
        let acl = match (&decision, &known) {
            (Some(decision), _) => decision.set.clone(),
            (None, Some(known)) if v.paused => users::unchanged(known, before.at_agent),
            (None, _) => users::undecided(v, &ctx.uid, &passwords, &before),
        };
        let at_agent = self.highest(|status| status.config.revision);
        let sets = self.sets.iter().copied();
        let memory = v.memory.within(children::containers_limit(sets.clone()));
        let served = Validated {
            memory,
            ..v.clone()
        };
        let wanted = server_config::build(&served, ctx);
        let lacks_memory = children::lacks_memory(sets, &served, ctx, self.serves);
        let config = children::next_config(common, wanted, lacks_memory, at_agent, first_revision);
        Ok(Holdings {
            config,
            acl,
            passwords,
            app,
            decision,
            memory,
            known,
            rotation,
            replication,
            rotation_refused: self.rotate.is_some() && v.auth.password.is_some(),
            news,
        })
    }

    /// A request that was done before has no effect, and is taken away in this pass.
    async fn tell_done_before(&self, annotation: &str, asked: &str) {
        let about = self.key.object_ref(&self.ctx.uid);
        let note = format!(
            "{annotation} {asked:?} was done before, so the password stays: write another text"
        );
        let events = &self.shared.events;
        events
            .publish_state(&about, Severity::Normal, ROTATED_BEFORE, &note)
            .await;
    }

    /// Where the revisions of an object begin: high up if it lived before, so that no agent
    /// remembers a higher one whose ConfigMap or Secret somebody deleted.
    fn first_revision(&self) -> u64 {
        match self.lived {
            true => u64::try_from(Timestamp::now().as_second()).unwrap_or(1),
            false => 1,
        }
    }

    async fn decide_users(
        &self,
        passwords: &Passwords,
        before: &users::Before<'_>,
    ) -> Result<Option<Decision>, PassError> {
        let Some(asked) = self.asked.filter(|_| !self.v.paused) else {
            return Ok(None);
        };
        let server = server_facts(self.shared, asked).await;
        let Some(server) = server else {
            return Ok(None);
        };
        let subject = Subject {
            validated: self.v,
            instance: self.key,
            uid: &self.ctx.uid,
            status: self.policy,
            request: self.request,
        };
        let decided = users::decide(self.shared, &subject, passwords, &server, before);
        Ok(Some(decided.await?))
    }

    /// The highest revision that an agent holds.
    fn highest(&self, revision: impl Fn(&AgentStatus) -> u64) -> u64 {
        let members = self.members.iter();
        let statuses = members.filter_map(|member| member.agent.status());
        statuses.map(revision).max().unwrap_or(0)
    }
}

impl Holdings {
    /// Agents are told what is written down: with another each pass would tell them anew.
    pub fn as_written(&mut self, children: &Children, common: &CommonLive, uid: &str) {
        if !children.config {
            self.config = children::known_config(common, uid).unwrap_or_default();
        }
        if !children.users {
            self.acl = self.known.clone().unwrap_or_default();
        }
    }

    /// Takes away what asks for a password that is being replaced by now.
    pub async fn clear_begun<K>(&self, client: &Client, object: &K)
    where
        K: HasCommonSpec<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug,
    {
        for (annotation, replaced) in [
            (ANNOTATION_ROTATE, &self.rotation),
            (ANNOTATION_ROTATE_REPLICATION, &self.replication),
        ] {
            let has_begun = |asked: &str| replaced.has_begun(asked);
            done_request::clear(client, object, annotation, has_begun).await;
        }
    }

    /// Something about a password that the operator makes is new, so that another look is due.
    pub fn rotation_moved(&self) -> bool {
        self.rotation.moved() || self.replication.moved()
    }

    /// When something is due without news, in milliseconds since 1970: a policy is asked once more, or a
    /// password is replaced.
    pub fn due_ms(&self) -> Option<u64> {
        let decision = self.decision.as_ref();
        let asked = decision.and_then(|decision| decision.made.again_unix_ms);
        let rotations = [self.rotation.due_ms(), self.replication.due_ms()];
        rotations.into_iter().chain([asked]).flatten().min()
    }

    /// The set has the application user.
    pub fn has_app_user(&self, v: &Validated) -> bool {
        self.acl
            .users
            .iter()
            .any(|user| user.name == v.auth.username)
    }

    /// What somebody should know, though it needs nobody: `first`, if there is that, and what there is of this. A
    /// reason of `Degraded`, that of the first, and the words of all.
    pub fn notice(&self, first: Option<(&'static str, String)>) -> Option<(&'static str, String)> {
        let same = Some(&self.news.same).filter(|same| !same.is_empty());
        let same = same.map(|same| (degraded::NEXT_PASSWORD_SAME, same.clone()));
        let notices = [first, same, self.rights_limited()];
        let all = notices.into_iter().flatten();
        all.reduce(|(reason, words), (_, more)| (reason, format!("{words}; {more}")))
    }

    fn rights_limited(&self) -> Option<(&'static str, String)> {
        let decision = self.decision.as_ref();
        let limited = decision.map(|d| &d.limited).filter(|l| !l.is_empty())?;
        let words = format!(
            "the preset Owner gives users with limited keys or channels no command that reaches beyond them: {}",
            limited.join("; ")
        );
        Some((degraded::RIGHTS_LIMITED, words))
    }

    /// What of it needs somebody: a reason of `Degraded`, and words. `serves` tells that somebody does, so that
    /// a server could be asked.
    pub fn attention(&self, serves: bool, paused: bool) -> Option<(&'static str, String)> {
        let decision = self.decision.as_ref();
        if decision.is_none() && serves && !paused {
            let words = "the agent does not tell the operator which commands its server has, so no change of \
                         users or their policy reaches it: check network policies";
            return Some((degraded::SERVER_UNREACHABLE, words.to_owned()));
        }
        let missing = &self.passwords.missing;
        if !missing.is_empty() {
            return Some((degraded::SECRET_MISSING, missing.join("; ")));
        }
        if let Some(refused) = decision.map(|d| &d.refused_rules).filter(|r| !r.is_empty()) {
            return Some((degraded::USER_REJECTED, refused.join("; ")));
        }
        if self.rotation_refused {
            let words = "cache.hera.io/rotate asks for another password, and the password is yours: put the \
                         next one into the Secret of auth.passwordSecretRef, under its nextKey, and take the \
                         annotation away";
            return Some((degraded::REQUEST_REFUSED, words.to_owned()));
        }
        let users = decision.map(|d| &d.undecided).filter(|u| !u.is_empty())?;
        let words = format!(
            "no policy decided what these users get: {}; the condition PolicyHealthy says why",
            users.join(", ")
        );
        Some((degraded::RIGHTS_UNDECIDED, words))
    }
}
