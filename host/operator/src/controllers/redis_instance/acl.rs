//! Who decides about the rights of an instance's users, and what is told about its server.

use std::sync::{Arc, PoisonError};

use hera_api::meta::ANNOTATION_ASK_POLICIES;
use hera_core::acl::{AclSet, Categories, CommandTable, OPERATOR_USER, UserRequest, revocations};
use hera_core::agent::{REDIS_PORT, ServerState};
use hera_core::shard::Member;
use hera_policy::{Acl, Decision as _};
use hera_redis::{Address, Credentials, Server, Timeouts};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use tracing::{debug, warn};

use super::converge::Pass;
use super::site::Site;
use crate::controllers::outcome::PassError;
use crate::object::ObjectKey;
use crate::users::{self, Decision, Passwords, ServerFacts, Subject};

/// Command tables kept in memory at most.
const TABLES: usize = 256;

impl Pass<'_> {
    /// Where the revisions of an object begin: high up if it lived before, so that no agent
    /// remembers a higher one whose ConfigMap or Secret somebody deleted.
    pub(super) fn first_revision(&self) -> u64 {
        let lived = self.site.object.status.iter().any(|s| s.version.is_some());
        match lived {
            true => u64::try_from(Timestamp::now().as_second()).unwrap_or(1),
            false => 1,
        }
    }

    /// None while no server can be asked what commands it has, and while changes wait.
    pub(super) async fn decide_users(
        &self,
        passwords: &Passwords,
        before: &users::Before<'_>,
    ) -> Result<Option<Decision>, PassError> {
        let Self { site, v, ctx, .. } = *self;
        if v.paused {
            return Ok(None);
        }
        let Some(asked) = site.running() else {
            return Ok(None);
        };
        let Some(server) = site.server_facts(asked, &passwords.system.operator).await else {
            return Ok(None);
        };
        let instance = ObjectKey::instance(&ctx.namespace, v.name.as_str());
        let subject = Subject {
            validated: v,
            instance: &instance,
            uid: &ctx.uid,
            status: site
                .object
                .status
                .iter()
                .flat_map(|status| &status.policies)
                .find(|policy| policy.decision == Acl::NAME),
            request: site
                .object
                .annotations()
                .get(ANNOTATION_ASK_POLICIES)
                .map(String::as_str),
        };
        Ok(Some(
            users::decide(site.shared, &subject, passwords, &server, before).await?,
        ))
    }
}

impl Site<'_> {
    /// Users who have more than these requests allow, for people, while nothing is taken away.
    pub(super) async fn revocations(
        &self,
        known: Option<&AclSet>,
        requests: &[UserRequest],
    ) -> Vec<String> {
        let Some(known) = known else {
            return Vec::new();
        };
        let system = users::system_passwords(self.live.system.as_ref());
        let server = match self.running() {
            Some(asked) => self.server_facts(asked, &system.operator).await,
            None => None,
        };
        let table = server.map(|server| CommandTable::new(&server.categories));
        let default_user = self.object.spec.auth.default_user;
        revocations(known, requests, default_user, table.as_ref())
    }

    /// What the policy is told about the server; the table is read once for each run of it.
    async fn server_facts(&self, asked: &Member, password: &str) -> Option<ServerFacts> {
        let status = asked.agent.status()?;
        let ServerState::Running { run_id, .. } = &status.server else {
            return None;
        };
        let (engine, version) = (status.engine.clone()?, status.version.clone()?);
        let tables = &self.shared.categories;
        let known = tables
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(run_id)
            .cloned();
        let categories = match known {
            Some(categories) => categories,
            None => {
                let categories = Arc::new(self.categories(asked, password).await?);
                let mut tables = tables.lock().unwrap_or_else(PoisonError::into_inner);
                if tables.len() >= TABLES {
                    tables.clear();
                }
                tables.insert(run_id.clone(), categories.clone());
                categories
            }
        };
        Some(ServerFacts {
            engine,
            version,
            categories,
        })
    }

    /// By its agent, as the server does not listen on its port before its users are decided; by the
    /// server itself where the agent is older than that.
    async fn categories(&self, asked: &Member, password: &str) -> Option<Categories> {
        let client = self.shared.agents.client(asked.uid())?;
        match client.commands().await {
            Ok(categories) => return Some(categories),
            Err(error) => debug!(%error, "the agent does not tell its server's commands"),
        }
        let address = Address::tcp(asked.ip()?, REDIS_PORT);
        let login = Credentials::new(OPERATOR_USER, password);
        let read = async {
            let server = Server::connect(&address, Some(&login), Timeouts::default()).await?;
            server.categories().await
        };
        match read.await {
            Ok(categories) => Some(categories),
            Err(error) => {
                warn!(%error, "the server's command table cannot be read yet");
                None
            }
        }
    }
}
