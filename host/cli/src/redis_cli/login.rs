//! As whom one logs in: the application's user, or one of the spec's, with the Secret of each.

use std::collections::BTreeMap;

use hera_api::meta::KEY_PASSWORD;
use hera_api::names::ObjectName;
use hera_api::{CommonSpec, SecretKeyRef, secret_password};
use hera_redis::Credentials;
use k8s_openapi::ByteString;
use thiserror::Error;

/// What a Secret holds.
pub type Data = BTreeMap<String, ByteString>;

/// Why nobody can log in.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum NoLogin {
    /// The spec names no such user.
    #[error("there is no user {asked}; there are: {all}")]
    NoSuchUser {
        /// Who was asked for.
        asked: String,
        /// Who there is.
        all: String,
    },
    /// A Secret has no password.
    #[error("key {key} of Secret {secret} has no password: create it")]
    NoPassword {
        /// The Secret.
        secret: String,
        /// The key.
        key: String,
    },
}

/// The key of a Secret with the password of the application's user.
pub fn app_secret(spec: &CommonSpec, name: &ObjectName) -> SecretKeyRef {
    let own = spec.auth.password_secret_ref.clone();
    own.unwrap_or_else(|| SecretKeyRef {
        name: name.app_secret(),
        key: KEY_PASSWORD.to_owned(),
        next_key: None,
    })
}

/// The Secret with the password of a user of the spec.
pub fn secret_of<'a>(spec: &'a CommonSpec, user: &str) -> Option<&'a SecretKeyRef> {
    let mut users = spec.users.iter();
    let user = users.find(|known| known.name == user)?;
    Some(&user.password_secret_ref)
}

/// The application's user, from its Secret; `asked` must be that user, if it is given.
///
/// # Errors
/// As told by [`NoLogin`].
pub fn app(
    spec: &CommonSpec,
    reference: &SecretKeyRef,
    data: &Data,
    asked: Option<&str>,
) -> Result<Credentials, NoLogin> {
    let name = spec.auth.username.as_str();
    if let Some(asked) = asked.filter(|asked| *asked != name) {
        let users = spec.users.iter().map(|user| user.name.as_str());
        let all: Vec<&str> = std::iter::once(name).chain(users).collect();
        return Err(NoLogin::NoSuchUser {
            asked: asked.to_owned(),
            all: all.join(", "),
        });
    }
    user(name, reference, data)
}

/// A user with the password of its Secret.
///
/// # Errors
/// [`NoLogin::NoPassword`].
pub fn user(name: &str, reference: &SecretKeyRef, data: &Data) -> Result<Credentials, NoLogin> {
    let value = data.get(&reference.key);
    let password = value.and_then(|value| secret_password(&value.0));
    let password = password.ok_or_else(|| NoLogin::NoPassword {
        secret: reference.name.clone(),
        key: reference.key.clone(),
    })?;
    Ok(Credentials::new(name, password))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hera_api::Kind;
    use serde_json::json;

    fn spec(auth: serde_json::Value) -> CommonSpec {
        let worker = json!({
            "name": "worker", "preset": "ReadWrite", "keys": ["*"],
            "passwordSecretRef": {"name": "jobs", "key": "word"},
        });
        let spec = json!({"version": "7.2", "auth": auth, "users": [worker]});
        serde_json::from_value(spec).unwrap()
    }

    fn data(pairs: &[(&str, &str)]) -> Data {
        let pair = |(key, value): &(&str, &str)| {
            let value = ByteString(value.as_bytes().to_vec());
            ((*key).to_owned(), value)
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_applications_user_is_the_one_of_the_spec() {
        let name = ObjectName::new(Kind::RedisInstance, "shop").unwrap();
        let generated = spec(json!({}));
        let reference = app_secret(&generated, &name);
        assert_eq!(
            (&*reference.name, &*reference.key),
            ("shop-app", "password")
        );
        let bare = app(&generated, &reference, &data(&[("password", "x")]), None);
        assert_eq!(bare, Ok(Credentials::new("app", "x")));

        let own = spec(json!({
            "username": "shopper",
            "passwordSecretRef": {"name": "mine", "key": "redis-password"},
        }));
        let reference = app_secret(&own, &name);
        assert_eq!(reference.name, "mine");
        let secret = data(&[("redis-password", "typed\n")]);
        let credentials = app(&own, &reference, &secret, None).unwrap();
        assert_eq!(credentials, Credentials::new("shopper", "typed"));
        assert_eq!(
            app(&own, &reference, &secret, Some("shopper")),
            Ok(credentials)
        );
    }

    #[test]
    fn a_user_of_the_spec_has_the_password_of_its_own_secret() {
        let spec = spec(json!({}));
        let reference = secret_of(&spec, "worker").unwrap();
        assert_eq!((&*reference.name, &*reference.key), ("jobs", "word"));
        let credentials = user("worker", reference, &data(&[("word", "w")])).unwrap();
        assert_eq!(credentials, Credentials::new("worker", "w"));
        let nothing = user("worker", reference, &data(&[("word", "\n")])).unwrap_err();
        assert_eq!(
            nothing.to_string(),
            "key word of Secret jobs has no password: create it"
        );
    }

    #[test]
    fn an_unknown_user_is_told_who_there_is() {
        let spec = spec(json!({}));
        assert!(secret_of(&spec, "eve").is_none());
        let secret = data(&[("password", "x")]);
        let reference = app_secret(
            &spec,
            &ObjectName::new(Kind::RedisInstance, "shop").unwrap(),
        );
        let error = app(&spec, &reference, &secret, Some("eve")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no user eve; there are: app, worker"
        );
    }
}
