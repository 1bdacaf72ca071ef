use std::collections::BTreeMap;

use hera_api::meta::{APP_USER, KEY_PASSWORD, KEY_USERNAME};
use hera_api::validate::{User, Validated, check_app_username};
use hera_api::{SecretKeyRef, secret_password, secret_text};
use hera_core::acl::{AclSet, REPLICATION_USER};
use hera_core::digest::sha256_hex;
use hera_render::{
    AppCredentials, OPERATOR_PASSWORD_KEY, REPLICATION_PASSWORD_KEY, SystemPasswords,
};
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
    /// Name of the application user.
    pub app_name: String,
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
        known: Option<&AclSet>,
    ) -> kube::Result<Self> {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let mut passwords = Self {
            system,
            app_name: generated.username.clone(),
            missing: Vec::new(),
            by_user: BTreeMap::new(),
        };
        match &v.auth.secret {
            None => {
                passwords
                    .by_user
                    .insert(generated.username.clone(), generated.password.clone());
            }
            Some(name) => {
                let secret = secrets.get_opt(name).await?;
                match secret {
                    Some(secret) => passwords.take_app(v, name, &secret),
                    None => passwords.keep_app(name, known),
                }
            }
        }
        for user in &v.users {
            let secret = secrets.get_opt(&user.password.name).await?;
            passwords.take(user, secret.as_ref());
        }
        Ok(passwords)
    }

    /// While the Secret is gone, as it is while somebody replaces it, the application user stays
    /// who it was.
    fn keep_app(&mut self, secret: &str, known: Option<&AclSet>) {
        if let Some(known) = known.filter(|set| !set.app.is_empty()) {
            self.app_name.clone_from(&known.app);
        }
        self.missing.push(format!(
            "there is no Secret {secret} with the application user's password: create it"
        ));
    }

    fn take_app(&mut self, v: &Validated, name: &str, secret: &Secret) {
        let secret = Some(secret);
        self.app_name = text(secret, KEY_USERNAME).unwrap_or_else(|| APP_USER.to_owned());
        if let Err(problem) = check_app_username(&self.app_name, &v.users) {
            self.missing.push(problem.to_string());
            self.app_name = APP_USER.to_owned();
            return;
        }
        match password(secret, KEY_PASSWORD) {
            Some(password) => {
                self.by_user.insert(self.app_name.clone(), password);
            }
            None => self.missing.push(format!(
                "the application user's password should be in key {KEY_PASSWORD} of Secret {name}: \
                 create it"
            )),
        }
    }

    fn take(&mut self, user: &User, secret: Option<&Secret>) {
        let SecretKeyRef { name, key } = &user.password;
        match password(secret, key) {
            Some(password) => {
                self.by_user.insert(user.name.clone(), password);
            }
            None => self.missing.push(format!(
                "the password of user {} should be in key {key} of Secret {name}: create it",
                user.name
            )),
        }
    }

    /// The password of a user; none if its Secret is missing.
    pub fn of(&self, user: &str) -> Option<&str> {
        self.by_user.get(user).map(String::as_str)
    }

    #[cfg(test)]
    pub(super) fn for_test<const N: usize>(app: &str, users: [(&str, &str); N]) -> Self {
        Self {
            system: SystemPasswords {
                operator: "operator".into(),
                replication: "replication".into(),
            },
            app_name: app.into(),
            missing: Vec::new(),
            by_user: users
                .map(|(name, password)| (name.into(), password.into()))
                .into(),
        }
    }
}

/// The passwords of the operator's own users from their Secret, each that is missing anew.
///
/// A Secret of an older operator has none for replication. Until one is written there, which is not
/// while the object is paused, every pass must come to the same one, or each would change the users:
/// so it is made from the operator's own, from which nobody can tell it back.
pub fn system_passwords(live: Option<&Secret>) -> SystemPasswords {
    let known = |key| password(live, key);
    let operator = known(OPERATOR_PASSWORD_KEY).unwrap_or_else(generate);
    let replication = known(REPLICATION_PASSWORD_KEY)
        .unwrap_or_else(|| sha256_hex(format!("{REPLICATION_USER} {operator}").as_bytes()));
    SystemPasswords {
        operator,
        replication,
    }
}

/// The application's credentials from the Secret that the operator generates, or new ones. A
/// password that somebody changed there is taken over.
pub fn app_credentials(live: Option<&Secret>) -> AppCredentials {
    AppCredentials {
        username: APP_USER.to_owned(),
        password: password(live, KEY_PASSWORD).unwrap_or_else(generate),
    }
}

fn generate() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), GENERATED_LENGTH)
}

fn text(secret: Option<&Secret>, key: &str) -> Option<String> {
    secret_text(bytes(secret, key)?).map(str::to_owned)
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
        assert_ne!(one.operator, other.operator);
        assert_ne!(one.replication, other.replication);
        assert_ne!(one.operator, one.replication);
        assert!(one.replication.len() >= GENERATED_LENGTH);
    }

    #[test]
    fn a_secret_without_a_password_for_replication_keeps_the_operators_and_gets_one_that_lasts() {
        let old = secret(&[(OPERATOR_PASSWORD_KEY, "known")]);
        let first = system_passwords(Some(&old));
        assert_eq!(first.operator, "known");
        assert_eq!(first, system_passwords(Some(&old)));
        let written = secret(&[
            (OPERATOR_PASSWORD_KEY, "known"),
            (REPLICATION_PASSWORD_KEY, &first.replication),
        ]);
        assert_eq!(first, system_passwords(Some(&written)));
    }

    #[test]
    fn an_empty_password_is_none() {
        for nothing in ["", "\n", "\r\n"] {
            let passwords = system_passwords(Some(&secret(&[(OPERATOR_PASSWORD_KEY, nothing)])));
            assert_eq!(passwords.operator.len(), GENERATED_LENGTH);
            let app = app_credentials(Some(&secret(&[(KEY_PASSWORD, nothing)])));
            assert_eq!(app.password.len(), GENERATED_LENGTH);
        }
    }

    #[test]
    fn a_line_end_at_the_end_of_a_secret_is_no_part_of_a_password() {
        let changed = app_credentials(Some(&secret(&[(KEY_PASSWORD, "changed\n")])));
        assert_eq!(changed.password, "changed");

        let worker = serde_json::json!({
            "name": "worker", "preset": "readwrite", "keys": ["*"],
            "passwordSecretRef": {"name": "worker"},
        });
        let spec = serde_json::json!({
            "version": "7.2", "auth": {"secretRef": {"name": "mine"}}, "users": [worker],
        });
        let spec = serde_json::from_value(spec).unwrap();
        let v = hera_api::validate::validate("cache", &spec).unwrap();
        let mut passwords = Passwords::for_test("app", []);
        let mine = [(KEY_USERNAME, "shop\n"), (KEY_PASSWORD, "typed\r\n")];
        passwords.take_app(&v, "mine", &secret(&mine));
        assert_eq!(passwords.app_name, "shop");
        assert_eq!(passwords.of("shop"), Some("typed"));

        let mut passwords = Passwords::for_test("app", []);
        passwords.take_app(&v, "mine", &secret(&[(KEY_PASSWORD, "\n")]));
        assert_eq!(passwords.of("app"), None);
        assert!(passwords.missing[0].contains("key password of Secret mine"));

        let mut passwords = Passwords::for_test("app", []);
        passwords.take(&v.users[0], Some(&secret(&[(KEY_PASSWORD, "typed\n")])));
        assert_eq!(passwords.of("worker"), Some("typed"));
        passwords.take(&v.users[0], Some(&secret(&[(KEY_PASSWORD, "\n")])));
        assert!(passwords.missing[0].contains("the password of user worker"));
    }
}
