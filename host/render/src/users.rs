use hera_api::validate::Validated;
use hera_api::{CommonSpec, Rights};
use hera_core::acl::{Preset, UserRequest};

/// What the `acl` decision is asked: the application user first, then those of the spec.
pub fn user_requests(v: &Validated) -> Vec<UserRequest> {
    let further = v.users.iter().map(|user| request(&user.name, &user.rights));
    std::iter::once(request(&v.auth.username, &v.auth.rights))
        .chain(further)
        .collect()
}

/// What a spec that is refused as a whole asks for: enough to tell what it would take away.
pub fn raw_requests(spec: &CommonSpec) -> Vec<UserRequest> {
    let further = spec
        .users
        .iter()
        .map(|user| request(&user.name, &user.rights()));
    std::iter::once(request(&spec.auth.username, &spec.auth.rights()))
        .chain(further)
        .collect()
}

fn request(name: &str, rights: &Rights) -> UserRequest {
    let Rights {
        preset,
        keys,
        channels,
        rules,
    } = rights;
    UserRequest {
        name: name.to_owned(),
        preset: match preset {
            hera_api::Preset::ReadOnly => Preset::ReadOnly,
            hera_api::Preset::ReadWrite => Preset::ReadWrite,
            hera_api::Preset::Owner => Preset::Owner,
            hera_api::Preset::Admin => Preset::Admin,
            hera_api::Preset::Replication => Preset::Replication,
        },
        keys: keys.clone(),
        channels: channels.clone(),
        rules: rules.clone(),
    }
}

#[cfg(test)]
mod tests {
    use hera_api::RedisInstanceSpec;
    use hera_api::validate::validate;
    use hera_core::acl::{
        AGENT_USER, DEFAULT_USER, REPLICATION_USER, SYSTEM_PREFIX, is_system_user,
    };
    use serde_json::{Value, json};

    use super::*;

    /// As an application user's name.
    fn is_taken(name: &str) -> bool {
        let spec = serde_json::json!({"version": "7.2", "auth": {"username": name}});
        let spec: RedisInstanceSpec = serde_json::from_value(spec).unwrap();
        validate("cache", &spec).is_ok()
    }

    #[test]
    fn the_names_that_the_api_refuses_are_those_of_the_operator() {
        for name in [
            AGENT_USER,
            DEFAULT_USER,
            REPLICATION_USER,
            &format!("{SYSTEM_PREFIX}x"),
        ] {
            assert!(is_system_user(name) && !is_taken(name), "{name}");
        }
        assert!(!is_system_user("app") && is_taken("app"));
    }

    fn spec(auth: Value) -> RedisInstanceSpec {
        serde_json::from_value(json!({"version": "7.2", "auth": auth})).unwrap()
    }

    #[test]
    fn the_application_user_reads_and_writes_all_of_the_data_unless_the_spec_says_otherwise() {
        let usual = UserRequest {
            name: "app".to_owned(),
            preset: Preset::ReadWrite,
            keys: vec!["*".to_owned()],
            channels: vec!["*".to_owned()],
            rules: Vec::new(),
        };
        let owner = UserRequest {
            preset: Preset::Owner,
            keys: vec!["app:*".to_owned()],
            channels: Vec::new(),
            rules: vec!["-flushall".to_owned()],
            ..usual.clone()
        };
        let asked =
            json!({"preset": "Owner", "keys": ["app:*"], "channels": [], "rules": ["-flushall"]});
        for (auth, wanted) in [(json!({}), usual), (asked, owner)] {
            let spec = spec(auth);
            let validated = validate("cache", &spec).unwrap();
            assert_eq!(user_requests(&validated), std::slice::from_ref(&wanted));
            assert_eq!(raw_requests(&spec.common), [wanted]);
        }
    }
}
