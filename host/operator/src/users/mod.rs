//! The users of an instance: passwords from Secrets, rights from the policy, the set for agents.

mod passwords;

use std::collections::BTreeSet;
use std::sync::Arc;

use hera_api::PolicyStatus;
use hera_api::conditions::policy_healthy::LOADING;
use hera_api::validate::Validated;
use hera_core::acl::{
    AclAnswer, AclInput, AclSet, AclUser, Answer, Categories, CommandTable, DEFAULT_USER,
    REPLICATION_USER, Standing, UserRequest, check_request, compile, decompile, in_force, withheld,
};
use hera_policy::{Acl, Context, Decision as _};
use hera_render::user_requests;

pub use passwords::{
    Accepted, Passwords, app_credentials, app_password, generate, replication_password,
    system_passwords, written_rotation,
};

use crate::object::ObjectKey;
use crate::policies::{Made, Question, now_unix_ms, seed};
use crate::shared::Shared;

/// What a replica says to its primary, and no more (redis-facts §2.1).
const REPLICATION_RULES: [&str; 3] = ["+psync", "+replconf", "+ping"];

/// The server that the users are for.
pub struct ServerFacts {
    /// `redis` or `valkey`.
    pub engine: String,
    /// Its version.
    pub version: String,
    /// Its own table of commands.
    pub categories: Arc<Categories>,
}

/// What was decided about the users.
pub struct Decision {
    /// The set that is to be in force.
    pub set: AclSet,
    /// What the policy came to.
    pub made: Made<AclAnswer>,
    /// Rules of the spec that go beyond what the preset allows, for people.
    pub refused_rules: Vec<String>,
    /// Owners who have not all keys and channels, each with the commands that it lacks for that, for people.
    pub limited: Vec<String>,
    /// Users who have something else than a policy decided, or nothing because none did, for people.
    pub undecided: Vec<String>,
}

/// The object for whose users a decision is made.
pub struct Subject<'a> {
    /// Its spec.
    pub validated: &'a Validated,
    /// Its name and namespace.
    pub instance: &'a ObjectKey,
    /// Its uid.
    pub uid: &'a str,
    /// What its status says about the policy.
    pub status: Option<&'a PolicyStatus>,
    /// A person's request to ask the policy.
    pub request: Option<&'a str>,
}

/// The users that are to be in force, from what the policy grants.
///
/// # Guarantees
/// It never fails open: where the policy gives no valid answer, a user keeps the rules it had, cut to
/// what the spec allows today, and one that had none gets none; another module that answers in its
/// place can only take away. A user that the spec no longer names is gone whatever the policy.
///
/// # Errors
/// When the API server does not answer.
pub async fn decide(
    shared: &Shared,
    subject: &Subject<'_>,
    passwords: &Passwords,
    server: &ServerFacts,
    before: &Before<'_>,
) -> kube::Result<Decision> {
    let requests = user_requests(subject.validated);
    let categories = Categories::clone(&server.categories);
    let mut input = AclInput {
        users: requests,
        categories,
    };
    let problems = check_request(&input);
    input
        .users
        .retain(|user| problems.iter().all(|problem| problem.user != user.name));
    let refused_rules = problems
        .into_iter()
        .map(|problem| format!("user {}: {}", problem.user, problem.what))
        .collect();

    let question = Question {
        instance: subject.instance,
        source: subject.validated.acl_policy.as_ref(),
        status: subject.status,
        context: context(subject, server),
        input: &input,
        request: subject.request,
    };
    let made = match shared.policies.acl.decide(&question).await {
        // A refusal, as of who may not read the ConfigMap, is no reason to leave rights as they are.
        Err(kube::Error::Api(refused)) if refused.is_forbidden() => {
            Made::unread(&refused, question.context.now_unix_ms)
        }
        made => made?,
    };
    let table = CommandTable::new(&server.categories);
    let limited = input.users.iter().filter_map(|request| {
        let lost = withheld(request, &table);
        (!lost.is_empty()).then(|| format!("{} lacks {}", request.name, lost.join(", ")))
    });
    let limited = limited.collect();
    let made_of = Source {
        answer: made.answer.as_ref(),
        stands_in: made.stands_in,
        table: Some(&table),
    };
    let (set, nobody) = set(subject.validated, subject.uid, &made_of, passwords, before);
    let loading = made.problem.as_ref().is_some_and(|p| p.reason == LOADING);
    let named = set
        .undecided
        .iter()
        .map(|name| format!("{name} (has what it had, cut to the spec)"));
    // What a module that is being loaded will say comes in a moment.
    let nobody = nobody.iter().filter(|_| !loading);
    let nobody = nobody.map(|name| format!("{name} (has nothing yet)"));
    let undecided = named.chain(nobody).collect();
    Ok(Decision {
        set,
        made,
        refused_rules,
        limited,
        undecided,
    })
}

/// From where rights are taken.
struct Source<'a> {
    answer: Option<&'a AclAnswer>,
    /// It is of another module than the one that is asked for.
    stands_in: bool,
    /// What the server has, if it could be asked.
    table: Option<&'a CommandTable>,
}

impl Source<'_> {
    fn of(&self, name: &str) -> Answer<'_> {
        let mut granted = self.answer.iter().flat_map(|answer| &answer.users);
        match granted.find(|grants| grants.name == name) {
            Some(grants) if self.stands_in => Answer::StandIn(grants),
            Some(grants) => Answer::Decided(grants),
            None => Answer::Missing,
        }
    }
}

/// What was in force before.
pub struct Before<'a> {
    /// The set, if it is known.
    pub set: Option<&'a AclSet>,
    /// The revision that the agent holds.
    pub at_agent: u64,
    /// Where revisions begin if no set is known.
    pub first_revision: u64,
}

/// The set while nobody can be asked: users of the spec with the rights that they had, cut to its keys
/// and channels, and with the passwords of now. What commands there are only a server tells.
pub fn undecided(v: &Validated, uid: &str, passwords: &Passwords, before: &Before<'_>) -> AclSet {
    let nobody = Source {
        answer: None,
        stands_in: false,
        table: None,
    };
    set(v, uid, &nobody, passwords, before).0
}

/// The set while changes wait: what is in force, password for password.
pub fn unchanged(known: &AclSet, at_agent: u64) -> AclSet {
    AclSet {
        revision: known.revision.max(at_agent),
        ..known.clone()
    }
}

/// The set, and the users that nobody decided about, and who have nothing.
fn set(
    v: &Validated,
    uid: &str,
    source: &Source<'_>,
    passwords: &Passwords,
    before: &Before<'_>,
) -> (AclSet, Vec<String>) {
    let known = before.set.filter(|set| set.owner == uid);
    let mut users = Vec::new();
    let mut undecided = BTreeSet::new();
    let mut nobody = Vec::new();
    for request in user_requests(v) {
        let name = &request.name;
        let hashes = passwords.hashes_of(name);
        match user(&request, source, hashes, known) {
            Some((user, standing)) => {
                let was = known.is_some_and(|set| set.undecided.contains(name));
                if matches!(standing, Standing::Cut | Standing::Held)
                    || (was && standing == Standing::Kept)
                {
                    undecided.insert(name.clone());
                }
                users.push(user);
            }
            // Without a password it is the Secret that is missing.
            None if passwords.of(name).is_some() => nobody.push(request.name),
            None => {}
        }
    }
    if v.auth.default_user
        && let Some(app) = users.iter().find(|user| user.name == v.auth.username)
    {
        users.push(AclUser {
            name: DEFAULT_USER.to_owned(),
            ..app.clone()
        });
    }
    users.insert(0, replicas_user(&passwords.of_replicas));
    let revision = match known {
        // Older than what an agent holds: somebody put back an old Secret.
        Some(set) if set.users == users && set.revision >= before.at_agent => set.revision,
        Some(set) => set.revision.max(before.at_agent).saturating_add(1),
        None => before.at_agent.saturating_add(1).max(before.first_revision),
    };
    let set = AclSet {
        owner: uid.to_owned(),
        revision,
        app: v.auth.username.clone(),
        users,
        undecided,
    };
    (set, nobody)
}

fn context(subject: &Subject<'_>, server: &ServerFacts) -> Context {
    Context {
        now_unix_ms: now_unix_ms(),
        seed: seed(subject.uid, Acl::NAME),
        name: subject.validated.name.to_string(),
        namespace: subject.instance.namespace.clone(),
        engine: server.engine.clone(),
        version: server.version.clone(),
        settings: String::new(),
    }
}

fn user(
    request: &UserRequest,
    source: &Source<'_>,
    hashes: Option<Vec<String>>,
    before: Option<&AclSet>,
) -> Option<(AclUser, Standing)> {
    let name = request.name.as_str();
    let known = before.and_then(|set| set.users.iter().find(|user| user.name == name));
    // A password that is missing now leaves the one that the user has.
    let hashes = match hashes {
        Some(hashes) => hashes,
        None => known?.password_sha256.clone(),
    };
    let held = known.map(|user| decompile(name, &user.rules));
    let rights = in_force(request, held.as_ref(), source.of(name), source.table)?;
    Some((compile(&rights.grants, &hashes), rights.standing))
}

/// The only user of the operator's own: it speaks to no server itself.
fn replicas_user(password_sha256: &[String]) -> AclUser {
    AclUser {
        name: REPLICATION_USER.to_owned(),
        password_sha256: password_sha256.to_vec(),
        rules: REPLICATION_RULES.map(str::to_owned).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use hera_core::acl::{CLEAR, Preset};
    use hera_core::digest::sha256_hex;

    use super::*;

    fn passwords() -> Passwords {
        Passwords::for_test([("app", "secret")])
    }

    fn known(name: &str) -> AclSet {
        AclSet {
            owner: "uid".into(),
            revision: 3,
            app: "app".into(),
            users: vec![AclUser {
                name: name.into(),
                password_sha256: vec!["old".into()],
                rules: ["resetkeys", "resetchannels", "-@all", "+get", "+set", "~*"]
                    .map(str::to_owned)
                    .into(),
            }],
            undecided: BTreeSet::new(),
        }
    }

    fn request(name: &str, preset: Preset) -> UserRequest {
        UserRequest {
            name: name.into(),
            preset,
            keys: vec!["*".into()],
            channels: vec![],
            rules: vec![],
        }
    }

    fn ask(name: &str, preset: Preset, known: Option<&AclSet>) -> Option<(AclUser, Standing)> {
        let fast = ["get", "set"].map(str::to_owned).into();
        let reads = ["get".to_owned()].into();
        let writes = ["set".to_owned()].into();
        let categories = [("fast", fast), ("read", reads), ("write", writes)];
        let table = CommandTable::new(&categories.map(|(k, v)| (k.to_owned(), v)).into());
        let faults = Source {
            answer: None,
            stands_in: false,
            table: Some(&table),
        };
        let hashes = passwords().hashes_of(name);
        user(&request(name, preset), &faults, hashes, known)
    }

    #[test]
    fn without_an_answer_a_known_user_keeps_its_rules_and_gets_its_new_password() {
        let (user, standing) = ask("app", Preset::ReadWrite, Some(&known("app"))).unwrap();
        assert_eq!(user.rules, known("app").users[0].rules);
        assert_eq!(standing, Standing::Kept);
        assert_eq!(user.password_sha256, [sha256_hex(b"secret")]);
    }

    #[test]
    fn without_an_answer_a_new_user_gets_nothing() {
        assert_eq!(ask("app", Preset::ReadWrite, None), None);
    }

    #[test]
    fn without_an_answer_a_revocation_counts_and_the_new_password_too() {
        let (user, standing) = ask("app", Preset::ReadOnly, Some(&known("app"))).unwrap();
        let allowed = |rule: &str| user.rules.iter().any(|known| known == rule);
        assert!(allowed("+get") && allowed("-@write"), "{:?}", user.rules);
        assert_eq!(standing, Standing::Cut);
        assert_eq!(user.password_sha256, [sha256_hex(b"secret")]);
    }

    #[test]
    fn who_may_not_see_hashes_any_more_loses_that_and_no_password() {
        let categories = [
            ("admin", "acl|getuser acl|log config|get config|resetstat"),
            ("slow", "acl config get"),
        ];
        let categories = categories.map(|(name, commands)| {
            let commands = commands.split(' ').map(str::to_owned).collect();
            (name.to_owned(), commands)
        });
        let table = CommandTable::new(&categories.into());
        let nobody = Source {
            answer: None,
            stands_in: false,
            table: Some(&table),
        };
        let mut known = known("other");
        let before = "resetkeys resetchannels -@all +@all -config +config|get +config|resetstat ~*";
        known.users[0].rules = before.split(' ').map(str::to_owned).collect();
        let request = request("other", Preset::Admin);
        let (user, standing) = user(&request, &nobody, None, Some(&known)).unwrap();
        assert_eq!(standing, Standing::Cut);
        assert_eq!(user.password_sha256, known.users[0].password_sha256);
        let grants = decompile("other", &user.rules);
        let left = table.effective(&grants.commands).unwrap();
        let left: Vec<&str> = left.iter().map(String::as_str).collect();
        assert_eq!(left, ["acl", "acl|log", "config|resetstat", "get"]);
        assert!(user.rules.contains(&"~*".to_owned()));
    }

    fn before(set: &AclSet) -> Before<'_> {
        Before {
            set: Some(set),
            at_agent: 3,
            first_revision: 1,
        }
    }

    #[test]
    fn who_was_cut_is_named_until_a_policy_decides() {
        let mut known = known("app");
        // The application user may touch all keys, so what no rule of ours says is what is cut.
        known.users[0].rules.push("&a".into());
        known.users[0].rules.push("nopass".into());
        let cut = undecided(&validated(), "uid", &passwords(), &before(&known));
        assert_eq!(cut.users[1].rules, CLEAR);
        assert_eq!(cut.users[1].password_sha256, [sha256_hex(b"secret")]);
        known.undecided.insert("app".into());
        known.users[0].rules.truncate(6);
        let again = undecided(&validated(), "uid", &passwords(), &before(&known));
        assert!(again.undecided.contains("app"));
        let answer = AclAnswer {
            users: vec![decompile("app", &["+get".into()])],
        };
        let decided = Source {
            answer: Some(&answer),
            stands_in: false,
            table: None,
        };
        let (set, nobody) = set(&validated(), "uid", &decided, &passwords(), &before(&known));
        assert!(set.undecided.is_empty() && nobody.is_empty());
    }

    #[test]
    fn while_changes_wait_nothing_of_the_set_changes() {
        let known = known("gone");
        assert_eq!(unchanged(&known, 3), known);
        assert_eq!(unchanged(&known, 9).users, known.users);
    }

    #[test]
    fn without_its_password_a_known_user_keeps_the_one_it_has() {
        let (user, _) = ask("other", Preset::ReadOnly, Some(&known("other"))).unwrap();
        assert_eq!(user.password_sha256, ["old"]);
    }

    #[test]
    fn replicas_may_follow_and_nothing_else() {
        let v = validated();
        let before = Before {
            set: None,
            at_agent: 0,
            first_revision: 1,
        };
        let set = undecided(&v, "uid", &passwords(), &before);
        let names: Vec<_> = set.users.iter().map(|user| user.name.as_str()).collect();
        assert_eq!(names, [REPLICATION_USER]);
        assert_eq!(set.users[0].rules, ["+psync", "+replconf", "+ping"]);
        assert_eq!(set.users[0].password_sha256, [sha256_hex(b"replication")]);
        let again = Before {
            set: Some(&set),
            at_agent: 1,
            first_revision: 1,
        };
        assert_eq!(undecided(&v, "uid", &passwords(), &again).revision, 1);
    }

    fn validated() -> Validated {
        let spec = serde_json::json!({"version": "7.2"});
        hera_api::validate::validate("cache", &serde_json::from_value(spec).unwrap()).unwrap()
    }
}
