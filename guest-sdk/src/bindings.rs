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
