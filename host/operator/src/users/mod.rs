//! The users of an instance: passwords from Secrets, rights from the policy, the set for agents.

mod passwords;

use std::sync::Arc;

use hera_api::PolicyStatus;
use hera_api::validate::Validated;
use hera_core::acl::{
    AclAnswer, AclInput, AclSet, AclUser, Categories, DEFAULT_USER, OPERATOR_USER,
    REPLICATION_USER, UserGrants, check_request, compile,
};
use hera_core::digest::sha256_hex;
use hera_policy::{Acl, Context, Decision as _};
use hera_render::user_requests;
use jiff::Timestamp;

pub use passwords::{Passwords, app_credentials, system_passwords};

use crate::policies::{Made, Question};
use crate::shared::{InstanceRef, Shared};

const OPERATOR_RULES: &[&str] = &["~*", "&*", "+@all"];
/// What a replica says to its primary, and no more (redis-facts §2.1).
const REPLICATION_RULES: &[&str] = &["+psync", "+replconf", "+ping"];

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
}

/// The object for whose users a decision is made.
pub struct Subject<'a> {
    /// Its spec.
    pub validated: &'a Validated,
    /// Its name and namespace.
    pub instance: &'a InstanceRef,
    /// Its uid.
    pub uid: &'a str,
    /// What its status says about the policy.
    pub status: Option<&'a PolicyStatus>,
}

/// The users that are to be in force, from what the policy grants.
///
/// # Guarantees
/// It never fails open: where the policy gives no valid answer, a user keeps the rules it had, and
/// one that had none gets none. A user that the spec no longer names is gone whatever the policy.
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
    let requests = user_requests(subject.validated, &passwords.app_name);
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
    };
    let made = shared.policies.acl.decide(&question).await?;
    let grants = made.answer.as_ref().map_or(&[][..], |answer| &answer.users);
    let set = set(subject.validated, subject.uid, grants, passwords, before);
    Ok(Decision {
        set,
        made,
        refused_rules,
    })
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

/// The set while nobody can be asked: users of the spec with the rights that they had, and with the
/// passwords of now.
pub fn undecided(v: &Validated, uid: &str, passwords: &Passwords, before: &Before<'_>) -> AclSet {
    set(v, uid, &[], passwords, before)
}

fn set(
    v: &Validated,
    uid: &str,
    grants: &[UserGrants],
    passwords: &Passwords,
    before: &Before<'_>,
) -> AclSet {
    let known = before.set.filter(|set| set.owner == uid);
    let mut users: Vec<AclUser> = user_requests(v, &passwords.app_name)
        .iter()
        .filter_map(|request| user(&request.name, grants, passwords, known))
        .collect();
    if v.auth.default_user
        && let Some(app) = users.iter().find(|user| user.name == passwords.app_name)
    {
        users.push(AclUser {
            name: DEFAULT_USER.to_owned(),
            ..app.clone()
        });
    }
    let system = [
        system_user(OPERATOR_USER, &passwords.system.operator, OPERATOR_RULES),
        system_user(
            REPLICATION_USER,
            &passwords.system.replication,
            REPLICATION_RULES,
        ),
    ];
    users.splice(0..0, system);
    let revision = match known {
        // Older than what an agent holds: somebody put back an old Secret.
        Some(set) if set.users == users && set.revision >= before.at_agent => set.revision,
        Some(set) => set.revision.max(before.at_agent).saturating_add(1),
        None => before.at_agent.saturating_add(1).max(before.first_revision),
    };
    AclSet {
        owner: uid.to_owned(),
        revision,
        app: passwords.app_name.clone(),
        users,
    }
}

fn context(subject: &Subject<'_>, server: &ServerFacts) -> Context {
    Context {
        now_unix_ms: u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0),
        seed: seed(subject.uid, Acl::NAME),
        name: subject.validated.name.to_string(),
        namespace: subject.instance.namespace.clone().unwrap_or_default(),
        engine: server.engine.clone(),
        version: server.version.clone(),
        settings: String::new(),
    }
}

/// Stable for one object and decision.
fn seed(uid: &str, decision: &str) -> u64 {
    u64::from_str_radix(
        sha256_hex(format!("{uid} {decision}").as_bytes())
            .get(..16)
            .unwrap_or("0"),
        16,
    )
    .unwrap_or(0)
}

fn user(
    name: &str,
    grants: &[UserGrants],
    passwords: &Passwords,
    before: Option<&AclSet>,
) -> Option<AclUser> {
    let known = before.and_then(|set| set.users.iter().find(|user| user.name == name));
    // A password that is missing now leaves the one that the user has.
    let hashes = match passwords.of(name) {
        Some(password) => vec![sha256_hex(password.as_bytes())],
        None => known?.password_sha256.clone(),
    };
    match grants.iter().find(|granted| granted.name == name) {
        Some(granted) => Some(compile(granted, &hashes)),
        None => known.map(|user| AclUser {
            password_sha256: hashes,
            ..user.clone()
        }),
    }
}

fn system_user(name: &str, password: &str, rules: &[&str]) -> AclUser {
    AclUser {
        name: name.to_owned(),
        password_sha256: vec![sha256_hex(password.as_bytes())],
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        Passwords::for_test("app", [("app", "secret")])
    }

    fn known(name: &str) -> AclSet {
        AclSet {
            owner: "uid".into(),
            revision: 3,
            app: "app".into(),
            users: vec![AclUser {
                name: name.into(),
                password_sha256: vec!["old".into()],
                rules: vec!["+get".into()],
            }],
        }
    }

    #[test]
    fn without_an_answer_a_known_user_keeps_its_rules_and_gets_its_new_password() {
        let user = user("app", &[], &passwords(), Some(&known("app"))).unwrap();
        assert_eq!(user.rules, ["+get"]);
        assert_eq!(user.password_sha256, [sha256_hex(b"secret")]);
    }

    #[test]
    fn without_an_answer_a_new_user_gets_nothing() {
        assert_eq!(user("app", &[], &passwords(), None), None);
    }

    #[test]
    fn without_its_password_a_known_user_keeps_the_one_it_has() {
        let user = user("other", &[], &passwords(), Some(&known("other"))).unwrap();
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
        assert_eq!(names, [OPERATOR_USER, REPLICATION_USER]);
        assert_eq!(set.users[1].rules, ["+psync", "+replconf", "+ping"]);
        assert_eq!(set.users[1].password_sha256, [sha256_hex(b"replication")]);
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
