//! Users that somebody changed at the server itself: looked for again and again, put right, and told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hera_core::acl::{AGENT_USER, AclUser, DEFAULT_USER};
use hera_core::digest::sha256_hex;
use hera_redis::ListedUser;
use tracing::warn;

use crate::agent::{Agent, Work};
use crate::apply::conf::AGENT_RULES;
use crate::apply::push_acl::{self, Applied};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(10);
/// For how long it is told that a user was put right.
const TOLD: Duration = Duration::from_secs(600);

/// Names that are told, and how much of each: somebody may have made thousands.
const NAMES: usize = 16;
const NAME: usize = 64;

/// When users were looked at, and when one was last put right.
pub struct Looked {
    last: Instant,
    put_right: Option<Instant>,
    /// Names of those that are not put right yet: the first attempt may fail.
    due: BTreeSet<String>,
}

impl Default for Looked {
    fn default() -> Self {
        Self {
            last: Instant::now(),
            put_right: None,
            due: BTreeSet::new(),
        }
    }
}

/// Looks at the users of the server, if it is time to, and puts right what is not as it was brought there. Not
/// while writes are paused for a handover: clients wait for that.
pub async fn look(agent: &Agent, work: &mut Work) {
    if work.users_looked.last.elapsed() < LOOK || work.pauses.is_in_effect() {
        return;
    }
    work.users_looked.last = Instant::now();
    let Some(server) = work.server.clone() else {
        return;
    };
    let listed = match server.users().await {
        Ok(listed) => listed,
        Err(error) => return warn!(%error, "the server's users cannot be looked at"),
    };
    let own = AclUser {
        name: AGENT_USER.to_owned(),
        password_sha256: vec![sha256_hex(agent.password.as_bytes())],
        rules: AGENT_RULES.map(str::to_owned).to_vec(),
    };
    let own_is_right = listed
        .iter()
        .any(|user| user.name == AGENT_USER && push_acl::is_right(user, &own));
    let mut altered = altered(&listed, &work.applied);
    altered.append(&mut work.users_looked.due);
    // What the server refuses to change stays as it was.
    altered.retain(|name| !work.listening.is_refused(name));
    if !own_is_right {
        altered.insert(AGENT_USER.to_owned());
        if let Err(error) = server.set_user(&own).await {
            return warn!(%error, "the agent's own user cannot be put right");
        }
    }
    if altered.is_empty() {
        let since = work.users_looked.put_right;
        if since.is_some_and(|since| since.elapsed() > TOLD) {
            work.users_looked.put_right = None;
            agent.board.change(|status| status.acl.put_right.clear());
        }
        return;
    }
    work.acl_due = true;
    push_acl::apply_due(agent, work).await;
    if work.acl_due {
        work.users_looked.due = altered;
        return;
    }
    let count = altered.len();
    let names = altered.iter().take(NAMES);
    let names: Vec<String> = names
        .map(|name| name.chars().take(NAME).collect())
        .collect();
    warn!(count, users = ?names, "somebody changed users at the server: they were put right");
    work.users_looked.put_right = Some(Instant::now());
    agent.board.change(|status| {
        let told = &mut status.acl.put_right;
        told.extend(names);
        while told.len() > NAMES {
            told.pop_last();
        }
    });
}

/// Names of those who are there and should not be, are gone, or are not as they were brought; but for the
/// agent's own.
fn altered(listed: &[ListedUser], applied: &BTreeMap<String, Applied>) -> BTreeSet<String> {
    // The server's own user cannot be removed; closed it is as good as gone.
    let is_closed = |user: &&ListedUser| {
        user.name == DEFAULT_USER && !user.enabled && !applied.contains_key(DEFAULT_USER)
    };
    let is_as_brought =
        |user: &&ListedUser| applied.get(&user.name).is_some_and(|known| known.is(user));
    let others = listed
        .iter()
        .filter(|user| user.name != AGENT_USER && !is_closed(user));
    let changed = others.filter(|user| !is_as_brought(user));
    let is_there = |name: &&String| listed.iter().any(|user| user.name == **name);
    let gone = applied.keys().filter(|name| !is_there(name));
    changed
        .map(|user| &user.name)
        .chain(gone)
        .cloned()
        .collect()
}
