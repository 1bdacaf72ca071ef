//! When the server listens on its port: not before it has the users that are known. Many clients
//! never try again after a wrong password, and all of them after a refused connection.

use std::collections::BTreeSet;

use hera_core::acl::{AGENT_USER, AclSet, AclUser, DEFAULT_USER, is_system_user};
use hera_redis::{ConfigSet, Server};
use thiserror::Error;
use tracing::{info, warn};

use crate::agent::{Agent, Work};
use crate::control::answer::Refused;

/// What is known of how this pod's server takes users and its port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// The running server listens on its port.
    pub open: bool,
    /// Revision of the set of which the running server read users from its ACL file, if it did.
    in_file: Option<u64>,
    /// Users of the known set that a server refused: one of them in the file, and it does not start.
    refused: BTreeSet<String>,
    /// A server did not start with users of the known set in its file.
    gave_up: bool,
    /// This server cannot change its port while it runs: the first ones of 6.2.
    fixed: bool,
}

/// How a server starts.
#[derive(Debug, PartialEq, Eq)]
pub struct AtStart<'a> {
    /// The users in its ACL file, besides the agent's.
    pub users: Vec<&'a AclUser>,
    /// It listens on its port from the start.
    pub listens: bool,
}

/// Why the server does not listen.
#[derive(Debug, Error)]
pub enum Closed {
    /// It takes its port at the start only.
    #[error("this server takes its port at its start only: it starts again")]
    StartsAgain,
    /// It does not take the port.
    #[error("the server does not listen on port {port}: {why}")]
    Refused {
        /// The port.
        port: u16,
        /// Its words.
        why: String,
    },
    /// It could not be asked.
    #[error(transparent)]
    Server(#[from] hera_redis::Error),
}

impl From<Closed> for Refused {
    fn from(closed: Closed) -> Self {
        Self::later(closed.to_string())
    }
}

impl Listening {
    /// Another set of users is known.
    pub fn knows_others(&mut self) {
        self.refused.clear();
        self.gave_up = false;
    }

    /// The server's verdict on the known set.
    pub fn took_all_but(&mut self, refused: BTreeSet<String>) {
        self.refused = refused;
    }

    /// True if it took this user of the known set not.
    pub fn is_refused(&self, user: &str) -> bool {
        self.refused.contains(user)
    }

    /// A server starts so, with users of the set with this revision.
    pub fn starts(&mut self, with: &AtStart<'_>, revision: u64) {
        self.open = with.listens;
        self.in_file = (!with.users.is_empty()).then_some(revision);
    }

    /// True if the server had users in its file, and they are not those of `set`.
    pub fn lags_behind(&self, set: &AclSet) -> bool {
        self.in_file
            .is_some_and(|revision| revision != set.revision)
    }

    /// The server has the users of `set` now.
    pub fn has_caught_up(&mut self, set: &AclSet) {
        self.in_file = Some(set.revision);
    }

    /// The server ended before it said anything. True if the next one starts without what may be
    /// the cause: the users in its file.
    pub fn ended_unheard(&mut self) -> bool {
        let may_be_users = self.in_file.is_some() && !self.gave_up;
        self.gave_up |= may_be_users;
        may_be_users
    }

    fn cannot_change(&mut self) {
        self.fixed = true;
        // By now it told which users it refuses.
        self.gave_up = false;
    }
}

/// How the next server starts with the users that are known.
///
/// The server's own user stays closed in the file, whatever the set says of it: as long as the
/// server reads an append-only file, it must have every right (redis-facts §4.1), and somebody with
/// its password would have them, too. So it comes live, and until then nobody is let in.
pub fn at_start<'a>(set: Option<&'a AclSet>, known: &Listening) -> AtStart<'a> {
    let Some(set) = set else {
        return AtStart {
            users: Vec::new(),
            listens: known.fixed,
        };
    };
    let taken = |user: &&AclUser| !known.refused.contains(&user.name);
    let for_file = |user: &&AclUser| {
        let own = [AGENT_USER, DEFAULT_USER].contains(&user.name.as_str());
        !own && !known.gave_up && is_line(user)
    };
    let users: Vec<&AclUser> = set.users.iter().filter(taken).filter(for_file).collect();
    let all = users.len() == set.users.iter().filter(taken).count();
    AtStart {
        listens: known.fixed || (all && is_for_clients(set)),
        users,
    }
}

/// True if somebody but the operator and replicas may log in: before the first decision about
/// users nobody may.
pub fn is_for_clients(set: &AclSet) -> bool {
    set.users.iter().any(|user| !is_system_user(&user.name))
}

/// True if the server reads the user from a line as it is: a line is split at spaces.
fn is_line(user: &AclUser) -> bool {
    let is_word = |text: &String| {
        let odd = |c: char| c.is_whitespace() || c.is_control();
        !text.is_empty() && !text.contains(odd)
    };
    let mut words = user.password_sha256.iter().chain(&user.rules);
    is_word(&user.name) && words.all(is_word)
}

/// The users of `set` are in force: from now on clients are let in, if there are any.
///
/// # Errors
/// The server does not listen.
pub async fn open_for(
    agent: &Agent,
    work: &mut Work,
    server: &Server,
    set: &AclSet,
) -> Result<(), Closed> {
    match is_for_clients(set) {
        true => open(agent, work, server).await,
        false => Ok(()),
    }
}

/// Has the server listen on its port, if it does not.
///
/// # Errors
/// It does not. One that cannot while it runs is killed: the next listens from its start.
pub async fn open(agent: &Agent, work: &mut Work, server: &Server) -> Result<(), Closed> {
    if work.listening.open {
        return Ok(());
    }
    let port = agent.settings.port;
    match server.config_set("port", &port.to_string()).await? {
        ConfigSet::Applied => {
            info!(port, "the server listens");
            work.listening.open = true;
            Ok(())
        }
        ConfigSet::NeedsRestart => {
            warn!(
                port,
                "the server cannot listen while it runs: it starts again"
            );
            work.listening.cannot_change();
            agent.fence.kill();
            Err(Closed::StartsAgain)
        }
        ConfigSet::Refused(why) => Err(Closed::Refused { port, why }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hera_core::acl::REPLICATION_USER;

    fn user(name: &str, rules: &[&str]) -> AclUser {
        AclUser {
            name: name.to_owned(),
            password_sha256: vec!["ab".to_owned()],
            rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
        }
    }

    fn set(users: &[AclUser]) -> AclSet {
        AclSet {
            owner: "o".to_owned(),
            revision: 1,
            app: "app".to_owned(),
            users: users.to_vec(),
            undecided: Default::default(),
        }
    }

    fn start(users: &[AclUser], known: &Listening) -> (Vec<String>, bool) {
        let set = set(users);
        let start = at_start(Some(&set), known);
        let names = start.users.iter().map(|user| user.name.clone());
        (names.collect(), start.listens)
    }

    fn system() -> AclUser {
        user(REPLICATION_USER, &["+psync"])
    }

    #[test]
    fn a_server_listens_from_its_start_if_its_file_has_every_user() {
        let known = Listening::default();
        let (users, listens) = start(&[system(), user("app", &["+get", "~*"])], &known);
        assert_eq!(users, [REPLICATION_USER, "app"]);
        assert!(listens);
        let nobody = at_start(None, &known);
        assert!(nobody.users.is_empty() && !nobody.listens);
    }

    #[test]
    fn before_users_are_decided_it_does_not_listen() {
        let (users, listens) = start(&[system()], &Listening::default());
        assert_eq!(users, [REPLICATION_USER]);
        assert!(!listens);
    }

    #[test]
    fn users_that_cannot_stand_in_a_file_are_waited_for() {
        let app = user("app", &["+get"]);
        for odd in [
            user("two words", &["+get"]),
            user("line\nuser", &["+get"]),
            user("bob", &["(+get ~a)"]),
            user("bob", &["+get\nuser eve on nopass"]),
            user(DEFAULT_USER, &["+get"]),
            user(AGENT_USER, &["+get"]),
        ] {
            let (users, listens) = start(&[app.clone(), odd.clone()], &Listening::default());
            assert_eq!((users, listens), (vec!["app".to_owned()], false), "{odd:?}");
        }
    }

    #[test]
    fn a_user_that_a_server_refused_is_left_out_until_another_set_is_known() {
        let both = [user("app", &["+get"]), user("bob", &["+nosuch"])];
        let mut known = Listening::default();
        known.took_all_but(["bob".to_owned()].into());
        assert_eq!(start(&both, &known), (vec!["app".to_owned()], true));
        known.knows_others();
        assert_eq!(start(&both, &known).0.len(), 2);
    }

    #[test]
    fn after_a_server_that_did_not_start_with_users_they_come_live() {
        let users = [user("app", &["+nosuch"])];
        let mut known = Listening::default();
        known.starts(&at_start(Some(&set(&users)), &known.clone()), 1);
        assert!(known.open && known.ended_unheard());
        assert_eq!(start(&users, &known), (vec![], false));
        // Their file is the cause no more.
        known.starts(&at_start(Some(&set(&users)), &known.clone()), 1);
        assert!(!known.ended_unheard());
    }

    #[test]
    fn a_server_lags_only_behind_what_is_pushed_after_its_start() {
        let before = set(&[user("app", &["+get"])]);
        let after = AclSet {
            revision: 2,
            ..before.clone()
        };
        let mut known = Listening::default();
        assert!(!known.lags_behind(&after), "it has nobody yet");
        known.starts(&at_start(Some(&before), &known.clone()), before.revision);
        assert!(!known.lags_behind(&before) && known.lags_behind(&after));
        known.has_caught_up(&after);
        assert!(!known.lags_behind(&after));
    }

    #[test]
    fn a_server_that_cannot_change_its_port_listens_from_the_next_start() {
        let users = [user("app", &["+get"]), user("bob", &["+nosuch"])];
        let mut known = Listening::default();
        known.starts(&at_start(Some(&set(&users)), &known.clone()), 1);
        assert!(known.ended_unheard());
        known.took_all_but(["bob".to_owned()].into());
        known.cannot_change();
        assert_eq!(start(&users, &known), (vec!["app".to_owned()], true));
    }
}
