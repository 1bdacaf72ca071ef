use std::collections::BTreeMap;
use std::fmt;

use hera_api::meta::{KEY_PASSWORD, KEY_TYPE, KEY_USERNAME};
use hera_api::validate::Validated;
use hera_core::acl::AclSet;
use hera_core::agent::REDIS_PORT;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use crate::{Context, Owner, metadata};

/// Key of the users in their Secret, and name of the file in the pod.
pub const ACL_KEY: &str = "acl.json";
/// Key of the password with which replicas speak to their primary, in the system Secret.
pub const REPLICATION_PASSWORD_KEY: &str = "replication-password";
/// Key of what is written down of the rotation of the application's password, in the system Secret. No pod
/// mounts it.
pub const ROTATION_KEY: &str = "app-rotation";
/// Key of what is written down of the rotation of the password of replication, in the system Secret. No pod mounts it.
pub const REPLICATION_ROTATION_KEY: &str = "replication-rotation";

/// The passwords of the operator's own users.
#[derive(Clone, PartialEq, Eq)]
pub struct SystemPasswords {
    /// That with which replicas speak to their primary.
    pub replication: String,
    /// How far the rotation of the application's password is, as JSON; none before the first one.
    pub rotation: Option<String>,
    /// How far that of the password of replication is.
    pub replication_rotation: Option<String>,
}

impl fmt::Debug for SystemPasswords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemPasswords").finish_non_exhaustive()
    }
}

/// The application user's name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct AppCredentials {
    /// Name.
    pub username: String,
    /// Password; none where it is in a Secret of the user's alone.
    pub password: Option<String>,
}

impl fmt::Debug for AppCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppCredentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// The agents' certificate and key, and the authority that both sides trust, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate.
    pub certificate: String,
    /// Key.
    pub key: String,
    /// Authority.
    pub authority: String,
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsFiles").finish_non_exhaustive()
    }
}

/// All that an application needs to connect, by the names of the Service Binding specification; without the
/// password where that is elsewhere.
pub fn build_app_secret(v: &Validated, ctx: &Context, app: &AppCredentials) -> Secret {
    let host = v.name.service_host(&ctx.namespace);
    let login = app.password.as_ref().map(|password| {
        let (username, password) = (percent_encode(&app.username), percent_encode(password));
        format!("{username}:{password}@")
    });
    let uri = format!(
        "redis://{}{host}:{REDIS_PORT}{}",
        // Clients take a name without a password for a password.
        login.unwrap_or_default(),
        // A cluster has one database, and some of its clients refuse to be told so.
        if v.shards.is_some() { "" } else { "/0" }
    );
    let data = [
        // That of the protocol: both engines speak it.
        (KEY_TYPE, "redis".to_owned()),
        (KEY_USERNAME, app.username.clone()),
        ("host", host),
        ("port", REDIS_PORT.to_string()),
        ("uri", uri),
    ];
    let password = app.password.clone();
    let data = data
        .into_iter()
        .chain(password.map(|password| (KEY_PASSWORD, password)));
    secret(
        &Owner::of(v, ctx),
        v.name.app_secret(),
        "kubernetes.io/basic-auth",
        data,
    )
}

/// All users, their rules and the hashes of their passwords, for a pod that boots.
///
/// # Errors
///
/// The users cannot be written as JSON; they can.
pub fn build_acl_secret(
    v: &Validated,
    ctx: &Context,
    users: &AclSet,
) -> Result<Secret, serde_json::Error> {
    let json = serde_json::to_string(users)?;
    Ok(secret(
        &Owner::of(v, ctx),
        v.name.acl_secret(),
        "Opaque",
        [(ACL_KEY, json)],
    ))
}

/// The password with which servers speak to each other. The pods of a cluster mount it: there, replicas change
/// whom they follow without the operator. Beside it, which no pod mounts, how far the rotations of it and of the
/// application's password are.
pub fn build_system_secret(v: &Validated, ctx: &Context, passwords: &SystemPasswords) -> Secret {
    let replication = (REPLICATION_PASSWORD_KEY, passwords.replication.clone());
    let rotations = [
        (ROTATION_KEY, passwords.rotation.clone()),
        (
            REPLICATION_ROTATION_KEY,
            passwords.replication_rotation.clone(),
        ),
    ];
    let rotations = rotations.into_iter();
    let rotations = rotations.filter_map(|(key, rotation)| Some((key, rotation?)));
    let data = std::iter::once(replication).chain(rotations);
    secret(&Owner::of(v, ctx), v.name.system_secret(), "Opaque", data)
}

/// The agents' certificate.
pub fn build_tls_secret(owner: &Owner<'_>, files: &TlsFiles) -> Secret {
    let data = [
        ("tls.crt", files.certificate.clone()),
        ("tls.key", files.key.clone()),
        ("ca.crt", files.authority.clone()),
    ];
    let name = owner.name.agent_tls_secret();
    secret(owner, name, "kubernetes.io/tls", data)
}

fn secret<'a>(
    owner: &Owner<'_>,
    name: String,
    type_: &str,
    data: impl IntoIterator<Item = (&'a str, String)>,
) -> Secret {
    let data: BTreeMap<_, _> = data
        .into_iter()
        .map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())))
        .collect();
    Secret {
        metadata: metadata::child(owner, name),
        type_: Some(type_.to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

/// Everything but what is plain in any part of a URI.
fn percent_encode(text: &str) -> String {
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut out, byte| {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
            out
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_hold_anything_and_the_uri_still_reads() {
        assert_eq!(percent_encode("a:b@c/d%é~"), "a%3Ab%40c%2Fd%25%C3%A9~");
    }

    #[test]
    fn credentials_print_no_password() {
        let app = AppCredentials {
            username: "app".into(),
            password: Some("hush".into()),
        };
        assert!(!format!("{app:?}").contains("hush"));
        let system = SystemPasswords {
            replication: "hush".into(),
            rotation: Some("hush".into()),
            replication_rotation: Some("hush".into()),
        };
        assert!(!format!("{system:?}").contains("hush"));
    }
}
