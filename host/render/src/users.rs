use hera_api::CommonSpec;
use hera_api::validate::Validated;
use hera_core::acl::{Preset, UserRequest};

/// What the `acl` decision is asked: the application user first, then those of the spec.
pub fn user_requests(v: &Validated) -> Vec<UserRequest> {
    let further = v.users.iter().map(|user| UserRequest {
        name: user.name.clone(),
        preset: preset(user.preset),
        keys: user.keys.clone(),
        channels: user.channels.clone(),
        rules: user.rules.clone(),
    });
    std::iter::once(app_request(&v.auth.username))
        .chain(further)
        .collect()
}

/// What a spec that is refused as a whole asks for: enough to tell what it would take away.
pub fn raw_requests(spec: &CommonSpec) -> Vec<UserRequest> {
    let further = spec.users.iter().map(|user| UserRequest {
        name: user.name.clone(),
        preset: preset(user.preset),
        keys: user.keys.clone(),
        channels: user.channels.clone(),
        rules: user.rules.clone(),
    });
    std::iter::once(app_request(&spec.auth.username))
        .chain(further)
        .collect()
}

fn preset(preset: hera_api::Preset) -> Preset {
    match preset {
        hera_api::Preset::ReadOnly => Preset::ReadOnly,
        hera_api::Preset::ReadWrite => Preset::ReadWrite,
        hera_api::Preset::Admin => Preset::Admin,
    }
}

/// The application user reads and writes all of the data.
pub fn app_request(username: &str) -> UserRequest {
    UserRequest {
        name: username.to_owned(),
        preset: Preset::ReadWrite,
        keys: vec!["*".to_owned()],
        channels: vec!["*".to_owned()],
        rules: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use hera_api::RedisInstanceSpec;
    use hera_api::validate::validate;
    use hera_core::acl::{
        AGENT_USER, DEFAULT_USER, REPLICATION_USER, SYSTEM_PREFIX, is_system_user,
    };

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
}
