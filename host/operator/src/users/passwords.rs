use std::collections::{BTreeMap, BTreeSet};

use hera_api::meta::KEY_PASSWORD;
use hera_api::validate::{Auth, Validated};
use hera_api::{SecretKeyRef, secret_password};
use hera_core::digest::sha256_hex;
use hera_core::rotation::Rotation;
use hera_render::{AppCredentials, REPLICATION_PASSWORD_KEY, SystemPasswords};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use rand::distr::{Alphanumeric, SampleString as _};

/// Enough that guessing is out of the question: 32 letters and digits are 190 bits.
const GENERATED_LENGTH: usize = 32;

/// SHA-256 of each password that servers are to accept for one that the operator makes; none where that is the one
/// that its Secret shows.
#[derive(Default)]
pub struct Accepted {
    /// For the application's.
    pub app: Vec<String>,
    /// For that of replication.
    pub replication: Vec<String>,
}

/// The passwords of an instance's users. They leave this process only as hashes, but for the application
/// Secret that the operator itself generates, for the one of replication, and for the next of either, which is
/// written down in the system Secret.
pub struct Passwords {
    /// Those of the operator's own users.
    pub system: SystemPasswords,
    /// What is missing, for people.
    pub missing: Vec<String>,
    /// Those of Secrets whose next password is the current one, for people.
    pub same: Vec<String>,
    /// SHA-256 of each with which replicas may log in.
    pub of_replicas: Vec<String>,
    by_user: BTreeMap<String, String>,
    /// SHA-256 of what users may log in with besides.
    further: BTreeMap<String, Vec<String>>,
}

impl Passwords {
    /// Reads what the spec refers to.
    ///
    /// # Errors
    /// Only when the API server does not answer; a missing Secret is in `missing`.
    pub async fn read(
        client: &Client,
        namespace: &str,
        v: &Validated,
        system: SystemPasswords,
        generated: &AppCredentials,
        accepted: &Accepted,
    ) -> kube::Result<Self> {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let rotating = accepted.app.as_slice();
        let mut passwords = Self {
            of_replicas: of_replicas(&system.replication, &accepted.replication),
            system,
            missing: Vec::new(),
            same: Vec::new(),
            by_user: BTreeMap::new(),
            further: BTreeMap::new(),
        };
        match &v.auth.password {
            None => passwords.take_generated(&v.auth.username, generated, rotating),
            Some(reference) => {
                let secret = secrets.get_opt(&reference.name).await?;
                passwords.take(&v.auth.username, reference, secret.as_ref());
            }
        }
        for user in &v.users {
            if v.shares_generated(user) {
                passwords.take_generated(&user.name, generated, rotating);
                continue;
            }
            let secret = secrets.get_opt(&user.password.name).await?;
            passwords.take(&user.name, &user.password, secret.as_ref());
        }
        Ok(passwords)
    }

    /// Lets a user in with the generated password, and with the one that takes its place or had it.
    fn take_generated(&mut self, user: &str, generated: &AppCredentials, rotating: &[String]) {
        if let Some(password) = &generated.password {
            self.by_user.insert(user.to_owned(), password.clone());
        }
        self.further.insert(user.to_owned(), rotating.to_vec());
    }

    fn take(&mut self, user: &str, reference: &SecretKeyRef, secret: Option<&Secret>) {
        let SecretKeyRef {
            name,
            key,
            next_key,
        } = reference;
        let next = next_key.as_ref();
        let next = next.and_then(|next_key| Some((next_key, password(secret, next_key)?)));
        match password(secret, key) {
            Some(password) => {
                match next {
                    Some((next_key, next)) if next == password => self.same.push(format!(
                        "keys {key} and {next_key} of Secret {name} have the same password of user {user}: \
                         nothing is to be replaced"
                    )),
                    Some((_, next)) => {
                        let hash = sha256_hex(next.as_bytes());
                        self.further.insert(user.to_owned(), vec![hash]);
                    }
                    None => {}
                }
                self.by_user.insert(user.to_owned(), password);
            }
            None => self.missing.push(format!(
                "the password of user {user} should be in key {key} of Secret {name}: create it"
            )),
        }
    }

    /// The password of a user; none if its Secret is missing.
    pub fn of(&self, user: &str) -> Option<&str> {
        self.by_user.get(user).map(String::as_str)
    }

    /// SHA-256 of each password with which a user may log in; none if its Secret is missing.
    pub fn hashes_of(&self, user: &str) -> Option<Vec<String>> {
        let current = sha256_hex(self.of(user)?.as_bytes());
        let further = self.further.get(user).into_iter().flatten().cloned();
        Some(std::iter::once(current).chain(further).collect())
    }

    /// SHA-256 of the next password of a user, from a Secret that somebody keeps.
    pub fn next_of(&self, user: &str) -> Option<&str> {
        self.further.get(user)?.first().map(String::as_str)
    }

    #[cfg(test)]
    pub(super) fn for_test<const N: usize>(users: [(&str, &str); N]) -> Self {
        Self {
            system: SystemPasswords {
                replication: "replication".into(),
                rotation: None,
                replication_rotation: None,
            },
            of_replicas: of_replicas("replication", &[]),
            missing: Vec::new(),
            same: Vec::new(),
            further: BTreeMap::new(),
            by_user: users
                .map(|(name, password)| (name.into(), password.into()))
                .into(),
        }
    }
}

/// The passwords of the operator's own users from their Secret, each that is missing anew.
pub fn system_passwords(live: Option<&Secret>) -> SystemPasswords {
    SystemPasswords {
        replication: replication_password(live).unwrap_or_else(generate),
        rotation: None,
        replication_rotation: None,
    }
}

/// The same in any order are the same.
fn of_replicas(current: &str, accepted: &[String]) -> Vec<String> {
    let current = sha256_hex(current.as_bytes());
    let all: BTreeSet<String> = accepted.iter().cloned().chain([current]).collect();
    all.into_iter().collect()
}

/// What is written down under a key of the rotation of a password. What cannot be read counts as nothing: then
/// the password that is shown is the only one.
pub fn written_rotation(live: Option<&Secret>, key: &str) -> Option<Rotation> {
    serde_json::from_slice(bytes(live, key)?).ok()
}

/// The password of replication that is written down.
pub fn replication_password(live: Option<&Secret>) -> Option<String> {
    password(live, REPLICATION_PASSWORD_KEY)
}

/// The application's credentials from the Secret that the operator makes. A password that somebody changed
/// there is taken over; one that is missing is made, unless the spec says that it is elsewhere.
pub fn app_credentials(auth: &Auth, live: Option<&Secret>) -> AppCredentials {
    let known = app_password(live);
    AppCredentials {
        username: auth.username.clone(),
        password: match &auth.password {
            None => Some(known.unwrap_or_else(generate)),
            // What is in force until the other one can be read.
            Some(_) => known,
        },
    }
}

/// The password that the Secret which the operator generates shows.
pub fn app_password(live: Option<&Secret>) -> Option<String> {
    password(live, KEY_PASSWORD)
}

/// A new password.
pub fn generate() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), GENERATED_LENGTH)
}

fn password(secret: Option<&Secret>, key: &str) -> Option<String> {
    secret_password(bytes(secret, key)?).map(str::to_owned)
}

fn bytes<'a>(secret: Option<&'a Secret>, key: &str) -> Option<&'a [u8]> {
    Some(&secret?.data.as_ref()?.get(key)?.0)
}

#[cfg(test)]
mod tests {
    use hera_render::{REPLICATION_ROTATION_KEY, ROTATION_KEY};
    use k8s_openapi::ByteString;
    use serde_json::{Value, json};

    use super::*;

    fn secret(pairs: &[(&str, &str)]) -> Secret {
        let data = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), ByteString((*value).into())));
        Secret {
            data: Some(data.collect()),
            ..Secret::default()
        }
    }

    fn auth(auth: Value) -> Auth {
        let spec = json!({"version": "7.2", "auth": auth});
        let spec = serde_json::from_value(spec).unwrap();
        hera_api::validate::validate("cache", &spec).unwrap().auth
    }

    #[test]
    fn none_is_made_for_an_application_whose_password_is_elsewhere() {
        let elsewhere = auth(json!({"passwordSecretRef": {"name": "mine"}}));
        assert_eq!(app_credentials(&elsewhere, None).password, None);
        let before = secret(&[(KEY_PASSWORD, "in force")]);
        let until_it_is_read = app_credentials(&elsewhere, Some(&before));
        assert_eq!(until_it_is_read.password.as_deref(), Some("in force"));
    }

    #[test]
    fn without_a_secret_all_passwords_are_new() {
        let (one, other) = (system_passwords(None), system_passwords(None));
        assert_ne!(one.replication, other.replication);
        assert_eq!(one.replication.len(), GENERATED_LENGTH);
    }

    #[test]
    fn what_else_a_secret_of_an_older_operator_has_changes_nothing() {
        let old = secret(&[
            ("operator-password", "nobody's any more"),
            (REPLICATION_PASSWORD_KEY, "known"),
        ]);
        assert_eq!(system_passwords(Some(&old)).replication, "known");
    }

    #[test]
    fn an_empty_password_is_none() {
        for nothing in ["", "\n", "\r\n"] {
            let system = secret(&[(REPLICATION_PASSWORD_KEY, nothing)]);
            let passwords = system_passwords(Some(&system));
            assert_eq!(passwords.replication.len(), GENERATED_LENGTH);
            let app = app_credentials(&auth(json!({})), Some(&secret(&[(KEY_PASSWORD, nothing)])));
            assert_eq!(app.password.unwrap().len(), GENERATED_LENGTH);
        }
    }

    #[test]
    fn a_line_end_at_the_end_of_a_secret_is_no_part_of_a_password() {
        let secret_of_app = secret(&[(KEY_PASSWORD, "changed\n")]);
        let changed = app_credentials(&auth(json!({})), Some(&secret_of_app));
        assert_eq!(changed.password.as_deref(), Some("changed"));

        let reference = SecretKeyRef {
            name: "mine".to_owned(),
            key: "redis-password".to_owned(),
            next_key: None,
        };
        let mut passwords = Passwords::for_test([]);
        let typed = secret(&[("redis-password", "typed\r\n")]);
        passwords.take("shop", &reference, Some(&typed));
        assert_eq!(passwords.of("shop"), Some("typed"));

        let mut passwords = Passwords::for_test([]);
        let empty = secret(&[("redis-password", "\n")]);
        passwords.take("shop", &reference, Some(&empty));
        assert_eq!(passwords.of("shop"), None);
        let missing = &passwords.missing[0];
        assert!(missing.contains("user shop should be in key redis-password of Secret mine"));
    }

    #[test]
    fn a_next_password_is_let_in_beside_the_current_one_and_may_be_missing() {
        let reference = SecretKeyRef {
            name: "mine".to_owned(),
            key: "now".to_owned(),
            next_key: Some("then".to_owned()),
        };
        let taken = |pairs: &[(&str, &str)]| {
            let mut passwords = Passwords::for_test([]);
            passwords.take("shop", &reference, Some(&secret(pairs)));
            passwords
        };
        let hash = |password: &str| sha256_hex(password.as_bytes());
        let both = taken(&[("now", "one"), ("then", "two\n")]);
        let hashes = both.hashes_of("shop").unwrap();
        assert_eq!(hashes, [hash("one"), hash("two")]);
        assert_eq!(both.next_of("shop"), Some(hash("two").as_str()));
        for between in [
            taken(&[("now", "one")]),
            taken(&[("now", "one"), ("then", "")]),
        ] {
            assert_eq!(between.hashes_of("shop").unwrap(), [hash("one")]);
            assert!(between.missing.is_empty() && between.same.is_empty());
        }
        let same = taken(&[("now", "one"), ("then", "one")]);
        assert_eq!(same.hashes_of("shop").unwrap(), [hash("one")]);
        let words = &same.same[0];
        assert!(
            words.contains("then of Secret mine") && !words.contains("one"),
            "{words}"
        );
        let only_next = taken(&[("then", "two")]);
        assert_eq!(only_next.hashes_of("shop"), None);
        assert!(only_next.missing[0].contains("key now of Secret mine"));
    }

    #[test]
    fn what_is_written_of_a_rotation_is_read_and_what_is_none_counts_as_nothing() {
        let text = r#"{"current":"ab","sinceMs":7,"phase":{"name":"spreading","next":"x"}}"#;
        let written = |text: &str| {
            let secret = secret(&[(ROTATION_KEY, text)]);
            written_rotation(Some(&secret), ROTATION_KEY)
        };
        assert_eq!(written("x"), None);
        let written = written(text).unwrap();
        assert_eq!(written.since_ms, 7);
        assert_eq!(serde_json::to_string(&written).unwrap(), text);
        assert_eq!(written_rotation(None, ROTATION_KEY), None);
        let other = secret(&[(ROTATION_KEY, text)]);
        assert_eq!(
            written_rotation(Some(&other), REPLICATION_ROTATION_KEY),
            None
        );
    }

    #[test]
    fn replicas_may_log_in_with_all_that_are_accepted_each_of_which_counts_once() {
        let (one, two) = (sha256_hex(b"one"), sha256_hex(b"two"));
        let either = [one.clone(), two.clone()];
        let other = [two.clone(), one.clone()];
        let both = of_replicas("one", &either);
        assert_eq!(both.len(), 2);
        assert_eq!(both, of_replicas("two", &other), "no other users for that");
        assert_eq!(of_replicas("one", &[]), [one]);
    }
}
