//! How a store is reached: what its object says, and what the Secrets hold that it names.

use std::collections::BTreeSet;

use hera_api::conditions::{available, completed};
use hera_api::validate::validate_store;
use hera_api::{Addressing, RedisBackupStore, S3Store, StoreSecretKey, secret_password};
use hera_core::backup::{S3Access, StoreAccess};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt as _};

/// Why a store cannot be reached, before anybody tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAccess {
    /// `NoStore`: there is no such store. `SecretMissing`: a Secret that it names is missing, or a key of it.
    /// `Pending`: the API server does not say.
    pub reason: &'static str,
    /// What is missing, for people.
    pub words: String,
}

impl NoAccess {
    fn unread(what: &str, error: &kube::Error) -> Self {
        Self {
            reason: completed::PENDING,
            words: format!("{what} cannot be read now: {error}"),
        }
    }
}

/// How the store of this name and namespace is reached. What is in its Secrets is in memory only, here and with who is
/// told.
///
/// # Errors
/// See [`NoAccess`].
pub async fn of(client: &Client, namespace: &str, store: &str) -> Result<StoreAccess, NoAccess> {
    let found = read(client, namespace, store).await?;
    with_secrets(client, namespace, &found).await
}

/// The store of this name and namespace, if it can be used.
///
/// # Errors
/// See [`NoAccess`].
pub async fn read(
    client: &Client,
    namespace: &str,
    store: &str,
) -> Result<RedisBackupStore, NoAccess> {
    let stores: Api<RedisBackupStore> = Api::namespaced(client.clone(), namespace);
    let what = format!("RedisBackupStore {store}");
    let found = stores.get_opt(store).await;
    let found = found.map_err(|error| NoAccess::unread(&what, &error))?;
    let Some(found) = found else {
        return Err(NoAccess {
            reason: completed::NO_STORE,
            words: format!("there is no {what} in this namespace: create it"),
        });
    };
    // For API servers that do not enforce the schema's rules.
    match validate_store(&found.spec) {
        Ok(()) => Ok(found),
        Err(invalid) => Err(NoAccess {
            reason: completed::NO_STORE,
            words: format!("{what} cannot be used: {invalid}"),
        }),
    }
}

/// Names of the Secrets that a store names.
pub fn secrets(s3: &S3Store) -> Vec<String> {
    let keys = [&s3.access_key_id_ref, &s3.secret_access_key_ref];
    let keys = keys.into_iter().chain(&s3.ca_ref);
    let names: BTreeSet<&String> = keys.map(|key| &key.name).collect();
    names.into_iter().cloned().collect()
}

/// How a store is reached, with what its Secrets hold.
///
/// # Errors
/// See [`NoAccess`].
pub async fn with_secrets(
    client: &Client,
    namespace: &str,
    found: &RedisBackupStore,
) -> Result<StoreAccess, NoAccess> {
    let store = found.name_any();
    let secrets = Secrets {
        api: Api::namespaced(client.clone(), namespace),
        store: &store,
    };
    let s3 = &found.spec.s3;
    let ca = async {
        match &s3.ca_ref {
            Some(key) => secrets.text(key).await.map(Some),
            None => Ok(None),
        }
    };
    let (access_key_id, secret_access_key, ca) = tokio::try_join!(
        secrets.text(&s3.access_key_id_ref),
        secrets.text(&s3.secret_access_key_ref),
        ca,
    )?;
    Ok(StoreAccess {
        s3: S3Access {
            access_key_id,
            secret_access_key,
            ca,
            ..without_secrets(s3)
        },
        name: store.clone(),
    })
}

fn without_secrets(s3: &S3Store) -> S3Access {
    S3Access {
        bucket: s3.bucket.clone(),
        prefix: s3.prefix.trim_matches('/').to_owned(),
        region: s3.region.clone(),
        endpoint: s3.endpoint.clone().filter(|endpoint| !endpoint.is_empty()),
        force_path_style: s3.addressing == Addressing::Path,
        ca: None,
        access_key_id: String::new(),
        secret_access_key: String::new(),
    }
}

/// The Secrets that a store names.
struct Secrets<'a> {
    api: Api<Secret>,
    store: &'a str,
}

impl Secrets<'_> {
    async fn text(&self, named: &StoreSecretKey) -> Result<String, NoAccess> {
        let StoreSecretKey { name, key } = named;
        let found = self.api.get_opt(name).await;
        let found = found.map_err(|error| NoAccess::unread(&format!("Secret {name}"), &error))?;
        let missing = |what: String| NoAccess {
            reason: available::SECRET_MISSING,
            words: format!("RedisBackupStore {} names {what}", self.store),
        };
        let Some(secret) = found else {
            return Err(missing(format!(
                "Secret {name}, which does not exist: create it"
            )));
        };
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        let text = bytes.and_then(|bytes| secret_password(&bytes.0));
        text.map(str::to_owned).ok_or_else(|| {
            missing(format!(
                "key {key} of Secret {name}, which is missing, empty or no text: put it there"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_no_slash_at_its_ends_and_an_empty_endpoint_is_amazons() {
        let key = StoreSecretKey {
            name: "s3".to_owned(),
            key: "id".to_owned(),
        };
        let mut s3 = S3Store {
            bucket: "backups".to_owned(),
            prefix: "/team/redis/".to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: Some(String::new()),
            addressing: Addressing::Path,
            ca_ref: None,
            access_key_id_ref: key.clone(),
            secret_access_key_ref: key,
        };
        assert_eq!(secrets(&s3), ["s3"]);
        let access = without_secrets(&s3);
        assert_eq!(access.prefix, "team/redis");
        assert_eq!(access.endpoint, None);
        assert!(access.force_path_style);
        s3.addressing = Addressing::VirtualHost;
        assert!(!without_secrets(&s3).force_path_style);
    }
}
