//! Generated from `wit/`; policies use the modules beside this one.
#![allow(missing_docs, clippy::all, clippy::restriction)]

wit_bindgen::generate!({
    path: "../wit/v0.1",
    world: "acl-policy",
    pub_export_macro: true,
    export_macro_name: "__export_acl_policy",
    default_bindings_module: "hera_policy_sdk::bindings",
    additional_derives: [PartialEq, Clone],
});

/// A world of its own: who makes one decision need not make the others. What they share is one type.
pub mod rebalance {
    wit_bindgen::generate!({
        path: "../wit/v0.1",
        world: "rebalance-policy",
        pub_export_macro: true,
        export_macro_name: "__export_rebalance_policy",
        default_bindings_module: "hera_policy_sdk::bindings::rebalance",
        additional_derives: [PartialEq, Clone],
        with: {
            "hera:policy/types@0.1.0": crate::bindings::hera::policy::types,
            "hera:policy/log@0.1.0": crate::bindings::hera::policy::log,
        },
    });
}

/// Another world of its own.
pub mod backup {
    wit_bindgen::generate!({
        path: "../wit/v0.1",
        world: "backup-policy",
        pub_export_macro: true,
        export_macro_name: "__export_backup_policy",
        default_bindings_module: "hera_policy_sdk::bindings::backup",
        additional_derives: [PartialEq, Clone],
        with: {
            "hera:policy/types@0.1.0": crate::bindings::hera::policy::types,
            "hera:policy/log@0.1.0": crate::bindings::hera::policy::log,
        },
    });
}
