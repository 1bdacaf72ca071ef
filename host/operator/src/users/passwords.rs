use std::collections::BTreeMap;

use hera_api::meta::{APP_USER, KEY_PASSWORD, KEY_USERNAME};
use hera_api::validate::{Validated, check_app_username};
use hera_core::acl::AclSet;
use hera_render::{AppCredentials, OPERATOR_PASSWORD_KEY};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use rand::distr::{Alphanumeric, SampleString as _};

/// Enough that guessing is out of the question: 32 letters and digits are 190 bits.
const GENERATED_LENGTH: usize = 32;

/// The passwords of an instance's users. They leave this process only as hashes, but for the
/// application Secret that the operator itself generates.
pub struct Passwords {
    /// The operator's own.
    pub operator: String,
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
        operator: String,
        generated: &AppCredentials,
        known: Option<&AclSet>,
    ) -> kube::Result<Self> {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let mut passwords = Self {
            operator,
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
            let reference = &user.password;
            let secret = secrets.get_opt(&reference.name).await?;
            match text(secret.as_ref(), &reference.key).filter(|password| !password.is_empty()) {
                Some(password) => {
                    passwords.by_user.insert(user.name.clone(), password);
                }
                None => passwords.missing.push(format!(
                    "the password of user {} should be in key {} of Secret {}: create it",
                    user.name, reference.key, reference.name
                )),
            }
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
        match text(secret, KEY_PASSWORD).filter(|password| !password.is_empty()) {
            Some(password) => {
                self.by_user.insert(self.app_name.clone(), password);
            }
            None => self.missing.push(format!(
                "the application user's password should be in key {KEY_PASSWORD} of Secret {name}: \
                 create it"
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
            operator: "operator".into(),
            app_name: app.into(),
            missing: Vec::new(),
            by_user: users
                .map(|(name, password)| (name.into(), password.into()))
                .into(),
        }
    }
}

/// The operator's password from its Secret, or a new one.
pub fn operator_password(live: Option<&Secret>) -> String {
    text(live, OPERATOR_PASSWORD_KEY).unwrap_or_else(generate)
}

/// The application's credentials from the Secret that the operator generates, or new ones. A
/// password that somebody changed there is taken over.
pub fn app_credentials(live: Option<&Secret>) -> AppCredentials {
    AppCredentials {
        username: APP_USER.to_owned(),
        password: text(live, KEY_PASSWORD)
            .filter(|p| !p.is_empty())
            .unwrap_or_else(generate),
    }
}

fn generate() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), GENERATED_LENGTH)
}

fn text(secret: Option<&Secret>, key: &str) -> Option<String> {
    let bytes = secret?.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok()
}
