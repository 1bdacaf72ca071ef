use std::collections::BTreeMap;

use hera_api::meta::KEY_PASSWORD;
use hera_api::validate::Validated;
use hera_api::{SecretKeyRef, secret_password};
use hera_render::{AppCredentials, REPLICATION_PASSWORD_KEY, SystemPasswords};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use rand::distr::{Alphanumeric, SampleString as _};

/// Enough that guessing is out of the question: 32 letters and digits are 190 bits.
const GENERATED_LENGTH: usize = 32;

/// The passwords of an instance's users. They leave this process only as hashes, but for the
/// application Secret that the operator itself generates.
pub struct Passwords {
    /// Those of the operator's own users.
    pub system: SystemPasswords,
    /// What is missing, for people.
    pub missing: Vec<String>,
    by_user: BTreeMap<String, String>,
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
    ) -> kube::Result<Self> {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let mut passwords = Self {
            system,
            missing: Vec::new(),
            by_user: BTreeMap::new(),
        };
        match &v.auth.password {
            None => {
                let password = generated.password.clone();
                passwords.by_user.insert(v.auth.username.clone(), password);
            }
            Some(reference) => {
                let secret = secrets.get_opt(&reference.name).await?;
                passwords.take(&v.auth.username, reference, secret.as_ref());
            }
        }
        for user in &v.users {
            let secret = secrets.get_opt(&user.password.name).await?;
            passwords.take(&user.name, &user.password, secret.as_ref());
        }
        Ok(passwords)
    }

    fn take(&mut self, user: &str, reference: &SecretKeyRef, secret: Option<&Secret>) {
        let SecretKeyRef { name, key } = reference;
        match password(secret, key) {
            Some(password) => {
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

    #[cfg(test)]
    pub(super) fn for_test<const N: usize>(users: [(&str, &str); N]) -> Self {
        Self {
            system: SystemPasswords {
                replication: "replication".into(),
            },
            missing: Vec::new(),
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
    }
}

/// The password of replication that is written down.
pub fn replication_password(live: Option<&Secret>) -> Option<String> {
    password(live, REPLICATION_PASSWORD_KEY)
}

/// The application's credentials from the Secret that the operator generates, or new ones. A
/// password that somebody changed there is taken over.
pub fn app_credentials(username: &str, live: Option<&Secret>) -> AppCredentials {
    AppCredentials {
        username: username.to_owned(),
        password: password(live, KEY_PASSWORD).unwrap_or_else(generate),
    }
}

fn generate() -> String {
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
    use k8s_openapi::ByteString;

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
            let app = app_credentials("app", Some(&secret(&[(KEY_PASSWORD, nothing)])));
            assert_eq!(app.password.len(), GENERATED_LENGTH);
        }
    }

    #[test]
    fn a_line_end_at_the_end_of_a_secret_is_no_part_of_a_password() {
        let changed = app_credentials("app", Some(&secret(&[(KEY_PASSWORD, "changed\n")])));
        assert_eq!(changed.password, "changed");

        let reference = SecretKeyRef {
            name: "mine".to_owned(),
            key: "redis-password".to_owned(),
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
}
