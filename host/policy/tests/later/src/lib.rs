//! Built for a later contract: see `host/policy/src/evolution.rs`.
#![allow(missing_docs, clippy::all, clippy::restriction)]

#[cfg(target_arch = "wasm32")]
mod later {
    wit_bindgen::generate!({
        path: "../evolution/v0.2",
        world: "acl-policy",
    });

    use exports::hera::policy::acl::{Guest, UserGrants, UserRequest};

    struct Later;

    impl Guest for Later {
        fn decide(users: Vec<UserRequest>) -> Result<Vec<UserGrants>, String> {
            hera::policy::log::write("from a later contract");
            let grants = users.into_iter().map(|user| UserGrants {
                rules: vec![if user.level > 0 { "+set" } else { "+get" }.to_owned()],
                name: user.name,
                keys: user.keys,
            });
            Ok(grants.collect())
        }
    }

    export!(Later);
}
